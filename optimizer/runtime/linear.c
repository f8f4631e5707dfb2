/* SPDX-License-Identifier: MIT */
/* Products with matrices, divided among threads by the rows of the matrices. */
#include <config.h>

#include "optimizer/runtime/linear.h"

#include <stdlib.h>
#include <string.h>

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
    if (len < SIZE_MAX / 2)
        l->data = tp_memory_alloc_huge(PACKED_AT + len);
    return l->data ? (uint8_t *)l->data + PACKED_AT : NULL;
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

bool tp_linear_of_integers(const struct tp_linear *l, enum tp_dtype dtype)
{
    return dtype == TP_DTYPE_I8 && l->packed && tp_int8_has(l->matrix.data);
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
    const float *x;
    size_t x_stride, m;
    enum tp_dtype dtype;
    size_t rows; /* of a part */
    size_t part_n[TP_PRODUCTS_MAX];
    void *packed; /* X as products of bf16 or of integers want it; NULL: no memory, or neither */
};

static void pack_part(void *arg, size_t part, void *scratch)
{
    const struct job *job = arg;
    size_t first = part * TP_BF16_VECTORS, cols = job->products->linear->matrix.cols;
    size_t end = job->m - first < TP_BF16_VECTORS ? job->m : first + TP_BF16_VECTORS;

    (void)scratch;
    if (job->dtype == TP_DTYPE_I8)
        tp_int8_pack(job->x, job->x_stride, cols, first, end, job->packed);
    else
        tp_bf16_pack(job->x, job->x_stride, job->m, cols, first, end, job->packed);
}

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

    if (tp_linear_of_integers(p->linear, job->dtype))
        tp_int8_multiply(w->data, first, end, job->x, job->x_stride, job->packed, job->m, p->y,
                         p->y_stride, scratch);
    else if (job->packed && job->dtype == TP_DTYPE_BF16)
        tp_bf16_multiply(w, first, end, job->packed, job->m, p->y, p->y_stride, scratch);
    else
        tp_matrix_multiply(w, first, end, job->x, job->x_stride, job->m, p->y, p->y_stride,
                           scratch);
    for (size_t i = 0; i < job->m; i++) {
        float *y = p->y + i * p->y_stride + first;
        if (bias)
            tp_add(y, bias + first, end - first, y);
        if (job->dtype == TP_DTYPE_BF16 || job->dtype == TP_DTYPE_F16)
            tp_round_to(job->dtype, y, end - first, y);
    }
}

/* Divide the rows of all matrices, and compute. */
static void multiply(struct tp_team *team, struct job *job)
{
    const size_t unit = job->packed && job->dtype == TP_DTYPE_BF16 ? TP_BF16_ROWS : TP_MATRIX_ROWS;
    size_t rows = 0, parts = 0;

    for (unsigned i = 0; i < job->n; i++)
        rows += job->products[i].linear->matrix.rows;
    job->rows = rows / ((size_t)tp_team_threads(team) * PARTS_PER_THREAD) + 1;
    if (job->rows < ROWS_LEAST)
        job->rows = ROWS_LEAST;
    job->rows = (job->rows + unit - 1) / unit * unit;
    for (unsigned i = 0; i < job->n; i++) {
        job->part_n[i] = (job->products[i].linear->matrix.rows + job->rows - 1) / job->rows;
        parts += job->part_n[i];
    }
    tp_team_run(team, parts, multiply_part, job);
}

/* Vectors that are packed together. */
#define PACKED_MOST ((size_t)512)

static size_t packed_bytes(size_t m, size_t cols, enum tp_dtype dtype)
{
    return dtype == TP_DTYPE_I8 ? tp_int8_bytes(m, cols) : tp_bf16_bytes(m, cols);
}

size_t tp_linear_space(size_t cols, enum tp_dtype dtype)
{
    bool packs = dtype == TP_DTYPE_BF16 ? tp_bf16_pays(PACKED_MOST) : dtype == TP_DTYPE_I8;

    return packs ? packed_bytes(PACKED_MOST, cols, dtype) : 0;
}

/* Pack vectors, and compute with them. False: there is no memory for it, and nothing was done. */
static bool multiply_packed(struct tp_team *team, struct job job)
{
    struct tp_product products[TP_PRODUCTS_MAX];
    size_t left = job.m, most = left < PACKED_MOST ? left : PACKED_MOST;
    size_t bytes = packed_bytes(most, job.products->linear->matrix.cols, job.dtype);

    if (posix_memalign(&job.packed, 64, bytes) != 0)
        return false;
    memcpy(products, job.products, job.n * sizeof *products);
    job.products = products;
    for (; left > 0; left -= job.m, job.x += job.m * job.x_stride) {
        job.m = left < most ? left : most;
        tp_team_run(team, (job.m + TP_BF16_VECTORS - 1) / TP_BF16_VECTORS, pack_part, &job);
        multiply(team, &job);
        for (unsigned i = 0; i < job.n; i++)
            products[i].y += job.m * products[i].y_stride;
    }
    free(job.packed);
    return true;
}

void tp_linear_multiply(struct tp_team *team, const struct tp_product *products, unsigned n,
                        const float *x, size_t x_stride, size_t m, enum tp_dtype dtype)
{
    struct job job = {
        .products = products, .n = n, .x = x, .x_stride = x_stride, .m = m, .dtype = dtype};
    bool packs = dtype == TP_DTYPE_BF16 && tp_bf16_pays(m);

    for (unsigned i = 0; i < n; i++)
        packs = packs || tp_linear_of_integers(products[i].linear, dtype);
    if (packs && multiply_packed(team, job))
        return;
    multiply(team, &job);
}
