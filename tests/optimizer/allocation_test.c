/* SPDX-License-Identifier: MIT */
/* Allocation under a budget, against all choices of small problems. */
#include <config.h>

#include <errno.h>

#include "optimizer/quantize/allocation.h"
#include "tests/tap.h"

enum { UNITS = 6, N = 4, PROBLEMS = 300 };

static struct tp_option options[UNITS * N];

/* Options whose loss falls as their bytes grow, but for some that are of no use. */
static void make_problem(uint64_t *state)
{
    for (unsigned u = 0; u < UNITS; u++) {
        double weight = 1 + (double)(tap_random(state) % 1000);

        for (unsigned k = 0; k < N; k++) {
            struct tp_option *o = &options[u * N + k];

            o->bytes = 100 * (k + 1) + tap_random(state) % 90;
            o->loss =
                weight / (double)(1u << (2 * k)) * (1 + (double)(tap_random(state) % 100) / 100);
        }
    }
}

/* The least loss of all choices within BUDGET. */
static double try_all(uint64_t budget)
{
    size_t choice[UNITS];
    double best = -1;

    for (unsigned i = 0; i < 1u << (2 * UNITS); i++) {
        struct tp_option sum;

        for (unsigned u = 0; u < UNITS; u++)
            choice[u] = i >> (2 * u) & 3;
        sum = tp_allocation_sum(options, UNITS, N, choice);
        if (sum.bytes <= budget && (best < 0 || sum.loss < best))
            best = sum.loss;
    }
    return best;
}

static void test_against_all(uint64_t *state)
{
    unsigned within = 0, best = 0, close = 0;
    double worst = 1;

    for (unsigned i = 0; i < PROBLEMS; i++) {
        size_t choice[UNITS];
        uint64_t budget;
        struct tp_option sum;
        double all;

        make_problem(state);
        budget = tp_allocation_least(options, UNITS, N) + tap_random(state) % 1500;
        if (tp_allocate(options, UNITS, N, budget, choice) < 0)
            continue;
        sum = tp_allocation_sum(options, UNITS, N, choice);
        all = try_all(budget);
        within += sum.bytes <= budget;
        best += sum.loss <= all * (1 + 1e-9);
        close += sum.loss <= all * 1.1;
        worst = sum.loss / all > worst ? sum.loss / all : worst;
    }
    printf("# best in %u of %d, worst ratio %.3f\n", best, PROBLEMS, worst);
    ok(within == PROBLEMS, "the budget is kept");
    ok(best > PROBLEMS * 8 / 10, "mostly the best of all choices");
    ok(close > PROBLEMS * 98 / 100 && worst < 1.5, "otherwise close to it");
}

static void test_bounds(uint64_t *state)
{
    size_t choice[UNITS], again[UNITS];
    uint64_t least;
    struct tp_option small, large;

    make_problem(state);
    least = tp_allocation_least(options, UNITS, N);
    ok(tp_allocate(options, UNITS, N, least - 1, choice) == -ENOSPC, "a budget that is too small");
    small = tp_allocation_sum(options, UNITS, N, choice);
    ok(small.bytes == least, "the smallest options then");
    ok(tp_allocate(options, UNITS, N, least, again) == 0 &&
           tp_allocation_sum(options, UNITS, N, again).bytes == least,
       "the smallest budget");
    ok(tp_allocate(options, UNITS, N, UINT64_MAX / 4, choice) == 0, "a budget for everything");
    large = tp_allocation_sum(options, UNITS, N, choice);
    for (unsigned u = 0; u < UNITS; u++)
        for (unsigned k = 0; k < N; k++)
            if (options[u * N + k].loss < options[u * N + choice[u]].loss)
                large.loss = -1;
    ok(large.loss >= 0, "the least loss of each");
    for (unsigned i = 0; i < UNITS * N; i++)
        options[i].loss = 1;
    ok(tp_allocate(options, UNITS, N, UINT64_MAX / 4, choice) == 0 &&
           tp_allocation_sum(options, UNITS, N, choice).bytes == least,
       "nothing is spent for nothing");
}

int main(void)
{
    uint64_t state = tap_seed();

    test_against_all(&state);
    test_bounds(&state);
    return tap_done();
}
