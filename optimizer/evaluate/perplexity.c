/* SPDX-License-Identifier: MIT */
/* The perplexity of a model on a text, and its distance from a reference model. */
#include <config.h>

#include "optimizer/evaluate/perplexity.h"

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
#define BLOCK_BYTES ((size_t)32 << 20) /* logits of the reference that are kept at a time */

/* One scored token. */
struct row {
    double log_likelihood, reference, divergence;
    bool same_top;
};

struct measuring {
    struct tp_subject *subject, *reference;
    const struct tp_perplexity_options *options;
    struct tp_perplexity *out;
    struct tp_ids ids;
    uint64_t bytes; /* of the text, in the windows */
    uint64_t group; /* windows of a group at most */
    uint32_t block; /* rows of a block at most */
    struct tp_window *windows;
    uint32_t *tokens;        /* of a group, GROUP * context */
    float *hidden, *other;   /* its activations: the model's, the reference's */
    float *logits;           /* of a block, the reference's */
    struct row *rows;        /* of a block */
    double *divergences;     /* of all scored tokens */
    const uint32_t *targets; /* of the block's rows: the tokens that follow them */
};

/* --- Scoring --- */

static int copy_logits(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    struct measuring *m = arg;
    size_t vocab = tp_runtime_arch(m->reference->runtime)->vocab;

    (void)window;
    memcpy(m->logits + at * vocab, logits, vocab * sizeof *logits);
    return 0;
}

/* Row AT of the block. Called from several threads, with different rows. */
static int score_row(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    struct measuring *m = arg;
    uint32_t vocab = tp_runtime_arch(m->subject->runtime)->vocab;
    const float *reference = m->logits + (size_t)at * vocab;
    struct row *row = &m->rows[at];
    double sum = tp_log_sum_exp(logits, vocab), other;

    (void)window;
    row->log_likelihood = (double)logits[m->targets[at]] - sum;
    if (!isfinite(row->log_likelihood))
        return -EDOM;
    if (!m->reference)
        return 0;
    other = tp_log_sum_exp(reference, vocab);
    row->reference = (double)reference[m->targets[at]] - other;
    row->divergence = tp_kl_divergence(reference, other, logits, sum, vocab);
    row->same_top = tp_arg_max(logits, vocab) == tp_arg_max(reference, vocab);
    return isfinite(row->reference) && isfinite(row->divergence) ? 0 : -ERANGE;
}

static void add_row(struct measuring *m, const struct row *row)
{
    struct tp_perplexity *out = m->out;

    if (m->reference) {
        m->divergences[out->divergence.n] = row->divergence;
        tp_mean_add(&out->reference_log_likelihood, row->reference);
        tp_mean_add(&out->difference, row->log_likelihood - row->reference);
        tp_mean_add(&out->divergence, row->divergence);
        tp_mean_add(&out->same_top, row->same_top);
    }
    tp_mean_add(&out->log_likelihood, row->log_likelihood);
}

static int name_bad_logits(const struct measuring *m, int rc, struct tp_error *err)
{
    const struct tp_subject *whose = rc == -EDOM ? m->subject : m->reference;

    if (rc != -EDOM && rc != -ERANGE)
        return rc;
    return tp_fail(err, EDOM,
                   "'%s' computes a logit that is not a finite number, after %" PRIu64
                   " scored tokens: its weights are damaged, or too large for this dtype",
                   whose->name, m->out->log_likelihood.n);
}

/* N rows of activations from HIDDEN on, and the reference's from OTHER on. */
static int score_block(struct measuring *m, const uint32_t *tokens, uint32_t n, const float *hidden,
                       const float *other, struct tp_error *err)
{
    struct tp_window window = {.tokens = tokens, .n = n};
    int rc = 0;

    m->targets = tokens + 1;
    if (m->reference)
        rc = tp_runtime_logits(m->reference->runtime, &window, 1, other, copy_logits, m, err);
    if (rc == 0)
        rc = tp_runtime_logits(m->subject->runtime, &window, 1, hidden, score_row, m, err);
    if (rc < 0)
        return name_bad_logits(m, rc, err);
    for (uint32_t i = 0; i < n; i++)
        add_row(m, &m->rows[i]);
    return 0;
}

/* Window I of the group, which is at PLACE in the text. */
static int score_window(struct measuring *m, const struct tp_window *window,
                        const struct tp_window_place *place, size_t first_row, struct tp_error *err)
{
    uint32_t end = window->n - 1, n;
    int rc = 0;

    /* Row AT predicts the token after it. */
    for (uint32_t at = place->first - 1; rc == 0 && at < end; at += n) {
        size_t row = first_row + at;

        n = end - at < m->block ? end - at : m->block;
        rc = score_block(
            m, window->tokens + at, n,
            m->hidden + row * tp_runtime_arch(m->subject->runtime)->hidden,
            m->reference ? m->other + row * tp_runtime_arch(m->reference->runtime)->hidden : NULL,
            err);
    }
    return rc;
}

/* --- The forward pass --- */

static int check_cancelled(const struct measuring *m, struct tp_error *err)
{
    const struct tp_progress *progress = m->options->progress;

    return progress && progress->cancel && atomic_load(progress->cancel)
               ? tp_fail(err, ECANCELED, "cancelled")
               : 0;
}

/* WINDOWS are done, in fractions too. */
static void show_progress(const struct measuring *m, double windows)
{
    const struct tp_progress *progress = m->options->progress;
    double part = windows / (double)m->out->windows.n;

    if (progress && progress->update)
        progress->update(progress->arg, "evaluate", (uint64_t)(part * (double)m->bytes), m->bytes);
}

/* All layers of S for N windows from number FIRST on. */
static int compute_hidden(struct measuring *m, struct tp_subject *s, uint64_t first, uint32_t n,
                          float *hidden, struct tp_error *err)
{
    uint32_t layers = tp_runtime_arch(s->runtime)->layer_n;
    double half = m->reference ? 0.5 : 1, before = s == m->reference ? 0.5 : 0;
    int rc = tp_runtime_embed(s->runtime, m->windows, n, hidden, err);

    for (uint32_t l = 0; rc == 0 && l < layers; l++) {
        struct tp_layer *loaded = tp_runtime_loaded_layer(s->runtime, l), own = {0};

        show_progress(m, (double)first + n * (before + half * l / layers));
        rc = check_cancelled(m, err);
        if (rc == 0 && !loaded)
            rc = tp_runtime_read_layer(s->runtime, l, &own, err);
        if (rc == 0)
            rc = tp_runtime_layer(s->runtime, loaded ? loaded : &own, m->windows, n, hidden, NULL,
                                  err);
        if (!loaded)
            tp_layer_clear(&own);
    }
    if (rc < 0 && rc != -ECANCELED)
        tp_error_prefix(err, "'%s'", s->name);
    return rc;
}

/* N windows from number FIRST on. */
static int measure_group(struct measuring *m, uint64_t first, uint32_t n, struct tp_error *err)
{
    const struct tp_windows *plan = &m->out->windows;
    size_t row = 0;
    int rc;

    for (uint32_t i = 0; i < n; i++) {
        struct tp_window_place place = tp_windows_place(plan, first + i);
        uint32_t *tokens = m->tokens + (size_t)i * plan->context;

        memcpy(tokens, m->ids.items + place.begin, place.len * sizeof *tokens);
        if (plan->convention == TP_CONVENTION_LLAMA_CPP && m->out->bos != TP_TOKEN_NONE)
            tokens[0] = m->out->bos;
        m->windows[i] = (struct tp_window){.tokens = tokens, .n = place.len};
    }
    rc = compute_hidden(m, m->subject, first, n, m->hidden, err);
    if (rc == 0 && m->reference)
        rc = compute_hidden(m, m->reference, first, n, m->other, err);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        struct tp_window_place place = tp_windows_place(plan, first + i);

        rc = score_window(m, &m->windows[i], &place, row, err);
        row += m->windows[i].n;
    }
    m->out->computed += row;
    return rc;
}

static int measure_all(struct measuring *m, struct tp_error *err)
{
    const struct tp_windows *plan = &m->out->windows;
    double began = tp_seconds();
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < plan->n; i += m->group) {
        uint64_t n = plan->n - i < m->group ? plan->n - i : m->group;

        rc = measure_group(m, i, (uint32_t)n, err);
        m->out->groups++;
    }
    if (rc < 0)
        return rc;
    show_progress(m, (double)plan->n);
    m->out->seconds = tp_seconds() - began;
    if (m->reference) {
        m->out->has_reference = true;
        tp_values_sort(m->divergences, m->out->divergence.n);
        m->out->divergence_p99 = tp_values_percentile(m->divergences, m->out->divergence.n, 99);
    }
    return 0;
}

/* --- Memory --- */

/* Sums that stay at UINT64_MAX. */
static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

struct plan {
    uint64_t loaded, streamed; /* of the weights: all in memory, or a layer at a time */
    uint64_t fixed;            /* beside these, whatever the group */
    uint64_t window;           /* of each window of a group */
};

static void add_need(struct plan *plan, const struct tp_subject *s, uint32_t context)
{
    struct tp_runtime_need need;

    tp_runtime_need(s->runtime, 1, context, &need);
    plan->loaded = sum(plan->loaded, need.all_weights);
    /* The layers of the two models are read one after the other. */
    plan->streamed = sum(plan->streamed, sum(need.ends, need.largest_layer));
    plan->fixed = sum(plan->fixed, need.scratch);
    plan->window = sum(plan->window, need.activations);
}

static uint64_t count_group(const struct plan *plan, uint64_t weights, uint64_t left)
{
    uint64_t used = sum(plan->fixed, weights);

    return used < left ? (left - used) / plan->window : 0;
}

static uint32_t block_rows(const struct measuring *m)
{
    size_t rows = BLOCK_BYTES / (tp_runtime_arch(m->subject->runtime)->vocab * sizeof(float));

    if (rows < 8)
        rows = 8;
    return rows < m->out->windows.context ? (uint32_t)rows : m->out->windows.context;
}

/* Decides how much is done at a time. */
static int plan_memory(struct measuring *m, struct tp_error *err)
{
    const struct tp_windows *windows = &m->out->windows;
    uint64_t left = tp_memory_left(m->options->memory), most = windows->n, wanted;
    uint32_t vocab = tp_runtime_arch(m->subject->runtime)->vocab;
    char need[TP_SIZE_TEXT], have[TP_SIZE_TEXT];
    struct plan plan = {0};

    m->block = block_rows(m);
    plan.fixed = m->block * sizeof *m->rows;
    plan.window = windows->context * sizeof *m->tokens + sizeof *m->windows;
    add_need(&plan, m->subject, windows->context);
    if (m->reference) {
        add_need(&plan, m->reference, windows->context);
        plan.fixed = sum(plan.fixed, (uint64_t)m->block * vocab * sizeof(float) +
                                         windows->scored * sizeof *m->divergences);
    }
    m->group = count_group(&plan, plan.loaded, left);
    if (m->group > 0) {
        wanted = (GROUP_ROWS + windows->context - 1) / windows->context;
        m->group = m->group < wanted ? m->group : wanted;
    } else {
        m->out->streamed = true;
        m->group = count_group(&plan, plan.streamed, left);
    }
    if (most > UINT32_MAX)
        most = UINT32_MAX;
    if (m->group > most)
        m->group = most;
    if (m->group > 0)
        return 0;
    wanted = sum(plan.fixed, sum(plan.streamed, plan.window));
    return tp_fail(err, ENOMEM,
                   "one window of %" PRIu32 " tokens needs %s of memory, and %s is left",
                   windows->context, tp_size_print(wanted, need), tp_size_print(left, have));
}

static int allocate(struct measuring *m, struct tp_error *err)
{
    uint64_t rows, context = m->out->windows.context;
    size_t group = (size_t)m->group, scored = (size_t)m->out->windows.scored;
    bool failed = !tp_mul_u64(m->group, context, &rows);

    if (!failed) {
        m->windows = calloc(group, sizeof *m->windows);
        m->tokens = calloc(rows, sizeof *m->tokens);
        m->hidden = calloc(rows, tp_runtime_arch(m->subject->runtime)->hidden * sizeof(float));
        m->rows = calloc(m->block, sizeof *m->rows);
    }
    failed = failed || !m->windows || !m->tokens || !m->hidden || !m->rows;
    if (!failed && m->reference) {
        size_t vocab = tp_runtime_arch(m->subject->runtime)->vocab;

        m->other = calloc(rows, tp_runtime_arch(m->reference->runtime)->hidden * sizeof(float));
        m->logits = calloc(m->block, vocab * sizeof(float));
        m->divergences = calloc(scored, sizeof *m->divergences);
        failed = !m->other || !m->logits || !m->divergences;
    }
    return failed ? tp_fail(err, ENOMEM, "out of memory for the activations") : 0;
}

static int load(struct measuring *m, struct tp_subject *s, struct tp_error *err)
{
    int rc;

    if (!m->out->streamed)
        return tp_subject_load(s, m->options->progress, err);
    rc = tp_runtime_load_ends(s->runtime, err);
    if (rc < 0)
        tp_error_prefix(err, "'%s'", s->name);
    return rc;
}

/* --- The text --- */

/* The reference must read the text as the model does. */
static int compare_tokens(const struct measuring *m, const struct tp_corpus *corpus,
                          struct tp_error *err)
{
    const struct tp_subject *a = m->subject, *b = m->reference;
    struct tp_ids ids = {0};
    int rc =
        tp_subject_encode(b, corpus->bytes.data, corpus->bytes.len, m->options->add_bos, &ids, err);

    if (rc == 0 &&
        (ids.n != m->ids.n || memcmp(ids.items, m->ids.items, ids.n * sizeof *ids.items)))
        rc = tp_fail(err, EINVAL,
                     "'%s' and '%s' cannot be compared: they divide the text into other tokens",
                     a->name, b->name);
    free(ids.items);
    return rc;
}

static int check_reference(const struct measuring *m, const struct tp_corpus *corpus,
                           struct tp_error *err)
{
    uint32_t a = tp_runtime_arch(m->subject->runtime)->vocab, b;

    if (!m->reference)
        return 0;
    b = tp_runtime_arch(m->reference->runtime)->vocab;
    if (a != b)
        return tp_fail(err, EINVAL,
                       "'%s' and '%s' cannot be compared: their vocabularies have %" PRIu32
                       " and %" PRIu32 " tokens",
                       m->subject->name, m->reference->name, a, b);
    /* One that has no tokenizer of its own takes the model's. */
    return m->reference->tokenizer ? compare_tokens(m, corpus, err) : 0;
}

static int check_positions(const struct tp_subject *s, uint32_t context, struct tp_error *err)
{
    uint32_t limit = tp_runtime_arch(s->runtime)->position_limit;

    return context <= limit
               ? 0
               : tp_fail(err, EINVAL,
                         "'context' is %" PRIu32 ", and '%s' has %" PRIu32 " positions", context,
                         s->name, limit);
}

/* Context, stride and convention, as they are given or by default. */
static int choose_windows(struct measuring *m, struct tp_error *err)
{
    const struct tp_perplexity_options *o = m->options;
    struct tp_windows *w = &m->out->windows;
    uint64_t positions = tp_runtime_arch(m->subject->runtime)->position_n;
    int rc;

    w->context = o->context;
    if (w->context == 0)
        w->context = positions > 0 && positions < TP_CONTEXT_DEFAULT ? (uint32_t)positions
                                                                     : TP_CONTEXT_DEFAULT;
    w->stride = o->stride;
    w->convention = tp_convention_choose(o->convention, w->context, &w->stride);
    rc = check_positions(m->subject, w->context, err);
    return rc == 0 && m->reference ? check_positions(m->reference, w->context, err) : rc;
}

static int read_text(struct measuring *m, struct tp_corpus *corpus, struct tp_error *err)
{
    const struct tp_progress *progress = m->options->progress;
    struct tp_windows *windows = &m->out->windows;
    double began = tp_seconds();
    int rc = choose_windows(m, err);

    if (rc < 0)
        return rc;
    if (progress && progress->update)
        progress->update(progress->arg, "tokenize", 0, corpus->size);
    rc = tp_subject_encode_corpus(
        m->subject, corpus, m->options->add_bos,
        tp_windows_span(m->options->samples, windows->context, windows->stride), m->options->memory,
        &m->ids, err);
    m->out->tokenize_seconds = tp_seconds() - began;
    m->out->bos = tp_subject_bos(m->subject, m->options->add_bos);
    m->bytes = corpus->bytes.len;
    if (rc == 0)
        rc = tp_sha256(corpus->bytes.data, corpus->bytes.len, m->out->sha256);
    if (rc == 0)
        rc = check_reference(m, corpus, err);
    if (rc == 0)
        rc = tp_windows_plan(windows->convention, m->ids.n, windows->context, windows->stride,
                             m->options->samples, windows, err);
    if (rc == 0)
        m->bytes = (uint64_t)((double)m->bytes * (double)(windows->tokens - windows->dropped) /
                              (double)windows->tokens);
    return rc;
}

static int prepare(struct measuring *m, struct tp_corpus *corpus, struct tp_error *err)
{
    int rc = read_text(m, corpus, err);

    if (rc == 0)
        rc = check_cancelled(m, err);
    if (rc == 0)
        rc = plan_memory(m, err);
    if (rc == 0)
        rc = allocate(m, err);
    if (rc == 0)
        rc = load(m, m->subject, err);
    return rc == 0 && m->reference ? load(m, m->reference, err) : rc;
}

int tp_perplexity_measure(struct tp_subject *subject, struct tp_subject *reference,
                          struct tp_corpus *corpus, const struct tp_perplexity_options *options,
                          struct tp_perplexity *out, struct tp_error *err)
{
    struct measuring m = {
        .subject = subject, .reference = reference, .options = options, .out = out};
    int rc;

    *out = (struct tp_perplexity){.bos = TP_TOKEN_NONE};
    rc = prepare(&m, corpus, err);
    if (rc == 0)
        rc = measure_all(&m, err);
    free(m.ids.items);
    free(m.windows);
    free(m.tokens);
    free(m.hidden);
    free(m.other);
    free(m.logits);
    free(m.rows);
    free(m.divergences);
    return rc;
}

double tp_perplexity_of(const struct tp_mean *log_likelihood, double *error)
{
    double value = exp(-log_likelihood->mean);

    if (error)
        *error = value * tp_mean_error(log_likelihood);
    return value;
}
