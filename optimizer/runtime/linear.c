/* SPDX-License-Identifier: MIT */
/* Products with matrices, divided among threads by the rows of the matrices. */
#include <config.h>

#include "optimizer/runtime/linear.h"

#include <stdlib.h>

#include "base/memory.h"
#include "codec/convert.h"

#define PARTS_PER_THREAD 4 /* threads may be slowed down by others */
#define ROWS_LEAST 72      /* of a part: see tp_matrix_multiply */

void tp_linear_clear(struct tp_linear *l)
{
    free(l->data);
    free(l->bias);
    *l = (struct tp_linear){0};
}

/* What DATA holds: the bytes begin at the next multiple of 64. */
#define PACKED_AT ((sizeof(struct tp_quant_matrix) + 63) / 64 * 64)

uint8_t *tp_linear_reserve_packed(struct tp_linear *l, size_t len)
{
    if (len > SIZE_MAX / 2 || tp_memory_check(len) < 0 ||
        posix_memalign(&l->data, 64, PACKED_AT + len) != 0) {
        l->data = NULL;
        return NULL;
    }
    return (uint8_t *)l->data + PACKED_AT;
}

int tp_linear_open_packed(struct tp_linear *l, size_t len, struct tp_error *err)
{
    struct tp_quant_matrix *m = l->data;
    int rc = tp_quant_open((uint8_t *)l->data + PACKED_AT, len, m, err);

    if (rc == 0) {
        l->matrix = tp_matrix_quantized(m);
        l->bytes = len;
        l->packed = true;
    }
    return rc;
}

const struct tp_quant_matrix *tp_linear_packed(const struct tp_linear *l)
{
    return l->packed ? l->matrix.data : NULL;
}

struct rounding {
    const struct tp_matrix *from;
    uint16_t *to;
};

static void round_row(void *arg, size_t row, void *scratch)
{
    const struct rounding *r = arg;
    float part[256];

    (void)scratch;
    for (size_t c = 0; c < r->from->cols; c += 256) {
        size_t n = r->from->cols - c < 256 ? r->from->cols - c : 256;

        tp_matrix_read(r->from, row, c, n, part);
        tp_convert(TP_DTYPE_BF16, r->to + row * r->from->cols + c, TP_DTYPE_F32, part, n);
    }
}

uint16_t *tp_linear_rounded(struct tp_team *team, const struct tp_matrix *m)
{
    size_t elements = m->rows * m->cols;
    struct rounding r = {m, NULL};

    if (tp_memory_check(elements * sizeof *r.to) == 0)
        r.to = malloc(elements * sizeof *r.to);
    if (r.to)
        tp_team_run(team, m->rows, round_row, &r);
    return r.to;
}

struct job {
    const struct tp_product *products;
    unsigned n;
    size_t m;
    enum tp_dtype dtype;
    size_t rows; /* of a part */
    size_t part_n[TP_PRODUCTS_MAX];
};

static void multiply_part(void *arg, size_t part, void *scratch)
{
    const struct job *job = arg;
    const struct tp_product *p = job->products;

    for (unsigned i = 0; part >= job->part_n[i]; i++, p++)
        part -= job->part_n[i];

    const struct tp_matrix *w = &p->linear->matrix;
    const float *bias = p->linear->bias;
    size_t first = part * job->rows;
    size_t end = w->rows - first < job->rows ? w->rows : first + job->rows;

    tp_matrix_multiply(w, first, end, p->x, p->x_stride, job->m, p->y, p->y_stride, scratch);
    for (size_t i = 0; i < job->m; i++) {
        float *y = p->y + i * p->y_stride + first;
        if (bias)
            tp_add(y, bias + first, end - first, y);
        if (job->dtype != TP_DTYPE_F32)
            tp_round_to(job->dtype, y, end - first, y);
    }
}

void tp_linear_multiply(struct tp_team *team, const struct tp_product *products, unsigned n,
                        size_t m, enum tp_dtype dtype)
{
    struct job job = {.products = products, .n = n, .m = m, .dtype = dtype};
    size_t rows = 0, parts = 0;

    for (unsigned i = 0; i < n; i++)
        rows += products[i].linear->matrix.rows;
    job.rows = rows / ((size_t)tp_team_threads(team) * PARTS_PER_THREAD) + 1;
    if (job.rows < ROWS_LEAST)
        job.rows = ROWS_LEAST;
    job.rows = (job.rows + TP_MATRIX_ROWS - 1) / TP_MATRIX_ROWS * TP_MATRIX_ROWS;
    for (unsigned i = 0; i < n; i++) {
        job.part_n[i] = (products[i].linear->matrix.rows + job.rows - 1) / job.rows;
        parts += job.part_n[i];
    }
    tp_team_run(team, parts, multiply_part, &job);
}
