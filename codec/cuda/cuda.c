/* SPDX-License-Identifier: MIT */
/*
 * Decoding on a CUDA device, the part of the host: checks arguments, uploads tables, reports
 * errors.
 */
#include <config.h>

#include "codec/cuda/cuda.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_CUDA

#include "base/cleanup.h"
#include "base/cuda/device.h"
#include "base/cuda/runtime.h"
#include "codec/cuda/decode.h"
#include "codec/cuda/model.h"

struct tp_cuda_tables {
    struct warp_model model; /* its slots are on the device */
    bool needs_base;
};

int tp_cuda_tables_create(enum tp_codec_id codec, enum tp_dtype dtype, const uint8_t *blob,
                          size_t len, struct tp_cuda_tables **out, struct tp_error *err)
{
    struct tp_cuda_tables *tables = calloc(1, sizeof *tables);
    const uint32_t *host_slots;
    void *slots = NULL;
    size_t n = 0;
    int rc;

    if (!tables)
        return tp_oom(err);
    rc = tp_cuda_model_create(codec, dtype, blob, len, &tables->model, &n, err);
    if (rc) {
        free(tables);
        return rc;
    }
    host_slots = tables->model.slots;
    rc = tp_cuda_alloc(n * sizeof *host_slots, &slots, err);
    if (!rc)
        rc = tp_cuda_upload(slots, host_slots, n * sizeof *host_slots, err);
    free((void *)(uintptr_t)host_slots);
    if (rc) {
        tp_cuda_free(slots);
        free(tables);
        return rc;
    }
    tables->model.slots = slots;
    tables->needs_base = codec == TP_CODEC_DELTA;
    *out = tables;
    return 0;
}

void tp_cuda_tables_destroy(struct tp_cuda_tables *tables)
{
    if (!tables)
        return;
    tp_cuda_free((void *)(uintptr_t)tables->model.slots);
    free(tables);
}

static int check_chunk(const struct tp_cuda_tables *tables, const struct tp_cuda_chunk *chunk,
                       size_t i, struct tp_error *err)
{
    if (chunk->len > TP_CHUNK_MAX || chunk->len % 2)
        return tp_fail(err, EINVAL, "chunk %zu has a length of %u bytes", i, chunk->len);
    if (!chunk->src || !chunk->dst || (tables->needs_base && !chunk->base))
        return tp_fail(err, EINVAL, "chunk %zu lacks an address", i);
    if (((uintptr_t)chunk->dst | (uintptr_t)chunk->base) % 2)
        return tp_fail(err, EINVAL, "chunk %zu is not aligned to 2 bytes", i);
    return 0;
}

int tp_cuda_decode(const struct tp_cuda_tables *tables, const struct tp_cuda_chunk *chunks,
                   size_t n, void *stream, bool *bad, struct tp_error *err)
{
    tp_autofree struct warp_chunk *work = calloc(n + 1, sizeof *work);
    tp_autofree uint8_t *wrong = calloc(n + 1, 1);
    char why[TP_CUDA_WHY];
    size_t damaged = 0;
    int rc = 0;

    if (!work || !wrong || n > INT32_MAX)
        rc = tp_oom(err);
    for (size_t i = 0; i < n && !rc; i++) {
        rc = check_chunk(tables, &chunks[i], i, err);
        work[i] = (struct warp_chunk){chunks[i].src, chunks[i].base, chunks[i].dst,
                                      chunks[i].src_len, chunks[i].len / 2};
    }
    if (!rc && n && tp_cuda_run_decode(&tables->model, work, n, stream, wrong, why))
        rc = tp_fail(err, EIO, "CUDA: %s", why);
    for (size_t i = 0; i < n && !rc; i++) {
        if (bad)
            bad[i] = wrong[i];
        damaged += wrong[i];
    }
    if (damaged)
        rc = tp_fail(err, EBADMSG, "%zu of %zu chunks are damaged", damaged, n);
    return rc;
}

#else

static int not_built(struct tp_error *err)
{
    return tp_fail(err, EOPNOTSUPP, "built without CUDA");
}

int tp_cuda_tables_create(enum tp_codec_id codec, enum tp_dtype dtype, const uint8_t *blob,
                          size_t len, struct tp_cuda_tables **out, struct tp_error *err)
{
    (void)codec, (void)dtype, (void)blob, (void)len, (void)out;
    return not_built(err);
}

void tp_cuda_tables_destroy(struct tp_cuda_tables *tables)
{
    (void)tables;
}

int tp_cuda_decode(const struct tp_cuda_tables *tables, const struct tp_cuda_chunk *chunks,
                   size_t n, void *stream, bool *bad, struct tp_error *err)
{
    (void)tables, (void)chunks, (void)n, (void)stream, (void)bad;
    return not_built(err);
}

#endif
