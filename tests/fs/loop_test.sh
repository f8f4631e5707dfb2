#!/bin/sh
# SPDX-License-Identifier: MIT
# A directory that contains its own mount point is not mounted. If such a path is made later, look-ups along it fail,
# and no process hangs.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
[ "$(id -u)" -eq 0 ] || skip_all 'only root makes bind mounts'

mkdir "$tmp/store" "$tmp/store/dir" "$tmp/store/in" "$tmp/y" "$tmp/y/mnt" "$tmp/y/below" "$tmp/b" "$tmp/mnt"
echo text >"$tmp/store/dir/file"
echo other >"$tmp/y/file"
mkdir "$tmp/store/point"
mount --bind "$tmp/y" "$tmp/b" 2>/dev/null || skip_all 'no bind mounts here'
umount "$tmp/b"

# refused NAME DIR POINT [PATTERN]: in the foreground and in the background; nothing is mounted.
refused() {
    before=$(grep -c "$tmp" /proc/self/mountinfo)
    exits "$1: refused" 1 "$tenpak" mount -f "$2" "$3"
    has "$1: with the reason" "$tmp/.out" "${4:-within the other\|contains its mount point}"
    exits "$1: in the background, too" 1 "$tenpak" mount "$2" "$3"
    is "$1: nothing is mounted" "$(grep -c "$tmp" /proc/self/mountinfo)" "$before"
}

refused 'a mount point in DIR' "$tmp/store" "$tmp/store/point"
refused 'DIR itself' "$tmp/store" "$tmp/store"
refused 'above DIR' "$tmp/store/dir" "$tmp/store"
ln -s "$tmp/store/point" "$tmp/link"
ln -s "$tmp/store" "$tmp/link-to-store"
refused 'a link to one in DIR' "$tmp/store" "$tmp/link"
refused 'DIR by a link' "$tmp/link-to-store" "$tmp/store/point"

mount --bind "$tmp/store" "$tmp/b"
refused 'a bind mount of DIR' "$tmp/store" "$tmp/b/point"
refused 'by the bind mount' "$tmp/b" "$tmp/store/point"
refused 'on the bind mount' "$tmp/store/dir" "$tmp/b"
umount "$tmp/b"
mount --bind "$tmp/store/dir" "$tmp/b"
mkdir "$tmp/store/dir/mnt"
refused 'a bind mount of a directory in DIR' "$tmp/store" "$tmp/b/mnt"
rmdir "$tmp/store/dir/mnt"
umount "$tmp/b"

mount --bind "$tmp/y" "$tmp/store/in"
refused 'a directory that is bound into DIR' "$tmp/store" "$tmp/y/mnt" "by the mount at '$tmp/store/in'"
ln -sfn "$tmp/y/mnt" "$tmp/link"
refused 'a link to one in there' "$tmp/store" "$tmp/link"
mount -t tmpfs none "$tmp/y/below"
mkdir "$tmp/y/below/mnt"
mount --bind "$tmp/y/below" "$tmp/store/dir"
refused 'another file system in DIR' "$tmp/store" "$tmp/y/below/mnt"
umount "$tmp/store/dir"
umount "$tmp/y/below"
umount "$tmp/store/in"

# Through another mount of ours, and an overlay.
mount_dir "$tmp/y" "$tmp/store/in" || exit 1
refused 'a mount of ours in DIR' "$tmp/store" "$tmp/y/mnt" "by the mount at '$tmp/store/in'"
ok 'unmounted' unmount "$tmp/store/in"
mount_dir "$tmp/y" "$tmp/b" || exit 1
mkdir "$tmp/y/below/mnt"
refused 'a store in a mount of ours' "$tmp/b/below" "$tmp/y/below/mnt"
ok 'unmounted' unmount "$tmp/b"
if mount -t overlay -o "lowerdir=$tmp/y:$tmp/store/point" none "$tmp/store/in" 2>/dev/null; then
    refused 'an overlay in DIR' "$tmp/store" "$tmp/y/mnt"
    umount "$tmp/store/in"
else
    skip 'an overlay in DIR' 'no overlay of this file system'
fi

# What is no loop is mounted.
mount --bind "$tmp/y" "$tmp/store/in"
mount_dir "$tmp/store" "$tmp/mnt" || exit 1
is 'a bind mount in DIR that leads elsewhere shows' "$(cat "$tmp/mnt/in/file")" other
umount "$tmp/store/in"

# A loop that is made afterwards. TIMEOUT could not end a hanging process: then the test would hang.
# The kernel believes a name that it knows for a while, so each loop has a name of its own.
walks() {
    timeout -s KILL 120 ls -R "$tmp/mnt" >"$tmp/walked" 2>&1
    [ $? -le 2 ]
}
is_loop() {
    not_ok "$1" ls "$2"
    has "$1: and says so" "$tmp/.out" 'Too many levels of symbolic links'
    ok "$1: a walk ends" walks
}
mkdir "$tmp/store/loop1"
mount --bind "$tmp/mnt" "$tmp/store/loop1"
is_loop 'the mount bound into DIR' "$tmp/mnt/loop1/"
ok 'the rest is read' grep -q text "$tmp/mnt/dir/file"
umount "$tmp/store/loop1"
mkdir "$tmp/store/loop2"
mount --bind "$tmp/mnt/dir" "$tmp/store/loop2"
is_loop 'a directory of the mount' "$tmp/mnt/loop2/"
umount "$tmp/store/loop2"
echo >"$tmp/store/target"
mount --bind "$tmp/mnt/dir/file" "$tmp/store/target"
not_ok 'a file of the mount' cat "$tmp/mnt/target"
umount "$tmp/store/target"
ok 'without it all is as before' wait_for 120 cat "$tmp/mnt/target"

first=$mount_pid
mount --bind "$tmp/mnt" "$tmp/y/below"
mount_dir "$tmp/y" "$tmp/b" || exit 1
is 'another mount shows this one' "$(cat "$tmp/b/below/dir/file")" text
mkdir "$tmp/store/loop3"
mount --bind "$tmp/b" "$tmp/store/loop3"
is_loop 'and leads back, bound into DIR' "$tmp/mnt/loop3/"
umount "$tmp/store/loop3"
ok 'unmounted' unmount "$tmp/b"
umount "$tmp/y/below"
mkdir "$tmp/store/loop4"
if mount -t overlay -o "lowerdir=$tmp/mnt:$tmp/store/point" none "$tmp/store/loop4" 2>/dev/null; then
    is_loop 'an overlay of the mount' "$tmp/mnt/loop4/"
    umount "$tmp/store/loop4"
else
    skip 'an overlay of the mount' 'no overlay of this file system'
fi
mount_pid=$first
ok 'unmounted' unmount "$tmp/mnt"
tap_done
