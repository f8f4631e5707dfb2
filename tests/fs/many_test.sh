#!/bin/sh
# SPDX-License-Identifier: MIT
# Plain directories with many more files than the daemon may have open: all are found and read, by several readers at a
# time, and the rest of the mount is as before.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires prlimit
mkmodel=$top_builddir/tests/mkmodel
[ -z "${TP_SANITIZED:-}" ] || skip_all 'sanitizers take descriptors of their own'

mkdir -p "$tmp/store/one" "$tmp/store/two/three" "$tmp/mnt"
"$mkmodel" --layers=1 --hidden=64 --inter=128 "$tmp/store/model"
"$tenpak" pack -q -b none "$tmp/store/model" || fail 'pack'
for dir in one two two/three; do
    (cd "$tmp/store/$dir" && seq 700 | xargs touch && seq -f 'dir%g' 150 | xargs mkdir && echo held >'1')
done
find "$tmp/store" -path "$tmp/store/.tenpak" -prune -o -type f ! -name '*.tnpk' -printf '%P\n' | sort >"$tmp/files"

# files: those of plain directories, each asked for its attributes.
files() {
    find "$tmp/mnt" -path "$tmp/mnt/model" -prune -o -type f -size -9 -printf '%P\n' | sort
}

prlimit --nofile=300:300 "$tenpak" mount -f "$tmp/store" "$tmp/mnt" >>"$tmp/mount.log" 2>&1 &
mount_pid=$!
ok 'a mount that may have 300 files open' wait_mounted "$tmp/mnt"
exec 3<"$tmp/mnt/one/1"

# Before, the kernel forgets no file of a directory that is being looked at.
release=$(uname -r)
major=${release%%.*}
minor=${release#*.}
minor=${minor%%[!0-9]*}
if [ "$major" -gt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -ge 18 ]; }; then
    files >"$tmp/found"
    ok "lists all $(wc -l <"$tmp/files") plain files" cmp "$tmp/found" "$tmp/files"
    finders=
    for i in 1 2 3 4; do
        files >"$tmp/found$i" &
        finders="$finders $!"
    done
    # shellcheck disable=SC2086
    wait $finders
    for i in 1 2 3 4; do
        ok "finder $i of four at a time, too" cmp "$tmp/found$i" "$tmp/files"
    done
    ok 'each is read' sh -c 'cd "$1/mnt" && xargs cat <"$1/files"' sh "$tmp"
else
    files >/dev/null 2>&1
    skip 'all files at once' 'Linux 6.18 is needed'
fi
is 'a file that is open stays so' "$(cat <&3)" held
exec 3<&-
ok 'a pack is read' wait_for 120 test -s "$tmp/mnt/model/model.safetensors"
few() {
    [ "$(find "/proc/$mount_pid/fd" -type l | wc -l)" -lt 250 ]
}
ok 'descriptors are given back' wait_for 120 few
ok 'unmounted' unmount "$tmp/mnt"
tap_done
