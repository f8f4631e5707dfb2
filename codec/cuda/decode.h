/* SPDX-License-Identifier: MIT */
/* The C interface of the decoding kernel. */
#ifndef TP_CODEC_CUDA_DECODE_H
#define TP_CODEC_CUDA_DECODE_H

#include <stddef.h>

#include "codec/cuda/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Decode N chunks and wait for them. MODEL, CHUNKS and BAD (N bytes) are in the host's memory,
 * model->slots and the addresses in CHUNKS are addresses of the device. 0, or -1 with the reason in
 * WHY, which has TP_CUDA_WHY bytes.
 */
int tp_cuda_run_decode(const struct warp_model *model, const struct warp_chunk *chunks, size_t n,
                       void *stream, uint8_t *bad, char *why);

#ifdef __cplusplus
}
#endif

#endif
