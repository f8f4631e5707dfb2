/* SPDX-License-Identifier: MIT */
/*
 * What the tests of codecs share: inputs of every kind, round trips that compare the instruction
 * sets, and damaged input. Buffers have exactly the size of the contract, so that the address
 * sanitizer detects every access outside.
 */
#ifndef TP_TESTS_CODEC_CHECK_H
#define TP_TESTS_CODEC_CHECK_H

#include <errno.h>
#include <math.h>

#include "base/buffer.h"
#include "base/isa.h"
#include "codec/codec.h"
#include "tests/tap.h"

/* Dtypes of every width and kind, packed ones too. */
static const enum tp_dtype check_dtypes[] = {
    TP_DTYPE_BYTES, TP_DTYPE_I8,  TP_DTYPE_F8_E4M3, TP_DTYPE_I16, TP_DTYPE_F16,
    TP_DTYPE_BF16,  TP_DTYPE_U32, TP_DTYPE_F32,     TP_DTYPE_I64, TP_DTYPE_F64,
    TP_DTYPE_C64,   TP_DTYPE_F4,  TP_DTYPE_F6_E2M3,
};
#define CHECK_DTYPES (sizeof check_dtypes / sizeof check_dtypes[0])

__attribute__((unused)) static uint8_t *check_alloc(size_t len)
{
    uint8_t *p = malloc(len + TP_SLACK);

    if (!p)
        bail_out("out of memory");
    memset(p, 0xa5, len + TP_SLACK);
    return p;
}

__attribute__((unused)) static uint8_t *check_copy(const void *data, size_t len)
{
    uint8_t *p = check_alloc(len);

    if (len)
        memcpy(p, data, len);
    return p;
}

/* Bytes of the units in which a tensor of this dtype is cut. */
__attribute__((unused)) static size_t check_unit(enum tp_dtype dtype)
{
    unsigned bits = tp_dtype_bits(dtype);

    return bits == 6 ? 3 : bits < 8 ? 1 : bits / 8;
}

/* A length from nothing to a whole chunk, short and odd ones often. */
__attribute__((unused)) static size_t check_length(uint64_t *seed, enum tp_dtype dtype)
{
    static const size_t some[] = {0, 1, 2, 3, 5, 17, 64, 255, 1000, 4097};
    size_t unit = check_unit(dtype), most = TP_CHUNK_MAX / unit, n;
    uint64_t r = tap_random(seed);

    switch (r % 8) {
    case 0:
        n = most;
        break;
    case 1:
        n = (r >> 8) % most;
        break;
    case 2:
        n = (r >> 8) % 20000;
        break;
    default:
        n = some[(r >> 8) % (sizeof some / sizeof some[0])];
    }
    return (n < most ? n : most) * unit;
}

/* About a normal distribution, without libm's differences between machines. */
__attribute__((unused)) static double check_normal(uint64_t *seed)
{
    double sum = 0;

    for (int i = 0; i < 6; i++)
        sum += (double)(tap_random(seed) >> 11) * 0x1p-53;
    return (sum - 3) * 1.41421356;
}

enum check_kind {
    CHECK_ZERO,
    CHECK_CONSTANT,
    CHECK_RANDOM,
    CHECK_WEIGHTS,
    CHECK_FEW,
    CHECK_UPCAST,
    CHECK_KINDS
};

__attribute__((unused)) static void check_fill(uint64_t *seed, enum check_kind kind,
                                               enum tp_dtype dtype, uint8_t *p, size_t len)
{
    size_t unit = check_unit(dtype);
    uint64_t constant = tap_random(seed);

    for (size_t i = 0; i < len; i += unit) {
        uint64_t x = tap_random(seed);
        float weight = (float)(0.02 * check_normal(seed));
        uint32_t bits;

        memcpy(&bits, &weight, sizeof bits);
        switch (kind) {
        case CHECK_ZERO:
            x = 0;
            break;
        case CHECK_CONSTANT:
            x = constant;
            break;
        case CHECK_RANDOM: /* NaNs with payloads, denormals, -0 */
            break;
        case CHECK_WEIGHTS:
            x = unit == 2 ? bits >> 16 : unit == 8 ? (uint64_t)bits << 32 | (uint32_t)x : bits;
            break;
        case CHECK_FEW: /* a few symbols, and now and then any other */
            x = x >> 60 ? (x >> 32) % 3 * 0x0101010101010101u : x;
            break;
        default: /* the low half is nothing */
            x = unit == 8 ? (uint64_t)bits << 32 : bits & 0xffff0000;
        }
        memcpy(p + i, &x, unit);
    }
}

/* Tables learned from these bytes, in pieces; NULL where the codec has none. */
__attribute__((unused)) static struct tp_tables *
check_learn(const struct tp_codec *codec, enum tp_dtype dtype, const uint8_t *src,
            const uint8_t *base, size_t len, struct tp_buffer *blob, double *bits)
{
    struct tp_tables *tables = NULL;
    struct tp_error err = {0};
    struct tp_stats *stats;
    size_t step = 30000 / check_unit(dtype) * check_unit(dtype);

    if (!codec->needs_tables)
        return NULL;
    stats = codec->stats_create(dtype);
    if (!stats)
        bail_out("out of memory");
    for (size_t i = 0; i < len; i += step) {
        size_t n = len - i < step ? len - i : step;

        codec->stats_add(stats, src + i, base ? base + i : NULL, n);
    }
    if (codec->stats_finish(stats, blob, bits))
        bail_out("stats_finish failed");
    codec->stats_destroy(stats);
    if (codec->tables_create(dtype, blob->data, blob->len, &tables, &err))
        bail_out("tables_create refused what stats_finish wrote: %s", err.message);
    return tables;
}

/*
 * Code with every instruction set, the same bytes each time, decode with every one. The coded bytes
 * (for the caller to free) and their length; a codec may find LEN bytes not worth coding:
 * *CODED_LEN is 0.
 */
__attribute__((unused)) static bool
check_round_trip(const struct tp_codec *codec, const struct tp_tables *tables, enum tp_dtype dtype,
                 const uint8_t *src, const uint8_t *base, size_t len, size_t cap,
                 struct tp_scratch *scratch, uint8_t **coded_out, size_t *coded_len)
{
    enum tp_isa before = tp_isa_get();
    uint8_t *coded = NULL;
    size_t coded_n = 0;
    bool good = true;

    for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best() && good; isa++) {
        uint8_t *out = check_alloc(cap);
        size_t n;

        tp_isa_set((enum tp_isa)isa);
        n = codec->encode(tables, dtype, src, base, len, out, cap, scratch);
        if (isa == TP_ISA_SCALAR) {
            coded = check_copy(out, n);
            coded_n = n;
        }
        good = n < cap + !cap && n == coded_n && !memcmp(out, coded, n);
        if (!good)
            diag("%s %s: coded bytes differ: %zu and %zu", codec->name,
                 tp_isa_name((enum tp_isa)isa), n, coded_n);
        free(out);
    }
    for (int isa = TP_ISA_SCALAR; coded_n && isa <= (int)tp_isa_best() && good; isa++) {
        uint8_t *out = check_alloc(len);
        int rc;

        tp_isa_set((enum tp_isa)isa);
        rc = codec->decode(tables, dtype, coded, coded_n, base, out, len, scratch);
        good = rc == 0 && !memcmp(out, src, len);
        if (!good)
            diag("%s %s: decoding %zu bytes to %zu: %d", codec->name, tp_isa_name((enum tp_isa)isa),
                 coded_n, len, rc);
        free(out);
    }
    tp_isa_set(before);
    *coded_len = coded_n;
    *coded_out = coded;
    return good;
}

/*
 * Change a few bytes, cut off, extend, or replace: *LEN may shrink, or grow by up to 8 within the
 * buffer.
 */
__attribute__((unused)) static void check_damage(uint64_t *seed, uint8_t *p, size_t *len)
{
    uint64_t r = tap_random(seed);

    switch (r % 5) {
    case 0:
        *len = *len ? (r >> 8) % *len : 0;
        break;
    case 1:
        *len += (r >> 8) % 9;
        break;
    case 2:
        for (size_t i = 0; i < *len; i++)
            p[i] = (uint8_t)tap_random(seed);
        break;
    default: /* the first bytes, which say most, as often as any other */
        for (unsigned i = 0; *len && i < 1 + (r >> 8) % 4; i++) {
            uint64_t where = tap_random(seed);
            size_t span = where & 1 || *len < 16 ? *len : 16;

            p[(where >> 8) % span] ^= (uint8_t)(1u << (where >> 1 & 7));
        }
    }
}

/*
 * Decoding damaged bytes: only 0 and -EBADMSG may come of it, with each instruction set the same.
 */
__attribute__((unused)) static bool
check_damaged_decode(const struct tp_codec *codec, const struct tp_tables *tables,
                     enum tp_dtype dtype, const uint8_t *coded, size_t coded_len,
                     const uint8_t *base, size_t len, struct tp_scratch *scratch, uint64_t *seed)
{
    uint8_t *bad = check_alloc(coded_len + 8);
    size_t bad_len = coded_len;
    uint8_t *first = NULL;
    int first_rc = 0;
    bool good = true;

    memcpy(bad, coded, coded_len);
    check_damage(seed, bad, &bad_len);
    uint8_t *exact = check_copy(bad, bad_len);
    free(bad);
    for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best(); isa++) {
        uint8_t *out = check_alloc(len);
        int rc;

        tp_isa_set((enum tp_isa)isa);
        rc = codec->decode(tables, dtype, exact, bad_len, base, out, len, scratch);
        if (isa == TP_ISA_SCALAR) {
            first_rc = rc;
            first = out;
            good = rc == 0 || rc == -EBADMSG;
            continue;
        }
        good = good && rc == first_rc && (rc || !memcmp(first, out, len));
        free(out);
    }
    tp_isa_set(tp_isa_best());
    if (!good)
        diag("%s: %d for damaged bytes of a chunk of %zu", codec->name, first_rc, len);
    free(first);
    free(exact);
    return good;
}

#endif
