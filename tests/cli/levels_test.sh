#!/bin/sh
# SPDX-License-Identifier: MIT
# Where the models of a store are: directories, packs, and links to packs at its top, and none below.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq
requires_fuse

mkmodel=$top_builddir/tests/mkmodel
d=$tmp/models
m=$tmp/mnt

# --- models in a directory of a store ---
mkdir -p "$d/org" "$tmp/later/org"
"$mkmodel" --seed=5 "$d/base"
"$mkmodel" --seed=5 --noise=0.02 "$d/org/tuned"
"$mkmodel" --seed=6 "$d/org/base"
"$mkmodel" --seed=6 --noise=0.02 "$d/org/other"
cp -r "$d/org/base" "$d/org/tuned" "$tmp/later/org"
cp -r "$d" "$tmp/was"
mount_dir "$d" "$m" || bail_out 'no mount'
exits 'no model of a directory of a mounted store is packed in place' 11 "$tenpak" pack -b none "$d/org/tuned"
has 'the refusal advises to mount the directory by itself' "$tmp/.out" "mount '$d/org' by itself"
exits 'nor through the mount' 11 "$tenpak" pack -b none "$m/org/tuned"
exits 'nor from within' 11 sh -c 'cd "$1" && "$2" pack -b none tuned' sh "$d/org" "$tenpak"
exits 'nor by a job' 11 "$tenpak" compress "$d/org" tuned base=none
rm -rf "$d/org/.tenpak"
ok 'the refused model shows as before' diff -r "$tmp/was" "$m"
ok 'the model can be packed elsewhere' "$tenpak" pack -q -b none -o "$tmp/tuned.tnpk" "$d/org/tuned"
ok 'the model can be packed with --keep' "$tenpak" pack -q -b none -k "$d/org/tuned"
ok 'the model with a pack beside it shows as before' diff -r "$tmp/was/org/tuned" "$m/org/tuned"
rm "$d/org/tuned.tnpk"
mkdir "$tmp/org"
"$tenpak" mount -q "$d/org" "$tmp/org"
ok 'a model is packed once its directory is mounted by itself' "$tenpak" pack -q -b none "$d/org/base"
ok 'its fine-tune is packed' "$tenpak" pack -q "$d/org/other"
is 'the fine-tune is packed against the base' "$("$tenpak" info --json "$d/org/other" | jq -r .base.name)" base
ok 'packed models show in the mount of their directory' diff -r "$tmp/was/org" "$tmp/org"
"$tenpak" umount "$tmp/org"
"$tenpak" ls "$d" >"$tmp/out" 2>"$tmp/err"
has 'ls reports packs below' "$tmp/err" "'$d/org' holds 2 packs, no models here"
is 'models.json reports packs below' "$(jq -r '.models[] | select(.name == "org") | .error' "$m/.tenpak/models.json")" \
    "it holds 2 packs, no models here: look at '$d/org' by itself"
"$tenpak" umount "$m"

# Packed while nothing was mounted.
"$tenpak" pack -q -b none "$tmp/later/org/base" && "$tenpak" pack -q -b none "$tmp/later/org/tuned"
mkdir "$tmp/mnt2"
"$tenpak" mount "$tmp/later" "$tmp/mnt2" >"$tmp/out" 2>"$tmp/err"
has 'mount reports packs below' "$tmp/err" "warning: '$tmp/later/org' holds 2 packs, which show as files there"
ok 'mount succeeds with packs below' is_mounted "$tmp/mnt2"
"$tenpak" umount "$tmp/mnt2"

# --- packs that are links ---
e=$tmp/linked
mkdir "$e" "$tmp/disk"
"$mkmodel" --seed=5 "$e/base"
"$mkmodel" --seed=5 --noise=0.02 "$e/tuned"
cp -r "$e" "$tmp/linked.was"
"$tenpak" pack -q -b none "$e/base"
mv "$e/base.tnpk" "$tmp/disk/elsewhere.tnpk"
ln -s ../disk/elsewhere.tnpk "$e/base.tnpk"
is 'a linked pack is listed' "$("$tenpak" ls --json "$e" | jq -r '.models[0] | .name + " " + .kind')" 'base pack'
ok 'a linked pack can be a base' "$tenpak" pack -q "$e/tuned"
is 'a linked base is recorded by its name' "$("$tenpak" info --json "$e/tuned" | jq -r .base.name)" base
mount_dir "$e" "$m" || bail_out 'no mount'
ok 'a linked pack is shown as a model, and so are its dependents' diff -r "$tmp/linked.was" "$m"
is 'the link of a linked pack is not shown' "$(ls "$m")" 'base
tuned'
exits 'by any name' 2 ls "$m/base.tnpk"
is 'a linked pack is in models.json' "$(jq -r '.models[] | select(.name == "base") | .kind' "$m/.tenpak/models.json")" pack
ok 'a linked pack has a manifest' jq -e .id "$m/.tenpak/models/base.json"
not_ok 'mkdir with the name of a linked pack is refused' mkdir "$m/base"
ok 'a linked pack verifies' "$tenpak" verify "$e"
ok 'a linked pack verifies in a job' "$tenpak" verify --job "$e" base
ok 'a job estimates against a linked pack' "$tenpak" estimate --job "$e" tuned base=base
exits 'it is not restored while it is needed' 11 "$tenpak" unpack "$e/base"
has 'the message names the dependent' "$tmp/.out" "'tuned'"
ok 'a dependent is unpacked' "$tenpak" unpack -q "$e/tuned"
# Another file in its place.
"$tenpak" pack -q -b none -o "$tmp/disk/new.tnpk" "$e/tuned"
ln -sfn ../disk/new.tnpk "$tmp/disk/link" && mv -T "$tmp/disk/link" "$e/base.tnpk"
# Through a changed link the model is another.
wait_for 120 sh -c 'cmp -s "$1/base/model.safetensors" "$2/tuned/model.safetensors"' sh "$m" "$e"
is 'a link that is changed shows another model' "$?" 0
ok 'a link is restored' "$tenpak" restore "$e" base
ok 'a restored link gives the directory' diff -r "$e/tuned" "$e/base"
ok 'the target of a restored link stays' [ -f "$tmp/disk/new.tnpk" ]

# Links that lead to no pack.
ln -s nowhere "$e/gone.tnpk"
ln -s ../disk "$e/dir.tnpk"
is 'a link to nowhere is no model' "$("$tenpak" ls --json "$e" | jq -r '[.models[].name] | join(" ")')" 'base dir.tnpk tuned'
is 'a link to nowhere is a link in the mount' "$(readlink "$m/gone.tnpk")" nowhere
if [ "$(id -u)" -eq 0 ]; then
    # Somebody's link to a file that only root may read.
    chmod 600 "$tmp/disk/new.tnpk"
    ln -s ../disk/new.tnpk "$e/steal.tnpk"
    chown -h 65534:65534 "$e/steal.tnpk"
    not_ok 'a link to the file of another shows nothing' ls "$m/steal/config.json"
    is 'a link to the file of another user is not listed' "$("$tenpak" ls --json "$e" | jq -r '[.models[].name] | index("steal")')" null
    chown 65534:65534 "$tmp/disk/new.tnpk"
    ok 'a link to a file of its owner shows a model' wait_for 120 test -e "$m/steal/config.json"
fi

tap_done
