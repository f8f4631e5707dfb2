#!/bin/sh
# SPDX-License-Identifier: MIT
# Far more page faults at once than the mount answers at once, while packs are replaced and removed and the mount is
# unmounted: no reader hangs, none sees a wrong byte, memory stays bounded, and nothing is left.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
mkmodel=$top_builddir/tests/mkmodel
saturate=$top_builddir/tests/fs/saturate
size='--layers=2 --hidden=512 --inter=1376 --vocab=6000'

mkdir "$tmp/originals" "$tmp/store"
# shellcheck disable=SC2086
{
    "$mkmodel" $size "$tmp/originals/base"
    "$mkmodel" $size --noise=0.02 "$tmp/originals/one"
    "$mkmodel" $size --noise=0.02 --noise-seed=7 "$tmp/originals/two"
    "$mkmodel" $size --seed=9 "$tmp/originals/other"
}
for model in base other; do
    "$tenpak" pack -q -b none -o "$tmp/store/$model.tnpk" "$tmp/originals/$model" || fail "pack $model"
done
for model in one two; do
    "$tenpak" pack -q -b "$tmp/store/base.tnpk" -o "$tmp/store/$model.tnpk" "$tmp/originals/$model" || fail "pack $model"
done
cp "$tmp/store/other.tnpk" "$tmp/replacement"

# The most requests that the kernel had waiting for an answer.
waiting=/sys/fs/fuse/connections/none
watch() {
    most=0
    while n=$(cat "$waiting/waiting" 2>/dev/null) && [ "$n" ]; do
        [ "$n" -le "$most" ] || { most=$n && echo "$most" >"$tmp/most.new" && mv "$tmp/most.new" "$tmp/most"; }
        sleep 0.02
    done
}

mount_dir "$tmp/store" "$tmp/mnt" -o cache=24M || exit 1
dev=$(stat -c %d "$tmp/mnt")
waiting=/sys/fs/fuse/connections/$((dev % 256 + dev / 1048576 * 256))
if [ ! -d "$waiting" ]; then
    mount -t fusectl none /sys/fs/fuse/connections 2>/dev/null
fi
echo 0 >"$tmp/most"
set --
for model in base one two other; do
    set -- "$@" "$tmp/originals/$model/model.safetensors" "$tmp/mnt/$model/model.safetensors"
done
"$saturate" -t 200 "$@" >"$tmp/running" 2>"$tmp/told" &
saturate_pid=$!
cleanup_fn end_child "$saturate_pid" KILL
ok '200 threads fault in pages' wait_for 120 grep -q running "$tmp/running"
watch &
watch_pid=$!
cleanup_fn end_child "$watch_pid"
# full: as many requests wait as the mount answers at once; or nobody can tell.
full() {
    [ ! -d "$waiting" ] || [ "$(cat "$tmp/most")" -ge 64 ]
}
wait_for 120 full
sleep 2
not_ok 'the models differ' cmp -s -n 300000 "$tmp/originals/one/model.safetensors" "$tmp/originals/other/model.safetensors"
mv "$tmp/replacement" "$tmp/store/one.tnpk"
ok 'a pack is replaced meanwhile' wait_for 120 cmp -n 300000 "$tmp/mnt/one/model.safetensors" "$tmp/originals/other/model.safetensors"
rm "$tmp/store/two.tnpk"
ok 'one is removed' wait_for 120 sh -c "! test -e '$tmp/mnt/two'"
ok 'names are looked up meanwhile' timeout 300 find "$tmp/mnt" -type f -size +1
rss=$(awk '/VmHWM/ { print $2 }' "/proc/$mount_pid/status")
fusermount3 -uz "$tmp/mnt"
is 'the mount is detached under load' $? 0
ok 'the mount has ended' wait_unmounted "$tmp/mnt"
sleep 3
ok 'and serves on' kill -0 "$mount_pid"
rss_after=$(awk '/VmHWM/ { print $2 }' "/proc/$mount_pid/status")
kill "$saturate_pid"
wait "$saturate_pid"
rc=$?
is 'no thread was stuck, and none saw a wrong byte' "$rc" 0
sed 's/^#* */# /' "$tmp/told"
ok 'the daemon ends after them' wait_gone "$mount_pid"
wait "$mount_pid"
is 'cleanly' $? 0
kill "$watch_pid" 2>/dev/null
most=$(cat "$tmp/most")
if [ "$most" -gt 0 ]; then
    ok "the limit of requests in flight was reached ($most waited)" test "$most" -ge 64
else
    skip 'the limit of requests in flight was reached' "$waiting is not there for this user"
fi
diag "memory: $rss KiB, after detaching $rss_after KiB at most"
[ -n "${TP_SANITIZED:-}" ] || ok "memory stays within the cache's and 64 MiB" test "$rss_after" -lt $(((24 + 64) * 1024))
is 'nothing was left held, and no error was logged' "$(grep -c -e error -e 'still held at the end' "$tmp/mount.log")" 0
sed 's/^/# /' "$tmp/mount.log"
tap_done
