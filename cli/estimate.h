/* SPDX-License-Identifier: MIT */
/* Estimating from the command line: which base it would be, and the report. */
#ifndef TP_CLI_ESTIMATE_H
#define TP_CLI_ESTIMATE_H

#include "base/json.h"
#include "cli/place.h"
#include "store/match.h"

struct tp_base_choice {
    char name[256];  /* "" for none */
    char path[4096]; /* directory or pack */
    char why[TP_ERROR_MAX];
};

/* Find the base that BASE means ("auto" or NULL, "none", a name beside the model, a path) and estimate. */
int tp_estimate_against(const struct tp_place *model, const char *base, struct tp_base_choice *choice,
                        struct tp_estimate *estimate, struct tp_error *err);

/* Keys into the object that is open. */
void tp_estimate_json(struct tp_json_writer *json, const struct tp_base_choice *choice,
                      const struct tp_estimate *estimate);
/* "120 MiB of 310 MiB (118 .. 122 MiB), 2.6x smaller, ..." and a line on the base. */
void tp_estimate_print(const struct tp_base_choice *choice, const struct tp_estimate *estimate);

#endif
