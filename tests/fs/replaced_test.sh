#!/bin/sh
# SPDX-License-Identifier: MIT
# DIR is renamed while it is mounted, and another directory gets its name, or none: the mount shows the first
# directory, and does not access the other.
. "${top_srcdir:-.}/tests/lib.sh"
requires_fuse
requires jq
mkmodel=$top_builddir/tests/mkmodel

mkdir "$tmp/store" "$tmp/other"
for model in packed later plain; do
    "$mkmodel" --seed=1 "$tmp/$model" || fail "model $model"
done
"$mkmodel" --seed=2 "$tmp/different" || fail 'model different'
cp -Rp "$tmp/packed" "$tmp/plain" "$tmp/store"
cp -Rp "$tmp/different" "$tmp/other/packed"
cp -Rp "$tmp/different" "$tmp/other/plain"
ok 'a pack' "$tenpak" pack -q -b none "$tmp/store/packed"
ok 'one of another model, of the same name' "$tenpak" pack -q -b none "$tmp/other/packed"
not_ok 'which differ' cmp -s "$tmp/packed/model.safetensors" "$tmp/different/model.safetensors"

mount_dir "$tmp/store" "$tmp/mnt" || exit 1
mv "$tmp/store" "$tmp/renamed"
ok 'a pack reads when the directory was renamed' cmp "$tmp/packed/model.safetensors" "$tmp/mnt/packed/model.safetensors"
ok 'and the plain model' cmp "$tmp/plain/model.safetensors" "$tmp/mnt/plain/model.safetensors"
mv "$tmp/other" "$tmp/store"
"$tenpak" pack -q -b none -o "$tmp/renamed/later.tnpk" "$tmp/later" || fail 'pack'
"$tenpak" pack -q -b none -o "$tmp/store/later.tnpk" "$tmp/different" || fail 'pack'
ok 'when another directory has its name, a new model is that of the mounted one' \
    cmp "$tmp/later/model.safetensors" "$tmp/mnt/later/model.safetensors"
not_ok 'no job is accepted for the other directory' sh -c "echo plain >'$tmp/mnt/.tenpak/compress'"
is 'with the reason' "$(jq -rs 'last | .name, .message' "$tmp/mnt/.tenpak/error_log" | tr '\n' ' ')" \
    "ENOENT '$(realpath "$tmp")/store' is no longer the directory that was opened: it was renamed or removed "
ok 'nothing was done to it' test -d "$tmp/store/plain" -a ! -e "$tmp/store/plain.tnpk"
echo made >"$tmp/mnt/plain/made"
ok 'a written file is in the mounted directory' test -s "$tmp/renamed/plain/made"

mv "$tmp/store" "$tmp/other"
mv "$tmp/renamed" "$tmp/store"
ok 'when it has its name again a job is taken' sh -c "echo plain >'$tmp/mnt/.tenpak/compress'"
is 'and done' "$(jq -r .status "$tmp/mnt/.tenpak/jobs/last/wait")" completed

rm -rf "$tmp/store"
is 'when it is removed nothing is left to list' "$(ls "$tmp/mnt")" ''
not_ok 'and nothing can be made' touch "$tmp/mnt/new"
has 'because the directory was removed' "$tmp/.out" 'No such file or directory'
ok 'unmounted' unmount "$tmp/mnt"
tap_done
