/* SPDX-License-Identifier: MIT */
/* The cheapest candidate that meets every limit, and why the others lost. */
#include <config.h>

#include "optimizer/search/choice.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What a token costs, in dollars or in seconds: INFINITY if that is not known. */
static double cost_of(const struct tp_figures *f, bool priced)
{
    double cost = priced ? f->cost_per_1m_tokens : 1 / f->throughput_tps;

    return cost >= 0 ? cost : INFINITY;
}

static bool can_win(const struct tp_figures *f, const struct tp_limits *limits)
{
    return f->state == TP_CANDIDATE_COMPLETE && tp_limits_met(limits, f);
}

static bool is_cheaper(const struct tp_figures *a, const struct tp_figures *b, bool priced)
{
    double x = cost_of(a, priced), y = cost_of(b, priced);

    return x < y || (x == y && a->pack_bytes < b->pack_bytes);
}

/*
 * The largest distance from a limit, and this limit; 0: no limit is missed. KNOWN: without the
 * figures that are not known.
 */
static double worst_distance(const struct tp_figures *f, const struct tp_limits *limits, bool known,
                             enum tp_limit *at)
{
    double worst = 0;

    for (int i = 0; i < TP_LIMIT_COUNT; i++) {
        enum tp_limit limit = (enum tp_limit)i;
        double distance = tp_limit_distance(limit, limits, f);

        if (distance > worst && !(known && isnan(tp_limit_figure(limit, f)))) {
            worst = distance;
            *at = limit;
        }
    }
    return worst;
}

static void find_nearest(const struct tp_figures *table, size_t n, const struct tp_limits *limits,
                         enum tp_candidate_state state, struct tp_choice *out)
{
    for (size_t i = 0; i < n; i++) {
        enum tp_limit at = TP_LIMIT_PPL_DELTA;
        double distance = worst_distance(&table[i], limits, state == TP_CANDIDATE_DROPPED, &at);

        if (table[i].state == state && distance > 0 && distance < out->distance) {
            out->nearest = i;
            out->binding = at;
            out->distance = distance;
        }
    }
}

void tp_choice_make(const struct tp_figures *table, size_t n, const struct tp_limits *limits,
                    bool priced, struct tp_choice *out)
{
    *out = (struct tp_choice){
        .winner = TP_CHOICE_NONE, .nearest = TP_CHOICE_NONE, .distance = INFINITY};
    for (size_t i = 0; i < n; i++)
        if (can_win(&table[i], limits) &&
            (out->winner == TP_CHOICE_NONE || is_cheaper(&table[i], &table[out->winner], priced)))
            out->winner = i;
    if (out->winner != TP_CHOICE_NONE)
        return;
    find_nearest(table, n, limits, TP_CANDIDATE_COMPLETE, out);
    if (out->nearest == TP_CHOICE_NONE)
        find_nearest(table, n, limits, TP_CANDIDATE_DROPPED, out);
}

/* What WINNER has over F, which meets all limits too. */
static void compare(struct tp_figures *f, const struct tp_figures *winner, bool priced)
{
    double cost = cost_of(f, priced), least = cost_of(winner, priced);
    char *why = f->why;

    if (isinf(cost) && f->why[0] && isfinite(least))
        return; /* why it is not known */
    if (isinf(cost) && isfinite(least))
        snprintf(why, TP_WHY_MAX, "its cost is not known");
    else if (cost > least && priced)
        snprintf(why, TP_WHY_MAX, "1M tokens cost $%.6g, with %s $%.6g", cost, winner->name, least);
    else if (cost > least)
        snprintf(why, TP_WHY_MAX, "throughput_tps %.6g is below the %.6g of %s", 1 / cost,
                 1 / least, winner->name);
    else if (f->pack_bytes > winner->pack_bytes)
        snprintf(why, TP_WHY_MAX,
                 isinf(cost) ? "larger than %s, and no cost is known"
                             : "as cheap as %s, and larger",
                 winner->name);
    else
        snprintf(why, TP_WHY_MAX, "as cheap and as small as %s, which is listed first",
                 winner->name);
}

void tp_choice_explain(struct tp_figures *table, size_t n, const struct tp_limits *limits,
                       bool priced, const struct tp_choice *choice)
{
    for (size_t i = 0; i < n; i++) {
        struct tp_figures *f = &table[i];

        if (f->state == TP_CANDIDATE_DROPPED)
            continue;
        if (i == choice->winner)
            f->why[0] = '\0';
        else if (f->state == TP_CANDIDATE_PENDING)
            snprintf(f->why, TP_WHY_MAX, "not measured completely");
        else if (!tp_limits_met(limits, f))
            tp_limits_explain(limits, f, f->why);
        else
            compare(f, &table[choice->winner], priced);
    }
}
