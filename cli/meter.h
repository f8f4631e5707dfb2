/* SPDX-License-Identifier: MIT */
/* Progress on a terminal, and interruption by signals. */
#ifndef TP_CLI_METER_H
#define TP_CLI_METER_H

#include <stdbool.h>

#include "base/progress.h"

/*
 * SIGINT, SIGTERM and SIGHUP ask the operation to stop; a second signal ends the program at once.
 * Progress is shown if standard error is a terminal and QUIET is false. For one operation at a
 * time.
 */
const struct tp_progress *tp_meter_start(bool quiet);
/* Clear the line. */
void tp_meter_stop(void);
/* Print a line on standard error without disturbing the progress line; nothing if quiet. */
void tp_meter_note(void *unused, const char *line);

#endif
