/* SPDX-License-Identifier: MIT */
/* The way forward, which keeps the input of each layer, and the way back. */
#include <config.h>

#include "optimizer/gradient/gradient.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/size.h"
#include "optimizer/gradient/gradient_impl.h"

struct passing {
    struct tp_runtime *rt;
    const struct tp_gradient_options *options;
    const struct tp_gradient_watch *watch;
    struct tp_gradient_result *result;
    struct tp_error *err;
    uint32_t layers;
    uint64_t windows, back; /* of the text; those that take the way back */
    uint64_t group;         /* that go through a layer together */
    /* Slot l: the input of layer l; LAYERS: the output of the last; LAYERS + 1: the gradient. */
    struct tp_kept kept;
    struct tp_kept rest; /* of the windows after BACK: one slot */
    struct tp_inside inside;
    const struct tp_watch *inputs; /* of the layer on the way forward */
    float *g, *space;
    uint32_t *tokens; /* of a group */
    struct tp_window *list;
};

/* --- Memory --- */

/* Bytes for a group of N windows. */
static uint64_t group_bytes(const struct passing *p, uint64_t n)
{
    const struct tp_arch *a = tp_runtime_arch(p->rt);
    uint64_t context = p->options->text->windows.context, rows = n * context;
    uint64_t bytes = tp_inside_bytes(a, rows);

    bytes = tp_sum_u64(bytes, rows * a->hidden * sizeof(float) + rows * sizeof *p->tokens);
    return tp_sum_u64(bytes, tp_layer_back_space(a, rows) * sizeof(float) + n * sizeof *p->list);
}

/* What is needed beside groups and what is kept. */
static uint64_t fixed_bytes(const struct passing *p)
{
    uint32_t context = p->options->text->windows.context;
    struct tp_runtime_need need;

    tp_runtime_need(p->rt, 1, context, &need);
    need.scratch =
        tp_sum_u64(need.scratch, tp_runtime_threads(p->rt) *
                                     tp_attention_back_bytes(tp_runtime_arch(p->rt), context));
    need.head = tp_sum_u64(tp_max_u64(need.embedding, need.head), tp_loss_bytes(p->rt));
    return tp_sum_u64(tp_sum_u64(p->options->reserved, need.scratch),
                      tp_max_u64(need.largest_layer, need.head));
}

/* As many windows in a group as there is memory for, but no more rows than are useful. */
static int allocate(struct passing *p)
{
    const struct tp_windows *w = &p->options->text->windows;
    uint64_t left = tp_memory_left(p->options->memory), need = fixed_bytes(p);
    uint64_t slots = (uint64_t)p->layers + 2, kept;
    bool in_memory;
    uint64_t most = w->context < TP_GROUP_ROWS ? TP_GROUP_ROWS / w->context : 1;
    uint64_t windows = p->options->windows, back = p->options->back;
    size_t window = (size_t)w->context * tp_runtime_arch(p->rt)->hidden, rows;
    char want[TP_SIZE_TEXT], have[TP_SIZE_TEXT];
    int rc;

    p->windows = windows && windows < w->n ? windows : w->n;
    p->back = back && back < p->windows ? back : p->windows;
    p->group = most < p->windows ? most : p->windows;
    while (p->group > 1 && tp_sum_u64(need, group_bytes(p, p->group)) > left)
        p->group--;
    need = tp_sum_u64(need, group_bytes(p, p->group));
    if (need > left)
        return tp_fail(p->err, ENOMEM, "the gradients of a layer need %s of memory, and %s is left",
                       tp_size_print(need, want), tp_size_print(left, have));
    kept = tp_sum_u64(tp_kept_bytes(slots, p->back, window),
                      tp_kept_bytes(1, p->windows - p->back, window));
    in_memory = tp_sum_u64(need, kept) <= left;
    rc = tp_kept_create(&p->kept, slots, p->back, window, in_memory, p->options->directory, p->err);
    if (rc == 0 && p->back < p->windows)
        rc = tp_kept_create(&p->rest, 1, p->windows - p->back, window, in_memory,
                            p->options->directory, p->err);
    rows = (size_t)(p->group * w->context);
    if (rc == 0)
        rc = tp_inside_create(tp_runtime_arch(p->rt), rows, &p->inside, p->err);
    if (rc < 0)
        return rc;
    p->g = malloc(p->group * window * sizeof *p->g);
    p->space = malloc(tp_layer_back_space(tp_runtime_arch(p->rt), rows) * sizeof *p->space);
    p->tokens = malloc(rows * sizeof *p->tokens);
    p->list = malloc(p->group * sizeof *p->list);
    return p->g && p->space && p->tokens && p->list ? 0 : tp_oom(p->err);
}

/* --- Groups --- */

/* STEP of the 2 * LAYERS layers of both ways. */
static void show_progress(const struct passing *p, uint64_t step)
{
    uint64_t bytes = tp_runtime_weight_bytes(p->rt);
    double done = (double)step / (2.0 * p->layers);

    tp_progress_update(p->options->progress, "gradient", (uint64_t)(done * (double)bytes), bytes);
}

/* The N windows from FIRST on. */
static void list_group(struct passing *p, uint64_t first, uint64_t n)
{
    const struct tp_passage *text = p->options->text;

    for (uint64_t i = 0; i < n; i++)
        p->list[i] = tp_passage_window(text, first + i, p->tokens + i * text->windows.context);
}

/* What is done with the group of N windows from FIRST on. */
typedef int (*group_fn)(struct passing *p, const struct tp_layer *layer, uint64_t first,
                        uint32_t n);

/* The windows FIRST to END - 1. */
static int for_groups(struct passing *p, const struct tp_layer *layer, uint64_t first, uint64_t end,
                      group_fn fn)
{
    int rc = 0;

    for (uint64_t i = first; rc == 0 && i < end; i += p->group) {
        uint64_t n = end - i < p->group ? end - i : p->group;

        rc = tp_progress_check(p->options->progress, p->err);
        list_group(p, i, n);
        if (rc == 0)
            rc = fn(p, layer, i, (uint32_t)n);
    }
    return rc;
}

/* The inputs of layer NUMBER of a group, which lies on one side of BACK. */
static int read_inputs(struct passing *p, uint32_t number, uint64_t first, uint32_t n)
{
    return first < p->back ? tp_kept_read(&p->kept, number, first, n, p->g, p->err)
                           : tp_kept_read(&p->rest, 0, first - p->back, n, p->g, p->err);
}

static int write_inputs(struct passing *p, uint32_t number, uint64_t first, uint32_t n)
{
    return first < p->back ? tp_kept_write(&p->kept, number, first, n, p->g, p->err)
                           : tp_kept_write(&p->rest, 0, first - p->back, n, p->g, p->err);
}

static int embed_group(struct passing *p, const struct tp_layer *layer, uint64_t first, uint32_t n)
{
    int rc = tp_runtime_embed(p->rt, p->list, n, p->g, p->err);

    (void)layer;
    return rc == 0 ? write_inputs(p, 0, first, n) : rc;
}

static int forward_group(struct passing *p, const struct tp_layer *layer, uint64_t first,
                         uint32_t n)
{
    int rc = read_inputs(p, layer->number, first, n);

    if (rc == 0)
        rc = tp_runtime_layer(p->rt, layer, p->list, n, p->g, p->inputs, p->err);
    return rc == 0 ? write_inputs(p, layer->number + 1, first, n) : rc;
}

/* All windows. */
static int forward_groups(struct passing *p, const struct tp_layer *layer, group_fn fn)
{
    int rc = for_groups(p, layer, 0, p->back, fn);

    return rc == 0 ? for_groups(p, layer, p->back, p->windows, fn) : rc;
}

static int loss_group(struct passing *p, const struct tp_layer *layer, uint64_t first, uint32_t n)
{
    int rc = tp_kept_read(&p->kept, p->layers, first, n, p->inside.x, p->err);

    (void)layer;
    if (rc == 0)
        rc = tp_loss_back(p->rt, p->list, n, p->inside.x, p->g, &p->result->nll, &p->result->tokens,
                          p->err);
    return rc == 0 ? tp_kept_write(&p->kept, (uint64_t)p->layers + 1, first, n, p->g, p->err) : rc;
}

static int backward_group(struct passing *p, const struct tp_layer *layer, uint64_t first,
                          uint32_t n)
{
    uint64_t gradient = (uint64_t)p->layers + 1;
    int rc = tp_kept_read(&p->kept, layer->number, first, n, p->inside.x, p->err);

    if (rc == 0)
        rc = tp_kept_read(&p->kept, gradient, first, n, p->g, p->err);
    if (rc == 0)
        rc = tp_layer_back(&p->inside, p->rt, layer, p->list, n, p->g, p->space, p->watch, p->err);
    return rc == 0 ? tp_kept_write(&p->kept, gradient, first, n, p->g, p->err) : rc;
}

/* --- Both ways --- */

static int forward_layer(struct passing *p, const struct tp_layer *layer)
{
    const struct tp_gradient_watch *w = p->watch;
    int rc = 0;

    tp_runtime_prefetch_layer(p->rt, layer->number + 1);
    p->inputs = NULL;
    if (w->forward)
        rc = w->forward(w->arg, layer, &p->inputs, p->err);
    if (rc == 0)
        rc = forward_groups(p, layer, forward_group);
    return rc == 0 && w->forward_end ? w->forward_end(w->arg, layer, p->err) : rc;
}

static int backward_layer(struct passing *p, const struct tp_layer *layer)
{
    const struct tp_gradient_watch *w = p->watch;
    int rc = 0;

    if (layer->number > 0)
        tp_runtime_prefetch_layer(p->rt, layer->number - 1);
    if (w->begin)
        rc = w->begin(w->arg, layer, p->err);
    if (rc == 0)
        rc = for_groups(p, layer, 0, p->back, backward_group);
    return rc == 0 && w->end ? w->end(w->arg, layer, p->err) : rc;
}

static int do_layer(struct passing *p, uint32_t number,
                    int (*fn)(struct passing *p, const struct tp_layer *layer))
{
    struct tp_layer layer = {0};
    int rc = tp_runtime_read_layer(p->rt, number, &layer, p->err);

    if (rc == 0)
        rc = fn(p, &layer);
    tp_layer_clear(&layer);
    return rc;
}

static int do_pass(struct passing *p)
{
    int rc = forward_groups(p, NULL, embed_group);

    tp_runtime_drop_ends(p->rt);
    for (uint32_t i = 0; rc == 0 && i < p->layers; i++) {
        show_progress(p, i);
        rc = do_layer(p, i, forward_layer);
    }
    if (rc == 0)
        rc = for_groups(p, NULL, 0, p->back, loss_group);
    tp_runtime_drop_ends(p->rt);
    for (uint32_t i = p->layers; rc == 0 && i-- > 0;) {
        show_progress(p, 2 * (uint64_t)p->layers - i - 1);
        rc = do_layer(p, i, backward_layer);
    }
    return rc;
}

int tp_gradient_pass(struct tp_runtime *rt, const struct tp_gradient_options *options,
                     const struct tp_gradient_watch *watch, struct tp_gradient_result *out,
                     struct tp_error *err)
{
    struct passing p = {.rt = rt,
                        .options = options,
                        .watch = watch,
                        .result = out,
                        .err = err,
                        .layers = tp_runtime_arch(rt)->layer_n,
                        .kept.fd = -1,
                        .rest.fd = -1};
    double began = tp_seconds();
    int rc;

    *out = (struct tp_gradient_result){0};
    if (rt->dtype != TP_DTYPE_F32)
        return tp_fail(err, EINVAL, "gradients are computed in fp32 only");
    rc = allocate(&p);
    if (rc == 0)
        rc = do_pass(&p);
    if (rc == 0)
        out->nll /= (double)out->tokens;
    out->seconds = tp_seconds() - began;
    tp_kept_clear(&p.kept);
    tp_kept_clear(&p.rest);
    tp_inside_clear(&p.inside);
    free(p.g);
    free(p.space);
    free(p.tokens);
    free(p.list);
    return rc;
}
