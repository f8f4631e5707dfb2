#!/bin/sh
# SPDX-License-Identifier: MIT
# The library exports the functions of tenpak.h and nothing else, and a program builds against the installed one.
. "${top_srcdir:-.}/tests/lib.sh"
requires nm

compiler=${CC:-cc} # a program and its arguments
shared=$top_builddir/.libs/libtenpak.so
static=$top_builddir/.libs/libtenpak.a
case ${TP_SANITIZED:-} in
*-f*) skip_all 'this build is instrumented' ;;
esac

if [ -e "$shared" ]; then
    nm -D --defined-only "$shared" | awk '{ print $NF }' | sed 's/@.*//' | sort >"$tmp/exported"
    # The compiler leaves out comments and joins lines.
    # shellcheck disable=SC2086
    $compiler -E -P "$top_srcdir/store/tenpak.h" | grep -oE '\btp_[a-z0-9_]+ ?\(' | tr -d ' (' |
        sort -u >"$tmp/declared"
    has 'tenpak.h declares functions' "$tmp/declared" '^tp_lib_open$'
    is 'every function of tenpak.h is exported' "$(comm -23 "$tmp/declared" "$tmp/exported")" ''
    is 'nothing else is exported' "$(comm -13 "$tmp/declared" "$tmp/exported")" ''
else
    skip 'the shared library' 'not built'
fi
if [ -e "$static" ]; then
    nm -g --defined-only "$static" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u >"$tmp/global"
    is 'the static library defines only tp_ names' "$(grep -v '^tp_' "$tmp/global")" ''
else
    skip 'the static library' 'not built'
fi

# Against an installation, as an embedder would: compile, link, run.
if [ -e "$shared" ] && command -v pkg-config >/dev/null && command -v "${compiler%% *}" >/dev/null; then
    env -u MAKEFLAGS -u MAKELEVEL make -s -C "$top_builddir" install DESTDIR="$tmp/root" >"$tmp/install.log" 2>&1
    pc=$(find "$tmp/root" -name tenpak.pc)
    cat >"$tmp/use.c" <<'END'
#include <stdio.h>
#include <tenpak.h>
int main(void)
{
    puts("linked");
    return 0;
}
END
    flags=$(PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$tmp/root pkg-config --cflags --libs tenpak)
    # The flags are words.
    # shellcheck disable=SC2086
    ok 'a program compiles with what pkg-config says' $compiler -o "$tmp/use" "$tmp/use.c" $flags
    lib=$(dirname "$(find "$tmp/root" -name libtenpak.so)")
    is 'and runs' "$(LD_LIBRARY_PATH=$lib "$tmp/use")" linked
    ok 'the manual pages are installed' test -n "$(find "$tmp/root" -path '*/man1/tenpak.1*')"
    ok 'the completions are installed' test -n "$(find "$tmp/root" -path '*completions/tenpak*')"
else
    skip 'a program against the installation' 'no shared library, pkg-config or compiler'
fi
tap_done
