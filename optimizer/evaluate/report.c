/* SPDX-License-Identifier: MIT */
/* Measurements as JSON. */
#include <config.h>

#include "optimizer/evaluate/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* "KEY" and "KEY_error": a mean and its standard error. */
static void put_mean(struct tp_json_writer *json, const char *key, double value, double error)
{
    char name[64];

    tp_json_put_double(json, key, value);
    snprintf(name, sizeof name, "%s_error", key);
    tp_json_put_double(json, name, error);
}

static void put_facts(struct tp_json_writer *json, const char *name, const struct tp_text_facts *f)
{
    tp_json_put_string(json, "name", name);
    tp_json_put_u64(json, "bytes", f->bytes);
    tp_json_put_u64(json, "read_bytes", f->read_bytes);
    tp_json_put_hex(json, "sha256", f->sha256, sizeof f->sha256);
    tp_json_put_u64(json, "tokens", f->tokens);
}

void tp_text_put(struct tp_json_writer *json, const char *name, const struct tp_text_facts *facts)
{
    tp_json_begin_object(json, "text");
    put_facts(json, name, facts);
    tp_json_end_object(json);
}

void tp_calibration_put(struct tp_json_writer *json, const char *name,
                        const struct tp_text_facts *facts, const char *warning)
{
    tp_json_begin_object(json, "calibration");
    put_facts(json, name, facts);
    tp_json_put_u64(json, "windows", facts->windows);
    tp_json_put_u64(json, "context", facts->context);
    tp_json_put_string(json, "warning", warning);
    tp_json_end_object(json);
}

static void put_tokenizer(struct tp_json_writer *json, const struct tp_subject *s)
{
    tp_json_begin_object(json, "tokenizer");
    tp_json_put_u64(json, "tokens", tp_tokenizer_vocab_size(s->tokenizer));
    tp_json_put_u64(json, "vocabulary", tp_runtime_arch(s->runtime)->vocab);
    tp_json_end_object(json);
}

static void put_convention(struct tp_json_writer *json, const struct tp_perplexity *p)
{
    const struct tp_windows *w = &p->passage.windows;

    tp_json_put_string(json, "convention", tp_convention_names[w->convention]);
    tp_json_put_string(json, "convention_about", tp_convention_about(w->convention));
    tp_json_put_u64(json, "context", w->context);
    tp_json_put_u64(json, "stride", w->stride);
    tp_json_put_string(json, "bos",
                       p->passage.bos == TP_TOKEN_NONE            ? "none"
                       : w->convention == TP_CONVENTION_LLAMA_CPP ? "each window"
                                                                  : "start");
    tp_json_put_u64(json, "windows", w->n);
    tp_json_put_u64(json, "computed_tokens", p->computed);
    tp_json_put_u64(json, "scored_tokens", w->scored);
    tp_json_put_u64(json, "dropped_tokens", w->dropped);
}

static void put_reference(struct tp_json_writer *json, const char *reference,
                          const struct tp_perplexity *p)
{
    double error, value;

    if (!p->has_reference) {
        tp_json_put_null(json, "reference");
        return;
    }
    tp_json_begin_object(json, "reference");
    tp_json_put_string(json, "model", reference);
    value = tp_perplexity_of(&p->tally.reference_log_likelihood, &error);
    put_mean(json, "perplexity", value, error);
    value = tp_perplexity_of(&p->tally.difference, &error);
    put_mean(json, "perplexity_ratio", value, error);
    put_mean(json, "log_ratio", -p->tally.difference.mean, tp_mean_error(&p->tally.difference));
    put_mean(json, "kl_divergence", p->tally.divergence.mean, tp_mean_error(&p->tally.divergence));
    tp_json_put_double(json, "kl_divergence_p99", p->divergence_p99);
    put_mean(json, "top1_agreement", p->tally.same_top.mean, tp_mean_error(&p->tally.same_top));
    tp_json_end_object(json);
}

/* As lm-eval writes it, for programs that read its files. */
static void put_results(struct tp_json_writer *json, const char *text, double perplexity,
                        double error)
{
    tp_json_begin_object(json, "results");
    tp_json_begin_object(json, text);
    tp_json_put_string(json, "alias", text);
    tp_json_put_double(json, "perplexity,none", perplexity);
    tp_json_put_double(json, "perplexity_stderr,none", error);
    tp_json_end_object(json);
    tp_json_end_object(json);
}

void tp_perplexity_put(struct tp_json_writer *json, const struct tp_subject *subject,
                       const char *reference, const char *text, const struct tp_corpus *corpus,
                       const struct tp_perplexity *p)
{
    double error, value = tp_perplexity_of(&p->tally.log_likelihood, &error);
    struct tp_text_facts facts = tp_passage_facts(&p->passage, corpus);

    tp_text_put(json, text, &facts);
    put_tokenizer(json, subject);
    put_convention(json, p);
    put_mean(json, "log_likelihood", p->tally.log_likelihood.mean,
             tp_mean_error(&p->tally.log_likelihood));
    put_mean(json, "perplexity", value, error);
    put_reference(json, reference, p);
    put_results(json, text, value, error);
    tp_json_begin_object(json, "seconds");
    tp_json_put_double(json, "load", subject->load_seconds);
    tp_json_put_double(json, "tokenize", p->passage.seconds);
    tp_json_put_double(json, "compute", p->seconds);
    tp_json_end_object(json);
    tp_json_put_bool(json, "streamed", p->streamed);
    tp_json_put_u64(json, "window_groups", p->groups);
}

/* In milliseconds, as "mean_KEY_ms". */
static void put_times(struct tp_json_writer *json, const char *key, const struct tp_times *times)
{
    const struct {
        const char *name;
        double seconds;
    } all[] = {{"mean", times->mean},
               {"std", times->deviation},
               {"median", times->median},
               {"p95", times->p95},
               {"p99", times->p99}};
    char name[64];

    snprintf(name, sizeof name, "n_%s", key);
    tp_json_put_u64(json, name, times->n);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        snprintf(name, sizeof name, "%s_%s_ms", all[i].name, key);
        tp_json_put_double(json, name, 1000 * all[i].seconds);
    }
}

void tp_timing_put(struct tp_json_writer *json, const char *key, const struct tp_timing *timing)
{
    if (!timing) {
        tp_json_put_null(json, key);
        return;
    }
    tp_json_begin_object(json, key);
    tp_json_put_u64(json, "prompt_tokens", timing->prompt_tokens);
    tp_json_put_u64(json, "new_tokens", timing->new_tokens);
    tp_json_put_u64(json, "runs", TP_TIMING_RUNS);
    tp_json_begin_array(json, "batches");
    for (unsigned i = 0; i < timing->row_n; i++) {
        const struct tp_timing_row *row = &timing->rows[i];

        tp_json_begin_object(json, NULL);
        tp_json_put_u64(json, "batch", row->batch);
        put_times(json, "ttft", &row->first);
        put_times(json, "tpot", &row->token);
        tp_json_put_double(json, "prompt_tokens_per_second", row->prompt_rate);
        tp_json_put_double(json, "output_throughput", row->token_rate);
        tp_json_end_object(json);
    }
    tp_json_end_array(json);
    tp_json_end_object(json);
}
