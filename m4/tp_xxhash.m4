# SPDX-License-Identifier: MIT
# TP_XXH_DISPATCH: whether libxxhash can choose its kernels by the processor it runs on. Only some builds of it can.
AC_DEFUN([TP_XXH_DISPATCH], [
    tp_saved_LIBS=$LIBS
    LIBS="$LIBS $XXHASH_LIBS"
    AC_CHECK_HEADER([xxh_x86dispatch.h],
        [AC_CHECK_FUNC([XXH3_64bits_dispatch],
            [AC_DEFINE([HAVE_XXH_DISPATCH], [1], [Whether libxxhash chooses its kernels at run time])])],
        [], [#include <xxhash.h>])
    LIBS=$tp_saved_LIBS
])
