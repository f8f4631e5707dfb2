/* SPDX-License-Identifier: MIT */
/* Decoding on a CUDA device gives the bytes of the portable decoder; skipped without a device. */
#include <config.h>

#include <time.h>

#include "codec/cuda/cuda.h"
#include "base/cuda/device.h"
#include "codec/scratch.h"
#include "tests/codec/codec_check.h"

enum { CHUNKS = 24, COPIES = 64 };

static struct tp_scratch *scratch;

/* What a batch is on the host, and where it is on the device. */
struct batch {
    size_t len[CHUNKS], coded_len[CHUNKS];
    uint8_t *src[CHUNKS], *base[CHUNKS], *coded[CHUNKS];
    struct tp_cuda_chunk chunk[CHUNKS];
};

static void *bring(const void *host, size_t len)
{
    struct tp_error err = {0};
    void *device = NULL;

    if (tp_cuda_alloc(len, &device, &err) || (len && tp_cuda_upload(device, host, len, &err)))
        bail_out("%s", err.message);
    return device;
}

static void fill(uint64_t *seed, struct batch *b, size_t i)
{
    size_t len = i < 4 ? TP_CHUNK_MAX : check_length(seed, TP_DTYPE_BF16);

    b->len[i] = len;
    b->base[i] = check_alloc(len);
    check_fill(seed, i % 7 == 6 ? CHECK_RANDOM : CHECK_WEIGHTS, TP_DTYPE_BF16, b->base[i], len);
    b->src[i] = check_copy(b->base[i], len);
    for (size_t k = 0; k < len; k += 2)
        if (tap_random(seed) % 3 == 0)
            b->src[i][k] = (uint8_t)(b->src[i][k] + tap_random(seed) % (8u << i % 5));
}

static void code(struct batch *b, size_t i, const struct tp_codec *codec,
                 const struct tp_tables *tables)
{
    if (!check_round_trip(codec, tables, TP_DTYPE_BF16, b->src[i], b->base[i], b->len[i],
                          2 * b->len[i] + 2048, scratch, &b->coded[i], &b->coded_len[i]))
        bail_out("the portable decoder fails");
    b->chunk[i] = (struct tp_cuda_chunk){
        .src = bring(b->coded[i], b->coded_len[i]),
        .base = codec->needs_base ? bring(b->base[i], b->len[i]) : NULL,
        .dst = bring(b->base[i], b->len[i]),
        .src_len = (uint32_t)b->coded_len[i],
        .len = (uint32_t)b->len[i],
    };
}

static void compare(const struct tp_codec *codec, const struct tp_cuda_tables *tables,
                    const struct batch *b)
{
    struct tp_error err = {0};
    bool bad[CHUNKS], good = true;
    uint8_t *out = check_alloc(TP_CHUNK_MAX);

    is_int(tp_cuda_decode(tables, b->chunk, CHUNKS, NULL, bad, &err), 0, "decoded");
    for (size_t i = 0; i < CHUNKS && good; i++) {
        good = !bad[i] && !tp_cuda_download(out, b->chunk[i].dst, b->len[i], &err) &&
               !memcmp(out, b->src[i], b->len[i]);
        if (!good)
            diag("chunk %zu of %zu bytes%s", i, b->len[i], bad[i] ? ": refused" : "");
    }
    ok(good, "%s: %d chunks, the same bytes", codec->name, CHUNKS);
    free(out);
}

/* Damaged chunks are refused or decode to something; their neighbours are right. */
static void damage(uint64_t *seed, const struct tp_codec *codec,
                   const struct tp_cuda_tables *tables, struct batch *b)
{
    struct tp_error err = {0};
    uint8_t *out = check_alloc(TP_CHUNK_MAX);
    bool bad[CHUNKS];
    int rc;

    for (size_t i = 0; i < CHUNKS; i += 2) {
        uint8_t *coded = check_alloc(b->coded_len[i] + 8);
        size_t len = b->coded_len[i];

        memcpy(coded, b->coded[i], len);
        check_damage(seed, coded, &len);
        if (len <= b->coded_len[i]) {
            if (tp_cuda_upload((void *)(uintptr_t)b->chunk[i].src, coded, len, &err))
                bail_out("%s", err.message);
            b->chunk[i].src_len = (uint32_t)len;
        }
        free(coded);
    }
    rc = tp_cuda_decode(tables, b->chunk, CHUNKS, NULL, bad, &err);
    ok(rc == 0 || rc == -EBADMSG, "%s: damaged chunks: %d", codec->name, rc);
    for (size_t i = 1; i < CHUNKS; i += 2)
        if (bad[i] || tp_cuda_download(out, b->chunk[i].dst, b->len[i], &err) ||
            memcmp(out, b->src[i], b->len[i]))
            ok(false, "chunk %zu, which is not damaged", i);
    free(out);
}

/* Many copies of whole chunks; a figure for the log, no check. */
static void speed(const struct tp_codec *codec, const struct tp_cuda_tables *tables,
                  const struct batch *b)
{
    struct tp_cuda_chunk *many = calloc(4 * COPIES, sizeof *many);
    struct timespec from, to;
    struct tp_error err = {0};
    double seconds;

    for (size_t i = 0; many && i < 4 * COPIES; i++) {
        many[i] = b->chunk[i % 4];
        many[i].dst = bring(b->base[i % 4], TP_CHUNK_MAX);
    }
    if (!many || tp_cuda_decode(tables, many, 4 * COPIES, NULL, NULL, &err))
        bail_out("%s", err.message);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int run = 0; run < 10; run++)
        if (tp_cuda_decode(tables, many, 4 * COPIES, NULL, NULL, &err))
            bail_out("%s", err.message);
    clock_gettime(CLOCK_MONOTONIC, &to);
    seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) * 1e-9;
    diag("%s: %.1f GB/s in batches of %d chunks", codec->name,
         10.0 * 4 * COPIES * TP_CHUNK_MAX / seconds / 1e9, 4 * COPIES);
    for (size_t i = 0; i < 4 * COPIES; i++)
        tp_cuda_free(many[i].dst);
    free(many);
}

static void codec_on_device(uint64_t *seed, const struct tp_codec *codec)
{
    struct batch *b = calloc(1, sizeof *b);
    struct tp_buffer blob = {0};
    struct tp_cuda_tables *on_device = NULL;
    struct tp_error err = {0};
    struct tp_tables *tables;
    double bits;

    if (!b)
        bail_out("out of memory");
    for (size_t i = 0; i < CHUNKS; i++)
        fill(seed, b, i);
    tables = check_learn(codec, TP_DTYPE_BF16, b->src[1], b->base[1], b->len[1], &blob, &bits);
    for (size_t i = 0; i < CHUNKS; i++)
        code(b, i, codec, tables);
    if (!ok(!tp_cuda_tables_create(codec->id, TP_DTYPE_BF16, blob.data, blob.len, &on_device, &err),
            "%s: tables on the device", codec->name))
        bail_out("%s", err.message);
    compare(codec, on_device, b);
    speed(codec, on_device, b);
    damage(seed, codec, on_device, b);
    for (size_t i = 0; i < CHUNKS; i++) {
        tp_cuda_free((void *)(uintptr_t)b->chunk[i].src);
        tp_cuda_free((void *)(uintptr_t)b->chunk[i].base);
        tp_cuda_free(b->chunk[i].dst);
        free(b->src[i]);
        free(b->base[i]);
        free(b->coded[i]);
    }
    tp_cuda_tables_destroy(on_device);
    codec->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(b);
}

int main(void)
{
    uint64_t seed = tap_seed();
    struct tp_error err = {0};
    struct tp_cuda_device device;
    void *p = NULL;
    int n = tp_cuda_device_list(&device, 1, &err);

    if (n <= 0) {
        struct tp_error other = {0};
        int rc = tp_cuda_alloc(16, &p, &err);

        ok(rc == -ENODEV || rc == -EOPNOTSUPP, "without a device: %d", rc);
        ok(tp_cuda_tables_create(TP_CODEC_ZSTD, TP_DTYPE_BF16, NULL, 0, NULL, &other) ==
               -EOPNOTSUPP,
           "no other codec: %s", other.message);
        skip("no CUDA device: %s", err.message);
        return tap_done();
    }
    diag("%s", device.name);
    scratch = tp_scratch_create();
    if (!scratch)
        bail_out("out of memory");
    codec_on_device(&seed, tp_codec_get(TP_CODEC_DELTA));
    codec_on_device(&seed, tp_codec_get(TP_CODEC_SPLIT));
    tp_scratch_destroy(scratch);
    return tap_done();
}
