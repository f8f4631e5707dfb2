/* SPDX-License-Identifier: MIT */
/* What the verbs share: keys, the table, checks, and reading of results. */
#ifndef TP_CONTROL_VERB_IMPL_H
#define TP_CONTROL_VERB_IMPL_H

#include "base/size.h"
#include "control/verb/verb.h"

extern const struct tp_verb_ops tp_verb_estimate, tp_verb_compress, tp_verb_restore, tp_verb_verify,
    tp_verb_evaluate, tp_verb_optimize;

extern const char *const tp_io_words[];

/* States of searches and calibrations that were not used for so long are removed. */
#define TP_SWEEP_DAYS 30

#define TP_MIB ((uint64_t)1 << 20)
#define TP_SIZE_HIGH ((uint64_t)1 << 50)

#define TP_REQUEST_AT(member) TP_KEY_AT(struct tp_request, member)

/* The last keys of every job, and the end of the table. */
/* clang-format off */
#define TP_JOB_KEYS                                                                                \
    {"threads", TP_KEY_NUMBER, NULL, 1, 1024, NULL, "threads to use (default: one for each CPU)",  \
     TP_REQUEST_AT(limits.threads)},                                                               \
    {"memory", TP_KEY_SIZE, "4GiB", 64 * TP_MIB, TP_SIZE_HIGH, NULL, "memory limit of the job",    \
     TP_REQUEST_AT(limits.memory)},                                                                \
    {"nice", TP_KEY_NUMBER, "10", 0, 19, NULL, "scheduling priority (nice value)",                 \
     TP_REQUEST_AT(limits.niceness)},                                                              \
    {"io", TP_KEY_WORD, "normal", 0, 0, tp_io_words, "priority of disk accesses",                  \
     TP_REQUEST_AT(limits.io)},                                                                    \
    {.name = NULL}
/* clang-format on */

/* --- check.c --- */

/* Fail for a name that is neither a directory nor a pack. */
int tp_target_fail(const struct tp_target *target, const char *name, struct tp_error *err);
/* Check that OTHER exists, for a request. Messages call it ROLE, as "the base". */
int tp_target_check_other(const struct tp_target *target, const char *other, const char *role,
                          struct tp_error *err);
/* Check that BASE exists, for a request for model NAME. */
int tp_target_check_base(const struct tp_target *target, const char *name, const char *base,
                         struct tp_error *err);
/*
 * The path of a model that is to be run: PATH, or model NAME of DIR: its directory or its pack. The
 * folder of a model in the hub's cache becomes its snapshot. Free *OUT with free(). -ENOENT.
 */
int tp_target_find_model(const char *dir, const char *path, const char *name, char **out,
                         struct tp_error *err);
/* Remove the temporary files of one model. */
void tp_target_sweep(const char *dir, const char *name);

/* --- print.c --- */

/*
 * WORK->path, or the path of the model in DIR with SUFFIX. Free it with free(). NULL: out of
 * memory.
 */
char *tp_work_path(const struct tp_work *work, const char *suffix);

/* Get a member of a result; 0 or "" if it is absent. */
uint64_t tp_result_number(const struct tp_json *result, const char *key);
double tp_result_decimal(const struct tp_json *result, const char *key);
const char *tp_result_text(const struct tp_json *result, const char *key);

/* Append untrusted text in printable form. */
void tp_print_text(struct tp_buffer *out, const char *text);
/* Append "  base: NAME (why)". */
void tp_print_base(struct tp_buffer *out, const struct tp_json *result);

#endif
