#!/bin/sh
# SPDX-License-Identifier: MIT
# A base with two copies in the directory, one damaged or unreadable: its dependents read correctly through the mount
# and when unpacked, whichever copy is found first. Verification still reports the damaged copy.
. "${top_srcdir:-.}/tests/lib.sh"
mkmodel=$top_builddir/tests/mkmodel
size='--layers=2 --hidden=256 --inter=512 --vocab=4000'
file=model.safetensors

mkdir "$tmp/originals" "$tmp/store"
# shellcheck disable=SC2086
{
    "$mkmodel" $size "$tmp/originals/base"
    "$mkmodel" $size --noise=0.02 "$tmp/originals/tune"
}
"$tenpak" pack -q -b none -o "$tmp/whole" "$tmp/originals/base" || fail 'pack base'
cp "$tmp/whole" "$tmp/store/m.tnpk"
"$tenpak" pack -q -b "$tmp/store/m.tnpk" -o "$tmp/store/tune.tnpk" "$tmp/originals/tune" || fail 'pack tune'

# spoil FILE: most of its data (chunks and their tables) is overwritten; its index is as it was.
bytes=$(stat -c %s "$tmp/whole")
spoil() {
    dd if=/dev/zero of="$1" bs=4096 seek=1 count=$((bytes * 8 / 10 / 4096)) conv=notrunc 2>/dev/null
}
spoil "$tmp/store/m.tnpk"
unpack_tune() {
    rm -rf "$tmp/out"
    "$tenpak" unpack -q -o "$tmp/out" "$tmp/store/tune.tnpk" && diff -r "$tmp/originals/tune" "$tmp/out"
}
not_ok 'a damaged base alone fails' unpack_tune
has 'and is reported' "$tmp/.out" "m.tnpk' is damaged"
not_ok 'it does not verify' "$tenpak" verify -q "$tmp/store/m.tnpk"
has 'which names what needs it' "$tmp/.out" "m.tnpk' is the base of 1 other: 'tune'"

for other in a z; do
    cp "$tmp/whole" "$tmp/store/$other.tnpk"
    ok "with a whole copy called $other it is unpacked" unpack_tune
    ok 'and verified' "$tenpak" verify "$tmp/store/tune.tnpk"
    not_ok 'the damaged one is not' "$tenpak" verify "$tmp/store/m.tnpk"
    not_ok 'nor unpacked from another file' "$tenpak" unpack -q -o "$tmp/never" "$tmp/store/m.tnpk"
    if [ -e /dev/fuse ] && command -v fusermount3 >/dev/null; then
        : >"$tmp/mount.log"
        mount_dir "$tmp/store" "$tmp/mnt" || exit 1
        ok "through the mount it reads from $other" cmp "$tmp/originals/tune/$file" "$tmp/mnt/tune/$file"
        ok 'and so does the damaged base' cmp "$tmp/originals/base/$file" "$tmp/mnt/m/$file"
        # The one that comes first by name is the base; what it gave is in the cache for the other.
        [ $other = a ] || is 'which is reported once' "$(grep -c "m.tnpk' is damaged.*a copy beside it" "$tmp/mount.log")" 1
        ok 'unmounted' unmount "$tmp/mnt"
    else
        skip "through the mount it reads from $other" 'no /dev/fuse'
    fi
    rm "$tmp/store/$other.tnpk"
done

if [ -e /dev/fuse ] && command -v fusermount3 >/dev/null; then
    mount_dir "$tmp/store" "$tmp/mnt" || exit 1
    not_ok 'no copy: an error of reading' cat "$tmp/mnt/tune/$file"
    cp "$tmp/whole" "$tmp/late" && mv "$tmp/late" "$tmp/store/late.tnpk"
    ok 'until one comes' wait_for 120 cmp "$tmp/originals/tune/$file" "$tmp/mnt/tune/$file"
    ok 'unmounted' unmount "$tmp/mnt"
    rm "$tmp/store/late.tnpk"
fi

# Reads of one of the two fail, from its first on or later.
cp "$tmp/whole" "$tmp/store/m.tnpk"
cp "$tmp/whole" "$tmp/store/n.tnpk"
preload=$top_builddir/tests/faults/preload.so
# shellcheck disable=SC2016
if [ -n "${TP_SANITIZED-}" ] || [ ! -e "$preload" ]; then
    skip 'failing reads' 'the fault library is not there, or cannot be preloaded'
else
    for bad in m n; do
        for at in 1 2 3 4 5 8 13; do
            rm -rf "$tmp/out"
            ok "reads of $bad fail from number $at on" env TP_FAULT_DIR="$tmp/store" TP_FAULT_PATH="/$bad.tnpk" \
                TP_FAULT_AT=$at TP_FAULT_KIND=EIO TP_FAULT_CALLS=read TP_FAULT_STICKY=1 LD_PRELOAD="$preload" \
                "$tenpak" unpack -q -o "$tmp/out" "$tmp/store/tune.tnpk"
            ok 'and all is there' diff -r "$tmp/originals/tune" "$tmp/out"
        done
    done
    rm -rf "$tmp/out" "$tmp/store/n.tnpk"
    not_ok 'reads of the only one fail' env TP_FAULT_DIR="$tmp/store" TP_FAULT_PATH=/m.tnpk TP_FAULT_AT=5 \
        TP_FAULT_KIND=EIO TP_FAULT_CALLS=read TP_FAULT_STICKY=1 LD_PRELOAD="$preload" \
        "$tenpak" unpack -q -o "$tmp/out" "$tmp/store/tune.tnpk"
fi
tap_done
