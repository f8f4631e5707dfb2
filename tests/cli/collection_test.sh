#!/bin/sh
# SPDX-License-Identifier: MIT
# A directory of several checkpoints or LoRAs: related files are coded against each other.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq
requires_python json

# make DIR SCRIPT: files in the safetensors format in DIR, as the script says.
make() {
    mkdir -p "$1"
    (cd "$1" && "$PYTHON" - "$2") <<'END'
import array, json, os, random, struct, sys

def weights(seed, n):
    a = array.array('H', random.Random(seed).randbytes(2 * n))
    return array.array('H', ((v & 0x81ff) | 0x3c00 for v in a))

def tuned(a, seed):
    r = random.Random(seed).randbytes(len(a))
    return array.array('H', (v ^ (d & 3) if d < 128 else v for v, d in zip(a, r)))

def save(path, *tensors, dtype='BF16'):
    head, off = {}, 0
    for name, data in tensors:
        size = len(data) * data.itemsize
        head[name] = {'dtype': dtype, 'shape': [len(data)], 'data_offsets': [off, off + size]}
        off += size
    text = json.dumps(head).encode()
    text += b' ' * (-len(text) % 8)
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text)
        for _, data in tensors:
            f.write(data.tobytes())

def model(path, a, *more):
    half = len(a) // 2 + 5
    save(path, ('first', a[:half]), ('second', a[half:]), *more)

exec(sys.argv[1])
END
}

# apart FILE [FILE]: what a model of the first file alone takes, or against one of the second.
apart() {
    rm -rf "$tmp/apart"
    mkdir -p "$tmp/apart/model" "$tmp/apart/base"
    cp "$1" "$tmp/apart/model/model.safetensors"
    base=none
    if [ $# -gt 1 ]; then
        cp "$2" "$tmp/apart/base/model.safetensors"
        "$tenpak" pack -q -b none "$tmp/apart/base" && base=base
    fi
    "$tenpak" pack -q -b "$base" "$tmp/apart/model" && stat -c %s "$tmp/apart/model.tnpk"
}

# within NAME SIZE LIMIT: no more than a tenth above it.
within() {
    ok "$1: $2 bytes, $3 apart" [ "$2" -le $(($3 + $3 / 10)) ]
}

hashes() {
    (cd "$1" && find . -type f -exec sha256sum {} + | sort -k 2)
}

d=$tmp/models
c=$d/collection
make "$c" '
n = 100001
b = weights(1, n)
model("base.safetensors", b)
model("alien-1.safetensors", weights(21, n))
model("n-alien-2.safetensors", weights(22, n))
model("tuned-1.safetensors", tuned(b, 11))
model("tuned-2.sft", tuned(b, 12))
model("tuned-3.safetensors", tuned(b, 13), ("more", weights(31, 3000)))
save("wide.safetensors", ("first", array.array("I", (v << 16 for v in b[:n // 2 + 5]))),
     ("second", array.array("I", (v << 16 for v in b[n // 2 + 5:]))), dtype="F32")
l = weights(2, 6000)
save("lora/a.safetensors", ("down", l), ("up", weights(3, 6000)))
save("lora/b.safetensors", ("down", tuned(l, 14)), ("up", tuned(weights(3, 6000), 15)))
save("lora/c.safetensors", ("down", weights(4, 6000)), ("up", weights(5, 6000)))
'
ln "$c/base.safetensors" "$c/zz-link.safetensors"
hashes "$c" >"$tmp/was"
sum=$(($(apart "$c/base.safetensors") + $(apart "$c/alien-1.safetensors") + $(apart "$c/n-alien-2.safetensors")))
for file in tuned-1.safetensors tuned-2.sft tuned-3.safetensors wide.safetensors; do
    sum=$((sum + $(apart "$c/$file" "$c/base.safetensors")))
done
sum=$((sum + $(apart "$c/lora/a.safetensors") + $(apart "$c/lora/c.safetensors")))
sum=$((sum + $(apart "$c/lora/b.safetensors" "$c/lora/a.safetensors")))

for threads in 1 4; do
    ok "packed by $threads threads" "$tenpak" pack -q -b none -j $threads -o "$tmp/by-$threads.tnpk" "$c"
done
ok 'the same bytes, whatever the number of threads' cmp "$tmp/by-1.tnpk" "$tmp/by-4.tnpk"
size=$(stat -c %s "$tmp/by-1.tnpk")
within 'as small as models of their own' "$size" "$sum"
"$tenpak" pack --dry-run --json -b none "$c" >"$tmp/dry.json"
estimate=$(jq '.models[0].stored_bytes' "$tmp/dry.json")
ok 'the estimate was within 5 %' [ $((estimate * 100)) -gt $((size * 95)) -a $((estimate * 95)) -lt $((size * 100)) ]
"$tenpak" pack -q -b none -c split -o "$tmp/split.tnpk" "$c"
ok 'a codec that uses no other bytes is given none' [ "$(stat -c %s "$tmp/split.tnpk")" -gt $((size + size / 4)) ]
ok 'verify' "$tenpak" verify "$tmp/by-1.tnpk"
ok 'unpack' "$tenpak" unpack -o "$tmp/unpacked" "$tmp/by-1.tnpk"
hashes "$tmp/unpacked" >"$tmp/now"
ok 'every file as it was' diff "$tmp/was" "$tmp/now"

# --- a base elsewhere ---
e=$d/with-base
make "$d/base" 'model("model.safetensors", weights(6, 100001))'
make "$e" '
b, o = weights(6, 100001), weights(7, 100001)
model("near-1.safetensors", tuned(b, 41))
model("near-2.safetensors", tuned(b, 42))
model("other-1.safetensors", o)
model("other-2.safetensors", tuned(o, 43))
model("other-3.safetensors", tuned(o, 44))
'
hashes "$e" >"$tmp/was"
sum=$(apart "$e/other-1.safetensors")
for file in near-1 near-2; do
    sum=$((sum + $(apart "$e/$file.safetensors" "$d/base/model.safetensors")))
done
for file in other-2 other-3; do
    sum=$((sum + $(apart "$e/$file.safetensors" "$e/other-1.safetensors")))
done
ok 'packed against a base' "$tenpak" pack -q -b base "$e"
within 'each file takes what predicts it best' "$(stat -c %s "$e.tnpk")" "$sum"
ok 'verify, with a base' "$tenpak" verify "$e.tnpk"

# --- through a mount ---
if [ -w /dev/fuse ] && command -v fusermount3 >/dev/null; then
    "$tenpak" pack -q -b none "$c"
    mount_dir "$d" "$tmp/mnt"
    hashes "$tmp/mnt/with-base" >"$tmp/now"
    ok 'read through the mount, with a base' diff "$tmp/was" "$tmp/now"
    for file in base.safetensors tuned-3.safetensors lora/b.safetensors; do
        ok "read through the mount: $file" cmp "$tmp/unpacked/$file" "$tmp/mnt/collection/$file"
    done
else
    skip 'read through the mount' 'there is no FUSE here'
fi
tap_done
