#!/bin/sh
# SPDX-License-Identifier: MIT
# A daemon without privileges, mounted with the help of fusermount3: reading, writing where its user may and nowhere
# else, for nobody but its user, and its end. As root this is done as user 65534.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
mkmodel=$top_builddir/tests/mkmodel
if [ "$(id -u)" -eq 0 ]; then
    requires setpriv
    as() {
        setpriv --reuid=65534 --regid=65534 --clear-groups -- env HOME="$tmp" "$@"
    }
    chmod 755 "$tmp"
    as test -x "$tenpak" || skip_all 'user 65534 does not get at the program'
    as test -w /dev/fuse || skip_all '/dev/fuse is not for every user'
else
    as() {
        "$@"
    }
fi
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
    chown 65534:65534 "$tmp/mnt" "$tmp/store/own"
fi
as "$tenpak" mount -q "$tmp/store" "$tmp/mnt" 2>"$tmp/said"
is 'mounted' $? 0
ok 'it is there' is_mounted "$tmp/mnt"
ok 'a pack reads' as diff -r "$tmp/original/model" "$tmp/mnt/model"
ok 'a plain file' as grep -q open "$tmp/mnt/foreign/open"
ok 'what is made' as sh -c "mkdir '$tmp/mnt/own/dir' && echo text >'$tmp/mnt/own/dir/file'"
is 'is on the disk' "$(cat "$tmp/store/own/dir/file")" text
ok 'and is the one who made it' test "$(stat -c %u "$tmp/store/own/dir/file")" = "$(stat -c %u "$tmp/store/own")"
ok 'changed, renamed, removed' as sh -c "cd '$tmp/mnt/own/dir' && chmod 600 file && truncate -s 100 file &&
    mv file other && ln -s other soft && rm other soft && cd .. && rmdir dir"
is 'all of it' "$(ls -A "$tmp/store/own")" ''
not_ok 'what is not for this user does not read' as cat "$tmp/mnt/foreign/secret"
has 'permission denied' "$tmp/.out" 'Permission denied'
not_ok 'nor a pack' as ls "$tmp/mnt/sealed"
not_ok 'nothing is made where this user may not' as sh -c ": >'$tmp/mnt/foreign/new'"
not_ok 'or removed' as rm -f "$tmp/mnt/foreign/open"
not_ok 'nor is a pack changed' as sh -c "echo x >'$tmp/mnt/model/config.json'"
if [ "$(id -u)" -eq 0 ]; then
    not_ok 'root is another user' ls "$tmp/mnt/model"
    not_ok 'a file cannot be given away' as chown 0 "$tmp/mnt/own"
fi
ok 'the status is told' as "$tenpak" status "$tmp/mnt"
as "$tenpak" doctor "$tmp/mnt" >"$tmp/doctor" 2>&1
has 'and what slows it' "$tmp/doctor" read_ahead
if ! grep -q '^[[:blank:]]*user_allow_other' /etc/fuse.conf 2>/dev/null; then
    mkdir "$tmp/mnt2"
    [ "$(id -u)" -ne 0 ] || chown 65534:65534 "$tmp/mnt2"
    not_ok 'for others it is not to be had' as "$tenpak" mount -o allow_other "$tmp/store" "$tmp/mnt2"
    ok 'nothing is mounted' is_unmounted "$tmp/mnt2"
fi
ok 'unmounted by its user' as "$tenpak" umount "$tmp/mnt"
ok 'it is gone' is_unmounted "$tmp/mnt"
tap_done
