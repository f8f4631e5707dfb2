#!/bin/sh
# SPDX-License-Identifier: MIT
# Lossy packs on the command line and in a mount: shown, read, verified, unpacked, damaged, as a base, and never one
# by accident.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq

mkmodel=$top_builddir/tests/mkmodel
mklossy=$top_builddir/tests/mklossy
store=$tmp/store
json='{"codec":"awq_g256","ppl_delta":1.25,"nested":{"list":[1,null,true,"\u001b"]}}'

mkdir "$store"
"$mkmodel" --seed=3 --hidden=128 --inter=320 "$store/m"
mkdir "$store/m/extra"
echo text >"$store/m/extra/notes.txt"
echo '{}' >"$store/m/pytorch_model.bin.index.json"
(cd "$store/m" && find . -type f -exec sha256sum {} + | sort) >"$tmp/was"
ok 'a lossy pack' "$mklossy" "$store/m" "$store/m~awq_g256.tnpk" nearest "$json"
ok 'the original is as it was' sh -c "(cd '$store/m' && find . -type f -exec sha256sum {} + | sort) | cmp - '$tmp/was'"

# --- What it is ---
is 'ls marks it' "$("$tenpak" ls "$store" | awk '$1 == "m~awq_g256" { print $2 }')" lossy
is 'ls --json' "$("$tenpak" ls --json "$store" | jq -c '.models[] | [.name, .kind, .exact]' | tr '\n' ' ')" \
    '["m","plain",true] ["m~awq_g256","pack",false] '
"$tenpak" info "$store/m~awq_g256" >"$tmp/info"
has 'info says so' "$tmp/info" '^lossy .*: awq_g256 of '
has 'and how it is coded' "$tmp/info" 'quant [1-9]'
is 'info --json' "$("$tenpak" info --json "$store/m~awq_g256" | jq -c '[.exact, .lossy]')" "[false,$(echo "$json" | jq -c .)]"
ok 'verify' "$tenpak" verify "$store/m~awq_g256"
ok 'verify the directory' "$tenpak" verify "$store"

# --- What it shows ---
ok 'unpack' "$tenpak" unpack -o "$tmp/back" "$store/m~awq_g256.tnpk"
is 'its files' "$(cd "$tmp/back" && find . -type f | sort | tr '\n' ' ')" \
    "$(cd "$store/m" && find . -type f ! -name '*.safetensors*' ! -name '*.index.json' |
        sed '$a ./model.safetensors' | sort | tr '\n' ' ')"
ok 'those besides weights are the original'\''s' diff -r -x '*.safetensors*' -x '*.index.json' "$store/m" "$tmp/back"
is 'smaller than its weights' "$(($(stat -c %s "$store/m~awq_g256.tnpk") * 2 < $(stat -c %s "$tmp/back/model.safetensors")))" 1
if [ -n "$(command -v getfattr)" ]; then
    is 'the attribute is unpacked' "$(getfattr --only-values -n user.tenpak.lossy "$tmp/back" 2>/dev/null)" "$json"
fi

# --- As a base ---
ok 'what it shows, packed over it' "$tenpak" pack -q -b "$store/m~awq_g256.tnpk" -o "$store/again.tnpk" "$tmp/back"
is 'takes little' "$(($(stat -c %s "$store/again.tnpk") < 20000))" 1
ok 'and is verified' "$tenpak" verify "$store/again.tnpk"
is 'and is exact' "$("$tenpak" info --json "$store/again.tnpk" | jq .exact)" true
ok 'unpack it' "$tenpak" unpack -o "$tmp/again" "$store/again.tnpk"
ok 'the same' diff -r "$tmp/back" "$tmp/again"
mkdir "$tmp/near"
cp "$store/m~awq_g256.tnpk" "$store/again.tnpk" "$tmp/near"
cp -r "$tmp/back" "$tmp/near/copy"
"$tenpak" pack --json -k "$tmp/near/copy" >"$tmp/auto.json" 2>"$tmp/err"
is 'no lossy pack, nor one over it, is chosen by the search' "$(jq -r '.models[0].base' "$tmp/auto.json")" null

# --- Damage, and other programs ---
size=$(stat -c %s "$store/m~awq_g256.tnpk")
bad=0
for at in $(seq 20 $((size / 40)) $((size - 140))); do
    cp "$store/m~awq_g256.tnpk" "$tmp/bad.tnpk"
    byte=$(od -An -tu1 -j "$at" -N 1 "$tmp/bad.tnpk" | tr -d ' ')
    printf '%b' "\\0$(printf %o $((byte ^ 1)))" | dd of="$tmp/bad.tnpk" bs=1 seek="$at" conv=notrunc 2>/dev/null
    "$tenpak" verify "$tmp/bad.tnpk" >/dev/null 2>&1
    [ $? -eq 4 ] || bad=$((bad + 1))
done
is 'changed bytes are found' "$bad" 0
exits 'no codec of writers' 2 "$tenpak" pack -c quant -o "$tmp/x.tnpk" "$store/m"

# --- In a mount ---
if [ -e /dev/fuse ]; then
    mount_dir "$store" "$tmp/mnt" || fail 'mount'
    ok 'the mount shows the same' diff -r "$tmp/back" "$tmp/mnt/m~awq_g256"
    ok 'models/NAME.json' sh -c "jq -e '.exact == false and .lossy.ppl_delta == 1.25' '$tmp/mnt/.tenpak/models/m~awq_g256.json'"
    is 'models.json' "$(jq -c '.models[] | select(.name == "m~awq_g256") | [.kind, .exact]' "$tmp/mnt/.tenpak/models.json")" \
        '["pack",false]'
    ok 'verified by the control file' sh -c "echo 'm~awq_g256' >'$tmp/mnt/.tenpak/verify'"
    is 'whole' "$(jq -r '.status' "$tmp/mnt/.tenpak/jobs/last/wait" 2>/dev/null)" completed
    if [ -n "$(command -v getfattr)" ]; then
        is 'the attribute' "$(getfattr --only-values -n user.tenpak.lossy "$tmp/mnt/m~awq_g256" 2>/dev/null)" "$json"
    fi
    ok 'unmount' unmount "$tmp/mnt"
else
    skip 'a mount' 'no /dev/fuse'
fi
tap_done
