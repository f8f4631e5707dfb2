/* SPDX-License-Identifier: MIT */
/* A tensor's tables in the flat form that warps read, made on the host. */
#ifndef TP_CODEC_CUDA_MODEL_H
#define TP_CODEC_CUDA_MODEL_H

#include "codec/codec.h"

#include "codec/cuda/types.h"

/*
 * Check and flatten tables into MODEL; the caller frees its slots, *SLOTS of them. -EOPNOTSUPP: not
 * a codec or dtype that warps decode.
 */
int tp_cuda_model_create(enum tp_codec_id codec, enum tp_dtype dtype, const uint8_t *blob,
                         size_t len, struct warp_model *model, size_t *slots, struct tp_error *err);

#endif
