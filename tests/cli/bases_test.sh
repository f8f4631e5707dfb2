#!/bin/sh
# SPDX-License-Identifier: MIT
# A base that was lost and packed again, by another version, against another base or by another user, serves the
# fine-tunes of the first, because it has the same files. No pack becomes its own base, and bases that are needed are
# kept.
. "${top_srcdir:-.}/tests/lib.sh"
mkmodel=$top_builddir/tests/mkmodel
golden=$top_srcdir/tests/golden
size='--layers=1 --hidden=256 --inter=512 --vocab=4000'

# The fine-tune differs from its base in a few places: most of its chunks are the base's.
# shellcheck disable=SC2086
{
    "$mkmodel" $size "$tmp/root"
    "$mkmodel" $size --noise=0.02 --extra-rows=9 "$tmp/base"
    "$mkmodel" $size --noise=0.02 --extra-rows=9 "$tmp/tune"
    "$mkmodel" $size --noise=0.02 --noise-seed=5 --extra-rows=9 "$tmp/far"
}
for at in 3000 900000 2100000; do
    printf 'changed' | dd of="$tmp/tune/model.safetensors" bs=1 seek=$at conv=notrunc 2>/dev/null
done

# model NAME INTO [AS]: a plain model in a store, with times of its own.
model() {
    cp -r "$tmp/$1" "$2/${3:-$1}"
    find "$2/${3:-$1}" -exec touch -d '2024-05-06 07:08:09' {} +
}
# store NAME...: $s is a new store with these models.
store() {
    s=$tmp/store
    rm -rf "$s"
    mkdir "$s"
    for m in "$@"; do
        model "$m" "$s"
    done
}
pack() {
    "$tenpak" pack -q -b "$1" "$2" >"$tmp/.out" 2>&1 || fail "pack -b $1 $2: $(head -1 "$tmp/.out")"
}
# reads WHAT NAME: the pack NAME of the store verifies, and unpacks to what it was.
reads() {
    ok "$1: verifies" "$tenpak" verify "$s/$2"
    rm -rf "$tmp/back"
    ok "$1: unpacks" "$tenpak" unpack -q -o "$tmp/back" "$s/$2.tnpk"
    ok "$1: to the same" diff -r "$tmp/${3:-$2}" "$tmp/back"
}

# --- packed again ---
for first in none root; do
    for second in none root; do
        store root base tune far
        pack none "$s/root"
        pack $first "$s/base"
        pack base "$s/tune"
        pack base "$s/far"
        rm "$s/base.tnpk"
        exits "without it ($first, $second)" 14 "$tenpak" verify -q "$s/tune"
        model base "$s"
        chmod 700 "$s/base"
        touch -d 2020-02-02 "$s/base/config.json"
        pack $second "$s/base"
        reads "packed with base $first, then $second" tune
        reads 'a fine-tune that is far from it' far
    done
done
mv "$s/base.tnpk" "$s/other-name.tnpk"
reads 'under another name' tune
ok 'listed' "$tenpak" ls "$s"
has 'with its base' "$tmp/.out" 'tune .*other-name\|tune .*base'
not_ok 'and not as a pack without its base' grep -q absent "$tmp/.out"

# --- two people ---
for who in a b; do
    store base
    mv "$s" "$tmp/$who"
    touch -d "2021-01-0$([ $who = a ] && echo 1 || echo 2)" "$tmp/$who/base/config.json"
    "$tenpak" pack -q -b none "$tmp/$who/base"
done
model tune "$tmp/a"
model far "$tmp/b"
pack base "$tmp/a/tune"
pack base "$tmp/b/far"
not_ok 'two packs of one base' cmp "$tmp/a/base.tnpk" "$tmp/b/base.tnpk"
cp "$tmp/a/tune.tnpk" "$tmp/b"
cp "$tmp/b/far.tnpk" "$tmp/a"
s=$tmp/b
reads "the other's fine-tune" tune
s=$tmp/a
reads 'and this one there' far

# --- several ---
s=$tmp/b
cp "$tmp/b/base.tnpk" "$tmp/b/z.tnpk"
printf 'spoiled' | dd of="$s/base.tnpk" bs=1 seek=$(($(stat -c %s "$s/base.tnpk") - 300)) conv=notrunc 2>/dev/null
reads 'the damaged index of one is passed over' tune
mkdir "$tmp/spoiled"
cp "$s/z.tnpk" "$tmp/spoiled"
# One of another id, whose data is damaged, before one that is whole.
model base "$tmp/spoiled" a
"$tenpak" pack -q -b none "$tmp/spoiled/a" || fail 'pack a'
printf 'spoiled' | dd of="$tmp/spoiled/a.tnpk" bs=1 seek=$(($(stat -c %s "$tmp/spoiled/a.tnpk") / 2)) conv=notrunc 2>/dev/null
cp "$s/tune.tnpk" "$tmp/spoiled"
s=$tmp/spoiled
not_ok 'one is damaged' "$tenpak" verify -q "$s/a"
reads 'damaged data is tried last, too' tune
exits 'and is no reason to let the whole one go' 11 "$tenpak" unpack -q "$s/z.tnpk"
s=$tmp/b
rm "$s/base.tnpk"

# --- what is needed is kept ---
exits 'the only one that holds it is not unpacked' 11 "$tenpak" unpack -q "$s/z.tnpk"
has 'with the names of those that need it' "$tmp/.out" "is the base of 2 others: 'far', 'tune'"
cp "$tmp/a/base.tnpk" "$s/again.tnpk"
ok 'one of two is' "$tenpak" unpack -q "$s/z.tnpk"
reads 'and the other serves' tune
reads 'both' far
exits 'that one stays' 11 "$tenpak" unpack -q "$s/again.tnpk"
mv "$s/z" "$s/twin"
pack again "$s/twin"
exits 'also beside one that stands on itself' 11 "$tenpak" unpack -q "$s/again.tnpk"

# --- in a circle ---
store base tune
pack none "$s/base"
pack base "$s/tune"
rm "$s/base.tnpk"
cp -r "$tmp/tune" "$s/copy"
"$tenpak" pack -q -b none -o "$s/full.tnpk" "$tmp/tune"
model base "$s"
pack full "$s/base"
reads 'the base stands on a copy of the fine-tune' tune
rm "$s/full.tnpk"
rm -rf "$s/copy"
exits 'which goes: each would stand on the other' 14 "$tenpak" verify -q "$s/tune"
exits 'and is reported' 14 "$tenpak" verify -q "$s/base"
store tune
pack none "$s/tune"
model tune "$s" same
pack tune "$s/same"
rm "$s/tune.tnpk"
exits 'a pack is not its own base' 14 "$tenpak" verify -q "$s/same"

# --- formats ---
mkdir "$tmp/mixed"
s=$tmp/mixed
cp "$golden/v1/base.tnpk" "$golden/v2/tune.tnpk" "$golden/v2/sparse.tnpk" "$golden/v2/fp32.tnpk" "$s"
for m in tune sparse fp32; do
    ok "format 2 on a base of format 1: $m" "$tenpak" verify "$s/$m"
done
rm "$s/base.tnpk" "$s/tune.tnpk"
cp "$golden/v2/base.tnpk" "$golden/v1/tune.tnpk" "$s"
exits 'format 1 needs the base that it names' 14 "$tenpak" verify -q "$s/tune"
exits 'so does what stands on it' 14 "$tenpak" verify -q "$s/fp32"
ok 'others do not' "$tenpak" verify "$s/sparse"
cp "$golden/v1/base.tnpk" "$s/old.tnpk"
for m in tune sparse fp32; do
    ok "with both bases there: $m" "$tenpak" verify "$s/$m"
done
tap_done
