/* SPDX-License-Identifier: MIT */
/* Sums of g^2 x^2: a product of two matrices of squares, for some rows at a time. */
#include <config.h>

#include "optimizer/gradient/fisher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "optimizer/runtime/runtime_impl.h"

enum {
    ROWS = 512,      /* at a time */
    PART_ROWS = 96,  /* of a matrix, of a part of the product */
    PART_COLS = 128, /* of the squares */
};

/* --- Memory --- */

uint64_t tp_fisher_bytes(const struct tp_arch *arch)
{
    uint64_t elements = 0, most_out = 0, most_in = 0;
    uint32_t out, in;

    for (unsigned i = 0; i < TP_ROLE_COUNT; i++) {
        if (!tp_role_shape(arch, i, &out, &in))
            continue;
        elements += (uint64_t)out * in;
        most_out = out > most_out ? out : most_out;
        most_in = in > most_in ? in : most_in;
    }
    /* Squares of x, squares of g, a part of the product for each thread: bounded by the matrix. */
    return (elements + (most_in + most_out) * ROWS) * sizeof(float);
}

int tp_fisher_create(struct tp_runtime *rt, struct tp_fisher *f, struct tp_error *err)
{
    uint64_t bytes = tp_fisher_bytes(&rt->arch), most = 0;
    uint32_t out, in;

    *f = (struct tp_fisher){.rt = rt};
    if (tp_memory_check(bytes) < 0)
        return tp_oom(err);
    for (unsigned i = 0; i < TP_ROLE_COUNT; i++) {
        if (!tp_role_shape(&rt->arch, i, &out, &in))
            continue;
        f->sums[i] = calloc((size_t)out * in, sizeof(float));
        if (!f->sums[i])
            return tp_oom(err);
        most = (uint64_t)out + in > most ? (uint64_t)out + in : most;
    }
    f->space = malloc(most * ROWS * sizeof(float));
    return f->space ? 0 : tp_oom(err);
}

void tp_fisher_clear(struct tp_fisher *f)
{
    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        free(f->sums[i]);
    free(f->space);
    *f = (struct tp_fisher){0};
}

void tp_fisher_begin(struct tp_fisher *f)
{
    uint32_t out, in;

    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        if (f->sums[i] && tp_role_shape(&f->rt->arch, i, &out, &in))
            memset(f->sums[i], 0, (size_t)out * in * sizeof(float));
}

/* --- Adding --- */

struct job {
    const struct tp_gradient_rows *rows;
    size_t first, n; /* of the rows */
    size_t out, in;
    float *x, *g; /* squares: [in][n], [out][n] */
    float *sums;
};

/* TO[c][r] = FROM[r][c]^2 of the columns FIRST to END - 1. */
static void square(const float *from, size_t stride, size_t rows, size_t first, size_t end,
                   float *to)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = first; c < end; c++)
            to[c * rows + r] = from[r * stride + c] * from[r * stride + c];
}

static void square_part(void *arg, size_t part, void *scratch)
{
    const struct job *job = arg;
    const struct tp_gradient_rows *r = job->rows;
    size_t ins = (job->in + PART_COLS - 1) / PART_COLS;
    bool g = part >= ins;
    size_t width = g ? job->out : job->in, stride = g ? r->g_stride : r->x_stride;
    size_t first = (g ? part - ins : part) * PART_COLS, end = first + PART_COLS;

    (void)scratch;
    square((g ? r->g : r->x) + job->first * stride, stride, job->n, first,
           end < width ? end : width, g ? job->g : job->x);
}

/* PART_ROWS rows of the sums. */
static void product_part(void *arg, size_t part, void *scratch)
{
    const struct job *job = arg;
    size_t first = part * PART_ROWS,
           m = job->out - first < PART_ROWS ? job->out - first : PART_ROWS;
    float product[PART_ROWS * TP_MATRIX_ROWS];

    for (size_t c = 0; c < job->in; c += TP_MATRIX_ROWS) {
        size_t cols = job->in - c < TP_MATRIX_ROWS ? job->in - c : TP_MATRIX_ROWS;
        struct tp_matrix x = {.form = tp_matrix_float_form(TP_DTYPE_F32),
                              .data = job->x + c * job->n,
                              .rows = cols,
                              .cols = job->n,
                              .stride = job->n * sizeof *job->x};

        tp_matrix_multiply(&x, 0, cols, job->g + first * job->n, job->n, m, product, TP_MATRIX_ROWS,
                           scratch);
        for (size_t i = 0; i < m; i++) {
            float *sums = job->sums + (first + i) * job->in + c;

            tp_add(sums, product + i * TP_MATRIX_ROWS, cols, sums);
        }
    }
}

void tp_fisher_add(struct tp_fisher *f, const struct tp_gradient_rows *rows)
{
    struct tp_team *team = tp_runtime_team(f->rt);
    uint32_t out, in;

    if (!tp_role_shape(&f->rt->arch, rows->role, &out, &in))
        return;
    for (size_t first = 0; first < rows->n; first += ROWS) {
        size_t n = rows->n - first < ROWS ? rows->n - first : ROWS;
        struct job job = {
            rows, first, n, out, in, f->space, f->space + (size_t)in * n, f->sums[rows->role]};

        tp_team_run(team, (in + PART_COLS - 1) / PART_COLS + (out + PART_COLS - 1) / PART_COLS,
                    square_part, &job);
        tp_team_run(team, (out + PART_ROWS - 1) / PART_ROWS, product_part, &job);
    }
}
