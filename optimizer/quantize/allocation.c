/* SPDX-License-Identifier: MIT */
/* Choosing an option for each unit under a budget. */
#include <config.h>

#include "optimizer/quantize/allocation.h"

#include <errno.h>
#include <stdbool.h>

#define EXCHANGES 10000u /* at most; each saves something, so there are fewer */

struct allocation {
    const struct tp_option *options;
    size_t units, n;
    size_t *choice;
    uint64_t left; /* of the budget */
};

static const struct tp_option *option_of(const struct allocation *a, size_t unit, size_t k)
{
    return &a->options[unit * a->n + k];
}

/* What option K of UNIT takes more than the chosen one, and what it saves. */
static int64_t more_bytes(const struct allocation *a, size_t unit, size_t k)
{
    return (int64_t)option_of(a, unit, k)->bytes -
           (int64_t)option_of(a, unit, a->choice[unit])->bytes;
}

static double saving(const struct allocation *a, size_t unit, size_t k)
{
    return option_of(a, unit, a->choice[unit])->loss - option_of(a, unit, k)->loss;
}

static void choose(struct allocation *a, size_t unit, size_t k)
{
    a->left = (uint64_t)((int64_t)a->left - more_bytes(a, unit, k));
    a->choice[unit] = k;
}

/* The smallest option of UNIT; of equal ones that of the least loss. */
static size_t smallest(const struct tp_option *options, size_t n)
{
    size_t best = 0;

    for (size_t k = 1; k < n; k++)
        if (options[k].bytes < options[best].bytes ||
            (options[k].bytes == options[best].bytes && options[k].loss < options[best].loss))
            best = k;
    return best;
}

/* The step that saves the most for a byte, among those that fit. False: there is none. */
static bool find_step(const struct allocation *a, size_t *unit, size_t *option)
{
    double best = 0;
    bool found = false, is_free = false;

    for (size_t u = 0; u < a->units; u++)
        for (size_t k = 0; k < a->n; k++) {
            int64_t bytes = more_bytes(a, u, k);
            double saved = saving(a, u, k), rate = bytes > 0 ? saved / (double)bytes : saved;

            if (saved <= 0 || (bytes > 0 && (uint64_t)bytes > a->left))
                continue;
            /* What costs nothing comes first. */
            if (!found || (bytes <= 0 && !is_free) || ((bytes <= 0) == is_free && rate > best)) {
                found = true;
                is_free = bytes <= 0;
                best = rate;
                *unit = u;
                *option = k;
            }
        }
    return found;
}

/* Of UNIT, the option that saves the most with BYTES more; its own if there is none. */
static size_t best_within(const struct allocation *a, size_t unit, int64_t bytes)
{
    size_t best = a->choice[unit];

    for (size_t k = 0; k < a->n; k++)
        if (more_bytes(a, unit, k) <= bytes && saving(a, unit, k) > saving(a, unit, best))
            best = k;
    return best;
}

/* A smaller option of one unit for a better one of another. False: nothing is saved by that. */
static bool exchange(struct allocation *a)
{
    double best = 0;
    size_t from = 0, down = 0, to = 0, up = 0;

    for (size_t u = 0; u < a->units; u++)
        for (size_t k = 0; k < a->n; k++) {
            int64_t freed = -more_bytes(a, u, k);
            double lost = -saving(a, u, k);

            if (freed <= 0 || lost < 0)
                continue;
            for (size_t v = 0; v < a->units; v++) {
                size_t b = v == u ? a->choice[u] : best_within(a, v, (int64_t)a->left + freed);
                double saved = v == u ? 0 : saving(a, v, b) - lost;

                if (saved > best * (1 + 1e-12)) {
                    best = saved;
                    from = u;
                    down = k;
                    to = v;
                    up = b;
                }
            }
        }
    if (best <= 0)
        return false;
    choose(a, from, down);
    choose(a, to, up);
    return true;
}

uint64_t tp_allocation_least(const struct tp_option *options, size_t units, size_t n)
{
    uint64_t sum = 0;

    for (size_t u = 0; u < units; u++)
        sum += options[u * n + smallest(options + u * n, n)].bytes;
    return sum;
}

int tp_allocate(const struct tp_option *options, size_t units, size_t n, uint64_t budget,
                size_t *choice)
{
    struct allocation a = {options, units, n, choice, 0};
    uint64_t least = tp_allocation_least(options, units, n);
    size_t unit, option;

    for (size_t u = 0; u < units; u++)
        choice[u] = smallest(options + u * n, n);
    if (least > budget)
        return -ENOSPC;
    a.left = budget - least;
    while (find_step(&a, &unit, &option))
        choose(&a, unit, option);
    for (unsigned i = 0; i < EXCHANGES && exchange(&a); i++)
        while (find_step(&a, &unit, &option))
            choose(&a, unit, option);
    return 0;
}

struct tp_option tp_allocation_sum(const struct tp_option *options, size_t units, size_t n,
                                   const size_t *choice)
{
    struct tp_option sum = {0, 0};

    for (size_t u = 0; u < units; u++) {
        sum.bytes += options[u * n + choice[u]].bytes;
        sum.loss += options[u * n + choice[u]].loss;
    }
    return sum;
}
