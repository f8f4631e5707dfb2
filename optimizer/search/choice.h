/* SPDX-License-Identifier: MIT */
/*
 * The choice: the cheapest complete candidate that meets every limit.
 *
 * With a price the cost decides, without one the time of a token (1 / throughput); where these are
 * equal, the smaller pack, then the order of the table. A candidate of which this figure is not
 * known is behind all of which it is.
 */
#ifndef TP_OPTIMIZER_SEARCH_CHOICE_H
#define TP_OPTIMIZER_SEARCH_CHOICE_H

#include <stddef.h>

#include "optimizer/search/limits.h"

#define TP_CHOICE_NONE SIZE_MAX

struct tp_choice {
    size_t winner; /* index; TP_CHOICE_NONE: no candidate meets all limits */
    /*
     * Without a winner: the complete candidate whose largest distance from a limit
     * (tp_limit_distance) is the smallest, the limit of this distance, which is the binding one,
     * and the distance. Where no candidate is complete, that of those that were dropped, by the
     * figures that are known. Of equal ones the first. TP_CHOICE_NONE: no such distance is finite.
     */
    size_t nearest;
    enum tp_limit binding;
    double distance;
};

/* PRICED: the hardware has a price. */
void tp_choice_make(const struct tp_figures *table, size_t n, const struct tp_limits *limits,
                    bool priced, struct tp_choice *out);

/*
 * Write into each candidate's WHY the reason why it lost: the limits that it misses, or what the
 * winner has over it. That of dropped candidates is there already, and so may be the reason why the
 * speed of a complete one is not known. The winner's is "".
 */
void tp_choice_explain(struct tp_figures *table, size_t n, const struct tp_limits *limits,
                       bool priced, const struct tp_choice *choice);

#endif
