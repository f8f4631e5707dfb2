#!/bin/sh
# SPDX-License-Identifier: MIT
# Every C file is as clang-format leaves it, by .clang-format at the top. "make format" formats them.
. "${top_srcdir:-.}/tests/lib.sh"
# Versions differ in what they make of one style: this is the one that formatted the tree.
version=14
clang_format=
for name in "clang-format-$version" clang-format; do
    if "$name" --version 2>/dev/null | grep -q "version $version\\."; then
        clang_format=$name
        break
    fi
done
[ -n "$clang_format" ] || skip_all "no clang-format $version"
cd "$top_srcdir" || exit 1

find . \( -name '.git' -o -name 'build*' -o -name autom4te.cache -o -name 'tenpak-[0-9]*' \) -prune -o -type f \
    -name '*.[ch]' -print | sort >"$tmp/files"
ok 'there are files to check' test -s "$tmp/files"
xargs "$clang_format" --style=file --dry-run <"$tmp/files" >"$tmp/report" 2>&1
is 'files that are formatted otherwise' \
    "$(sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: .*clang-format-violations.*/\1/p' "$tmp/report" | sort -u | tr '\n' ' ')" ''
# clang-format breaks no string.
xargs awk 'length > 100 && !/"/ { print FILENAME ":" FNR }' <"$tmp/files" >"$tmp/long"
is 'lines of more than 100 columns without a string' "$(tr '\n' ' ' <"$tmp/long")" ''
tap_done
