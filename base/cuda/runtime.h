/* SPDX-License-Identifier: MIT */
/*
 * The seam between C and CUDA: what runtime.cu offers to device.c, in plain C types, and what it
 * offers to other CUDA code. A function that fails returns -1 and writes the reason to WHY, of
 * TP_CUDA_WHY bytes.
 */
#ifndef TP_BASE_CUDA_RUNTIME_H
#define TP_BASE_CUDA_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TP_CUDA_WHY 256

/* The number of devices. */
int tp_cuda_runtime_count(char *why);
int tp_cuda_runtime_describe(int device, char *name, size_t name_len, unsigned long long *memory,
                             int *major, int *minor, int *processors, char *why);
int tp_cuda_runtime_alloc(size_t len, void **out, char *why);
void tp_cuda_runtime_free(void *p);
int tp_cuda_runtime_copy(void *to, const void *from, size_t len, bool to_device, char *why);

#ifdef __CUDACC__
/* 0 where RC is success; else -1, with WHAT and the runtime's message in WHY. */
int tp_cuda_check(cudaError_t rc, const char *what, char *why);
#endif

#ifdef __cplusplus
}
#endif

#endif
