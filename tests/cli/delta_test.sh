#!/bin/sh
# SPDX-License-Identifier: MIT
# delta estimate, compress, reconstruct.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq

mkmodel=$top_builddir/tests/mkmodel
hashes() {
    (cd "$1" && find . -type f -exec sha256sum {} + | sort)
}

"$mkmodel" --seed=7 --hidden=128 --inter=320 "$tmp/base"
"$mkmodel" --seed=7 --hidden=128 --inter=320 --noise=0.02 "$tmp/tuned"
"$mkmodel" --seed=7 --hidden=128 --inter=320 --noise=0.5 --sparse=0.01 --noise-seed=2 "$tmp/sparse"
hashes "$tmp/base" >"$tmp/base.was"
hashes "$tmp/tuned" >"$tmp/tuned.was"
mkdir "$tmp/out"

ok 'compress with a plain base' "$tenpak" delta compress "$tmp/base" "$tmp/tuned" -o "$tmp/out/tuned.tnpk"
has 'says that the base is packed first' "$tmp/.out" "^base: .*/base' is a plain directory, packing it to '$tmp/out/base.tnpk' first"
ok 'the base is packed beside' [ -f "$tmp/out/base.tnpk" ]
"$tenpak" delta compress --json "$tmp/base" "$tmp/sparse" -o "$tmp/out/sparse.tnpk" >"$tmp/sparse.json" 2>"$tmp/err"
is 'compress again' $? 0
has 'takes the base that is there' "$tmp/err" "^base: using '$tmp/out/base.tnpk'"
is 'report' "$(jq -r '.models[0] | "\(.base) \(.original_removed) \(.stored_bytes)"' "$tmp/sparse.json")" \
    "base false $(stat -c %s "$tmp/out/sparse.tnpk")"
hashes "$tmp/base" >"$tmp/base.now"
hashes "$tmp/tuned" >"$tmp/tuned.now"
ok 'the base is untouched' cmp "$tmp/base.was" "$tmp/base.now"
ok 'the model is untouched' cmp "$tmp/tuned.was" "$tmp/tuned.now"

ok 'reconstruct' "$tenpak" delta reconstruct "$tmp/out/tuned.tnpk" -o "$tmp/back"
hashes "$tmp/back" >"$tmp/tuned.now"
ok 'every file as it was' diff "$tmp/tuned.was" "$tmp/tuned.now"
ok 'the pack stays' [ -f "$tmp/out/tuned.tnpk" ]
ok 'pack -o does the same as delta compress' "$tenpak" pack -q -b "$tmp/base" -c zstd -c auto -o "$tmp/out/same.tnpk" "$tmp/tuned"
ok 'to the byte' cmp "$tmp/out/same.tnpk" "$tmp/out/tuned.tnpk"
rm "$tmp/out/same.tnpk"
is 'estimate does the same as delta estimate' \
    "$("$tenpak" estimate --json -b "$tmp/base" "$tmp/tuned" | jq -c 'del(.seconds)')" \
    "$("$tenpak" delta estimate --json "$tmp/base" "$tmp/tuned" | jq -c 'del(.seconds)')"
exits 'onto what exists' 1 "$tenpak" delta reconstruct "$tmp/out/tuned.tnpk" -o "$tmp/back"

# A base elsewhere: told that it is needed beside; reading without it is exit code 14.
mkdir "$tmp/far"
"$tenpak" delta compress "$tmp/out/base.tnpk" "$tmp/tuned" -o "$tmp/far/tuned.tnpk" >/dev/null 2>"$tmp/err"
is 'compress with a pack elsewhere' $? 0
has 'states that it is needed beside' "$tmp/err" "^hint: to read '$tmp/far/tuned.tnpk', '.*/out/base.tnpk' must lie beside it"
exits 'reconstruct without it' 14 "$tenpak" delta reconstruct "$tmp/far/tuned.tnpk" -o "$tmp/far/back"
ok 'nothing is left' [ ! -e "$tmp/far/back" ]
cp "$tmp/out/base.tnpk" "$tmp/far/renamed.tnpk"
ok 'a base is found by its id, not by its name' "$tenpak" delta reconstruct "$tmp/far/tuned.tnpk" -o "$tmp/far/back"

# near ACTUAL ESTIMATE: within 5 %.
near() {
    [ $(($2 * 100)) -ge $(($1 * 95)) ] && [ $(($2 * 95)) -le $(($1 * 100)) ]
}
for model in tuned sparse; do
    "$tenpak" delta estimate --json "$tmp/base" "$tmp/$model" >"$tmp/estimate.json"
    is "estimate of $model" $? 0
    ok "estimate of $model: within 5 %" near "$(stat -c %s "$tmp/out/$model.tnpk")" "$(jq .stored_bytes "$tmp/estimate.json")"
    is "estimate of $model: an interval around it" \
        "$(jq '.stored_bytes_low <= .stored_bytes and .stored_bytes <= .stored_bytes_high' "$tmp/estimate.json")" true
    "$tenpak" delta estimate --json "$tmp/out/base.tnpk" "$tmp/out/$model.tnpk" >"$tmp/packs.json"
    is "estimate of $model: the same from packs" "$(jq .stored_bytes "$tmp/packs.json")" "$(jq .stored_bytes "$tmp/estimate.json")"
done
is 'one weight in a hundred changed' \
    "$(jq '.changed_fraction > 0.005 and .changed_fraction < 0.012' "$tmp/estimate.json")" true
exits 'estimate of nothing' 1 "$tenpak" delta estimate "$tmp/base" "$tmp/nothing"

# What is there twice is stored once: the base itself, a copy of a file, and one with other names for the tensors.
# estimated NAME MODEL: the estimate's interval holds what compress then stores.
estimated() {
    "$tenpak" delta estimate --json "$tmp/base" "$2" >"$tmp/estimate.json"
    "$tenpak" delta compress -q "$tmp/base" "$2" -o "$tmp/out/estimated.tnpk" 2>/dev/null
    actual=$(stat -c %s "$tmp/out/estimated.tnpk")
    rm "$tmp/out/estimated.tnpk"
    diag "stored $actual, estimated $(jq -c '[.stored_bytes_low, .stored_bytes, .stored_bytes_high, .seconds]' "$tmp/estimate.json")"
    is "estimate of $1: the interval holds the truth" \
        "$(jq "$actual >= .stored_bytes_low and $actual <= .stored_bytes_high" "$tmp/estimate.json")" true
}
cp -r "$tmp/base" "$tmp/twice"
estimated 'the base itself' "$tmp/twice"
cp "$tmp/tuned/model.safetensors" "$tmp/twice/model.safetensors"
cp "$tmp/tuned/model.safetensors" "$tmp/twice/model.bf16.safetensors"
estimated 'a copy' "$tmp/twice"
rm "$tmp/twice/model.bf16.safetensors"
sed 's/model\.layers/modul.layers/g' "$tmp/tuned/model.safetensors" >"$tmp/twice/moved.safetensors"
estimated 'a copy under other names' "$tmp/twice"
sed 's/model\.layers/modul.layers/g' "$tmp/base/model.safetensors" >"$tmp/twice/moved.safetensors"
estimated 'the base under other names' "$tmp/twice"
cp "$tmp/tuned/model.safetensors" "$tmp/twice/training.bin"
cp "$tmp/tuned/model.safetensors" "$tmp/twice/training.bak"
estimated 'a file of no tensors, twice' "$tmp/twice"

# Where only sparse has a use for the base, it is tried on weights that all change.
"$mkmodel" --seed=7 --dtype=F64 "$tmp/wide"
"$mkmodel" --seed=7 --dtype=F64 --noise=0.000001 "$tmp/wide-tuned"
mkdir "$tmp/wide-out"
ok 'compress a fine-tune of 64 bits' "$tenpak" delta compress -q "$tmp/wide" "$tmp/wide-tuned" -o "$tmp/wide-out/tuned.tnpk"
size=$(stat -c %s "$tmp/wide-out/tuned.tnpk")
logical=$(stat -c %s "$tmp/wide-tuned/model.safetensors")
diag "stored $size of $logical"
ok 'it takes its distance' [ "$size" -lt $((logical * 3 / 4)) ]
"$tenpak" delta estimate --json "$tmp/wide" "$tmp/wide-tuned" >"$tmp/estimate.json"
ok 'as estimated: within 5 %' near "$size" "$(jq .stored_bytes "$tmp/estimate.json")"

# Thousands of small tensors are drawn from, too.
"$mkmodel" --layers=400 --hidden=16 --inter=16 --vocab=16 "$tmp/many"
"$mkmodel" --layers=400 --hidden=16 --inter=16 --vocab=16 --noise=0.05 "$tmp/many-tuned"
ok 'compress thousands of small tensors' \
    "$tenpak" delta compress -q "$tmp/many" "$tmp/many-tuned" -o "$tmp/out/many-tuned.tnpk"
"$tenpak" delta estimate --json "$tmp/many" "$tmp/many-tuned" >"$tmp/estimate.json"
ok 'estimate of many: within 5 %' near "$(stat -c %s "$tmp/out/many-tuned.tnpk")" "$(jq .stored_bytes "$tmp/estimate.json")"
is 'they are sampled' "$(jq '.sampled_bytes < .logical_bytes * 0.5' "$tmp/estimate.json")" true

# A model larger than what is sampled: really drawn, and still right.
"$mkmodel" --seed=8 --hidden=1024 --inter=2816 --vocab=8000 "$tmp/large"
"$mkmodel" --seed=8 --hidden=1024 --inter=2816 --vocab=8000 --noise=0.03 --frozen-layers=1 "$tmp/large-tuned"
ok 'compress a larger one' "$tenpak" delta compress -q "$tmp/large" "$tmp/large-tuned" -o "$tmp/out/large-tuned.tnpk"
"$tenpak" delta estimate --json "$tmp/large" "$tmp/large-tuned" >"$tmp/estimate.json"
actual=$(stat -c %s "$tmp/out/large-tuned.tnpk")
is 'it is sampled' "$(jq '.sampled_bytes < .logical_bytes * 0.9' "$tmp/estimate.json")" true
diag "stored $actual, estimated $(jq -c '[.stored_bytes_low, .stored_bytes, .stored_bytes_high, .seconds]' "$tmp/estimate.json")"
ok 'estimate of a larger one: within 10 %' [ "$(jq "((.stored_bytes / $actual) - 1) | if . < 0 then -. else . end < 0.1" "$tmp/estimate.json")" = true ]
is 'and its interval holds the truth' "$(jq "$actual >= .stored_bytes_low * 0.97 and $actual <= .stored_bytes_high * 1.03" "$tmp/estimate.json")" true
tap_done
