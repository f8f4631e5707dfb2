/* SPDX-License-Identifier: MIT */
/*
 * Measurements as JSON. Latencies have the names of vLLM's benchmarks, the object "results" those
 * of lm-eval.
 */
#ifndef TP_OPTIMIZER_EVALUATE_REPORT_H
#define TP_OPTIMIZER_EVALUATE_REPORT_H

#include "base/json_write.h"
#include "optimizer/evaluate/perplexity.h"
#include "optimizer/evaluate/timing.h"

/* The members "text" and "calibration": a text as the request names it. WARNING may be NULL. */
void tp_text_put(struct tp_json_writer *json, const char *name, const struct tp_text_facts *facts);
void tp_calibration_put(struct tp_json_writer *json, const char *name,
                        const struct tp_text_facts *facts, const char *warning);
/* The members of the text and of the perplexity. TEXT and REFERENCE are as the caller named them.
 */
void tp_perplexity_put(struct tp_json_writer *json, const struct tp_subject *subject,
                       const char *reference, const char *text, const struct tp_corpus *corpus,
                       const struct tp_perplexity *perplexity);
/* A member: an object, or null where TIMING is NULL. */
void tp_timing_put(struct tp_json_writer *json, const char *key, const struct tp_timing *timing);

#endif
