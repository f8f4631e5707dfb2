#!/bin/sh
# SPDX-License-Identifier: MIT
# Every sentence of doc/SEMANTICS.md names a test that make check runs, and a check that is in it.
. "${top_srcdir:-.}/tests/lib.sh"
cd "$top_srcdir" || exit 1

# One promise a line.
awk '/^- /{ if (item) print item; item = substr($0, 3); next }
     /^  [^ ]/ && item { item = item " " substr($0, 3); next }
     { if (item) print item; item = "" }
     END { if (item) print item }' doc/SEMANTICS.md >"$tmp/promises"
ok 'there are promises' test "$(wc -l <"$tmp/promises")" -ge 30
while IFS= read -r promise; do
    test=$(printf '%s\n' "$promise" | sed -n 's/.* (`\(tests\/[^`]*\)`: "[^"]*")$/\1/p')
    check=$(printf '%s\n' "$promise" | sed -n 's/.*: "\([^"]*\)")$/\1/p')
    if [ -z "$test" ] || [ -z "$check" ]; then
        fail "names its test and check: $promise"
    elif ! grep -q "$test" tests/local.mk; then
        fail "$test, which make check runs: $promise"
    elif ! grep -q -F -e "$check" "$test"; then
        fail "\"$check\" is a check of $test: $promise"
    else
        pass "$promise"
    fi
    # One sentence: nothing after its full stop but the test.
    printf '%s\n' "$promise" | grep -q '\. [A-Z][^(]*\. (' && fail "one sentence: $promise"
done <"$tmp/promises"
tap_done
