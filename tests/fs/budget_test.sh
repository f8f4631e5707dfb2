#!/bin/sh
# SPDX-License-Identifier: MIT
# A mount with little memory: opening a pack that needs more fails, and all other requests are served.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
[ -z "${TP_SANITIZED:-}" ] || skip_all 'sanitizers take memory of their own'
many=$top_builddir/tests/manyfiles

mkdir "$tmp/store" "$tmp/store/plain" "$tmp/mnt"
echo text >"$tmp/store/plain/file"
ok 'a pack of few files' "$many" "$tmp/store/small.tnpk" 100
ok 'a pack of many files' "$many" "$tmp/store/large.tnpk" 400000
ok 'a model' "$top_builddir/tests/mkmodel" "$tmp/model"
ok 'its pack' "$tenpak" pack -q -b none -o "$tmp/store/model.tnpk" "$tmp/model"

# refuses_and_serves NAME: by the mount that is there.
refuses_and_serves() {
    ok "$1: the mount" wait_mounted "$tmp/mnt"
    not_ok "$1: the pack of many files is refused" ls "$tmp/mnt/large"
    has "$1: there is no memory for it" "$tmp/.out" 'Cannot allocate memory'
    is "$1: the pack of few files is served" "$(find "$tmp/mnt/small" -type f | wc -l)" 100
    is "$1: a plain file is served" "$(cat "$tmp/mnt/plain/file")" text
    ok "$1: a model is served" diff -r "$tmp/model" "$tmp/mnt/model"
    not_ok "$1: the pack of many files is still refused" ls "$tmp/mnt/large"
}

# A soft limit that stands for what the daemon sets where a cgroup has a limit.
(
    # shellcheck disable=SC3045
    ulimit -S -d 160000 && exec "$tenpak" mount -f -o cache=32M "$tmp/store" "$tmp/mnt" 2>>"$tmp/mount.log"
) &
mount_pid=$!
refuses_and_serves 'a limit of the process'
ok 'unmounted' unmount "$tmp/mnt"

if make_cgroup 128M; then
    # shellcheck disable=SC2016
    sh -c 'echo $$ >"$1/cgroup.procs" && exec "$2" mount -f -o cache=100M "$3" "$4"' sh "$cgroup" "$tenpak" \
        "$tmp/store" "$tmp/mnt" 2>>"$tmp/mount.log" &
    mount_pid=$!
    refuses_and_serves 'a cgroup of 128 MiB'
    has 'the daemon reports that it cuts the cache' "$tmp/mount.log" 'cache=100 MiB is cut to 32.0 MiB'
    for limit in memory.limit_in_bytes memory.max; do
        [ ! -e "$cgroup/$limit" ] || echo 1G >"$cgroup/$limit"
    done
    is 'a limit that is raised holds' "$(wait_for 120 ls "$tmp/mnt/large" && find "$tmp/mnt/large" -type f | wc -l)" \
        400000
    ok 'unmounted' unmount "$tmp/mnt"
else
    skip 'a cgroup of 128 MiB' 'no cgroup can be made here'
fi

# Packs that are looked at and not used: their indexes have a budget, and their files no nodes. Without these two each of
# the packs would keep some 28 MB.
rm "$tmp/store/large.tnpk"
ok 'a pack of 100,000 files' "$many" "$tmp/store/p1.tnpk" 100000
i=2
while [ $i -le 24 ]; do
    cp "$tmp/store/p1.tnpk" "$tmp/store/p$i.tnpk"
    i=$((i + 1))
done
mount_dir "$tmp/store" "$tmp/mnt" -o cache=32M || exit 1
ok 'each pack is looked at' stat "$tmp/mnt"/p*
anon=$(awk '/^RssAnon:/ { print $2 }' "/proc/$mount_pid/status")
ok "24 idle packs keep $anon KiB, 256 MiB at most" test "$anon" -lt $((256 << 10))
ok 'a file of the first one is there still' test -f "$tmp/mnt/p1/f00099999"
ok 'unmounted' unmount "$tmp/mnt"
tap_done
