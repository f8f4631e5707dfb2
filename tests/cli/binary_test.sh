#!/bin/sh
# SPDX-License-Identifier: MIT
# The program as a file: it starts without CUDA, and prints its version.
. "${top_srcdir:-.}/tests/lib.sh"
requires ldd

ldd "$tenpak" >"$tmp/needs" 2>&1 || true
is 'no CUDA library is needed to start' "$(grep -iE 'cuda|nvidia' "$tmp/needs")" ''
is 'no library is missing' "$(grep 'not found' "$tmp/needs")" ''
ok 'it starts' "$tenpak" --version
version=$(sed -n 's/^#define TENPAK_VERSION "\(.*\)"/\1/p' "$top_builddir/config.h")
has 'and says the version of the build' "$tmp/.out" "$version"
tap_done
