#!/bin/sh
# SPDX-License-Identifier: MIT
# Paths in a mount as arguments of commands, which use the same path in the mounted directory.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq
requires_fuse

mkmodel=$top_builddir/tests/mkmodel
d=$tmp/models
m=$tmp/mnt
mkdir "$d"
"$mkmodel" --seed=5 "$d/base"
"$mkmodel" --seed=5 --noise=0.02 "$d/tuned"
"$mkmodel" --seed=5 --noise=0.02 "$d/other"
cp -r "$d/tuned" "$tmp/was"
mount_dir "$d" "$m" || bail_out 'no mount'

ok 'pack' "$tenpak" pack -q -b none "$m/base"
ok 'packs the model in the mounted directory' [ -f "$d/base.tnpk" ]
ok 'in its place' [ ! -d "$d/base" ]
ok 'and once more' "$tenpak" pack "$m/base"
has 'reports that it is packed' "$tmp/.out" 'packed already'
ok 'a dry run' "$tenpak" pack -n --json "$m/tuned"
is 'finds the base' "$(jq -r '.models[0].base' "$tmp/.out")" base
ok 'pack from within the mount' sh -c 'cd "$1" && "$2" pack -q tuned' sh "$m" "$tenpak"
ok 'is the same' [ -f "$d/tuned.tnpk" ]
ok 'the mount shows the model' diff -r "$tmp/was" "$m/tuned"
is 'its base was found' "$("$tenpak" info --json "$m/tuned" | jq -r .base.name)" base
ok 'pack with a base in the mount, to a file in it' "$tenpak" pack -q -b "$m/base" -o "$m/copy.tnpk" "$m/other"
is 'has that base' "$("$tenpak" info --json "$m/copy" | jq -r .base.name)" base
ok 'and shows as a model' diff -r "$d/other" "$m/copy"
ok 'pack of the working directory' sh -c 'cd "$1/other" && "$2" pack -q .' sh "$m" "$tenpak"
ok 'uses its path in the directory' [ -f "$d/other.tnpk" ]
ok 'delta compress' "$tenpak" delta compress -q "$m/base" "$d/../was" -o "$m/was.tnpk"
ok 'delta estimate' "$tenpak" delta estimate "$m/base" "$m/tuned"
ok 'verify of a model' "$tenpak" verify "$m/tuned"
has 'checks its pack' "$tmp/.out" '^tuned.tnpk:.*whole'
ok 'verify of the mount' "$tenpak" verify --json "$m"
is 'checks all packs' "$(jq .verified "$tmp/.out")" 5
is 'ls shows packs' "$("$tenpak" ls --json "$m" | jq -r '[.models[].kind] | unique | join(" ")')" pack
ok 'unpack' "$tenpak" unpack -q "$m/was"
ok 'restores behind the mount' diff -r "$tmp/was" "$d/was"
ok 'unpack to the mount' "$tenpak" unpack -q -o "$m/new" "$m/tuned"
ok 'restores behind it, too' diff -r "$tmp/was" "$d/new"
for verb in estimate compress restore; do
    ok "$verb as a job" "$tenpak" $verb "$m/new"
done
ok 'verify as a job' "$tenpak" verify --job "$m" tuned

# A file, an absent name, a place within a model.
cp "$d/new/model.safetensors" "$d/one.safetensors"
exits 'a single file' 1 "$tenpak" pack "$m/one.safetensors"
has 'is reported as one' "$tmp/.out" 'single file'
exits 'what is not there' 1 "$tenpak" pack "$m/nothing"
has 'is named as it is behind the mount' "$tmp/.out" "cannot open '$d/nothing'"
exits 'a file of a pack' 1 "$tenpak" info "$m/tuned/config.json"

# The directory has gone elsewhere, and another one has its name.
mv "$d" "$tmp/moved"
mkdir "$d"
cp -r "$tmp/was" "$d/new"
exits 'a directory that was moved' 1 "$tenpak" pack -q -b none "$m/new"
has 'and why' "$tmp/.out" 'no longer at'
ok 'the other one is left alone' [ -d "$d/new" ]

tap_done
