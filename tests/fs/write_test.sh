#!/bin/sh
# SPDX-License-Identifier: MIT
# Writing through the mount: plain directories behave as on any file system, packs are read-only, and changes made
# directly in DIR are seen.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
mkmodel=$top_builddir/tests/mkmodel
calls=$top_builddir/tests/fs/calls
rw=$top_builddir/tests/fs/rw_oracle
chmod 755 "$tmp"

others=
[ "$(id -u)" -eq 0 ] && others=,allow_other
mkdir "$tmp/store" "$tmp/native"
"$mkmodel" --hidden=64 --inter=128 --vocab=500 "$tmp/model"
"$tenpak" pack -q -b none -o "$tmp/store/packed.tnpk" "$tmp/model" || fail 'pack'
cp -Rp "$tmp/model" "$tmp/store/plain"
mount_dir "$tmp/store" "$tmp/mnt" -o "cache=8M$others" || exit 1

# The table of calls: first where it must hold, then in the mount.
ok 'the table of calls holds for an ordinary directory' "$calls" "$tmp/native"
mkdir "$tmp/mnt/calls"
ok 'and for one in the mount' "$calls" "$tmp/mnt/calls"
is 'which is left empty' "$(ls -A "$tmp/store/calls")" ''

# Random changes, by one process and by three at once.
mkdir "$tmp/mnt/random"
"$rw" -n 1200 -o "$tmp/store/random/one" "$tmp/mnt/random/one" >"$tmp/rw.out" 2>&1
is "random changes ($(grep TP_SEED "$tmp/rw.out" | tr -d '# '))" $? 0
sed 's/^/# /' "$tmp/rw.out"
pids=
for n in 1 2 3; do
    "$rw" -n 300 -m 200000 -o "$tmp/store/random/$n" "$tmp/mnt/random/$n" >"$tmp/rw.$n" 2>&1 &
    pids="$pids $!"
done
good=yes
for pid in $pids; do
    wait "$pid" || good=no
done
is 'by three at once' $good yes
[ $good = yes ] || sed 's/^/# /' "$tmp"/rw.[123]

# What clients of a hub and frameworks do: a new directory, files beside their places and renamed, locks, links.
save() {
    mkdir -p "$1/.cache/huggingface/download" && : >"$1/.cache/huggingface/download/model.safetensors.lock" &&
        cp "$tmp/model/model.safetensors" "$1/.cache/huggingface/download/x.incomplete" &&
        mv "$1/.cache/huggingface/download/x.incomplete" "$1/model.safetensors" &&
        cp "$tmp/model/config.json" "$1/config.json" && sync "$1/config.json" && sync "$1" &&
        flock -n "$1/.cache/huggingface/download/model.safetensors.lock" true &&
        ln -s config.json "$1/soft" && cp -l "$1/config.json" "$1/hard" && touch -d 2001-02-03 "$1/hard"
}
ok 'a model is saved' save "$tmp/mnt/saved"
ok 'it is there' cmp "$tmp/store/saved/model.safetensors" "$tmp/model/model.safetensors"
ok 'and reads back' cmp "$tmp/mnt/saved/model.safetensors" "$tmp/model/model.safetensors"
is 'its time is as set' "$(stat -c %Y "$tmp/store/saved/config.json")" "$(date -d 2001-02-03 +%s)"
ok 'the saved model is packed' "$tenpak" pack -q -b none "$tmp/store/saved"
ok 'and shows as a pack' wait_for 120 sh -c '! touch "$1"' sh "$tmp/mnt/saved/probe"
is 'as before' "$(sha256_of "$tmp/mnt/saved/model.safetensors")" "$(sha256_of "$tmp/model/model.safetensors")"

# Copies: into the mount, out of packs and between its files.
ok 'a pack is copied to a plain directory' cp -a "$tmp/mnt/packed" "$tmp/mnt/copied"
ok 'every byte' diff -r "$tmp/model" "$tmp/store/copied"
ok 'as a move across file systems' mv "$tmp/mnt/copied" "$tmp/out"
ok 'which removes what it moved' test ! -e "$tmp/store/copied"

# Packs stay as they are.
errno_of() {
    "$@" 2>&1 >/dev/null | sed 's/.*: //' | head -n 1
}
readonly='Read-only file system'
in=$tmp/mnt/packed
is 'no write' "$(errno_of dd if=/dev/null of="$in/config.json" conv=notrunc)" "$readonly"
has_soon 'with a hint at how it could be' "$tmp/mount.log" "'packed' is a pack, which is read-only: .*'tenpak unpack .*/packed.tnpk'"
is 'no truncation' "$(errno_of truncate -s 0 "$in/config.json")" "$readonly"
is 'no new file' "$(errno_of touch "$in/new")" "$readonly"
is 'no new directory' "$(errno_of mkdir "$in/new")" "$readonly"
is 'no link' "$(errno_of ln -s x "$in/new")" "$readonly"
is 'no mode' "$(errno_of chmod 600 "$in/config.json")" "$readonly"
is 'no time' "$(errno_of touch -m "$in/config.json")" "$readonly"
is 'no owner' "$(errno_of chown "$(id -u)" "$in")" "$readonly"
is 'no renaming within' "$(errno_of mv -T "$in/config.json" "$in/other")" "$readonly"
is 'none into it' "$(errno_of mv -T "$tmp/mnt/plain/config.json" "$in/other")" "$readonly"
is 'the model is not removed before its files' "$(errno_of rmdir "$in")" 'Directory not empty'
is 'nor renamed' "$(errno_of mv -T "$in" "$tmp/mnt/renamed")" "$readonly"
has_soon 'with a hint at how it is' "$tmp/mount.log" "'packed' is a pack: .*packed.tnpk'"
is 'nor renamed' "$(errno_of mv -T "$in" "$tmp/mnt/else")" "$readonly"
is 'its name is taken' "$(errno_of mkdir "$in")" 'File exists'
mkdir "$tmp/mnt/fresh"
not_ok 'also for renaming' mv -T "$tmp/mnt/fresh" "$in"
ok 'the pack is whole' "$tenpak" verify -q "$tmp/store/packed.tnpk"

# What is the store's own.
is 'no pack is made by its name' "$(errno_of touch "$tmp/mnt/new.tnpk")" 'Operation not permitted'
is 'nor written over' "$(errno_of cp "$tmp/model/config.json" "$tmp/mnt/packed.tnpk")" 'File exists'
is 'nor renamed to' "$(errno_of mv -T "$tmp/mnt/fresh" "$tmp/mnt/fresh.tnpk")" 'Operation not permitted'
is 'nothing is made where the store keeps things' "$(errno_of mkdir "$tmp/mnt/.tenpak/new")" 'Operation not permitted'
is 'or its temporary files' "$(errno_of touch "$tmp/mnt/.x.tnpk.tmp-1-2")" 'Operation not permitted'
ok 'but names that only look like these' mkdir "$tmp/mnt/.tmp-abc" "$tmp/mnt/.x.tmp-1" "$tmp/mnt/.x.removing.old"
rmdir "$tmp/mnt/.tmp-abc" "$tmp/mnt/.x.tmp-1" "$tmp/mnt/.x.removing.old"
ok 'below the top these are names like others' touch "$tmp/mnt/plain/new.tnpk" "$tmp/mnt/plain/.tenpak"
is 'nothing of it came to be' "$(cd "$tmp/store" && ls -Ad .tenpak/x new.tnpk fresh.tnpk .x.* 2>/dev/null)" ''

# Behind the mount's back.
file=plain/config.json
cat "$tmp/mnt/$file" >/dev/null
sed 's/[0-9]/7/g' "$tmp/model/config.json" >"$tmp/store/$file"
sleep 1.1
ok 'a file changed in place, of the same size' cmp "$tmp/mnt/$file" "$tmp/store/$file"
exec 3<>"$tmp/mnt/plain/log"
echo one >&3
echo two >>"$tmp/store/plain/log"
echo three >>"$tmp/mnt/plain/log"
is 'appending writes at the present end' "$(cat "$tmp/store/plain/log")" "$(printf 'one\ntwo\nthree')"
exec 3>&-
not_ok 'not there' test -e "$tmp/mnt/appears"
mkdir "$tmp/store/appears"
ok 'what appears shows at once' wait_for 120 test -d "$tmp/mnt/appears"
(cd "$tmp/mnt/appears" && mkdir "$tmp/store/appears/x" && sleep 0.5 && pwd -P >/dev/null && ls x >/dev/null)
is 'a process that works in it stays in it' $? 0
rmdir "$tmp/store/appears/x" "$tmp/store/appears"
ok 'a removed file disappears at once' wait_for 120 test ! -e "$tmp/mnt/appears"

ok 'unmounted' unmount "$tmp/mnt"

# Read-only, and what only the kernel looks at.
mount_dir "$tmp/store" "$tmp/mnt" -o ro,noexec,nosuid,nodev,noatime,defaults,_netdev,x-systemd.automount || exit 1
has 'options of the kernel' /proc/mounts "^$tmp/store $tmp/mnt fuse.tenpak ro,nosuid,nodev,noexec,noatime"
is 'read-only all over' "$(errno_of touch "$tmp/mnt/plain/new")" "$readonly"
is 'also at the top' "$(errno_of mkdir "$tmp/mnt/new")" "$readonly"
ok 'unmounted' unmount "$tmp/mnt"
tap_done
