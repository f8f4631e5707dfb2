/* SPDX-License-Identifier: MIT */
/*
 * Models and the one that they were made from, on a text, side by side. For each window: the mean
 * log-likelihood of the scored tokens, of the original and of each model; the divergence of each
 * model from the original; and how often both find the same token most probable. As JSON, for
 * bench/quant, which compares the models with each other.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json_write.h"
#include "optimizer/evaluate/compare.h"

static struct tp_error err;

static void check(int rc)
{
    if (rc < 0) {
        fprintf(stderr, "compare_models: %s\n", err.message);
        exit(1);
    }
}

/* One value of each window: MEANS[i * STEP], for N of them. */
static void put_windows(struct tp_json_writer *json, const char *key, const double *means,
                        size_t step, uint64_t n)
{
    tp_json_begin_array(json, key);
    for (uint64_t i = 0; i < n; i++)
        tp_json_put_double(json, NULL, means[i * step]);
    tp_json_end_array(json);
}

/* What is measured of a window. The original's log-likelihood is the same beside each model. */
enum { ORIGINAL, LIKELIHOOD, DIVERGENCE, SAME_TOP, FIGURES };
static const char *const keys[FIGURES] = {"original", "log_likelihood", "kl_divergence",
                                          "top1_agreement"};

/* The figures of window I of N models to FIGURES of each, of WINDOWS windows. */
static void measure_window(struct tp_comparison *comparison, uint64_t i, uint64_t windows,
                           double *figures)
{
    for (size_t m = 0; m < comparison->n; m++)
        tp_tally_clear(comparison->models[m].tally);
    check(tp_compare(comparison, i, 1, &err));
    for (size_t m = 0; m < comparison->n; m++) {
        const struct tp_tally *t = comparison->models[m].tally;
        double *of_window = figures + (m * windows + i) * FIGURES;

        if (t->not_finite)
            check(tp_fail(&err, EDOM, "'%s' computes a logit that is not a finite number",
                          comparison->models[m].subject->name));
        of_window[LIKELIHOOD] = t->log_likelihood.mean;
        of_window[ORIGINAL] = t->reference_log_likelihood.mean;
        of_window[DIVERGENCE] = t->divergence.mean;
        of_window[SAME_TOP] = t->same_top.mean;
    }
}

static void print_figures(const struct tp_comparison *comparison, const double *figures)
{
    uint64_t windows = comparison->passage->windows.n;
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    struct tp_json_writer json;

    tp_json_writer_init(&json, &text, false);
    tp_json_begin_object(&json, NULL);
    tp_json_put_u64(&json, "scored_tokens", comparison->passage->windows.scored);
    put_windows(&json, keys[ORIGINAL], figures, FIGURES, windows);
    tp_json_begin_object(&json, "models");
    for (size_t m = 0; m < comparison->n; m++) {
        tp_json_begin_object(&json, comparison->models[m].subject->name);
        for (int k = LIKELIHOOD; k < FIGURES; k++)
            put_windows(&json, keys[k], figures + m * windows * FIGURES + k, FIGURES, windows);
        tp_json_end_object(&json);
    }
    tp_json_end_object(&json);
    tp_json_end_object(&json);
    check(tp_json_writer_finish(&json) < 0 ? tp_oom(&err) : 0);
    printf("%.*s\n", (int)text.len, (const char *)text.data);
}

int main(int argc, char **argv)
{
    size_t n = argc > 6 ? (size_t)argc - 6 : 0;
    tp_autofree struct tp_subject *subjects = calloc(n + 1, sizeof *subjects);
    tp_autofree struct tp_compared *models = calloc(n + 1, sizeof *models);
    tp_autofree struct tp_tally *tallies = calloc(n + 1, sizeof *tallies);
    struct tp_runtime_options runtime = {0};
    struct tp_passage_options options = {0};
    struct tp_passage passage = {0};
    struct tp_comparison comparison = {.passage = &passage, .models = models, .n = n};
    tp_auto(tp_corpus_close) struct tp_corpus corpus = {.fd = -1};
    tp_autofree double *figures = NULL;

    if (n == 0) {
        fputs("usage: compare_models TEXT CONTEXT SAMPLES THREADS ORIGINAL MODEL...\n", stderr);
        return 2;
    }
    options.context = (uint32_t)strtoul(argv[2], NULL, 10);
    options.samples = strtoull(argv[3], NULL, 10);
    runtime.threads = (unsigned)strtoul(argv[4], NULL, 10);
    if (!subjects || !models || !tallies)
        check(tp_oom(&err));
    check(tp_corpus_open(argv[1], NULL, &corpus, &err));
    for (size_t i = 0; i <= n; i++) {
        check(tp_subject_open(argv[5 + i], argv[5 + i], &runtime, &subjects[i], &err));
        runtime.share = subjects[0].runtime;
        if (i > 0)
            models[i - 1] = (struct tp_compared){&subjects[i], &tallies[i - 1], false};
    }
    comparison.reference = &subjects[0];
    check(tp_passage_open(&subjects[0], &corpus, &options, &passage, &err));
    for (size_t i = 1; i <= n; i++)
        check(tp_passage_compare(&passage, &subjects[0], &subjects[i], &corpus, &options, &err));
    figures = calloc(n * passage.windows.n * FIGURES, sizeof *figures);
    if (!figures)
        check(tp_oom(&err));
    for (uint64_t i = 0; i < passage.windows.n; i++) {
        measure_window(&comparison, i, passage.windows.n, figures);
        fprintf(stderr, "compare_models: window %llu of %llu\n", (unsigned long long)i + 1,
                (unsigned long long)passage.windows.n);
    }
    print_figures(&comparison, figures);
    for (size_t i = n + 1; i-- > 0;)
        tp_subject_close(&subjects[i]);
    for (size_t i = 0; i < n; i++)
        tp_tally_clear(&tallies[i]);
    tp_passage_clear(&passage);
    return 0;
}
