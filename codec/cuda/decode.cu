/* SPDX-License-Identifier: MIT */
/* The kernel that decodes a chunk a warp, and the few calls of the CUDA runtime around it. */
#include <config.h>

#include <stdio.h>

#define WARP_FN static __device__ __forceinline__
#define WARP_LANE (threadIdx.x)
#define WARP_BALLOT(p) __ballot_sync(0xffffffffu, (p))
#define WARP_SYNC() __syncwarp()
#define WARP_POPC(x) ((uint32_t)__popc(x))
#include "codec/cuda/decode.h"
#include "codec/cuda/warp.h"

/* Warps of one block share nothing; several of them hide one another's waiting. */
#define WARPS_PER_BLOCK 4

static __global__ void __launch_bounds__(32 * WARPS_PER_BLOCK)
    decode_kernel(const __grid_constant__ struct warp_model model, const struct warp_chunk *chunks,
                  uint32_t n, uint8_t *bad)
{
    __shared__ struct warp_room rooms[WARPS_PER_BLOCK];
    uint32_t i = blockIdx.x * WARPS_PER_BLOCK + threadIdx.y;

    if (i >= n)
        return;
    struct warp_chunk chunk = chunks[i];
    bool good = warp_decode(&model, &chunk, &rooms[threadIdx.y]);
    if (threadIdx.x == 0)
        bad[i] = !good;
}

static int failed(cudaError_t rc, const char *what, char *why)
{
    if (rc == cudaSuccess)
        return 0;
    snprintf(why, TP_CUDA_WHY, "%s: %s", what, cudaGetErrorString(rc));
    return -1;
}

extern "C" int tp_cuda_run_alloc(size_t len, void **out, char *why)
{
    return failed(cudaMalloc(out, len ? len : 1), "device memory", why);
}

extern "C" void tp_cuda_run_free(void *p)
{
    cudaFree(p);
}

extern "C" int tp_cuda_run_copy(void *to, const void *from, size_t len, bool to_device, char *why)
{
    return failed(
        cudaMemcpy(to, from, len, to_device ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost),
        "copying", why);
}

static int decode_on(const struct warp_model *model, const struct warp_chunk *chunks, uint32_t n,
                     cudaStream_t stream, struct warp_chunk *device_chunks, uint8_t *device_bad,
                     uint8_t *bad, char *why)
{
    if (failed(cudaMemcpyAsync(device_chunks, chunks, n * sizeof *chunks, cudaMemcpyHostToDevice,
                               stream),
               "copying", why))
        return -1;
    decode_kernel<<<(n + WARPS_PER_BLOCK - 1) / WARPS_PER_BLOCK, dim3(32, WARPS_PER_BLOCK), 0,
                    stream>>>(*model, device_chunks, n, device_bad);
    if (failed(cudaGetLastError(), "decoding", why) ||
        failed(cudaMemcpyAsync(bad, device_bad, n, cudaMemcpyDeviceToHost, stream), "copying", why))
        return -1;
    return failed(cudaStreamSynchronize(stream), "decoding", why);
}

extern "C" int tp_cuda_run_decode(const struct warp_model *model, const struct warp_chunk *chunks,
                                  size_t n, void *stream, uint8_t *bad, char *why)
{
    void *device_chunks = NULL, *device_bad = NULL;
    int rc = -1;

    if (!tp_cuda_run_alloc(n * sizeof *chunks, &device_chunks, why) &&
        !tp_cuda_run_alloc(n, &device_bad, why))
        rc = decode_on(model, chunks, (uint32_t)n, (cudaStream_t)stream,
                       (struct warp_chunk *)device_chunks, (uint8_t *)device_bad, bad, why);
    cudaFree(device_chunks);
    cudaFree(device_bad);
    return rc;
}
