/* SPDX-License-Identifier: MIT */
/* The split codec: round trips of every dtype, the promised saving, and damaged input. */
#include <config.h>

#include "codec/scratch.h"
#include "codec/split/tables.h"
#include "tests/codec/codec_check.h"

static const struct tp_codec *split;
static struct tp_scratch *scratch;

/* Tables of one kind of data, chunks of it and of any other. */
static void round_trips(uint64_t *seed, enum tp_dtype dtype)
{
    bool good = true;

    for (int run = 0; run < 60 && good; run++) {
        enum check_kind kind = (enum check_kind)(tap_random(seed) % CHECK_KINDS);
        size_t learn_len = check_length(seed, dtype), len = check_length(seed, dtype), coded_len;
        uint8_t *learn = check_alloc(learn_len), *src = check_alloc(len), *coded = NULL;
        struct tp_buffer blob = {0};
        struct tp_tables *tables;
        double bits = -1;

        check_fill(seed, kind, dtype, learn, learn_len);
        if (tap_random(seed) % 3 == 0)
            kind = (enum check_kind)(tap_random(seed) % CHECK_KINDS);
        check_fill(seed, kind, dtype, src, len);
        tables = check_learn(split, dtype, learn, NULL, learn_len, &blob, &bits);
        /* Tables of other data may make a chunk longer. */
        good = bits >= 0 && bits <= tp_dtype_bits(dtype) &&
               check_round_trip(split, tables, dtype, src, NULL, len, 2 * len + 1024, scratch,
                                &coded, &coded_len) &&
               coded_len > 0;
        if (!good)
            diag("%zu bytes of kind %d, promised %g bits, coded %zu", len, kind, bits, coded_len);
        split->tables_destroy(tables);
        tp_buffer_clear(&blob);
        free(coded);
        free(learn);
        free(src);
    }
    ok(good, "%s: round trips", tp_dtype_name(dtype));
}

/*
 * Whole chunks, whose upper plane has all 64 lanes and whose lower one is raw: lengths about a
 * kernel's step.
 */
static void check_two_planes(uint64_t *seed, enum tp_dtype dtype)
{
    uint8_t *src = check_alloc(TP_CHUNK_MAX), *coded = NULL;
    struct tp_buffer blob = {0};
    struct tp_tables *tables;
    size_t coded_len;
    bool good = true, lanes = true;
    double bits;

    if (dtype == TP_DTYPE_BF16)
        check_fill(seed, CHECK_WEIGHTS, dtype, src, TP_CHUNK_MAX);
    else
        for (size_t i = 0; i < TP_CHUNK_MAX; i++)
            src[i] = (uint8_t)(tap_random(seed) >> 32 & (i % 2 ? 0x0f : 0xff));
    tables = check_learn(split, dtype, src, NULL, TP_CHUNK_MAX, &blob, &bits);
    for (size_t less = 0; less < 131 && good; less += less < 2 ? 1 : 43) {
        size_t len = TP_CHUNK_MAX - 2 * less;

        good = check_round_trip(split, tables, dtype, src, NULL, len, len + 64, scratch, &coded,
                                &coded_len);
        /* How the planes are coded, three bytes of length, no patches, log2 of the lanes. */
        lanes &= coded[0] == (SPLIT_RAW | SPLIT_RANS << 2) && coded[4] == 0 && coded[5] == 6;
        free(coded);
    }
    ok(good && lanes, "%s: a raw plane and one of 64 lanes", tp_dtype_name(dtype));
    split->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(src);
}

/* Coded size of one chunk with tables learned from it. */
static size_t coded_size(enum tp_dtype dtype, const uint8_t *src, size_t len, double *bits)
{
    struct tp_buffer blob = {0};
    struct tp_tables *tables = check_learn(split, dtype, src, NULL, len, &blob, bits);
    size_t coded_len;
    uint8_t *coded = NULL;

    if (!check_round_trip(split, tables, dtype, src, NULL, len, len + 64, scratch, &coded,
                          &coded_len))
        coded_len = SIZE_MAX / 2;
    split->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(coded);
    return coded_len;
}

static void savings(uint64_t *seed)
{
    enum { N = TP_CHUNK_MAX / 4 };
    uint8_t *half = check_alloc(2 * N), *full = check_alloc(4 * N);
    size_t half_size, full_size;
    double bits;

    check_fill(seed, CHECK_WEIGHTS, TP_DTYPE_BF16, half, 2 * N);
    for (size_t i = 0; i < N; i++) {
        memset(full + 4 * i, 0, 2);
        memcpy(full + 4 * i + 2, half + 2 * i, 2);
    }
    half_size = coded_size(TP_DTYPE_BF16, half, 2 * N, &bits);
    ok(half_size < 2 * N / 1.5, "bf16 weights: %zu of %d bytes", half_size, 2 * N);
    ok(fabs(bits * N / 8 - (double)half_size) < 0.005 * (double)half_size, "as promised: %g bits",
       bits);
    full_size = coded_size(TP_DTYPE_F32, full, 4 * N, &bits);
    ok(full_size <= half_size + 8, "the same weights in fp32 cost no more: %zu bytes", full_size);

    check_fill(seed, CHECK_WEIGHTS, TP_DTYPE_F32, full, 4 * N);
    full_size = coded_size(TP_DTYPE_F32, full, 4 * N, &bits);
    ok(full_size < 4 * N / 1.18, "fp32 weights: %zu of %d bytes", full_size, 4 * N);

    memset(full, 0, 4 * N);
    full_size = coded_size(TP_DTYPE_I64, full, 4 * N, &bits);
    ok(full_size <= 10 && bits == 0, "zeros: %zu bytes", full_size);
    check_fill(seed, CHECK_RANDOM, TP_DTYPE_F64, full, 4 * N);
    full_size = coded_size(TP_DTYPE_F64, full, 4 * N, &bits);
    ok(full_size == 4 * N + 2 && bits == 64, "noise: two bytes more");
    free(half);
    free(full);
}

/*
 * A chunk that is unlike its tensor brings what it needs; symbols that were never seen cost little.
 */
static void deviations(uint64_t *seed)
{
    enum { LEN = 64 * 1024 };
    uint8_t *learn = check_alloc(LEN), *src = check_alloc(LEN), *coded = NULL;
    struct tp_buffer blob = {0};
    struct tp_tables *tables;
    size_t like, unlike;
    double bits;
    bool good;

    check_fill(seed, CHECK_WEIGHTS, TP_DTYPE_BF16, learn, LEN);
    tables = check_learn(split, TP_DTYPE_BF16, learn, NULL, LEN, &blob, &bits);
    check_fill(seed, CHECK_WEIGHTS, TP_DTYPE_BF16, src, LEN);
    for (size_t i = 999; i < LEN; i += 2000) {
        src[i] = 0x7f; /* 33 infinities or NaNs */
        src[i - 1] |= 0x80;
    }
    good =
        check_round_trip(split, tables, TP_DTYPE_BF16, src, NULL, LEN, LEN, scratch, &coded, &like);
    ok(good && like > 0 && like < LEN / 1.49, "unseen exponents: %zu bytes", like);
    free(coded);
    for (size_t i = 0; i < LEN; i += 2) {
        src[i] = (uint8_t)(tap_random(seed) % 3);
        src[i + 1] = (uint8_t)(0x7f - tap_random(seed) % 2);
    }
    good = check_round_trip(split, tables, TP_DTYPE_BF16, src, NULL, LEN, LEN, scratch, &coded,
                            &unlike);
    ok(good && unlike > 0 && unlike < LEN / 5, "another chunk altogether: %zu bytes", unlike);
    free(coded);
    is_u64(split->encode(tables, TP_DTYPE_BF16, src, NULL, LEN, learn, unlike, scratch), 0,
           "no more than CAP");
    is_u64(split->encode(tables, TP_DTYPE_BF16, src, NULL, LEN, learn, unlike + 1, scratch), unlike,
           "as CAP says");
    split->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(learn);
    free(src);
}

static bool damage_once(uint64_t *seed, enum tp_dtype dtype)
{
    enum check_kind kind = (enum check_kind)(tap_random(seed) % CHECK_KINDS);
    size_t len = check_length(seed, dtype) % 9000 / 24 * 24, coded_len;
    uint8_t *src = check_alloc(len), *coded, *bad;
    struct tp_buffer blob = {0};
    struct tp_tables *tables, *other = NULL;
    struct tp_error err;
    double bits;
    bool good;
    int rc;

    check_fill(seed, kind, dtype, src, len);
    tables = check_learn(split, dtype, src, NULL, len, &blob, &bits);
    good = check_round_trip(split, tables, dtype, src, NULL, len, len + 64, scratch, &coded,
                            &coded_len);
    for (int i = 0; i < 30 && good; i++)
        good =
            check_damaged_decode(split, tables, dtype, coded, coded_len, NULL, len, scratch, seed);
    for (int i = 0; i < 30 && good; i++) {
        size_t bad_len = blob.len;

        bad = check_alloc(blob.len + 8);
        memcpy(bad, blob.data, blob.len);
        check_damage(seed, bad, &bad_len);
        uint8_t *exact = malloc(bad_len + !bad_len);
        memcpy(exact, bad, bad_len);
        rc = split->tables_create(dtype, exact, bad_len, &other, &err);
        good = rc == 0 || (rc == -EBADMSG && err.message[0]);
        if (rc == 0) {
            good = check_damaged_decode(split, other, dtype, coded, coded_len, NULL, len, scratch,
                                        seed);
            split->tables_destroy(other);
        }
        free(exact);
        free(bad);
    }
    split->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(coded);
    free(src);
    return good;
}

int main(void)
{
    uint64_t seed = tap_seed();
    bool good = true;

    split = tp_codec_get(TP_CODEC_SPLIT);
    scratch = tp_scratch_create();
    if (!split || !scratch)
        bail_out("no codec");
    for (size_t i = 0; i < CHECK_DTYPES; i++)
        round_trips(&seed, check_dtypes[i]);
    check_two_planes(&seed, TP_DTYPE_BF16);
    check_two_planes(&seed, TP_DTYPE_I16);
    savings(&seed);
    deviations(&seed);
    for (int i = 0; i < 60 && good; i++)
        good = damage_once(&seed, check_dtypes[tap_random(&seed) % CHECK_DTYPES]);
    ok(good, "damaged chunks and tables give -EBADMSG at most");
    tp_scratch_destroy(scratch);
    return tap_done();
}
