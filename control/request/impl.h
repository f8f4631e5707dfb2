/* SPDX-License-Identifier: MIT */
/* Setting the values of a request, from any form. */
#ifndef TP_CONTROL_REQUEST_IMPL_H
#define TP_CONTROL_REQUEST_IMPL_H

#include "control/request/request.h"

/* The form of a value: a word, or a JSON value of this type; a list has commas between names. */
enum tp_value_form { TP_FORM_WORD, TP_FORM_STRING, TP_FORM_NUMBER, TP_FORM_BOOL, TP_FORM_LIST };

/* --- value.c: one value, held by a member of the structure at BASE --- */

/* --- value.c --- */

/*
 * Set the member of KEY in the structure BASE. TEXT: LEN bytes, unchecked. On failure the member is
 * unchanged.
 */
int tp_value_from_text(const struct tp_key *key, enum tp_value_form form, const char *text,
                       size_t len, void *base, struct tp_error *err);
/* STRICT: as in tp_request_from_json. */
int tp_value_from_json(const struct tp_key *key, const struct tp_json *value, bool strict,
                       void *base, struct tp_error *err);
void tp_value_to_json(const struct tp_key *key, const char *name, const void *base,
                      struct tp_json_writer *json);
bool tp_value_is_same(const struct tp_key *key, const void *a, const void *b);

/* Set the default of KEY, if it has one. */
void tp_value_set_default(const struct tp_key *key, void *base);

/* Whether TEXT is UTF-8 of at most MAX bytes without control characters. */
bool tp_value_is_text(const char *text, size_t len, size_t max);
/*
 * Whether TEXT can be the name of an entry of the directory: it leads nowhere else, and is not
 * hidden.
 */
bool tp_value_is_name(const char *text, size_t len);
/* Whether TEXT is the id "org/name" of a model on the hub. */
bool tp_value_is_hub_id(const char *text, size_t len);
/* Write TEXT, a name or an id of the hub, as the name of the model in the directory. */
int tp_value_read_model(const char *text, size_t len, char out[TP_NAME_MAX + 1],
                        struct tp_error *err);
/* Append a name of an array to LIST of SIZE bytes, which has *USED; the list has no NUL. */
int tp_value_add_name(const char *name, size_t len, char *list, size_t *used, size_t size,
                      struct tp_error *err);
/* Copy untrusted text, shortened and printable, for a message. */
const char *tp_value_quote(const char *text, size_t len, char out[64]);

/* --- request.c: a request, member by member --- */

/* --- request.c --- */

/* "model" or "job_id": the key of the subject in JSON. */
const char *tp_request_subject_key(enum tp_verb verb);

/* Whether TEXT is the id "org/name" of a model on the hub, which the verb takes as a name. */
bool tp_request_is_hub_id(const struct tp_request *request, const char *text, size_t len);

void tp_request_begin(struct tp_request *request, enum tp_verb verb);
int tp_request_set_subject(struct tp_request *request, const char *text, size_t len,
                           struct tp_error *err);
int tp_request_set_retry(struct tp_request *request, const char *text, size_t len,
                         struct tp_error *err);
/* The key with this name, if it was not given before. NULL: ERR names the valid keys. */
const struct tp_key *tp_request_find_key(const struct tp_request *request, const char *name,
                                         size_t len, struct tp_error *err);
/* Mark KEY as given. */
void tp_request_mark_given(struct tp_request *request, const struct tp_key *key);
/* Set the key NAME from text. NAME may be "id". */
int tp_request_set(struct tp_request *request, const char *name, size_t name_len,
                   enum tp_value_form form, const char *text, size_t len, struct tp_error *err);
/* Set the defaults of all other keys, and check the request. */
int tp_request_end(struct tp_request *request, struct tp_error *err);

/* --- json.c --- */

/*
 * Read one request that begins with '{' at *POS. *POS becomes its end, or the position of the
 * error.
 */
int tp_request_read_object(enum tp_verb verb, const char *text, size_t len, size_t *pos,
                           struct tp_request *out, struct tp_error *err);

#endif
