/* SPDX-License-Identifier: MIT */
/* Estimates for people. */
#ifndef TP_CLI_ESTIMATE_H
#define TP_CLI_ESTIMATE_H

#include "control/verb/result.h"

/* "120 MiB of 310 MiB (118 .. 122 MiB), 2.6x smaller, ..." and a line on the base. */
void tp_estimate_print(const struct tp_base_choice *choice, const struct tp_estimate *estimate);

#endif
