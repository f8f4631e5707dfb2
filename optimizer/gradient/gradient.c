/* SPDX-License-Identifier: MIT */
/* The way forward, which keeps the input of each layer, and the way back. */
#include <config.h>

#include "optimizer/gradient/gradient.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
    uint64_t windows, group; /* of the text; that go through a layer together */
    /* Slot l: the input of layer l; LAYERS: the output of the last; LAYERS + 1: the gradient. */
    struct tp_kept kept;
    struct tp_inside inside;
    float *g, *space;
    uint32_t *tokens; /* of a group */
    struct tp_window *list;
};

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* --- Memory --- */

/* Bytes for a group of N windows. */
static uint64_t group_bytes(const struct passing *p, uint64_t n)
{
    const struct tp_arch *a = tp_runtime_arch(p->rt);
    uint64_t context = p->options->text->windows.context, rows = n * context;
    uint64_t bytes = tp_inside_bytes(a, rows);

    bytes = sum(bytes, rows * a->hidden * sizeof(float) + rows * sizeof *p->tokens);
    return sum(bytes, tp_layer_back_space(a, rows) * sizeof(float) + n * sizeof *p->list);
}

/* What is needed beside groups and what is kept. */
static uint64_t fixed_bytes(const struct passing *p)
{
    struct tp_runtime_need need;

    tp_runtime_need(p->rt, 1, p->options->text->windows.context, &need);
    return sum(
        sum(p->options->reserved, need.scratch),
        larger(need.largest_layer, sum(larger(need.embedding, need.head), tp_loss_bytes(p->rt))));
}

/* As many windows in a group as there is memory for, but no more rows than are useful. */
static int allocate(struct passing *p)
{
    const struct tp_windows *w = &p->options->text->windows;
    uint64_t left = tp_memory_left(p->options->memory), need = fixed_bytes(p), kept;
    uint64_t most = w->context < TP_GROUP_ROWS ? TP_GROUP_ROWS / w->context : 1;
    size_t window = (size_t)w->context * tp_runtime_arch(p->rt)->hidden, rows;
    char want[TP_SIZE_TEXT], have[TP_SIZE_TEXT];
    int rc;

    p->windows = w->n;
    p->group = most < w->n ? most : w->n;
    while (p->group > 1 && sum(need, group_bytes(p, p->group)) > left)
        p->group--;
    need = sum(need, group_bytes(p, p->group));
    if (need > left)
        return tp_fail(p->err, ENOMEM, "the gradients of a layer need %s of memory, and %s is left",
                       tp_size_print(need, want), tp_size_print(left, have));
    kept = tp_kept_bytes((uint64_t)p->layers + 2, p->windows, window);
    rc = tp_kept_create(&p->kept, (uint64_t)p->layers + 2, p->windows, window,
                        sum(need, kept) <= left, p->options->directory, p->err);
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

static int check_cancelled(const struct passing *p)
{
    const struct tp_progress *progress = p->options->progress;

    return progress && progress->cancel && atomic_load(progress->cancel)
               ? tp_fail(p->err, ECANCELED, "cancelled")
               : 0;
}

/* STEP of the 2 * LAYERS layers of both ways. */
static void show_progress(const struct passing *p, uint64_t step)
{
    const struct tp_progress *progress = p->options->progress;
    uint64_t bytes = tp_runtime_weight_bytes(p->rt);
    double done = (double)step / (2.0 * p->layers);

    if (progress && progress->update)
        progress->update(progress->arg, "gradient", (uint64_t)(done * (double)bytes), bytes);
}

/* The windows from FIRST on; their number. */
static uint32_t list_group(struct passing *p, uint64_t first)
{
    const struct tp_passage *text = p->options->text;
    uint64_t n = p->windows - first < p->group ? p->windows - first : p->group;

    for (uint64_t i = 0; i < n; i++)
        p->list[i] = tp_passage_window(text, first + i, p->tokens + i * text->windows.context);
    return (uint32_t)n;
}

/* What is done with the group of N windows from FIRST on. */
typedef int (*group_fn)(struct passing *p, const struct tp_layer *layer, uint64_t first,
                        uint32_t n);

static int for_groups(struct passing *p, const struct tp_layer *layer, group_fn fn)
{
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < p->windows; i += p->group) {
        rc = check_cancelled(p);
        if (rc == 0)
            rc = fn(p, layer, i, list_group(p, i));
    }
    return rc;
}

static int embed_group(struct passing *p, const struct tp_layer *layer, uint64_t first, uint32_t n)
{
    int rc = tp_runtime_embed(p->rt, p->list, n, p->g, p->err);

    (void)layer;
    return rc == 0 ? tp_kept_write(&p->kept, 0, first, n, p->g, p->err) : rc;
}

static int forward_group(struct passing *p, const struct tp_layer *layer, uint64_t first,
                         uint32_t n)
{
    int rc = tp_kept_read(&p->kept, layer->number, first, n, p->g, p->err);

    if (rc == 0)
        rc = tp_runtime_layer(p->rt, layer, p->list, n, p->g, NULL, p->err);
    return rc == 0 ? tp_kept_write(&p->kept, layer->number + 1, first, n, p->g, p->err) : rc;
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

static int do_layer(struct passing *p, uint32_t number, bool back)
{
    const struct tp_gradient_watch *w = p->watch;
    struct tp_layer layer = {0};
    int rc = tp_runtime_read_layer(p->rt, number, &layer, p->err);

    if (rc < 0)
        return rc;
    if (back && number > 0)
        tp_runtime_prefetch_layer(p->rt, number - 1);
    else if (!back)
        tp_runtime_prefetch_layer(p->rt, number + 1);
    if (back && w->begin)
        rc = w->begin(w->arg, &layer, p->err);
    if (rc == 0)
        rc = for_groups(p, &layer, back ? backward_group : forward_group);
    if (rc == 0 && back && w->end)
        rc = w->end(w->arg, &layer, p->err);
    tp_layer_clear(&layer);
    return rc;
}

static int do_pass(struct passing *p)
{
    int rc = for_groups(p, NULL, embed_group);

    tp_runtime_drop_ends(p->rt);
    for (uint32_t i = 0; rc == 0 && i < p->layers; i++) {
        show_progress(p, i);
        rc = do_layer(p, i, false);
    }
    if (rc == 0)
        rc = for_groups(p, NULL, loss_group);
    tp_runtime_drop_ends(p->rt);
    for (uint32_t i = p->layers; rc == 0 && i-- > 0;) {
        show_progress(p, 2 * (uint64_t)p->layers - i - 1);
        rc = do_layer(p, i, true);
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
                        .kept.fd = -1};
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
    tp_inside_clear(&p.inside);
    free(p.g);
    free(p.space);
    free(p.tokens);
    free(p.list);
    return rc;
}
