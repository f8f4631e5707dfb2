#!/bin/sh
# SPDX-License-Identifier: MIT
# The space of files removed from DIR while it is mounted is freed without a look-up of their names: the daemon holds
# no removed file, unless it is open.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
mkmodel=$top_builddir/tests/mkmodel

mkdir "$tmp/store"
for model in plain packed read later replaced; do
    "$mkmodel" --layers=1 --hidden=128 --inter=256 --seed=${#model} "$tmp/store/$model"
done
for model in read later replaced; do
    "$tenpak" pack -q -b none "$tmp/store/$model" || fail "pack $model"
done
"$mkmodel" --layers=1 --hidden=128 --inter=256 --seed=99 "$tmp/other"
"$tenpak" pack -q -b none -o "$tmp/other.tnpk" "$tmp/other" || fail 'pack another'

# held: files without a name that the daemon holds.
held() {
    find "/proc/$mount_pid/fd" -lname "$tmp/store/*(deleted)"
}

holds_nothing() {
    [ -z "$(held)" ]
}

# lets_go NAME
lets_go() {
    ok "$1" wait_for 120 holds_nothing
    held | sed 's/^/# still: /'
}

mount_dir "$tmp/store" "$tmp/mnt" || exit 1
[ "$("$tenpak" status --json "$tmp/mnt" | jq .kernel.notices_new_models)" = true ] ||
    skip_all 'no change is reported here'
ok 'everything is read' sh -c 'cat "$1"/*/* >/dev/null' sh "$tmp/mnt"
holds_nothing || fail 'nothing is removed yet'

rm -r "$tmp/store/plain"
lets_go 'a directory that was removed'
rm "$tmp/store/read.tnpk"
lets_go 'a pack that was removed'
ok 'a model is packed' "$tenpak" pack -q -b none "$tmp/store/packed"
lets_go 'the directory that was packed'

exec 3<"$tmp/mnt/later/model.safetensors"
sum=$(sha256_of "$tmp/mnt/later/model.safetensors")
rm "$tmp/store/later.tnpk"
is 'an open file of a removed pack is held' "$(sha256sum <&3 | cut -d ' ' -f 1)" "$sum"
is 'its pack is' "$(held | wc -l)" 1
exec 3<&-
lets_go 'until it is closed'

exec 3<"$tmp/mnt/replaced/model.safetensors"
cat <&3 >/dev/null
mv "$tmp/other.tnpk" "$tmp/store/replaced.tnpk"
ok 'a pack is replaced' wait_for 120 cmp "$tmp/mnt/replaced/model.safetensors" "$tmp/other/model.safetensors"
is 'the old one is held while it is open' "$(held | wc -l)" 1
exec 3<&-
lets_go 'and no longer'
ok 'unmounted' unmount "$tmp/mnt"
tap_done
