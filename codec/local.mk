# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += codec/libtp-codec.la
codec_libtp_codec_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS)
codec_libtp_codec_la_SOURCES = \
	codec/codec.h \
	codec/convert.c codec/convert.h \
	codec/half.h \
	codec/registry.c \
	codec/scratch.c codec/scratch.h codec/scratch_impl.h

# rans: the entropy coder of split and delta
codec_libtp_codec_la_SOURCES += \
	codec/rans/rans.c codec/rans/rans.h \
	codec/rans/rans_avx2.c codec/rans/rans_avx2.h \
	codec/rans/rans_avx512.c codec/rans/rans_avx512.h \
	codec/rans/rans_table.c

# delta
codec_libtp_codec_la_SOURCES += \
	codec/delta/bins.c codec/delta/bins.h \
	codec/delta/carry.c codec/delta/carry.h \
	codec/delta/carry_avx2.c \
	codec/delta/carry_avx512.c \
	codec/delta/choose.c codec/delta/choose.h \
	codec/delta/counts.c codec/delta/counts.h \
	codec/delta/delta.c codec/delta/delta.h \
	codec/delta/delta_avx2.c codec/delta/delta_avx2.h \
	codec/delta/delta_avx512.c codec/delta/delta_avx512.h \
	codec/delta/split_avx2.c \
	codec/delta/split_avx512.c \
	codec/delta/hist.c codec/delta/hist.h \
	codec/delta/train.c codec/delta/train.h \
	codec/delta/kernels.c codec/delta/kernels.h \
	codec/delta/model.h \
	codec/delta/tables.c codec/delta/tables.h

# split
codec_libtp_codec_la_SOURCES += \
	codec/split/join_avx512.c \
	codec/split/planes.c codec/split/planes.h \
	codec/split/split.c codec/split/split.h \
	codec/split/stats.c \
	codec/split/tables.c codec/split/tables.h

# sparse
codec_libtp_codec_la_SOURCES += \
	codec/sparse/sparse.c codec/sparse/sparse.h \
	codec/sparse/stats.c \
	codec/sparse/tables.c codec/sparse/tables.h \
	codec/sparse/token.h \
	codec/sparse/worth.c

# zstd
codec_libtp_codec_la_SOURCES += codec/zstd/zstd.c codec/zstd/zstd.h

# quant: quantized matrices, with an interface of their own
codec_libtp_codec_la_SOURCES += \
	codec/quant/chunk.c codec/quant/chunk.h codec/quant/chunk_impl.h \
	codec/quant/codebook.c \
	codec/quant/codec.c \
	codec/quant/dequantize.c \
	codec/quant/dequantize_avx2.c \
	codec/quant/encode.c codec/quant/encode.h \
	codec/quant/factor.c codec/quant/factor.h \
	codec/quant/fold.c \
	codec/quant/gptq.c codec/quant/gptq.h \
	codec/quant/grid.c codec/quant/grid.h \
	codec/quant/hessian.c codec/quant/hessian.h \
	codec/quant/job.c codec/quant/job.h \
	codec/quant/kinds.h \
	codec/quant/layout.c \
	codec/quant/lowrank.c codec/quant/lowrank.h \
	codec/quant/method.h \
	codec/quant/methods.c \
	codec/quant/plan.c \
	codec/quant/product.c codec/quant/product.h \
	codec/quant/quant.h \
	codec/quant/rows.c \
	codec/quant/tables.c codec/quant/tables.h \
	codec/quant/values.c

# cuda
codec_libtp_codec_la_SOURCES += \
	codec/cuda/cuda.c codec/cuda/cuda.h \
	codec/cuda/decode.h \
	codec/cuda/model.c codec/cuda/model.h \
	codec/cuda/types.h \
	codec/cuda/warp.h
if HAVE_CUDA
codec_libtp_codec_la_SOURCES += codec/cuda/decode.cu
endif
-include codec/cuda/*.cu.d
CLEANFILES += codec/cuda/decode.cu.d
