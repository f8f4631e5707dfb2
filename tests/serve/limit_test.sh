#!/bin/sh
# SPDX-License-Identifier: MIT
# tenpak serve in a cgroup with a memory limit: it stays below the limit, also after a change of the limit.
. "${top_srcdir:-.}/tests/lib.sh"
requires curl

mkdir "$tmp/models"
"$tenpak" serve "$tmp/nowhere" >"$tmp/out" 2>&1
grep -q 'no HTTP server' "$tmp/out" && skip_all 'this build has no HTTP server'
[ -z "${TP_SANITIZED:-}" ] || skip_all 'builds with sanitizers set no limit'
make_cgroup 256M || skip_all 'no cgroup can be made here'

# shellcheck disable=SC2016
sh -c 'echo $$ >"$1/cgroup.procs" && exec "$2" serve --listen 127.0.0.1:0 "$3"' sh "$cgroup" "$tenpak" "$tmp/models" \
    >"$tmp/serve.out" 2>"$tmp/serve.err" &
server=$!
cleanup_fn end_child "$server"
ok 'the server' wait_for 120 grep -q '^token: ' "$tmp/serve.out"
url=$(head -n 1 "$tmp/serve.out")

# soft_limit: in bytes.
soft_limit() {
    awk '/^Max data size/ { print $4 }' "/proc/$server/limits"
}

# is_raised: a request has the limit read again.
is_raised() {
    curl -s -o "$tmp/body" "$url/" && [ "$(soft_limit)" -gt $((256 << 20)) ]
}

before=$(soft_limit)
[ "$before" -lt $((256 << 20)) ]
is 'its own limit is below that of the cgroup' $? 0
for limit in memory.limit_in_bytes memory.max; do
    [ ! -e "$cgroup/$limit" ] || echo 2G >"$cgroup/$limit"
done
ok 'a limit that is raised holds' wait_for 120 is_raised
[ "$(soft_limit)" -lt $((2 << 30)) ]
is 'and is not exceeded' $? 0

tap_done
