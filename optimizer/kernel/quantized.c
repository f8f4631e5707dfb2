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
    .name = "quantized",
    .expand = TP_ISA_ROWS(expand_any, expand_any, expand_any),
    .few = TP_ISA_ROWS(tp_few_any_scalar, tp_few_expanded_avx2, tp_few_expanded_avx2),
};

static const struct tp_matrix_form in_registers = {
    .name = "quantized",
    .expand = TP_ISA_ROWS(expand_any, tp_expand_quantized_avx2, tp_expand_quantized_avx2),
    .few = TP_ISA_ROWS(tp_few_any_scalar, tp_few_quantized_avx2, tp_few_quantized_avx512),
};

struct tp_matrix tp_matrix_quantized(const struct tp_quant_matrix *m)
{
    enum tp_quantized kind = tp_quantized_kind(m);
    bool ready = kind != TP_QUANTIZED_NONE &&
                 m->spec.cols <= TP_KERNEL_SCRATCH / sizeof(float); /* a vector fits */

    return (struct tp_matrix){.form = ready ? &in_registers : &expanded,
                              .data = m,
                              .rows = m->spec.rows,
                              .cols = m->spec.cols};
}
