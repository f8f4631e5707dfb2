/* SPDX-License-Identifier: MIT */
/* Products with matrices: the forms of floating-point elements, and the scalar reference. */
#include <config.h>

#include "codec/convert.h"
#include "optimizer/kernel/impl.h"
#include "optimizer/kernel/math.h"

enum {
    FEW_VECTORS = 8, /* from here on, expanding W pays */
};
_Static_assert(sizeof(float) * TP_BLOCK_ROWS * (TP_BLOCK_COLS + 8 * TP_BLOCK_VECTORS) <=
                   TP_KERNEL_SCRATCH,
               "a block and its partial sums fit into the scratch memory");

TP_INLINE void expand(const struct tp_matrix *w, size_t row, size_t col, size_t count, float *dst,
                      size_t step, enum tp_dtype dtype)
{
    const size_t size = dtype == TP_DTYPE_F32 ? 4 : 2;
    const uint8_t *p = (const uint8_t *)w->data + row * w->stride + col * size;

    for (size_t c = 0; c < count; c += 8, dst += step) {
        size_t n = count - c < 8 ? count - c : 8;

        tp_convert(TP_DTYPE_F32, dst, dtype, p + c * size, n);
        memset(dst + n, 0, (8 - n) * sizeof *dst);
    }
}

void tp_expand_f32_scalar(const struct tp_matrix *w, size_t row, size_t col, size_t count,
                          float *dst, size_t step)
{
    expand(w, row, col, count, dst, step, TP_DTYPE_F32);
}

void tp_expand_bf16_scalar(const struct tp_matrix *w, size_t row, size_t col, size_t count,
                           float *dst, size_t step)
{
    expand(w, row, col, count, dst, step, TP_DTYPE_BF16);
}

void tp_expand_f16_scalar(const struct tp_matrix *w, size_t row, size_t col, size_t count,
                          float *dst, size_t step)
{
    expand(w, row, col, count, dst, step, TP_DTYPE_F16);
}

#if TP_HAVE_X86
#define FEW(NAME)                                                                                  \
    {                                                                                              \
        tp_few_any_scalar, tp_few_##NAME##_avx2, tp_few_##NAME##_avx512                            \
    }
#define TILES                                                                                      \
    {                                                                                              \
        [TP_ISA_AVX2] = tp_tiles_avx2, [TP_ISA_AVX512] = tp_tiles_avx512                           \
    }
#else
#define TILES                                                                                      \
    {                                                                                              \
        NULL                                                                                       \
    }
#define FEW(NAME)                                                                                  \
    {                                                                                              \
        tp_few_any_scalar                                                                          \
    }
#endif
#define FORM(NAME)                                                                                 \
    {                                                                                              \
        .name = #NAME, .expand = TP_BY_ISA(tp_expand_##NAME), .few = FEW(NAME)                     \
    }

static const struct tp_matrix_form float_forms[] = {FORM(f32), FORM(bf16), FORM(f16)};

const struct tp_matrix_form *tp_matrix_float_form(enum tp_dtype dtype)
{
    switch (dtype) {
    case TP_DTYPE_F32:
        return &float_forms[0];
    case TP_DTYPE_BF16:
        return &float_forms[1];
    case TP_DTYPE_F16:
        return &float_forms[2];
    default:
        return NULL;
    }
}

const char *tp_matrix_form_name(const struct tp_matrix_form *form)
{
    return form->name;
}

void tp_matrix_read(const struct tp_matrix *w, size_t row, size_t col, size_t count, float *dst)
{
    tp_matrix_expand_fn *expand_row = w->form->expand[tp_isa_get()];
    float group[8];
    size_t before = col % 8;

    /* A group that is not wanted whole, at either end. */
    if (before) {
        size_t n = 8 - before < count ? 8 - before : count;

        expand_row(w, row, col - before, before + n, group, 8);
        memcpy(dst, group + before, n * sizeof *dst);
        col += n;
        dst += n;
        count -= n;
    }
    expand_row(w, row, col, count & ~(size_t)7, dst, 8);
    if (count % 8) {
        expand_row(w, row, col + (count & ~(size_t)7), count % 8, group, 8);
        memcpy(dst + (count & ~(size_t)7), group, count % 8 * sizeof *dst);
    }
}

void tp_few_any_scalar(const struct tp_matrix *w, size_t first, size_t end, const float *x,
                       size_t x_stride, size_t m, float *y, size_t y_stride, void *scratch)
{
    (void)scratch;
    for (size_t r = first; r < end; r++)
        for (size_t i = 0; i < m; i++) {
            float sums[TP_KERNEL_LANES] = {0};

            for (size_t c = 0; c < w->cols; c += 8) {
                size_t count = w->cols - c < 8 ? w->cols - c : 8;
                float part[8];

                w->form->expand[TP_ISA_SCALAR](w, r, c, count, part, 8);
                for (size_t l = 0; l < 8; l++)
                    sums[l] = tp_fma(l < count ? x[i * x_stride + c + l] : 0, part[l], sums[l]);
            }
            y[i * y_stride + r] = tp_sum_lanes(sums);
        }
}

void tp_few_by_rows(const struct tp_matrix *w, size_t first, size_t end, const float *x,
                    size_t x_stride, size_t m, float *y, size_t y_stride, void *scratch)
{
    enum tp_isa isa = tp_isa_get();
    struct tp_matrix rows = {.form = tp_matrix_float_form(TP_DTYPE_F32),
                             .data = scratch,
                             .cols = w->cols,
                             .stride = ((w->cols + 7) & ~(size_t)7) * sizeof *x};

    for (size_t r = first; r < end; r += TP_PANEL_ROWS) {
        rows.rows = end - r < TP_PANEL_ROWS ? end - r : TP_PANEL_ROWS;
        for (size_t j = 0; j < rows.rows; j++)
            w->form->expand[isa](w, r + j, 0, w->cols,
                                 (float *)scratch + j * rows.stride / sizeof *x, 8);
        rows.form->few[isa](&rows, 0, rows.rows, x, x_stride, m, y + r, y_stride, NULL);
    }
}

/* The rows of W from R on, with all vectors; they are expanded in SCRATCH. */
static void multiply_block(const struct tp_matrix *w, size_t r, struct tp_tiles *t, const float *x,
                           float *y, size_t m, enum tp_isa isa, float *panels)
{
    static tp_tiles_fn *const tiles[TP_ISA_COUNT] = TILES;
    /* Pieces of columns of about the same size. */
    size_t pieces = (w->cols + TP_BLOCK_COLS - 1) / TP_BLOCK_COLS;
    size_t width = ((w->cols + pieces - 1) / pieces + 7) & ~(size_t)7;

    for (size_t i = 0; i < m; i += TP_BLOCK_VECTORS)
        for (size_t c = 0; c < w->cols; c += width) {
            size_t cols = w->cols - c < width ? w->cols - c : width;
            size_t panel = TP_PANEL_ROWS * ((cols + 7) & ~(size_t)7);

            if (t->rows % TP_PANEL_ROWS)
                memset(panels, 0, sizeof *panels * TP_BLOCK_ROWS * TP_BLOCK_COLS);
            for (size_t j = 0; j < t->rows; j++)
                w->form->expand[isa](w, r + j, c, cols,
                                     panels + j / TP_PANEL_ROWS * panel + j % TP_PANEL_ROWS * 8,
                                     TP_TILE_SUMS);
            t->cols = cols;
            t->m = m - i < TP_BLOCK_VECTORS ? m - i : TP_BLOCK_VECTORS;
            t->x = x + i * t->x_stride + c;
            t->y = y + i * t->y_stride + r;
            t->fresh = c == 0;
            t->last = c + cols == w->cols;
            tiles[isa](t);
        }
}

void tp_matrix_multiply(const struct tp_matrix *w, size_t first, size_t end, const float *x,
                        size_t x_stride, size_t m, float *y, size_t y_stride, void *scratch)
{
    enum tp_isa isa = tp_isa_get();
    struct tp_tiles t = {.x_stride = x_stride, .y_stride = y_stride};

    if (isa == TP_ISA_SCALAR || (m < FEW_VECTORS && w->form->few[isa])) {
        w->form->few[isa](w, first, end, x, x_stride, m, y, y_stride, scratch);
        return;
    }
    t.panels = scratch;
    t.sums = (float *)scratch + TP_BLOCK_ROWS * TP_BLOCK_COLS;
    for (size_t r = first; r < end; r += TP_BLOCK_ROWS) {
        t.rows = end - r < TP_BLOCK_ROWS ? end - r : TP_BLOCK_ROWS;
        multiply_block(w, r, &t, x, y, m, isa, scratch);
    }
}

/* Blocks of 16 by 16 elements keep both sides in the cache. */
#define TRANSPOSE(TYPE)                                                                            \
    do {                                                                                           \
        const TYPE *from = src;                                                                    \
        TYPE *to = dst;                                                                            \
                                                                                                   \
        for (size_t r = first; r < end; r += 16)                                                   \
            for (size_t c = 0; c < cols; c += 16)                                                  \
                for (size_t i = r; i < r + 16 && i < end; i++)                                     \
                    for (size_t j = c; j < c + 16 && j < cols; j++)                                \
                        to[j * rows + i] = from[i * cols + j];                                     \
    } while (0)

void tp_transpose(unsigned size, const void *src, size_t rows, size_t cols, size_t first,
                  size_t end, void *dst)
{
    if (size == 2)
        TRANSPOSE(uint16_t);
    else
        TRANSPOSE(uint32_t);
}
