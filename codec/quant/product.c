/* SPDX-License-Identifier: MIT */
/* Products of matrices: tiles of four rows and two vectors in registers. */
#include <config.h>

#include "codec/quant/product.h"

#define ROWS 4u
#define VECTOR 32u /* bytes; compilers divide it where registers are smaller */

typedef float vector_f32 __attribute__((vector_size(VECTOR), aligned(4), may_alias));
typedef double vector_f64 __attribute__((vector_size(VECTOR), aligned(8), may_alias));

/*
 * BODY(f32, float): the product of p, whose tiles have ROWS rows and two vectors of columns. Edges
 * are done element by element.
 */
#define BODY(TYPE, REAL)                                                                           \
    TP_INLINE void tile_##TYPE(const struct tp_product_##TYPE *p, size_t i, size_t j)              \
    {                                                                                              \
        enum { LANES = VECTOR / sizeof(REAL) };                                                    \
        vector_##TYPE sum[ROWS][2];                                                                \
        const REAL *a = p->a + i * p->a_row;                                                       \
        const REAL *b = p->b + j;                                                                  \
                                                                                                   \
        for (unsigned r = 0; r < ROWS; r++)                                                        \
            for (unsigned v = 0; v < 2; v++)                                                       \
                sum[r][v] = *(const vector_##TYPE *)(p->c + (i + r) * p->c_row + j + v * LANES);   \
        for (size_t k = 0; k < p->k; k++, a += p->a_column, b += p->b_row) {                       \
            vector_##TYPE b0 = *(const vector_##TYPE *)b;                                          \
            vector_##TYPE b1 = *(const vector_##TYPE *)(b + LANES);                                \
                                                                                                   \
            for (unsigned r = 0; r < ROWS; r++) {                                                  \
                REAL f = a[r * p->a_row];                                                          \
                                                                                                   \
                sum[r][0] += f * b0;                                                               \
                sum[r][1] += f * b1;                                                               \
            }                                                                                      \
        }                                                                                          \
        for (unsigned r = 0; r < ROWS; r++)                                                        \
            for (unsigned v = 0; v < 2; v++)                                                       \
                *(vector_##TYPE *)(p->c + (i + r) * p->c_row + j + v * LANES) = sum[r][v];         \
    }                                                                                              \
                                                                                                   \
    TP_INLINE void edge_##TYPE(const struct tp_product_##TYPE *p, size_t i, size_t j, size_t n)    \
    {                                                                                              \
        REAL *c = p->c + i * p->c_row;                                                             \
                                                                                                   \
        for (size_t k = 0; k < p->k; k++) {                                                        \
            REAL f = p->a[i * p->a_row + k * p->a_column];                                         \
            const REAL *b = p->b + k * p->b_row;                                                   \
                                                                                                   \
            for (size_t l = j; l < n; l++)                                                         \
                c[l] = c[l] + f * b[l];                                                            \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    TP_INLINE void product_##TYPE(const struct tp_product_##TYPE *p)                               \
    {                                                                                              \
        enum { STEP = 2 * VECTOR / sizeof(REAL) };                                                 \
        size_t rows = p->m / ROWS * ROWS, columns = p->n / STEP * STEP;                            \
                                                                                                   \
        for (size_t j = 0; j < columns; j += STEP)                                                 \
            for (size_t i = 0; i < rows; i += ROWS)                                                \
                tile_##TYPE(p, i, j);                                                              \
        for (size_t i = 0; i < rows && columns < p->n; i++)                                        \
            edge_##TYPE(p, i, columns, p->n);                                                      \
        for (size_t i = rows; i < p->m; i++)                                                       \
            edge_##TYPE(p, i, 0, p->n);                                                            \
    }

BODY(f32, float)
BODY(f64, double)

#define KERNELS(SUFFIX, TARGET)                                                                    \
    TARGET static void f32_##SUFFIX(const struct tp_product_f32 *p)                                \
    {                                                                                              \
        product_f32(p);                                                                            \
    }                                                                                              \
    TARGET static void f64_##SUFFIX(const struct tp_product_f64 *p)                                \
    {                                                                                              \
        product_f64(p);                                                                            \
    }

TP_FOR_EACH_ISA(KERNELS)

static void (*const f32[TP_ISA_COUNT])(const struct tp_product_f32 *) = TP_BY_ISA(f32);
static void (*const f64[TP_ISA_COUNT])(const struct tp_product_f64 *) = TP_BY_ISA(f64);

void tp_product_f32(const struct tp_product_f32 *p)
{
    f32[tp_isa_get()](p);
}

void tp_product_f64(const struct tp_product_f64 *p)
{
    f64[tp_isa_get()](p);
}
