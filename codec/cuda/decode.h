/* SPDX-License-Identifier: MIT */
/* What the CUDA side of cuda.c offers to the C side. Each returns 0, or -1 with WHY filled in. */
#ifndef TP_CODEC_CUDA_DECODE_H
#define TP_CODEC_CUDA_DECODE_H

#include <stdbool.h>
#include <stddef.h>

#include "codec/cuda/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TP_CUDA_WHY 256

int tp_cuda_run_alloc(size_t len, void **out, char *why);
void tp_cuda_run_free(void *p);
int tp_cuda_run_copy(void *to, const void *from, size_t len, bool to_device, char *why);
/*
 * MODEL and CHUNKS are the host's; model->slots, and what chunks name, the device's; BAD has N
 * bytes.
 */
int tp_cuda_run_decode(const struct warp_model *model, const struct warp_chunk *chunks, size_t n,
                       void *stream, uint8_t *bad, char *why);

#ifdef __cplusplus
}
#endif

#endif
