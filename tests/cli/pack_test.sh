#!/bin/sh
# SPDX-License-Identifier: MIT
# pack, unpack, ls, info, verify: round trips, reports and errors.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq

mkmodel=$top_builddir/tests/mkmodel
d=$tmp/models
mkdir "$d"

# Names, contents, link targets, modes and times of a tree.
fingerprint() {
    (cd "$1" && {
        find . -printf '%P %y %m %T@ %l\n'
        find . -type f -exec sha256sum {} +
    } | sort)
}

"$mkmodel" --seed=5 "$d/base"
"$mkmodel" --seed=5 --noise=0.02 --shards=3 --every-dtype "$d/tuned"
mkdir -p "$d/tuned/deep/er" "$d/tuned/nothing"
: >"$d/tuned/deep/empty"
printf 'print("hi")\n' >"$d/tuned/deep/er/model code.py"
ln -s deep/empty "$d/tuned/link"
ln -s /nowhere "$d/tuned/dangling"
chmod 600 "$d/tuned/config.json"
chmod 750 "$d/tuned/deep/er/model code.py" "$d/tuned/nothing"
touch -d '2001-02-03 04:05:06.789' "$d/tuned/config.json" "$d/tuned/deep/er"
long=$(printf 'n%.0s' $(seq 255))
echo long >"$d/tuned/$long"
head -c 100000 /dev/urandom >"$d/tuned/broken.safetensors"
fingerprint "$d/tuned" >"$tmp/tuned.was"
fingerprint "$d/base" >"$tmp/base.was"

# --- out of place ---
ok 'pack -o' "$tenpak" pack -q --base=none -o "$tmp/alone.tnpk" "$d/tuned"
fingerprint "$d/tuned" >"$tmp/tuned.now"
ok 'leaves the original' cmp "$tmp/tuned.was" "$tmp/tuned.now"
"$tenpak" pack -q --base=none -o "$tmp/alone.tnpk" "$d/tuned" 2>"$tmp/err"
is 'an existing output is refused' $? 1
has 'with a hint' "$tmp/err" '^hint: '
"$tenpak" pack -q -j 1 --base=none -o "$tmp/again.tnpk" "$d/tuned"
ok 'the same bytes from another number of threads' cmp "$tmp/alone.tnpk" "$tmp/again.tnpk"
ok 'unpack -o' "$tenpak" unpack -o "$tmp/alone" "$tmp/alone.tnpk"
fingerprint "$tmp/alone" >"$tmp/tuned.now"
ok 'gives everything back' diff "$tmp/tuned.was" "$tmp/tuned.now"


# What cannot be written is said before anything is done, packing the base among it.
for out in '' "$d/tuned" "$tmp/alone.tnpk" "$tmp/no/such/directory.tnpk" /dev/null; do
    exits "output '$out' is refused" 1 "$tenpak" pack --base=base -o "$out" "$d/tuned"
    is "output '$out': the base is not packed" "$(find "$d" -name '*.tnpk')" ''
    exits "unpack to '$out' is refused" 1 "$tenpak" unpack -o "$out" "$tmp/again.tnpk"
done

# --- dry run ---
"$tenpak" pack --dry-run --json "$d/tuned" >"$tmp/dry.json"
is 'dry run: finds the base' "$(jq -r '.models[0].base' "$tmp/dry.json")" base
is 'dry run: writes nothing' "$(find "$d" -name '*.tnpk')" ''

# --- in place, the base still plain ---
"$tenpak" pack --json "$d/tuned" >"$tmp/pack.json" 2>"$tmp/err"
is 'pack in place' $? 0
has 'says which base it took' "$tmp/err" '^base: base ('
is 'report: base' "$(jq -r '.models[0] | "\(.base) \(.base_packed) \(.original_removed)"' "$tmp/pack.json")" 'base true true'
is 'report: stored bytes are the file' "$(jq '.models[0].stored_bytes' "$tmp/pack.json")" "$(stat -c %s "$d/tuned.tnpk")"
is 'report: chunks of all codecs are all chunks' \
    "$(jq '.models[0] | ([.codecs[].chunks] | add) == .chunks' "$tmp/pack.json")" true
is 'the directories were removed' "$(find "$d" -mindepth 1 | sort | tr '\n' ' ')" "$d/base.tnpk $d/tuned.tnpk "
stored=$(jq '.models[0].stored_bytes' "$tmp/pack.json")
estimated=$(jq '.models[0].stored_bytes' "$tmp/dry.json")
ok 'the estimate was within 5 %' [ $((estimated * 100)) -gt $((stored * 95)) -a $((estimated * 95)) -lt $((stored * 100)) ]
ok 'smaller than without a base' [ "$stored" -lt "$(stat -c %s "$tmp/alone.tnpk")" ]

# --- ls, info ---
"$tenpak" ls --json "$d" >"$tmp/ls.json"
is 'ls --json' "$(jq -r '.models[] | "\(.name) \(.kind) \(.base) \(.exact)"' "$tmp/ls.json" | tr '\n' ';')" \
    'base pack null true;tuned pack base true;'
is 'ls --json: totals' "$(jq '.stored_bytes == ([.models[].stored_bytes] | add)' "$tmp/ls.json")" true
"$tenpak" ls "$d" >"$tmp/ls.txt"
has 'ls' "$tmp/ls.txt" '^tuned  *pack .*x  base$'
has 'ls: total' "$tmp/ls.txt" '^2 models, .* smaller$'
"$tenpak" info --json "$d/tuned" >"$tmp/info.json"
is 'info --json: every file by its SHA-256' \
    "$(jq -r '.files[] | select(.type == "file") | "\(.sha256)  ./\(.path)"' "$tmp/info.json" | sort)" \
    "$(cd "$tmp/alone" && find . -type f -exec sha256sum {} + | sort)"
is 'info --json: links' "$(jq -r '.files[] | select(.path == "link") | .target' "$tmp/info.json")" deep/empty
is 'info --json: modes' "$(jq -r '.files[] | select(.path == "config.json") | .mode' "$tmp/info.json")" 0600
is 'info --json: times' "$(jq -r '.files[] | select(.path == "config.json") | .mtime' "$tmp/info.json" | cut -c 1-19)" 2001-02-03T04:05:06
is 'info --json: every dtype' "$(jq '[.tensors[].dtype] | unique | length' "$tmp/info.json")" 22
is 'info --json: tensors tile their files' \
    "$(jq '[.tensors[] | select(.name == "model.norm.weight") | .shape == [64] and .bytes == 128] == [true]' "$tmp/info.json")" true
is 'info --json: the base by id' "$(jq -r .base.id "$tmp/info.json")" "$("$tenpak" info --json "$d/base" | jq -r .id)"
"$tenpak" info --tensors "$d/tuned.tnpk" >"$tmp/info.txt"
has 'info: tensors' "$tmp/info.txt" 'BF16 .*  model.embed_tokens.weight  *(delta 1)'

# --- verify, and what damage looks like ---
"$tenpak" verify --json "$d" >"$tmp/verify.json"
is 'verify DIR: exit code' $? 0
is 'verify DIR: both packs' "$(jq -c '[.verified, .bad]' "$tmp/verify.json")" '[2,0]'
mkdir "$tmp/damaged"
cp "$d"/*.tnpk "$tmp/damaged"
printf 'X' | dd of="$tmp/damaged/tuned.tnpk" bs=1 seek=3000 conv=notrunc 2>/dev/null
"$tenpak" verify "$tmp/damaged" >"$tmp/out" 2>"$tmp/err"
is 'verify of a damaged pack: exit code' $? 4
has 'names file, chunk and offset' "$tmp/err" 'tuned.tnpk.*chunk'
has 'the other one is whole' "$tmp/out" '^base.tnpk: .* whole'
"$tenpak" verify --json "$tmp/damaged/tuned.tnpk" >"$tmp/verify.json" 2>/dev/null
is 'verify --json: reports it, too' "$(jq '.packs[0] | (.whole | not) and (.findings | length > 0)' "$tmp/verify.json")" true
exits 'unpack of a damaged pack: exit code' 4 "$tenpak" unpack -o "$tmp/damaged/out" "$tmp/damaged/tuned.tnpk"
is 'and leaves nothing' "$(find "$tmp/damaged" -mindepth 1 | sort | tr '\n' ' ')" "$tmp/damaged/base.tnpk $tmp/damaged/tuned.tnpk "
printf 'X' | dd of="$tmp/damaged/base.tnpk" bs=1 seek=0 conv=notrunc 2>/dev/null
exits 'a damaged header: exit code of verify' 4 "$tenpak" verify "$tmp/damaged/base.tnpk"
head -c 1000 /dev/urandom >"$tmp/damaged/noise.tnpk"
exits 'no pack at all: exit code' 4 "$tenpak" info "$tmp/damaged/noise.tnpk"
has 'and what it lacks' "$tmp/.out" "^tenpak: .*noise.tnpk"

# --- an absent base ---
mkdir "$tmp/orphan"
cp "$d/tuned.tnpk" "$tmp/orphan"
"$tenpak" verify "$tmp/orphan/tuned.tnpk" >/dev/null 2>"$tmp/err"
is 'absent base: exit code' $? 14
has 'is named' "$tmp/err" "base"
has 'with a hint' "$tmp/err" "^hint: put the base's pack"
ok 'info works without the base' "$tenpak" info "$tmp/orphan/tuned.tnpk"
"$tenpak" ls --json "$tmp/orphan" >"$tmp/ls.json" 2>/dev/null
is 'ls: exit code' $? 14
is 'ls: says so' "$(jq '.models[0].base_absent' "$tmp/ls.json")" true

# --- unpack in place ---
"$tenpak" unpack "$d/base" >/dev/null 2>"$tmp/err"
is 'a pack that others need stays: exit code' $? 11
has 'and its dependent' "$tmp/err" 'tuned'
ok 'unpack in place' "$tenpak" unpack -q "$d/tuned"
fingerprint "$d/tuned" >"$tmp/tuned.now"
ok 'gives everything back' diff "$tmp/tuned.was" "$tmp/tuned.now"
ok 'and the pack was removed' [ ! -e "$d/tuned.tnpk" ]
ok 'unpack --keep' "$tenpak" unpack -q --keep "$d/base"
fingerprint "$d/base" >"$tmp/base.now"
ok 'gives everything back' diff "$tmp/base.was" "$tmp/base.now"
ok 'and the pack stays' [ -e "$d/base.tnpk" ]

# --- several models at once ---
mkdir "$tmp/many"
for i in 1 2; do "$mkmodel" --seed=$i "$tmp/many/m$i"; done
"$tenpak" pack --json "$tmp/many/m1" "$tmp/many/absent" "$tmp/many/m2" >"$tmp/many.json" 2>/dev/null
is 'one of three absent: exit code' $? 3
is 'one of three absent: report' "$(jq -c '[(.models | length), .failed]' "$tmp/many.json")" '[2,1]'
ok 'packs among several are skipped' "$tenpak" pack "$tmp/many"/*
exits 'a pack alone is refused' 1 "$tenpak" pack "$tmp/many/m1.tnpk"
has 'and why' "$tmp/.out" "m1.tnpk' is a pack already"
exits 'nor estimated, without .tnpk' 1 "$tenpak" pack -n "$tmp/many/m1"
has 'and why' "$tmp/.out" "m1' is a pack already"

# --- what would be seen nowhere as a pack ---
"$mkmodel" "$tmp/many/.hidden"
exits 'a hidden directory is refused' 1 "$tenpak" pack -q -b none "$tmp/many/.hidden"
has 'and why' "$tmp/.out" "'$tmp/many/.hidden' is hidden"
ok 'and stays' [ -d "$tmp/many/.hidden" ]
ok 'but packed elsewhere' "$tenpak" pack -q -b none -o "$tmp/shown.tnpk" "$tmp/many/.hidden"

# --- what is told ---
mkdir "$tmp/odd"
echo '{}' >"$tmp/odd/config.json"
echo 'none' >"$tmp/odd/model.safetensors"
"$tenpak" pack -n -b none "$tmp/odd" >/dev/null 2>"$tmp/err"
"$tenpak" pack -k -b none "$tmp/odd" >/dev/null 2>>"$tmp/err"
has 'a warning' "$tmp/err" '^tenpak: warning: '
rm "$tmp/odd.tnpk"
"$tenpak" pack -q -k -b none "$tmp/odd" >"$tmp/err" 2>&1
is 'and none with --quiet' "$(cat "$tmp/err")" ''
mkdir "$tmp/void"
: >"$tmp/void/config.json"
"$tenpak" pack -b none "$tmp/void" >"$tmp/out" 2>/dev/null
has 'an empty model is stored larger' "$tmp/out" '^void: 0 B in 1 file, stored in .* B, larger'
tap_done
