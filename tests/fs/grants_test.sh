#!/bin/sh
# SPDX-License-Identifier: MIT
# If the file of a pack denies access by its mode, owner or access list, its model denies it to other users of a mount
# made by root, at once after a change.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires setpriv
[ "$(id -u)" -eq 0 ] || skip_all 'only root mounts for other users'
mkmodel=$top_builddir/tests/mkmodel

chmod 755 "$tmp"
mkdir -m 755 "$tmp/store"
umask 022
"$mkmodel" "$tmp/original"
chmod -R u=rwX,go=rX "$tmp/original"
mkdir -m 755 "$tmp/original/below"
echo deep >"$tmp/original/below/file"
chmod 640 "$tmp/original/below/file"
chmod 644 "$tmp/original/config.json"
"$tenpak" pack -q -b none -o "$tmp/store/m.tnpk" "$tmp/original" || fail 'pack'
pack=$tmp/store/m.tnpk
chmod 644 "$pack"

# by UID GID COMMAND
by() {
    setpriv --reuid="$1" --regid="$2" --clear-groups -- sh -c "$3"
}
shown() {
    stat -c '%a %u:%g' "$tmp/mnt/$1" 2>&1
}
is_shown() {
    [ "$(shown "$1")" = "$2" ]
}
reads() {
    by "$1" "$2" "cat '$tmp/mnt/m/config.json'"
}
cannot_read() {
    ! reads "$@"
}

mount_dir "$tmp/store" "$tmp/mnt" -o allow_other || exit 1
is 'a pack that all users may read shows the packed modes' \
    "$(shown m) $(shown m/config.json) $(shown m/below) $(shown m/below/file)" '755 0:0 644 0:0 755 0:0 640 0:0'
ok 'other users read a model whose pack they may read' reads 4001 4001
exec 3<"$tmp/mnt/m/config.json"
chmod 600 "$pack"
ok 'a pack that is closed to others closes its model' wait_for 120 is_shown m '700 0:0'
not_ok 'others do not read what they have read before' reads 4001 4001
has 'permission is denied' "$tmp/.out" 'Permission denied'
# The kernel is told of one after the other.
within() {
    [ "$(shown m/config.json) $(shown m/below) $(shown m/below/file)" = "$1" ]
}
ok 'files of a closed model are closed to other users' wait_for 120 within '600 0:0 700 0:0 600 0:0'
ok 'the owner of a closed pack reads the model' reads 0 0
ok 'an open file of a closed model reads on' cmp - "$tmp/original/config.json" <&3
exec 3<&-
not_ok 'a closed model cannot be entered' by 4001 4001 "cd '$tmp/mnt/m'"

chgrp 4002 "$pack"
chmod 640 "$pack"
ok 'the pack of a group' wait_for 120 is_shown m '750 0:4002'
ok 'a member of the group reads the model' wait_for 120 reads 4001 4002
not_ok 'other users do not read the model of a group' reads 4001 4001
chown 4001 "$pack"
chmod 400 "$pack"
ok 'the pack of another owner' wait_for 120 is_shown m '700 4001:4002'
ok 'the new owner reads the model' wait_for 120 reads 4001 4001
not_ok 'the group does not read a model of mode 0700' reads 4003 4002
chmod 0 "$pack"
ok 'a pack without read permissions is shown' wait_for 120 is_shown m '0 4001:4002'
not_ok 'a pack without read permissions is not readable for its owner' reads 4001 4001
chown 0:0 "$pack"
chmod 644 "$pack"
ok 'the pack is opened to all again' wait_for 120 is_shown m '755 0:0'
ok 'all users read the model again' wait_for 120 reads 4001 4001

# Who holds a directory within.
mkfifo "$tmp/go"
by 4001 4001 "cd '$tmp/mnt/m/below' && read -r line <'$tmp/go' && cat ../config.json; echo \$? >'$tmp/said'" 2>/dev/null &
chmod 666 "$tmp/go"
chmod 777 "$tmp"
in_below() {
    find /proc/[0-9]*/cwd -maxdepth 0 -lname "$tmp/mnt/m/below" 2>/dev/null | grep -q .
}
ok 'a process works in a directory of the model' wait_for 120 in_below
chmod 600 "$pack"
wait_for 120 is_shown m '700 0:0'
ok 'below it is shut by then' wait_for 120 is_shown m/below '700 0:0'
echo go >"$tmp/go"
wait_for 120 test -s "$tmp/said"
is 'the process in a closed directory reads nothing more' "$(cat "$tmp/said")" 1
ok 'unmounted' unmount "$tmp/mnt"
chmod 755 "$tmp"

# Access lists.
acl() {
    "$PYTHON" - "$pack" "$@" <<'END'
import os, struct, sys
tags = {"owner": 1, "user": 2, "group": 4, "named": 8, "mask": 16, "other": 32}
value = struct.pack("<I", 2)
for entry in sys.argv[2:]:
    tag, permissions, number = entry.split(":")
    value += struct.pack("<HHI", tags[tag], int(permissions), int(number) if number else 0xffffffff)
os.setxattr(sys.argv[1], "system.posix_acl_access", value)
END
}
chmod 644 "$pack"
if acl owner:6: user:0:4001 group:4: mask:4: other:4: 2>/dev/null; then
    mount_dir "$tmp/store" "$tmp/mnt" -o allow_other || exit 1
    not_ok 'a list that denies one user' by 4001 4001 "cat '$pack'"
    not_ok 'a user that a list denies does not read the model' reads 4001 4001
    acl owner:6: user:4:4003 group:4: mask:4: other:4:
    ok 'a list that denies no user' wait_for 120 reads 4001 4001
    acl owner:6: user:4:4003 group:4: mask:0: other:4:
    ok 'a mask that denies' wait_for 120 cannot_read 4003 4003
    ok 'unmounted' unmount "$tmp/mnt"
else
    skip 'access lists' 'the file system or Python has none'
fi
tap_done
