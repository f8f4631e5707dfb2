/* SPDX-License-Identifier: MIT */
/*
 * The choice among candidates: limits, their distances, the winner and the Pareto front against
 * direct searches over random tables, what is not a number, and the reasons.
 */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "optimizer/search/choice.h"
#include "optimizer/search/hardware.h"
#include "optimizer/search/pareto.h"
#include "optimizer/search/sizes.h"
#include "tests/tap.h"

enum { MOST = 12 };

/* A complete candidate with figures that meet usual limits. */
static struct tp_figures good(const char *name)
{
    struct tp_figures f;

    tp_figures_init(&f, name);
    f.state = TP_CANDIDATE_COMPLETE;
    f.pack_bytes = 1000;
    f.memory_bytes = 2000;
    f.compression = 4;
    f.scored_tokens = 100;
    f.ppl = 10;
    f.ppl_error = f.kl = f.kl_p99 = 0.1;
    f.ppl_delta = 1;
    f.ppl_delta_error = 0.25;
    f.same_top = 0.9;
    f.latency_ms = f.latency_p95_ms = f.latency_p99_ms = f.first_token_ms = 10;
    f.throughput_tps = 100;
    f.cost_per_1m_tokens = 2;
    f.quantize_seconds = 3;
    return f;
}

static struct tp_limits limit(enum tp_limit which, double value)
{
    struct tp_limits l;

    tp_limits_init(&l);
    l.value[which] = value;
    return l;
}

static void is_distance(enum tp_limit which, double wanted, const struct tp_figures *f, double want)
{
    struct tp_limits l = limit(which, wanted);
    double got = tp_limit_distance(which, &l, f);

    if (!ok(got == want || fabs(got - want) < 1e-12, "%s=%g", tp_limit_key(which), wanted))
        diag("distance %.17g, want %.17g", got, want);
    ok(tp_limits_met(&l, f) == (want == 0), "which is %smet", want == 0 ? "" : "not ");
}

static void test_distances(void)
{
    struct tp_figures f = good("x");
    struct tp_limits none;

    tp_limits_init(&none);
    ok(tp_limits_met(&none, &f), "without limits all are met");
    is_distance(TP_LIMIT_PPL_DELTA, 1, &f, 0);
    is_distance(TP_LIMIT_PPL_DELTA, 0.8, &f, 0.25);
    is_distance(TP_LIMIT_PPL_DELTA, 0, &f, 1);
    is_distance(TP_LIMIT_LATENCY, 8, &f, 0.25);
    is_distance(TP_LIMIT_LATENCY_P99, 10, &f, 0);
    is_distance(TP_LIMIT_THROUGHPUT, 125, &f, 0.25);
    is_distance(TP_LIMIT_THROUGHPUT, 0, &f, 0);
    is_distance(TP_LIMIT_COMPRESSION, 5, &f, 0.25);
    is_distance(TP_LIMIT_MEMORY, 1000, &f, 1);
    is_distance(TP_LIMIT_HARDWARE_MEMORY, 2000, &f, 0);
    f.ppl_delta = -3;
    is_distance(TP_LIMIT_PPL_DELTA, 0, &f, 0);
    f.ppl_delta = f.latency_ms = NAN;
    is_distance(TP_LIMIT_PPL_DELTA, 1, &f, INFINITY);
    is_distance(TP_LIMIT_LATENCY, INFINITY, &f, INFINITY);
    f.throughput_tps = INFINITY;
    is_distance(TP_LIMIT_THROUGHPUT, 1, &f, INFINITY);
    f.throughput_tps = 0;
    is_distance(TP_LIMIT_THROUGHPUT, 1, &f, INFINITY);
    f.ppl_delta = -INFINITY;
    is_distance(TP_LIMIT_PPL_DELTA, 1, &f, INFINITY);
    f.memory_bytes = 0;
    is_distance(TP_LIMIT_MEMORY, 1, &f, INFINITY);
}

/* --- Random tables --- */

/* Few different values, so that there are ties; now and then no number. */
static double pick(uint64_t *seed)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, 0, -1};
    uint64_t r = tap_random(seed);

    return r % 40 == 0 ? odd[r / 40 % 5] : 1 + (double)(r / 40 % 6) / 2;
}

static void fill(struct tp_figures *f, uint64_t *seed)
{
    tp_figures_init(f, "x");
    f->state = tap_random(seed) % 6 ? TP_CANDIDATE_COMPLETE
                                    : (enum tp_candidate_state)(tap_random(seed) % 2);
    f->pack_bytes = tap_random(seed) % 4;
    f->memory_bytes = tap_random(seed) % 4;
    f->ppl = pick(seed);
    f->ppl_delta = pick(seed);
    f->compression = pick(seed);
    f->latency_ms = pick(seed);
    f->latency_p99_ms = pick(seed);
    f->throughput_tps = pick(seed);
    f->cost_per_1m_tokens = pick(seed);
}

static void fill_limits(struct tp_limits *l, uint64_t *seed)
{
    tp_limits_init(l);
    for (int i = 0; i < TP_LIMIT_COUNT; i++)
        if (tap_random(seed) % 3 == 0)
            l->value[i] = 1 + (double)(tap_random(seed) % 6) / 2;
}

static bool at_most(double value, double highest)
{
    return isnan(highest) || (isfinite(value) && value <= highest);
}

static bool at_least(double value, double lowest)
{
    return isnan(lowest) || (isfinite(value) && value >= lowest);
}

/* The limits, written out. */
static bool meets(const struct tp_figures *f, const struct tp_limits *l)
{
    double memory = f->memory_bytes ? (double)f->memory_bytes : NAN;

    return at_most(f->ppl_delta, l->value[TP_LIMIT_PPL_DELTA]) &&
           at_most(f->latency_ms, l->value[TP_LIMIT_LATENCY]) &&
           at_most(f->latency_p99_ms, l->value[TP_LIMIT_LATENCY_P99]) &&
           at_least(f->throughput_tps, l->value[TP_LIMIT_THROUGHPUT]) &&
           at_least(f->compression, l->value[TP_LIMIT_COMPRESSION]) &&
           at_most(memory, l->value[TP_LIMIT_MEMORY]) &&
           at_most(memory, l->value[TP_LIMIT_HARDWARE_MEMORY]);
}

static double price_of(const struct tp_figures *f, bool priced)
{
    return priced ? f->cost_per_1m_tokens : 1 / f->throughput_tps;
}

/* Those of unknown cost are the last. */
static double rank_of(const struct tp_figures *f, bool priced)
{
    double cost = price_of(f, priced);

    return isfinite(cost) && cost >= 0 ? cost : INFINITY;
}

/* Whether I wins: it may, and of all others that may none is before it. */
static bool wins(const struct tp_figures *t, size_t n, const struct tp_limits *l, bool priced,
                 size_t i)
{
    for (size_t j = 0; j < n; j++) {
        double cost = rank_of(&t[j], priced), mine = rank_of(&t[i], priced);

        if (t[j].state != TP_CANDIDATE_COMPLETE || !meets(&t[j], l)) {
            if (j == i)
                return false;
            continue;
        }
        if (cost < mine || (cost == mine && t[j].pack_bytes < t[i].pack_bytes) ||
            (cost == mine && t[j].pack_bytes == t[i].pack_bytes && j < i))
            return false;
    }
    return true;
}

/* Whether J is comparable, no worse than I in all and better in one. */
static bool beats(const struct tp_figures *a, const struct tp_figures *b, bool priced)
{
    double x[] = {price_of(a, priced), a->ppl, a->latency_ms, (double)a->pack_bytes};
    double y[] = {price_of(b, priced), b->ppl, b->latency_ms, (double)b->pack_bytes};
    int better = 0, worse = 0;

    for (int k = 0; k < 4; k++) {
        better += x[k] < y[k];
        worse += x[k] > y[k];
    }
    return better && !worse;
}

static bool comparable(const struct tp_figures *f, bool priced)
{
    return f->state == TP_CANDIDATE_COMPLETE && isfinite(price_of(f, priced)) && isfinite(f->ppl) &&
           isfinite(f->latency_ms) && f->pack_bytes > 0;
}

static bool front_is_right(const struct tp_figures *t, size_t n, bool priced)
{
    bool front[MOST];

    tp_pareto_front(t, n, priced, front);
    for (size_t i = 0; i < n; i++) {
        bool want = comparable(&t[i], priced);

        for (size_t j = 0; j < n; j++)
            want = want && !(comparable(&t[j], priced) && beats(&t[j], &t[i], priced));
        if (front[i] != want)
            return false;
    }
    return true;
}

/* Each has a reason but the winner. */
static bool reasons_are_right(struct tp_figures *t, size_t n, const struct tp_limits *l,
                              bool priced, const struct tp_choice *c)
{
    for (size_t i = 0; i < n; i++)
        snprintf(t[i].why, sizeof t[i].why, "%s",
                 t[i].state == TP_CANDIDATE_DROPPED ? "dropped"
                 : isfinite(rank_of(&t[i], priced)) ? "old"
                                                    : "not measured");
    tp_choice_explain(t, n, l, priced, c);
    for (size_t i = 0; i < n; i++)
        if ((t[i].why[0] == '\0') != (i == c->winner) || !strcmp(t[i].why, "old"))
            return false;
    return true;
}

static void test_random(void)
{
    uint64_t seed = tap_seed();
    unsigned wrong = 0, wrong_front = 0, wrong_why = 0, winners = 0, nearest = 0;

    for (int round = 0; round < 20000; round++) {
        struct tp_figures t[MOST];
        struct tp_limits l;
        struct tp_choice c;
        size_t n = tap_random(&seed) % (MOST + 1), want = TP_CHOICE_NONE;
        bool priced = tap_random(&seed) % 2;

        for (size_t i = 0; i < n; i++)
            fill(&t[i], &seed);
        fill_limits(&l, &seed);
        for (size_t i = 0; i < n; i++)
            if (wins(t, n, &l, priced, i))
                want = i;
        tp_choice_make(t, n, &l, priced, &c);
        wrong += c.winner != want;
        winners += want != TP_CHOICE_NONE;
        nearest += c.nearest != TP_CHOICE_NONE;
        wrong += c.nearest != TP_CHOICE_NONE &&
                 (want != TP_CHOICE_NONE || !isfinite(c.distance) ||
                  c.distance != tp_limit_distance(c.binding, &l, &t[c.nearest]));
        wrong_front += !front_is_right(t, n, priced);
        wrong_why += !reasons_are_right(t, n, &l, priced, &c);
    }
    is_u64(wrong, 0, "the choice is that of a direct search");
    is_u64(wrong_front, 0, "the front is that of a direct search");
    is_u64(wrong_why, 0, "each that lost has a reason");
    ok(winners > 2000 && nearest > 2000, "%u tables have a winner, %u a nearest one", winners,
       nearest);
}

/* --- Single cases --- */

static void test_nearest(void)
{
    struct tp_figures t[] = {good("far"), good("near"), good("unknown"), good("dropped")};
    struct tp_limits l = limit(TP_LIMIT_PPL_DELTA, 2);
    struct tp_choice c;

    l.value[TP_LIMIT_LATENCY] = 8;
    t[0].ppl_delta = 1;
    t[0].latency_ms = 16;
    t[1].ppl_delta = 3;
    t[1].latency_ms = 10;
    t[2].ppl_delta = NAN;
    t[2].latency_ms = 8.1;
    t[3].state = TP_CANDIDATE_DROPPED;
    t[3].ppl_delta = 2.1;
    tp_choice_make(t, 4, &l, true, &c);
    ok(c.winner == TP_CHOICE_NONE && c.nearest == 1, "the nearest has the least largest distance");
    ok(c.binding == TP_LIMIT_PPL_DELTA && c.distance == 0.5, "which is that of the binding limit");
    t[0].state = t[1].state = t[2].state = TP_CANDIDATE_DROPPED;
    t[2].latency_ms = NAN;
    tp_choice_make(t, 3, &l, true, &c);
    ok(c.nearest == 1, "without a complete one, the nearest of the dropped ones");
    tp_choice_make(t + 2, 1, &l, true, &c);
    ok(c.nearest == TP_CHOICE_NONE, "one of which nothing is known is not near");
    tp_choice_make(NULL, 0, &l, true, &c);
    ok(c.winner == TP_CHOICE_NONE && c.nearest == TP_CHOICE_NONE, "no candidates");
}

static void test_reasons(void)
{
    struct tp_figures t[] = {good("best"), good("dear"), good("large"),
                             good("same"), good("bad"),  good("part")};
    struct tp_limits l = limit(TP_LIMIT_PPL_DELTA, 2);
    struct tp_choice c;

    t[1].cost_per_1m_tokens = 2.5;
    t[1].throughput_tps = 80;
    t[2].pack_bytes++;
    t[4].ppl_delta = 3.14159;
    t[4].memory_bytes = 3 << 20;
    l.value[TP_LIMIT_MEMORY] = 2 << 20;
    t[5].state = TP_CANDIDATE_PENDING;
    tp_choice_make(t, 6, &l, true, &c);
    tp_choice_explain(t, 6, &l, true, &c);
    is_u64(c.winner, 0, "the winner");
    is_str(t[0].why, "", "it did not lose");
    is_str(t[1].why, "1M tokens cost $2.5, with best $2", "one that costs more");
    is_str(t[2].why, "as cheap as best, and larger", "one that is larger");
    is_str(t[3].why, "as cheap and as small as best, which is listed first", "one of equals");
    is_str(t[4].why,
           "ppl_delta 3.14159 % is above max_ppl_delta 2 %; "
           "memory_bytes 3.00 MiB is above max_memory 2.00 MiB",
           "one that misses two limits");
    is_str(t[5].why, "not measured completely", "one that is not complete");
    tp_choice_explain(t, 6, &l, false, &c);
    is_str(t[1].why, "throughput_tps 80 is below the 100 of best", "one that is slower");
    t[1].throughput_tps = NAN;
    t[1].why[0] = '\0';
    tp_choice_explain(t, 6, &l, false, &c);
    is_str(t[1].why, "its cost is not known", "one without a cost");
    snprintf(t[1].why, sizeof t[1].why, "there was no time");
    tp_choice_explain(t, 6, &l, false, &c);
    is_str(t[1].why, "there was no time", "one without a cost, for a reason that is known");
    l.value[TP_LIMIT_THROUGHPUT] = 1;
    tp_choice_explain(t, 6, &l, false, &c);
    is_str(t[1].why, "throughput_tps is not known, and min_throughput_tps is 1 tokens/s",
           "one without a figure that is limited");
}

static void test_halving(void)
{
    struct tp_figures f = good("x");
    struct tp_limits l = limit(TP_LIMIT_PPL_DELTA, 0.5);
    char why[TP_WHY_MAX];

    ok(!tp_limits_missed_surely(&l, &f, why), "1 - 2 * 0.25 does not surely miss 0.5");
    is_str(why, "", "what is not missed has no reason");
    f.ppl_delta_error = 0.2;
    ok(tp_limits_missed_surely(&l, &f, why), "1 - 2 * 0.2 surely misses 0.5");
    is_str(why, "ppl_delta 1 % less two standard errors of 0.2 % is above max_ppl_delta 0.5 %",
           "which the reason says");
    f.scored_tokens = 1;
    ok(!tp_limits_missed_surely(&l, &f, why), "one token has no standard error");
    f.scored_tokens = 100;
    f.ppl_delta_error = NAN;
    ok(!tp_limits_missed_surely(&l, &f, why), "an unknown error drops nothing");
    f.ppl_delta = NAN;
    ok(!tp_limits_missed_surely(&l, &f, why), "an unknown delta drops nothing");
    l = limit(TP_LIMIT_LATENCY, 1);
    ok(!tp_limits_missed_surely(&l, &f, why), "a latency drops nothing before the end");
    l = limit(TP_LIMIT_COMPRESSION, 4.5);
    ok(tp_limits_missed_surely(&l, &f, why), "the size is what it is");
    is_str(why, "compression 4 is below min_compression 4.5", "as the reason says");
    f.compression = NAN;
    ok(!tp_limits_missed_surely(&l, &f, why), "if it is known");
    l = limit(TP_LIMIT_HARDWARE_MEMORY, 1999);
    ok(tp_limits_missed_surely(&l, &f, why), "a machine with too little memory");
    is_str(why, "memory_bytes 2000 B is above hardware_memory 1999 B", "is a reason");
}

static void test_foresight(void)
{
    struct tp_foresight best = {.elements = 4000, .pack_bytes = 2000, .memory_bytes = 3 << 20};
    struct tp_limits l = limit(TP_LIMIT_COMPRESSION, 4);
    struct tp_figures f;

    tp_figures_init(&f, "x");
    ok(!tp_figures_foresee(&f, &best, &l), "what may meet the limits is kept");
    ok(f.state == TP_CANDIDATE_PENDING && isnan(f.compression) && !f.memory_bytes, "as it was");
    l.value[TP_LIMIT_COMPRESSION] = 4.1;
    l.value[TP_LIMIT_MEMORY] = 2 << 20;
    ok(tp_figures_foresee(&f, &best, &l), "what misses a limit at best is dropped");
    is_str(f.why,
           "at best: compression 4 is below min_compression 4.1; "
           "memory_bytes 3.00 MiB is above max_memory 2.00 MiB",
           "with the reason");
    ok(f.state == TP_CANDIDATE_DROPPED && f.compression == 4 && f.memory_bytes == 3 << 20 &&
           f.pack_bytes == 0,
       "a dropped candidate has its sizes at best");
    tp_figures_init(&f, "x");
    best.elements = 4099999;
    best.pack_bytes = 2000000;
    l.value[TP_LIMIT_MEMORY] = NAN;
    ok(!tp_figures_foresee(&f, &best, &l),
       "a compression that is shown as 4.1 meets a limit of it");
    best.pack_bytes = 0;
    l.value[TP_LIMIT_MEMORY] = NAN;
    ok(!tp_figures_foresee(&f, &best, &l), "a size that is not known drops nothing");
}

static void test_hardware(void)
{
    struct tp_hardware rows[] = {
        {.name = "h100", .dollars_per_hour = 2.5},
        {"mine", "cpu", "my bill", 0.25, 1u << 30, 1e11, 1e12},
        {.name = "bare", .dollars_per_hour = 1},
        {.name = "local", .dollars_per_hour = 0.1},
        {.name = "odd", .dollars_per_hour = NAN},
    };
    struct tp_error err = {0};
    struct tp_hardware hw;

    is_int(tp_hardware_find(NULL, 0, "h100", &hw, &err), 0, "h100");
    ok(hw.dollars_per_hour == 8 && hw.memory_bytes == 80000000000u && !tp_hardware_is_local(&hw),
       "its price and memory");
    is_int(tp_hardware_find(rows, 5, "h100", &hw, &err), 0, "h100 with the user's price");
    ok(hw.dollars_per_hour == 2.5 && hw.read_bandwidth == 3350e9, "the rest is the table's");
    is_int(tp_hardware_find(rows, 5, "mine", &hw, &err), 0, "the user's machine");
    is_str(hw.source, "my bill", "its source");
    is_int(tp_hardware_find(rows, 5, "bare", &hw, &err), -EINVAL, "one without its rates");
    is_str(err.message, "hardware 'bare' has no memory, read bandwidth or rate of operations",
           "which the message says");
    is_int(tp_hardware_find(rows, 5, "local", &hw, &err), 0, "local");
    ok(hw.dollars_per_hour == 0.1 && hw.memory_bytes > 0 && tp_hardware_is_local(&hw),
       "its price is the user's, its memory the machine's");
    is_int(tp_hardware_find(rows, 5, "odd", &hw, &err), -EINVAL, "a price that is no number");
    is_int(tp_hardware_find(rows, 5, "h200", &hw, &err), -ENOENT, "one that is not there");
}

int main(void)
{
    test_distances();
    test_random();
    test_nearest();
    test_reasons();
    test_halving();
    test_foresight();
    test_hardware();
    return tap_done();
}
