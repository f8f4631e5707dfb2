/* SPDX-License-Identifier: MIT */
/* The way back through matrices and norms, on all threads. */
#include <config.h>

#include <string.h>

#include "optimizer/gradient/gradient_impl.h"

#define PIECE_ELEMENTS ((size_t)4 << 20) /* of a matrix that is transposed at a time */
enum {
    BLOCK_ROWS = 16, /* of a part of the transposing */
    BLOCK_COLS = 256,
    ADD_PART = 1 << 14,
};

/* --- Sums --- */

struct addition {
    float *x;
    const float *y;
    size_t n;
};

static void add_part(void *arg, size_t part, void *scratch)
{
    const struct addition *a = arg;
    size_t first = part * ADD_PART, n = a->n - first < ADD_PART ? a->n - first : ADD_PART;

    (void)scratch;
    tp_add(a->x + first, a->y + first, n, a->x + first);
}

void tp_add_all(struct tp_team *team, float *x, const float *y, size_t n)
{
    struct addition a = {x, y, n};

    tp_team_run(team, (n + ADD_PART - 1) / ADD_PART, add_part, &a);
}

/* --- Matrices --- */

/* Rows of W that are transposed at a time. */
static size_t piece_rows(const struct tp_matrix *w)
{
    size_t rows = PIECE_ELEMENTS / w->cols / BLOCK_ROWS * BLOCK_ROWS;

    rows = rows < BLOCK_ROWS ? BLOCK_ROWS : rows;
    return rows < w->rows ? rows : w->rows;
}

size_t tp_linear_back_space(const struct tp_matrix *w, size_t m)
{
    return piece_rows(w) * w->cols + m * w->cols;
}

/* The rows FIRST to FIRST + ROWS - 1 of W, as [columns][ROWS]. */
struct turning {
    const struct tp_matrix *w;
    size_t first, rows;
    float *to;
};

static void turn_part(void *arg, size_t part, void *scratch)
{
    const struct turning *t = arg;
    size_t row = part * BLOCK_ROWS;
    size_t n = t->rows - row < BLOCK_ROWS ? t->rows - row : BLOCK_ROWS;
    float block[BLOCK_ROWS][BLOCK_COLS];

    (void)scratch;
    for (size_t col = 0; col < t->w->cols; col += BLOCK_COLS) {
        size_t cols = t->w->cols - col < BLOCK_COLS ? t->w->cols - col : BLOCK_COLS;

        for (size_t i = 0; i < n; i++)
            tp_matrix_read(t->w, t->first + row + i, col, cols, block[i]);
        for (size_t c = 0; c < cols; c++)
            for (size_t i = 0; i < n; i++)
                t->to[(col + c) * t->rows + row + i] = block[i][c];
    }
}

void tp_linear_back(struct tp_team *team, const struct tp_linear_back *b, float *space)
{
    const struct tp_matrix *w = b->w;
    size_t step = piece_rows(w);
    float *product = space + step * w->cols;

    for (size_t first = 0; first < w->rows; first += step) {
        size_t rows = w->rows - first < step ? w->rows - first : step;
        struct turning t = {w, first, rows, space};
        struct tp_linear turned = {.matrix = {.form = tp_matrix_float_form(TP_DTYPE_F32),
                                              .data = space,
                                              .rows = w->cols,
                                              .cols = rows,
                                              .stride = rows * sizeof *space}};
        bool fresh = first == 0 && !b->add;
        struct tp_product p = {&turned, fresh ? b->dx : product, w->cols};

        tp_team_run(team, (rows + BLOCK_ROWS - 1) / BLOCK_ROWS, turn_part, &t);
        tp_linear_multiply(team, &p, 1, b->dy + first, b->dy_stride, b->m, TP_DTYPE_F32);
        if (!fresh)
            tp_add_all(team, b->dx, product, b->m * w->cols);
    }
}

/* --- Norms --- */

void tp_norm_back_row(const struct tp_arch *arch, const struct tp_norm *norm, const float *x,
                      const float *dy, size_t width, float *dx)
{
    if (arch->norm == TP_NORM_LAYER)
        tp_layer_norm_back(x, norm->weight, dy, width, arch->norm_epsilon, dx);
    else
        tp_rms_norm_back(x, norm->weight, dy, width, arch->norm_epsilon,
                         arch->norm == TP_NORM_RMS_PLUS_ONE, dx);
}

static void norm_part(void *arg, size_t part, void *scratch)
{
    const struct tp_norm_back *b = arg;
    size_t end = (part + 1) * TP_GRADIENT_ROWS;

    (void)scratch;
    end = end < b->rows ? end : b->rows;
    for (size_t i = part * TP_GRADIENT_ROWS; i < end; i++)
        tp_norm_back_row(b->arch, b->norm, b->x + i * b->width, b->dy + i * b->width, b->width,
                         b->dx + i * b->width);
}

void tp_norm_back(struct tp_team *team, const struct tp_norm_back *b)
{
    tp_team_run(team, (b->rows + TP_GRADIENT_ROWS - 1) / TP_GRADIENT_ROWS, norm_part, (void *)b);
}
