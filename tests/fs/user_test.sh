#!/bin/sh
# SPDX-License-Identifier: MIT
# A daemon without privileges, mounted by fusermount3: reading, writing only where its user may, access for its user
# only, and its end. As root the test runs as nobody.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
mkmodel=$top_builddir/tests/mkmodel
requires_user
helper=$(command -v fusermount3)
[ -u "$helper" ] || skip_all 'fusermount3 is not setuid'

mkdir "$tmp/original" "$tmp/store" "$tmp/mnt" "$tmp/store/own" "$tmp/store/foreign"
"$mkmodel" "$tmp/original/model"
"$tenpak" pack -q -b none -o "$tmp/store/model.tnpk" "$tmp/original/model" || fail 'pack'
cp "$tmp/store/model.tnpk" "$tmp/store/sealed.tnpk"
echo secret >"$tmp/store/foreign/secret"
echo open >"$tmp/store/foreign/open"
chmod 644 "$tmp/store/model.tnpk"
chmod 0 "$tmp/store/sealed.tnpk" "$tmp/store/foreign/secret"
chmod 555 "$tmp/store/foreign"
if [ "$(id -u)" -eq 0 ]; then
    chown "$user_id:$user_group" "$tmp/mnt" "$tmp/store/own"
fi
as_user "$tenpak" mount -q "$tmp/store" "$tmp/mnt" 2>"$tmp/said"
is 'mounted' $? 0
ok 'it is there' is_mounted "$tmp/mnt"
ok 'a pack reads' as_user diff -r "$tmp/original/model" "$tmp/mnt/model"
ok 'a plain file' as_user grep -q open "$tmp/mnt/foreign/open"
ok 'a new file' as_user sh -c "mkdir '$tmp/mnt/own/dir' && echo text >'$tmp/mnt/own/dir/file'"
is 'is on the disk' "$(cat "$tmp/store/own/dir/file")" text
ok 'and belongs to its creator' test "$(stat -c %u "$tmp/store/own/dir/file")" = "$(stat -c %u "$tmp/store/own")"
ok 'changed, renamed, removed' as_user sh -c "cd '$tmp/mnt/own/dir' && chmod 600 file && truncate -s 100 file &&
    mv file other && ln -s other soft && rm other soft && cd .. && rmdir dir"
is 'all of it' "$(ls -A "$tmp/store/own")" ''
not_ok 'a file that this user may not read cannot be read' as_user cat "$tmp/mnt/foreign/secret"
has 'permission denied' "$tmp/.out" 'Permission denied'
not_ok 'nor a pack' as_user ls "$tmp/mnt/sealed"
not_ok 'nothing is made where this user may not' as_user sh -c ": >'$tmp/mnt/foreign/new'"
not_ok 'or removed' as_user rm -f "$tmp/mnt/foreign/open"
not_ok 'nor is a pack changed' as_user sh -c "echo x >'$tmp/mnt/model/config.json'"
if [ "$(id -u)" -eq 0 ]; then
    not_ok 'root is another user' ls "$tmp/mnt/model"
    not_ok 'a file cannot be given away' as_user chown 0 "$tmp/mnt/own"
fi
ok 'the status is reported' as_user "$tenpak" status "$tmp/mnt"
as_user "$tenpak" doctor "$tmp/mnt" >"$tmp/doctor" 2>&1
has 'and what slows it' "$tmp/doctor" read_ahead
if ! grep -q '^[[:blank:]]*user_allow_other' /etc/fuse.conf 2>/dev/null; then
    mkdir "$tmp/mnt2"
    [ "$(id -u)" -ne 0 ] || chown "$user_id:$user_group" "$tmp/mnt2"
    not_ok 'for others it is not to be had' as_user "$tenpak" mount -o allow_other "$tmp/store" "$tmp/mnt2"
    ok 'nothing is mounted' is_unmounted "$tmp/mnt2"
fi
ok 'unmounted by its user' as_user "$tenpak" umount "$tmp/mnt"
ok 'the mount has ended' is_unmounted "$tmp/mnt"

# A directory of another user takes no commands.
mkdir "$tmp/other" "$tmp/other/m"
echo '{}' >"$tmp/other/m/config.json"
if [ "$(id -u)" -eq 0 ]; then
    chmod 755 "$tmp/other"
    chown "$user_id" "$tmp/other/m"
    as_user "$tenpak" mount -q "$tmp/other" "$tmp/mnt" 2>"$tmp/said"
    is 'a directory of another is mounted' $? 0
    ok 'it is there' is_mounted "$tmp/mnt"
    is 'a command for it is refused' \
        "$(echo m | as_user "$top_builddir/tests/fs/control_call" put "$tmp/mnt/.tenpak/estimate")" EACCES
    ok 'unmounted' as_user "$tenpak" umount "$tmp/mnt"
else
    skip 'a directory of another' 'needs root to make one'
fi
tap_done
