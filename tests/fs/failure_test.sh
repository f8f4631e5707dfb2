#!/bin/sh
# SPDX-License-Identifier: MIT
# Failures are reported: damaged packs and absent bases to the reader and in the log, and the reasons why a mount does
# not start to the caller.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
mkmodel=$top_builddir/tests/mkmodel

mkdir "$tmp/originals" "$tmp/store" "$tmp/point"
"$mkmodel" --hidden=256 --inter=512 --vocab=4000 "$tmp/originals/base"
"$mkmodel" --hidden=256 --inter=512 --vocab=4000 --noise=0.02 "$tmp/originals/tune"
"$tenpak" pack -q -b none -o "$tmp/store/base.tnpk" "$tmp/originals/base" || fail 'pack base'
"$tenpak" pack -q -b "$tmp/store/base.tnpk" -o "$tmp/store/tune.tnpk" "$tmp/originals/tune" || fail 'pack tune'

# One byte in the middle of the weights; a pack without an index; one that is no pack at all.
"$mkmodel" --seed=2 --hidden=256 --inter=512 --vocab=4000 "$tmp/originals/bad"
"$tenpak" pack -q -b none -o "$tmp/store/bad.tnpk" "$tmp/originals/bad" || fail 'pack bad'
size=$(stat -c %s "$tmp/store/bad.tnpk")
byte=$(od -An -tu1 -j $((size / 2)) -N 1 "$tmp/store/bad.tnpk" | tr -d ' ')
# shellcheck disable=SC2059
printf "$(printf '\\%03o' $(((byte + 1) % 256)))" |
    dd of="$tmp/store/bad.tnpk" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
head -c $((size - 200)) "$tmp/store/base.tnpk" >"$tmp/store/short.tnpk"
echo nothing >"$tmp/store/text.tnpk"
: >"$tmp/mount.log"
mount_dir "$tmp/store" "$tmp/mnt" || exit 1
not_ok 'a damaged chunk is not served' cat "$tmp/mnt/bad/model.safetensors"
has 'but is an error of reading' "$tmp/.out" 'Input/output error'
has_soon 'and reported with pack, chunk and offset' "$tmp/mount.log" "store/bad.tnpk' is damaged: chunk [0-9]* (.*model.safetensors.*offset [0-9]*"
cat "$tmp/mnt/bad/model.safetensors" >/dev/null 2>&1
is 'once, however often it is read' "$(grep -c 'bad.tnpk. is damaged' "$tmp/mount.log")" 1
ok 'the rest of the model reads' cmp "$tmp/mnt/bad/config.json" "$tmp/originals/bad/config.json"
ok 'other models, too' diff -r "$tmp/originals/tune" "$tmp/mnt/tune"
not_ok 'a pack that was cut short' stat "$tmp/mnt/short"
has_soon 'the message gives the reason' "$tmp/mount.log" 'short.tnpk'
not_ok 'a text file that calls itself a pack' stat "$tmp/mnt/text"
ok 'the store lists all the same' ls "$tmp/mnt"
ok 'unmounted' unmount "$tmp/mnt"

mv "$tmp/store/base.tnpk" "$tmp/away.tnpk"
rm "$tmp/store/bad.tnpk" "$tmp/store/short.tnpk" "$tmp/store/text.tnpk"
: >"$tmp/mount.log"
mount_dir "$tmp/store" "$tmp/mnt" || exit 1
ok 'a model without its base is listed' test -f "$tmp/mnt/tune/model.safetensors"
not_ok 'it does not read' cat "$tmp/mnt/tune/model.safetensors"
has_soon 'which is reported with the name of the base' "$tmp/mount.log" "the base 'base' (id [0-9a-f]*) is not there"
mv "$tmp/away.tnpk" "$tmp/store/base.tnpk"
sleep 1.1
ok 'until the base is back' wait_for 120 diff -r "$tmp/originals/tune" "$tmp/mnt/tune"

# Mounts that cannot be.
not_ok 'a mount point that is a mount already' "$tenpak" mount "$tmp/store" "$tmp/mnt"
has 'the message gives the reason' "$tmp/.out" 'tenpak mount already'
kill -KILL "$mount_pid"
wait "$mount_pid" 2>/dev/null
not_ok 'a mount without its daemon' "$tenpak" mount "$tmp/store" "$tmp/mnt"
has 'the message gives the reason' "$tmp/.out" 'has died'
ok 'and can be taken away' "$tenpak" umount "$tmp/mnt"
not_ok 'no mount there' "$tenpak" umount "$tmp/point"
has 'the message gives the reason' "$tmp/.out" 'no tenpak mount'
not_ok 'an absent mount point' "$tenpak" mount "$tmp/store" "$tmp/absent"
has 'the message gives the reason' "$tmp/.out" 'absent.*No such file'
not_ok 'an absent store' "$tenpak" mount "$tmp/absent" "$tmp/point"
has 'the message gives the reason' "$tmp/.out" 'absent.*No such file'
echo x >"$tmp/file"
not_ok 'a file as mount point' "$tenpak" mount "$tmp/store" "$tmp/file"
has 'the message gives the reason' "$tmp/.out" 'not a directory'
not_ok 'a file as store' "$tenpak" mount "$tmp/file" "$tmp/point"
has 'the message gives the reason' "$tmp/.out" 'not a directory'
mkdir "$tmp/full" "$tmp/store/inner" "$tmp/above"
echo x >"$tmp/full/file"
not_ok 'a mount point that is not empty' "$tenpak" mount "$tmp/store" "$tmp/full"
has 'the message gives the reason' "$tmp/.out" 'not empty'
not_ok 'a mount over the store' "$tenpak" mount "$tmp/store" "$tmp/store"
has 'the message gives the reason' "$tmp/.out" 'within the other'
not_ok 'a mount within the store' "$tenpak" mount "$tmp/store" "$tmp/store/inner"
not_ok 'a mount above the store' "$tenpak" mount "$tmp/store" "$tmp"
if [ "${tmp#/dev/}" != "$tmp" ]; then
    skip 'no /dev/fuse' 'TMPDIR is in /dev'
elif [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null; then
    # shellcheck disable=SC2016
    not_ok 'no /dev/fuse' unshare -m sh -c 'mount -t tmpfs none /dev && exec "$@"' sh "$tenpak" mount \
        "$tmp/store" "$tmp/point"
    has 'the message gives the reason' "$tmp/.out" '/dev/fuse'
else
    skip 'no /dev/fuse' 'needs root'
fi
tap_done
