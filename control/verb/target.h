/* SPDX-License-Identifier: MIT */
/* The part of the verb compress that quantizes: requests with target= or target_size=. */
#ifndef TP_CONTROL_VERB_TARGET_H
#define TP_CONTROL_VERB_TARGET_H

#include "control/verb/verb.h"

/* Whether a request quantizes. */
bool tp_compress_has_target(const struct tp_request *request);

/* As the members of struct tp_verb_ops. */
int tp_compress_check_values(const struct tp_request *request, struct tp_error *err);
int tp_compress_run_target(const struct tp_request *request, struct tp_work *work,
                           struct tp_error *err);
void tp_compress_print_target(const struct tp_json *result, const char *model,
                              struct tp_buffer *out);

#endif
