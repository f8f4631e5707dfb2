#!/bin/sh
# SPDX-License-Identifier: MIT
# Names that control a terminal, break a line or reorder text: no command, document or log prints them unchanged.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq iconv
mkmodel=$top_builddir/tests/mkmodel
dir=$tmp/store

# clean NAME FILE: what may go to a terminal, in UTF-8, and no name has begun a line.
unsafe='[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]'
clean() {
    if ! iconv -f UTF-8 -t UTF-8 "$2" >/dev/null 2>&1; then
        fail "$1: is UTF-8"
    elif grep -qaP -e "$unsafe" "$2" || grep -qa '^EVIL' "$2"; then
        fail "$1: has nothing that steers a terminal"
        grep -aP -e "$unsafe|^EVIL" "$2" | head -n 5 | od -c | sed 's/^/#   /'
    else
        pass "$1"
    fi
}

# shows NAME WORD COMMAND...: what it prints is clean, and is about what it should be about.
shows() {
    what=$1
    word=$2
    shift 2
    "$@" >"$tmp/out" 2>&1
    clean "$what" "$tmp/out"
    has "$what: about it" "$tmp/out" "$word"
}

printf 'a\n' | grep -qP a || skip_all 'grep has no -P'
escape=$(printf 'm\033[2J\033]0;EVIL\007')
c1=$(printf 'm\302\233 31mEVIL')
raw=$(printf 'm\233 31mEVIL\205')
bidi=$(printf 'm\342\200\256EVIL\342\200\256\342\201\246x\342\201\251\342\200\216\330\234')
lines=$(printf 'm\nEVIL\r\342\200\250EVIL')
mkdir "$dir"
"$mkmodel" --layers=1 "$dir/base"
n=0
for odd in "$escape" "$c1" "$raw" "$bidi" "$lines"; do
    n=$((n + 1))
    "$mkmodel" --layers=1 --noise=0.01 --noise-seed=$n "$dir/$odd"
    # A tensor, a file and a target of a link of such names.
    printf '\200\0\0\0\0\0\0\0%-128s.' '{"t\u001b[2J\u202e\n":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}' >"$dir/$odd/x.safetensors"
    : >"$dir/$odd/f$odd"
    ln -s "t$odd" "$dir/$odd/l$odd"
done

shows 'ls' plain "$tenpak" ls "$dir"
shows 'ls --json' '"name"' "$tenpak" ls --json "$dir"
shows 'estimate' smaller "$tenpak" delta estimate "$dir/base" "$dir/$bidi"
for odd in "$escape" "$c1" "$raw" "$bidi" "$lines"; do
    shows 'pack -n' 'would take' "$tenpak" pack -n "$dir/$odd"
    shows 'pack' 'stored in' "$tenpak" pack --keep "$dir/$odd"
    shows 'info --tensors' 'U8' "$tenpak" info --tensors "$dir/$odd.tnpk"
    shows 'info --json' '"U8"' "$tenpak" info --json "$dir/$odd.tnpk"
    is 'which has the name of a tensor as it is' \
        "$("$tenpak" info --json "$dir/$odd.tnpk" | jq -r '.. | .tensors? // empty | .[].name' | grep -c "$(printf 't\033')")" 1
    shows 'verify' 'whole' "$tenpak" verify "$dir/$odd.tnpk"
    shows 'unpack' 'restored' "$tenpak" unpack "$dir/$odd.tnpk"
    shows 'no such file' 'No such' "$tenpak" info "$dir/no-$odd"
    shows 'a wrong option' 'try' "$tenpak" ls "--$odd"
    shows 'no such command' 'unknown command' "$tenpak" "$odd"
    shows 'compress' "m" "$tenpak" compress "$dir" "$odd"
done
shows 'ls of packs' pack "$tenpak" ls "$dir"
shows 'verify of all' whole "$tenpak" verify "$dir"
shows 'verify --json' '"pack"' "$tenpak" verify --json "$dir"
shows 'a job' whole "$tenpak" verify --job "$dir"
shows 'jobs' verify "$tenpak" jobs "$dir"
shows 'jobs --json' verify "$tenpak" jobs --json "$dir"
dd if=/dev/zero of="$dir/$bidi.tnpk" bs=1 seek=100 count=64 conv=notrunc 2>/dev/null
shows 'verify of one that is damaged' tenpak "$tenpak" verify "$dir/$bidi.tnpk"
shows 'and as a job' failed "$tenpak" verify --job "$dir"
shows 'jobs of it' verify "$tenpak" jobs "$dir"
clean 'its log' "$dir/.tenpak/jobs/$("$tenpak" jobs --json "$dir" | jq -r '.jobs[0].job_id')/log"

if [ -e /dev/fuse ] && command -v fusermount3 >/dev/null 2>&1; then
    mount_dir "$dir" "$tmp/$bidi" || exit 1
    control=$tmp/$bidi/.tenpak
    for file in models.json status.json metrics dashboard.html jobs/last/log jobs/last/report.json jobs/last/status.json; do
        shows "$file" . cat "$control/$file"
    done
    printf '%s\n' "$c1" >"$control/verify" 2>/dev/null
    printf 'm x=%s\n' "$escape" >"$control/verify" 2>/dev/null
    shows 'error_log' EINVAL cat "$control/error_log"
    shows 'status' mount "$tenpak" status "$tmp/$bidi"
    shows 'status --json' mount "$tenpak" status --json "$tmp/$bidi"
    shows 'doctor' . "$tenpak" doctor "$tmp/$bidi"
    clean 'the log of the mount' "$tmp/mount.log"
    unmount "$tmp/$bidi"
fi
tap_done
