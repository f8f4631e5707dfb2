#!/bin/sh
# SPDX-License-Identifier: MIT
# A model is packed and unpacked repeatedly while readers follow paths into it: no path is missing, no listing is
# short, no byte is wrong. Once with the renames of packing and unpacking, many in a second, and once with the
# commands.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
swap=$top_builddir/tests/fs/swap

mkdir "$tmp/originals" "$tmp/store"
"$top_builddir/tests/mkmodel" --layers=1 --hidden=64 --inter=128 --vocab=100 "$tmp/originals/model"
mkdir -p "$tmp/originals/model/sub/deeper"
echo text >"$tmp/originals/model/sub/deeper/text"
cp -Rp "$tmp/originals/model" "$tmp/store/model"
"$tenpak" pack -q -b none -o "$tmp/model.tnpk" "$tmp/originals/model" || fail 'pack'

mount_dir "$tmp/store" "$tmp/mnt" || exit 1
ok 'a directory and its pack that take turns: every path is found' \
    "$swap" "$tmp/store" "$tmp/mnt" "$tmp/originals/model" model 8 "$tmp/model.tnpk"
sed 's/^/# /' "$tmp/.out"

# What opens a directory that was removed beneath is told so, and nothing is made where it would be lost.
mkdir -p "$tmp/store/going/sub"
ok 'a directory' wait_for 120 test -d "$tmp/mnt/going/sub"
not_ok 'what would be made in a directory that is being removed is not lost' sh -c "
    cd '$tmp/mnt/going/sub' && mv '$tmp/store/going' '$tmp/store/.going.removing' && echo lost >file"
has 'but refused' "$tmp/.out" 'Stale file handle'
is 'there is nothing of it' "$(ls "$tmp/store/.going.removing/sub")" ''

ok 'rounds of pack and unpack, and no reader misses a file meanwhile' \
    "$swap" "$tmp/store" "$tmp/mnt" "$tmp/originals/model" model 8 - "$tenpak"
sed 's/^/# /' "$tmp/.out"
ok 'unmounted' unmount "$tmp/mnt"
tap_done
