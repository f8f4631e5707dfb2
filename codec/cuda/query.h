/* SPDX-License-Identifier: MIT */
/* What the CUDA side of device.c offers to the C side: plain C types, nothing of CUDA's headers. */
#ifndef TP_CODEC_CUDA_QUERY_H
#define TP_CODEC_CUDA_QUERY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Number of devices, or -1 with WHY filled in. */
int tp_cuda_query_count(char *why, size_t why_len);
/* 0, or -1 with WHY filled in. */
int tp_cuda_query_device(int device, char *name, size_t name_len, unsigned long long *memory,
                         int *major, int *minor, int *processors, char *why, size_t why_len);

#ifdef __cplusplus
}
#endif

#endif
