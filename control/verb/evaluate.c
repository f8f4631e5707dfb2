/* SPDX-License-Identifier: MIT */
/*
 * evaluate: measures the perplexity of a model. Not available: this build has no engine that runs
 * models.
 */
#include <config.h>

#include "control/verb/impl.h"

static const struct tp_key keys[] = {
    {"dataset", TP_KEY_TEXT, NULL, 0, 0, NULL,
     "a text file of the directory to measure perplexity on", TP_REQUEST_AT(evaluate.dataset)},
    {"reference", TP_KEY_NAME, NULL, 0, 0, NULL, "a model to compare with",
     TP_REQUEST_AT(evaluate.reference)},
    {"tokens", TP_KEY_NUMBER, "65536", 1, (uint64_t)1 << 40, NULL, "the most tokens to measure on",
     TP_REQUEST_AT(evaluate.tokens)},
    TP_JOB_KEYS,
};

const struct tp_verb_ops tp_verb_evaluate = {
    .name = "evaluate",
    .subject = "MODEL",
    .summary = "measure a model's perplexity on a text",
    .unavailable = "this build has no engine that runs models",
    .keys = keys,
    .example = "my-finetune dataset=wiki.txt\n",
    .reads_only = true,
};
