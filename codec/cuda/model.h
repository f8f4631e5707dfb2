/* SPDX-License-Identifier: MIT */
/* The flat form of a tensor's tables, which warps read. The host makes it. */
#ifndef TP_CODEC_CUDA_MODEL_H
#define TP_CODEC_CUDA_MODEL_H

#include "codec/codec.h"

#include "codec/cuda/types.h"

/*
 * Check and flatten tables into MODEL; *SLOTS is the number of its slots, which the caller frees.
 * -EOPNOTSUPP: warps do not decode this codec or dtype.
 */
int tp_cuda_model_create(enum tp_codec_id codec, enum tp_dtype dtype, const uint8_t *blob,
                         size_t len, struct warp_model *model, size_t *slots, struct tp_error *err);

#endif
