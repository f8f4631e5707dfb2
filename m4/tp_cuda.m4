# SPDX-License-Identifier: MIT
# TP_CUDA: --with-cuda[=DIR]. Links the runtime statically, so that the program starts where no driver is.
AC_DEFUN([TP_CUDA], [
    AC_ARG_WITH([cuda],
        [AS_HELP_STRING([--with-cuda@<:@=DIR@:>@], [CUDA code: yes, no, or the toolkit's folder (default: where nvcc is found)])],
        [], [with_cuda=check])
    AC_ARG_VAR([NVCC], [CUDA compiler])
    AC_ARG_VAR([NVCCFLAGS], [flags for it])
    AC_ARG_VAR([CUDA_ARCHS], [compute capabilities to build for, separated by blanks or semicolons ("80 90")])
    NVCCFLAGS=${NVCCFLAGS:--O3}
    CUDA_ARCHS=${CUDA_ARCHS:-80 90}
    cuda_summary=no
    have_cuda=no
    cuda_why=
    AS_CASE([$with_cuda],
        [no], [],
        [yes|check], [AC_PATH_PROG([NVCC], [nvcc], [], [$PATH$PATH_SEPARATOR/usr/local/cuda/bin])],
        [NVCC=$with_cuda/bin/nvcc])
    AS_IF([test "$with_cuda" != no], [
        AS_IF([test -n "$NVCC" && test -x "$NVCC"],
            [TP_CUDA_TRY], [cuda_why="nvcc is not there"])
        AS_IF([test $have_cuda = yes], [cuda_summary="$CUDA_TOP, sm: $CUDA_ARCHS"],
            [test "$with_cuda" = check], [cuda_summary="no ($cuda_why)"],
            [AC_MSG_ERROR([--with-cuda=$with_cuda: $cuda_why])])
    ])
    AS_IF([test $have_cuda = yes], [AC_DEFINE([HAVE_CUDA], [1], [Whether CUDA code is in this build])])
    AM_CONDITIONAL([HAVE_CUDA], [test $have_cuda = yes])
    AC_SUBST([CUDA_LIBS])
    AC_SUBST([NVCC_GENCODE])
])

# Ask nvcc itself where its toolkit is: what is on the PATH may be a wrapper. Then link a program with it.
AC_DEFUN([TP_CUDA_TRY], [
    AC_MSG_CHECKING([for the CUDA toolkit of $NVCC])
    AS_ECHO(['int main(void) { int n; return cudaGetDeviceCount(&n) == cudaSuccess && n < 0; }']) > conftest.cu
    CUDA_TOP=`$NVCC --dryrun conftest.cu 2>&1 | sed -n ['s/^#\$ TOP=//p'] | head -n 1`
    CUDA_TOP=`cd "$CUDA_TOP" 2>/dev/null && pwd -P`
    AC_MSG_RESULT([${CUDA_TOP:-not found}])
    cuda_libdir=
    for tp_dir in lib64 lib targets/x86_64-linux/lib targets/sbsa-linux/lib; do
        AS_IF([test -z "$cuda_libdir" && test -n "$CUDA_TOP" && test -f "$CUDA_TOP/$tp_dir/libcudart_static.a"],
            [cuda_libdir=$CUDA_TOP/$tp_dir])
    done
    NVCC_GENCODE=
    for tp_arch in `AS_ECHO(["$CUDA_ARCHS"]) | tr ';' ' '`; do
        NVCC_GENCODE="$NVCC_GENCODE -gencode=arch=compute_$tp_arch,code=sm_$tp_arch"
        tp_last=$tp_arch
    done
    NVCC_GENCODE="$NVCC_GENCODE -gencode=arch=compute_$tp_last,code=compute_$tp_last"
    AS_IF([test -z "$cuda_libdir"], [cuda_why="nvcc works, libcudart_static.a is not there"], [
        AC_MSG_CHECKING([whether $NVCC builds for $CUDA_ARCHS])
        CUDA_LIBS="-L$cuda_libdir -lcudart_static -lstdc++ -ldl -lrt -lpthread"
        AS_IF([$NVCC $NVCC_GENCODE --compiler-options=-fPIC -c conftest.cu -o conftest.o >&AS_MESSAGE_LOG_FD 2>&1 &&
               $CC $CFLAGS conftest.o -o conftest $LDFLAGS $CUDA_LIBS >&AS_MESSAGE_LOG_FD 2>&1],
            [have_cuda=yes], [cuda_why="nvcc cannot build a program for sm $CUDA_ARCHS, see config.log"])
        AC_MSG_RESULT([$have_cuda])
    ])
    AS_IF([test $have_cuda = no], [CUDA_LIBS=])
    rm -f conftest.cu conftest.o conftest
])
