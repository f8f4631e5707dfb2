#!/bin/sh
# SPDX-License-Identifier: MIT
# Extended attributes: those that packs have, and those of plain files.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires getfattr setfattr jq
mkmodel=$top_builddir/tests/mkmodel

mkdir "$tmp/store" "$tmp/originals"
"$mkmodel" --hidden=256 --inter=512 --vocab=4000 "$tmp/originals/base"
"$mkmodel" --hidden=256 --inter=512 --vocab=4000 --noise=0.02 "$tmp/originals/tune"
: >"$tmp/originals/tune/empty"
ln -s config.json "$tmp/originals/tune/link"
mkdir "$tmp/originals/tune/sub"
"$tenpak" pack -q -b none -o "$tmp/store/base.tnpk" "$tmp/originals/base" || fail 'pack base'
"$tenpak" pack -q -b "$tmp/store/base.tnpk" -o "$tmp/store/tune.tnpk" "$tmp/originals/tune" || fail 'pack tune'
cp -Rp "$tmp/originals/base" "$tmp/store/plain"
mount_dir "$tmp/store" "$tmp/mnt" || exit 1

# get FILE NAME: the value, or nothing.
get() {
    getfattr --absolute-names -h --only-values -n "$2" "$1" 2>/dev/null
}
tune=$tmp/mnt/tune
file=$tune/model.safetensors
is 'sha256' "$(get "$file" user.tenpak.sha256)" "$(sha256_of "$tmp/originals/tune/model.safetensors")"
is 'of an empty file' "$(get "$tune/empty" user.tenpak.sha256)" "$(sha256_of /dev/null)"
is 'of no directory' "$(get "$tune" user.tenpak.sha256)" ''
is 'base' "$(get "$file" user.tenpak.base)" base
is 'of a model' "$(get "$tune" user.tenpak.base)" base
is 'none of a base' "$(get "$tmp/mnt/base" user.tenpak.base)" ''
is 'codec' "$(get "$file" user.tenpak.codec | cut -d , -f 1)" delta
has 'codec of a base' /dev/stdin split <<X
$(get "$tmp/mnt/base" user.tenpak.codec)
X
is 'verified' "$(get "$file" user.tenpak.verified)" on-read
is 'id of a model' "$(get "$tune" user.tenpak.id)" "$("$tenpak" info --json "$tmp/store/tune.tnpk" | jq -r '.. | .id? // empty' | head -n 1)"
is 'of no file' "$(get "$file" user.tenpak.id)" ''
is 'stored bytes of a model' "$(get "$tune" user.tenpak.stored_bytes)" "$(stat -c %s "$tmp/store/tune.tnpk")"
stored=$(get "$file" user.tenpak.stored_bytes)
is 'of a file, as du has them' $(((stored + 511) / 512)) "$(stat -c %b "$file")"
is 'ratio' "$(get "$file" user.tenpak.ratio)" \
    "$(awk -v a="$(stat -c %s "$file")" -v b="$stored" 'BEGIN { printf "%.3f", a / b }')"
is 'none of an empty file' "$(get "$tune/empty" user.tenpak.ratio)" ''
is 'not pinned, nor promoted' "$(get "$file" user.tenpak.pin)$(get "$tune" user.tenpak.promoted)" 00
is 'another name has none' "$(get "$file" user.tenpak.other)$(get "$file" user.other)" ''
is 'none is listed' "$(getfattr --absolute-names -d -m - "$file" "$tune" "$tmp/mnt/base")" ''
ok 'so that copies have none' cp -a "$file" "$tmp/copy"
is 'none at all' "$(getfattr --absolute-names -d -m - "$tmp/copy")" ''
not_ok 'none is set' setfattr -n user.x -v 1 "$file"
has 'since packs are read-only' "$tmp/.out" 'Read-only file system'
not_ok 'or removed' setfattr -x user.tenpak.sha256 "$file"

if setfattr -n user.probe -v 1 "$tmp/store/plain" 2>/dev/null; then
    plain=$tmp/mnt/plain/config.json
    ok 'a plain file takes one' setfattr -n user.note -v hello "$plain"
    is 'which is there' "$(get "$tmp/store/plain/config.json" user.note)" hello
    is 'and reads back' "$(get "$plain" user.note)" hello
    is 'is listed' "$(getfattr --absolute-names -d "$plain" | grep -c '^user.note="hello"$')" 1
    long=$(printf 'v%.0s' $(seq 2000))
    ok 'a long value' setfattr -n user.long -v "$long" "$plain"
    is 'reads back' "$(get "$plain" user.long)" "$long"
    ok 'and is removed' setfattr -x user.note "$plain"
    not_ok 'only once' setfattr -x user.note "$plain"
    is 'a directory has its own' "$(get "$tmp/mnt/plain" user.probe)" 1
    ln -s config.json "$tmp/store/plain/link"
    is 'a link has none of its target' "$(get "$tmp/mnt/plain/link" user.long)" ''
else
    skip 'plain files' 'no extended attributes here'
fi
is 'the status is that of the top only' "$(get "$tmp/mnt/plain" user.tenpak.status)" ''
is 'which is JSON' "$(get "$tmp/mnt" user.tenpak.status | jq -r .schema)" tenpak.mount/1
is 'and not listed' "$(getfattr --absolute-names -d -m - "$tmp/mnt" | grep -c tenpak)" 0
ok 'unmounted' unmount "$tmp/mnt"
tap_done
