/* SPDX-License-Identifier: MIT */
/* Products with matrices: the forms of floating-point elements, and the scalar reference. */
#include <config.h>

#include "codec/convert.h"
#include "optimizer/kernel/impl.h"
#include "optimizer/kernel/math.h"

enum {
    FEW_VECTORS = 8, /* from here on, expanding W pays */
    BLOCK = 1 << 16, /* elements of a block */
    BLOCK_ROWS = 96, /* at most */
    BLOCK_COLS = BLOCK / TP_STRIP_ROWS,
    BLOCK_VECTORS = 20 * TP_STRIP_VECTORS, /* where partial sums are kept between two blocks */
    SUMS = TP_STRIP_ROWS / TP_PANEL_ROWS * TP_TILE_SUMS, /* of a vector and a strip */
};
_Static_assert(sizeof(float) * (BLOCK + SUMS * BLOCK_VECTORS) <= TP_KERNEL_SCRATCH,
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

#define FORM(NAME)                                                                                 \
    {                                                                                              \
        .expand = TP_BY_ISA(tp_expand_##NAME),                                                     \
        .few = TP_ISA_ROWS(tp_few_any_scalar, tp_few_##NAME##_avx2, tp_few_##NAME##_avx512)        \
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

/* A block of W: the elements of a strip follow those of the strip before, row by row of strips. */
struct block {
    const struct tp_matrix *w;
    size_t row, rows, col, cols;
    size_t width; /* columns of a strip, a multiple of 8 */
    float *elements;
    enum tp_isa isa;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* How many of N a piece has, at most MOST, a multiple of UNIT: the pieces are about equal. */
static size_t piece_of(size_t n, size_t most, size_t unit)
{
    size_t pieces = (n + most - 1) / most;

    return round_up((n + pieces - 1) / pieces, unit);
}

/* The strip of the block's row R and column C. */
static float *strip_at(const struct block *b, size_t r, size_t c)
{
    size_t rows = round_up(least(b->rows - r, TP_STRIP_ROWS), TP_PANEL_ROWS);

    return b->elements + r * round_up(b->cols, 8) + c * rows;
}

static void expand_strip(const struct block *b, size_t r, size_t c)
{
    const struct tp_matrix *w = b->w;
    size_t rows = least(b->rows - r, TP_STRIP_ROWS), cols = least(b->cols - c, b->width);
    size_t panel = TP_PANEL_ROWS * round_up(cols, 8);
    float *strip = strip_at(b, r, c);

    if (rows % TP_PANEL_ROWS)
        memset(strip + rows / TP_PANEL_ROWS * panel, 0, panel * sizeof *strip);
    for (size_t j = 0; j < rows; j++)
        w->form->expand[b->isa](w, b->row + r + j, b->col + c, cols,
                                strip + j / TP_PANEL_ROWS * panel + j % TP_PANEL_ROWS * 8,
                                TP_TILE_SUMS);
}

static void expand_block(const struct block *b)
{
    for (size_t r = 0; r < b->rows; r += TP_STRIP_ROWS)
        for (size_t c = 0; c < b->cols; c += b->width)
            expand_strip(b, r, c);
}

/*
 * The products of the vectors of VECTORS with a block. Partial sums begin at SUMS. Each strip
 * fetches an equal part of the next vectors.
 */
static void multiply_block(const struct block *b, const struct tp_tiles *vectors)
{
    static tp_tiles_fn *const tiles[TP_ISA_COUNT] =
        TP_ISA_ROWS(NULL, tp_tiles_avx2, tp_tiles_avx512);
    bool first = b->col == 0, last = b->col + b->cols == b->w->cols;
    size_t strips = (b->rows + TP_STRIP_ROWS - 1) / TP_STRIP_ROWS;

    for (size_t r = 0; r < b->rows; r += TP_STRIP_ROWS)
        for (size_t c = 0; c < b->cols; c += b->width) {
            struct tp_tiles t = *vectors;

            t.panels = strip_at(b, r, c);
            t.rows = least(b->rows - r, TP_STRIP_ROWS);
            t.cols = least(b->cols - c, b->width);
            t.x += b->col + c;
            t.y += b->row + r;
            if (t.next_x) {
                size_t part = (t.cols + strips - 1) / strips;
                size_t begin = least(r / TP_STRIP_ROWS * part, t.cols);

                t.fetch = least(part, t.cols - begin);
                t.next_x += b->col + c + begin;
                t.next_y += b->row + r;
            }
            t.fresh = first && c == 0;
            t.last = last && c + t.cols == b->cols;
            tiles[b->isa](&t);
        }
}

/* The products of M vectors with the rows of B, whose columns are chosen here. */
static void multiply_rows(struct block *b, const float *x, size_t x_stride, size_t m, float *y,
                          size_t y_stride)
{
    bool whole = b->w->cols <= BLOCK_COLS;
    size_t step = whole ? m : BLOCK_VECTORS;
    float *sums = b->elements + BLOCK;

    for (size_t i = 0; i < m; i += step)
        for (b->col = 0; b->col < b->w->cols; b->col += b->cols) {
            size_t end = least(i + step, m);

            b->cols = least(b->w->cols - b->col, BLOCK_COLS);
            b->width = piece_of(b->cols, TP_STRIP_COLS, 8);
            expand_block(b);
            for (size_t j = i; j < end; j += TP_STRIP_VECTORS) {
                struct tp_tiles t = {.m = least(end - j, TP_STRIP_VECTORS),
                                     .x = x + j * x_stride,
                                     .y = y + j * y_stride,
                                     .x_stride = x_stride,
                                     .y_stride = y_stride,
                                     .sums = sums + (whole ? 0 : (j - i) * SUMS)};

                if (end - j >= 2 * TP_STRIP_VECTORS) {
                    t.next_x = t.x + TP_STRIP_VECTORS * x_stride;
                    t.next_y = t.y + TP_STRIP_VECTORS * y_stride;
                }
                multiply_block(b, &t);
            }
        }
}

void tp_matrix_multiply(const struct tp_matrix *w, size_t first, size_t end, const float *x,
                        size_t x_stride, size_t m, float *y, size_t y_stride, void *scratch)
{
    enum tp_isa isa = tp_isa_get();
    struct block b = {.w = w, .elements = scratch, .isa = isa};
    size_t most, step;

    if (w->form->multiply) {
        w->form->multiply(w, first, end, x, x_stride, m, y, y_stride, scratch);
        return;
    }
    if (isa == TP_ISA_SCALAR || (m < FEW_VECTORS && w->form->few[isa])) {
        w->form->few[isa](w, first, end, x, x_stride, m, y, y_stride, scratch);
        return;
    }
    if (first == end)
        return;
    most = BLOCK / round_up(least(w->cols, BLOCK_COLS), 8) / TP_STRIP_ROWS * TP_STRIP_ROWS;
    step = piece_of(end - first, least(most, BLOCK_ROWS), TP_STRIP_ROWS);
    for (b.row = first; b.row < end; b.row += step) {
        b.rows = least(end - b.row, step);
        multiply_rows(&b, x, x_stride, m, y, y_stride);
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
