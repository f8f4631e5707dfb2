/* SPDX-License-Identifier: MIT */
/* Packed matrices for tests: random ones, and their values element by element. */
#ifndef TP_TESTS_CODEC_QUANT_CHECK_H
#define TP_TESTS_CODEC_QUANT_CHECK_H

#include <errno.h>
#include <math.h>

#include "base/le.h"
#include "codec/half.h"
#include "codec/quant/quant.h"
#include "tests/tap.h"

static inline void *check_alloc(size_t size)
{
    void *p = malloc(size + !size);

    if (!p)
        bail_out("out of memory");
    return p;
}

/* Between -1 and 1. */
static inline float check_uniform(uint64_t *seed)
{
    return (float)((double)(tap_random(seed) >> 11) * 0x1p-52 - 1);
}

static inline float check_normal(uint64_t *seed)
{
    double u = ((double)(tap_random(seed) >> 11) + 1) * 0x1p-53;
    double v = (double)(tap_random(seed) >> 11) * 0x1p-53;

    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static inline void check_random_bytes(uint64_t *seed, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(tap_random(seed) >> 32);
}

/* N numbers of fp16 or fp32 that are finite. */
static inline void check_random_floats(uint64_t *seed, uint8_t *p, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++) {
        float x = check_normal(seed);

        if (width == 4)
            memcpy(p + 4 * i, &x, 4);
        else
            tp_put_le16(p + 2 * i, tp_f16_from_float(x));
    }
}

/* Positions that ascend: COUNT of N, in steps that use all of N. */
static inline uint32_t check_position(uint32_t i, uint32_t count, uint32_t n)
{
    return (uint32_t)((uint64_t)i * n / count);
}

static inline void check_fill_outliers(const struct tp_quant_spec *spec, uint32_t count,
                                       const struct tp_quant_section *section, uint8_t *data)
{
    uint32_t k = 0;

    for (uint32_t r = 0; r < spec->rows; r++) {
        uint32_t end = check_position(r + 1, spec->rows, count), of = end - k;

        tp_put_le32(data + section[TP_QUANT_TABLE].offset + 4 * (size_t)r, k);
        for (uint32_t i = 0; i < of; i++, k++) {
            uint32_t column = check_position(i, of, spec->cols);

            if (spec->cols > 65536)
                tp_put_le32(data + section[TP_QUANT_CODES].offset + 4 * (size_t)k, column);
            else
                tp_put_le16(data + section[TP_QUANT_CODES].offset + 2 * (size_t)k,
                            (uint16_t)column);
        }
    }
    tp_put_le32(data + section[TP_QUANT_TABLE].offset + 4 * (size_t)spec->rows, count);
}

/* Random content in all sections of a packed matrix, valid and finite. */
static inline uint8_t *check_random_matrix(uint64_t *seed, const struct tp_quant_spec *spec,
                                           const struct tp_quant_layout *layout)
{
    uint8_t *data = check_alloc(layout->bytes);

    check_random_bytes(seed, data, layout->bytes);
    tp_quant_header_put(spec, data);
    for (unsigned i = 0; i < spec->parts; i++) {
        const struct tp_quant_section *s = layout->section[i];
        enum tp_quant_kind kind = spec->part[i].kind;
        size_t width = kind == TP_QUANT_INT8 || kind == TP_QUANT_NF4 ? 4 : 2;

        if (kind != TP_QUANT_NF4_DOUBLE)
            check_random_floats(seed, data + s[TP_QUANT_SCALES].offset,
                                s[TP_QUANT_SCALES].bytes / width, width);
        if (kind == TP_QUANT_AFFINE)
            check_random_floats(seed, data + s[TP_QUANT_ZEROS].offset, s[TP_QUANT_ZEROS].bytes / 2,
                                2);
        if (kind == TP_QUANT_NF4_DOUBLE) {
            check_random_floats(seed, data + s[TP_QUANT_ZEROS].offset, s[TP_QUANT_ZEROS].bytes / 4,
                                4);
            check_random_floats(seed, data + s[TP_QUANT_TABLE].offset, 1, 4);
        }
        if (kind == TP_QUANT_LOW_RANK || kind == TP_QUANT_CODEBOOK)
            check_random_floats(seed, data + s[TP_QUANT_TABLE].offset, s[TP_QUANT_TABLE].bytes / 2,
                                2);
        if (kind == TP_QUANT_OUTLIERS)
            check_fill_outliers(spec, spec->part[i].count, s, data);
        for (uint32_t k = 0; kind == TP_QUANT_COLUMNS && k < spec->part[i].count; k++)
            tp_put_le32(data + s[TP_QUANT_TABLE].offset + 4 * (size_t)k,
                        check_position(k, spec->part[i].count, spec->cols));
    }
    return data;
}

/* A random specification of these dimensions with PARTS parts, the first of kind FIRST. */
static inline struct tp_quant_spec check_random_spec(uint64_t *seed, uint32_t rows, uint32_t cols,
                                                     enum tp_quant_kind first, unsigned parts)
{
    static const unsigned widths[] = {2, 3, 4, 8};
    struct tp_quant_spec spec = {.rows = rows, .cols = cols, .parts = parts};

    for (unsigned i = 0; i < parts; i++) {
        struct tp_quant_part *part = &spec.part[i];
        uint32_t least = rows < cols ? rows : cols;

        part->kind =
            i ? (enum tp_quant_kind)(1 + tap_random(seed) % (TP_QUANT_KIND_COUNT - 1)) : first;
        switch (part->kind) {
        case TP_QUANT_INT8:
            part->bits = 8;
            break;
        case TP_QUANT_NF4:
        case TP_QUANT_NF4_DOUBLE:
            part->bits = 4;
            part->group = TP_QUANT_BLOCK;
            break;
        case TP_QUANT_OUTLIERS:
            part->count = (uint32_t)(1 + tap_random(seed) % (((uint64_t)rows * cols + 3) / 4));
            break;
        case TP_QUANT_COLUMNS:
            part->count = (uint32_t)(1 + tap_random(seed) % cols);
            break;
        case TP_QUANT_LOW_RANK:
            part->count = (uint32_t)(1 + tap_random(seed) % (least < 9 ? least : 9));
            break;
        default:
            part->bits = part->kind == TP_QUANT_CODEBOOK ? (unsigned)(1 + tap_random(seed) % 8)
                                                         : widths[tap_random(seed) % 4];
            part->group = tp_quant_group(cols, (uint32_t)(tap_random(seed) % 130));
        }
    }
    return spec;
}

#endif
