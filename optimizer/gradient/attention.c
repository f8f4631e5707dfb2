/* SPDX-License-Identifier: MIT */
/*
 * The way back through attention. A part is a head of queries of a window. It goes through its
 * queries in blocks: products with the keys, weights, and from the gradient of the outputs those of
 * the weights, of the products, and of queries, keys and values. Heads of queries that share a head
 * of keys have gradients of their own for it, which are added at the end.
 */
#include <config.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer/gradient/gradient_impl.h"

enum { QUERIES = 64 }; /* of a block */

struct job {
    struct tp_inside *in;
    struct tp_runtime *rt;
    const struct tp_layer *layer;
    const struct tp_window *windows;
    const size_t *rows; /* the first row of each window */
    struct tp_attention attention;
    const struct tp_rope *rope;
    atomic_int failed;
};

/* One head of one window; strides in elements. */
struct head {
    const float *q, *k, *v, *dout;
    float *dq, *dk, *dv;
    size_t width, queries; /* strides: of q, k, v and dq; of the others */
    size_t n, dim;
    float *s, *d;       /* [QUERIES][n]: weights, gradients */
    float *turned;      /* [n][QUERIES] */
    float *keys, *some; /* [dim][n]; [dim][QUERIES] */
    float *product;     /* [n][dim] */
};

static uint64_t head_elements(uint64_t n, uint64_t dim)
{
    return 3 * n * QUERIES + 2 * n * dim + dim * QUERIES;
}

uint64_t tp_attention_back_bytes(const struct tp_arch *arch, uint32_t tokens)
{
    return head_elements(tokens, arch->head_dim) * sizeof(float);
}

/* TO[c][r] = FROM[r * STRIDE + c] */
static void turn(const float *from, size_t stride, size_t rows, size_t cols, float *to)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            to[c * rows + r] = from[r * stride + c];
}

static struct tp_matrix matrix_of(const float *data, size_t rows, size_t cols, size_t stride)
{
    return (struct tp_matrix){.form = tp_matrix_float_form(TP_DTYPE_F32),
                              .data = data,
                              .rows = rows,
                              .cols = cols,
                              .stride = stride * sizeof *data};
}

/*
 * TO, the gradient of keys or values from LOW on, += TURNED^T OF, where TURNED has the N queries of
 * a block as columns, and OF is [N][dim].
 */
static void add_keys(const struct head *h, const float *weights, const float *of, size_t of_stride,
                     size_t n, size_t low, size_t high, float *to, void *scratch)
{
    struct tp_matrix w = matrix_of(h->some, h->dim, n, n);

    turn(weights + low, h->n, n, high - low, h->turned);
    turn(of, of_stride, n, h->dim, h->some);
    tp_matrix_multiply(&w, 0, h->dim, h->turned, n, high - low, h->product, h->dim, scratch);
    for (size_t j = low; j < high; j++)
        tp_add(to + j * h->queries, h->product + (j - low) * h->dim, h->dim, to + j * h->queries);
}

/* The queries FIRST to FIRST + N - 1. */
static void do_block(const struct job *job, const struct head *h, size_t first, size_t n,
                     void *scratch)
{
    const struct tp_attention *a = &job->attention;
    size_t high = first + n, low = a->window && first + 1 > a->window ? first + 1 - a->window : 0;
    const float *q = h->q + first * h->width, *dout = h->dout + first * h->queries;
    struct tp_matrix keys = matrix_of(h->k, h->n, h->dim, h->width);
    struct tp_matrix values = matrix_of(h->v, h->n, h->dim, h->width);
    struct tp_matrix turned = matrix_of(h->keys + low, h->dim, high - low, h->n);

    tp_matrix_multiply(&keys, low, high, q, h->width, n, h->s, h->n, scratch);
    tp_matrix_multiply(&values, low, high, dout, h->queries, n, h->d, h->n, scratch);
    for (size_t i = 0; i < n; i++) {
        float *s = h->s + i * h->n, *d = h->d + i * h->n;
        size_t end = first + i + 1, begin = a->window && end > a->window ? end - a->window : 0;

        tp_attend_back(a->scale, a->cap, s + begin, d + begin, end - begin);
        for (size_t j = low; j < begin; j++)
            s[j] = d[j] = 0;
        for (size_t j = end; j < high; j++)
            s[j] = d[j] = 0;
    }
    tp_matrix_multiply(&turned, 0, h->dim, h->d + low, h->n, n, h->dq + first * h->width, h->width,
                       scratch);
    add_keys(h, h->d, q, h->width, n, low, high, h->dk, scratch);
    add_keys(h, h->s, dout, h->queries, n, low, high, h->dv, scratch);
}

static void do_head(void *arg, size_t part, void *scratch)
{
    struct job *job = arg;
    struct tp_inside *in = job->in;
    const struct tp_places *p = &in->places;
    uint32_t head_n = in->arch->head_n, number = (uint32_t)(part % head_n);
    size_t window = part / head_n, row = job->rows[window], dim = in->arch->head_dim;
    size_t q = p->q + number / p->share * p->q_step + number % p->share * dim;
    size_t kv = number / p->share * p->kv_step, out = row * in->queries + number * dim;
    struct head h = {.q = in->heads + row * p->width + q,
                     .k = in->heads + row * p->width + p->k + kv,
                     .v = in->heads + row * p->width + p->v + kv,
                     .dout = in->d_values + out,
                     .dq = in->d_qkv + row * p->width + q,
                     .dk = in->d_keys_of + out,
                     .dv = in->d_values_of + out,
                     .width = p->width,
                     .queries = in->queries,
                     .n = job->windows[window].n,
                     .dim = dim};
    float *memory = malloc(head_elements(h.n, dim) * sizeof *memory);

    if (!memory) {
        atomic_store(&job->failed, 1);
        return;
    }
    h.s = memory;
    h.d = h.s + h.n * QUERIES;
    h.turned = h.d + h.n * QUERIES;
    h.keys = h.turned + h.n * QUERIES;
    h.product = h.keys + h.n * dim;
    h.some = h.product + h.n * dim;
    turn(h.k, h.width, h.n, dim, h.keys);
    for (size_t i = 0; i < h.n; i++) {
        memset(h.dk + i * h.queries, 0, dim * sizeof *h.dk);
        memset(h.dv + i * h.queries, 0, dim * sizeof *h.dv);
    }
    for (size_t i = 0; i < h.n; i += QUERIES)
        do_block(job, &h, i, h.n - i < QUERIES ? h.n - i : QUERIES, scratch);
    free(memory);
}

/* --- Norms and rotations of heads --- */

static void head_back(const struct job *job, enum tp_norm_role norm, const float *cos,
                      const float *sin, const float *x, float *d)
{
    const struct tp_arch *a = job->in->arch;

    if (job->rope->dim)
        tp_rotate_halves(d, job->rope->dim, cos, sin);
    if (a->qk_norm)
        tp_norm_back_row(a, &job->layer->norms[norm], x, d, a->head_dim, d);
}

static void add_share(const struct tp_inside *in, const float *of, size_t row, uint32_t kv,
                      float *to)
{
    size_t dim = in->arch->head_dim;
    const float *from = of + row * in->queries + (size_t)kv * in->places.share * dim;

    memcpy(to, from, dim * sizeof *to);
    for (uint32_t i = 1; i < in->places.share; i++)
        tp_add(to, from + i * dim, dim, to);
}

/* Row AT of window number WINDOW. */
static void row_back(const struct job *job, const float *frequencies, size_t window, size_t at)
{
    struct tp_inside *in = job->in;
    const struct tp_places *p = &in->places;
    size_t row = job->rows[window] + at, dim = in->arch->head_dim;
    const float *x = in->qkv + row * p->width;
    float *d = in->d_qkv + row * p->width;
    float cos[TP_ROPE_DIM_MAX / 2], sin[TP_ROPE_DIM_MAX / 2];

    if (job->rope->dim)
        tp_rope_angles(job->rope, frequencies, at, cos, sin);
    for (uint32_t i = 0; i < job->rope->dim / 2; i++)
        sin[i] = -sin[i]; /* backwards */
    for (uint32_t i = 0; i < in->arch->kv_head_n; i++) {
        size_t q = p->q + i * p->q_step, k = p->k + i * p->kv_step;

        add_share(in, in->d_keys_of, row, i, d + k);
        add_share(in, in->d_values_of, row, i, d + p->v + i * p->kv_step);
        for (uint32_t j = 0; j < p->share; j++, q += dim)
            head_back(job, TP_NORM_Q, cos, sin, x + q, d + q);
        head_back(job, TP_NORM_K, cos, sin, x + k, d + k);
    }
}

static void window_back(void *arg, size_t window, void *scratch)
{
    const struct job *job = arg;
    float space[TP_ROPE_DIM_MAX / 2];
    const float *frequencies =
        job->rope->dim ? tp_rope_frequencies(job->rope, job->windows[window].n, space) : NULL;

    (void)scratch;
    for (size_t at = 0; at < job->windows[window].n; at++)
        row_back(job, frequencies, window, at);
}

int tp_attention_back(struct tp_inside *in, struct tp_runtime *rt, const struct tp_layer *layer,
                      const struct tp_window *windows, uint32_t n, struct tp_error *err)
{
    const struct tp_arch *a = in->arch;
    size_t *rows = calloc(n ? n : 1, sizeof *rows), row = 0;
    struct job job = {.in = in,
                      .rt = rt,
                      .layer = layer,
                      .windows = windows,
                      .rows = rows,
                      .attention = tp_pass_attention(a, layer->number),
                      .rope = &a->ropes[a->spans[layer->number]]};

    if (!rows)
        return tp_oom(err);
    for (uint32_t i = 0; i < n; row += windows[i++].n)
        rows[i] = row;
    tp_team_run(rt->team, (size_t)n * a->head_n, do_head, &job);
    tp_team_run(rt->team, n, window_back, &job);
    free(rows);
    return atomic_load(&job.failed) ? tp_fail(err, ENOMEM, "out of memory for attention") : 0;
}
