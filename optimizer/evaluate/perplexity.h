/* SPDX-License-Identifier: MIT */
/*
 * The perplexity of a model on a text, and its distance from a reference model.
 *
 * Windows are computed in groups, all of a group at a time through each layer. Where the weights do
 * not fit into the memory that may be used, layers are read one after the other for each group, and
 * a group is as large as its activations may be.
 */
#ifndef TP_OPTIMIZER_EVALUATE_PERPLEXITY_H
#define TP_OPTIMIZER_EVALUATE_PERPLEXITY_H

#include "optimizer/evaluate/corpus.h"
#include "optimizer/evaluate/statistics.h"
#include "optimizer/evaluate/subject.h"
#include "optimizer/evaluate/windows.h"

#define TP_CONTEXT_DEFAULT 2048u

struct tp_perplexity_options {
    const char *convention; /* one of tp_convention_names; NULL: by the stride */
    uint32_t context;       /* 0: TP_CONTEXT_DEFAULT, or the model's positions where that is less */
    uint32_t stride;        /* 0: by the convention */
    uint64_t samples;       /* windows at most; 0: all */
    enum tp_add_bos add_bos;
    uint64_t memory; /* bytes that this process may use; 0: what the machine has */
    const struct tp_progress *progress; /* may be NULL */
};

/* Means are over the scored tokens, in nats. Standard errors take tokens as independent. */
struct tp_perplexity {
    struct tp_windows windows;
    uint8_t sha256[TP_SHA256_LEN]; /* of the text, as far as it was read */
    uint32_t bos;      /* the token before the text, or before each window; TP_TOKEN_NONE: none */
    uint64_t computed; /* tokens of all windows */
    struct tp_mean log_likelihood;
    double tokenize_seconds, seconds; /* SECONDS: of computing, without loading */
    bool streamed;                    /* layers were read for each group of windows */
    uint64_t groups;
    bool has_reference; /* the rest is set */
    struct tp_mean reference_log_likelihood;
    struct tp_mean difference; /* of the log-likelihoods, the model's less the reference's */
    struct tp_mean divergence; /* KL(reference || model) */
    double divergence_p99;
    struct tp_mean same_top; /* 1 where both find the same token most probable, else 0 */
};

/* exp(-mean), and its standard error. */
double tp_perplexity_of(const struct tp_mean *log_likelihood, double *error);

/*
 * Of CORPUS only as much is read as the samples need. REFERENCE may be NULL. -EINVAL: the options
 * do not fit the model or the text, the tokenizer does not match the model, or the two models are
 * not comparable; -ENOMEM: not even one window fits; -EDOM: a logit is NaN or infinite.
 */
int tp_perplexity_measure(struct tp_subject *subject, struct tp_subject *reference,
                          struct tp_corpus *corpus, const struct tp_perplexity_options *options,
                          struct tp_perplexity *out, struct tp_error *err);

#endif
