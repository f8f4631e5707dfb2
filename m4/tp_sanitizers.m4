# SPDX-License-Identifier: MIT
# TP_SANITIZERS: --enable-asan, -ubsan, -tsan, -coverage and -fuzzing, into SAN_CFLAGS and SAN_LDFLAGS.
AC_DEFUN([TP_SANITIZERS], [
    AC_ARG_ENABLE([asan], [AS_HELP_STRING([--enable-asan], [build with the address sanitizer])],
        [], [enable_asan=no])
    AC_ARG_ENABLE([ubsan], [AS_HELP_STRING([--enable-ubsan], [build with the undefined-behaviour sanitizer])],
        [], [enable_ubsan=no])
    AC_ARG_ENABLE([tsan], [AS_HELP_STRING([--enable-tsan], [build with the thread sanitizer])],
        [], [enable_tsan=no])
    AC_ARG_ENABLE([coverage], [AS_HELP_STRING([--enable-coverage], [count executed lines (gcov)])],
        [], [enable_coverage=no])
    AC_ARG_ENABLE([fuzzing],
        [AS_HELP_STRING([--enable-fuzzing], [build the fuzz targets with libFuzzer and the address sanitizer (clang only)])],
        [], [enable_fuzzing=no])

    san_summary=
    san_list=
    AS_IF([test "$enable_fuzzing" = yes], [enable_asan=yes])
    AS_IF([test "$enable_asan" = yes && test "$enable_tsan" = yes],
        [AC_MSG_ERROR([--enable-tsan excludes --enable-asan and --enable-fuzzing])])
    AS_IF([test "$enable_asan" = yes], [san_list="$san_list,address"])
    AS_IF([test "$enable_ubsan" = yes], [san_list="$san_list,undefined"])
    AS_IF([test "$enable_tsan" = yes], [san_list="$san_list,thread"])
    san_list=${san_list#,}
    AS_IF([test -n "$san_list"], [
        SAN_CFLAGS="-fsanitize=$san_list -fno-sanitize-recover=all -fno-omit-frame-pointer -g"
        SAN_LDFLAGS="-fsanitize=$san_list"
        san_summary=$san_list
        saved_CFLAGS=$CFLAGS
        CFLAGS="$CFLAGS $SAN_CFLAGS"
        AC_MSG_CHECKING([whether $CC links with -fsanitize=$san_list])
        AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [AC_MSG_RESULT([yes])], [
            AC_MSG_RESULT([no])
            AC_MSG_ERROR([$CC cannot link with -fsanitize=$san_list (Debian: libclang-rt-14-dev for clang)])
        ])
        CFLAGS=$saved_CFLAGS
    ])
    AS_IF([test "$enable_fuzzing" = yes], [
        SAN_CFLAGS="$SAN_CFLAGS -fsanitize=fuzzer-no-link"
        FUZZ_LDFLAGS="-fsanitize=fuzzer"
        san_summary="$san_summary,fuzzer"
        saved_CFLAGS=$CFLAGS
        CFLAGS="$CFLAGS -fsanitize=fuzzer"
        AC_MSG_CHECKING([whether $CC has libFuzzer])
        AC_LINK_IFELSE([AC_LANG_SOURCE([[
            #include <stddef.h>
            #include <stdint.h>
            int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
            int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) { return data && len > 1u << 30; }]])],
            [AC_MSG_RESULT([yes])], [
            AC_MSG_RESULT([no])
            AC_MSG_ERROR([--enable-fuzzing needs clang and its libFuzzer: ./configure CC=clang (Debian: clang libclang-rt-14-dev)])
        ])
        CFLAGS=$saved_CFLAGS
    ])
    AS_IF([test "$enable_coverage" = yes], [
        SAN_CFLAGS="$SAN_CFLAGS --coverage"
        SAN_LDFLAGS="$SAN_LDFLAGS --coverage"
        san_summary="$san_summary,coverage"
    ])
    san_summary=${san_summary#,}
    AS_IF([test "x$san_summary" != x],
        [AC_DEFINE_UNQUOTED([TENPAK_INSTRUMENTED], ["$san_summary"], [Sanitizers and coverage of this build])])
    AC_SUBST([SAN_CFLAGS])
    AC_SUBST([SAN_LDFLAGS])
    AC_SUBST([FUZZ_LDFLAGS])
    AM_CONDITIONAL([FUZZING], [test "$enable_fuzzing" = yes])
    AM_CONDITIONAL([COVERAGE], [test "$enable_coverage" = yes])
    AM_CONDITIONAL([INSTRUMENTED], [test -n "$san_list"])
])
