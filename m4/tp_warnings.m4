# SPDX-License-Identifier: MIT
# TP_WARNINGS(VARIABLE, FLAGS): substitute those of FLAGS that this compiler takes without complaint.
AC_DEFUN([TP_WARNINGS], [
    AC_LANG_PUSH([C])
    tp_accepted=
    tp_saved_CFLAGS=$CFLAGS
    for tp_flag in m4_normalize([$2]); do
        # gcc takes every -Wno-x silently, so the positive form is what gets asked.
        tp_ask=`AS_ECHO(["$tp_flag"]) | sed 's/^-Wno-/-W/'`
        AS_VAR_PUSHDEF([tp_cache], [tp_cv_flag_$tp_flag])
        AC_CACHE_CHECK([whether $CC takes $tp_flag], [tp_cache], [
            CFLAGS="$tp_saved_CFLAGS -Werror $tp_ask"
            AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
                [AS_VAR_SET([tp_cache], [yes])], [AS_VAR_SET([tp_cache], [no])])
            CFLAGS=$tp_saved_CFLAGS
        ])
        AS_VAR_IF([tp_cache], [yes], [tp_accepted="$tp_accepted $tp_flag"])
        AS_VAR_POPDEF([tp_cache])
    done
    $1=$tp_accepted
    AC_SUBST([$1])
    AC_LANG_POP([C])
])
