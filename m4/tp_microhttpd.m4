# SPDX-License-Identifier: MIT
# TP_MICROHTTPD: --with-microhttpd. For tenpak serve; without it that command says that it is not in this build.
AC_DEFUN([TP_MICROHTTPD], [
    AC_ARG_WITH([microhttpd],
        [AS_HELP_STRING([--with-microhttpd], [libmicrohttpd, for tenpak serve (default: where it is found)])],
        [], [with_microhttpd=check])
    have_microhttpd=no
    microhttpd_summary=no
    AS_IF([test "$with_microhttpd" != no], [
        PKG_CHECK_MODULES([MICROHTTPD], [libmicrohttpd >= 0.9.71],
            [have_microhttpd=yes
             microhttpd_summary=`$PKG_CONFIG --modversion libmicrohttpd`],
            [microhttpd_summary="no (libmicrohttpd >= 0.9.71 is not there)"
             AS_IF([test "$with_microhttpd" != check],
                [AC_MSG_ERROR([--with-microhttpd: libmicrohttpd >= 0.9.71 is not there (Debian: libmicrohttpd-dev)])])])
    ])
    AM_CONDITIONAL([HAVE_MICROHTTPD], [test $have_microhttpd = yes])
])
