#!/bin/sh
# SPDX-License-Identifier: MIT
# The namespace: odd names, links, hidden names, precedence, and names that appear or are replaced while mounted.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires_python os
mkmodel=$top_builddir/tests/mkmodel

long=$(printf 'n%.0s' $(seq 255))
model=$tmp/model
mkdir -p "$model/sub/deep er" "$tmp/store" "$tmp/twin"
"$mkmodel" "$tmp/twin/other"
"$mkmodel" "$model"
echo one >"$model/sub/deep er/a b"
echo two >"$model/sub/$long"
echo three >"$model/sub/größe"
: >"$model/sub/empty"
echo four >"$model/sub.txt"
ln -s ../config.json "$model/sub/link"
ln -s nowhere "$model/dangling"
name=$(printf 'm%.0s' $(seq 250))
"$tenpak" pack -q -b none -o "$tmp/store/$name.tnpk" "$model" || fail 'pack'
cp "$tmp/store/$name.tnpk" "$tmp/store/copy.tnpk"
cp "$tmp/store/$name.tnpk" "$tmp/store/both.tnpk"
mkdir "$tmp/store/both" "$tmp/store/.tenpak" "$tmp/store/dir.tnpk"
echo plain >"$tmp/store/both/file"
touch "$tmp/store/.x.tnpk.tmp-1-2" "$tmp/store/.tnpk" "$tmp/store/.visible"
ln -s copy.tnpk "$tmp/store/link.tnpk"

mount_dir "$tmp/store" "$tmp/mnt" || exit 1
is 'the listing of the mount' "$(ls -A "$tmp/mnt" | tr '\n' ' ')" ".visible both copy dir.tnpk link $name "
ok 'odd names' diff -r --no-dereference "$model" "$tmp/mnt/$name"
is 'a link has its target' "$(readlink "$tmp/mnt/copy/sub/link")" ../config.json
ok 'a link is followed by the kernel' cmp "$tmp/mnt/copy/sub/link" "$model/config.json"
is 'a link to nowhere has its target' "$(readlink "$tmp/mnt/copy/dangling")" nowhere
is 'find sees each entry once' "$(find "$tmp/mnt/copy" | sort | sed "s|$tmp/mnt/copy||")" \
    "$(find "$model" | sort | sed "s|$model||")"
is 'a directory wins over a pack of its name' "$(cat "$tmp/mnt/both/file")" plain
not_ok 'a pack is no file of its own' stat "$tmp/mnt/copy.tnpk"
touch "$tmp/store/.tenpak/kept"
not_ok 'what the store keeps is hidden' stat "$tmp/mnt/.tenpak/kept"
not_ok 'temporary packs are hidden' stat "$tmp/mnt/.x.tnpk.tmp-1-2"
not_ok 'a name that is too long' stat "$tmp/mnt/${name}mmmmmm"
not_ok 'an absent name is not found' stat "$tmp/mnt/copy/absent"
not_ok 'a name of 256 bytes is not found' stat "$tmp/mnt/copy/$(printf '%0256d' 0)"
has 'the error of a long name says so' "$tmp/.out" 'File name too long'
is 'links of a directory with one in it' "$(stat -c %h "$tmp/mnt/copy/sub")" 3

numbers() {
    (cd "$tmp/mnt" && find copy "$name" both -printf '%i %P\n' | sort)
}
before=$(numbers)
is 'inode numbers are unique' "$(numbers | cut -d ' ' -f 1 | sort | uniq -d)" ''
ok 'unmounted' unmount "$tmp/mnt"
mount_dir "$tmp/store" "$tmp/mnt" || exit 1
is 'inode numbers are the same after a remount' "$(numbers)" "$before"

# What appears, and what takes another's place.
not_ok 'a pack that is not there yet is not found' stat "$tmp/mnt/late"
cp "$tmp/store/copy.tnpk" "$tmp/late" && mv "$tmp/late" "$tmp/store/late.tnpk"
ok 'a new pack is seen' wait_for 120 test -f "$tmp/mnt/late/config.json"
ls "$tmp/mnt" >"$tmp/list"
has 'a new pack is listed' "$tmp/list" '^late$'
"$tenpak" pack -q -b none -o "$tmp/replacement" "$tmp/twin/other"
echo changed >"$tmp/twin/other/config.json"
rm "$tmp/replacement"
"$tenpak" pack -q -b none -o "$tmp/replacement" "$tmp/twin/other" || fail 'pack the replacement'
exec 3<"$tmp/mnt/late/config.json"
inode=$(stat -c %i "$tmp/mnt/late/config.json")
mv "$tmp/replacement" "$tmp/store/late.tnpk"
ok 'the new content is seen' wait_for 120 grep -q changed "$tmp/mnt/late/config.json"
ok 'a replaced file has another inode number' test "$(stat -c %i "$tmp/mnt/late/config.json")" != "$inode"
cat <&3 >"$tmp/kept"
ok 'an open file of a replaced pack keeps its content' cmp "$tmp/kept" "$model/config.json"
exec 3<&-
rm "$tmp/store/late.tnpk"
ok 'a removed pack disappears' wait_for 120 sh -c "! test -e '$tmp/mnt/late'"
# More changes than the kernel queues for inotify, while the daemon is stopped.
not_ok 'nothing of this name, which the kernel may remember' stat "$tmp/mnt/missed"
cp "$tmp/store/copy.tnpk" "$tmp/missed"
kill -STOP "$mount_pid"
"$PYTHON" - "$tmp/store/busy" <<'END'
import os, sys
with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as file:
    space = int(file.read())
for _ in range(space // 2 + 1000):
    os.close(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY))
    os.unlink(sys.argv[1])
END
mv "$tmp/missed" "$tmp/store/missed.tnpk"
rm "$tmp/store/copy.tnpk"
kill -CONT "$mount_pid"
ok 'a pack that came among too many changes is seen at once' wait_for 120 test -f "$tmp/mnt/missed/config.json"
ok 'a pack removed among too many changes disappears' wait_for 120 sh -c "! test -e '$tmp/mnt/copy'"
sleep 1.1 # what was expired is so once more
not_ok 'a name that is still absent is not found' stat "$tmp/mnt/later"
cp "$tmp/store/missed.tnpk" "$tmp/store/copy.tnpk" && mv "$tmp/store/missed.tnpk" "$tmp/store/later.tnpk"
ok 'changes after too many changes are seen' wait_for 120 test -f "$tmp/mnt/later/config.json"
rm "$tmp/store/later.tnpk"
echo fresh >"$tmp/store/both/file"
ok 'a plain file that changes is seen' wait_for 120 grep -q fresh "$tmp/mnt/both/file"
echo more >"$tmp/store/both/new"
ok 'a new plain file appears' wait_for 120 grep -q more "$tmp/mnt/both/new"

# A listing is kept while nothing changes, and each change is in the next one at once.
stale=0
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    sleep 0.03
    ls "$tmp/mnt" >/dev/null
    ls "$tmp/mnt" >"$tmp/list"
    ln "$tmp/store/copy.tnpk" "$tmp/store/now$i.tnpk"
    ls "$tmp/mnt" | grep -qx "now$i" || stale=$((stale + 1))
    rm "$tmp/store/now$i.tnpk"
    ls "$tmp/mnt" | cmp -s - "$tmp/list" || stale=$((stale + 1))
done
is 'listings that were not of that moment' $stale 0

# The hub's cache: blobs by hash, links to them from snapshots.
hub=$tmp/store/models--org--name
mkdir -p "$hub/blobs" "$hub/refs" "$hub/snapshots/abc"
cp "$tmp/twin/other/model.safetensors" "$hub/blobs/0123"
printf abc >"$hub/refs/main"
ln -s ../../blobs/0123 "$hub/snapshots/abc/model.safetensors"
sleep 1.1
ok "the hub's layout" cmp "$tmp/mnt/models--org--name/snapshots/abc/model.safetensors" "$hub/blobs/0123"
is "links in the hub's layout are links" "$(readlink "$tmp/mnt/models--org--name/snapshots/abc/model.safetensors")" ../../blobs/0123
ln -s /etc "$tmp/store/outside"
sleep 1.1
is 'a link out of the store is not followed by the mount' "$(readlink "$tmp/mnt/outside")" /etc
ok 'unmounted' unmount "$tmp/mnt"

mkdir "$tmp/many"
i=0
while [ $i -lt 1000 ]; do
    ln "$tmp/store/copy.tnpk" "$tmp/many/m$i.tnpk"
    i=$((i + 1))
done
mount_dir "$tmp/many" "$tmp/mnt2" || exit 1
is '1000 packs are listed' "$(ls "$tmp/mnt2" | wc -l)" 1000
is '1000 packs have attributes' "$(ls -l "$tmp/mnt2" | grep -c '^d')" 1000
is '1000 packs have attributes at a second listing' "$(ls -l "$tmp/mnt2" | grep -c '^d')" 1000
ok 'the last of 1000 packs reads' cmp "$tmp/mnt2/m999/config.json" "$model/config.json"
# What is open and was not read yet, when others were opened since and its pack is replaced or gone.
ls "$tmp/mnt2"/*/config.json >/dev/null
exec 3<"$tmp/mnt2/m1/config.json" 4<"$tmp/mnt2/m2/model.safetensors" 5<"$tmp/mnt2/m3/config.json"
ok '100 further packs are opened' sh -c "cat '$tmp/mnt2'/m9??/config.json >/dev/null"
rm -f "$tmp/replacement"
"$tenpak" pack -q -b none -o "$tmp/replacement" "$tmp/twin/other" || fail 'pack another'
mv "$tmp/replacement" "$tmp/many/m1.tnpk"
rm "$tmp/many/m2.tnpk" "$tmp/many/m3.tnpk"
cat <&3 >"$tmp/kept"
ok 'an open file of a replaced pack keeps its bytes' cmp "$tmp/kept" "$model/config.json"
cat <&4 >"$tmp/kept"
ok 'an open file of a removed pack keeps its bytes' cmp "$tmp/kept" "$model/model.safetensors"
cat <&5 >"$tmp/kept"
ok 'another open file keeps its bytes' cmp "$tmp/kept" "$model/config.json"
exec 3<&- 4<&- 5<&-
# The daemon is told of what was closed a moment later.
few_open() {
    [ "$(find "/proc/$mount_pid/fd" -lname '*.tnpk' | wc -l)" -lt 40 ]
}
ok 'few packs stay open' wait_for 120 few_open
ok 'unmounted' unmount "$tmp/mnt2"
tap_done
