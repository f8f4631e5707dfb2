#!/bin/sh
# SPDX-License-Identifier: MIT
# Which base is chosen without a given name: the right one among decoys, by weights and by hints in the files.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq

mkmodel=$top_builddir/tests/mkmodel

# base_of MODEL: what --base=auto takes, "null" for none.
base_of() {
    "$tenpak" pack -n --json "$1" 2>"$tmp/err" | jq -r '.models[0].base'
}
# info_base PACK: the one that it has.
info_base() {
    "$tenpak" info --json "$1" | jq -r '.base.name'
}
why_of() {
    "$tenpak" pack -n --json "$1" 2>/dev/null | jq -r '.models[0].base_reason'
}

# --- plain directories only, nothing named ---
d=$tmp/plain
mkdir "$d"
"$mkmodel" --seed=1 "$d/llama"
"$mkmodel" --seed=2 "$d/unrelated"
"$mkmodel" --seed=6 --hidden=96 "$d/wider"
"$mkmodel" --seed=1 --noise=0.03 --noise-seed=11 "$d/a-chat"
"$mkmodel" --seed=1 --noise=0.03 --noise-seed=12 --shards=3 --reverse "$d/b-sharded"
"$mkmodel" --seed=1 --noise=0.03 --noise-seed=13 --extra-rows=9 "$d/c-vocab"
"$mkmodel" --seed=1 --noise=0.03 --noise-seed=14 --dtype=F32 --base-dtype=BF16 "$d/d-float"
"$mkmodel" --seed=1 --noise=0.3 --sparse=0.02 --noise-seed=15 --add=score.weight --drop=lm_head "$d/e-head"
for model in a-chat b-sharded c-vocab d-float e-head; do
    is "$model: its base among decoys" "$(base_of "$d/$model")" llama
done
is 'the base itself: none' "$(base_of "$d/llama")" null
is 'of other weights: none' "$(base_of "$d/unrelated")" null
is 'of other shapes: none' "$(base_of "$d/wider")" null
is 'the same answer again' "$(base_of "$d/a-chat") $(why_of "$d/a-chat")" "llama $(why_of "$d/a-chat")"
mkdir "$tmp/lonely"
cp -r "$d/llama" "$tmp/lonely"
is 'no other model: none' "$(base_of "$tmp/lonely/llama")" null
has 'and why' - 'there is no other model' <<END
$(why_of "$tmp/lonely/llama")
END

# Tensors of one name in several files are all counted, and each is compared with that of the same file.
mkdir "$tmp/variants"
"$mkmodel" --seed=1 --dtype=F32 "$tmp/variants/base"
"$mkmodel" --seed=1 --noise=0.01 --dtype=F32 "$tmp/variants/tuned"
for model in base tuned; do
    noise=$([ $model = base ] || echo --noise=0.01)
    # shellcheck disable=SC2086
    "$mkmodel" --seed=9 --hidden=96 $noise "$tmp/variants/x" && mv "$tmp/variants/x/model.safetensors" \
        "$tmp/variants/$model/a.safetensors" && rm -r "$tmp/variants/x"
done
has 'names in two files' - 'shares 100 % of the tensors' <<END
$(why_of "$tmp/variants/tuned")
END

# A directory that has models in it is no model, though their tensors are below it.
mkdir -p "$tmp/shelf/archive"
"$mkmodel" --seed=1 "$tmp/shelf/archive/base"
"$mkmodel" --seed=1 --noise=0.01 "$tmp/shelf/tuned"
is 'a directory of models: none' "$(base_of "$tmp/shelf/tuned")" null
ok 'and it stays' [ -d "$tmp/shelf/archive/base" ]

# --- two models, and only looks to tell which is the base: packing it does not pack the other ---
d=$tmp/two
mkdir "$d"
"$mkmodel" --seed=1 "$d/older"
touch -d 2001-02-03 "$d/older/model.safetensors"
"$mkmodel" --seed=1 --noise=0.03 "$d/a-newer"
is 'the older weights are the base: of the newer' "$(base_of "$d/a-newer")" older
is 'the older weights are the base: themselves none' "$(base_of "$d/older")" null
mv "$d/older" "$d/zz"
mv "$d/a-newer" "$d/zz-base"
is 'the name counts more than the time' "$(base_of "$d/zz") $(base_of "$d/zz-base")" 'zz-base null'
mv "$d/zz-base" "$d/zz-chat"
touch "$d/zz/model.safetensors"
is 'a longer name is the fine-tune' "$(base_of "$d/zz-chat") $(base_of "$d/zz")" 'zz null'
printf -- '---\nbase_model: org/elsewhere\n---\n' >"$d/zz/README.md"
is 'a model that names a base is none' "$(base_of "$d/zz") $(base_of "$d/zz-chat")" 'zz-chat null'

# --- packs: a shorter chain where two are about equally near ---
cp -r "$tmp/plain" "$tmp/packs"
d=$tmp/packs
"$tenpak" pack -q "$d/llama" "$d/a-chat"
"$mkmodel" --seed=1 --noise=0.0300001 --noise-seed=12 "$d/f-near"
is 'packs: the base, not its fine-tune' "$(base_of "$d/b-sharded")" llama
# A model trained on from a fine-tune is much nearer to that than to the base.
rm -r "$d/b-sharded" "$d/f-near"
cp -r "$tmp/plain/a-chat" "$d/g-continued"
"$PYTHON" - "$d/g-continued/model.safetensors" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    data = bytearray(f.read())
    for i in range(4000, len(data), 4096):
        data[i] ^= 1
    f.seek(0)
    f.write(data)
END
is 'packs: the fine-tune that was trained on' "$(base_of "$d/g-continued")" a-chat
"$tenpak" pack -q "$d/g-continued"
is 'and the chain is read' "$("$tenpak" verify --json "$d/g-continued" | jq .bad)" 0

# One that was hardly changed predicts as well as its own base: the base is taken, also where tensors are frozen.
d=$tmp/hardly
mkdir "$d"
big='--hidden=256 --inter=640 --vocab=2000'
# shellcheck disable=SC2086
{
    "$mkmodel" --seed=1 $big "$d/zz-base"
    "$mkmodel" --seed=1 $big --noise=0.5 --sparse=0.003 --noise-seed=2 "$d/reinforced"
    "$mkmodel" --seed=1 $big --noise=0.1 --frozen-layers=1 --noise-seed=3 "$d/tuned"
}
"$tenpak" pack -q --base=none "$d/zz-base"
"$tenpak" pack -q "$d/reinforced"
is 'packs: not the nearly unchanged one' "$(base_of "$d/tuned")" zz-base

# --- many models of one architecture that have nothing else in common: the name says nothing ---
d=$tmp/many
mkdir "$d"
for seed in $(seq 101 140); do "$mkmodel" --seed="$seed" "$d/run-$seed"; done
"$tenpak" pack -q --base=none "$d"/run-10* "$d/run-137"
"$mkmodel" --seed=138 --noise=0.03 "$d/a-tuned"
"$mkmodel" --seed=137 --noise=0.03 "$d/z-tuned"
is 'the only relative among 40: plain' "$(base_of "$d/a-tuned")" run-138
is 'the only relative among 40: a pack' "$(base_of "$d/z-tuned")" run-137
# More fine-tunes that hardly differ from their base than are looked at closely.
for seed in $(seq 1 20); do "$mkmodel" --seed=138 --noise=0.5 --sparse=0.001 --noise-seed="$seed" "$d/b-$seed"; done
"$tenpak" pack -q --base=none "$d/run-138"
"$tenpak" pack -q --base=run-138 "$d"/b-*
is 'the base among its fine-tunes' "$(base_of "$d/a-tuned")" run-138

# --- a base that is packed first is packed against its own, and never against the model that waits for it ---
d=$tmp/chain
mkdir "$d"
"$mkmodel" --seed=1 --hidden=128 "$d/llama"
"$mkmodel" --seed=1 --hidden=128 --noise=0.03 "$d/checkpoint-1"
touch -d 2001-02-03 "$d/checkpoint-1/model.safetensors"
cp -r "$d/checkpoint-1" "$d/checkpoint-2"
printf x | dd of="$d/checkpoint-2/model.safetensors" bs=1 seek=100000 conv=notrunc 2>/dev/null
"$tenpak" pack -q --base=none "$d/llama"
"$tenpak" pack -q --base=llama -o "$tmp/one.tnpk" "$d/checkpoint-1"
ok 'the second checkpoint' "$tenpak" pack "$d/checkpoint-2"
is 'a base packed first has its own base' \
    "$(info_base "$d/checkpoint-2") $(info_base "$d/checkpoint-1")" 'checkpoint-1 llama'
is 'and is as small as against that' "$(stat -c %s "$d/checkpoint-1.tnpk")" "$(stat -c %s "$tmp/one.tnpk")"
# Where the base is named, and its own would be the model that waits.
mkdir "$tmp/pair"
"$mkmodel" --seed=1 --noise=0.03 --name-or-path=org/two "$tmp/pair/one"
"$mkmodel" --seed=1 "$tmp/pair/two"
ok 'a base that names the model at hand' "$tenpak" pack --base=one "$tmp/pair/two"
is 'has none' "$(info_base "$tmp/pair/one")" null
ok 'and all can be read' "$tenpak" verify "$tmp/pair/one" "$tmp/pair/two"

# --- components of one shape: each finds its own counterpart, by its weights, its directory, its name in the cache ---
# component DIR FILE MKMODEL-OPTION...: one file of weights.
component() {
    component_file=$1
    shift
    mkdir -p "$(dirname "$component_file")" && "$mkmodel" "$@" "$tmp/component" &&
        mv "$tmp/component/model.safetensors" "$component_file" && rm -r "$tmp/component"
}
# size_against BASE MODEL: of the pack.
size_against() {
    rm -f "$tmp/against.tnpk"
    "$tenpak" pack -q --base="$1" -o "$tmp/against.tnpk" "$2" && stat -c %s "$tmp/against.tnpk"
}
d=$tmp/pipeline
for base in text_encoder:1 text_encoder_2:2; do
    component "$d/base/${base%:*}/model.safetensors" --seed="${base#*:}" --hidden=128
    component "$d/tuned/${base%:*}/model.safetensors" --seed="${base#*:}" --hidden=128 --noise=0.01
    component "$d/renamed/${base%:*}/pytorch_model.fp16.safetensors" --seed="${base#*:}" --hidden=128 --noise=0.01
    component "$d/swapped/part_${base#*:}/weights.safetensors" --seed="${base#*:}" --hidden=128 --noise=0.01
    for rev in base:0 tuned:0.01; do
        component "$tmp/x" --seed="${base#*:}" --hidden=128 --noise="${rev#*:}"
        hub=$d/models--org--${rev%:*} hash=$(sha256sum <"$tmp/x" | cut -d ' ' -f 1)
        mkdir -p "$hub/blobs" "$hub/snapshots/r1/${base%:*}"
        mv "$tmp/x" "$hub/blobs/$hash"
        ln -s "../../../blobs/$hash" "$hub/snapshots/r1/${base%:*}/model.safetensors"
    done
done
component "$d/again/text_encoder_2/other.safetensors" --seed=2 --hidden=128
component "$d/again/text_encoder/other.safetensors" --seed=1 --hidden=128
for model in base tuned renamed swapped again; do echo '{}' >"$d/$model/model_index.json"; done
"$tenpak" pack -q --base=none --keep "$d/base" "$d/models--org--base"
want=$(size_against base "$d/tuned")
for pair in base:renamed base:swapped models--org--base:models--org--tuned; do
    got=$(size_against "${pair%:*}" "$d/${pair#*:}")
    ok "${pair#*:}: each component with its own ($got bytes, $want under the same names)" \
        [ "$got" -le $((want + want / 20 + 1000)) ]
done
got=$("$tenpak" pack -n --json --base=base "$d/swapped" | jq '.models[0].stored_bytes')
ok "and the estimate is for this ($got bytes)" [ "$got" -le $((want + want / 10 + 4000)) ]
ok 'copies under other names take next to nothing' [ "$(size_against base "$d/again")" -lt 8000 ]

# --- parts within names, as wrappers of training put them there ---
d=$tmp/wrapped
mkdir "$d"
"$mkmodel" --seed=1 --hidden=128 "$d/base"
"$mkmodel" --seed=1 --hidden=128 --noise=0.01 "$d/wrapped"
cp -r "$d/wrapped" "$tmp/unwrapped"
"$PYTHON" - "$d/wrapped/model.safetensors" <<'END'
import json, struct, sys
with open(sys.argv[1], "r+b") as f:
    data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    out = {}
    for name, t in head.items():
        parts = name.split(".")
        if "layers" in parts:
            at = parts.index("layers") + 2
            parts[at:at] = ["_fsdp_wrapped_module", "_checkpoint_wrapped_module"]
            if "self_attn" in parts and len(parts) > at + 4:
                parts.insert(-1, "base_layer")
        out[".".join(["_orig_mod"] + parts) if name != "__metadata__" else name] = t
    text = json.dumps(out).encode()
    text += b" " * (-len(text) % 8)
    f.seek(0)
    f.write(struct.pack("<Q", len(text)) + text + data[8 + n:])
END
is 'wrapped: the base is found' "$(base_of "$d/wrapped")" base
"$tenpak" pack -q --base=none --keep "$d/base"
got=$(size_against base "$d/wrapped") want=$(size_against "$d/base.tnpk" "$tmp/unwrapped")
ok "and all tensors are paired ($got bytes, $want under the base's names)" [ "$got" -le $((want + want / 20 + 1000)) ]

# --- a family with a merge, saves in other dtypes and checkpoints of a run: one base, whatever is packed first ---
d=$tmp/family
"$PYTHON" - "$d" <<'END'
import array, json, os, random, struct, sys

N = 60000
def rounded(x):
    bits = array.array("I", array.array("f", x).tobytes())
    return array.array("H", ((v + 0x7FFF + ((v >> 16) & 1)) >> 16 for v in bits))
def bf16(x):
    return list(array.array("f", array.array("I", (v << 16 for v in rounded(x))).tobytes()))
def noise(seed, deviation):
    r = random.Random(seed)
    return [r.gauss(0, deviation) for _ in range(N)]
def plus(a, b):
    return [x + y for x, y in zip(a, b)]
def save(name, x, dtype):
    data = {"BF16": lambda: rounded(x).tobytes(), "F32": lambda: array.array("f", x).tobytes(),
            "F16": lambda: struct.pack("<%de" % N, *x)}[dtype]()
    head = json.dumps({"w": {"dtype": dtype, "shape": [N], "data_offsets": [0, len(data)]}}).encode()
    head += b" " * (-len(head) % 8)
    os.makedirs(os.path.join(sys.argv[1], name))
    path = os.path.join(sys.argv[1], name, "model.safetensors")
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + data)
    os.utime(path, (1, 1))
root = bf16(noise(1, 0.02))
one, two = bf16(plus(root, noise(2, 0.0006))), bf16(plus(root, noise(3, 0.0006)))
save("root", root, "BF16")
save("one", one, "BF16")
save("two", two, "BF16")
save("merge", [(x + y) / 2 for x, y in zip(one, two)], "BF16")
save("float", root, "F32")
save("half", root, "F16")
step = root
for i in range(1, 4):
    step = bf16(plus(step, noise(10 + i, 0.0004)))
    save("checkpoint-%d" % i, step, "BF16")
END
# total ORDER...: of the packs of these, packed in this order where that was not done on the way.
total() {
    rm -rf "$tmp/order"
    mkdir "$tmp/order"
    for model; do cp -rp "$d/$model" "$tmp/order"; done
    for model; do [ ! -d "$tmp/order/$model" ] || "$tenpak" pack -q "$tmp/order/$model"; done
    cat "$tmp/order"/*.tnpk | wc -c
}
# named ROOT OTHER...: the same with the base named.
named() {
    rm -rf "$tmp/order"
    mkdir "$tmp/order"
    for model; do cp -rp "$d/$model" "$tmp/order"; done
    "$tenpak" pack -q --base=none "$tmp/order/$1"
    for model; do [ "$model" = "$1" ] || "$tenpak" pack -q --base="$1" "$tmp/order/$model"; done
    cat "$tmp/order"/*.tnpk | wc -c
}
want=$(named root one two merge float half)
for order in 'root one two merge float half' 'merge half one root two float' 'float two merge one half root' \
    'one merge float root half two' 'half float root merge two one'; do
    # shellcheck disable=SC2086
    got=$(total $order)
    ok "$order: $got bytes, $want with the base named" [ "$got" -le $((want + want / 10)) ]
    bases=
    for model in root one two merge float half; do bases="$bases $(info_base "$tmp/order/$model")"; done
    is "$order: the base of all" "$bases" ' null root root root root root'
done
want=$(named root checkpoint-1 checkpoint-2 checkpoint-3)
for order in 'checkpoint-3 checkpoint-1 root checkpoint-2' 'root checkpoint-2 checkpoint-3 checkpoint-1'; do
    # shellcheck disable=SC2086
    got=$(total $order)
    ok "$order: $got bytes, $want with the base named" [ "$got" -le $((want + want / 10)) ]
    is "$order: where the run began" "$(info_base "$tmp/order/root")" null
done

# --- what the files say decides between copies ---
d=$tmp/named
mkdir "$d"
for name in AAA Llama-3 zzz; do "$mkmodel" --seed=3 "$d/$name"; done
"$mkmodel" --seed=3 --noise=0.02 "$d/by-weights"
is 'three copies: the first by name' "$(base_of "$d/by-weights")" AAA
"$mkmodel" --seed=3 --noise=0.02 --noise-seed=2 --name-or-path=meta-llama/Llama-3 "$d/by-config"
is 'named in config.json' "$(base_of "$d/by-config")" Llama-3
"$mkmodel" --seed=3 --noise=0.02 --noise-seed=3 --base-model=someone/zzz "$d/by-card"
is 'named in README.md' "$(base_of "$d/by-card")" zzz
case $(why_of "$d/by-card") in
*'named in README.md'*) pass 'and says so' ;;
*) fail 'and says so' ;;
esac
printf -- '---\ntags: [x]\nbase_model:\n  - "org/llama-3"\n---\ntext\n' >"$d/by-card/README.md"
is 'a list in README.md, another case of letters' "$(base_of "$d/by-card")" Llama-3
printf -- '---\nbase_model: [org/zzz, org/other]\n---\n' >"$d/by-card/README.md"
is 'an inline list in README.md' "$(base_of "$d/by-card")" zzz
printf -- 'base_model: org/zzz\n' >"$d/by-card/README.md"
is 'not in the front matter: says nothing' "$(base_of "$d/by-card")" AAA
printf -- '{ "base_model": "x/zzz", ' >"$d/by-config/config.json"
is 'a broken config.json says nothing' "$(base_of "$d/by-config")" AAA
for said in org/zzz/ ./zzz /srv/models/zzz// org/zzz /home/me/.cache/huggingface/hub/models--org--zzz/snapshots/0123abc/ \
    models--org--zzz; do
    printf '{ "_name_or_path": "%s" }' "$said" >"$d/by-config/config.json"
    is "named as $said" "$(base_of "$d/by-config")" zzz
done
mv "$d/zzz" "$d/org--zzz"
printf '{ "_name_or_path": "org/zzz" }' >"$d/by-config/config.json"
is 'with its organization in the name' "$(base_of "$d/by-config")" org--zzz
mkdir -p "$d/models--org--zzz/blobs" "$d/models--org--zzz/snapshots/r1" "$d/models--me--mine/blobs" "$d/models--me--mine/snapshots/r1"
cp "$d/org--zzz/model.safetensors" "$d/models--org--zzz/blobs/0123"
component "$d/models--me--mine/blobs/4567" --seed=3 --noise=0.02 --noise-seed=9
cp "$d/by-config/config.json" "$d/models--me--mine/blobs/89ab"
ln -s ../../blobs/0123 "$d/models--org--zzz/snapshots/r1/model.safetensors"
ln -s ../../blobs/4567 "$d/models--me--mine/snapshots/r1/model.safetensors"
ln -s ../../blobs/89ab "$d/models--me--mine/snapshots/r1/config.json"
rm -r "$d/org--zzz"
is "in the hub's cache, where files are named by hashes" "$(base_of "$d/models--me--mine")" models--org--zzz
rm -r "$d"/models--*
"$mkmodel" --seed=4 --name-or-path=meta-llama/Llama-3 "$d/liar"
is 'named, but the weights are others: none' "$(base_of "$d/liar")" null
"$mkmodel" --layers=1 --adapter-of=meta-llama/Llama-3 --drop=embed "$d/adapter"
ok 'an adapter is no trouble' "$tenpak" pack -n "$d/adapter"

# --- bases that cannot serve ---
d=$tmp/broken
mkdir "$d"
"$mkmodel" --seed=1 "$d/llama"
"$mkmodel" --seed=1 --noise=0.03 "$d/tuned"
"$tenpak" pack -q "$d/llama"
cp "$d/llama.tnpk" "$d/a-damaged.tnpk"
printf 'XXXX' | dd of="$d/a-damaged.tnpk" bs=1 seek="$(($(stat -c %s "$d/llama.tnpk") - 60))" conv=notrunc 2>/dev/null
is 'a damaged pack is not chosen' "$(base_of "$d/tuned")" llama
has 'and that is said' "$tmp/err" "a-damaged.* cannot serve as a base"
exits 'a base that is not there' 1 "$tenpak" pack --base=nobody "$d/tuned"
has 'is named' "$tmp/.out" "no model 'nobody'"
ok 'base=none' "$tenpak" pack -q --base=none -o "$tmp/none.tnpk" "$d/tuned"
is 'base=none takes none' "$(info_base "$tmp/none.tnpk")" null
# The base said with a suffix, without one, elsewhere: packing takes what a dry run says.
for base in llama llama.tnpk ./llama ../broken/llama/ "$d/llama" ../broken/llama.tnpk; do
    rm -f "$tmp/said.tnpk"
    (cd "$d" && "$tenpak" pack -q --base="$base" -o "$tmp/said.tnpk" tuned)
    is "base=$base" "$("$tenpak" info --json "$tmp/said.tnpk" | jq -r .base.name)" llama
    is "base=$base: dry run" "$(cd "$d" && "$tenpak" pack -n --json --base="$base" tuned | jq -r '.models[0].base')" llama
done
# Only a model becomes a base, and neither one around the model at hand nor one within it: nothing is packed or goes.
mkdir -p "$tmp/nested/plain"
"$mkmodel" --seed=1 "$tmp/nested/outer"
"$mkmodel" --seed=1 --noise=0.03 "$tmp/nested/outer/checkpoint"
"$mkmodel" --seed=1 --noise=0.02 "$tmp/nested/tuned"
ln -s tuned "$tmp/nested/again"
(cd "$tmp/nested" && find . | sort) >"$tmp/nested.was"
refusal() { case $1 in '' | . | ..) echo 2 ;; *) echo 1 ;; esac; } # 2: no model has such a name
for base in '' . .. ./ ../ ./plain plain ./tuned ./again "$tmp/nested" "$tmp/nested/../nested/"; do
    (cd "$tmp/nested" && "$tenpak" pack --base="$base" tuned) >"$tmp/.out" 2>&1
    is "base='$base' is refused" $? "$(refusal "$base")"
done
for pair in 'checkpoint ..' 'checkpoint ../' 'checkpoint ../../outer'; do
    (cd "$tmp/nested/outer" && "$tenpak" pack --base="${pair#* }" "${pair% *}") >"$tmp/.out" 2>&1
    is "base='${pair#* }' of '${pair% *}' is refused" $? "$(refusal "${pair#* }")"
done
(cd "$tmp/nested" && "$tenpak" pack --base=./outer/checkpoint outer) >"$tmp/.out" 2>&1
is 'a base within the model is refused' $? 1
has 'and said why' "$tmp/.out" 'one lies within the other'
(cd "$tmp/nested" && find . ! -path './.tenpak*' ! -path './outer/.tenpak*' | sort) >"$tmp/nested.now"
ok 'and everything is as it was' diff "$tmp/nested.was" "$tmp/nested.now"
exits 'no model is its own base' 1 "$tenpak" pack --base=tuned "$d/tuned"
has 'and says so' "$tmp/.out" 'cannot be its own base'
exits 'nor in a dry run' 1 "$tenpak" pack -n --base=tuned.tnpk "$d/tuned"
has 'and says so there' "$tmp/.out" 'cannot be its own base'
# Links to models are none of the candidates: to the model itself, as "latest" often is, to another, or to one elsewhere.
mkdir "$tmp/linked"
"$mkmodel" --seed=1 --noise=0.02 "$tmp/linked/tuned"
ln -s tuned "$tmp/linked/latest"
ln -s "$tmp/nested/plain/../outer" "$tmp/linked/far"
is 'a link is not found' "$("$tenpak" pack -n --json "$tmp/linked/tuned" | jq -r '.models[0].base')" null
ok 'and in no other'"'"'s way' "$tenpak" pack -q "$tmp/linked/tuned"
is 'nor packed, or removed' "$(ls -A "$tmp/linked" | tr '\n' ' ')" 'far latest tuned.tnpk '

is 'base=FILE' "$("$tenpak" pack -n --json --base="$d/llama.tnpk" "$d/tuned" | jq -r '.models[0].base')" llama
tap_done
