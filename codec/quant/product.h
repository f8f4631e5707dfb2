/* SPDX-License-Identifier: MIT */
/*
 * Products of matrices in a fixed order of operations: C[i][j] becomes C[i][j] + A[i][0] * B[0][j]
 * + A[i][1] * B[1][j] and so on, each product and each sum rounded. So the result is the same from
 * every kernel, and for every division of the rows, the columns and of K.
 */
#ifndef TP_CODEC_QUANT_PRODUCT_H
#define TP_CODEC_QUANT_PRODUCT_H

#include <stddef.h>

#include "base/isa.h"

/* A matrix operand: element (i, k) is p[i * row + k * column]. */
struct tp_product_f32 {
    const float *a;
    size_t a_row, a_column;
    const float *b; /* rows of K, contiguous columns */
    size_t b_row;
    float *c; /* contiguous columns */
    size_t c_row;
    size_t m, n, k;
};

struct tp_product_f64 {
    const double *a;
    size_t a_row, a_column;
    const double *b;
    size_t b_row;
    double *c;
    size_t c_row;
    size_t m, n, k;
};

void tp_product_f32(const struct tp_product_f32 *p);
/*
 * SUMS[i] = e H e^T for each of M rows e of N elements, of which row i begins at E + i * N. H is
 * symmetric, and only its diagonal blocks and what is right of them is read. SPACE has
 * M * TP_FORM_BLOCK elements, or M * N if these are fewer. The order of operations depends on N
 * alone.
 */
#define TP_FORM_BLOCK 64u
void tp_product_forms(const float *e, size_t m, size_t n, const float *h, size_t h_row,
                      float *space, double *sums);
void tp_product_f64(const struct tp_product_f64 *p);

#endif
