#!/bin/sh
# SPDX-License-Identifier: MIT
# mandoc over every manual page.
. "${top_srcdir:-.}/tests/lib.sh"
requires mandoc
cd "$top_srcdir" || exit 1

for page in man/*.[1-9]; do
    [ -e "$page" ] || skip_all 'no manual pages'
    # STYLE findings about references to pages of other packages say nothing about ours.
    mandoc -Tlint -Wwarning "$page" >"$tmp/lint" 2>&1
    is "$page" "$(cat "$tmp/lint")" ''
done
tap_done
