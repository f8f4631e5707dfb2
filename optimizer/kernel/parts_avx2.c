/* SPDX-License-Identifier: MIT */
/* Products of few vectors with any quantized matrix, AVX2: see parts_avx2.h. */
#include <config.h>

#include "optimizer/kernel/impl.h"

#if TP_HAVE_X86

#include "base/le.h"
#include "optimizer/kernel/parts_avx2.h"
#include "optimizer/kernel/quantized.h"
#include "optimizer/kernel/vector_avx2.h"

enum {
    TILE_VECTORS = 8,
    VECTORS = 3,
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Whether a part has a value for every element. */
static bool is_dense(const struct tp_quant_part *p)
{
    return p->kind != TP_QUANT_OUTLIERS && p->kind != TP_QUANT_COLUMNS;
}

/* Other kinds, as tp_quant_read_rows has them; SPACE is a tile. */
static TP_TARGET_AVX2 void other_part(const struct tp_part_tile *t, const struct tp_quant_view *v,
                                      float *space, bool add)
{
    struct tp_quant_matrix one = {.spec = {t->w->spec.rows, t->w->spec.cols, 1, {v->part}}};
    float *to = add ? space : t->values;

    one.view[0] = *v;
    for (size_t j = 0; j < TP_PART_ROWS; j++) {
        tp_quant_read(&one, (uint32_t)t->row[j], (uint32_t)t->col, (uint32_t)(t->col + t->cols),
                      to + j * TP_PART_STRIDE);
        for (size_t c = t->cols; c % 8; c++)
            to[j * TP_PART_STRIDE + c] = 0;
        for (size_t c = 0; add && c < t->cols; c += 8) {
            float *at = t->values + j * TP_PART_STRIDE + c;

            _mm256_store_ps(at, _mm256_add_ps(_mm256_load_ps(at),
                                              _mm256_load_ps(space + j * TP_PART_STRIDE + c)));
        }
    }
}

/* --- Elements of their own columns --- */

/* Those of a row that are left. */
struct elements {
    const uint8_t *columns, *values;
    size_t k, end;
    unsigned bytes; /* of a column's number */
};

static struct elements row_elements(const struct tp_quant_matrix *w, const struct tp_quant_view *v,
                                    size_t row)
{
    const uint8_t *table = v->section[TP_QUANT_TABLE], *values = v->section[TP_QUANT_SCALES];

    if (v->part.kind == TP_QUANT_COLUMNS)
        return (struct elements){table, values + row * v->stride[TP_QUANT_SCALES], 0, v->part.count,
                                 4};
    return (struct elements){v->section[TP_QUANT_CODES], values, tp_get_le32(table + 4 * row),
                             tp_get_le32(table + 4 * row + 4), w->spec.cols > 65536 ? 4 : 2};
}

/* Add those of the COLS columns from COL on; the columns ascend. */
TP_INLINE TP_TARGET_AVX2 void add_elements(struct elements *e, float *values, size_t col,
                                           size_t cols, const unsigned bytes)
{
    for (; e->k < e->end; e->k++) {
        const size_t column =
            bytes == 4 ? tp_get_le32(e->columns + 4 * e->k) : tp_get_le16(e->columns + 2 * e->k);
        const size_t c = column - col;

        if (c >= cols)
            break;
        values[c] += tp_f16_at(e->values, e->k);
    }
}

static TP_TARGET_AVX2 void sparse_part(const struct tp_part_tile *t, struct elements *e)
{
    for (size_t j = 0; j < TP_PART_ROWS; j++)
        if (e[j].bytes == 2)
            add_elements(&e[j], t->values + j * TP_PART_STRIDE, t->col, t->cols, 2);
        else
            add_elements(&e[j], t->values + j * TP_PART_STRIDE, t->col, t->cols, 4);
}

/* --- Products --- */

/* Add the products of M vectors with the tile. */
TP_INLINE TP_TARGET_AVX2 void multiply_tile(const struct tp_part_tile *t, const float *x,
                                            size_t x_stride, __m256 (*kept)[TP_PART_ROWS],
                                            const unsigned m)
{
    const float *tile = t->values;
    __m256 sums[VECTORS][TP_PART_ROWS];
    size_t c = 0;

    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++)
        sums[i][j] = kept[i][j];
    for (; c + 8 <= t->cols; c += 8)
        TP_UNROLL for (unsigned i = 0; i < m; i++)
        {
            const __m256 v = _mm256_loadu_ps(x + i * x_stride + c);

            TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++) sums[i][j] =
                _mm256_fmadd_ps(v, _mm256_load_ps(tile + j * TP_PART_STRIDE + c), sums[i][j]);
        }
    if (c < t->cols)
        TP_UNROLL for (unsigned i = 0; i < m; i++)
        {
            const __m256 v = _mm256_maskload_ps(x + i * x_stride + c, tp_first_lanes(t->cols - c));

            TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++) sums[i][j] =
                _mm256_fmadd_ps(v, _mm256_load_ps(tile + j * TP_PART_STRIDE + c), sums[i][j]);
        }
    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < TP_PART_ROWS; j++)
        kept[i][j] = sums[i][j];
}

/* Vectors that are under way, at most TILE_VECTORS. */
struct vectors {
    const float *x;
    size_t x_stride, m;
    __m256 sums[TILE_VECTORS][TP_PART_ROWS];
};

/* The kernels of the parts, and what is left of their elements. */
struct parts {
    struct tp_part_kernels kernels;
    struct elements elements[TP_QUANT_PARTS][TP_PART_ROWS];
    float *space;
};

/* Add the products with the columns of the tile T. */
static TP_TARGET_AVX2 void add_columns(struct tp_part_tile *t, struct parts *parts,
                                       struct vectors *v)
{
    const unsigned n = t->w->spec.parts;
    size_t i = 0;

    t->x = v->x + t->col;
    t->sums = v->sums[0];
    for (unsigned p = 0; p < n; p += parts->kernels.count[p]) {
        const struct tp_quant_view *view = &t->w->view[p];
        const tp_part_kernel *k = parts->kernels.kernel[p];

        if (k && v->m == 1 && p + parts->kernels.count[p] == n) {
            (*k)[p ? TP_PART_ADD_MULTIPLY : TP_PART_MULTIPLY](t, p);
            return;
        }
        if (k)
            (*k)[p ? TP_PART_ADD : TP_PART_SET](t, p);
        else if (is_dense(&view->part))
            other_part(t, view, parts->space, p > 0);
        else
            sparse_part(t, parts->elements[p]);
    }
    for (; i + VECTORS <= v->m; i += VECTORS)
        multiply_tile(t, t->x + i * v->x_stride, v->x_stride, v->sums + i, VECTORS);
    for (; i < v->m; i++)
        multiply_tile(t, t->x + i * v->x_stride, v->x_stride, v->sums + i, 1);
}

/* The products with N rows from R on, at most TP_PART_ROWS, which go to Y. */
static TP_TARGET_AVX2 void few_rows(struct tp_part_tile *t, struct parts *parts, size_t r, size_t n,
                                    struct vectors *v, float *y, size_t y_stride)
{
    const size_t cols = t->w->spec.cols, tiles = (cols + TP_PART_TILE - 1) / TP_PART_TILE;
    const size_t width = (cols + TP_PART_UNIT * tiles - 1) / (TP_PART_UNIT * tiles) * TP_PART_UNIT;

    for (unsigned j = 0; j < TP_PART_ROWS; j++)
        t->row[j] = r + least(j, n - 1);
    for (unsigned p = 0; p < t->w->spec.parts; p++)
        for (unsigned j = 0; j < TP_PART_ROWS && !is_dense(&t->w->spec.part[p]); j++)
            parts->elements[p][j] = row_elements(t->w, &t->w->view[p], t->row[j]);
    for (size_t i = 0; i < v->m; i++)
        for (unsigned j = 0; j < TP_PART_ROWS; j++)
            v->sums[i][j] = _mm256_setzero_ps();
    for (t->col = 0; t->col < cols; t->col += t->cols) {
        t->cols = least(width, cols - t->col);
        add_columns(t, parts, v);
    }
    for (size_t i = 0; i < v->m; i++)
        tp_store_part(y + i * y_stride + r,
                      tp_sum_four(v->sums[i][0], v->sums[i][1], v->sums[i][2], v->sums[i][3]), n);
}

TP_TARGET_AVX2 void tp_few_parts_avx2(const struct tp_matrix *w, size_t first, size_t end,
                                      const float *x, size_t x_stride, size_t m, float *y,
                                      size_t y_stride, void *scratch)
{
    struct tp_part_tile t = {.w = w->data, .values = scratch};
    struct parts parts = {.space = t.values + TP_PART_ROWS * TP_PART_STRIDE};

    t.a = parts.space + TP_PART_ROWS * TP_PART_STRIDE;
    t.b = t.a + 2 * TP_PART_ROWS * TP_PART_FACTORS;
    tp_part_kernels_choose(&parts.kernels, &t, end - first,
                           t.b + 2 * TP_PART_ROWS * TP_PART_FACTORS);
    for (size_t r = first; r < end; r += TP_PART_ROWS)
        for (size_t i = 0; i < m; i += TILE_VECTORS) {
            struct vectors v = {x + i * x_stride, x_stride, least(m - i, TILE_VECTORS)};

            few_rows(&t, &parts, r, least(end - r, TP_PART_ROWS), &v, y + i * y_stride, y_stride);
        }
}

#endif
