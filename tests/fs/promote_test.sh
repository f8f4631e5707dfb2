#!/bin/sh
# SPDX-License-Identifier: MIT
# Hot files are read by the kernel without the daemon: the same bytes before, during and after promotion, through every
# open file; within the budget; and nothing is left when the mount ends.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
mkmodel=$top_builddir/tests/mkmodel
oracle=$top_builddir/tests/fs/oracle

mkdir "$tmp/originals" "$tmp/store" "$tmp/hot"
seed=1
for name in a b c; do
    "$mkmodel" --seed=$seed --layers=2 --hidden=512 --inter=1376 --vocab=4000 "$tmp/originals/$name"
    "$tenpak" pack -q -b none -o "$tmp/store/$name.tnpk" "$tmp/originals/$name" || fail "pack $name"
    seed=$((seed + 1))
done
cp -R "$tmp/originals/a" "$tmp/store/plain"
size=$(stat -c %s "$tmp/originals/a/model.safetensors")
two=$((2 * (size + 2097152)))

original() {
    printf '%s' "$tmp/originals/$1/model.safetensors"
}
shown() {
    printf '%s' "$tmp/mnt/$1/model.safetensors"
}
is_promoted() {
    grep -q "promoted '$1/model.safetensors'" "$tmp/mount.log"
}
# Requests to read that reached the daemon, which logs them all.
requests() {
    grep -c 'opcode: READ ' "$tmp/mount.log"
}
read_twice() {
    cmp "$(shown "$1")" "$(original "$1")" && cmp "$(shown "$1")" "$(original "$1")"
}
# The daemon learns of a close a moment later: wait until there is space.
read_promoted() {
    read_twice "$1" && is_promoted "$1"
}
mount_hot() {
    : >"$tmp/mount.log"
    mount_dir "$tmp/store" "$tmp/mnt" -o "debug,$1" || exit 1
}
# passes NAME FILE ORIGINAL: the bytes are right and no request is made for them.
passes() {
    before=$(requests)
    ok "$1: the bytes" cmp "$2" "$3"
    is "$1: no request" "$(requests)" "$before"
}
# asks NAME FILE ORIGINAL: reads past the page cache, to see whether the daemon is asked.
asks() {
    before=$(requests)
    ok "$1: the bytes" cmp "$2" "$3"
    dd if="$2" of=/dev/null bs=1M iflag=direct 2>/dev/null
    ok "$1: by requests" test "$(requests)" -gt "$before"
}

not_ok 'hot_dir without hot' "$tenpak" mount -o hot_dir="$tmp/hot" "$tmp/store" "$tmp/originals"
has 'the message gives the reason' "$tmp/.out" 'hot_dir= needs hot='
not_ok 'hot models of no size' "$tenpak" mount -o hot=much "$tmp/store" "$tmp/originals"
has 'the message gives the reason' "$tmp/.out" 'hot=SIZE'
mkdir "$tmp/point"
not_ok 'a hot_dir that is not there' "$tenpak" mount -o hot=1G,hot_dir="$tmp/absent" "$tmp/store" "$tmp/point"
has 'the message gives the reason' "$tmp/.out" "cannot open the directory for hot models '.*absent'"

# Without passthrough the option changes nothing but the log.
mount_hot hot=64M
ok 'read' read_twice a
why=$(sed -n 's/.*there is no passthrough: //p' "$tmp/mount.log")
if [ -n "$why" ]; then
    ok 'plain files read' diff -r "$tmp/originals/a" "$tmp/mnt/plain"
    ok 'unmounted' unmount "$tmp/mnt"
    skip 'promotion' "$why"
    tap_done
fi

# The first model, with a handle and mappings from before.
ok 'promoted after it was read twice' wait_for 120 is_promoted a
inode=$(stat -c %i "$(shown a)")
passes 'promoted' "$(shown a)" "$(original a)"
before=$(requests)
ok 'ranges by all ways to read' "$oracle" -n 40 -t 4 -p 3 "$(original a)" "$(shown a)"
is 'with no request' "$(requests)" "$before"

exec 3<"$(shown b)"
head -c 100000 <&3 >"$tmp/head"
hold='import mmap, sys, time
file = open(sys.argv[1], "rb")
shared = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
private = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
private[10] = private[10] ^ 255
half = len(shared) // 2
want = open(sys.argv[2], "rb").read()
good = shared[:half] == want[:half]
sys.stdin.readline()
good = good and shared[:] == want and private[11:] == want[11:] and private[10] == want[10] ^ 255
sys.exit(not good)'
mkfifo "$tmp/go"
"$PYTHON" -c "$hold" "$(shown b)" "$(original b)" <"$tmp/go" &
holder=$!
exec 4>"$tmp/go"
ok 'read while it is open' read_twice b
ok 'promoted while it is open' wait_for 120 is_promoted b
passes 'for a new open' "$(shown b)" "$(original b)"
is 'as the same file' "$(stat -c %i "$(shown b)")" "$(stat -L -c %i /proc/self/fd/3)"
cat <&3 >"$tmp/rest"
cat "$tmp/head" "$tmp/rest" >"$tmp/whole"
ok 'a reader that had it open continues' cmp "$tmp/whole" "$(original b)"
ok 'a held file can be opened again' cmp /proc/self/fd/3 "$(original b)"
echo >&4
exec 4>&-
wait $holder
is 'mappings from before are the same' $? 0
ls -l "$tmp/mnt/b" "$tmp/mnt/a" >/dev/null
passes 'after a listing' "$(shown b)" "$(original b)"
exec 3<&-
is 'numbers stay' "$(stat -c %i "$(shown a)")" "$inode"

# Plain files, too.
passes 'a plain file' "$(shown plain)" "$(original a)"
ok 'its ranges' "$oracle" -n 20 -t 2 -p 2 "$(original a)" "$(shown plain)"
exec 3<"$tmp/mnt/plain/config.json"
echo changed >>"$tmp/store/plain/config.json"
cat <&3 >"$tmp/seen"
ok 'which is seen as it is now' cmp "$tmp/seen" "$tmp/store/plain/config.json"
exec 3<&-

# A pack that takes another's place.
exec 3<"$(shown a)"
rm "$tmp/originals/a/config.json"
mv "$tmp/store/a.tnpk" "$tmp/old.tnpk"
"$tenpak" pack -q -b none -o "$tmp/store/a.tnpk" "$tmp/originals/c" || fail 'pack another'
ok 'replaced' wait_for 120 cmp "$(shown a)" "$(original c)"
ok 'an open of the old one keeps it' cmp - "$(original a)" <&3
exec 3<&-
mv "$tmp/old.tnpk" "$tmp/store/a.tnpk"
ok 'and back' wait_for 120 cmp "$(shown a)" "$(original a)"
ok 'unmounted' unmount "$tmp/mnt"

# Room for two of three.
mount_hot hot=$two
ok 'the first' read_twice a
ok 'is promoted' wait_for 120 is_promoted a
ok 'the second' read_twice b
ok 'is promoted' wait_for 120 is_promoted b
exec 3<"$(shown a)" 4<"$(shown b)"
ok 'the third' read_twice c
ok 'read twice more' read_twice c
sleep 0.5
not_ok 'has no place while the others are open' is_promoted c
passes 'which stay' "$(shown a)" "$(original a)"
passes 'both' "$(shown b)" "$(original b)"
exec 3<&- 4<&-
ok 'when they are closed it is promoted' wait_for 120 read_promoted c
has_soon 'in the place of another' "$tmp/mount.log" "dropped a hot file of 'a'"
passes 'the third passes' "$(shown c)" "$(original c)"
passes 'the second still passes' "$(shown b)" "$(original b)"
is 'two are kept' "$(($(grep -c "promoted '" "$tmp/mount.log") - $(grep -c 'dropped a hot' "$tmp/mount.log")))" 2
asks 'the first is read as before' "$(shown a)" "$(original a)"
ok 'unmounted' unmount "$tmp/mnt"

# A budget made smaller drops what is beyond it, larger again takes it back, and never goes beyond that of the start.
mount_hot hot=$two
ok 'the first' read_twice a
ok 'is promoted' wait_for 120 is_promoted a
ok 'the second' read_twice b
ok 'is promoted' wait_for 120 is_promoted b
is 'the budget is a setting' "$(cat "$tmp/mnt/.tenpak/settings/hot")" "$two"
dropped() {
    [ "$(grep -c 'dropped a hot' "$tmp/mount.log")" -ge "$1" ]
}
echo $((two / 2)) >"$tmp/mnt/.tenpak/settings/hot"
ok 'halved it drops one' wait_for 120 dropped 1
passes 'the other passes' "$(shown b)" "$(original b)"
asks 'the first is read as before' "$(shown a)" "$(original a)"
exec 3<"$(shown b)"
echo 0 >"$tmp/mnt/.tenpak/settings/hot"
is 'it is none at all' "$(cat "$tmp/mnt/.tenpak/settings/hot")" 0
ok 'a reader with an open file continues' cmp /dev/fd/3 "$(original b)"
exec 3<&-
ok 'and when it is closed that is dropped, too' wait_for 120 dropped 2
asks 'both are read as before' "$(shown b)" "$(original b)"
echo "$two" >"$tmp/mnt/.tenpak/settings/hot"
: >"$tmp/mount.log"
ok 'with its old size it promotes files that are read' wait_for 120 read_promoted a
not_ok 'larger than at the start it is not' sh -c "echo $((two + 1)) >'$tmp/mnt/.tenpak/settings/hot'"
has 'as error_log states' "$tmp/mnt/.tenpak/error_log" '"ERANGE".*made with space for'
ok 'unmounted' unmount "$tmp/mnt"

# While many read: promotions, droppings, readers at once.
: >"$tmp/mount.log"
mount_dir "$tmp/store" "$tmp/mnt" -o hot=$two,cache=12M || exit 1
readers=
for name in a b c a b c; do
    "$oracle" -n 15 -t 3 -p 2 "$(original $name)" "$(shown $name)" >"$tmp/reader.out.$name" 2>&1 &
    readers="$readers $!"
    (i=0; while [ $i -lt 8 ]; do cmp -s "$(shown $name)" "$(original $name)" || exit 1; i=$((i + 1)); done) &
    readers="$readers $!"
done
good=yes
for reader in $readers; do
    wait "$reader" || good=no
done
is 'readers of all kinds while models come and go' $good yes
[ $good = yes ] || diag "$(cat "$tmp"/reader.out.*)"
ok 'some came' wait_for 120 grep -q promoted "$tmp/mount.log"
is 'without an error' "$(grep -ci 'error' "$tmp/mount.log")" 0
exec 3<"$(shown c)"
kill -TERM "$mount_pid"
ok 'detached with one open' wait_unmounted "$tmp/mnt"
ok 'which reads on' cmp - "$(original c)" <&3
exec 3<&-
ok 'it ends when it is closed' wait_gone "$mount_pid"
wait "$mount_pid"
is 'cleanly' $? 0

get() {
    "$PYTHON" -c 'import os, sys; sys.stdout.write(os.getxattr(sys.argv[1], "user.tenpak." + sys.argv[2]).decode())' "$1" "$2"
}
fstat='import errno, os
try:
    os.fstat(0)
    print("answered")
except OSError as error:
    print(errno.errorcode[error.errno])'
# In a directory, by name, and killed.
mount_hot "hot=64M,hot_dir=$tmp/hot,pin=b:c"
ok 'a model by name' wait_for 120 is_promoted b
ok 'another one' wait_for 120 is_promoted c
is 'both are pinned' "$(get "$tmp/mnt/b" pin)$(get "$tmp/mnt/c" pin)$(get "$tmp/mnt/a" pin)" 110
passes 'never read, but hot' "$(shown c)" "$(original c)"
is 'nothing is seen in hot_dir' "$(ls -A "$tmp/hot")" ''
exec 3<"$(shown c)"
kill -KILL "$mount_pid"
wait "$mount_pid" 2>/dev/null
is 'fstat of a promoted file fails once the daemon is killed' "$("$PYTHON" -c "$fstat" <&3)" ENOTCONN
dd bs=1M of="$tmp/outlived" <&3 2>/dev/null # which asks for no attributes
ok 'a file that the kernel reads directly outlives the daemon' cmp "$tmp/outlived" "$(original c)"
rm -f "$tmp/outlived"
exec 3<&-
ok 'the mount is taken away' "$tenpak" umount "$tmp/mnt"
is 'and nothing is left there when it is killed' "$(ls -A "$tmp/hot")" ''

# By an attribute.
mount_hot hot=$two
pin='import os, sys; os.setxattr(sys.argv[1], "user.tenpak.pin", sys.argv[2].encode())'
ok 'pinned' "$PYTHON" -c "$pin" "$tmp/mnt/a" 1
is 'and says so' "$(get "$tmp/mnt/a" pin)$(get "$(shown a)" pin)$(get "$tmp/mnt/b" pin)" 110
ok 'is promoted without being read' wait_for 120 is_promoted a
is 'and its attribute says so' "$(get "$tmp/mnt/a" promoted)$(get "$(shown a)" promoted)$(get "$tmp/mnt/b" promoted)" 110
passes 'pinned' "$(shown a)" "$(original a)"
ok 'a file of another' "$PYTHON" -c "$pin" "$(shown b)" 1
ok 'is promoted' wait_for 120 is_promoted b
not_ok 'no space for one more' "$PYTHON" -c "$pin" "$tmp/mnt/c" 1
has 'the message gives the reason' "$tmp/.out" 'No space left'
ok 'read often' read_twice c
ok 'and again' read_twice c
passes 'the first stays' "$(shown a)" "$(original a)"
ok 'let go' "$PYTHON" -c "$pin" "$tmp/mnt/a" 0
is 'is no more pinned, but promoted still' "$(get "$tmp/mnt/a" pin)$(get "$tmp/mnt/a" promoted)" 01
is 'a file too small to be promoted is neither' "$(get "$tmp/mnt/a/config.json" pin)$(get "$tmp/mnt/a/config.json" promoted)" 00
ok 'a file that is read often replaces another' wait_for 120 read_promoted c
passes 'for another' "$(shown c)" "$(original c)"
not_ok 'no other value' "$PYTHON" -c "$pin" "$tmp/mnt/a" yes
has 'is taken' "$tmp/.out" 'Invalid argument'
ok 'unmounted' unmount "$tmp/mnt"

# Root of a name space of users is not enough, which the kernel says only when it is asked.
if unshare -Urm true 2>/dev/null; then
    : >"$tmp/mount.log"
    # shellcheck disable=SC2016
    ok 'a mount whose passthrough is refused' unshare -Urm sh -c '
        "$1" mount -f -o hot=64M,pin=a "$2/store" "$2/mnt" >"$2/mount.log" 2>&1 &
        i=0
        until grep -q "promoted .a/model" "$2/mount.log" || [ $i -eq 1200 ]; do
            i=$((i + 1))
            sleep 0.1
        done
        for i in 1 2 3; do
            cmp "$2/mnt/a/model.safetensors" "$2/originals/a/model.safetensors" || exit 1
            cmp "$2/mnt/plain/model.safetensors" "$2/originals/a/model.safetensors" || exit 1
        done
        umount "$2/mnt" && wait' sh "$tenpak" "$tmp"
    is 'says so once' "$(grep -c 'no passthrough from here on: the kernel refused it' "$tmp/mount.log")" 1
else
    skip 'a mount whose passthrough is refused' 'no name spaces of users'
fi

# What cannot be promoted.
byte=$(od -An -tu1 -j $((size / 4)) -N 1 "$tmp/store/b.tnpk" | tr -d ' ')
# shellcheck disable=SC2059
printf "$(printf '\\%03o' $(((byte + 1) % 256)))" |
    dd of="$tmp/store/b.tnpk" bs=1 seek=$((size / 4)) conv=notrunc 2>/dev/null
mount_hot "hot=64M,pin=b:nowhere:c"
ok 'a whole one after a damaged one' wait_for 120 is_promoted c
has_soon 'a damaged one is reported' "$tmp/mount.log" "b.tnpk' is damaged"
has_soon 'an absent one, too' "$tmp/mount.log" "cannot promote 'nowhere'"
not_ok 'it is not served' cat "$(shown b)"
ok 'its intact files are' cmp "$tmp/mnt/b/config.json" "$tmp/originals/b/config.json"
passes 'the whole one' "$(shown c)" "$(original c)"
ok 'unmounted' unmount "$tmp/mnt"
mount_hot "hot=$((size / 2))"
ok 'one larger than the budget' read_twice a
ok 'reads on' read_twice a
asks 'as before' "$(shown a)" "$(original a)"
ok 'unmounted' unmount "$tmp/mnt"
if mkdir "$tmp/small" && mount -t tmpfs -o size=$((size / 2)) none "$tmp/small" 2>/dev/null; then
    mount_hot "hot=1G,hot_dir=$tmp/small"
    ok 'a full disk' read_twice a
    ok 'the message gives the reason' wait_for 120 grep -q 'no space for' "$tmp/mount.log"
    asks 'and reading goes on' "$(shown a)" "$(original a)"
    ok 'unmounted' unmount "$tmp/mnt"
    umount "$tmp/small"
else
    skip 'a full disk' 'needs root'
fi
tap_done
