/* SPDX-License-Identifier: MIT */
/*
 * The report of a search as JSON, and the record of a candidate, from which an interrupted or
 * repeated search continues.
 */
#ifndef TP_OPTIMIZER_SEARCH_REPORT_H
#define TP_OPTIMIZER_SEARCH_REPORT_H

#include "optimizer/quantize/recipe.h"
#include "optimizer/search/choice.h"
#include "optimizer/search/hardware.h"
#include "optimizer/search/roofline.h"

/* What was chosen, from what and for what. Arrays have N elements; all of it is the caller's. */
struct tp_selection {
    size_t n;
    const struct tp_figures *table; /* for HARDWARE */
    /* Where the speed in TABLE is estimated: what was measured here. Otherwise NULL. */
    const struct tp_figures *measured;
    const struct tp_steps *steps;     /* NULL: nothing was timed */
    const struct tp_recipe **recipes; /* of the candidates; NULL: their groups are not reported */
    const struct tp_arch *arch;       /* of the model; where there are RECIPES */
    const struct tp_limits *limits;
    const struct tp_hardware *hardware;
    const struct tp_roofline *roofline; /* NULL: not calibrated */
    const struct tp_choice *choice;
};

/*
 * The members candidates_evaluated, candidates_total, winner, binding, pareto_front, limits,
 * hardware, roofline and all_candidates, into the object that is open.
 */
void tp_selection_put(struct tp_json_writer *json, const struct tp_selection *selection);

/*
 * A candidate's record: what was measured here, without what depends on the limits or the price.
 * The members "codec" and so on of tp_figures_put, and "steps"; KEY as in tp_json_begin_object.
 */
void tp_record_put(struct tp_json_writer *json, const char *key, const struct tp_figures *f,
                   const struct tp_steps *steps);
/*
 * Read the record of NAME. It is not trusted: -EBADMSG, also for one whose speed is estimated, or
 * that is complete without steps.
 */
int tp_record_get(const struct tp_json *object, const char *name, struct tp_figures *f,
                  struct tp_steps *steps, struct tp_error *err);

#endif
