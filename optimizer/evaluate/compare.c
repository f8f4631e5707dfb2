/* SPDX-License-Identifier: MIT */
/* Models on a text, side by side. */
#include <config.h>

#include "optimizer/evaluate/compare.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/size.h"
#include "optimizer/kernel/kernel.h"

#define GROUP_ROWS 1024u /* rows of a group at least, where all weights are in memory */
#define BLOCK_BYTES ((size_t)64 << 20) /* logits of the reference that are kept at a time */

/* One scored token. */
struct row {
    double log_likelihood, divergence;
    bool same_top;
};

/* The same of the reference. */
struct reference_row {
    double sum, log_likelihood;
    size_t top;
};

/* A model that takes part: the reference, or one of the compared. */
struct part {
    struct tp_subject *subject;
    float *hidden; /* activations of a group */
};

struct comparing {
    struct tp_comparison *out;
    struct tp_error *err;
    uint64_t first, n;  /* windows */
    uint64_t group;     /* windows of a group at most */
    uint32_t block;     /* rows of a block at most */
    struct part *parts; /* the reference, where there is one, before the others */
    size_t part_n;
    struct tp_window *windows;
    uint32_t *tokens; /* of a group, GROUP * context */
    float *logits;    /* of a block, the reference's */
    struct row *rows; /* of a block */
    struct reference_row *reference_rows;
    const uint32_t *targets; /* of the block's rows: the tokens that follow them */
    uint32_t vocab;
};

void tp_tally_clear(struct tp_tally *tally)
{
    free(tally->divergences);
    *tally = (struct tp_tally){0};
}

double tp_tally_divergence_p99(struct tp_tally *tally)
{
    tp_values_sort(tally->divergences, tally->divergence.n);
    return tp_values_percentile(tally->divergences, tally->divergence.n, 99);
}

/* The runtime that has its embedding and head. */
static struct tp_runtime *ends_of(const struct tp_subject *s)
{
    return s->ends ? s->ends : s->runtime;
}

/* --- Scoring --- */

/* Row AT of the block. Called from several threads, with different rows. */
static int keep_row(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    struct comparing *c = arg;
    struct reference_row *row = &c->reference_rows[at];

    (void)window;
    row->sum = tp_log_sum_exp(logits, c->vocab);
    row->log_likelihood = (double)logits[c->targets[at]] - row->sum;
    row->top = tp_arg_max(logits, c->vocab);
    memcpy(c->logits + (size_t)at * c->vocab, logits, c->vocab * sizeof *logits);
    return isfinite(row->log_likelihood) ? 0 : -EDOM;
}

static int score_row(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    struct comparing *c = arg;
    struct row *row = &c->rows[at];
    double sum = tp_log_sum_exp(logits, c->vocab);

    (void)window;
    row->log_likelihood = (double)logits[c->targets[at]] - sum;
    if (!isfinite(row->log_likelihood))
        return -EDOM;
    if (!c->out->reference)
        return 0;
    row->divergence = tp_kl_divergence(c->logits + (size_t)at * c->vocab, c->reference_rows[at].sum,
                                       logits, sum, c->vocab);
    row->same_top = tp_arg_max(logits, c->vocab) == c->reference_rows[at].top;
    return isfinite(row->divergence) ? 0 : -EDOM;
}

static void add_rows(const struct comparing *c, struct tp_tally *t, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct row *row = &c->rows[i];

        tp_mean_add(&t->log_likelihood, row->log_likelihood);
        if (!c->out->reference)
            continue;
        t->divergences[t->divergence.n] = row->divergence;
        tp_mean_add(&t->reference_log_likelihood, c->reference_rows[i].log_likelihood);
        tp_mean_add(&t->difference, row->log_likelihood - c->reference_rows[i].log_likelihood);
        tp_mean_add(&t->divergence, row->divergence);
        tp_mean_add(&t->same_top, row->same_top);
    }
}

/* The rows of one model, whose activations begin at HIDDEN. */
static int score_model(struct comparing *c, const struct tp_compared *model,
                       const struct tp_window *window, const float *hidden)
{
    int rc = 0;

    if (model->tally->not_finite)
        return 0;
    if (model->same)
        for (uint32_t i = 0; i < window->n; i++)
            c->rows[i] = (struct row){.log_likelihood = c->reference_rows[i].log_likelihood,
                                      .same_top = true};
    else
        rc = tp_runtime_logits(ends_of(model->subject), window, 1, hidden, score_row, c, c->err);
    if (rc == -EDOM) {
        model->tally->not_finite = true;
        return 0;
    }
    if (rc == 0)
        add_rows(c, model->tally, window->n);
    return rc;
}

static const float *row_of(const struct part *part, size_t row)
{
    return part->hidden + row * tp_runtime_arch(part->subject->runtime)->hidden;
}

/* N rows of activations from row ROW of the group on. */
static int score_block(struct comparing *c, const uint32_t *tokens, uint32_t n, size_t row)
{
    struct tp_window window = {.tokens = tokens, .n = n};
    const struct tp_comparison *out = c->out;
    size_t before = out->reference ? 1 : 0;
    int rc = 0;

    c->targets = tokens + 1;
    if (out->reference)
        rc = tp_runtime_logits(ends_of(out->reference), &window, 1, row_of(&c->parts[0], row),
                               keep_row, c, c->err);
    if (rc == -EDOM)
        return tp_fail(
            c->err, EDOM,
            "'%s' computes a logit that is not a finite number: its weights are damaged, "
            "or too large for this dtype",
            out->reference->name);
    for (size_t i = 0; rc == 0 && i < out->n; i++)
        rc = score_model(c, &out->models[i], &window, row_of(&c->parts[before + i], row));
    return rc;
}

/* Window I of the group, which is at PLACE in the text. */
static int score_window(struct comparing *c, const struct tp_window *window,
                        const struct tp_window_place *place, size_t first_row)
{
    uint32_t first = place->first - 1, rows = window->n - 1 - first;
    uint32_t blocks = (rows + c->block - 1) / c->block, n;
    int rc = 0;

    /* Row AT predicts the token after it. Blocks are about equal: each reads all of the head. */
    for (uint32_t at = first; rc == 0 && at < first + rows; at += n) {
        n = (rows + blocks - 1) / blocks;
        if (n > first + rows - at)
            n = first + rows - at;
        rc = score_block(c, window->tokens + at, n, first_row + at);
    }
    return rc;
}

/* --- The forward pass --- */

/* WINDOWS of all of the text are done, in fractions too. */
static void show_progress(const struct comparing *c, double windows)
{
    const struct tp_passage *passage = c->out->passage;
    double part = windows / (double)passage->windows.n;

    tp_progress_update(c->out->progress, "evaluate", (uint64_t)(part * (double)passage->bytes),
                       passage->bytes);
}

static bool is_computed(const struct comparing *c, size_t part)
{
    size_t before = c->out->reference ? 1 : 0;
    const struct tp_compared *model = part < before ? NULL : &c->out->models[part - before];

    return !model || (!model->same && !model->tally->not_finite);
}

/* The next part after PART that is computed; PART_N: none. */
static size_t next_part(const struct comparing *c, size_t part)
{
    do
        part++;
    while (part < c->part_n && !is_computed(c, part));
    return part;
}

static int name_part(const struct part *part, int rc, struct tp_error *err)
{
    if (rc < 0 && rc != -ECANCELED)
        tp_error_prefix(err, "'%s'", part->subject->name);
    return rc;
}

/* The first step, for N windows. Embeddings are in memory one after the other. */
static int embed_parts(struct comparing *c, uint32_t n)
{
    size_t next;
    int rc = 0;

    for (size_t i = next_part(c, SIZE_MAX); rc == 0 && i < c->part_n; i = next) {
        struct tp_runtime *ends = ends_of(c->parts[i].subject);

        rc = name_part(&c->parts[i],
                       tp_runtime_embed(ends, c->windows, n, c->parts[i].hidden, c->err), c->err);
        next = next_part(c, i);
        if (c->out->streamed && (next == c->part_n || ends_of(c->parts[next].subject) != ends))
            tp_runtime_drop_ends(ends);
    }
    return rc;
}

/* Layer NUMBER of a part, for N windows. NEXT is read after it, or NULL. */
static int compute_layer(struct comparing *c, const struct part *part, uint32_t number, uint32_t n,
                         const struct part *next, uint32_t next_number)
{
    struct tp_runtime *rt = part->subject->runtime;
    struct tp_layer *loaded = tp_runtime_loaded_layer(rt, number), own = {0};
    int rc = tp_progress_check(c->out->progress, c->err);

    if (rc == 0 && !loaded)
        rc = tp_runtime_read_layer(rt, number, &own, c->err);
    if (rc == 0 && next && !loaded)
        tp_runtime_prefetch_layer(next->subject->runtime, next_number);
    if (rc == 0)
        rc =
            tp_runtime_layer(rt, loaded ? loaded : &own, c->windows, n, part->hidden, NULL, c->err);
    if (!loaded)
        tp_layer_clear(&own);
    return name_part(part, rc, c->err);
}

/* All layers for N windows, the parts side by side. Parts may have unequal numbers of layers. */
static int compute_layers(struct comparing *c, double done, uint32_t n)
{
    size_t first = next_part(c, SIZE_MAX);
    uint32_t layers = 0;
    int rc = 0;

    for (size_t i = 0; i < c->part_n; i++) {
        uint32_t own = tp_runtime_arch(c->parts[i].subject->runtime)->layer_n;

        layers = own > layers ? own : layers;
    }
    for (uint32_t l = 0; rc == 0 && l < layers; l++)
        for (size_t i = first; rc == 0 && i < c->part_n; i = next_part(c, i)) {
            size_t next = next_part(c, i);
            bool last = next == c->part_n;

            show_progress(c, done + n * (l + (double)i / (double)c->part_n) / layers);
            if (l < tp_runtime_arch(c->parts[i].subject->runtime)->layer_n)
                rc = compute_layer(c, &c->parts[i], l, n, &c->parts[last ? first : next],
                                   last ? l + 1 : l);
        }
    return rc;
}

static void drop_heads(struct comparing *c)
{
    for (size_t i = 0; c->out->streamed && i < c->part_n; i++)
        tp_runtime_drop_ends(ends_of(c->parts[i].subject));
}

/* N windows from number FIRST on. */
static int compare_group(struct comparing *c, uint64_t first, uint32_t n)
{
    const struct tp_passage *passage = c->out->passage;
    size_t row = 0;
    int rc;

    for (uint32_t i = 0; i < n; i++)
        c->windows[i] =
            tp_passage_window(passage, first + i, c->tokens + (size_t)i * passage->windows.context);
    rc = embed_parts(c, n);
    if (rc == 0)
        rc = compute_layers(c, (double)first, n);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        struct tp_window_place place = tp_windows_place(&passage->windows, first + i);

        rc = tp_progress_check(c->out->progress, c->err);
        if (rc == 0)
            rc = score_window(c, &c->windows[i], &place, row);
        row += c->windows[i].n;
    }
    drop_heads(c);
    c->out->tokens += row;
    c->out->groups++;
    return rc;
}

static int compare_all(struct comparing *c)
{
    double began = tp_seconds();
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < c->n; i += c->group) {
        uint64_t n = c->n - i < c->group ? c->n - i : c->group;

        rc = compare_group(c, c->first + i, (uint32_t)n);
    }
    if (rc == 0)
        show_progress(c, (double)(c->first + c->n));
    c->out->seconds += tp_seconds() - began;
    return rc;
}

/* --- Memory --- */

struct plan {
    uint64_t loaded;        /* all weights */
    uint64_t step, heads;   /* streamed: the largest of embeddings and layers; all heads */
    uint64_t scratch;       /* of the pass; of runtimes that share it once */
    uint64_t fixed, window; /* beside these: whatever the group, and of each window of a group */
};

static void add_need(const struct comparing *c, struct plan *plan, size_t part)
{
    const struct tp_subject *s = c->parts[part].subject;
    struct tp_runtime_need need, ends;
    bool same_ends = false, same_team = false;

    for (size_t i = 0; i < part; i++) {
        const struct tp_subject *other = c->parts[i].subject;

        if (!is_computed(c, i))
            continue;
        same_ends |= ends_of(other) == ends_of(s);
        same_team |= tp_runtime_team(other->runtime) == tp_runtime_team(s->runtime);
    }
    tp_runtime_need(s->runtime, 1, c->out->passage->windows.context, &need);
    tp_runtime_need(ends_of(s), 1, c->out->passage->windows.context, &ends);
    plan->loaded = tp_sum_u64(plan->loaded, need.all_weights);
    plan->step = tp_max_u64(plan->step, tp_max_u64(ends.embedding, need.largest_layer));
    if (!same_ends)
        plan->heads = tp_sum_u64(plan->heads, ends.head);
    plan->scratch = same_team ? tp_max_u64(plan->scratch, need.scratch)
                              : tp_sum_u64(plan->scratch, need.scratch);
    plan->window = tp_sum_u64(plan->window, need.activations);
}

static uint64_t count_group(const struct plan *plan, uint64_t weights, uint64_t left)
{
    uint64_t used = tp_sum_u64(tp_sum_u64(plan->fixed, plan->scratch), weights);

    return used < left ? (left - used) / plan->window : 0;
}

static uint32_t block_rows(const struct comparing *c)
{
    size_t rows = BLOCK_BYTES / (c->vocab * sizeof(float));

    if (rows < 8)
        rows = 8;
    return rows < c->out->passage->windows.context ? (uint32_t)rows
                                                   : c->out->passage->windows.context;
}

/* Decides how much is done at a time. */
static int plan_memory(struct comparing *c)
{
    uint32_t context = c->out->passage->windows.context;
    uint64_t left = tp_memory_left(c->out->memory), streamed, wanted;
    char need[TP_SIZE_TEXT], have[TP_SIZE_TEXT];
    struct plan plan = {.window = context * sizeof *c->tokens + sizeof *c->windows};

    c->block = block_rows(c);
    plan.fixed = c->block * (sizeof *c->rows + sizeof *c->reference_rows);
    for (size_t i = 0; i < c->part_n; i++)
        if (is_computed(c, i))
            add_need(c, &plan, i);
    if (c->out->reference)
        plan.fixed = tp_sum_u64(plan.fixed, (uint64_t)c->block * c->vocab * sizeof(float));
    streamed = tp_max_u64(plan.step, plan.heads);
    c->group = c->out->stream ? 0 : count_group(&plan, plan.loaded, left);
    c->out->streamed = c->group == 0;
    if (c->out->streamed)
        c->group = count_group(&plan, streamed, left);
    else if (c->group > (GROUP_ROWS + context - 1) / context)
        c->group = (GROUP_ROWS + context - 1) / context;
    if (c->group > c->n)
        c->group = c->n;
    if (c->group > UINT32_MAX)
        c->group = UINT32_MAX;
    if (c->group > 0 || c->n == 0)
        return 0;
    wanted = tp_sum_u64(tp_sum_u64(plan.fixed, plan.scratch), tp_sum_u64(streamed, plan.window));
    return tp_fail(c->err, ENOMEM,
                   "one window of %" PRIu32 " tokens needs %s of memory, and %s is left", context,
                   tp_size_print(wanted, need), tp_size_print(left, have));
}

/* The divergences of the tokens that are scored in this call. */
static int grow_tallies(struct comparing *c)
{
    uint64_t scored = 0;

    for (uint64_t i = 0; i < c->n; i++) {
        struct tp_window_place place = tp_windows_place(&c->out->passage->windows, c->first + i);

        scored += place.len - place.first;
    }
    for (size_t i = 0; c->out->reference && i < c->out->n; i++) {
        struct tp_tally *t = c->out->models[i].tally;
        uint64_t n = t->divergence.n + scored;
        double *grown =
            n < SIZE_MAX / 16 ? realloc(t->divergences, (n ? n : 1) * sizeof *grown) : NULL;

        if (!grown)
            return -ENOMEM;
        t->divergences = grown;
    }
    return 0;
}

static int allocate_parts(struct comparing *c)
{
    const struct tp_comparison *o = c->out;
    size_t n = 0;

    c->parts = calloc(o->n + 1, sizeof *c->parts);
    if (!c->parts)
        return tp_oom(c->err);
    if (o->reference)
        c->parts[n++].subject = o->reference;
    for (size_t i = 0; i < o->n; i++)
        c->parts[n++].subject = o->models[i].subject;
    c->part_n = n;
    c->vocab = tp_runtime_arch(c->parts[0].subject->runtime)->vocab;
    return 0;
}

static int allocate(struct comparing *c)
{
    uint64_t rows;
    bool failed = !tp_mul_u64(c->group, c->out->passage->windows.context, &rows);

    if (!failed) {
        c->windows = calloc((size_t)c->group, sizeof *c->windows);
        c->tokens = calloc(rows, sizeof *c->tokens);
        c->rows = calloc(c->block, sizeof *c->rows);
        c->reference_rows = calloc(c->block, sizeof *c->reference_rows);
        failed = !c->windows || !c->tokens || !c->rows || !c->reference_rows;
    }
    for (size_t i = 0; !failed && i < c->part_n; i++) {
        size_t width = tp_runtime_arch(c->parts[i].subject->runtime)->hidden;

        if (!is_computed(c, i))
            continue;
        c->parts[i].hidden = tp_memory_alloc_huge(rows * width * sizeof(float));
        failed = !c->parts[i].hidden;
    }
    if (!failed && c->out->reference) {
        c->logits = calloc(c->block, c->vocab * sizeof(float));
        failed = !c->logits || grow_tallies(c) < 0;
    }
    return failed ? tp_fail(c->err, ENOMEM, "out of memory for the activations") : 0;
}

static int load(struct comparing *c)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && !c->out->streamed && i < c->part_n; i++)
        rc = tp_subject_load(c->parts[i].subject, c->out->progress, c->err);
    return rc;
}

int tp_compare(struct tp_comparison *comparison, uint64_t first, uint64_t n, struct tp_error *err)
{
    struct comparing c = {.out = comparison, .err = err, .first = first, .n = n};
    int rc = allocate_parts(&c);

    if (rc == 0)
        rc = tp_progress_check(comparison->progress, err);
    if (rc == 0)
        rc = plan_memory(&c);
    if (rc == 0)
        rc = allocate(&c);
    if (rc == 0)
        rc = load(&c);
    if (rc == 0)
        rc = compare_all(&c);
    for (size_t i = 0; i < c.part_n; i++)
        free(c.parts[i].hidden);
    free(c.parts);
    free(c.windows);
    free(c.tokens);
    free(c.logits);
    free(c.rows);
    free(c.reference_rows);
    return rc;
}
