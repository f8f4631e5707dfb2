/* SPDX-License-Identifier: MIT */
/* A verb that this process runs itself, on a place that need not lie in the store of a job. */
#ifndef TP_CLI_FOREGROUND_H
#define TP_CLI_FOREGROUND_H

#include "cli/options.h"
#include "cli/argument.h"
#include "control/verb/verb.h"

/*
 * Runs the verb of REQUEST at PLACE, and prints its result: with --json as an object whose member
 * KEY is the place's path, in ARRAY where that is not NULL. BASE is the path of a base, or NULL;
 * OUT what to write, or NULL.
 */
int tp_foreground_run(const struct tp_options *options, const struct tp_request *request,
                      const struct tp_argument *place, const char *base, const char *out,
                      const char *key, struct tp_json_writer *array, struct tp_error *err);

#endif
