/* SPDX-License-Identifier: MIT */
/*
 * JSON: a tree for reading (strict: UTF-8 is checked, keys are unique, size and depth are bounded),
 * and a writer (base/json_write.h).
 */
#ifndef TP_BASE_JSON_H
#define TP_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"

#define TP_JSON_MAX (64u << 20)

struct tp_json;

/* -EBADMSG: not JSON; the message says where. -EFBIG: more than TP_JSON_MAX bytes. */
int tp_json_parse(const void *text, size_t len, struct tp_json **out, struct tp_error *err);
/* The same, but strings can have U+0000; keys cannot. */
int tp_json_parse_nul(const void *text, size_t len, struct tp_json **out, struct tp_error *err);
int tp_json_read_file(int dirfd, const char *path, struct tp_json **out, struct tp_error *err);
void tp_json_free(struct tp_json *root);
/* A tree that is released when its block is left (base/cleanup.h). */
#define tp_autojson tp_auto(tp_cleanup_json)
static inline void tp_cleanup_json(struct tp_json **root)
{
    tp_json_free(*root);
}

bool tp_json_is_object(const struct tp_json *v);
bool tp_json_is_array(const struct tp_json *v);
bool tp_json_is_null(const struct tp_json *v);
const struct tp_json *tp_json_get(const struct tp_json *object, const char *key);
/*
 * Members of an object or elements of an array, in the text's order: first, then next until NULL.
 */
size_t tp_json_count(const struct tp_json *v);
const struct tp_json *tp_json_first(const struct tp_json *v);
const struct tp_json *tp_json_next(const struct tp_json *v);
const char *tp_json_key(const struct tp_json *member);
/* NULL: it is no string, or has U+0000. */
const char *tp_json_string(const struct tp_json *v);
/* A string of *LEN bytes; NULL: it is none. */
const char *tp_json_text(const struct tp_json *v, size_t *len);
/* Whole numbers from 0 to 2^53 (what JSON can be trusted to carry); false for any other value. */
bool tp_json_u64(const struct tp_json *v, uint64_t *out);
bool tp_json_double(const struct tp_json *v, double *out);
bool tp_json_bool(const struct tp_json *v, bool *out);

#endif
