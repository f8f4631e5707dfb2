/* SPDX-License-Identifier: MIT */
/* Quantized matrices as forms: which of them the kernels expand in registers. */
#include <config.h>

#include "codec/quant/quant.h"
#include "optimizer/kernel/impl.h"
#include "optimizer/kernel/quantized.h"

static enum tp_quantized kind_of(const struct tp_quant_part *part)
{
    switch (part->kind) {
    case TP_QUANT_INT8:
        return TP_QUANTIZED_SIGNED8;
    case TP_QUANT_NF4:
    case TP_QUANT_NF4_DOUBLE:
        return TP_QUANTIZED_NF4;
    case TP_QUANT_SYM:
    case TP_QUANT_ASYM:
        return part->bits == 4   ? TP_QUANTIZED_SCALED4
               : part->bits == 8 ? TP_QUANTIZED_SCALED8
                                 : TP_QUANTIZED_NONE;
    case TP_QUANT_AFFINE:
        return part->bits == 4   ? TP_QUANTIZED_AFFINE4
               : part->bits == 8 ? TP_QUANTIZED_AFFINE8
                                 : TP_QUANTIZED_NONE;
    default:
        return TP_QUANTIZED_NONE;
    }
}

enum tp_quantized tp_quantized_kind(const struct tp_quant_matrix *m)
{
    size_t group = tp_quantized_group(m);

    if (m->spec.parts != 1 || group == 0 || group % 8 || m->spec.cols % group)
        return TP_QUANTIZED_NONE;
    return kind_of(&m->view[0].part);
}

/* Any matrix, by any instruction set: tp_quant_read has a kernel for each. */
static void expand_any(const struct tp_matrix *w, size_t row, size_t col, size_t count, float *dst,
                       size_t step)
{
    const struct tp_quant_matrix *m = w->data;
    float part[TP_STRIP_COLS];

    if (step == 8 && count % 8 == 0) {
        tp_quant_read(m, (uint32_t)row, (uint32_t)col, (uint32_t)(col + count), dst);
        return;
    }
    for (size_t c = 0; c < count; c += TP_STRIP_COLS) {
        size_t n = count - c < TP_STRIP_COLS ? count - c : TP_STRIP_COLS;

        tp_quant_read(m, (uint32_t)row, (uint32_t)(col + c), (uint32_t)(col + c + n), part);
        for (; n % 8; n++)
            part[n] = 0;
        for (size_t i = 0; i < n; i += 8, dst += step)
            memcpy(dst, part + i, 8 * sizeof *dst);
    }
}

static const struct tp_matrix_form expanded = {
    .expand = TP_ISA_ROWS(expand_any, expand_any, expand_any),
    .few = TP_ISA_ROWS(tp_few_any_scalar, tp_few_parts_avx2, tp_few_parts_avx2),
};

static const struct tp_matrix_form in_registers = {
    .expand = TP_ISA_ROWS(expand_any, tp_expand_quantized_avx2, tp_expand_quantized_avx2),
    .few = TP_ISA_ROWS(tp_few_any_scalar, tp_few_quantized_avx2, tp_few_quantized_avx512),
};

/* --- Products of low rank --- */

/* Whether products do not expand the parts of low rank. */
static bool low_rank_separate(const struct tp_quant_matrix *m)
{
    bool has = false, other = false;

    for (unsigned i = 0; i < m->spec.parts; i++) {
        const struct tp_quant_part *part = &m->spec.part[i];
        bool low_rank = part->kind == TP_QUANT_LOW_RANK;

        if (low_rank && part->count > TP_RANK_MOST)
            return false;
        if (!low_rank && !other &&
            (part->kind == TP_QUANT_OUTLIERS || part->kind == TP_QUANT_COLUMNS))
            return false;
        has = has || low_rank;
        other = other || !low_rank;
    }
    return has;
}

/* Products that are under way, with the rows FIRST to END - 1. */
struct products {
    const struct tp_quant_matrix *w;
    size_t first, end;
    const float *x;
    size_t x_stride, m;
    float *y;
    size_t y_stride;
    void *scratch;
};

/* Those with the parts that are not of low rank. */
static void multiply_others(const struct products *p)
{
    struct tp_quant_matrix others = *p->w;
    struct tp_matrix w;
    unsigned n = 0;

    for (unsigned i = 0; i < p->w->spec.parts; i++)
        if (p->w->spec.part[i].kind != TP_QUANT_LOW_RANK) {
            others.spec.part[n] = p->w->spec.part[i];
            others.view[n++] = p->w->view[i];
        }
    others.spec.parts = n;
    if (n > 0) {
        w = tp_matrix_quantized(&others);
        tp_matrix_multiply(&w, p->first, p->end, p->x, p->x_stride, p->m, p->y, p->y_stride,
                           p->scratch);
        return;
    }
    for (size_t i = 0; i < p->m; i++)
        memset(p->y + i * p->y_stride + p->first, 0, (p->end - p->first) * sizeof *p->y);
}

/* Add those with a part of low rank. */
static void add_low_rank(const struct products *p, const struct tp_quant_view *v)
{
    enum { NUMBERS = 4096, VECTORS = 256 };
    _Static_assert((int)NUMBERS >= (int)TP_RANK_MOST, "a vector fits");
    const size_t rank = v->part.count, most = NUMBERS / rank < VECTORS ? NUMBERS / rank : VECTORS;
    const struct tp_matrix_form *form = tp_matrix_float_form(TP_DTYPE_F16);
    const struct tp_matrix right = {form, v->section[TP_QUANT_TABLE], rank, p->w->spec.cols,
                                    v->stride[TP_QUANT_TABLE]};
    struct tp_matrix left = {form, NULL, 0, rank, v->stride[TP_QUANT_SCALES]};
    float inner[NUMBERS], sums[NUMBERS];

    for (size_t i = 0, n; i < p->m; i += n) {
        n = p->m - i < most ? p->m - i : most;
        tp_matrix_multiply(&right, 0, rank, p->x + i * p->x_stride, p->x_stride, n, inner, rank,
                           p->scratch);
        for (size_t r = p->first; r < p->end; r += left.rows) {
            left.data = v->section[TP_QUANT_SCALES] + r * left.stride;
            left.rows = p->end - r < NUMBERS / n ? p->end - r : NUMBERS / n;
            tp_matrix_multiply(&left, 0, left.rows, inner, rank, n, sums, left.rows, p->scratch);
            for (size_t j = 0; j < n; j++) {
                float *y = p->y + (i + j) * p->y_stride + r;

                tp_add(y, sums + j * left.rows, left.rows, y);
            }
        }
    }
}

static void multiply_with_low_rank(const struct tp_matrix *w, size_t first, size_t end,
                                   const float *x, size_t x_stride, size_t m, float *y,
                                   size_t y_stride, void *scratch)
{
    const struct products p = {w->data, first, end, x, x_stride, m, y, y_stride, scratch};

    multiply_others(&p);
    for (unsigned i = 0; i < p.w->spec.parts; i++)
        if (p.w->spec.part[i].kind == TP_QUANT_LOW_RANK)
            add_low_rank(&p, &p.w->view[i]);
}

static const struct tp_matrix_form with_low_rank = {
    .expand = TP_ISA_ROWS(expand_any, expand_any, expand_any),
    .multiply = multiply_with_low_rank,
};

static const struct tp_matrix_form *form_of(const struct tp_quant_matrix *m)
{
    if (low_rank_separate(m))
        return &with_low_rank;
    if (tp_quantized_kind(m) != TP_QUANTIZED_NONE &&
        m->spec.cols <= TP_KERNEL_SCRATCH / sizeof(float)) /* a vector fits */
        return &in_registers;
    return &expanded;
}

struct tp_matrix tp_matrix_quantized(const struct tp_quant_matrix *m)
{
    return (struct tp_matrix){
        .form = form_of(m), .data = m, .rows = m->spec.rows, .cols = m->spec.cols};
}
