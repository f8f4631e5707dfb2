/* SPDX-License-Identifier: MIT */
/*
 * One layer of the forward pass. The rows of all windows go through it in groups, which bounds the
 * buffers: slices of windows with a cache, where earlier slices have left their keys and values,
 * and whole windows without one.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "codec/convert.h"
#include "base/memory.h"
#include "optimizer/runtime/runtime_impl.h"

enum {
    ROWS_PER_PART = 16, /* of norms, rotations and activations */
    QUERIES_PER_PART = 64,
};

/* Tokens of a window that are in the group. */
struct slice {
    uint32_t window;
    uint32_t first, n; /* tokens of the window */
    uint64_t position; /* of the first one in its sequence */
    size_t row;        /* of the first one in the group */
    size_t part;       /* the first part of the attention */
    const float *rope; /* frequencies */
};

struct pass {
    struct tp_runtime *rt;
    const struct tp_arch *arch;
    const struct tp_layer *layer;
    const struct tp_window *windows;
    struct tp_cache *cache;
    const struct tp_watch *watch;
    const struct tp_rope *rope;
    struct tp_attention attention; /* but for keys and values */
    struct tp_places places;
    size_t hidden, inter, gate_up; /* widths */

    struct slice *slices;
    size_t slice_n, row_n;
    /* Frequencies of slices: TP_ROPE_DIM_MAX / 2 for each; NULL: all are the model's. */
    float *ropes;
    float *x;     /* the rows' activations, the caller's */
    float *h, *a; /* row_n x hidden */
    float *qkv;   /* row_n x places.width */
    float *out;   /* row_n x queries */
    float *mlp;   /* at most TP_GROUP_ROWS x gate_up */
};

static void round_to(const struct pass *p, float *x, size_t n)
{
    if (p->rt->dtype != TP_DTYPE_F32)
        tp_round_to(p->rt->dtype, x, n, x);
}

/* --- Norms --- */

static void norm_row(const struct tp_runtime *rt, const struct tp_norm *norm, const float *x,
                     size_t n, float *dst)
{
    float epsilon = rt->arch.norm_epsilon;

    if (rt->arch.norm == TP_NORM_LAYER)
        tp_layer_norm(x, norm->weight, norm->bias, n, epsilon, dst);
    else if (rt->arch.norm == TP_NORM_RMS && rt->dtype != TP_DTYPE_F32)
        tp_rms_norm_rounded(rt->dtype, x, norm->weight, n, epsilon, dst);
    else
        tp_rms_norm(x, norm->weight, n, epsilon, rt->arch.norm == TP_NORM_RMS_PLUS_ONE, dst);
    if (rt->dtype != TP_DTYPE_F32)
        tp_round_to(rt->dtype, dst, n, dst);
}

struct norm_job {
    const struct tp_runtime *rt;
    const struct tp_norm *norm;
    const float *x;
    float *dst;
    size_t width, rows;
};

static void norm_part(void *arg, size_t part, void *scratch)
{
    const struct norm_job *job = arg;
    size_t end = (part + 1) * ROWS_PER_PART < job->rows ? (part + 1) * ROWS_PER_PART : job->rows;

    (void)scratch;
    for (size_t i = part * ROWS_PER_PART; i < end; i++)
        norm_row(job->rt, job->norm, job->x + i * job->width, job->width,
                 job->dst + i * job->width);
}

void tp_pass_norm(struct tp_runtime *rt, const struct tp_norm *norm, size_t width, size_t rows,
                  const float *x, float *dst)
{
    struct norm_job job = {rt, norm, x, dst, width, rows};

    tp_team_run(rt->team, (rows + ROWS_PER_PART - 1) / ROWS_PER_PART, norm_part, &job);
}

static void norm_rows(struct pass *p, enum tp_norm_role role, const float *x, float *dst,
                      size_t rows)
{
    tp_pass_norm(p->rt, &p->layer->norms[role], p->hidden, rows, x, dst);
}

void tp_pass_multiply(struct tp_runtime *rt, const struct tp_product *products, unsigned n,
                      const float *x, size_t x_stride, size_t rows)
{
    for (unsigned i = 0; i < n; i++) {
        const struct tp_linear *l = products[i].linear;
        uint64_t count = (uint64_t)rows * l->matrix.rows * l->matrix.cols;

        rt->multiplied += count;
        rt->multiplied_integers += tp_linear_of_integers(l, rt->products) ? count : 0;
    }
    tp_linear_multiply(rt->team, products, n, x, x_stride, rows, rt->products);
}

/* --- Queries, keys and values --- */

/* The slice that has row NUMBER of the group, or with PART part NUMBER of the attention. */
static const struct slice *find_slice(const struct pass *p, size_t number, bool part)
{
    size_t low = 0, high = p->slice_n;

    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        const struct slice *s = &p->slices[middle];

        if ((part ? s->part : s->row) <= number)
            low = middle;
        else
            high = middle;
    }
    return &p->slices[low];
}

/* A head of queries or keys: its norm, and its rotation by the row's angles. */
static void prepare_head(const struct pass *p, enum tp_norm_role norm, const float *cos,
                         const float *sin, float *head)
{
    if (p->arch->qk_norm)
        norm_row(p->rt, &p->layer->norms[norm], head, p->arch->head_dim, head);
    if (p->rope->dim) {
        tp_rotate_halves(head, p->rope->dim, cos, sin);
        round_to(p, head, p->rope->dim);
    }
}

static void store_head(const struct pass *p, const struct slice *s, uint64_t position,
                       uint32_t head, bool values, const float *x)
{
    const struct tp_cache *c = p->cache;
    size_t place = position % c->layers[p->layer->number].position_n;
    uint8_t *dst = tp_cache_head(c, p->layer->number, values, p->windows[s->window].sequence, head);

    tp_convert(c->dtype, dst + place * c->head_dim * c->element, TP_DTYPE_F32, x, c->head_dim);
}

static void prepare_row(const struct pass *p, size_t row)
{
    const struct tp_arch *a = p->arch;
    const struct slice *s = find_slice(p, row, false);
    uint64_t position = s->position + (row - s->row);
    float *x = p->qkv + row * p->places.width;
    float cos[TP_ROPE_DIM_MAX / 2], sin[TP_ROPE_DIM_MAX / 2];

    if (p->rope->dim) {
        tp_rope_angles(p->rope, s->rope, position, cos, sin);
        round_to(p, cos, p->rope->dim / 2);
        round_to(p, sin, p->rope->dim / 2);
    }
    for (uint32_t i = 0; i < a->kv_head_n; i++) {
        float *q = x + p->places.q + i * p->places.q_step;
        float *k = x + p->places.k + i * p->places.kv_step;
        float *v = x + p->places.v + i * p->places.kv_step;

        for (uint32_t j = 0; j < p->places.share; j++)
            prepare_head(p, TP_NORM_Q, cos, sin, q + (size_t)j * a->head_dim);
        prepare_head(p, TP_NORM_K, cos, sin, k);
        if (p->cache) {
            store_head(p, s, position, i, false, k);
            store_head(p, s, position, i, true, v);
        }
    }
}

static void prepare_part(void *arg, size_t part, void *scratch)
{
    const struct pass *p = arg;
    size_t end = (part + 1) * ROWS_PER_PART < p->row_n ? (part + 1) * ROWS_PER_PART : p->row_n;

    (void)scratch;
    for (size_t i = part * ROWS_PER_PART; i < end; i++)
        prepare_row(p, i);
}

/* --- Attention --- */

static size_t blocks_of(const struct slice *s)
{
    return (s->n + QUERIES_PER_PART - 1) / QUERIES_PER_PART;
}

static void attend_part(void *arg, size_t part, void *scratch)
{
    const struct pass *p = arg;
    const struct slice *s = find_slice(p, part, true);
    struct tp_attention a = p->attention;
    uint32_t head = (uint32_t)((part - s->part) / blocks_of(s));
    uint32_t first = (uint32_t)((part - s->part) % blocks_of(s)) * QUERIES_PER_PART;
    uint32_t n = s->n - first < QUERIES_PER_PART ? s->n - first : QUERIES_PER_PART;
    size_t queries = (size_t)p->arch->head_n * p->arch->head_dim;
    const float *q =
        p->qkv + (s->row + first) * p->places.width + p->places.q + head * p->places.q_step;
    float *out =
        p->out + (s->row + first) * queries + (size_t)head * p->places.share * p->arch->head_dim;

    if (p->cache) {
        uint32_t sequence = p->windows[s->window].sequence;
        a.keys = tp_cache_head(p->cache, p->layer->number, false, sequence, head);
        a.values = tp_cache_head(p->cache, p->layer->number, true, sequence, head);
    } else {
        const float *row = p->qkv + s->row * p->places.width + head * p->places.kv_step;
        a.keys = row + p->places.k;
        a.values = row + p->places.v;
    }
    tp_attend(&a, s->position + first, n, q, p->places.width, out, queries, scratch);
    for (uint32_t i = 0; i < n; i++)
        round_to(p, out + i * queries, (size_t)p->places.share * p->arch->head_dim);
}

static void attend(struct pass *p)
{
    size_t parts = 0;

    for (size_t i = 0; i < p->slice_n; i++) {
        p->slices[i].part = parts;
        parts += blocks_of(&p->slices[i]) * p->arch->kv_head_n;
    }
    tp_team_run(p->rt->team, parts, attend_part, p);
}

/* --- The steps of a group --- */

static void watch(const struct pass *p, enum tp_role role, const float *x, size_t rows,
                  size_t stride)
{
    if (p->watch && p->watch->input)
        p->watch->input(p->watch->arg, role, x, rows, stride, p->layer->linears[role].matrix.cols);
}

static void show_state(const struct pass *p, enum tp_stage stage, const float *x, size_t rows,
                       size_t width)
{
    if (p->watch && p->watch->state)
        p->watch->state(p->watch->arg, stage, x, rows, width);
}

static void multiply(struct pass *p, enum tp_role role, const float *x, size_t x_stride, float *y,
                     size_t rows)
{
    struct tp_product product = {&p->layer->linears[role], y, p->hidden};

    watch(p, role, x, rows, x_stride);
    tp_pass_multiply(p->rt, &product, 1, x, x_stride, rows);
}

static void multiply_qkv(struct pass *p)
{
    const struct tp_linear *l = p->layer->linears;
    size_t n = p->hidden, width = p->places.width;
    struct tp_product products[3] = {
        {&l[TP_ROLE_Q], p->qkv + p->places.q, width},
        {&l[TP_ROLE_K], p->qkv + p->places.k, width},
        {&l[TP_ROLE_V], p->qkv + p->places.v, width},
    };

    if (p->arch->qkv == TP_QKV_APART) {
        watch(p, TP_ROLE_Q, p->h, p->row_n, n);
        tp_pass_multiply(p->rt, products, 3, p->h, n, p->row_n);
        return;
    }
    products[0] = (struct tp_product){&l[TP_ROLE_QKV], p->qkv, width};
    watch(p, TP_ROLE_QKV, p->h, p->row_n, n);
    tp_pass_multiply(p->rt, products, 1, p->h, n, p->row_n);
}

struct add_job {
    const struct pass *p;
    const float *x, *y;
    float *dst;
    size_t rows;
};

static void add_part(void *arg, size_t part, void *scratch)
{
    const struct add_job *job = arg;
    size_t n = job->p->hidden;
    size_t end = (part + 1) * ROWS_PER_PART < job->rows ? (part + 1) * ROWS_PER_PART : job->rows;

    (void)scratch;
    for (size_t i = part * ROWS_PER_PART; i < end; i++) {
        tp_add(job->x + i * n, job->y + i * n, n, job->dst + i * n);
        round_to(job->p, job->dst + i * n, n);
    }
}

static void add_rows(struct pass *p, const float *x, const float *y, float *dst, size_t rows)
{
    struct add_job job = {p, x, y, dst, rows};

    tp_team_run(p->rt->team, (rows + ROWS_PER_PART - 1) / ROWS_PER_PART, add_part, &job);
}

static void activate(enum tp_activation activation, const float *x, const float *up, size_t n,
                     float *dst)
{
    switch (activation) {
    case TP_ACTIVATION_SILU:
        tp_silu(x, up, n, dst);
        break;
    case TP_ACTIVATION_GELU:
        tp_gelu(x, up, n, dst);
        break;
    case TP_ACTIVATION_GELU_TANH:
        tp_gelu_tanh(x, up, n, dst);
        break;
    }
}

struct activate_job {
    const struct pass *p;
    size_t rows;
};

static void activate_part(void *arg, size_t part, void *scratch)
{
    const struct activate_job *job = arg;
    const struct pass *p = job->p;
    size_t n = p->inter;
    size_t end = (part + 1) * ROWS_PER_PART < job->rows ? (part + 1) * ROWS_PER_PART : job->rows;

    (void)scratch;
    for (size_t i = part * ROWS_PER_PART; i < end; i++) {
        float *gate = p->mlp + i * p->gate_up, *up = p->arch->gated ? gate + n : NULL;
        bool apart = up && p->rt->dtype != TP_DTYPE_F32;

        activate(p->arch->activation, gate, apart ? NULL : up, n, gate);
        round_to(p, gate, n);
        if (apart) {
            for (size_t j = 0; j < n; j++)
                gate[j] *= up[j];
            round_to(p, gate, n);
        }
    }
}

/* ROWS rows from H through the MLP, back into H. */
static void run_mlp(struct pass *p, float *h, size_t rows)
{
    const struct tp_linear *l = p->layer->linears;
    size_t n = p->hidden, width = p->gate_up;
    struct tp_product products[2] = {
        {&l[TP_ROLE_GATE], p->mlp, width},
        {&l[TP_ROLE_UP], p->mlp + p->inter, width},
    };
    struct activate_job job = {p, rows};
    enum tp_role role = p->arch->gate_up_fused ? TP_ROLE_GATE_UP
                        : p->arch->gated       ? TP_ROLE_GATE
                                               : TP_ROLE_UP;
    bool two = p->arch->gated && !p->arch->gate_up_fused;

    if (!two)
        products[0].linear = &l[role];
    watch(p, role, h, rows, n);
    tp_pass_multiply(p->rt, products, two ? 2 : 1, h, n, rows);
    show_state(p, TP_STAGE_GATE_UP, p->mlp, rows, width);
    tp_team_run(p->rt->team, (rows + ROWS_PER_PART - 1) / ROWS_PER_PART, activate_part, &job);
    multiply(p, TP_ROLE_DOWN, p->mlp, width, h, rows);
    show_state(p, TP_STAGE_DOWN, h, rows, n);
    if (p->arch->sandwich_norms)
        norm_rows(p, TP_NORM_MLP_OUT, h, h, rows);
}

static void run_group(struct pass *p)
{
    const struct tp_arch *arch = p->arch;
    size_t queries = (size_t)arch->head_n * arch->head_dim;

    norm_rows(p, TP_NORM_INPUT, p->x, p->h, p->row_n);
    multiply_qkv(p);
    show_state(p, TP_STAGE_QKV, p->qkv, p->row_n, p->places.width);
    tp_team_run(p->rt->team, (p->row_n + ROWS_PER_PART - 1) / ROWS_PER_PART, prepare_part, p);
    show_state(p, TP_STAGE_HEADS, p->qkv, p->row_n, p->places.width);
    attend(p);
    multiply(p, TP_ROLE_O, p->out, queries, p->a, p->row_n);
    show_state(p, TP_STAGE_O, p->a, p->row_n, p->hidden);
    if (arch->sandwich_norms)
        norm_rows(p, TP_NORM_ATTENTION_OUT, p->a, p->a, p->row_n);
    if (!arch->parallel_residual)
        add_rows(p, p->x, p->a, p->x, p->row_n);
    norm_rows(p, TP_NORM_MLP, p->x, p->h, p->row_n);
    for (size_t i = 0; i < p->row_n; i += TP_GROUP_ROWS)
        run_mlp(p, p->h + i * p->hidden,
                p->row_n - i < TP_GROUP_ROWS ? p->row_n - i : TP_GROUP_ROWS);
    if (arch->parallel_residual)
        add_rows(p, p->h, p->a, p->h, p->row_n);
    add_rows(p, p->x, p->h, p->x, p->row_n);
}

/* --- Groups --- */

/* Elements of the buffers of a group of ROWS rows and as many slices. */
static bool buffer_elements(const struct tp_runtime *rt, uint64_t rows, uint64_t *out)
{
    const struct tp_arch *a = &rt->arch;
    uint64_t queries = (uint64_t)a->head_n * a->head_dim;
    uint64_t keys = (uint64_t)a->kv_head_n * a->head_dim;
    uint64_t mlp = (uint64_t)a->inter * (a->gated ? 2 : 1);

    if (!tp_mul_u64(rows, 2 * (uint64_t)a->hidden + 2 * queries + 2 * keys, out))
        return false;
    return tp_add_u64(*out, (rows < TP_GROUP_ROWS ? rows : TP_GROUP_ROWS) * mlp, out);
}

bool tp_pass_bytes(const struct tp_runtime *rt, uint64_t positions, bool cached, uint64_t *out)
{
    const struct tp_arch *a = &rt->arch;
    uint64_t rows = cached || positions < TP_GROUP_ROWS ? TP_GROUP_ROWS : positions;
    size_t queries = (size_t)a->head_n * a->head_dim, widest = a->inter;

    widest = widest > a->hidden ? widest : a->hidden;
    widest = widest > queries ? widest : queries;
    return buffer_elements(rt, rows, out) && tp_mul_u64(*out, sizeof(float), out) &&
           tp_add_u64(*out, rows * sizeof(struct slice) + tp_linear_space(widest, rt->products),
                      out);
}

/* Buffers for a group of ROWS rows; they are kept for the next pass. */
static int take_buffers(struct pass *p, size_t rows, struct tp_error *err)
{
    struct tp_runtime *owner = p->rt->owner;
    size_t queries = (size_t)p->arch->head_n * p->arch->head_dim;
    uint64_t elements;

    if (!buffer_elements(p->rt, rows, &elements) || elements > SIZE_MAX / 8)
        return tp_fail(err, ENOMEM, "out of memory for %zu rows of activations", rows);
    if (elements > owner->buffer_n) {
        free(owner->buffer);
        owner->buffer_n = 0;
        owner->buffer = tp_memory_alloc_huge(elements * sizeof(float));
        if (!owner->buffer)
            return tp_fail(err, ENOMEM, "out of memory for %zu rows of activations", rows);
        owner->buffer_n = (size_t)elements;
    }
    p->h = owner->buffer;
    p->a = p->h + rows * p->hidden;
    p->qkv = p->a + rows * p->hidden;
    p->out = p->qkv + rows * p->places.width;
    p->mlp = p->out + rows * queries;
    return 0;
}

void tp_pass_places(const struct tp_arch *a, struct tp_places *places)
{
    size_t queries = (size_t)a->head_n * a->head_dim, keys = (size_t)a->kv_head_n * a->head_dim;

    *places = (struct tp_places){.width = queries + 2 * keys, .share = a->head_n / a->kv_head_n};
    if (a->qkv == TP_QKV_BY_HEAD) {
        places->k = a->head_dim;
        places->v = 2 * (size_t)a->head_dim;
        places->q_step = places->kv_step = 3 * (size_t)a->head_dim;
    } else {
        places->k = queries;
        places->v = queries + keys;
        places->q_step = (size_t)places->share * a->head_dim;
        places->kv_step = a->head_dim;
    }
}

struct tp_attention tp_pass_attention(const struct tp_arch *a, uint32_t layer)
{
    return (struct tp_attention){
        .head_dim = a->head_dim,
        .heads = a->head_n / a->kv_head_n,
        .dtype = TP_DTYPE_F32,
        .scale = a->scale_by_layer ? a->attention_scale / (float)(layer + 1) : a->attention_scale,
        .cap = a->attention_cap,
        .window = a->spans[layer] == TP_SPAN_SLIDING ? a->window : 0,
    };
}

static void set_attention(struct pass *p)
{
    p->rope = &p->arch->ropes[p->arch->spans[p->layer->number]];
    p->attention = tp_pass_attention(p->arch, p->layer->number);
    p->attention.key_stride = p->attention.value_stride = p->places.width;
    if (p->cache) {
        p->attention.dtype = p->cache->dtype;
        p->attention.key_stride = p->attention.value_stride = p->arch->head_dim;
        if (p->cache->layers[p->layer->number].position_n < p->cache->position_n)
            p->attention.ring = p->cache->ring;
    }
}

/*
 * Take slices from token *AT of window *WINDOW on, until the group is full; both move on. The group
 * has at least one slice.
 */
static void fill_group(struct pass *p, uint32_t window_n, uint32_t *window, uint32_t *at)
{
    p->slice_n = p->row_n = 0;
    while (*window < window_n && p->row_n < TP_GROUP_ROWS) {
        const struct tp_window *w = &p->windows[*window];
        size_t left = TP_GROUP_ROWS - p->row_n;
        uint64_t before = p->cache ? p->cache->lengths[w->sequence] : 0;
        struct slice *s = &p->slices[p->slice_n];

        if (!p->cache && p->slice_n && w->n > left)
            break;
        *s = (struct slice){.window = *window, .first = *at, .n = w->n - *at, .row = p->row_n};
        if (p->cache && s->n > left)
            s->n = (uint32_t)left;
        s->position = before + *at;
        if (p->rope->dim)
            s->rope = tp_rope_frequencies(p->rope, before + w->n,
                                          p->ropes ? p->ropes + p->slice_n * (TP_ROPE_DIM_MAX / 2)
                                                   : NULL);
        p->slice_n++;
        p->row_n += s->n;
        *at += s->n;
        if (*at == w->n) {
            *at = 0;
            ++*window;
        }
    }
}

/* Rows of the largest group, and slices of any. */
static size_t most_rows(const struct tp_window *windows, uint32_t n, bool cached)
{
    size_t total = 0, longest = 0;

    for (uint32_t i = 0; i < n; i++) {
        total += windows[i].n;
        if (windows[i].n > longest)
            longest = windows[i].n;
    }
    if (cached || longest < TP_GROUP_ROWS)
        longest = TP_GROUP_ROWS;
    return total < longest ? total : longest;
}

int tp_pass_layer(struct tp_runtime *rt, const struct tp_layer *layer,
                  const struct tp_window *windows, uint32_t n, struct tp_cache *cache,
                  float *hidden, const struct tp_watch *watch, struct tp_error *err)
{
    struct pass p = {.rt = rt,
                     .arch = &rt->arch,
                     .layer = layer,
                     .windows = windows,
                     .cache = cache,
                     .watch = watch,
                     .x = hidden,
                     .hidden = rt->arch.hidden,
                     .inter = rt->arch.inter,
                     .gate_up = (size_t)rt->arch.inter * (rt->arch.gated ? 2 : 1)};
    size_t rows = most_rows(windows, n, cache != NULL);
    size_t slices = rows < n ? rows : n;
    uint32_t window = 0, at = 0;
    int rc;

    tp_pass_places(p.arch, &p.places);
    set_attention(&p);
    p.slices = malloc(slices * sizeof *p.slices);
    if (p.rope->kind == TP_ROPE_DYNAMIC)
        p.ropes = malloc(slices * (TP_ROPE_DIM_MAX / 2) * sizeof *p.ropes);
    rc = p.slices && (p.ropes || p.rope->kind != TP_ROPE_DYNAMIC) ? take_buffers(&p, rows, err)
                                                                  : tp_oom(err);
    while (rc == 0 && window < n) {
        rc = tp_runtime_check_cancel(rt, err);
        if (rc < 0)
            break;
        fill_group(&p, n, &window, &at);
        run_group(&p);
        p.x += p.row_n * p.hidden;
    }
    free(p.slices);
    free(p.ropes);
    return rc;
}
