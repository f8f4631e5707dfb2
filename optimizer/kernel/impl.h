/* SPDX-License-Identifier: MIT */
/* What the kernels share among themselves: forms of matrices, and tables by instruction set. */
#ifndef TP_OPTIMIZER_KERNEL_IMPL_H
#define TP_OPTIMIZER_KERNEL_IMPL_H

#include "base/isa.h"
#include "optimizer/kernel/kernel.h"

/* COUNT elements of row ROW from column COL on. */
typedef void tp_matrix_read_fn(const struct tp_matrix *w, size_t row, size_t col, size_t count,
                               float *dst);
/* tp_matrix_multiply for few vectors: it reads W as it is. */
typedef void tp_matrix_few_fn(const struct tp_matrix *w, size_t first, size_t end, const float *x,
                              size_t x_stride, size_t m, float *y, size_t y_stride);

/* A form of a matrix. Only READ knows what the bytes mean; FEW does the same in registers. */
struct tp_matrix_form {
    const char *name;
    tp_matrix_read_fn *read[TP_ISA_COUNT];
    tp_matrix_few_fn *few[TP_ISA_COUNT];
};

/* The reference: any form, by READ. */
tp_matrix_few_fn tp_matrix_few_scalar;

#define TP_FLOAT_FORM(NAME)                                                                        \
    tp_matrix_read_fn tp_read_##NAME##_scalar, tp_read_##NAME##_avx2, tp_read_##NAME##_avx512;     \
    tp_matrix_few_fn tp_few_##NAME##_avx2, tp_few_##NAME##_avx512;
TP_FLOAT_FORM(f32)
TP_FLOAT_FORM(bf16)
TP_FLOAT_FORM(f16)
#undef TP_FLOAT_FORM

/* One query head at one position; LOW and HIGH: the positions that it sees, HIGH excluded. */
typedef void tp_attend_fn(const struct tp_attention *a, size_t low, size_t high, const float *q,
                          float *out);
tp_attend_fn tp_attend_scalar;

#endif
