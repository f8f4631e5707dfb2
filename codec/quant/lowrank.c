/* SPDX-License-Identifier: MIT */
/* The product of low rank nearest to a matrix, by subspace iteration. */
#include <config.h>

#include "codec/quant/lowrank.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/quant/grid.h"
#include "codec/quant/product.h"

#define ROWS 16u
#define ITERATIONS 4

/* Make the RANK columns of X [n][rank] orthogonal, of length 1; what depends on others becomes 0.
 */
static void make_orthogonal(float *x, size_t n, uint32_t rank)
{
    for (uint32_t k = 0; k < rank; k++) {
        double length = 0, before = 0;

        for (size_t i = 0; i < n; i++)
            before += (double)x[i * rank + k] * x[i * rank + k];
        for (int twice = 0; twice < 2; twice++)
            for (uint32_t l = 0; l < k; l++) {
                double dot = 0;

                for (size_t i = 0; i < n; i++)
                    dot += (double)x[i * rank + k] * x[i * rank + l];
                for (size_t i = 0; i < n; i++)
                    x[i * rank + k] -= (float)dot * x[i * rank + l];
            }
        for (size_t i = 0; i < n; i++)
            length += (double)x[i * rank + k] * x[i * rank + k];
        length = length > 1e-12 * before ? 1 / sqrt(length) : 0;
        for (size_t i = 0; i < n; i++)
            x[i * rank + k] = (float)(x[i * rank + k] * length);
    }
}

/* LEFT = W * RIGHT if FORTH, else RIGHT = W^T * LEFT; W has its columns multiplied by ROOT. */
static void multiply(const struct tp_row_source *source, const float *root, uint32_t rank,
                     bool forth, float *left, float *right, float *rows)
{
    size_t cols = source->cols;

    memset(forth ? left : right, 0, (forth ? source->rows : cols) * rank * sizeof *left);
    for (uint32_t r = 0; r < source->rows; r += ROWS) {
        uint32_t m = source->rows - r < ROWS ? source->rows - r : ROWS;
        struct tp_product_f32 to_left = {rows, cols, 1,    right, rank, left + (size_t)r * rank,
                                         rank, m,    rank, cols};
        struct tp_product_f32 to_right = {
            rows, 1, cols, left + (size_t)r * rank, rank, right, rank, cols, rank, m};

        for (uint32_t i = 0; i < m; i++) {
            source->get(source->context, r + i, rows + i * cols);
            for (size_t c = 0; c < cols; c++)
                rows[i * cols + c] *= root[c];
        }
        tp_product_f32(forth ? &to_left : &to_right);
    }
}

int tp_low_rank(const struct tp_row_source *source, const float *weight, uint32_t rank, float *left,
                float *right)
{
    size_t cols = source->cols;
    float *root = malloc(cols * sizeof *root);
    float *rows = malloc(ROWS * cols * sizeof *rows);
    float *columns = malloc(cols * rank * sizeof *columns); /* the transpose of RIGHT */
    uint32_t state = 1;
    int rc = -ENOMEM;

    if (!root || !rows || !columns)
        goto out;
    for (size_t c = 0; c < cols; c++)
        root[c] = weight ? sqrtf(weight[c]) : 1;
    for (size_t i = 0; i < cols * rank; i++) {
        state = state * 1664525 + 1013904223;
        columns[i] = (float)(int32_t)state;
    }
    for (int i = 0; i < ITERATIONS; i++) {
        make_orthogonal(columns, cols, rank);
        multiply(source, root, rank, true, left, columns, rows);
        make_orthogonal(left, source->rows, rank);
        multiply(source, root, rank, false, left, columns, rows);
    }
    for (size_t i = 0; i < (size_t)source->rows * rank; i++)
        left[i] = tp_half(left[i]);
    for (size_t c = 0; c < cols; c++)
        for (uint32_t k = 0; k < rank; k++)
            right[k * cols + c] = tp_half(root[c] > 0 ? columns[c * rank + k] / root[c] : 0);
    rc = 0;
out:
    free(root);
    free(rows);
    free(columns);
    return rc;
}
