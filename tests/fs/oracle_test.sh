#!/bin/sh
# SPDX-License-Identifier: MIT
# Random ranges by every way of reading, by threads and processes, compared with the original in each mode of a mount:
# default, with the smallest cache, with one decoding thread, and with promotion.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
mkmodel=$top_builddir/tests/mkmodel
oracle=$top_builddir/tests/fs/oracle
size='--layers=2 --hidden=512 --inter=1376 --vocab=4000'

mkdir "$tmp/originals" "$tmp/store"
# shellcheck disable=SC2086
{
    "$mkmodel" $size "$tmp/originals/base"
    "$mkmodel" $size --noise=0.02 "$tmp/originals/tune"
}
"$tenpak" pack -q -b none -o "$tmp/store/base.tnpk" "$tmp/originals/base" || fail 'pack base'
"$tenpak" pack -q -b "$tmp/store/base.tnpk" -o "$tmp/store/tune.tnpk" "$tmp/originals/tune" || fail 'pack tune'
file=model.safetensors
cp "$tmp/originals/base/$file" "$tmp/store/plain"

# mode NAME OPTION...
mode() {
    mode=$1
    shift
    mount_dir "$tmp/store" "$tmp/mnt" "$@" || exit 1
    for model in base tune; do
        ok "$mode: ranges of $model" "$oracle" -n 50 -t 4 -p 3 "$tmp/originals/$model/$file" "$tmp/mnt/$model/$file"
    done
    for way in pread readv O_DIRECT 'private mmap' 'shared mmap' sendfile splice io_uring; do
        "$oracle" -w "$way" -n 12 -t 3 -p 2 "$tmp/originals/tune/$file" "$tmp/mnt/tune/$file" >"$tmp/told" 2>&1
        case $? in
        0) pass "$mode: $way" ;;
        77) skip "$mode: $way" "the kernel refuses it: $(grep -i "$way" "$tmp/told")" ;;
        *)
            fail "$mode: $way"
            sed 's/^/# /' "$tmp/told"
            ;;
        esac
    done
    ok "$mode: a plain file" "$oracle" -n 30 -t 2 -p 2 "$tmp/originals/base/$file" "$tmp/mnt/plain"
    ok "$mode: unmounted" unmount "$tmp/mnt"
}

mode 'as it is'
mode 'small cache' -o cache=1M
mode 'one thread' -o threads=1
# Where passthrough is not in the build, these are read as in the other modes.
mode 'promoted' -o hot=256M,pin=base:tune
is 'nothing was logged as an error' "$(grep -c error "$tmp/mount.log")" 0
tap_done
