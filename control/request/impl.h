/* SPDX-License-Identifier: MIT */
/* How a request is filled, value by value, whatever it is written in. */
#ifndef TP_CONTROL_REQUEST_IMPL_H
#define TP_CONTROL_REQUEST_IMPL_H

#include "control/request/request.h"

/* What a value was written as: words say everything as text, JSON has kinds of its own. */
enum tp_value_form { TP_FORM_WORD, TP_FORM_STRING, TP_FORM_NUMBER, TP_FORM_BOOL };

/* "model" or "job": the subject's key in JSON. */
const char *tp_request_subject_key(enum tp_verb verb);

void tp_request_begin(struct tp_request *request, enum tp_verb verb);
int tp_request_set_subject(struct tp_request *request, const char *text, size_t len,
                           struct tp_error *err);
/* KEY and TEXT are LEN bytes of anything, checked here. */
int tp_request_set(struct tp_request *request, const char *key, size_t key_len,
                   enum tp_value_form form, const char *text, size_t len, struct tp_error *err);
/* Defaults for what is not there yet; on failure the request is to be cleared by the caller. */
int tp_request_end(struct tp_request *request, struct tp_error *err);

/* One request that begins at *POS with '{'; *POS is moved behind it, or to what is wrong. */
int tp_request_read_object(enum tp_verb verb, const char *text, size_t len, size_t *pos,
                           struct tp_request *out, struct tp_error *err);

#endif
