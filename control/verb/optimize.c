/* SPDX-License-Identifier: MIT */
/* optimize: finds the cheapest form of a model within limits. Not available: see evaluate.c. */
#include <config.h>

#include "control/verb/impl.h"

static const struct tp_key keys[] = {
    {"dataset", TP_KEY_TEXT, NULL, 0, 0, NULL,
     "a text file of the directory to measure perplexity on", TP_REQUEST_AT(optimize.dataset)},
    {"max_perplexity", TP_KEY_DECIMAL, NULL, 1, 1000000, NULL, "highest perplexity of a candidate",
     TP_REQUEST_AT(optimize.max_perplexity)},
    {"max_loss", TP_KEY_DECIMAL, NULL, 0, 100, NULL,
     "highest perplexity, as percent above that of the model itself",
     TP_REQUEST_AT(optimize.max_loss)},
    {"max_latency_ms", TP_KEY_DECIMAL, NULL, 0, 1000000, NULL,
     "95th percentile of the time of the next token", TP_REQUEST_AT(optimize.max_latency_ms)},
    {"min_tokens_per_second", TP_KEY_DECIMAL, NULL, 0, 1000000000, NULL,
     "lowest speed of a candidate", TP_REQUEST_AT(optimize.min_tokens_per_second)},
    {"max_memory", TP_KEY_SIZE, NULL, TP_MIB, TP_SIZE_HIGH, NULL,
     "memory limit of the served model", TP_REQUEST_AT(optimize.max_memory)},
    {"candidates", TP_KEY_TEXT, NULL, 0, 0, NULL,
     "names, separated by commas (default: all that are known)",
     TP_REQUEST_AT(optimize.candidates)},
    {"hardware", TP_KEY_TEXT, NULL, 0, 0, NULL, "the machine to serve it on",
     TP_REQUEST_AT(optimize.hardware)},
    TP_JOB_KEYS,
};

const struct tp_verb_ops tp_verb_optimize = {
    .name = "optimize",
    .subject = "MODEL",
    .summary = "find the cheapest form of a model within limits",
    .unavailable = "this build has no engine that runs models",
    .keys = keys,
    .example = "my-finetune dataset=wiki.txt max_perplexity=9.5\n",
    .reads_only = true,
};
