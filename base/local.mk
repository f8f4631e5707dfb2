# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += base/libtp-base.la
base_libtp_base_la_SOURCES = \
	base/acl.c base/acl.h \
	base/beneath.c base/beneath.h \
	base/buffer.c base/buffer.h \
	base/checked.h \
	base/cleanup.h base/clock.h \
	base/cpu.c base/cpu.h \
	base/dir.c base/dir.h \
	base/error.c base/error.h \
	base/file.c base/file.h \
	base/hash.c base/hash.h \
	base/isa.c base/isa.h \
	base/json.c base/json.h \
	base/json_write.c base/json_write.h \
	base/le.h \
	base/lex.c base/lex.h \
	base/log.c base/log.h \
	base/memory.c base/memory.h \
	base/pool.c base/pool.h \
	base/printable.c base/printable.h \
	base/progress.c base/progress.h \
	base/remove.c \
	base/size.c base/size.h \
	base/stamp.c base/stamp.h \
	base/thread.c base/thread.h \
	base/vector.h

# cuda
base_libtp_base_la_SOURCES += base/cuda/device.c base/cuda/device.h base/cuda/runtime.h
if HAVE_CUDA
base_libtp_base_la_SOURCES += base/cuda/runtime.cu
endif
# nvcc compiles. libtool would pass it the C compiler's flags for position-independent code, hence -prefer-non-pic, and
# removes -Xcompiler, hence the long form.
AM_V_NVCC = $(am__v_NVCC_@AM_V@)
am__v_NVCC_ = $(am__v_NVCC_@AM_DEFAULT_V@)
am__v_NVCC_0 = @echo "  NVCC    " $@;
am__v_NVCC_1 =
.cu.lo:
	$(AM_V_NVCC)$(MKDIR_P) $(@D) && $(LIBTOOL) $(AM_V_lt) --tag=CC $(AM_LIBTOOLFLAGS) --mode=compile $(NVCC) \
		$(NVCCFLAGS) $(NVCC_GENCODE) $(DEFS) $(DEFAULT_INCLUDES) $(AM_CPPFLAGS) \
		--compiler-options=-fPIC,-fno-exceptions -prefer-non-pic -MMD -MF $(@:.lo=.cu.d) -MT $@ -c -o $@ $<
-include base/cuda/*.cu.d
CLEANFILES += base/cuda/runtime.cu.d
