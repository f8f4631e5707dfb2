/* SPDX-License-Identifier: MIT */
/*
 * What the kernels share among themselves: forms of matrices, and functions by instruction set.
 *
 * A product with many vectors expands a block of W to fp32 once, which then stays in the second
 * cache. A strip of it, TP_STRIP_ROWS rows and at most TP_STRIP_COLS columns, stays in the first
 * cache while TP_STRIP_VECTORS vectors pass, which stay in the second. The rows of a strip lie in
 * panels of TP_PANEL_ROWS:
 *
 *     panel[c / 8][row % TP_PANEL_ROWS][c % 8]
 *
 * A tile is the products of a few vectors with a panel. Its partial sums stay in registers, and in
 * memory only between two strips of the same rows.
 */
#ifndef TP_OPTIMIZER_KERNEL_IMPL_H
#define TP_OPTIMIZER_KERNEL_IMPL_H

#include "base/isa.h"
#include "optimizer/kernel/kernel.h"

enum {
    TP_PANEL_ROWS = 4,
    TP_STRIP_ROWS = 8,
    TP_STRIP_COLS = 640,
    TP_STRIP_VECTORS = 24,
    TP_TILE_SUMS = 8 * TP_PANEL_ROWS, /* partial sums of a vector and a panel */
    TP_CACHE_LINE = 64,               /* bytes */
};

/*
 * Elements COL to COL + COUNT - 1 of row ROW, as groups of 8 that are STEP elements apart in DST;
 * zeros follow in the last group. COL is a multiple of 8.
 */
typedef void tp_matrix_expand_fn(const struct tp_matrix *w, size_t row, size_t col, size_t count,
                                 float *dst, size_t step);
/*
 * tp_matrix_multiply for few vectors: it reads W as it is. Floating-point forms use no SCRATCH.
 */
typedef void tp_matrix_few_fn(const struct tp_matrix *w, size_t first, size_t end, const float *x,
                              size_t x_stride, size_t m, float *y, size_t y_stride, void *scratch);

/*
 * A form of a matrix. Only EXPAND knows what the bytes mean; FEW does the same in registers, and is
 * NULL where there is no such kernel. MULTIPLY is for a form that is more than one matrix; all
 * others have NULL, and tp_matrix_multiply does it by EXPAND and FEW.
 */
struct tp_matrix_form {
    tp_matrix_expand_fn *expand[TP_ISA_COUNT];
    tp_matrix_few_fn *few[TP_ISA_COUNT];
    tp_matrix_few_fn *multiply;
};

/* The reference: any form, by EXPAND. */
tp_matrix_few_fn tp_few_any_scalar;

#define TP_DECLARE_FORM(NAME)                                                                      \
    tp_matrix_expand_fn tp_expand_##NAME##_scalar, tp_expand_##NAME##_avx2,                        \
        tp_expand_##NAME##_avx512;                                                                 \
    tp_matrix_few_fn tp_few_##NAME##_avx2, tp_few_##NAME##_avx512;
TP_DECLARE_FORM(f32)
TP_DECLARE_FORM(bf16)
TP_DECLARE_FORM(f16)
#undef TP_DECLARE_FORM

/* The matrices of tp_matrix_quantized with one part of a common kind and whole groups of 8. */
tp_matrix_few_fn tp_few_quantized_avx2, tp_few_quantized_avx512;
tp_matrix_expand_fn tp_expand_quantized_avx2;
/* Any matrix of tp_matrix_quantized, in parts of a few rows. */
tp_matrix_few_fn tp_few_parts_avx2;

/*
 * The tiles of M vectors with the panels of a strip, of COLS columns from X on. The partial sums of
 * vector i and panel p of PANELS are at SUMS + (i * PANELS + p) * TP_TILE_SUMS; with FRESH they
 * begin as zero. With LAST they are added up and go to Y, of which ROWS rows exist.
 */
struct tp_tiles {
    const float *panels; /* each of 32 * groups of 8 columns */
    size_t cols, rows, m;
    const float *x;
    float *y;
    size_t x_stride, y_stride;
    float *sums;
    bool fresh, last;
    const float *next_x, *next_y; /* as X and Y, of the next vectors, or NULL: what to fetch */
    size_t fetch;                 /* elements of each of these, from NEXT_X on */
};
typedef void tp_tiles_fn(const struct tp_tiles *t);
tp_tiles_fn tp_tiles_avx2, tp_tiles_avx512;

/*
 * Fetch for the next vectors I to I + N - 1 into the second cache. A few lines before each tile
 * come while it is computed; all at once would be waited for.
 */
TP_INLINE void tp_tiles_fetch(const struct tp_tiles *t, size_t i, size_t n)
{
    for (size_t end = i + n; t->next_x && i < end; i++) {
        for (size_t c = 0; c < t->fetch; c += TP_CACHE_LINE / sizeof(float))
            __builtin_prefetch(t->next_x + i * t->x_stride + c, 0, 2);
        __builtin_prefetch(t->next_y + i * t->y_stride, 1, 2);
    }
}

/*
 * ACC[r] += WEIGHTS[r][p] * VALUES[p] for ROWS rows of HEAD_DIM elements and POSITIONS positions in
 * order. STRIDE is in elements.
 */
struct tp_mix {
    enum tp_dtype dtype;
    size_t head_dim, positions, rows;
    const void *values;
    size_t stride;
    const float *weights;
    size_t weight_stride;
    float *acc;
};
typedef void tp_mix_fn(const struct tp_mix *m);
tp_mix_fn tp_mix_scalar, tp_mix_avx2, tp_mix_avx512;

#endif
