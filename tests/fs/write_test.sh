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
ok 'the table of calls holds for a directory in the mount' "$calls" "$tmp/mnt/calls"
is 'the test of calls leaves its directory empty' "$(ls -A "$tmp/store/calls")" ''

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
is 'random changes by three processes at once' $good yes
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
ok 'a saved file is in DIR' cmp "$tmp/store/saved/model.safetensors" "$tmp/model/model.safetensors"
ok 'a saved file reads back' cmp "$tmp/mnt/saved/model.safetensors" "$tmp/model/model.safetensors"
is 'a set time is kept' "$(stat -c %Y "$tmp/store/saved/config.json")" "$(date -d 2001-02-03 +%s)"
ok 'the saved model is packed' "$tenpak" pack -q -b none "$tmp/store/saved"
ok 'the packed model is read-only in the mount' wait_for 120 sh -c '! touch "$1"' sh "$tmp/mnt/saved/probe"
is 'the packed model reads as before' "$(sha256_of "$tmp/mnt/saved/model.safetensors")" "$(sha256_of "$tmp/model/model.safetensors")"

# Copies: into the mount, out of packs and between its files.
ok 'a pack is copied to a plain directory' cp -a "$tmp/mnt/packed" "$tmp/mnt/copied"
ok 'a copied pack has every byte' diff -r "$tmp/model" "$tmp/store/copied"
ok 'a plain model can be moved to another file system' mv "$tmp/mnt/copied" "$tmp/out"
ok 'a moved model is removed' test ! -e "$tmp/store/copied"

# Packs stay as they are.
errno_of() {
    "$@" 2>&1 >/dev/null | sed 's/.*: //' | head -n 1
}
readonly='Read-only file system'
in=$tmp/mnt/packed
is 'a write to a packed file is refused' "$(errno_of dd if=/dev/null of="$in/config.json" conv=notrunc)" "$readonly"
has_soon 'a refused write logs a hint' "$tmp/mount.log" "'packed' is a pack, which is read-only: .*'tenpak unpack .*/packed.tnpk'"
is 'truncation of a packed file is refused' "$(errno_of truncate -s 0 "$in/config.json")" "$readonly"
is 'a new file in a pack is refused' "$(errno_of touch "$in/new")" "$readonly"
is 'a new directory in a pack is refused' "$(errno_of mkdir "$in/new")" "$readonly"
is 'a new link in a pack is refused' "$(errno_of ln -s x "$in/new")" "$readonly"
is 'a change of mode in a pack is refused' "$(errno_of chmod 600 "$in/config.json")" "$readonly"
is 'a change of time in a pack is refused' "$(errno_of touch -m "$in/config.json")" "$readonly"
is 'a change of owner in a pack is refused' "$(errno_of chown "$(id -u)" "$in")" "$readonly"
is 'renaming within a pack is refused' "$(errno_of mv -T "$in/config.json" "$in/other")" "$readonly"
is 'renaming into a pack is refused' "$(errno_of mv -T "$tmp/mnt/plain/config.json" "$in/other")" "$readonly"
is 'rmdir of a packed model is refused' "$(errno_of rmdir "$in")" 'Directory not empty'
is 'nor renamed' "$(errno_of mv -T "$in" "$tmp/mnt/renamed")" "$readonly"
has_soon 'a refused rename of a pack logs a hint' "$tmp/mount.log" "'packed' is a pack: .*packed.tnpk'"
is 'nor renamed' "$(errno_of mv -T "$in" "$tmp/mnt/else")" "$readonly"
is 'mkdir with the name of a pack is refused' "$(errno_of mkdir "$in")" 'File exists'
mkdir "$tmp/mnt/fresh"
not_ok 'renaming to the name of a pack is refused' mv -T "$tmp/mnt/fresh" "$in"
ok 'the pack verifies after refused changes' "$tenpak" verify -q "$tmp/store/packed.tnpk"

# What is the store's own.
is 'a file with the name of a pack is refused' "$(errno_of touch "$tmp/mnt/new.tnpk")" 'Operation not permitted'
is 'writing over a pack is refused' "$(errno_of cp "$tmp/model/config.json" "$tmp/mnt/packed.tnpk")" 'File exists'
is 'renaming to the name of a pack is refused: NAME.tnpk' "$(errno_of mv -T "$tmp/mnt/fresh" "$tmp/mnt/fresh.tnpk")" 'Operation not permitted'
is 'mkdir in .tenpak is refused' "$(errno_of mkdir "$tmp/mnt/.tenpak/new")" 'Operation not permitted'
is 'a file with the name of a temporary file is refused' "$(errno_of touch "$tmp/mnt/.x.tnpk.tmp-1-2")" 'Operation not permitted'
ok 'names similar to temporary names are accepted' mkdir "$tmp/mnt/.tmp-abc" "$tmp/mnt/.x.tmp-1" "$tmp/mnt/.x.removing.old"
rmdir "$tmp/mnt/.tmp-abc" "$tmp/mnt/.x.tmp-1" "$tmp/mnt/.x.removing.old"
ok 'reserved names are accepted below the top' touch "$tmp/mnt/plain/new.tnpk" "$tmp/mnt/plain/.tenpak"
is 'refused names are not in DIR' "$(cd "$tmp/store" && ls -Ad .tenpak/x new.tnpk fresh.tnpk .x.* 2>/dev/null)" ''

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
not_ok 'a name that is absent is not found' test -e "$tmp/mnt/appears"
mkdir "$tmp/store/appears"
ok 'a new directory in DIR shows at once' wait_for 120 test -d "$tmp/mnt/appears"
(cd "$tmp/mnt/appears" && mkdir "$tmp/store/appears/x" && sleep 0.5 && pwd -P >/dev/null && ls x >/dev/null)
is 'a process that works in a new directory stays in it' $? 0
rmdir "$tmp/store/appears/x" "$tmp/store/appears"
ok 'a removed file disappears at once' wait_for 120 test ! -e "$tmp/mnt/appears"

ok 'unmounted' unmount "$tmp/mnt"

# Read-only, and what only the kernel looks at.
mount_dir "$tmp/store" "$tmp/mnt" -o ro,noexec,nosuid,nodev,noatime,defaults,_netdev,x-systemd.automount || exit 1
has 'options of the kernel' /proc/mounts "^$tmp/store $tmp/mnt fuse.tenpak ro,nosuid,nodev,noexec,noatime"
is 'a read-only mount refuses a new file in a model' "$(errno_of touch "$tmp/mnt/plain/new")" "$readonly"
is 'a read-only mount refuses a new directory at the top' "$(errno_of mkdir "$tmp/mnt/new")" "$readonly"
ok 'unmounted' unmount "$tmp/mnt"
tap_done
