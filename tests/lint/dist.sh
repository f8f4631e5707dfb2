#!/bin/sh
# SPDX-License-Identifier: MIT
# The release tarball has every file that git tracks: what a list in some local.mk forgot is named.
. "${top_srcdir:-.}/tests/lib.sh"
requires git make
[ -e "$top_srcdir/.git" ] || skip_all 'no git repository'

cd "$tmp" || exit 1
ok 'the tarball can be made' env -u MAKEFLAGS -u MAKELEVEL make -s -C "$top_builddir" distdir distdir="$tmp/dist" \
    am__remove_distdir=:
git -C "$top_srcdir" ls-files | grep -vE '^(\.ci/|\.gitignore$|\.clang-tidy$)' | sort >"$tmp/tracked"
(cd "$tmp/dist" && find . -type f -o -type l) | sed 's,^\./,,' | sort >"$tmp/packed"
is 'nothing is forgotten' "$(comm -23 "$tmp/tracked" "$tmp/packed" | tr '\n' ' ')" ''
tap_done
