#!/bin/sh
# SPDX-License-Identifier: MIT
# What README.md and doc/architecture.md name exists: files, functions, and each other's links.
. "${top_srcdir:-.}/tests/lib.sh"
cd "$top_srcdir" || exit 1

for page in README.md CONTRIBUTING.md doc/*.md; do
    grep -o '`[a-z][a-z0-9_]*/[A-Za-z0-9_./-]*`' "$page" | tr -d '`' | sort -u | while IFS= read -r path; do
        case $path in
        build/*) continue ;; # made, not kept
        esac
        [ -e "$path" ] || [ -e "$path.c" ] || echo "$path"
    done >"$tmp/absent"
    is "$page: files that it names" "$(tr '\n' ' ' <"$tmp/absent")" ''
    grep -o '`tp_[a-z0-9_]*`' "$page" | tr -d '`' | grep -v -e '_$' -e '^tp_x_' | sort -u | while IFS= read -r name; do
        grep -r -q -w --include='*.[ch]' "$name" base tensor codec store optimizer control fs serve cli || echo "$name"
    done >"$tmp/absent"
    is "$page: functions that it names" "$(tr '\n' ' ' <"$tmp/absent")" ''
    grep -o '](\([^)#:]*\))' "$page" | sed 's/^](//; s/)$//' | sort -u | while IFS= read -r link; do
        [ -e "$(dirname "$page")/$link" ] || echo "$link"
    done >"$tmp/absent"
    is "$page: links" "$(tr '\n' ' ' <"$tmp/absent")" ''
done
tap_done
