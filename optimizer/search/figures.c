/* SPDX-License-Identifier: MIT */
/* How figures are computed from what was measured. */
#include <config.h>

#include "optimizer/search/figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "optimizer/evaluate/perplexity.h"
#include "optimizer/search/figures_impl.h"

const char *const tp_candidate_state_names[TP_CANDIDATE_STATE_COUNT] = {
    [TP_CANDIDATE_PENDING] = "pending",
    [TP_CANDIDATE_DROPPED] = "dropped",
    [TP_CANDIDATE_COMPLETE] = "complete",
};

#define NUMBER(key, member, low, high, ...)                                                        \
    {                                                                                              \
        key, offsetof(struct tp_figures, member), low, high, __VA_ARGS__                           \
    }

/* A ppl_delta of -100 is a perplexity of 0. */
const struct tp_figure_number tp_figure_numbers[] = {
    NUMBER("compression", compression, 0, INFINITY),
    NUMBER("perplexity", ppl, 0, INFINITY),
    NUMBER("perplexity_error", ppl_error, 0, INFINITY),
    NUMBER("ppl_delta", ppl_delta, -100, INFINITY),
    NUMBER("ppl_delta_error", ppl_delta_error, 0, INFINITY),
    NUMBER("kl_divergence", kl, -INFINITY, INFINITY),
    NUMBER("kl_divergence_p99", kl_p99, -INFINITY, INFINITY),
    NUMBER("top1_agreement", same_top, 0, 1),
    NUMBER("latency_ms", latency_ms, 0, INFINITY, .optional = true),
    NUMBER("latency_p95_ms", latency_p95_ms, 0, INFINITY, .optional = true),
    NUMBER("latency_p99_ms", latency_p99_ms, 0, INFINITY, .optional = true),
    NUMBER("first_token_ms", first_token_ms, 0, INFINITY, .optional = true),
    NUMBER("throughput_tps", throughput_tps, 0, INFINITY, .optional = true),
    NUMBER("cost_per_1m_tokens", cost_per_1m_tokens, 0, INFINITY, .optional = true),
    NUMBER("quantize_seconds", quantize_seconds, 0, INFINITY),
    {NULL, 0, 0, 0, false},
};

void tp_figures_init(struct tp_figures *f, const char *name)
{
    *f = (struct tp_figures){.name = name};
    for (const struct tp_figure_number *n = tp_figure_numbers; n->key; n++)
        *tp_figure_at(f, n) = NAN;
}

void tp_figures_round(struct tp_figures *f)
{
    char text[32];

    for (const struct tp_figure_number *n = tp_figure_numbers; n->key; n++) {
        double *value = tp_figure_at(f, n);

        snprintf(text, sizeof text, "%.6g", *value);
        if (isfinite(*value))
            *value = strtod(text, NULL);
    }
}

void tp_figures_set_pack(struct tp_figures *f, uint64_t pack_bytes, uint64_t elements)
{
    f->pack_bytes = pack_bytes;
    f->compression = pack_bytes ? 2 * (double)elements / (double)pack_bytes : NAN;
    tp_figures_round(f);
}

void tp_figures_set_scores(struct tp_figures *f, const struct tp_scores *scores)
{
    double ratio, error;

    f->scored_tokens = scores->log_likelihood.n;
    f->ppl = tp_perplexity_of(&scores->log_likelihood, &f->ppl_error);
    ratio = tp_perplexity_of(&scores->difference, &error);
    f->ppl_delta = 100 * (ratio - 1);
    f->ppl_delta_error = 100 * error;
    f->kl = scores->divergence.mean;
    f->kl_p99 = scores->divergence_p99;
    f->same_top = scores->same_top.mean;
    tp_figures_round(f);
}

void tp_figures_set_timing(struct tp_figures *f, const struct tp_timing *timing)
{
    const struct tp_timing_row *row = &timing->rows[timing->row_n - 1];

    f->timed_tokens = row->token.n;
    f->latency_ms = 1000 * row->token.median;
    f->latency_p95_ms = 1000 * row->token.p95;
    f->latency_p99_ms = 1000 * row->token.p99;
    f->first_token_ms = 1000 * row->first.median;
    f->throughput_tps = row->token_rate;
    f->estimated = false;
    tp_figures_round(f);
}

double tp_cost_per_1m_tokens(double dollars_per_hour, double throughput_tps)
{
    if (!(dollars_per_hour > 0) || !(throughput_tps > 0))
        return NAN;
    return dollars_per_hour / 3600 / throughput_tps * 1e6;
}
