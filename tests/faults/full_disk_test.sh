#!/bin/sh
# SPDX-License-Identifier: MIT
# Disks of every size from too small to large enough: packing and unpacking either succeed or change nothing, and
# succeed when there is space.
. "${top_srcdir:-.}/tests/lib.sh"
mkmodel=$top_builddir/tests/mkmodel

mkdir "$tmp/disk"
if ! mount -t tmpfs -o size=4m tmpfs "$tmp/disk" 2>/dev/null; then
    skip 'full disks' 'only root can mount small ones'
    tap_done
    exit
fi
"$mkmodel" --layers=1 "$tmp/model"
content() {
    (cd "$1" && find . -type f -exec sha256sum {} + | sort -k 2)
}
content "$tmp/model" >"$tmp/was"
"$tenpak" pack -q --base=none -o "$tmp/model.tnpk" "$tmp/model" || fail 'packing for the test'

# fill KIB: leave so much space on the disk.
fill() {
    rm -f "$tmp/disk/filler"
    free=$(df --output=avail -k "$tmp/disk" | tail -n 1)
    [ "$free" -le "$1" ] || head -c $(((free - $1) * 1024)) /dev/zero >"$tmp/disk/filler"
}

# whole: the model is there, as a directory or as a pack.
whole() {
    if [ -d "$tmp/disk/s/model" ]; then
        content "$tmp/disk/s/model" | cmp -s - "$tmp/was" || return 1
    fi
    if [ -e "$tmp/disk/s/model.tnpk" ]; then
        rm -rf "$tmp/back"
        "$tenpak" unpack -q -o "$tmp/back" "$tmp/disk/s/model.tnpk" || return 1
        content "$tmp/back" | cmp -s - "$tmp/was" || return 1
    else
        [ -d "$tmp/disk/s/model" ]
    fi
}

# level WHAT KIB: with so much space, then with enough.
level() {
    rm -rf "$tmp/disk/s" "$tmp/disk/filler"
    mkdir "$tmp/disk/s"
    if [ "$1" = pack ]; then
        cp -a "$tmp/model" "$tmp/disk/s/model"
    else
        cp -a "$tmp/model.tnpk" "$tmp/disk/s/model.tnpk"
    fi
    fill "$2"
    "$tenpak" "$1" -q "$tmp/disk/s/model" >"$tmp/.said" 2>&1
    code=$?
    case $code in
    0) worked=$((worked + 1)) ;;
    1)
        full=$((full + 1))
        grep -q 'No space left on device' "$tmp/.said" || fail "$1 with $2 KiB: $(cat "$tmp/.said")"
        [ "$(find "$tmp/disk/s" -mindepth 1 -maxdepth 1 -name '.*')" = '' ] ||
            fail "$1 with $2 KiB leaves $(find "$tmp/disk/s" -mindepth 1 -maxdepth 1 -name '.*')"
        ;;
    *) fail "$1 with $2 KiB: exit code $code: $(cat "$tmp/.said")" ;;
    esac
    whole || fail "$1 with $2 KiB: the model is not whole"
    rm -f "$tmp/disk/filler"
    [ "$code" -eq 0 ] || "$tenpak" "$1" -q "$tmp/disk/s/model" >"$tmp/.said" 2>&1 ||
        fail "$1 after $2 KiB: $(cat "$tmp/.said")"
    whole || fail "$1 after $2 KiB: the model is not whole"
}

for what in pack unpack; do
    worked=0 full=0
    for space in 0 4 8 12 16 24 32 48 64 80 96 112 128 144 160 176 192 208 224 240 256 288 320 400 512; do
        level "$what" "$space"
    done
    ok "$what: some runs had no space ($full of 25)" [ "$full" -ge 3 ]
    ok "$what: at times there was ($worked of 25)" [ "$worked" -ge 3 ]
done
tap_done
