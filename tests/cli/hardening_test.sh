#!/bin/sh
# SPDX-License-Identifier: MIT
# The program and the shared library have the hardening that configure reports.
. "${top_srcdir:-.}/tests/lib.sh"
requires readelf

# What configure found: "pie relro now ...".
defined() {
    sed -n "s/^#define $1 \"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$top_builddir/config.h"
}
found=$(defined TENPAK_HARDENING)
[ -n "$found" ] || skip_all 'this build was configured without hardening'
diag "configure: $found"

# is_found WORD: configure asked for it.
is_found() {
    case " $found " in
    *" $1 "* | *" $1="*) return 0 ;;
    esac
    return 1
}

program=$tenpak
[ -x "$top_builddir/.libs/tenpak" ] && program=$top_builddir/.libs/tenpak
# The linker marks a file only where all that is in it has the mark, and CUDA's runtime has none.
protected=$program
[ -z "$(defined HAVE_CUDA)" ] || protected=$top_builddir/cli/main.o

# What readelf says of a file, into $tmp.
look_at() {
    readelf -hW "$1" >"$tmp/header" && readelf -lW "$1" >"$tmp/segments" && readelf -dW "$1" >"$tmp/dynamic" &&
        readelf -sW "$1" >"$tmp/symbols" && readelf -nW "$protected" >"$tmp/notes"
}

# check_file WHAT: what a program and a library have in common.
check_file() {
    has "$1 can be loaded anywhere" "$tmp/header" 'Type: *DYN'
    has "$1 has a part that is read-only after relocation" "$tmp/segments" 'GNU_RELRO'
    has "$1 is bound as a whole at its start" "$tmp/dynamic" 'BIND_NOW\|FLAGS_1.* NOW'
    has "$1 has a stack that is not executable" "$tmp/segments" 'GNU_STACK.* RW  *0x'
    is "$1 has no segment that is writable and executable" "$(grep -c ' RWE ' "$tmp/segments")" 0
    is "$1 has no relocation in its code" "$(grep -c 'TEXTREL' "$tmp/dynamic")" 0
    has "$1 has its stack protected" "$tmp/symbols" '__stack_chk_fail'
    if [ -n "$(defined TENPAK_FORTIFY)" ]; then
        has "$1 has checked calls of the C library" "$tmp/symbols" '__[a-z0-9]*_chk'
    fi
    if is_found control-flow; then
        has "$1 has its jumps and returns protected" "$tmp/notes" 'IBT, SHSTK\|BTI, PAC'
    fi
}

# Every compiler and linker that builds tenpak has these.
for word in pie relro now noexecstack stack-protector; do
    is "configure found $word" "$(is_found "$word" && echo yes)" yes
done
ok 'the program can be read' look_at "$program"
check_file 'the program'
# Not where frames are all small, hence the other way round: the marks of a probe are in code that has large ones.
if is_found stack-clash && [ "$(uname -m)" = x86_64 ] && command -v objdump >/dev/null 2>&1; then
    objdump -d --no-show-raw-insn "$program" >"$tmp/code"
    has 'large frames of the program touch each page' "$tmp/code" 'or[ql] *\$0x0,\((0x[0-9a-f]*)\{0,1\}\)\{0,1\}(%rsp'
fi
library=$top_builddir/.libs/libtenpak.so
if [ -e "$library" ]; then
    [ -n "$(defined HAVE_CUDA)" ] || protected=$library
    ok 'the library can be read' look_at "$library"
    check_file 'the library'
fi
tap_done
