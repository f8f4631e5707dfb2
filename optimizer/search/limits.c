/* SPDX-License-Identifier: MIT */
/* Limits, and how far figures are from them. */
#include <config.h>

#include "optimizer/search/limits.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"

/* Figures that are the same whatever is measured later. */
enum { SETTLED = 1, LOWEST = 2, BYTES = 4 };

static const struct limit {
    const char *key, *figure, *unit;
    size_t offset;  /* of the figure in struct tp_figures: a double, or bytes */
    unsigned flags; /* LOWEST: the limit is the lowest value, else the highest */
} limits_known[TP_LIMIT_COUNT] = {
    [TP_LIMIT_PPL_DELTA] = {"max_ppl_delta", "ppl_delta", " %",
                            offsetof(struct tp_figures, ppl_delta), 0},
    [TP_LIMIT_LATENCY] = {"max_latency_ms", "latency_ms", " ms",
                          offsetof(struct tp_figures, latency_ms), 0},
    [TP_LIMIT_LATENCY_P99] = {"max_latency_p99_ms", "latency_p99_ms", " ms",
                              offsetof(struct tp_figures, latency_p99_ms), 0},
    [TP_LIMIT_THROUGHPUT] = {"min_throughput_tps", "throughput_tps", " tokens/s",
                             offsetof(struct tp_figures, throughput_tps), LOWEST},
    [TP_LIMIT_COMPRESSION] = {"min_compression", "compression", "",
                              offsetof(struct tp_figures, compression), LOWEST | SETTLED},
    [TP_LIMIT_MEMORY] = {"max_memory", "memory_bytes", "",
                         offsetof(struct tp_figures, memory_bytes), BYTES | SETTLED},
    [TP_LIMIT_HARDWARE_MEMORY] = {"hardware_memory", "memory_bytes", "",
                                  offsetof(struct tp_figures, memory_bytes), BYTES | SETTLED},
};

void tp_limits_init(struct tp_limits *limits)
{
    for (int i = 0; i < TP_LIMIT_COUNT; i++)
        limits->value[i] = NAN;
}

const char *tp_limit_key(enum tp_limit limit)
{
    return limits_known[limit].key;
}

const char *tp_limit_figure_key(enum tp_limit limit)
{
    return limits_known[limit].figure;
}

double tp_limit_figure(enum tp_limit limit, const struct tp_figures *f)
{
    const struct limit *l = &limits_known[limit];
    const char *at = (const char *)f + l->offset;
    uint64_t bytes;
    double value;

    if (!(l->flags & BYTES)) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    memcpy(&bytes, at, sizeof bytes);
    return bytes ? (double)bytes : NAN;
}

double tp_limit_distance(enum tp_limit limit, const struct tp_limits *limits,
                         const struct tp_figures *f)
{
    double wanted = limits->value[limit], value = tp_limit_figure(limit, f);

    if (isnan(wanted))
        return 0;
    if (!isfinite(value))
        return INFINITY;
    if (limits_known[limit].flags & LOWEST)
        return value >= wanted ? 0 : value > 0 ? wanted / value - 1 : INFINITY;
    return value <= wanted ? 0 : wanted > 0 ? value / wanted - 1 : value - wanted;
}

bool tp_limits_met(const struct tp_limits *limits, const struct tp_figures *f)
{
    for (int i = 0; i < TP_LIMIT_COUNT; i++)
        if (tp_limit_distance((enum tp_limit)i, limits, f) > 0)
            return false;
    return true;
}

#define NUMBER_TEXT 32

/* EXACT: bytes as a whole number. Other figures have no more than these digits. */
static void print_number(const struct limit *l, double value, bool exact, char out[NUMBER_TEXT])
{
    if (l->flags & BYTES && !exact)
        tp_size_print((uint64_t)value, out);
    else
        snprintf(out, NUMBER_TEXT, l->flags & BYTES ? "%.0f B" : "%.6g%s", value, l->unit);
}

/* Append to WHY that F misses limit I; MORE may be "". */
static void explain_one(int i, const struct tp_limits *limits, const struct tp_figures *f,
                        const char *more, char why[TP_WHY_MAX])
{
    const struct limit *l = &limits_known[i];
    double value = tp_limit_figure((enum tp_limit)i, f), wanted = limits->value[i];
    char figure[NUMBER_TEXT], limit[NUMBER_TEXT];
    size_t len = strlen(why);

    print_number(l, wanted, false, limit);
    if (isnan(value)) {
        snprintf(why + len, TP_WHY_MAX - len, "%s%s is not known, and %s is %s", len ? "; " : "",
                 l->figure, l->key, limit);
        return;
    }
    print_number(l, value, false, figure);
    if (!strcmp(figure, limit)) {
        print_number(l, wanted, true, limit);
        print_number(l, value, true, figure);
    }
    snprintf(why + len, TP_WHY_MAX - len, "%s%s %s%s is %s %s %s", len ? "; " : "", l->figure,
             figure, more, l->flags & LOWEST ? "below" : "above", l->key, limit);
}

void tp_limits_explain(const struct tp_limits *limits, const struct tp_figures *f,
                       char why[TP_WHY_MAX])
{
    why[0] = '\0';
    for (int i = 0; i < TP_LIMIT_COUNT; i++)
        if (tp_limit_distance((enum tp_limit)i, limits, f) > 0)
            explain_one(i, limits, f, "", why);
}

bool tp_limits_missed_surely(const struct tp_limits *limits, const struct tp_figures *f,
                             char why[TP_WHY_MAX])
{
    double lowest = f->ppl_delta - 2 * f->ppl_delta_error;
    char more[64];

    why[0] = '\0';
    for (int i = 0; i < TP_LIMIT_COUNT; i++)
        if (limits_known[i].flags & SETTLED && !isnan(tp_limit_figure((enum tp_limit)i, f)) &&
            tp_limit_distance((enum tp_limit)i, limits, f) > 0)
            explain_one(i, limits, f, "", why);
    /* One token has no standard error. Comparisons with NAN are false. */
    if (f->scored_tokens > 1 && lowest > limits->value[TP_LIMIT_PPL_DELTA]) {
        snprintf(more, sizeof more, " less two standard errors of %.3g %%", f->ppl_delta_error);
        explain_one(TP_LIMIT_PPL_DELTA, limits, f, more, why);
    }
    return why[0] != '\0';
}

void tp_limit_put(struct tp_json_writer *json, const char *key, enum tp_limit limit, double value)
{
    if (limits_known[limit].flags & BYTES)
        tp_json_put_u64(json, key, (uint64_t)value);
    else
        tp_json_put_double(json, key, value);
}

void tp_limits_put(struct tp_json_writer *json, const char *key, const struct tp_limits *limits)
{
    tp_json_begin_object(json, key);
    for (int i = 0; i < TP_LIMIT_COUNT; i++)
        if (!isnan(limits->value[i]))
            tp_limit_put(json, limits_known[i].key, (enum tp_limit)i, limits->value[i]);
    tp_json_end_object(json);
}
