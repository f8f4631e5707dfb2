/* SPDX-License-Identifier: MIT */
/*
 * Quantized matrices whose codes the kernels expand in registers: one part, of which a group has a
 * multiple of 8 elements of one row.
 */
#ifndef TP_OPTIMIZER_KERNEL_QUANTIZED_H
#define TP_OPTIMIZER_KERNEL_QUANTIZED_H

#include <string.h>

#include "base/isa.h"
#include "codec/half.h"
#include "codec/quant/quant.h"

#if TP_HAVE_X86
#include <immintrin.h>
#endif

/*
 * What an element is, of a code q and two factors of its group. The products of SCALED4 and of
 * AFFINE are exact, so that they are those of tp_quant_read with the signs of zeros and with
 * infinite scales, too.
 */
enum tp_quantized {
    TP_QUANTIZED_NONE,    /* something else */
    TP_QUANTIZED_SCALED4, /* (q * 2^24 - b) * a of integers: b = zero * 2^24, a = scale / 2^24 */
    TP_QUANTIZED_SCALED8, /* (q - b) * a */
    TP_QUANTIZED_AFFINE4, /* q * a + b, fused */
    TP_QUANTIZED_AFFINE8,
    TP_QUANTIZED_SIGNED8, /* q * a */
    TP_QUANTIZED_NF4,     /* nf4[q] * a */
};

/* DO(kind) with KIND as a constant, for which the compiler makes a loop of its own. */
#define TP_BY_QUANTIZED(kind, DO)                                                                  \
    switch (kind) {                                                                                \
    case TP_QUANTIZED_SCALED4:                                                                     \
        DO(TP_QUANTIZED_SCALED4);                                                                  \
        break;                                                                                     \
    case TP_QUANTIZED_SCALED8:                                                                     \
        DO(TP_QUANTIZED_SCALED8);                                                                  \
        break;                                                                                     \
    case TP_QUANTIZED_AFFINE4:                                                                     \
        DO(TP_QUANTIZED_AFFINE4);                                                                  \
        break;                                                                                     \
    case TP_QUANTIZED_AFFINE8:                                                                     \
        DO(TP_QUANTIZED_AFFINE8);                                                                  \
        break;                                                                                     \
    case TP_QUANTIZED_SIGNED8:                                                                     \
        DO(TP_QUANTIZED_SIGNED8);                                                                  \
        break;                                                                                     \
    case TP_QUANTIZED_NF4:                                                                         \
        DO(TP_QUANTIZED_NF4);                                                                      \
        break;                                                                                     \
    case TP_QUANTIZED_NONE:                                                                        \
        break;                                                                                     \
    }

/* A row of codes and its factors. */
struct tp_quantized_row {
    const struct tp_quant_view *view;
    const uint8_t *codes;
    size_t row;
    const uint8_t *end; /* of the matrix */
};

struct tp_factors {
    float a, b; /* of SCALED4, b has the bits of its integer */
};

TP_INLINE size_t tp_quantized_group(const struct tp_quant_matrix *m)
{
    const struct tp_quant_part *part = &m->view[0].part;

    return part->kind == TP_QUANT_INT8 ? m->spec.cols : part->group;
}

TP_INLINE bool tp_quantized_narrow(const enum tp_quantized kind)
{
    return kind == TP_QUANTIZED_SCALED4 || kind == TP_QUANTIZED_AFFINE4 || kind == TP_QUANTIZED_NF4;
}

TP_INLINE struct tp_quantized_row tp_quantized_row(const struct tp_quant_matrix *m, size_t row,
                                                   const enum tp_quantized kind)
{
    const struct tp_quant_view *v = &m->view[0];
    size_t stride = kind == TP_QUANTIZED_NF4 ? m->spec.cols / 2 : v->stride[TP_QUANT_CODES];

    return (struct tp_quantized_row){v, v->section[TP_QUANT_CODES] + row * stride, row,
                                     m->data + m->layout.bytes};
}

#if TP_HAVE_X86
TP_INLINE float tp_f32_at(const uint8_t *p, size_t i)
{
    float x;

    memcpy(&x, p + 4 * i, sizeof x);
    return x;
}

TP_INLINE TP_TARGET_AVX2 float tp_f16_at(const uint8_t *p, size_t i)
{
    uint16_t h;

    memcpy(&h, p + 2 * i, sizeof h);
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}

/* The factors of group K of a row, of GROUPS. */
TP_INLINE TP_TARGET_AVX2 struct tp_factors tp_quantized_factors(const struct tp_quantized_row *r,
                                                                size_t k, size_t groups,
                                                                const enum tp_quantized kind)
{
    const struct tp_quant_view *v = r->view;
    const uint8_t *scales = v->section[TP_QUANT_SCALES], *zeros = v->section[TP_QUANT_ZEROS];
    size_t block = r->row * groups + k;
    unsigned zero = 1u << (v->part.bits - 1);
    float a;

    switch (kind) {
    case TP_QUANTIZED_SIGNED8:
        return (struct tp_factors){tp_f32_at(scales, r->row) * TP_QUANT_INT8_UNIT, 0};
    case TP_QUANTIZED_NF4:
        if (v->part.kind == TP_QUANT_NF4)
            return (struct tp_factors){tp_f32_at(scales, block), 0};
        a = tp_quant_dynamic[scales[block]] * tp_f32_at(zeros, block / TP_QUANT_SCALE_BLOCK);
        return (struct tp_factors){a + tp_f32_at(v->section[TP_QUANT_TABLE], 0), 0};
    case TP_QUANTIZED_AFFINE4:
    case TP_QUANTIZED_AFFINE8:
        return (struct tp_factors){tp_f16_at(scales + r->row * v->stride[TP_QUANT_SCALES], k),
                                   tp_f16_at(zeros + r->row * v->stride[TP_QUANT_ZEROS], k)};
    default:
        a = tp_f16_at(scales + r->row * v->stride[TP_QUANT_SCALES], k);
        if (zeros)
            zero = tp_quant_code(zeros + r->row * v->stride[TP_QUANT_ZEROS], k, v->part.bits);
        if (kind == TP_QUANTIZED_SCALED8)
            return (struct tp_factors){a, (float)zero};
        return (struct tp_factors){a * 0x1p-24f, tp_float_of(zero << 24)};
    }
}

/* --- quantized_avx2.c --- */

/*
 * The factors of the groups K to K + N - 1 of a row that has ALL. K is a multiple of
 * TP_QUANTIZED_GROUPS, and N at most that. A and B have as many, whatever N is.
 */
enum { TP_QUANTIZED_GROUPS = 8 };
void tp_quantized_read_factors(const struct tp_quantized_row *r, size_t k, size_t n, size_t all,
                               float *a, float *b, enum tp_quantized kind);
#endif

/* --- quantized.c --- */

/* What the kernels can do with M. */
enum tp_quantized tp_quantized_kind(const struct tp_quant_matrix *m);

#endif
