#!/bin/sh
# SPDX-License-Identifier: MIT
# The parts of a model: safetensors files under any name, and links to files elsewhere.
. "${top_srcdir:-.}/tests/lib.sh"
requires jq

mkmodel=$top_builddir/tests/mkmodel

# rename_weights DIR NAME: the one safetensors file in DIR, and nothing that tells what it is.
rename_weights() {
    mv "$1"/*.safetensors "$1/$2" && rm -f "$1/model.safetensors.index.json"
}

# --- by content ---
d=$tmp/named
mkdir "$d"
"$mkmodel" --seed=5 "$d/base"
"$mkmodel" --seed=5 --noise=0.02 "$d/tuned"
"$tenpak" pack -q "$d/base" && "$tenpak" pack -q -b base "$d/tuned"
named=$(stat -c %s "$d/tuned.tnpk")
tensors=$("$tenpak" info --json "$d/tuned.tnpk" | jq '.tensors | length')
n=0
for file in flux.sft weights 'model.safetensors.bak' 0123456789abcdef; do
    n=$((n + 1))
    e=$tmp/content$n
    mkdir "$e"
    "$mkmodel" --seed=5 "$e/base"
    "$mkmodel" --seed=5 --noise=0.02 "$e/tuned"
    rename_weights "$e/base" "$file"
    rename_weights "$e/tuned" "$file"
    rm "$e/tuned/config.json"
    cp -r "$e/tuned" "$tmp/was"
    "$tenpak" estimate --json "$e/tuned" >"$tmp/estimate.json"
    "$tenpak" pack "$e/base" >"$tmp/said" 2>&1 && "$tenpak" pack "$e/tuned" >>"$tmp/said" 2>&1
    size=$(stat -c %s "$e/tuned.tnpk")
    ok "'$file' is packed as what it is" [ "$size" -le $((named + named / 10)) ]
    is "'$file': its tensors are known" "$("$tenpak" info --json "$e/tuned.tnpk" | jq '.tensors | length')" "$tensors"
    estimate=$(jq .stored_bytes "$tmp/estimate.json")
    ok "'$file': estimated so" [ "$estimate" -le $((size + size / 4)) ]
    not_ok "'$file': no warning" grep "plain bytes" "$tmp/said"
    "$tenpak" unpack -q "$e/tuned"
    ok "'$file' comes back" diff -r "$tmp/was" "$e/tuned"
    rm -rf "$tmp/was"
done

# Nothing is said of what only looks alike, and what is damaged is told by its name alone.
mkdir -p "$tmp/odd"
echo '{}' >"$tmp/odd/config.json"
printf '\003\000\000\000\000\000\000\000{"a' >"$tmp/odd/notes.txt"
printf '\377\000\000\000\000\000\000\000{"a' >"$tmp/odd/short.bin"
printf '\003\000\000\000\000\000\000\000{"a' >"$tmp/odd/bad.safetensors"
"$tenpak" pack -b none --keep "$tmp/odd" >"$tmp/said" 2>&1
is 'one warning' "$(grep -c 'plain bytes' "$tmp/said")" 1
has 'which names the file' "$tmp/said" "bad.safetensors' is kept as plain bytes"

# --- a single file ---
mkdir "$tmp/files"
"$mkmodel" --seed=5 "$tmp/files/base"
cp "$tmp/files/base/model.safetensors" "$tmp/files/one.safetensors"
cp "$tmp/files/base/model.safetensors" "$tmp/files/two"
echo words >"$tmp/files/three.gguf"
for file in one.safetensors two three.gguf; do
    f=$tmp/files/$file
    for command in pack 'pack -n' 'pack -b none' info verify unpack "unpack -o $tmp/no" "delta estimate $tmp/files/base" \
        "delta reconstruct -o $tmp/no" compress estimate restore "verify --job $tmp/files"; do
        arg=$f
        [ "${command#*--job}" = "$command" ] || arg=$file
        # shellcheck disable=SC2086
        exits "$command $file" 1 "$tenpak" $command "$arg"
        has 'is reported as a single file' "$tmp/.out" "$file' is a single file"
    done
    exits "a base $file" 1 "$tenpak" compress "$tmp/files" base base="$file"
    has 'is, too' "$tmp/.out" "$file' is a single file"
done
is 'and nothing happens' "$(cd "$tmp/files" && find . -name '*.tnpk')" ''
cp "$tmp/files/two" "$tmp/files/odd.tnpk"
exits 'a file of a pack'"'"'s name is none' 4 "$tenpak" info "$tmp/files/odd.tnpk"
"$tenpak" pack -q -b none -o "$tmp/files/unnamed" "$tmp/files/base"
ok 'a pack of another name is one' "$tenpak" info "$tmp/files/unnamed"

# --- a snapshot of the hub's cache ---
hub=$tmp/hub/models--a--b
rev=$hub/snapshots/0123abcd
mkdir -p "$hub/blobs" "$hub/refs" "$rev/vae"
"$mkmodel" --seed=7 "$tmp/plain"
cp -r "$tmp/plain" "$tmp/plain/vae"
(cd "$tmp/plain" && find . -type f) | while IFS= read -r f; do
    hash=$(sha256sum <"$tmp/plain/$f" | cut -d ' ' -f 1)
    cp -p "$tmp/plain/$f" "$hub/blobs/$hash"
    case $f in
    ./vae/*) ln -s "../../../blobs/$hash" "$rev/$f" ;;
    *) ln -s "../../blobs/$hash" "$rev/$f" ;;
    esac
done
printf 0123abcd >"$hub/refs/main"
(cd "$hub" && find . | sort) >"$tmp/hub.was"
exits 'a snapshot is not packed in place' 1 "$tenpak" pack -b none "$rev"
has 'and the advice is given' "$tmp/.out" 'write its pack elsewhere with -o'
exits 'nor beside itself' 1 "$tenpak" pack -b none --keep "$rev"
exits 'nor from within' 1 sh -c 'cd "$1" && "$2" pack -b none .' sh "$rev" "$tenpak"
exits 'nor by a job' 1 "$tenpak" compress "$rev" base=none
rm -rf "$hub/snapshots/.tenpak"
ok 'elsewhere it is packed' "$tenpak" pack -b none -o "$tmp/snapshot.tnpk" "$rev"
has 'which is reported' "$tmp/.out" 'links'
(cd "$hub" && find . | sort) >"$tmp/hub.now"
ok 'the cache is as it was' cmp "$tmp/hub.was" "$tmp/hub.now"
"$tenpak" unpack -q -o "$tmp/out" "$tmp/snapshot.tnpk"
ok 'with the files that its links lead to' diff -r --no-dereference "$tmp/plain" "$tmp/out"
is 'times are those of the files' "$(stat -c %Y "$tmp/out/config.json")" "$(stat -c %Y "$tmp/plain/config.json")"
is 'its tensors are known' "$("$tenpak" info --json "$tmp/snapshot.tnpk" | jq '.tensors | length > 0')" true
is 'duplicates are stored once' "$("$tenpak" info --json "$tmp/snapshot.tnpk" |
    jq '[.files[] | select(.path | startswith("vae/")) | .stored_bytes] | add')" 0
"$tenpak" estimate --job --json "$rev" base=none >"$tmp/estimate.json"
is 'an estimate counts these' "$(jq .result.logical_bytes "$tmp/estimate.json")" \
    "$("$tenpak" info --json "$tmp/snapshot.tnpk" | jq .logical_bytes)"
"$tenpak" pack -n --json -b none -o "$tmp/no.tnpk" "$rev" >"$tmp/dry.json"
is 'a dry run, too' "$(jq '.models[0].logical_bytes' "$tmp/dry.json")" "$(jq .result.logical_bytes "$tmp/estimate.json")"
rm -rf "$hub/snapshots/.tenpak"

# Its fine-tune in the cache finds the base that is named.
mkdir -p "$tmp/hub/models--a--c/blobs" "$tmp/hub/models--a--c/snapshots/1"
"$mkmodel" --seed=7 --noise=0.02 "$tmp/tuned"
cp "$tmp/tuned/model.safetensors" "$tmp/hub/models--a--c/blobs/x"
ln -s ../../blobs/x "$tmp/hub/models--a--c/snapshots/1/model.safetensors"
"$tenpak" pack -q -b "$tmp/snapshot.tnpk" -o "$tmp/tuned.tnpk" "$tmp/hub/models--a--c/snapshots/1"
"$tenpak" pack -q -b "$tmp/snapshot.tnpk" -o "$tmp/tuned2.tnpk" "$tmp/tuned"
is 'it is coded as the same in a directory' \
    "$("$tenpak" info --json "$tmp/tuned.tnpk" | jq '.files[] | select(.path == "model.safetensors") | .stored_bytes')" \
    "$("$tenpak" info --json "$tmp/tuned2.tnpk" | jq '.files[] | select(.path == "model.safetensors") | .stored_bytes')"

# Links in a snapshot that are none of the hub's.
echo secret >"$tmp/secret"
ln -s "$tmp/secret" "$rev/other"
exits 'a link out of the cache is refused' 1 "$tenpak" pack -b none -o "$tmp/no.tnpk" "$rev"
has 'with the advice' "$tmp/.out" '--dereference'
ln -sfn "$tmp/secret" "$hub/blobs/trap"
ln -sfn ../../blobs/trap "$rev/other"
exits 'one to a blob that is a link is, too' 1 "$tenpak" pack -b none -o "$tmp/no.tnpk" "$rev"
ln -sfn ../../blobs/gone "$rev/other"
exits 'one to an absent blob is, too' 1 "$tenpak" pack -b none -o "$tmp/no.tnpk" "$rev"
has 'and named' "$tmp/.out" "'other'"
ok 'none of these wrote anything' [ ! -e "$tmp/no.tnpk" ]
ok 'the whole model packs with its links' "$tenpak" pack -q -b none --keep "$hub"
is 'which are links in the pack' "$("$tenpak" info --json "$hub.tnpk" | jq '[.files[] | select(.type == "symlink")] | length > 5')" true

# --- links elsewhere ---
mkdir -p "$tmp/links/sub"
ln -s "$tmp/plain/config.json" "$tmp/plain/model.safetensors" "$tmp/links/"
ln -s ../model.safetensors "$tmp/links/sub/chain"
ok 'a directory of links packs as links' "$tenpak" pack -b none -o "$tmp/kept.tnpk" "$tmp/links"
cp "$tmp/.out" "$tmp/said"
has 'with a warning' "$tmp/said" 'consists mainly of links.*--dereference'
ok 'with --dereference as files' "$tenpak" pack -b none --dereference -o "$tmp/followed.tnpk" "$tmp/links"
not_ok 'without a warning' grep 'mainly of links' "$tmp/.out"
"$tenpak" unpack -q -o "$tmp/followed" "$tmp/followed.tnpk"
is 'all of them' "$(find "$tmp/followed" -type f | wc -l)" 3
ok 'with what the links lead to' cmp "$tmp/plain/model.safetensors" "$tmp/followed/model.safetensors"
ok 'over several links' cmp "$tmp/plain/model.safetensors" "$tmp/followed/sub/chain"
exits '--dereference does not replace the directory' 2 "$tenpak" pack -L -b none "$tmp/links"
ok 'but writes the pack beside it' "$tenpak" pack -q -L -k -b none "$tmp/links"
ok 'and leaves the links' [ -L "$tmp/links/config.json" ]
exits 'once' 1 "$tenpak" pack -q -L -k -b none "$tmp/links"
rm "$tmp/links.tnpk"
"$tenpak" pack -n --json -L -k -b none "$tmp/links" >"$tmp/dry.json"
is 'a dry run follows links' "$(jq '.models[0].logical_bytes > 100000' "$tmp/dry.json")" true
exits 'a job needs keep' 2 "$tenpak" compress "$tmp/links" base=none dereference=yes
has 'and says so' "$tmp/.out" 'needs keep=yes'
ok 'a job packs them' "$tenpak" compress "$tmp/links" base=none dereference=yes keep=yes
is 'as files' "$("$tenpak" info --json "$tmp/links.tnpk" | jq '[.files[] | select(.type == "file")] | length')" 3
"$tenpak" estimate --job --json "$tmp/links" base=none dereference=yes >"$tmp/estimate.json"
is 'an estimate by a job, too' "$(jq .result.logical_bytes "$tmp/estimate.json")" "$(jq '.models[0].logical_bytes' "$tmp/dry.json")"
for target in nowhere / loop /dev/null ..; do
    rm -f "$tmp/links/loop"
    ln -s "$target" "$tmp/links/loop"
    exits "a link to $target is refused" 1 "$tenpak" pack -b none -L -o "$tmp/no.tnpk" "$tmp/links"
    has 'and named' "$tmp/.out" "the link 'loop'"
done
rm -f "$tmp/links/loop" "$tmp/links.tnpk"
mkfifo "$tmp/pipe"
ln -s "$tmp/pipe" "$tmp/links/loop"
exits 'a link to a fifo is refused' 1 "$tenpak" pack -b none -L -o "$tmp/no.tnpk" "$tmp/links"
rm "$tmp/links/loop"

# Links within a model, and some outward ones beside its files, are nothing to warn of.
cp -r "$tmp/plain" "$tmp/few"
rm -r "$tmp/few/vae"
ln -s config.json "$tmp/few/also.json"
ln -s "$tmp/secret" "$tmp/few/other"
"$tenpak" pack -b none -o "$tmp/few.tnpk" "$tmp/few" >"$tmp/said" 2>&1
not_ok 'a model with a few links is no cause for a warning' grep 'links' "$tmp/said"
# But the weights are.
mv "$tmp/few/model.safetensors" "$tmp/few.weights"
ln -s ../few.weights "$tmp/few/model.safetensors"
"$tenpak" pack -b none -o "$tmp/few2.tnpk" "$tmp/few" >"$tmp/said" 2>&1
has 'where they are the weights they are' "$tmp/said" 'consists mainly of links'

tap_done
