#!/bin/sh
# SPDX-License-Identifier: MIT
# Access lists (POSIX ACLs) of plain files: on a mount made by root with allow_other, no user may do more than on the
# disk, and users named in a list may do what it grants.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires setpriv
requires_python struct
[ "$(id -u)" -eq 0 ] || skip_all 'only root mounts for other users'

chmod 755 "$tmp"
mkdir "$tmp/store" "$tmp/store/dir"
echo content >"$tmp/store/dir/file"
echo content >"$tmp/store/dir/plain"
chmod 640 "$tmp/store/dir/plain"
chown 0:4002 "$tmp/store/dir" "$tmp/store/dir/file" "$tmp/store/dir/plain"
chmod 750 "$tmp/store/dir"

# acl NAME PATH ENTRY...: TAG:PERMISSIONS:ID, as the kernel has them.
acl() {
    "$PYTHON" - "$@" <<'END'
import os, struct, sys
tags = {"owner": 1, "user": 2, "group": 4, "named": 8, "mask": 16, "other": 32}
value = struct.pack("<I", 2)
for entry in sys.argv[3:]:
    tag, permissions, number = entry.split(":")
    value += struct.pack("<HHI", tags[tag], int(permissions), int(number) if number else 0xffffffff)
os.setxattr(sys.argv[2], "system.posix_acl_" + sys.argv[1], value)
END
}
# 4001 may read and write, the file's own group 4002 may not, although the mode's bits say so.
acl access "$tmp/store/dir/file" owner:6: user:6:4001 group:0: mask:6: other:0: 2>/dev/null ||
    skip_all 'the file system here has no access lists'
acl access "$tmp/store/dir" owner:7: user:5:4001 group:5: mask:5: other:0:
is 'the mode does not show it' "$(stat -c %a "$tmp/store/dir/file")" 660

by() {
    setpriv --reuid="$1" --regid="$2" --clear-groups -- sh -c "$3" 2>/dev/null
}
mount_dir "$tmp/store" "$tmp/mnt" -o allow_other || exit 1
for where in store mnt; do
    file=$tmp/$where/dir/file
    ok "$where: a named user reads" by 4001 4001 "cat '$file'"
    ok "$where: and writes" by 4001 4001 "echo content >>'$file'"
    not_ok "$where: the group, which is denied, does not read" by 4003 4002 "cat '$file'"
    not_ok "$where: nor write" by 4003 4002 "echo more >>'$file'"
    ok "$where: it reads files without a list" by 4003 4002 "cat '$tmp/$where/dir/plain'"
    not_ok "$where: others do neither" by 4003 4003 "cat '$file'"
    not_ok "$where: nor see the directory" by 4003 4003 "ls '$tmp/$where/dir'"
done

# Set through the mount, and inherited.
acl default "$tmp/mnt/dir" owner:7: user:7:4001 group:0: mask:7: other:0:
acl access "$tmp/mnt/dir/plain" owner:6: user:4:4001 group:0: mask:4: other:0:
ok 'a list that is set in the mount is on the disk' by 4001 4001 "cat '$tmp/store/dir/plain'"
not_ok 'and denies' by 4003 4002 "cat '$tmp/store/dir/plain'"
sleep 1.1
not_ok 'in the mount, too' by 4003 4002 "cat '$tmp/mnt/dir/plain'"
echo new >"$tmp/mnt/dir/new"
ok 'a new file inherits the default list of its directory' by 4001 4001 "cat '$tmp/mnt/dir/new'"
not_ok 'of its group, too' by 4003 4002 "cat '$tmp/mnt/dir/new'"

# As on the disk: the umask counts where a directory has no default list, and there alone.
make_all() {
    (umask 077 && cd "$1" && echo text >"$2-file" && mkdir "$2-dir" && mkfifo "$2-fifo")
}
# Mode and lists of what make_all made, without its prefix.
shown() {
    "$PYTHON" - "$1" "$2" <<'END'
import os, sys
for kind in ("file", "dir", "fifo"):
    path = f"{sys.argv[1]}/{sys.argv[2]}-{kind}"
    print(kind, oct(os.lstat(path).st_mode), [(name, os.getxattr(path, name).hex()) for name in sorted(os.listxattr(path))])
END
}
for place in dir bare; do
    mkdir -p "$tmp/store/$place"
    make_all "$tmp/store/$place" disk
    make_all "$tmp/mnt/$place" mount
    is "$place: a file made under a umask has the same mode and lists as on the disk" \
        "$(shown "$tmp/store/$place" mount)" "$(shown "$tmp/store/$place" disk)"
done
ok 'with a default list the umask does not exclude a named user' by 4001 4001 "cat '$tmp/mnt/dir/mount-file'"
is 'without one it is taken off' "$(stat -c %a "$tmp/store/bare/mount-file")" 600
ok 'unmounted' unmount "$tmp/mnt"
tap_done
