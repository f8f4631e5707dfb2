/* SPDX-License-Identifier: MIT */
/* What a search begins with: model, texts, state, and the packs of its candidates. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "optimizer/quantize/packs.h"
#include "optimizer/search/key.h"
#include "optimizer/search/search_impl.h"
#include "optimizer/search/sizes.h"
#include "store/names.h"

/* --- Model and texts --- */

static bool is_all_bf16(const struct tp_model *model)
{
    for (size_t i = 0; i < model->tensor_n; i++)
        if (model->tensors[i].dtype != TP_DTYPE_BF16)
            return false;
    return true;
}

static int open_passage(struct tp_search *s, const char *spec, uint64_t samples,
                        struct tp_corpus *corpus, struct tp_passage *out)
{
    const struct tp_search_options *o = s->options;
    uint64_t positions = tp_runtime_arch(s->result->original.runtime)->position_n;
    struct tp_passage_options options = {
        .context = o->context, .samples = samples, .memory = o->memory, .progress = o->progress};
    int rc = tp_corpus_open(spec, o->text_dir, corpus, s->err);

    if (options.context == 0)
        options.context = positions > 0 && positions < TP_SEARCH_CONTEXT_DEFAULT
                              ? (uint32_t)positions
                              : TP_SEARCH_CONTEXT_DEFAULT;
    if (rc == 0)
        rc = tp_passage_open(&s->result->original, corpus, &options, out, s->err);
    s->result->seconds.tokenize += out->seconds;
    return rc;
}

static int open_inputs(struct tp_search *s)
{
    const struct tp_search_options *o = s->options;
    uint64_t samples = o->samples ? o->samples : TP_SEARCH_SAMPLES_DEFAULT;
    struct tp_runtime_options options = {.threads = o->threads,
                                         .cancel = o->progress ? o->progress->cancel : NULL};
    int rc = tp_subject_open(o->path, o->name, &options, &s->result->original, s->err);

    if (rc < 0)
        return rc;
    s->all_bf16 = is_all_bf16(s->result->original.model);
    rc = open_passage(s, o->text, samples, &s->text, &s->passage);
    if (rc == 0)
        rc = open_passage(s, o->calibration,
                          o->calibration_samples ? o->calibration_samples : samples,
                          &s->calibration_text, &s->calibration);
    s->result->text = tp_passage_facts(&s->passage, &s->text);
    s->result->calibration = tp_passage_facts(&s->calibration, &s->calibration_text);
    s->result->threads = tp_runtime_threads(s->result->original.runtime);
    return rc;
}

static void note_doubts(const struct tp_search *s)
{
    const struct tp_search_options *o = s->options;
    char warning[TP_ERROR_MAX];

    tp_subject_note_doubts(&s->result->original, s->result->text.context, o->note, o->arg);
    if (o->note && tp_search_warning(s->result, warning, sizeof warning))
        o->note(o->arg, warning);
}

static int open_state(struct tp_search *s)
{
    struct tp_search_inputs inputs = {.model = s->model,
                                      .text = &s->passage,
                                      .calibration = &s->calibration,
                                      .embeddings_int8 = s->options->embeddings_int8,
                                      .batch = s->batch,
                                      .threads = s->result->threads};
    uint8_t key[TP_SHA256_LEN];
    double began = tp_seconds();
    int rc = tp_subject_hash(&s->result->original, s->options->progress, s->model, s->err);

    s->result->seconds.hash = tp_seconds() - began;
    if (rc == 0)
        rc = tp_search_key(&inputs, key, s->err);
    if (rc == 0)
        rc = tp_search_state_open(s->options->dir, key, &s->state, s->err);
    memcpy(s->result->key, s->state.key, sizeof s->result->key);
    return rc;
}

/* --- What is known --- */

/* Whether candidate I has all scores, of which the perplexity of the original is a part. */
static bool has_all_scores(struct tp_search *s, size_t i)
{
    struct tp_tally tally;
    uint64_t windows;
    bool all = tp_search_load_scores(&s->state, s->result->recipes[i]->name, &tally, &windows) &&
               windows == s->passage.windows.n;

    if (all)
        s->original_log_likelihood = tally.reference_log_likelihood;
    tp_tally_clear(&tally);
    return all;
}

/* Whether candidate I was not timed for lack of memory, and there may be enough now. */
static bool may_be_timed(const struct tp_search *s, size_t i)
{
    uint64_t memory = s->options->memory ? s->options->memory : tp_memory_limit();

    return s->result->steps[i].n == 0 && s->result->measured[i].memory_bytes <= memory;
}

static void load_records(struct tp_search *s)
{
    struct tp_search_result *r = s->result;

    for (size_t i = 0; i < r->n; i++) {
        struct tp_figures *f = &r->measured[i];

        if (!tp_search_load_record(&s->state, r->recipes[i]->name, f, &r->steps[i])) {
            tp_search_remove_pack(&s->state, r->recipes[i]->name);
            continue;
        }
        /* Whether it is dropped depends on the limits. */
        if (f->state != TP_CANDIDATE_COMPLETE)
            continue;
        if (!has_all_scores(s, i) || may_be_timed(s, i)) {
            f->state = TP_CANDIDATE_PENDING;
            continue;
        }
        r->evaluated++;
        r->continued++;
    }
    if (r->continued > 0 && s->options->changed)
        s->options->changed(s->options->arg, r);
}

/* Drop the candidates that miss a limit by their size, whatever is measured. */
static int drop_by_size(struct tp_search *s)
{
    struct tp_foresight foresight;
    int rc = tp_elements_count(s->result->original.runtime, &s->elements, s->err);

    for (size_t i = 0; rc == 0 && i < s->result->n; i++) {
        if (!tp_search_is_pending(s, i))
            continue;
        rc = tp_foresight_init(&foresight, s->result->recipes[i], s->result->original.runtime,
                               s->elements, s->options->embeddings_int8, s->batch,
                               TP_SEARCH_POSITIONS, s->err);
        if (rc == 0 && tp_figures_foresee(&s->result->measured[i], &foresight, &s->result->limits))
            tp_search_drop(s, i);
    }
    return rc;
}

int tp_search_prepare(struct tp_search *s)
{
    int rc = open_inputs(s);

    if (rc == 0)
        rc = tp_search_check_names(s);
    if (rc == 0)
        rc = tp_search_state_check(s->options->dir, s->err);
    if (rc == 0)
        rc = open_state(s);
    if (rc < 0)
        return rc;
    note_doubts(s);
    load_records(s);
    return drop_by_size(s);
}

/* --- Packs --- */

int tp_search_open_candidate(struct tp_search *s, size_t i)
{
    const char *name = s->result->recipes[i]->name;
    tp_autofree char *path = tp_search_state_path(&s->state, name, TP_PACK_SUFFIX);
    struct tp_runtime_options options = {
        .cancel = s->options->progress ? s->options->progress->cancel : NULL,
        .share = s->result->original.runtime};
    struct tp_subject *subject = &s->candidates[i].subject;
    int rc;

    *subject = (struct tp_subject){.name = strdup(name)};
    rc =
        path && subject->name ? tp_model_open(path, NULL, &subject->model, s->err) : tp_oom(s->err);
    if (rc == 0)
        rc = tp_runtime_open(subject->model, &options, &subject->runtime, s->err);
    if (rc < 0) {
        tp_search_close_candidate(s, i);
        tp_error_prefix(s->err, "'%s'", name);
        return rc;
    }
    s->result->measured[i].memory_bytes = tp_runtime_generating_bytes(
        subject->runtime, tp_runtime_weight_bytes(subject->runtime), s->batch, TP_SEARCH_POSITIONS);
    return 0;
}

void tp_search_close_candidate(struct tp_search *s, size_t i)
{
    tp_subject_close(&s->candidates[i].subject);
}

static bool is_wanted(const struct tp_search *s, size_t i, size_t only)
{
    return (only == TP_CHOICE_NONE ? tp_search_is_pending(s, i) : i == only) &&
           !tp_search_has_pack(&s->state, s->result->recipes[i]->name);
}

/* The packs that a pass makes, and the numbers of their candidates. */
struct making {
    struct tp_search *s;
    struct tp_quantize_pack *packs;
    size_t *numbers;
    size_t n;
};

/* A pack is there: what it says by itself goes into the record. */
static int on_made(void *arg, size_t number, struct tp_error *err)
{
    const struct making *m = arg;
    const struct tp_search *s = m->s;
    const struct tp_quantize_pack *pack = &m->packs[number];
    size_t i = m->numbers[number];
    struct tp_figures *f = &s->result->measured[i];

    if (f->state == TP_CANDIDATE_COMPLETE)
        return 0;
    tp_figures_set_pack(f, pack->bytes, s->elements);
    f->quantize_seconds = pack->seconds;
    return tp_search_store_record(&s->state, f, &s->result->steps[i], err);
}

static void on_note(void *arg, const char *line)
{
    const struct tp_search_options *o = ((const struct making *)arg)->s->options;

    if (o->note)
        o->note(o->arg, line);
}

static int quantize(struct making *m)
{
    struct tp_search *s = m->s;
    struct tp_quantize_options options = {.calibration = &s->calibration,
                                          .place = {s->options->dir, s->model},
                                          .embeddings_int8 = s->options->embeddings_int8,
                                          .memory = s->options->memory,
                                          .progress = s->options->progress,
                                          .made = on_made,
                                          .note = on_note,
                                          .arg = m};
    struct tp_search_seconds *seconds = &s->result->seconds;
    struct tp_quantize_cost took = {0};
    int rc = tp_quantize_packs(&s->result->original, &options, m->packs, m->n, &took, s->err);

    seconds->read += took.read;
    seconds->calibrate += took.calibrate;
    seconds->quantize += took.quantize;
    seconds->write += took.write;
    s->result->layers_cached += took.layers_cached;
    for (size_t i = 0; rc == 0 && i < m->n; i++) {
        struct tp_figures *f = &s->result->measured[m->numbers[i]];

        s->result->layers_continued += m->packs[i].continued;
        if (m->packs[i].rc == 0)
            continue;
        snprintf(f->why, sizeof f->why, "%.255s", m->packs[i].err.message);
        tp_search_drop(s, m->numbers[i]);
    }
    return rc;
}

static int list_pack(struct making *m, size_t i)
{
    const struct tp_search *s = m->s;
    const char *name = s->result->recipes[i]->name;
    struct tp_quantize_pack *pack = &m->packs[m->n];

    m->numbers[m->n++] = i;
    *pack = (struct tp_quantize_pack){.recipe = s->result->recipes[i],
                                      .path = tp_search_state_path(&s->state, name, TP_PACK_SUFFIX),
                                      .layers =
                                          tp_search_state_path(&s->state, name, TP_SEARCH_LAYERS)};
    return pack->path && pack->layers ? 0 : tp_oom(s->err);
}

int tp_search_make_packs(struct tp_search *s, size_t only)
{
    struct making m = {.s = s,
                       .packs = calloc(s->result->n, sizeof *m.packs),
                       .numbers = calloc(s->result->n, sizeof *m.numbers)};
    int rc = m.packs && m.numbers ? 0 : tp_oom(s->err);

    for (size_t i = 0; rc == 0 && i < s->result->n; i++)
        if (is_wanted(s, i, only))
            rc = list_pack(&m, i);
    if (rc == 0 && m.n > 0)
        rc = quantize(&m);
    for (size_t i = 0; m.packs && i < m.n; i++) {
        free((char *)m.packs[i].path);
        free((char *)m.packs[i].layers);
    }
    free(m.packs);
    free(m.numbers);
    return rc;
}
