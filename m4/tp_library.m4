# SPDX-License-Identifier: MIT
# TP_LIBRARY(VARIABLE, PKG-CONFIG NAME, LEAST VERSION, DEBIAN PACKAGE)
# A library that tenpak cannot do without: sets VARIABLE_CFLAGS, _LIBS and _VERSION, or says what to install.
AC_DEFUN([TP_LIBRARY], [
    PKG_CHECK_MODULES([$1], [$2 >= $3], [$1[]_VERSION=`$PKG_CONFIG --modversion $2`], [
        AC_MSG_ERROR([$2 >= $3 is needed and pkg-config does not find it.
  Debian and Ubuntu: apt-get install $4   (or ./bootstrap deps)
  Installed elsewhere: set PKG_CONFIG_PATH, or $1[]_CFLAGS and $1[]_LIBS])
    ])
])
