#!/bin/sh
# SPDX-License-Identifier: MIT
# The installed library: the example compiles with pkg-config alone, against the shared and the static library, and
# reads packs.
. "${top_srcdir:-.}/tests/lib.sh"
requires pkg-config make nm

case ${TP_SANITIZED:-} in
*sanitize*) skip_all 'an instrumented library does not link into a plain program' ;;
esac
cc=$(sed -n 's/^CC = //p' "$top_builddir/Makefile")
requires "${cc%% *}"

ok 'install' make -s -C "$top_builddir" install DESTDIR="$tmp/root"
pc=$(find "$tmp/root" -name tenpak.pc)
ok 'tenpak.pc is installed' [ -f "$pc" ]
ok 'tenpak.h is installed' [ -n "$(find "$tmp/root" -name tenpak.h)" ]
libdir=$tmp/root$(sed -n 's/^libdir=//p' "$pc" | sed "s|\${exec_prefix}|$(sed -n 's/^exec_prefix=//p' "$pc")|; s|\${prefix}|$(sed -n 's/^prefix=//p' "$pc")|")
ok 'the library is installed' [ -e "$libdir/libtenpak.so" ]

export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$tmp/root"
# shellcheck disable=SC2046
ok 'the example compiles' $cc -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror \
    "$top_srcdir/doc/examples/cat.c" $(pkg-config --cflags --libs tenpak) -o "$tmp/cat"
is 'all exported symbols begin with tp_' \
    "$(nm -D --defined-only "$libdir/libtenpak.so" | awk '$2 != "A" && $3 !~ /^tp_/ { print $3 }')" ''

mkdir "$tmp/models"
"$top_builddir/tests/mkmodel" --seed=3 "$tmp/models/base"
"$top_builddir/tests/mkmodel" --seed=3 --noise=0.02 --shards=2 "$tmp/models/tuned"
ln "$tmp/models/tuned/config.json" "$tmp/models/tuned/same.json"
cp -a "$tmp/models" "$tmp/was"
"$tenpak" pack -q --keep --base=none "$tmp/models/base"
rm -r "$tmp/models/base"
"$tenpak" pack -q "$tmp/models/tuned"
cp -a "$tmp/was/tuned" "$tmp/models/plain"

LD_LIBRARY_PATH=$libdir
export LD_LIBRARY_PATH
for model in base tuned plain; do
    was=$model
    [ "$model" != plain ] || was=tuned
    (cd "$tmp/was/$was" && find . -type f) | sed 's|^\./||' | sort >"$tmp/files"
    while IFS= read -r file; do
        "$tmp/cat" "$tmp/models" "$model" "$file" >"$tmp/out"
        ok "$model/$file reads as it was" cmp "$tmp/out" "$tmp/was/$was/$file"
    done <"$tmp/files"
done
"$tmp/cat" "$tmp/models" tuned >"$tmp/tensors"
is 'tensors of the pack and of the directory agree' "$(cat "$tmp/tensors")" "$("$tmp/cat" "$tmp/models" plain)"
has 'a tensor' "$tmp/tensors" '^model.norm.weight	BF16	\[64\]	128$'
exits 'no such model' 1 "$tmp/cat" "$tmp/models" nothing config.json
has 'is named' "$tmp/.out" "no model 'nothing'"
exits 'no such file' 1 "$tmp/cat" "$tmp/models" base nothing
exits 'no such directory' 1 "$tmp/cat" "$tmp/none" base

if [ -e "$libdir/libtenpak.a" ]; then
    # What it needs in turn is not below the test's root.
    unset LD_LIBRARY_PATH PKG_CONFIG_SYSROOT_DIR
    static=$(pkg-config --static --libs tenpak | sed 's/-ltenpak/-l:libtenpak.a/')
    # shellcheck disable=SC2046,SC2086
    if $cc "$top_srcdir/doc/examples/cat.c" -I"$(dirname "$(find "$tmp/root" -name tenpak.h)")" \
        -L"$libdir" $static -o "$tmp/static" >"$tmp/out" 2>&1; then
        "$tmp/static" "$tmp/models" tuned config.json >"$tmp/out"
        ok 'the static library reads, too' cmp "$tmp/out" "$tmp/was/tuned/config.json"
    else
        fail 'the static library links'
        sed 's/^/# /' "$tmp/out" | head -n 20
    fi
fi
tap_done
