#!/bin/sh
# SPDX-License-Identifier: MIT
# Invalid input is reported in one line with the file, the fault and its place, and with its own exit code. Nothing
# crashes, nothing is written, and nothing leads out of the directory.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq

mkmodel=$top_builddir/tests/mkmodel
packedit=$top_builddir/tests/packedit
d=$tmp/store
mkdir "$d"
small='--layers=1 --hidden=32 --inter=48 --vocab=64 --tokenizer=512'
# shellcheck disable=SC2086
"$mkmodel" $small "$d/base"
# shellcheck disable=SC2086
"$mkmodel" $small --noise=0.01 "$d/tune"
mkdir "$d/base/sub"
echo inside >"$d/base/sub/file"
ln -s sub/file "$d/base/sunk"
"$tenpak" pack -q --base=none "$d/base" || fail 'packing the base'
"$tenpak" pack -q --base=base "$d/tune" || fail 'packing the fine-tune'
size=$(stat -c %s "$d/base.tnpk")

# one_line: what the last exits said is one line of ours (and perhaps a hint).
one_line() {
    is "$1: one line" "$(grep -vc '^hint: ' "$tmp/.out")$(grep -c '^tenpak: ' "$tmp/.out")" 11
}

# refuses NAME CODE PATTERN PACK: by verify, info, ls of its folder, and unpack, which leaves nothing.
refuses() {
    exits "$1: verify" "$2" "$tenpak" verify -q "$4"
    has "$1: what and where" "$tmp/.out" "$3"
    has "$1: the file" "$tmp/.out" "$(basename "$4")"
    exits "$1: unpack" "$2" "$tenpak" unpack -q -o "$tmp/x/out" "$4"
    has "$1: what and where" "$tmp/.out" "$3"
    one_line "$1"
    is "$1: nothing is left" "$(find "$tmp/x" -name '*out*')" ''
}

# edited NAME CODE PATTERN EDIT...: the base's pack with its index or footer changed and signed again.
edited() {
    name=$1 code=$2 pattern=$3
    shift 3
    "$packedit" "$d/base.tnpk" "$tmp/x/edited.tnpk" "$@" || fail "$name: cannot be made"
    refuses "$name" "$code" "$pattern" "$tmp/x/edited.tnpk"
}

# flipped NAME OFFSET PATTERN: one byte of it turned around.
flipped() {
    cp "$d/base.tnpk" "$tmp/x/flipped.tnpk"
    byte=$(od -An -tu1 -j "$2" -N 1 "$d/base.tnpk" | tr -d ' ')
    # shellcheck disable=SC2059
    printf "$(printf '\\%03o' $((255 - byte)))" |
        dd of="$tmp/x/flipped.tnpk" bs=1 seek="$2" conv=notrunc 2>/dev/null
    exits "$1 flipped: verify" 4 "$tenpak" verify -q "$tmp/x/flipped.tnpk"
    has "$1 flipped: what and where" "$tmp/.out" "flipped.tnpk.*$3"
}
mkdir "$tmp/x"

# --- damage, section by section ---
index_off=$(od -An -tu8 -j $((size - 112)) -N 8 "$d/base.tnpk" | tr -d ' ')
flipped 'the header' 9 'byte 9 of its header'
flipped 'the magic' 0 'offset 0'
flipped 'the first chunk' 20 "'config.json'\\|tables\\|chunk"
flipped 'the data' $((index_off / 2)) "chunk [0-9]* (bytes from [0-9]* of '.*', offset [0-9]* in the pack)\\|tables"
flipped 'the last byte of data' $((index_off - 1)) "chunk [0-9]* (.*tokenizer.json"
flipped 'the index' $((index_off + 5)) "index ([0-9]* bytes at offset $index_off) does not match"
flipped 'the footer' $((size - 20)) 'footer does not match'
flipped 'the magic of the footer' $((size - 128)) 'footer is overwritten'
for keep in 0 1 15 143 $((index_off - 1)) $((index_off + 3)) $((size - 128)) $((size - 1)); do
    head -c "$keep" "$d/base.tnpk" >"$tmp/x/cut.tnpk"
    refuses "cut to $keep bytes" 4 'cut short' "$tmp/x/cut.tnpk"
done

# --- numbers and names that a hostile writer chose, with every checksum right ---
edited 'a newer format' 12 'pack format 3, and this program reads up to 2' footer@8:2=3
edited 'an unknown feature' 12 'features 0x80000000' footer@12:4=0x80000000
edited 'an index of 2^63 bytes' 4 'bytes can have' footer@32:8=0x8000000000000000
edited 'an index beyond the end' 4 'does not end where its footer begins' footer@16:8=0x7fffffffffffff00
edited 'an index that wraps around' 4 'does not end where its footer begins' footer@24:8=0xffffffffffffff00
edited 'an unknown coding of the index' 4 'stored in an unknown way' footer@10:2=9
edited 'another content' 4 'different contents' footer@112:8=1
edited 'reserved bytes' 4 'out of range' index@76:4=1 index@144:8=1
for at in 8 12 16 20 24 28 68 72; do
    edited "4 billion records (offset $at)" 4 'do not add up' index@$at:4=0xfffffff0
done
edited 'a chunk size of 4 GiB' 4 'chunk size' index@4:4=0x80000000
edited 'a total of 2^62 bytes' 4 'do not add up' index@32:8=0x4000000000000000
edited 'a file of 2^62 bytes' 4 'do not add up\|more than there is' index@192:8=0x4000000000000000
edited 'a file of 2^64 - 1 bytes' 4 'out of range' index@192:8=0xffffffffffffffff
edited 'a name beyond the strings' 4 'string offset' index@160:4=0xfffffff0
edited 'a kind of file that is none' 4 'unknown kind' index@168:4=7
edited 'a name that leads out' 4 "no relative path" 'name:sub/file=../e/ile'
edited 'an absolute name' 4 "no relative path" 'name:config.json=/onfig.json'
edited 'a name with an empty part' 4 "no relative path" 'name:sub/file=sub//ile'
# The third record is that of the directory 'sub': now a link.
edited 'a file below a link' 4 'not a directory' index@324:4=1 index@328:4=2
edited 'a file below another file' 4 'no parent\|out of order\|not a directory' 'name:sub/file=sux/file'
edited 'a line break in a name' 4 'su?.file' 'name:sub/file=su
/file'
edited 'names out of order' 4 'out of order or there twice' name:config.json=zonfig.json

# --- memory: what is claimed is not allocated ---
# shellcheck disable=SC2016
exits 'little memory is enough to refuse it' 4 sh -c 'ulimit -v 400000; exec "$@"' sh "$tenpak" verify -q "$tmp/x/edited.tnpk"
"$packedit" "$d/base.tnpk" "$tmp/x/huge.tnpk" index@16:4=0x02000000 index@12:4=0x00ffffff
# shellcheck disable=SC2016
exits 'also a billion records' 4 sh -c 'ulimit -v 400000; exec "$@"' sh "$tenpak" verify -q "$tmp/x/huge.tnpk"

# --- bases ---
mkdir "$tmp/wrong"
cp "$d/tune.tnpk" "$tmp/wrong"
# shellcheck disable=SC2086
"$mkmodel" $small --seed=9 "$tmp/other"
"$tenpak" pack -q --base=none -o "$tmp/wrong/base.tnpk" "$tmp/other"
exits 'a base of the right name and another id' 14 "$tenpak" verify -q "$tmp/wrong/tune.tnpk"
has 'names the base and its id' "$tmp/.out" "base 'base' (id [0-9a-f]\\{16\\})"
exits 'unpack says the same' 14 "$tenpak" unpack -q -o "$tmp/x/out" "$tmp/wrong/tune.tnpk"
one_line 'unpack'
cp "$tmp/x/flipped.tnpk" "$tmp/wrong/base.tnpk"
exits 'a damaged base' 14 "$tenpak" verify -q "$tmp/wrong/tune.tnpk"
has 'is named' "$tmp/.out" "base 'base'"
"$packedit" "$d/tune.tnpk" "$tmp/x/self.tnpk" index@80:8=1
exits 'a base that nobody can have' 14 "$tenpak" verify -q "$tmp/x/self.tnpk"

mkdir "$tmp/chain"
cp "$d/base.tnpk" "$tmp/chain/m0.tnpk"
last=0
for i in 1 2 3 4 5 6 7 8 9; do
    # shellcheck disable=SC2086
    "$mkmodel" $small --noise=0.01 --noise-seed=$i "$tmp/chain/m$i"
    "$tenpak" pack -q --base=m$((i - 1)) "$tmp/chain/m$i" >"$tmp/.out" 2>&1 || break
    last=$i
done
is 'a chain of eight bases, and no more' "$last" 8
has 'the message gives the reason' "$tmp/.out" "m8.tnpk' stands on 8 others already"
ok 'the deepest is whole' "$tenpak" verify -q "$tmp/chain/m8.tnpk"

# --- safetensors that are none: kept as bytes, with a warning that says why ---
odd() {
    name=$1 pattern=$2
    rm -rf "$tmp/odd" "$tmp/odd.tnpk" "$tmp/odd.back"
    mkdir "$tmp/odd"
    mv "$tmp/in" "$tmp/odd/model.safetensors"
    "$tenpak" pack --base=none --keep "$tmp/odd" >"$tmp/.out" 2>&1
    is "$name: packs all the same" $? 0
    [ -z "$pattern" ] || has "$name: says why" "$tmp/.out" "model.safetensors.*$pattern"
    "$tenpak" unpack -q -o "$tmp/odd.back" "$tmp/odd.tnpk"
    ok "$name: comes back as it was" cmp "$tmp/odd/model.safetensors" "$tmp/odd.back/model.safetensors"
}
# header LENGTH: the eight bytes that say it.
header() {
    "$PYTHON" -c 'import struct, sys; sys.stdout.buffer.write(struct.pack("<Q", int(sys.argv[1])))' "$1"
}
{ header 100000000 && printf '{}' && head -c 99999998 /dev/zero | tr '\0' ' '; } >"$tmp/in"
odd 'a header of 100 MB' ''
{ header 100000001 && printf '{}' && head -c 99999999 /dev/zero | tr '\0' ' '; } >"$tmp/in"
odd 'and one byte more' 'too long'
{ header 18446744073709551615 && echo '{}'; } >"$tmp/in"
odd 'a header of 2^64 - 1 bytes' 'too long'
"$PYTHON" -c '
import struct, sys
h = b"{\"__metadata__\":{},\"a\":" + b"[" * 100000 + b"]" * 100000 + b"}"
sys.stdout.buffer.write(struct.pack("<Q", len(h)) + h)' >"$tmp/in"
odd 'deep JSON' 'not an object'
"$PYTHON" -c '
import struct, sys
h = b"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":" + b"[" * 5000 + b"]" * 5000 + b"}}"
sys.stdout.buffer.write(struct.pack("<Q", len(h)) + h + b"x")' >"$tmp/in"
odd 'deep JSON in a tensor' 'deep'
"$PYTHON" -c '
import struct, sys
t = b"{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}"
h = b"{\"a\":" + t % (0, 1) + b",\"a\":" + t % (1, 2) + b"}"
sys.stdout.buffer.write(struct.pack("<Q", len(h)) + h + b"xy")' >"$tmp/in"
odd 'duplicate keys' 'duplicate'

# --- without permission, as another user ---
if [ "$(id -u)" -eq 0 ] && setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
    nobody='setpriv --reuid=65534 --regid=65534 --clear-groups'
    chmod 711 "$tmp"
    mkdir -m 777 "$tmp/theirs"
    # shellcheck disable=SC2086
    "$mkmodel" $small "$tmp/theirs/closed"
    cp "$d/base.tnpk" "$tmp/theirs/secret.tnpk"
    # The program itself may lie where this user cannot go.
    cp "$(readlink -f "$tenpak")" "$tmp/theirs/program" 2>/dev/null
    if $nobody "$tmp/theirs/program" version >/dev/null 2>&1; then
        chmod 000 "$tmp/theirs/closed" "$tmp/theirs/secret.tnpk"
        exits 'a directory that may not be read' 1 $nobody "$tmp/theirs/program" pack --base=none "$tmp/theirs/closed"
        has 'the message gives the reason' "$tmp/.out" "theirs/closed.*Permission denied"
        exits 'a pack that may not be read' 1 $nobody "$tmp/theirs/program" verify -q "$tmp/theirs/secret.tnpk"
        has 'the message gives the reason' "$tmp/.out" "secret.tnpk.*Permission denied"
        exits 'ls of a directory that may not be read' 1 $nobody "$tmp/theirs/program" ls "$tmp/theirs/closed"
        chmod 755 "$tmp/theirs/closed"
        chmod 000 "$tmp/theirs/closed/config.json"
        chmod 755 "$tmp/theirs"
        exits 'a directory that may not be written to' 1 $nobody "$tmp/theirs/program" pack --base=none "$tmp/theirs/closed"
        has 'the message gives the reason' "$tmp/.out" "Permission denied"
        chmod 777 "$tmp/theirs"
        chown -R 65534:65534 "$tmp/theirs/closed"
        exits 'one file that may not be read' 1 $nobody "$tmp/theirs/program" pack --base=none "$tmp/theirs/closed"
        has 'is named' "$tmp/.out" "config.json.*Permission denied"
        is 'and nothing is left' "$(find "$tmp/theirs" -name '*closed*')" "$tmp/theirs/closed"
    else
        skip 'without permission' 'the program does not run from a copy'
    fi
else
    skip 'without permission' 'only root can be another user'
fi

# --- through the mount ---
if [ -e /dev/fuse ] && command -v fusermount3 >/dev/null; then
    mkdir "$tmp/bad"
    "$packedit" "$d/base.tnpk" "$tmp/bad/out.tnpk" 'name:sub/file=../e/ile'
    "$packedit" "$d/base.tnpk" "$tmp/bad/new.tnpk" footer@8:2=3
    cp "$d/base.tnpk" "$tmp/bad/good.tnpk"
    if mount_dir "$tmp/bad" "$tmp/mnt"; then
        not_ok 'a pack with a name that leads out is not shown' ls "$tmp/mnt/out/"
        not_ok 'nor one of a newer format' ls "$tmp/mnt/new/"
        ok 'the good one is' cat "$tmp/mnt/good/sub/file"
        has_soon 'both are reported' "$tmp/mount.log" "out.tnpk.*no relative path"
        has_soon 'both are reported' "$tmp/mount.log" "new.tnpk.*pack format 3"
        ok 'unmounted' unmount "$tmp/mnt"
    else
        fail 'the mount comes up'
    fi
    # A base whose data is damaged, all of it but the names: no byte of what stands on it may be wrong.
    mkdir "$tmp/worn"
    cp "$d/tune.tnpk" "$d/base.tnpk" "$tmp/worn"
    head -c $((index_off - 16)) /dev/zero | dd of="$tmp/worn/base.tnpk" bs=4096 oflag=seek_bytes seek=16 conv=notrunc 2>/dev/null
    : >"$tmp/mount.log"
    if mount_dir "$tmp/worn" "$tmp/mnt"; then
        not_ok 'a fine-tune of a damaged base does not read' cat "$tmp/mnt/tune/model.safetensors"
        has 'which is an error of reading' "$tmp/.out" 'Input/output error'
        has_soon 'and reported with the name of the base, chunk and offset' "$tmp/mount.log" "worn/base.tnpk' is damaged: .*offset [0-9]*"
        ok 'unmounted' unmount "$tmp/mnt"
    else
        fail 'the mount comes up'
    fi
else
    skip 'through the mount' 'no /dev/fuse'
fi
tap_done
