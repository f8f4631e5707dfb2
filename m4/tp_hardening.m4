# SPDX-License-Identifier: MIT
# TP_HARDENING: --disable-hardening. What compiler and linker have against our own mistakes, where they have it:
# HARDEN_CFLAGS and HARDEN_LDFLAGS for everything, PIE_LDFLAGS for programs alone, FORTIFY_SOURCE in config.h.
AC_DEFUN([TP_HARDENING], [
    AC_REQUIRE([AC_CANONICAL_HOST])
    AC_ARG_ENABLE([hardening],
        [AS_HELP_STRING([--disable-hardening], [leave out PIE, RELRO, stack protection, FORTIFY_SOURCE and control-flow protection])],
        [], [enable_hardening=yes])
    hardening=
    HARDEN_CFLAGS= HARDEN_LDFLAGS= PIE_LDFLAGS=
    AS_IF([test "$enable_hardening" = no], [hardening_summary=no],
        [test -n "$san_list"], [hardening_summary="no (sanitizers)"], [
        TP_HARDENING_PIE
        TP_HARDENING_FLAG([relro], [LDFLAGS], [HARDEN_LDFLAGS], [-Wl,-z,relro])
        TP_HARDENING_FLAG([now], [LDFLAGS], [HARDEN_LDFLAGS], [-Wl,-z,now])
        TP_HARDENING_FLAG([noexecstack], [LDFLAGS], [HARDEN_LDFLAGS], [-Wl,-z,noexecstack])
        TP_HARDENING_FLAG([stack-protector], [CFLAGS], [HARDEN_CFLAGS], [-fstack-protector-strong])
        TP_HARDENING_FLAG([stack-clash], [CFLAGS], [HARDEN_CFLAGS], [-fstack-clash-protection])
        AS_CASE([$host_cpu],
            [x86_64|amd64|i?86], [TP_HARDENING_FLAG([control-flow], [CFLAGS], [HARDEN_CFLAGS], [-fcf-protection=full])],
            [aarch64], [TP_HARDENING_FLAG([control-flow], [CFLAGS], [HARDEN_CFLAGS], [-mbranch-protection=standard])])
        TP_HARDENING_FORTIFY
        hardening=${hardening# }
        hardening_summary=${hardening:-no (the compiler has none of it)}
    ])
    AC_DEFINE_UNQUOTED([TENPAK_HARDENING], ["$hardening"], [What this build has against mistakes of memory, as configure found])
    AC_SUBST([HARDEN_CFLAGS])
    AC_SUBST([HARDEN_LDFLAGS])
    AC_SUBST([PIE_LDFLAGS])
])

# TP_HARDENING_FLAG(NAME, WHICH, TO, FLAG): FLAG is added to TO where a program compiles and links with it in WHICH.
AC_DEFUN([TP_HARDENING_FLAG], [
    AC_CACHE_CHECK([whether $CC works with $4], [AS_TR_SH([tp_cv_works_$4])], [
        tp_saved=$$2
        $2="-Werror $4 $$2"
        AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <stdio.h>]], [[char s[99]; puts(fgets(s, sizeof s, stdin));]])],
            [AS_TR_SH([tp_cv_works_$4])=yes], [AS_TR_SH([tp_cv_works_$4])=no])
        $2=$tp_saved
    ])
    AS_IF([test "$AS_TR_SH([tp_cv_works_$4])" = yes], [hardening="$hardening $1" $3="$$3 $4"])
])

# A compiler that makes such programs by itself needs no word, which would be one too many beside -static.
AC_DEFUN([TP_HARDENING_PIE], [
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
        #ifndef __PIE__
        #error no position-independent executables
        #endif]], [])],
        [hardening="$hardening pie"], [
        AC_CACHE_CHECK([whether $CC works with -fPIE -pie], [tp_cv_works_pie], [
            tp_saved=$CFLAGS tp_saved_LDFLAGS=$LDFLAGS
            CFLAGS="-fPIE $CFLAGS" LDFLAGS="-Werror -pie $LDFLAGS"
            AC_LINK_IFELSE([AC_LANG_PROGRAM([[
                #ifndef __PIE__
                #error CFLAGS say otherwise
                #endif]], [])], [tp_cv_works_pie=yes], [tp_cv_works_pie=no])
            CFLAGS=$tp_saved LDFLAGS=$tp_saved_LDFLAGS
        ])
        AS_IF([test $tp_cv_works_pie = yes],
            [hardening="$hardening pie" HARDEN_CFLAGS="$HARDEN_CFLAGS -fPIE" PIE_LDFLAGS=-pie])
    ])
])

# The highest level that the C library takes with these CFLAGS; none without optimisation. What CFLAGS, CPPFLAGS or
# the compiler itself set stays. config.h sets it, so that CFLAGS given to make may say -O0.
AC_DEFUN([TP_HARDENING_FORTIFY], [
    AC_MSG_CHECKING([for the level of FORTIFY_SOURCE])
    tp_fortify=no
    tp_saved=$CPPFLAGS tp_saved_CFLAGS=$CFLAGS
    CFLAGS="-Werror $CFLAGS"
    for tp_level in 0 3 2; do
        AS_IF([test $tp_fortify = no], [
            AS_IF([test $tp_level -gt 0], [CPPFLAGS="-D_FORTIFY_SOURCE=$tp_level $tp_saved"])
            AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
                #include <stdio.h>
                #if !__USE_FORTIFY_LEVEL || ($tp_level && __USE_FORTIFY_LEVEL != $tp_level)
                #error not this level
                #endif]], [])], [tp_fortify=$tp_level])
        ])
    done
    CPPFLAGS=$tp_saved CFLAGS=$tp_saved_CFLAGS
    AS_CASE([$tp_fortify],
        [no], [AC_MSG_RESULT([none])],
        [0], [
            AC_MSG_RESULT([as it is set])
            hardening="$hardening fortify"
        ], [
            AC_MSG_RESULT([$tp_fortify])
            hardening="$hardening fortify=$tp_fortify"
            AC_DEFINE_UNQUOTED([TENPAK_FORTIFY], [$tp_fortify], [The level of FORTIFY_SOURCE where nobody else sets it])
        ])
    AH_BOTTOM([#if defined TENPAK_FORTIFY && defined __OPTIMIZE__ && !defined _FORTIFY_SOURCE
#define _FORTIFY_SOURCE TENPAK_FORTIFY
#endif])
])
