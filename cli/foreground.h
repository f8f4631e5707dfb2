/* SPDX-License-Identifier: MIT */
/* Running a verb in this process, for a model that need not be in a store with jobs. */
#ifndef TP_CLI_FOREGROUND_H
#define TP_CLI_FOREGROUND_H

#include "cli/options.h"
#include "cli/argument.h"
#include "control/verb/verb.h"

/*
 * Run the verb of REQUEST for PLACE and print its result. With --json it is an object with the path
 * of PLACE as member KEY, added to ARRAY unless that is NULL. BASE: path of a base, or NULL. OUT:
 * path of the output, or NULL. Returns 1 if all is done, but there is not what the request looks
 * for.
 */
int tp_foreground_run(const struct tp_options *options, const struct tp_request *request,
                      const struct tp_argument *place, const char *base, const char *out,
                      const char *key, struct tp_json_writer *array, struct tp_error *err);

#endif
