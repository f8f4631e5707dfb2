/* SPDX-License-Identifier: MIT */
/* Sums over the inputs of a linear layer: in blocks, in fp32, in a fixed order. */
#include <config.h>

#include "codec/quant/hessian.h"

#include <math.h>
#include <string.h>

#include "codec/quant/product.h"

#define ROWS 32u
#define COLUMNS 128u

/* Rows I to I + M - 1 of the sum over one block, from column I on. */
static void add_rows(float *h, uint32_t cols, const float *x, size_t stride, size_t count,
                     uint32_t i, uint32_t m)
{
    float sum[ROWS * COLUMNS];

    for (uint32_t j = i; j < cols; j += COLUMNS) {
        uint32_t n = cols - j < COLUMNS ? cols - j : COLUMNS;
        struct tp_product_f32 p = {x + i, 1, stride, x + j, stride, sum, COLUMNS, m, n, count};

        memset(sum, 0, sizeof sum);
        tp_product_f32(&p);
        for (uint32_t r = 0; r < m; r++)
            for (uint32_t l = 0; l < n; l++)
                h[(size_t)(i + r) * cols + j + l] += sum[r * COLUMNS + l];
    }
}

void tp_hessian_add(float *h, uint32_t cols, const float *x, size_t stride, size_t count,
                    uint32_t first, uint32_t end)
{
    for (size_t t = 0; t < count; t += TP_HESSIAN_BLOCK) {
        size_t n = count - t < TP_HESSIAN_BLOCK ? count - t : TP_HESSIAN_BLOCK;

        for (uint32_t i = first; i < end; i += ROWS)
            add_rows(h, cols, x + t * stride, stride, n, i, end - i < ROWS ? end - i : ROWS);
    }
}

void tp_hessian_mirror(float *h, uint32_t cols)
{
    for (size_t i = 0; i < cols; i++)
        for (size_t j = i + 1; j < cols; j++)
            h[j * cols + i] = h[i * cols + j];
}

void tp_activations_add(const struct tp_activations *sums, uint32_t cols, const float *x,
                        size_t stride, size_t count)
{
    for (size_t t = 0; t < count; t++)
        for (uint32_t c = 0; c < cols; c++) {
            float a = fabsf(x[t * stride + c]);

            sums->abs[c] += a;
            sums->square[c] += (double)a * a;
            sums->max[c] = a > sums->max[c] ? a : sums->max[c];
        }
}
