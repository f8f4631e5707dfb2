/* SPDX-License-Identifier: MIT */
/* The perplexity of a model on a text. */
#include <config.h>

#include "optimizer/evaluate/perplexity.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

static int measure(struct tp_subject *subject, struct tp_subject *reference,
                   const struct tp_passage_options *options, struct tp_perplexity *out,
                   struct tp_error *err)
{
    struct tp_compared model = {subject, &out->tally, false};
    struct tp_comparison comparison = {.passage = &out->passage,
                                       .models = &model,
                                       .n = 1,
                                       .reference = reference,
                                       .memory = options->memory,
                                       .progress = options->progress};
    int rc = tp_compare(&comparison, 0, out->passage.windows.n, err);

    if (rc == 0 && out->tally.not_finite)
        rc = tp_fail(err, EDOM,
                     "'%s' computes a logit that is not a finite number, after %" PRIu64
                     " scored tokens: its weights are damaged, or too large for this dtype",
                     subject->name, out->tally.log_likelihood.n);
    out->computed = comparison.tokens;
    out->seconds = comparison.seconds;
    out->streamed = comparison.streamed;
    out->groups = comparison.groups;
    out->has_reference = reference;
    out->divergence_p99 = tp_tally_divergence_p99(&out->tally);
    return rc;
}

int tp_perplexity_measure(struct tp_subject *subject, struct tp_subject *reference,
                          struct tp_corpus *corpus, const struct tp_passage_options *options,
                          struct tp_perplexity *out, struct tp_error *err)
{
    int rc;

    *out = (struct tp_perplexity){0};
    rc = tp_passage_open(subject, corpus, options, &out->passage, err);
    if (rc == 0 && reference)
        rc = tp_passage_compare(&out->passage, subject, reference, corpus, options, err);
    if (rc < 0)
        return rc;
    tp_subject_note_doubts(subject, out->passage.windows.context, options->note, options->arg);
    return measure(subject, reference, options, out, err);
}

void tp_perplexity_clear(struct tp_perplexity *p)
{
    tp_passage_clear(&p->passage);
    tp_tally_clear(&p->tally);
}

double tp_perplexity_of(const struct tp_mean *log_likelihood, double *error)
{
    double value = exp(-log_likelihood->mean);

    if (error)
        *error = value * tp_mean_error(log_likelihood);
    return value;
}
