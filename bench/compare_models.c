/* SPDX-License-Identifier: MIT */
/*
 * Models and the one that they were made from, on a text, side by side. Prints a line of JSON for
 * each window: the mean log-likelihood of its scored tokens, of the original and of each model; the
 * divergence of each model from the original; and how often both find the same token most
 * probable. For bench/quant, which compares the models with each other.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "optimizer/evaluate/compare.h"

static struct tp_error err;

static void check(int rc)
{
    if (rc < 0) {
        fprintf(stderr, "compare_models: %s\n", err.message);
        exit(1);
    }
}

/* A line of JSON about window I. */
static void print_window(struct tp_comparison *comparison, uint64_t i)
{
    const struct tp_tally *first = comparison->models[0].tally;
    const char *separator = "";

    for (size_t m = 0; m < comparison->n; m++)
        tp_tally_clear(comparison->models[m].tally);
    check(tp_compare(comparison, i, 1, &err));
    printf("{\"tokens\": %" PRIu64 ", \"original\": %.9g, \"models\": [",
           first->reference_log_likelihood.n, first->reference_log_likelihood.mean);
    for (size_t m = 0; m < comparison->n; m++) {
        const struct tp_tally *t = comparison->models[m].tally;

        if (t->not_finite)
            check(tp_fail(&err, EDOM, "'%s' computes a logit that is not a finite number",
                          comparison->models[m].subject->name));
        printf("%s{\"log_likelihood\": %.9g, \"kl_divergence\": %.9g, \"top1_agreement\": %.9g}",
               separator, t->log_likelihood.mean, t->divergence.mean, t->same_top.mean);
        separator = ", ";
    }
    puts("]}");
    fflush(stdout);
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
    for (uint64_t i = 0; i < passage.windows.n; i++)
        print_window(&comparison, i);
    for (size_t i = n + 1; i-- > 0;)
        tp_subject_close(&subjects[i]);
    for (size_t i = 0; i < n; i++)
        tp_tally_clear(&tallies[i]);
    tp_passage_clear(&passage);
    return 0;
}
