#!/bin/sh
# SPDX-License-Identifier: MIT
# Properties of files besides their bytes: owners, modes, access lists, attributes, hard links and holes are packed,
# shown in a mount and restored, and no user gains access.
. "${top_srcdir:-.}/tests/lib.sh"
requires setfacl getfacl setfattr getfattr
[ "$(id -u)" -eq 0 ] || skip_all 'only root gives files to others'
requires setpriv

chmod 755 "$tmp"
cd "$tmp" || exit 99
umask 022
echo x >probe
if ! setfacl -m u:65534:r probe 2>/dev/null || ! setfattr -n user.x -v y probe 2>/dev/null; then
    skip_all 'this file system keeps no access lists or attributes'
fi

by() {
    setpriv --reuid="$1" --regid="$2" --clear-groups -- sh -c "$3"
}
fresh() {
    rm -rf store
    mkdir -m 755 store store/m
    echo '{}' >store/m/config.json
}
pack() {
    "$tenpak" pack -q -b none store/m 2>err
}
mode() {
    stat -c %a "$1"
}
is_mode() {
    [ "$(mode "$1")" = "$2" ]
}

# --- The pack's own mode ---
# grants MODE COMMAND: after COMMAND in the model, its pack has MODE.
grants() {
    fresh
    (cd store/m && eval "$2") || fail "$2"
    pack
    ok "$1: $2" is_mode store/m.tnpk "$1"
}
grants 644 :
grants 600 'chmod 600 config.json'
grants 600 'chmod 700 .'
grants 640 'chmod 750 .'
grants 640 'mkdir -m 750 sub; echo x >sub/f'
grants 600 'echo x >a; chmod 640 a; echo x >b; chmod 604 b'
grants 600 'setfacl -m u:65534:---,m::r config.json'
grants 600 'setfacl -m u:65534:r,g::---,o::- config.json'
grants 644 'setfacl -m u:65534:r config.json'
grants 644 'ln -s nowhere link'
grants 600 'echo x >a; chmod 640 a; chgrp 1 a'
grants 644 'echo x >a; chown 1:1 a'
fresh
echo x >store/m/a
chmod 640 store/m/a
chgrp 1 store/m/a
pack || fail "$(cat err)"
"$tenpak" unpack -q store/m || fail 'unpack'
ok 'what another group could read, the group of the model does not read' is_mode store/m/a 600
ok 'and may be packed again' pack
fresh
chown -R 65534:1 store
chmod 640 store/m/config.json
by 65534 65534 "umask 022; '$tenpak' pack -q -b none store/m && '$tenpak' unpack -q store/m" 2>err || fail "$(cat err)"
ok 'nor does the group of a user that cannot give the group' is_mode store/m/config.json 600
fresh
(umask 077 && pack)
ok 'the umask takes away' is_mode store/m.tnpk 600
fresh
setfacl -d -m u:65534:rwx store
pack
cannot_read() {
    ! by 65534 65534 'cat store/m.tnpk' >/dev/null 2>&1
}
chmod 600 store/m.tnpk
ok 'a default list around it gives the pack no list' sh -c 'getfacl -p store/m.tnpk | grep -q 65534 && exit 1; getfacl -pn store/m.tnpk | grep -q "^user:65534" && exit 1; exit 0'
ok 'and no user named in it can read the pack' cannot_read

# --- Whose it is ---
owner_of() {
    stat -c %u:%g "$1"
}
is_owner() {
    [ "$(owner_of "$1")" = "$2" ]
}
fresh
chmod 600 store/m/config.json
chown -R 1234:100 store/m
chmod 700 store/m
chown 1234 store
pack
ok "root's pack of a user's model is the user's" is_owner store/m.tnpk 1234:100
ok 'which can read it' by 1234 1234 'cat store/m.tnpk >/dev/null'
"$tenpak" unpack -q store/m.tnpk 2>err
ok 'and so is what root restores' is_owner store/m 1234:100
ok 'with its files' is_owner store/m/config.json 1234:100

fresh
echo secret >store/m/secret
chmod 600 store/m/secret
chown 1234 store/m
pack
check_fails() {
    [ -f store/m/secret ] && [ ! -e store/m.tnpk ]
}
ok 'what the owner of the model may not read stays unreadable to that user' check_fails
ok 'which is said' grep -q "'secret' belongs to another user" err
"$tenpak" pack -b none -o out.tnpk store/m >/dev/null 2>err
ok 'a copy of it belongs to its creator' is_owner out.tnpk 0:0
ok 'alone' is_mode out.tnpk 600
ok 'that owners are not kept is said' grep -q 'does not keep owners or groups of their own' err

# --- Attributes, lists, links, holes ---
fresh
(
    cd store/m || exit 99
    mkdir sub
    head -c 100000 /dev/urandom >w.bin
    ln config.json sub/again
    ln w.bin zz
    truncate -s 20M hole
    printf x | dd of=hole bs=1 seek=9000001 conv=notrunc 2>/dev/null
    head -c 3000000 /dev/zero >zeros
    setfattr -n user.note -v hello config.json
    setfattr -n user.empty config.json
    setfattr -n user.model -v yes .
    setfacl -m u:65534:r w.bin
    setfacl -d -m u:65534:rx sub
    chmod 2755 sub
    chmod 4755 zeros
)
cp -a store/m original
describe() {
    (
        cd "$1" || exit 99
        find . ! -type d -printf '%p %y %s %n %m %U:%G %T@\n' | sort
        find . -type d -printf '%p %n %m %U:%G %T@\n' | sort
        getfattr -d -- * sub/*
        getfacl -- * sub/*
        stat -c '%i' config.json sub/again | uniq | wc -l
        cat hole zeros w.bin | cksum
    )
}
describe original | sed 's/ 2755 / 755 /; s/ 4755 / 755 /; /^# flags/d' >want
pack
ok 'a pack is verified' "$tenpak" verify -q store/m.tnpk
ok 'hard links are stored once' sh -c '[ "$(stat -c %s store/m.tnpk)" -lt 150000 ]'
if [ -c /dev/fuse ]; then
    mkdir mnt
    "$tenpak" mount -q -o allow_other store mnt
    cleanup_fn "umount -l '$tmp/mnt' 2>/dev/null"
    describe mnt/m | sed 's/ 2755 / 755 /; s/ 4755 / 755 /; /^# flags/d' >shown
    ok 'the mount shows attributes, lists and links' diff want shown
    inodes() {
        [ "$(stat -c %i "mnt/m/$1")" = "$(stat -c %i "mnt/m/$2")" ]
    }
    ok 'names of one file have one number' inodes w.bin zz
    ok 'and its bytes' cmp mnt/m/zz original/w.bin
    ok 'the mount makes no set-ID bit work' sh -c 'grep -q "$1/mnt fuse.tenpak rw,nosuid,nodev" /proc/mounts' - "$tmp"
    "$tenpak" umount mnt
    "$tenpak" mount -q -o allow_other,suid,dev store mnt
    ok 'not even with the option suid' sh -c 'grep -q "$1/mnt fuse.tenpak rw,nosuid,nodev" /proc/mounts' - "$tmp"
    "$tenpak" umount mnt
fi
"$tenpak" unpack store/m.tnpk >/dev/null 2>err
describe store/m | sed '/^# flags/d' >restored
ok 'all of it comes back, but for set-ID bits' diff want restored
ok 'holes as holes' sh -c '[ "$(stat -c %b store/m/hole)" -le 16 ]'
ok 'and zeros as zeros' sh -c '[ "$(stat -c %b store/m/zeros)" -ge 5800 ]'
not_ok 'and nothing is said to be lost' grep -q 'does not keep' err

# --- What a list denied stays denied through a mount ---
if [ -c /dev/fuse ]; then
    fresh
    chgrp 100 store/m/config.json
    chmod 644 store/m/config.json
    setfacl -m u:65534:--- store/m/config.json
    pack
    chmod 644 store/m.tnpk
    "$tenpak" mount -q -o allow_other store mnt
    denied() {
        ! by 65534 65534 'cat mnt/m/config.json' >/dev/null 2>&1
    }
    ok 'a user that is denied by name is denied in the mount' denied
    ok 'others are not' by 65533 65533 'cat mnt/m/config.json >/dev/null'
    "$tenpak" umount mnt
fi

# --- A removal that was killed, and cannot be completed ---
fresh
mkdir -m 750 store/m/sub
echo x >store/m/sub/file
setfacl -m u:65534:rwx -m d:u:65534:r store/m/sub
setfattr -n user.note -v kept store/m/sub
described() {
    mode store/m/sub && getfacl -cp store/m/sub && getfattr -d store/m/sub
}
was=$(described)
ok 'a directory with lists and attributes is packed' "$tenpak" pack -q -b none --keep store/m
# Its file, number 2 of the pack, is aside and it is gone; a file came meanwhile.
mv store/m store/.m.removing
mkdir -m 700 store/.m.removing-files
mv store/.m.removing/sub/file store/.m.removing-files/2
rmdir store/.m.removing/sub
echo new >store/.m.removing/new
exits 'a removal that was killed is not completed where a file came' 11 "$tenpak" pack -q -b none store/m
ok 'the model is in its place' cmp store/m/sub/file - <<X
x
X
is 'its directory has its lists and attributes again' "$(described)" "$was"
ok 'and the new file is there' test -f store/m/new

# --- Space ---
if mkdir small && mount -t tmpfs -o size=4m tmpfs small 2>/dev/null; then
    cleanup_fn "umount -l '$tmp/small' 2>/dev/null"
    fresh
    head -c 8000000 /dev/zero >store/m/zeros
    pack
    "$tenpak" unpack -q -o small/m store/m.tnpk 2>err
    ok 'what does not fit is refused' [ ! -e small/m ]
    ok 'and how much is missing is said' grep -q 'MiB are missing' err
    fresh
    truncate -s 80M store/m/hole
    pack
    ok 'holes need no space' "$tenpak" unpack -q -o small/m store/m.tnpk
    ok 'and are there' sh -c '[ "$(stat -c %s small/m/hole)" -eq 83886080 ]'
fi
tap_done
