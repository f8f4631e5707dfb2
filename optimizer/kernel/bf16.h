/* SPDX-License-Identifier: MIT */
/*
 * Products of bf16 (kernel.h), which work on tiles of TP_BF16_SIDE rows and as many vectors.
 *
 * STEP is the number of columns of a step. Vectors are packed, and a block of W is expanded, in
 * units of a tile and a step: a square of 16 x 16 pairs of columns for each 16 rows or vectors.
 *
 *     x: [tile][step][half][pair of columns][vector of the half][2]
 *     w: [step][half][row of the half][column]
 *
 * so that a half is what a register of tiles holds: W a left, and X a right operand.
 */
#ifndef TP_OPTIMIZER_KERNEL_BF16_H
#define TP_OPTIMIZER_KERNEL_BF16_H

#include "base/isa.h"
#include "optimizer/kernel/kernel.h"

enum {
    TP_BF16_SIDE = TP_BF16_VECTORS,
    TP_BF16_HALF = TP_BF16_SIDE / 2,
    TP_BF16_STEP = 32,
    TP_BF16_SQUARE = TP_BF16_HALF * TP_BF16_STEP, /* elements of a half and a step */
    TP_BF16_SUMS = TP_BF16_SIDE * TP_BF16_SIDE,
};

/* X[i * STRIDE + c], of at most a half of vectors and the columns of a step; zeros follow. */
typedef void tp_bf16_pack_fn(const float *x, size_t stride, size_t vectors, size_t cols,
                             uint16_t *dst);
/*
 * Add STEPS steps to the sums of N tiles of vectors, which are X_STRIDE elements apart. The sums of
 * a tile are [half of W][half of X][row][vector]. With FRESH they begin as zero.
 */
typedef void tp_bf16_tiles_fn(const uint16_t *w, const uint16_t *x, size_t x_stride, size_t n,
                              size_t steps, float *sums, bool fresh);
/* Y[i * STRIDE + r] = the sum of row r and vector i, of at most a tile. */
typedef void tp_bf16_store_fn(const float *sums, size_t rows, size_t vectors, float *y,
                              size_t stride);

tp_bf16_pack_fn tp_bf16_pack_avx512;
tp_bf16_tiles_fn tp_bf16_tiles_avx512, tp_bf16_tiles_amx;
tp_bf16_store_fn tp_bf16_store_avx512;

#endif
