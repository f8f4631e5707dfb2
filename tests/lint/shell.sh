#!/bin/sh
# SPDX-License-Identifier: MIT
# Every shell file must satisfy shellcheck. Each is checked by itself: to read tests/lib.sh again with every test takes longer.
. "${top_srcdir:-.}/tests/lib.sh"
requires shellcheck
cd "$top_srcdir" || exit 1

find . \( -name '.git' -o -name 'build*' -o -name autom4te.cache \) -prune -o -type f \
    \( -name '*.sh' -o -name bootstrap -o -path './.ci/run' \) -print | sort >"$tmp/files"
while IFS= read -r file; do
    ok "$file" shellcheck --shell=sh --severity=warning \
        --exclude=SC1091,SC2010,SC2034,SC2154 "$file"
done <"$tmp/files"
ok 'there were files to check' test -s "$tmp/files"
tap_done
