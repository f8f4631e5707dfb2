/* SPDX-License-Identifier: MIT */
/*
 * Calls of the CUDA runtime. It is linked statically, and looks for the driver when it is first
 * called.
 */
#include <config.h>

#include "base/cuda/runtime.h"

#include <stdio.h>

extern "C" int tp_cuda_check(cudaError_t rc, const char *what, char *why)
{
    if (rc == cudaSuccess)
        return 0;
    snprintf(why, TP_CUDA_WHY, "%s: %s", what, cudaGetErrorString(rc));
    return -1;
}

extern "C" int tp_cuda_runtime_count(char *why)
{
    int n = 0;
    cudaError_t rc = cudaGetDeviceCount(&n);

    if (rc == cudaErrorNoDevice)
        return 0;
    return tp_cuda_check(rc, "counting the devices", why) ? -1 : n;
}

extern "C" int tp_cuda_runtime_describe(int device, char *name, size_t name_len,
                                        unsigned long long *memory, int *major, int *minor,
                                        int *processors, char *why)
{
    cudaDeviceProp prop;

    if (tp_cuda_check(cudaGetDeviceProperties(&prop, device), "properties", why))
        return -1;
    snprintf(name, name_len, "%s", prop.name);
    *memory = prop.totalGlobalMem;
    *major = prop.major;
    *minor = prop.minor;
    *processors = prop.multiProcessorCount;
    return 0;
}

extern "C" int tp_cuda_runtime_alloc(size_t len, void **out, char *why)
{
    return tp_cuda_check(cudaMalloc(out, len ? len : 1), "device memory", why);
}

extern "C" void tp_cuda_runtime_free(void *p)
{
    cudaFree(p);
}

extern "C" int tp_cuda_runtime_copy(void *to, const void *from, size_t len, bool to_device,
                                    char *why)
{
    return tp_cuda_check(
        cudaMemcpy(to, from, len, to_device ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost),
        "copying", why);
}
