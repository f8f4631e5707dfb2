/* SPDX-License-Identifier: MIT */
/*
 * Statistics of the inputs of a linear layer: what methods weigh the error of a weight with. For
 * inputs x, the error of weights that are off by dW is the mean of |dW x|^2 = tr(dW H dW^T) with H,
 * the mean of x x^T.
 */
#ifndef TP_CODEC_QUANT_HESSIAN_H
#define TP_CODEC_QUANT_HESSIAN_H

#include <stddef.h>
#include <stdint.h>

/*
 * Inputs are read in panels of TP_PANEL columns: column c of input t is
 *
 *     PANELS[c / TP_PANEL * STRIDE + t * TP_PANEL + c % TP_PANEL]
 *
 * with zeros in the columns that the last panel has too many. STRIDE is in elements.
 */
#define TP_PANEL 16u
void tp_panels_put(float *panels, size_t stride, size_t t, const float *x, uint32_t cols);

/*
 * Add the sum of x x^T over COUNT inputs to the rows FIRST to END - 1 of H, COLS x COLS. Of these
 * only elements at and right of the diagonal mean something. An element adds blocks of
 * TP_HESSIAN_BLOCK inputs in their order, and a block its products in theirs, each rounded: the
 * result does not depend on the division into rows; that into calls with fewer inputs is in
 * multiples of TP_HESSIAN_BLOCK.
 */
#define TP_HESSIAN_BLOCK 128u
void tp_hessian_add(float *h, uint32_t cols, const float *panels, size_t stride, size_t count,
                    uint32_t first, uint32_t end);

/* Copy what is right of the diagonal to its left: methods read a symmetric Hessian. */
void tp_hessian_mirror(float *h, uint32_t cols);

/* Add COUNT inputs to sums of |x| and x^2, and to the largest |x|, of each column. */
struct tp_activations {
    double *abs, *square;
    float *max;
};
void tp_activations_add(const struct tp_activations *sums, uint32_t cols, const float *x,
                        size_t stride, size_t count);

#endif
