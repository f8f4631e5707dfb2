#!/bin/sh
# SPDX-License-Identifier: MIT
# Every file of a mounted store reads as the original does: whole, and in random ranges by every way of reading, by
# threads and processes at once, through a cache much smaller than the models.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
mkmodel=$top_builddir/tests/mkmodel
oracle=$top_builddir/tests/fs/oracle

mkdir "$tmp/originals" "$tmp/store"
"$mkmodel" --layers=2 --hidden=512 --inter=1376 --vocab=4000 --shards=2 "$tmp/originals/base"
"$mkmodel" --layers=2 --hidden=512 --inter=1376 --vocab=4000 --noise=0.02 "$tmp/originals/tune"
"$mkmodel" --layers=2 --hidden=512 --inter=1376 --vocab=4000 --noise=0.02 --dtype=F32 --base-dtype=BF16 \
    "$tmp/originals/wide"
"$mkmodel" --every-dtype --shards=3 "$tmp/originals/dtypes"
# Tensors of a few bytes each: more pieces in one request than one reply has.
"$mkmodel" --layers=300 --hidden=8 --inter=8 --vocab=16 "$tmp/originals/crumbs"
: >"$tmp/originals/dtypes/empty"
chmod 640 "$tmp/originals/dtypes/empty"
touch -d '2001-02-03 04:05:06.789' "$tmp/originals/dtypes/config.json"
for model in base dtypes crumbs; do
    "$tenpak" pack -q -b none -o "$tmp/store/$model.tnpk" "$tmp/originals/$model" || fail "pack $model"
done
for model in tune wide; do
    "$tenpak" pack -q -b "$tmp/store/base.tnpk" -o "$tmp/store/$model.tnpk" "$tmp/originals/$model" ||
        fail "pack $model"
done
# All of it is in its base.
cp -Rp "$tmp/originals/base" "$tmp/originals/twin"
"$tenpak" pack -q -b "$tmp/store/base.tnpk" -o "$tmp/store/twin.tnpk" "$tmp/originals/twin" || fail 'pack twin'
cp -Rp "$tmp/originals/dtypes" "$tmp/store/plain"
# It is as private as its most private file until somebody opens it.
chmod 644 "$tmp/store/dtypes.tnpk"

mount_dir "$tmp/store" "$tmp/mnt" -o cache=12M || exit 1
for model in base tune wide dtypes crumbs; do
    ok "$model is the same" diff -r "$tmp/originals/$model" "$tmp/mnt/$model"
done
ok 'a plain directory is the same' diff -r "$tmp/originals/dtypes" "$tmp/mnt/plain"

attributes() {
    (cd "$1" && find . -printf '%P %y %m %s %T@ %n %l\n' | sort)
}
for model in base dtypes; do
    is "modes, sizes, times and links of $model" "$(attributes "$tmp/mnt/$model")" \
        "$(attributes "$tmp/originals/$model" | sed '/^ d /s/ [0-9]* \([0-9.]* [0-9]* \)/ 0 \1/')"
done

for file in base/model-00001-of-00002.safetensors tune/model.safetensors wide/model.safetensors \
    crumbs/model.safetensors tune/tokenizer.json; do
    ok "ranges of $file" "$oracle" -n 60 -t 4 -p 3 "$tmp/originals/$file" "$tmp/mnt/$file"
done
ok 'ranges of a plain file' "$oracle" -n 60 -t 2 -p 2 "$tmp/originals/base/model-00001-of-00002.safetensors" \
    "$tmp/mnt/base/model-00001-of-00002.safetensors"
ok 'many threads' "$oracle" -n 10 -t 100 -p 2 "$tmp/originals/tune/model.safetensors" \
    "$tmp/mnt/tune/model.safetensors"

stored=$(du -s --block-size=1 "$tmp/mnt/tune" | cut -f 1)
packed=$(stat -c %s "$tmp/store/tune.tnpk")
ok "du shows what is stored ($stored of $packed)" test "$stored" -gt $((packed / 2)) -a "$stored" -lt $((packed + 65536))
is 'a file that takes no space has a block' "$(stat -c %b "$tmp/mnt/twin/model-00001-of-00002.safetensors")" 1
ok 'tar for sparse files stores it' sh -c 'tar -S -c -C "$1/mnt" -f "$1/twin.tar" twin && tar -x -C "$1" -f "$1/twin.tar"' \
    sh "$tmp"
ok 'with all it has' diff -r "$tmp/originals/twin" "$tmp/twin"
is 'blocks of input and output' "$(stat -c %o "$tmp/mnt/tune/model.safetensors")" 4096
# Where file systems share a disk its size for one of them changes with what others write.
same_disk() {
    [ "$(df --output=size "$tmp/mnt")" = "$(df --output=size "$tmp/store")" ]
}
ok 'df shows the disk' wait_for 120 same_disk
has 'the type that loaders see' /proc/mounts "^$tmp/store $tmp/mnt fuse.tenpak rw"

not_ok 'no file can be made' touch "$tmp/mnt/tune/new"
has 'a read-only file system says so' "$tmp/.out" 'Read-only file system'
not_ok 'no file can be renamed' mv "$tmp/mnt/tune/config.json" "$tmp/mnt/tune/other.json"
not_ok 'nothing can be written to it' sh -c "echo >>'$tmp/mnt/tune/config.json'"

rss=$(awk '/VmHWM/ { print $2 }' "/proc/$mount_pid/status")
[ -n "${TP_SANITIZED:-}" ] || ok "memory stays near the cache's ($rss KiB)" test "$rss" -lt $(((12 + 64) * 1024))
ok 'unmounted' unmount "$tmp/mnt"
is 'nothing was logged as an error' "$(grep -c error "$tmp/mount.log")" 0
tap_done
