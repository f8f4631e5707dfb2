/* SPDX-License-Identifier: MIT */
/*
 * From packed bytes to fp32: one body for each kind of part, compiled once for each instruction
 * set. A row is done in tiles that stay in the first cache: codes to bytes, then bytes to values.
 */
#include <config.h>

#include "codec/quant/kinds.h"

#include <string.h>

#include "base/le.h"
#include "codec/half.h"

#define TILE 512u /* columns; a multiple of 8, so that a tile of codes begins at a byte */

typedef uint16_t any_u16 __attribute__((aligned(1), may_alias));

/* The columns COL to END - 1 of a row; COL is a multiple of 8. DST has its first one at 0. */
struct span {
    uint32_t row, col, end;
};

/* N codes of B bits from a byte on. */
TP_INLINE void unpack4(uint8_t *restrict q, const uint8_t *restrict p, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        q[2 * i] = p[i] & 15;
        q[2 * i + 1] = p[i] >> 4;
    }
    if (n & 1)
        q[n - 1] = p[n / 2] & 15;
}

TP_INLINE void unpack2(uint8_t *restrict q, const uint8_t *restrict p, size_t n)
{
    for (size_t i = 0; i < n / 4; i++)
        for (unsigned k = 0; k < 4; k++)
            q[4 * i + k] = p[i] >> 2 * k & 3;
    for (size_t i = n & ~(size_t)3; i < n; i++)
        q[i] = p[i / 4] >> 2 * (i & 3) & 3;
}

TP_INLINE void unpack3(uint8_t *restrict q, const uint8_t *restrict p, size_t n)
{
    for (size_t i = 0; i < n / 8; i++) {
        uint32_t v = p[3 * i] | (uint32_t)p[3 * i + 1] << 8 | (uint32_t)p[3 * i + 2] << 16;

        for (unsigned k = 0; k < 8; k++)
            q[8 * i + k] = v >> 3 * k & 7;
    }
    for (size_t i = n & ~(size_t)7; i < n; i++)
        q[i] = (uint8_t)tp_quant_code(p, i, 3);
}

TP_INLINE void unpack(uint8_t *restrict q, const uint8_t *restrict p, size_t n, unsigned b)
{
    switch (b) {
    case 2:
        unpack2(q, p, n);
        break;
    case 3:
        unpack3(q, p, n);
        break;
    case 4:
        unpack4(q, p, n);
        break;
    case 8:
        memcpy(q, p, n);
        break;
    default:
        for (size_t i = 0; i < n; i++)
            q[i] = (uint8_t)tp_quant_code(p, i, b);
    }
}

/* Nibbles of NF4, of which the first is the high one: N from element E of the section on. */
TP_INLINE void unpack_high(uint8_t *restrict q, const uint8_t *restrict p, uint64_t e, size_t n)
{
    size_t i = 0;

    if (e & 1 && n > 0)
        q[i++] = p[e / 2] & 15;
    p += (e + i) / 2;
    for (; i + 1 < n; i += 2, p++) {
        q[i] = *p >> 4;
        q[i + 1] = *p & 15;
    }
    if (i < n)
        q[i] = *p >> 4;
}

TP_INLINE void put(float *dst, float w, bool add)
{
    *dst = add ? *dst + w : w;
}

/* (q - ZERO) * SCALE: the difference is exact. */
TP_INLINE void scale_codes(float *restrict dst, const uint8_t *restrict q, size_t n, float scale,
                           int zero, bool add)
{
    for (size_t j = 0; j < n; j++)
        put(dst + j, (float)(q[j] - zero) * scale, add);
}

TP_INLINE void scale_offset(float *restrict dst, const uint8_t *restrict q, size_t n, float scale,
                            float offset, bool add)
{
    for (size_t j = 0; j < n; j++)
        put(dst + j, (float)q[j] * scale + offset, add);
}

/* Loops of a constant length for the usual groups: compilers vectorise these well. */
#define BY_LENGTH(FN, N, DST, Q, ...)                                                              \
    do {                                                                                           \
        if ((N) % 32 == 0) {                                                                       \
            for (size_t l_ = 0; l_ < (N); l_ += 32)                                                \
                FN((DST) + l_, (Q) + l_, 32, __VA_ARGS__);                                         \
        } else if ((N) % 8 == 0) {                                                                 \
            for (size_t l_ = 0; l_ < (N); l_ += 8)                                                 \
                FN((DST) + l_, (Q) + l_, 8, __VA_ARGS__);                                          \
        } else {                                                                                   \
            FN((DST), (Q), (N), __VA_ARGS__);                                                      \
        }                                                                                          \
    } while (0)

/* N fp16 numbers. */
TP_INLINE void widen(float *restrict dst, const any_u16 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = tp_float_from_f16(src[i]);
}

/* The scales, and the zeros or offsets, of N groups of a row from group K on. */
TP_INLINE void row_grids(const struct tp_quant_view *v, uint32_t r, uint32_t k, uint32_t n,
                         float *restrict scale, float *restrict zero)
{
    const uint8_t *zeros = v->section[TP_QUANT_ZEROS];
    unsigned b = v->part.bits;

    widen(scale,
          (const any_u16 *)(v->section[TP_QUANT_SCALES] + r * v->stride[TP_QUANT_SCALES]) + k, n);
    if (zeros)
        zeros += r * v->stride[TP_QUANT_ZEROS];
    if (v->part.kind == TP_QUANT_AFFINE)
        widen(zero, (const any_u16 *)zeros + k, n);
    else
        for (uint32_t i = 0; i < n; i++)
            zero[i] = (float)(zeros ? tp_quant_code(zeros, k + (uint64_t)i, b) : 1u << (b - 1));
}

TP_INLINE void row_group(const struct tp_quant_view *v, struct span s, float *restrict dst,
                         bool add)
{
    const uint8_t *codes = v->section[TP_QUANT_CODES] + s.row * v->stride[TP_QUANT_CODES];
    bool affine = v->part.kind == TP_QUANT_AFFINE;
    uint32_t group = v->part.group;
    unsigned b = v->part.bits;
    uint8_t q[TILE];
    float scale[TILE], zero[TILE];

    for (uint32_t c = s.col; c < s.end; c += TILE, dst += TILE) {
        uint32_t n = s.end - c < TILE ? s.end - c : TILE;
        uint32_t first = c / group, left = group - c % group; /* of the group */

        unpack(q, codes + (size_t)c / 8 * b, n, b);
        row_grids(v, s.row, first, (c + n - 1) / group - first + 1, scale, zero);
        for (uint32_t j = 0, k = 0; j < n; j += left, left = group, k++) {
            left = left < n - j ? left : n - j;
            if (affine)
                BY_LENGTH(scale_offset, left, dst + j, q + j, scale[k], zero[k], add);
            else
                BY_LENGTH(scale_codes, left, dst + j, q + j, scale[k], (int)zero[k], add);
        }
    }
}

TP_INLINE void row_int8(const struct tp_quant_view *v, struct span s, float *restrict dst, bool add)
{
    const int8_t *codes =
        (const int8_t *)v->section[TP_QUANT_CODES] + s.row * v->stride[TP_QUANT_CODES];
    float scale;

    memcpy(&scale, v->section[TP_QUANT_SCALES] + 4 * (size_t)s.row, 4);
    scale = scale * TP_QUANT_INT8_UNIT;
    for (uint32_t c = s.col; c < s.end; c++)
        put(dst + c - s.col, (float)codes[c] * scale, add);
}

TP_INLINE void scale_nf4(float *restrict dst, const uint8_t *restrict q, size_t n, float scale,
                         bool add)
{
    for (size_t j = 0; j < n; j++)
        put(dst + j, tp_quant_nf4[q[j]] * scale, add);
}

TP_INLINE void row_nf4(const struct tp_quant_view *v, const struct tp_quant_spec *spec,
                       struct span s, float *restrict dst, bool add)
{
    uint64_t e = (uint64_t)s.row * spec->cols + s.col, end = e + s.end - s.col;
    uint8_t q[TP_QUANT_BLOCK];

    while (e < end) {
        uint64_t left = TP_QUANT_BLOCK - e % TP_QUANT_BLOCK;
        uint32_t n = (uint32_t)(left < end - e ? left : end - e);

        unpack_high(q, v->section[TP_QUANT_CODES], e, n);
        BY_LENGTH(scale_nf4, n, dst, q, tp_quant_block_scale(v, e / TP_QUANT_BLOCK), add);
        dst += n;
        e += n;
    }
}

/* The first of the elements FIRST to END - 1 whose column is at least COL, where they ascend. */
static size_t find_column(const struct tp_quant_elements *e, uint32_t col)
{
    size_t first = e->first;

    for (size_t end = e->end; first < end;) {
        size_t middle = first + (end - first) / 2;

        if (tp_quant_column(e->columns, middle, e->bytes) < col)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

struct tp_quant_elements tp_quant_row_elements(const struct tp_quant_view *v,
                                               const struct tp_quant_spec *spec, uint32_t row,
                                               uint32_t col, uint32_t end)
{
    const uint8_t *table = v->section[TP_QUANT_TABLE];
    struct tp_quant_elements e = {.columns = table,
                                  .values = v->section[TP_QUANT_SCALES],
                                  .bytes = 4,
                                  .col = col,
                                  .cols = end - col,
                                  .end = v->part.count};

    if (v->part.kind == TP_QUANT_COLUMNS) {
        e.values += row * v->stride[TP_QUANT_SCALES];
    } else {
        e.columns = v->section[TP_QUANT_CODES];
        e.bytes = tp_quant_column_bytes(spec->cols);
        e.first = tp_get_le32(table + 4 * (size_t)row);
        e.end = tp_get_le32(table + 4 * (size_t)row + 4);
    }
    if (col > 0)
        e.first = find_column(&e, col);
    if (end < spec->cols)
        e.end = find_column(&e, end);
    return e;
}

TP_INLINE void row_elements(const struct tp_quant_elements *e, float *restrict dst)
{
    for (size_t k = e->first; k < e->end; k++) {
        uint32_t c = tp_quant_column(e->columns, k, e->bytes) - e->col;

        if (c < e->cols) /* damaged ones may not ascend */
            dst[c] += tp_float_from_f16(tp_get_le16(e->values + 2 * k));
    }
}

/* The sum of left[k] * right[k][column], from 0, by k ascending. */
TP_INLINE void row_low_rank(const struct tp_quant_view *v, struct span s, float *restrict dst,
                            bool add)
{
    const uint8_t *left = v->section[TP_QUANT_SCALES] + s.row * v->stride[TP_QUANT_SCALES];
    float sum[TILE];

    for (uint32_t c = s.col; c < s.end; c += TILE) {
        uint32_t n = s.end - c < TILE ? s.end - c : TILE;

        memset(sum, 0, sizeof sum);
        for (size_t k = 0; k < v->part.count; k++) {
            const any_u16 *right =
                (const any_u16 *)(v->section[TP_QUANT_TABLE] + k * v->stride[TP_QUANT_TABLE]) + c;
            float factor = tp_float_from_f16(tp_get_le16(left + 2 * k));

            for (uint32_t j = 0; j < n; j++)
                sum[j] = sum[j] + factor * tp_float_from_f16(right[j]);
        }
        for (uint32_t j = 0; j < n; j++)
            put(dst + (c - s.col) + j, sum[j], add);
    }
}

TP_INLINE void row_codebook(const struct tp_quant_view *v, struct span s, float *restrict dst,
                            bool add)
{
    const uint8_t *codes = v->section[TP_QUANT_CODES] + s.row * v->stride[TP_QUANT_CODES];
    float scale = tp_float_from_f16(tp_get_le16(v->section[TP_QUANT_SCALES] + 2 * (size_t)s.row));
    uint32_t group = v->part.group;

    for (uint32_t c = s.col, next; c < s.end; c = next) {
        uint32_t k = c / group, end = (k + 1) * group;
        unsigned code = tp_quant_code(codes, k, v->part.bits);
        const any_u16 *centroid =
            (const any_u16 *)(v->section[TP_QUANT_TABLE] + code * v->stride[TP_QUANT_TABLE]);

        next = end < s.end ? end : s.end;
        for (uint32_t j = c; j < next; j++)
            put(dst + j - s.col, tp_float_from_f16(centroid[j - k * group]) * scale, add);
    }
}

TP_INLINE void row_set(const struct tp_quant_view *v, const struct tp_quant_spec *spec,
                       struct span s, float *dst, bool add)
{
    switch (v->part.kind) {
    case TP_QUANT_INT8:
        row_int8(v, s, dst, add);
        break;
    case TP_QUANT_NF4:
    case TP_QUANT_NF4_DOUBLE:
        row_nf4(v, spec, s, dst, add);
        break;
    case TP_QUANT_SYM:
    case TP_QUANT_ASYM:
    case TP_QUANT_AFFINE:
        row_group(v, s, dst, add);
        break;
    case TP_QUANT_LOW_RANK:
        row_low_rank(v, s, dst, add);
        break;
    case TP_QUANT_CODEBOOK:
        row_codebook(v, s, dst, add);
        break;
    default:
        break;
    }
}

TP_INLINE void row_any(const struct tp_quant_view *v, const struct tp_quant_spec *spec,
                       struct span s, float *dst, bool add)
{
    if (!tp_quant_kind_dense(v->part.kind)) {
        struct tp_quant_elements e = tp_quant_row_elements(v, spec, s.row, s.col, s.end);

        row_elements(&e, dst);
    } else if (add)
        row_set(v, spec, s, dst, true);
    else
        row_set(v, spec, s, dst, false);
}

#define KERNELS(SUFFIX, TARGET)                                                                    \
    TARGET void tp_quant_part_##SUFFIX(const struct tp_quant_view *view,                           \
                                       const struct tp_quant_spec *spec,                           \
                                       const struct tp_quant_rectangle *to, bool add)              \
    {                                                                                              \
        for (uint32_t i = 0; i < to->rows; i++)                                                    \
            row_any(view, spec, (struct span){to->row + i, to->col, to->end},                      \
                    to->dst + i * to->stride, add);                                                \
    }

KERNELS(scalar, )
#if TP_HAVE_X86
KERNELS(avx2, TP_TARGET_AVX2)
#endif

tp_quant_part_fn *const tp_quant_part[TP_ISA_COUNT] =
    TP_ISA_ROWS(tp_quant_part_scalar, tp_quant_part_by_eight, tp_quant_part_by_eight);
