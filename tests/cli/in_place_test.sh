#!/bin/sh
# SPDX-License-Identifier: MIT
# What is not packed in place, and why. After a refusal nothing has changed, including the base. Read-only parts are
# packed.
. "${top_srcdir:-.}/tests/lib.sh"

d=$tmp/models

# Everything below the scratch directory, with modes, times of files and contents.
listing() {
    (cd "$tmp" && find . -path ./.out -prune -o -type d -printf '%P %y %m\n' -o -printf '%P %y %m %s %T@ %l\n' | sort &&
        find . -path ./.out -prune -o -type f -exec sha256sum {} + | sort) 2>/dev/null
}

# refused NAME WORDS ARG...: pack and its dry run fail with WORDS, and everything is as before.
refused() {
    name=$1 words=$2
    shift 2
    was=$(listing)
    not_ok "$name is refused" "$tenpak" pack -q "$@"
    has "$name: and why" "$tmp/.out" "$words"
    is "$name: nothing has changed" "$(listing)" "$was"
    not_ok "$name: a dry run says so" "$tenpak" pack -q -n "$@"
    has "$name: with the same reason" "$tmp/.out" "$words"
    is "$name: and changes nothing" "$(listing)" "$was"
}

model() {
    mkdir -p "$1/sub"
    echo '{}' >"$1/config.json"
    head -c 30000 /dev/urandom >"$1/weights.bin"
    echo text >"$1/sub/file"
}
model "$d/ft"

# --- What is no model ---
model "$tmp/shop"
mkdir "$tmp/shop/.tenpak"
refused 'a directory of models' "'.tenpak' in it is tenpak's own" -b none "$tmp/shop"
rmdir "$tmp/shop/.tenpak"
model "$tmp/shop/inner"
"$tenpak" pack -q -b none "$tmp/shop/inner"
refused 'a directory with a pack' "'inner.tnpk' in it is a pack" -b none "$tmp/shop"
mkdir "$tmp/loose"
model "$tmp/loose/one"
mv "$tmp/loose/one/weights.bin" "$tmp/loose/one/pytorch_model.bin"
"$top_builddir/tests/mkmodel" "$tmp/st"
cp "$tmp/st"/*.safetensors "$tmp/loose"
refused 'models beside loose files' "'one/config.json' in it describes another model" -b none "$tmp/loose"
cp "$tmp/st"/*.safetensors "$tmp/alone.safetensors"
refused 'a single file' "is a single file and no pack: a model is a directory" "$tmp/alone.safetensors"

# --- Where its pack is to be ---
"$tenpak" pack -q -b none -o "$tmp/elsewhere.tnpk" "$d/ft"
ln -s "$tmp/elsewhere.tnpk" "$d/ft.tnpk"
refused 'a link to a pack elsewhere' "ft.tnpk' is a symbolic link" -b none "$d/ft"
rm "$d/ft.tnpk"
mkdir "$d/ft.tnpk"
refused 'a directory of the pack'\''s name' "ft.tnpk' is no regular file" -b none "$d/ft"
rmdir "$d/ft.tnpk"

# --- A base elsewhere ---
model "$tmp/other/llama"
refused_base() {
    was=$(listing)
    not_ok 'a plain base elsewhere is refused' "$tenpak" pack -q -b "$tmp/other/llama" "$d/ft"
    has 'and why' "$tmp/.out" "the base '.*other/llama' does not lie beside"
    is 'and stays as it is' "$(listing)" "$was"
}
refused_base
ok 'with -o it is taken' "$tenpak" pack -q -b "$tmp/other/llama" -o "$tmp/ft.tnpk" "$d/ft"
ok 'and stays' [ -f "$tmp/other/llama/weights.bin" ]
rm "$tmp/ft.tnpk" "$tmp/other/llama.tnpk"

# --- Files that stay ---
if [ "$(id -u)" = 0 ] && chattr +i "$d/ft/sub/file" 2>/dev/null; then
    cleanup_fn "chattr -i $d/ft/sub/file"
    refused 'an immutable file' "sub/file' is immutable" -b none "$d/ft"
    chattr -i "$d/ft/sub/file"
    chattr +a "$d/ft/sub"
    cleanup_fn "chattr -a $d/ft/sub"
    refused 'a directory that only grows' "sub' may only be appended to" -b none "$d/ft"
    chattr -a "$d/ft/sub"
else
    skip 'no immutable files here'
fi
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$tmp" "$d"
    chown -R 65534:65534 "$d"
    chmod 1777 "$d/ft/sub"
    chown 0:0 "$d/ft/sub" "$d/ft/sub/file"
    real=$tenpak
    as() { setpriv --reuid=65534 --regid=65534 --clear-groups "$real" "$@"; }
    tenpak=as
    refused "a sticky directory with another's file" "sub/file' belongs to another user" -b none "$d/ft"
    chown 65534:65534 "$d/ft/sub"
    refused "another's file, whose writers are not noticed" "sub/file' belongs to another user" -b none "$d/ft"
    ok '--keep packs it' as pack -q -b none --keep "$d/ft"
    rm "$d/ft.tnpk"
    ok '--no-lease replaces it' as pack -q -b none --no-lease "$d/ft"
    ok 'and unpacks' as unpack -q "$d/ft"
    chown -R 65534:65534 "$d"
    chmod 555 "$d/ft/sub" "$d/ft"
    ok 'read-only directories are packed' as pack -q -b none "$d/ft"
    is 'and nothing is left' "$(ls -A "$d")" ft.tnpk
    ok 'and unpacked' as unpack -q "$d/ft"
    is 'with their modes' "$(stat -c %a "$d/ft" "$d/ft/sub" | tr '\n' ' ')" '555 555 '
    chmod 755 "$d/ft" "$d/ft/sub"
    chmod 555 "$d"
    refused 'a directory that cannot be written to' "Permission denied" -b none "$d/ft"
    chmod 755 "$d"
    tenpak=$real
    chown -R 0:0 "$d"
else
    skip 'not root'
fi

# --- Mounts ---
if [ "$(id -u)" = 0 ] && mkdir "$tmp/shared" "$d/ft/data" && echo precious >"$tmp/shared/file" &&
    mount --bind "$tmp/shared" "$d/ft/data" 2>/dev/null; then
    refused 'a model with another directory mounted in it' "ft/data' is another file system" -b none "$d/ft"
    refused 'also with --no-lease' "ft/data' is another file system" -b none --no-lease "$d/ft"
    umount "$d/ft/data"
    rmdir "$d/ft/data"
    : >"$tmp/one"
    mount --bind "$tmp/one" "$d/ft/sub/file"
    refused 'a model with another file mounted in it' "sub/file' is another file system" -b none "$d/ft"
    umount "$d/ft/sub/file"
    mount --bind "$d/ft" "$d/ft"
    refused 'a mount point' "ft' is a mount point" -b none "$d/ft"
    umount "$d/ft"
    mount --bind -o ro "$d" "$d" && mount -o remount,bind,ro "$d"
    refused 'a read-only file system' "Read-only file system" -b none "$d/ft"
    umount "$d"
else
    skip 'nothing can be mounted here'
fi
if [ -c /dev/fuse ] && command -v fusermount3 >/dev/null; then
    mkdir "$tmp/mnt"
    model "$tmp/shown"
    ok 'a model is mounted as if it were a directory of models' "$tenpak" mount -q -o ro,control=no "$tmp/shown" "$tmp/mnt"
    refused 'what a daemon shows' "shown' is a directory of models that is mounted at" -b none "$tmp/shown"
    "$tenpak" umount "$tmp/mnt"
else
    skip 'no mounts'
fi
: >"$d/ft/model.safetensors.incomplete"
ok 'a model that is none of these is packed' "$tenpak" pack -b none "$d/ft"
has 'with a warning of a part of a download' "$tmp/.out" "warning: .*safetensors.incomplete' is named as what is not complete"
tap_done
