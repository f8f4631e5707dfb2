/* SPDX-License-Identifier: MIT */
/* Asking the CUDA runtime, which is linked statically and finds the driver, or not, when it is first called. */
#include <config.h>

#include "codec/cuda/query.h"

#include <stdio.h>

static int failed(cudaError_t rc, char *why, size_t why_len)
{
    if (rc == cudaSuccess)
        return 0;
    snprintf(why, why_len, "%s", cudaGetErrorString(rc));
    return -1;
}

extern "C" int tp_cuda_query_count(char *why, size_t why_len)
{
    int n = 0;
    cudaError_t rc = cudaGetDeviceCount(&n);
    if (rc == cudaErrorNoDevice)
        return 0;
    return failed(rc, why, why_len) ? -1 : n;
}

extern "C" int tp_cuda_query_device(int device, char *name, size_t name_len, unsigned long long *memory,
                                    int *major, int *minor, int *processors, char *why, size_t why_len)
{
    cudaDeviceProp prop;
    if (failed(cudaGetDeviceProperties(&prop, device), why, why_len))
        return -1;
    snprintf(name, name_len, "%s", prop.name);
    *memory = prop.totalGlobalMem;
    *major = prop.major;
    *minor = prop.minor;
    *processors = prop.multiProcessorCount;
    return 0;
}
