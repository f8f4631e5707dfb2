/* SPDX-License-Identifier: MIT */
/*
 * Sums over the inputs of a linear layer: in blocks, in fp32, in a fixed order. Tiles of four rows
 * and a panel stay in registers.
 */
#include <config.h>

#include "codec/quant/hessian.h"

#include <math.h>
#include <string.h>

#include "base/isa.h"

#define ROWS 4u
#define VECTOR 8u /* elements; compilers divide it where registers are smaller */

typedef float vector __attribute__((vector_size(VECTOR * sizeof(float)), aligned(4), may_alias));

void tp_panels_put(float *panels, size_t stride, size_t t, const float *x, uint32_t cols)
{
    for (uint32_t c = 0; c < cols; c += TP_PANEL) {
        float *to = panels + c / TP_PANEL * stride + t * TP_PANEL;
        uint32_t n = cols - c < TP_PANEL ? cols - c : TP_PANEL;

        memcpy(to, x + c, n * sizeof *to);
        memset(to + n, 0, (TP_PANEL - n) * sizeof *to);
    }
}

/* Row R of a tile. Written out, since a loop would have its sums in memory. */
#define SUM(R) vector low##R = {0}, high##R = {0}
#define ADD(R)                                                                                     \
    low##R += a[R] * b0;                                                                           \
    high##R += a[R] * b1
#define STORE(R)                                                                                   \
    *(vector *)(sums + R * TP_PANEL) = low##R;                                                     \
    *(vector *)(sums + R * TP_PANEL + VECTOR) = high##R

/* SUMS of ROWS rows, which begin at A, and the columns of panel B, over COUNT inputs. */
TP_INLINE void tile(const float *a, const float *b, size_t count, float sums[ROWS * TP_PANEL])
{
    SUM(0);
    SUM(1);
    SUM(2);
    SUM(3);

    for (size_t t = 0; t < count; t++, a += TP_PANEL, b += TP_PANEL) {
        vector b0 = *(const vector *)b, b1 = *(const vector *)(b + VECTOR);

        ADD(0);
        ADD(1);
        ADD(2);
        ADD(3);
    }
    STORE(0);
    STORE(1);
    STORE(2);
    STORE(3);
}

/* One block of inputs, for those of the ROWS rows from I on that are from FIRST to END - 1. */
TP_INLINE void add_rows(float *h, uint32_t cols, const float *x, size_t stride, size_t count,
                        uint32_t i, uint32_t first, uint32_t end)
{
    const float *a = x + i / TP_PANEL * stride + i % TP_PANEL;

    for (uint32_t j = i / TP_PANEL * TP_PANEL; j < cols; j += TP_PANEL) {
        uint32_t n = cols - j < TP_PANEL ? cols - j : TP_PANEL;
        float sums[ROWS * TP_PANEL];

        tile(a, x + j / TP_PANEL * stride, count, sums);
        for (uint32_t r = i < first ? first : i; r < i + ROWS && r < end; r++)
            for (uint32_t l = 0; l < n; l++)
                h[(size_t)r * cols + j + l] += sums[(r - i) * TP_PANEL + l];
    }
}

#define KERNELS(SUFFIX, TARGET)                                                                    \
    TARGET static void add_rows_##SUFFIX(float *h, uint32_t cols, const float *x, size_t stride,   \
                                         size_t count, uint32_t i, uint32_t first, uint32_t end)   \
    {                                                                                              \
        add_rows(h, cols, x, stride, count, i, first, end);                                        \
    }

TP_FOR_EACH_ISA(KERNELS)

static void (*const add_rows_by_isa[TP_ISA_COUNT])(float *, uint32_t, const float *, size_t, size_t,
                                                   uint32_t, uint32_t,
                                                   uint32_t) = TP_BY_ISA(add_rows);

void tp_hessian_add(float *h, uint32_t cols, const float *panels, size_t stride, size_t count,
                    uint32_t first, uint32_t end)
{
    for (size_t t = 0; t < count; t += TP_HESSIAN_BLOCK) {
        size_t n = count - t < TP_HESSIAN_BLOCK ? count - t : TP_HESSIAN_BLOCK;

        for (uint32_t i = first / ROWS * ROWS; i < end; i += ROWS)
            add_rows_by_isa[tp_isa_get()](h, cols, panels + t * TP_PANEL, stride, n, i, first, end);
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
