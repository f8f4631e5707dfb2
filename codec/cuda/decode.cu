/* SPDX-License-Identifier: MIT */
/* The kernel, which decodes a chunk in each warp, and its start. */
#include <config.h>

#include "base/cuda/runtime.h"
#include "codec/cuda/decode.h"

#define WARP_FN static __device__ __forceinline__
#define WARP_LANE (threadIdx.x)
#define WARP_BALLOT(p) __ballot_sync(0xffffffffu, (p))
#define WARP_SYNC() __syncwarp()
#define WARP_POPC(x) ((uint32_t)__popc(x))
#include "codec/cuda/warp.h"

/* Warps of a block share nothing; several of them hide each other's latency. */
#define WARPS_PER_BLOCK 4

static __global__ void __launch_bounds__(32 * WARPS_PER_BLOCK)
    decode_kernel(const __grid_constant__ struct warp_model model, const struct warp_chunk *chunks,
                  uint32_t n, uint8_t *bad)
{
    __shared__ struct warp_shared shared[WARPS_PER_BLOCK];
    uint32_t i = blockIdx.x * WARPS_PER_BLOCK + threadIdx.y;

    if (i >= n)
        return;
    struct warp_chunk chunk = chunks[i];
    bool good = warp_decode(&model, &chunk, &shared[threadIdx.y]);
    if (threadIdx.x == 0)
        bad[i] = !good;
}

static int decode_on(const struct warp_model *model, const struct warp_chunk *chunks, uint32_t n,
                     cudaStream_t stream, struct warp_chunk *device_chunks, uint8_t *device_bad,
                     uint8_t *bad, char *why)
{
    if (tp_cuda_check(cudaMemcpyAsync(device_chunks, chunks, n * sizeof *chunks,
                                      cudaMemcpyHostToDevice, stream),
                      "copying", why))
        return -1;
    decode_kernel<<<(n + WARPS_PER_BLOCK - 1) / WARPS_PER_BLOCK, dim3(32, WARPS_PER_BLOCK), 0,
                    stream>>>(*model, device_chunks, n, device_bad);
    if (tp_cuda_check(cudaGetLastError(), "decoding", why) ||
        tp_cuda_check(cudaMemcpyAsync(bad, device_bad, n, cudaMemcpyDeviceToHost, stream),
                      "copying", why))
        return -1;
    return tp_cuda_check(cudaStreamSynchronize(stream), "decoding", why);
}

extern "C" int tp_cuda_run_decode(const struct warp_model *model, const struct warp_chunk *chunks,
                                  size_t n, void *stream, uint8_t *bad, char *why)
{
    void *device_chunks = NULL, *device_bad = NULL;
    int rc = -1;

    if (!tp_cuda_runtime_alloc(n * sizeof *chunks, &device_chunks, why) &&
        !tp_cuda_runtime_alloc(n, &device_bad, why))
        rc = decode_on(model, chunks, (uint32_t)n, (cudaStream_t)stream,
                       (struct warp_chunk *)device_chunks, (uint8_t *)device_bad, bad, why);
    tp_cuda_runtime_free(device_chunks);
    tp_cuda_runtime_free(device_bad);
    return rc;
}
