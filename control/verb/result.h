/* SPDX-License-Identifier: MIT */
/*
 * Reports: what was found or done, as JSON. A job's report.json is an object with "schema"
 * (tenpak.report/1), "id", "verb", "model", "state", "error" (null, or errno, name, message) and
 * "result" (null, or keys that go by the verb); the command line prints the same keys.
 */
#ifndef TP_CONTROL_RESULT_H
#define TP_CONTROL_RESULT_H

#include "base/json.h"
#include "control/jobs/jobs.h"
#include "store/match/match.h"
#include "store/ops.h"
#include "store/verify.h"

/* --- Choosing a base to estimate against --- */

struct tp_base_choice {
    char name[256];  /* "" for none */
    char path[4096]; /* directory or pack */
    char why[TP_ERROR_MAX];
};

/* Estimate the model at PATH, called NAME in directory DIR, against what BASE means: "auto" or
 * NULL, "none", a name in DIR, a path. LINKS: what becomes of the model's. */
int tp_estimate_against(const char *dir, const char *name, const char *path, enum tp_links links,
                        const char *base, struct tp_base_choice *choice,
                        struct tp_estimate *estimate, struct tp_error *err);

/* --- Keys into the object that is open --- */

/* LOGICAL by STORED; 0 where nothing is stored. */
double tp_result_ratio(uint64_t logical, uint64_t stored);
void tp_result_estimate(struct tp_json_writer *json, const struct tp_base_choice *choice,
                        const struct tp_estimate *estimate);
void tp_result_compress(struct tp_json_writer *json, const char *pack, bool removed,
                        const struct tp_compress_report *report);
void tp_result_restore(struct tp_json_writer *json, const char *directory, uint64_t bytes,
                       bool removed);
/* Of one pack; RC and ERR are what tp_pack_verify gave. */
void tp_result_verify(struct tp_json_writer *json, int rc, const struct tp_error *err,
                      const struct tp_verify_report *report);

/* --- report.json --- */

struct tp_report {
    struct tp_buffer buf;
    struct tp_json_writer json;
};

void tp_report_begin(struct tp_report *report, const char *id, enum tp_verb verb,
                     const char *subject);
/*
 * Without "result" among what was put since: it is null. Writes it into record FD, whole or not at
 * all.
 */
int tp_report_end(struct tp_report *report, int fd, bool has_result, enum tp_job_state state,
                  int error, const char *message, struct tp_error *err);

#endif
