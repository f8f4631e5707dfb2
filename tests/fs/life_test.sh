#!/bin/sh
# SPDX-License-Identifier: MIT
# Mounting and unmounting: many times, by signals, and while files are open.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
mkmodel=$top_builddir/tests/mkmodel

mkdir "$tmp/store"
"$mkmodel" --hidden=256 --inter=512 --vocab=4000 "$tmp/model"
"$tenpak" pack -q -b none -o "$tmp/store/model.tnpk" "$tmp/model" || fail 'pack'
file=$tmp/mnt/model/model.safetensors

i=0
good=yes
while [ $i -lt 20 ]; do
    mount_dir "$tmp/store" "$tmp/mnt" && cmp -s "$file" "$tmp/model/model.safetensors" && unmount "$tmp/mnt" || good=no
    i=$((i + 1))
done
is '20 mounts, read and unmounted' $good yes

for signal in TERM INT HUP; do
    # A child of a shell without job control ignores SIGINT from its start; the mount waits for it all the same.
    mount_dir "$tmp/store" "$tmp/mnt" || exit 1
    cat "$file" >/dev/null
    kill -$signal "$mount_pid"
    ok "SIG$signal ends it" wait_gone "$mount_pid"
    wait "$mount_pid"
    is 'cleanly' $? 0
    ok 'and the mount has ended' is_unmounted "$tmp/mnt"
done

mount_dir "$tmp/store" "$tmp/mnt" || exit 1
exec 3<"$file"
head -c 1000 <&3 >"$tmp/head"
not_ok 'not unmounted while a file is open' fusermount3 -u "$tmp/mnt"
kill -TERM "$mount_pid"
ok 'a signal detaches it' wait_unmounted "$tmp/mnt"
cat <&3 >"$tmp/rest"
cat "$tmp/head" "$tmp/rest" >"$tmp/all"
ok 'an open file reads on' cmp "$tmp/all" "$tmp/model/model.safetensors"
ok 'the daemon of a detached mount goes on' kill -0 "$mount_pid"
exec 3<&-
ok 'the daemon ends when the last file is closed' wait_gone "$mount_pid"
wait "$mount_pid"
is 'cleanly' $? 0

mount_dir "$tmp/store" "$tmp/mnt" || exit 1
exec 3<"$file"
kill -TERM "$mount_pid"
wait_unmounted "$tmp/mnt"
kill -TERM "$mount_pid"
ok 'a second signal ends it at once' wait_gone "$mount_pid"
exec 3<&-
wait "$mount_pid"
is 'cleanly' $? 0

# A daemon whose mount was taken away lazily has no business with the next one at that place.
mkdir "$tmp/others"
: >"$tmp/mount.log"
mount_dir "$tmp/store" "$tmp/mnt" || exit 1
ok 'mounted, and the daemon knows' wait_for 120 grep -q 'is mounted at' "$tmp/mount.log"
old=$mount_pid
exec 3<"$file"
ok 'unmounted lazily' umount --lazy "$tmp/mnt"
mount_dir "$tmp/others" "$tmp/mnt" || exit 1
kill -TERM "$old"
ok 'a signal ends the daemon that is left' wait_gone "$old"
not_ok 'the next mount stays when the earlier daemon ends' is_unmounted "$tmp/mnt"
ok 'the next mount answers' touch "$tmp/mnt/file"
ok 'the next mount shows the other directory' test -f "$tmp/others/file"
not_ok 'reads of open files fail' cat <&3
exec 3<&-
unmount "$tmp/mnt"

# In the background: the command returns when the mount answers, and the one that unmounts when the daemon has ended.
in_background() {
    ok 'mounted in the background' "$tenpak" mount "$tmp/store" "$tmp/mnt"
    ok 'a mount in the background answers' cmp "$file" "$tmp/model/model.safetensors"
    daemon=$("$tenpak" status --json "$tmp/mnt" | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
    knows=$(cat "/proc/$daemon/fdinfo"/* 2>/dev/null | grep -c '^fuse_connection:')
    ok 'unmounted by the program' "$tenpak" umount "$tmp/mnt"
    open=$(ls "/proc/$daemon/fd" 2>/dev/null)
}
# A name space of mounts that another program made meanwhile has a copy of the mount, with which the daemon lives on.
is_copied() {
    grep -qsF " $tmp/mnt " /proc/[0-9]*/mountinfo
}
in_background
for again in 1 2 3 4 5; do
    [ -n "$open" ] && is_copied || break
    diag "$again: there was a copy of the mount"
    in_background
done
if [ "$knows" -gt 0 ]; then
    is 'umount returns when the daemon has nothing open' "$open" ''
else
    skip 'the end of the daemon' 'this kernel does not report which process serves a mount'
fi
ok 'the mount has ended' is_unmounted "$tmp/mnt"

# Unmounted at once and by force while many read.
mount_dir "$tmp/store" "$tmp/mnt" -o cache=8M || exit 1
readers=
for n in 1 2 3 4 5 6 7 8; do
    (while cat "$file" >/dev/null 2>&1; do :; done) &
    readers="$readers $!"
done
sleep 0.5
kill -TERM "$mount_pid"
ok 'detached under load' wait_unmounted "$tmp/mnt"
ok 'it ends when the readers do' wait_gone "$mount_pid"
for reader in $readers; do
    wait "$reader"
done
wait "$mount_pid"
is 'cleanly' $? 0
tap_done
