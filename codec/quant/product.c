/* SPDX-License-Identifier: MIT */
/* Products of matrices: tiles of four rows and two vectors in registers. */
#include <config.h>

#include "codec/quant/product.h"

#include <string.h>

#define ROWS 4u
#define DEPTH 256u /* of K, that is done at a time */
#define COPIED 12u /* rows of C from which on columns of B are copied, which are far apart */
#define VECTOR 32u /* bytes; compilers divide it where registers are smaller */

typedef float vector_f32 __attribute__((vector_size(VECTOR), aligned(4), may_alias));
typedef double vector_f64 __attribute__((vector_size(VECTOR), aligned(8), may_alias));

/* Row R of a tile. Written out, since a loop would have its sums in memory. */
#define LOAD(TYPE, R)                                                                              \
    vector_##TYPE sum##R = *(const vector_##TYPE *)(c + R * c_row);                                \
    vector_##TYPE more##R = *(const vector_##TYPE *)(c + R * c_row + LANES)
#define ADD(R)                                                                                     \
    sum##R += a[R * a_row] * b0;                                                                   \
    more##R += a[R * a_row] * b1
#define STORE(TYPE, R)                                                                             \
    *(vector_##TYPE *)(c + R * c_row) = sum##R;                                                    \
    *(vector_##TYPE *)(c + R * c_row + LANES) = more##R

/*
 * BODY(f32, float): the product of p, whose tiles have ROWS rows and two vectors of columns. Edges
 * are done element by element.
 */
#define BODY(TYPE, REAL)                                                                           \
    TP_INLINE void tile_##TYPE(const struct tp_product_##TYPE *p, const REAL *b, size_t b_row,     \
                               size_t i, size_t j)                                                 \
    {                                                                                              \
        enum { LANES = VECTOR / sizeof(REAL) };                                                    \
        const REAL *a = p->a + i * p->a_row;                                                       \
        REAL *c = p->c + i * p->c_row + j;                                                         \
        size_t a_row = p->a_row, c_row = p->c_row;                                                 \
        LOAD(TYPE, 0);                                                                             \
        LOAD(TYPE, 1);                                                                             \
        LOAD(TYPE, 2);                                                                             \
        LOAD(TYPE, 3);                                                                             \
                                                                                                   \
        for (size_t k = 0; k < p->k; k++, a += p->a_column, b += b_row) {                          \
            vector_##TYPE b0 = *(const vector_##TYPE *)b;                                          \
            vector_##TYPE b1 = *(const vector_##TYPE *)(b + LANES);                                \
                                                                                                   \
            ADD(0);                                                                                \
            ADD(1);                                                                                \
            ADD(2);                                                                                \
            ADD(3);                                                                                \
        }                                                                                          \
        STORE(TYPE, 0);                                                                            \
        STORE(TYPE, 1);                                                                            \
        STORE(TYPE, 2);                                                                            \
        STORE(TYPE, 3);                                                                            \
    }                                                                                              \
                                                                                                   \
    /* The tiles of ROWS rows and the columns from J on. */                                        \
    TP_INLINE void column_##TYPE(const struct tp_product_##TYPE *p, size_t rows, size_t j)         \
    {                                                                                              \
        enum { LANES = VECTOR / sizeof(REAL), STEP = 2 * LANES };                                  \
        REAL copy[DEPTH * STEP];                                                                   \
        const REAL *b = p->b + j;                                                                  \
        size_t b_row = p->b_row;                                                                   \
                                                                                                   \
        if (rows >= COPIED) {                                                                      \
            for (size_t k = 0; k < p->k; k++, b += p->b_row) {                                     \
                *(vector_##TYPE *)(copy + k * STEP) = *(const vector_##TYPE *)b;                   \
                *(vector_##TYPE *)(copy + k * STEP + LANES) = *(const vector_##TYPE *)(b + LANES); \
            }                                                                                      \
            b = copy;                                                                              \
            b_row = STEP;                                                                          \
        }                                                                                          \
        for (size_t i = 0; i < rows; i += ROWS)                                                    \
            tile_##TYPE(p, b, b_row, i, j);                                                        \
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
    TP_INLINE void block_##TYPE(const struct tp_product_##TYPE *p)                                 \
    {                                                                                              \
        enum { STEP = 2 * VECTOR / sizeof(REAL) };                                                 \
        size_t rows = p->m / ROWS * ROWS, columns = p->n / STEP * STEP;                            \
                                                                                                   \
        for (size_t j = 0; j < columns; j += STEP)                                                 \
            column_##TYPE(p, rows, j);                                                             \
        for (size_t i = 0; i < rows && columns < p->n; i++)                                        \
            edge_##TYPE(p, i, columns, p->n);                                                      \
        for (size_t i = rows; i < p->m; i++)                                                       \
            edge_##TYPE(p, i, 0, p->n);                                                            \
    }                                                                                              \
                                                                                                   \
    /* The columns of B that a tile reads stay in the cache of the core for all rows. */           \
    TP_INLINE void product_##TYPE(const struct tp_product_##TYPE *p)                               \
    {                                                                                              \
        struct tp_product_##TYPE part = *p;                                                        \
                                                                                                   \
        for (size_t k = 0; k < p->k; k += DEPTH) {                                                 \
            part.a = p->a + k * p->a_column;                                                       \
            part.b = p->b + k * p->b_row;                                                          \
            part.k = p->k - k < DEPTH ? p->k - k : DEPTH;                                          \
            block_##TYPE(&part);                                                                   \
        }                                                                                          \
    }

BODY(f32, float)
BODY(f64, double)

/* The sum of products of two rows, in eight partial sums. */
TP_INLINE double dot(const float *x, const float *y, size_t n)
{
    double sums[8] = {0};
    size_t c = 0;

    for (; c + 8 <= n; c += 8)
        for (size_t l = 0; l < 8; l++)
            sums[l] += (double)x[c + l] * y[c + l];
    for (size_t l = 0; c + l < n; l++)
        sums[l] += (double)x[c + l] * y[c + l];
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) +
           ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

/*
 * A block of columns of e H, from the blocks of rows of H above its own, counts twice, for what is
 * left of its own block, too: its sum is added before and after the product with its own.
 */
TP_INLINE void forms(const float *e, size_t m, size_t n, const float *h, size_t h_row, float *space,
                     double *sums)
{
    size_t row = n < TP_FORM_BLOCK ? n : TP_FORM_BLOCK;

    for (size_t i = 0; i < m; i++)
        sums[i] = 0;
    for (size_t j = 0; j < n; j += row) {
        size_t width = n - j < row ? n - j : row;
        struct tp_product_f32 above = {e, n, 1, h + j, h_row, space, row, m, width, j};
        struct tp_product_f32 own = above;

        own.a += j;
        own.b += j * h_row;
        own.k = width;
        memset(space, 0, m * row * sizeof *space);
        product_f32(&above);
        for (size_t i = 0; i < m; i++)
            sums[i] += dot(e + i * n + j, space + i * row, width);
        product_f32(&own);
        for (size_t i = 0; i < m; i++)
            sums[i] += dot(e + i * n + j, space + i * row, width);
    }
}

#define KERNELS(SUFFIX, TARGET)                                                                    \
    TARGET static void f32_##SUFFIX(const struct tp_product_f32 *p)                                \
    {                                                                                              \
        product_f32(p);                                                                            \
    }                                                                                              \
    TARGET static void f64_##SUFFIX(const struct tp_product_f64 *p)                                \
    {                                                                                              \
        product_f64(p);                                                                            \
    }                                                                                              \
    TARGET static void forms_##SUFFIX(const float *e, size_t m, size_t n, const float *h,          \
                                      size_t h_row, float *space, double *sums)                    \
    {                                                                                              \
        forms(e, m, n, h, h_row, space, sums);                                                     \
    }

TP_FOR_EACH_ISA(KERNELS)

static void (*const f32[TP_ISA_COUNT])(const struct tp_product_f32 *) = TP_BY_ISA(f32);
static void (*const f64[TP_ISA_COUNT])(const struct tp_product_f64 *) = TP_BY_ISA(f64);
static void (*const forms_by_isa[TP_ISA_COUNT])(const float *, size_t, size_t, const float *,
                                                size_t, float *, double *) = TP_BY_ISA(forms);

void tp_product_f32(const struct tp_product_f32 *p)
{
    f32[tp_isa_get()](p);
}

void tp_product_f64(const struct tp_product_f64 *p)
{
    f64[tp_isa_get()](p);
}

void tp_product_forms(const float *e, size_t m, size_t n, const float *h, size_t h_row,
                      float *space, double *sums)
{
    forms_by_isa[tp_isa_get()](e, m, n, h, h_row, space, sums);
}
