#!/bin/sh
# SPDX-License-Identifier: MIT
# The memory of a mount stays within its cache and 64 MiB: eight threads read a model much larger than the cache, and a
# hundred models are read one after the other. In a small cgroup the default cache is small, too.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
[ -z "${TP_SANITIZED:-}" ] || skip_all 'sanitizers take memory of their own'
mkmodel=$top_builddir/tests/mkmodel
oracle=$top_builddir/tests/fs/oracle
cache=32

# within NAME: the most that the daemon ever had.
within() {
    rss=$(awk '/VmHWM/ { print $2 }' "/proc/$mount_pid/status")
    ok "$1: $rss KiB" test "$rss" -lt $(((cache + 64) * 1024))
}

mkdir "$tmp/store"
"$mkmodel" --layers=2 --hidden=2048 --inter=5632 --vocab=24000 "$tmp/big"
"$tenpak" pack -q -b none -o "$tmp/store/big.tnpk" "$tmp/big" || fail 'pack a big model'
size=$(stat -c %s "$tmp/big/model.safetensors")
ok "the model is larger than its bounds ($size bytes)" test "$size" -gt $((3 * (cache + 64) << 20))

mount_dir "$tmp/store" "$tmp/mnt" -o "cache=${cache}M" || exit 1
part=$((size / 8 / 1048576 + 1))
for i in 0 1 2 3 4 5 6 7; do
    dd if="$tmp/mnt/big/model.safetensors" of="$tmp/part$i" bs=1M skip=$((i * part)) count=$part 2>/dev/null &
    readers="${readers:-} $!"
done
# shellcheck disable=SC2086
wait $readers
ok 'eight readers have the bytes' sh -c 'cat "$1"/part[0-7] | cmp - "$2"' sh "$tmp" "$tmp/big/model.safetensors"
rm -f "$tmp"/part*
ok 'eight threads at random' "$oracle" -n 40 -t 8 -p 1 "$tmp/big/model.safetensors" "$tmp/mnt/big/model.safetensors"
within 'a big model'
ok 'unmounted' unmount "$tmp/mnt"

if make_cgroup 256M; then
    mkdir "$tmp/small"
    # shellcheck disable=SC2016
    sh -c 'echo $$ >"$1/cgroup.procs" && exec "$2" mount -f "$3" "$4"' sh "$cgroup" "$tenpak" "$tmp/store" "$tmp/small" \
        2>>"$tmp/mount.log" &
    mount_pid=$!
    ok 'a mount in a cgroup of 256 MiB' wait_mounted "$tmp/small"
    cache_max=$("$tenpak" status --json "$tmp/small" | jq .cache.max_bytes)
    ok "the cache leaves space: $cache_max bytes" test "$cache_max" -le $((64 << 20))
    ok 'and lives through reads all over a larger model' "$oracle" -n 500 -t 8 -p 1 "$tmp/big/model.safetensors" \
        "$tmp/small/big/model.safetensors"
    ok 'unmounted' unmount "$tmp/small"
    wait_for 120 sh -c '! grep -q . "$1"/cgroup.procs' sh "$cgroup"
else
    skip 'a mount in a cgroup of 256 MiB' 'no cgroup can be made here'
fi
rm -rf "$tmp/store" "$tmp/big"

# A hundred models, one in four a fine-tune of the one before it.
mkdir "$tmp/store"
i=0
while [ $i -lt 100 ]; do
    if [ $((i % 4)) -eq 3 ]; then
        "$mkmodel" --layers=8 --hidden=128 --inter=256 --seed=$((i - 1)) --noise=0.02 "$tmp/model"
        base=$tmp/store/m$((i - 1)).tnpk
    else
        "$mkmodel" --layers=8 --hidden=128 --inter=256 --seed=$i "$tmp/model"
        base=none
    fi
    "$tenpak" pack -q -b "$base" -o "$tmp/store/m$i.tnpk" "$tmp/model" || fail "pack $i"
    sha256_of "$tmp/model/model.safetensors" >>"$tmp/sums"
    rm -rf "$tmp/model"
    i=$((i + 1))
done
mount_dir "$tmp/store" "$tmp/mnt" -o "cache=${cache}M" || exit 1
i=0
while [ $i -lt 100 ]; do
    sha256_of "$tmp/mnt/m$i/model.safetensors"
    i=$((i + 1))
done >"$tmp/read"
ok 'a hundred models have their bytes' cmp "$tmp/read" "$tmp/sums"
within 'after a hundred models'
ok 'unmounted' unmount "$tmp/mnt"
tap_done
