/* SPDX-License-Identifier: MIT */
/*
 * The names of the control directory: what each is, its number, and the listing of its directories.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "fs/control/control_impl.h"
#include "fs/list.h"

static const char json_suffix[] = ".json";

/* Those of the top that are not verbs. */
static const struct {
    const char *name;
    enum tp_control_kind kind;
} top[] = {
    {"README", TP_CONTROL_README},
    {"candidates.json", TP_CONTROL_CANDIDATES},
    {"dashboard.html", TP_CONTROL_DASHBOARD},
    {"error_log", TP_CONTROL_ERRORS},
    {"events", TP_CONTROL_EVENTS},
    {"hardware.json", TP_CONTROL_HARDWARE},
    {"jobs", TP_CONTROL_JOBS},
    {"knobs", TP_CONTROL_KNOBS},
    {"metrics", TP_CONTROL_METRICS},
    {"models", TP_CONTROL_MODELS},
    {"models.json", TP_CONTROL_MODEL_ROWS},
    {"schema", TP_CONTROL_SCHEMAS},
    {"status.json", TP_CONTROL_STATUS},
};

#define TOP_N (sizeof top / sizeof *top)

static const struct {
    const char *name;
    enum tp_control_kind kind;
} of_job[] = {
    {"request.json", TP_CONTROL_JOB_FILE}, {"status.json", TP_CONTROL_JOB_STATUS},
    {"report.json", TP_CONTROL_JOB_FILE},  {"exit", TP_CONTROL_JOB_FILE},
    {"log", TP_CONTROL_JOB_LOG},           {"wait", TP_CONTROL_JOB_WAIT},
};

#define OF_JOB_N (sizeof of_job / sizeof *of_job)

const char *tp_control_job_file(unsigned which)
{
    return of_job[which].name;
}

const char *tp_control_fixed(enum tp_control_kind kind, size_t i, struct tp_control_id *out)
{
    *out = (struct tp_control_id){.which = (unsigned)i};
    if (kind == TP_CONTROL_TOP && i < TOP_N) {
        *out = (struct tp_control_id){.kind = top[i].kind};
        return top[i].name;
    }
    if (kind == TP_CONTROL_TOP && i < TOP_N + TP_VERB_COUNT) {
        out->kind = TP_CONTROL_VERB;
        out->which = (unsigned)(i - TOP_N);
        return tp_verb_get((enum tp_verb)out->which)->name;
    }
    if (kind == TP_CONTROL_SCHEMAS && i < tp_schema_count()) {
        out->kind = TP_CONTROL_SCHEMA;
        return tp_schema_name(i);
    }
    if (kind == TP_CONTROL_KNOBS) {
        out->kind = TP_CONTROL_KNOB;
        return tp_knob_name((unsigned)i);
    }
    if (kind == TP_CONTROL_JOB && i < OF_JOB_N) {
        out->kind = of_job[i].kind;
        return of_job[i].name;
    }
    return NULL;
}

/* NAME.json of models/. */
static int resolve_model(const char *name, struct tp_control_id *out)
{
    size_t len = strlen(name), tail = sizeof json_suffix - 1;

    if (len <= tail || len - tail >= sizeof out->name ||
        strcmp(name + len - tail, json_suffix) != 0)
        return -ENOENT;
    *out = (struct tp_control_id){.kind = TP_CONTROL_MODEL};
    memcpy(out->name, name, len - tail);
    return 0;
}

int tp_control_resolve(const struct tp_control_id *parent, const char *name,
                       struct tp_control_id *out)
{
    const char *fixed;

    if (parent->kind == TP_CONTROL_MODELS)
        return resolve_model(name, out);
    if (parent->kind == TP_CONTROL_JOBS) {
        *out = (struct tp_control_id){.kind = strcmp(name, "last") == 0 ? TP_CONTROL_LAST
                                                                        : TP_CONTROL_JOB};
        if (out->kind == TP_CONTROL_JOB && strlen(name) >= TP_JOB_ID_MAX)
            return -ENOENT;
        if (out->kind == TP_CONTROL_JOB)
            memcpy(out->name, name, strlen(name));
        return 0;
    }
    for (size_t i = 0; (fixed = tp_control_fixed(parent->kind, i, out)); i++)
        if (strcmp(fixed, name) == 0) {
            memcpy(out->name, parent->name, sizeof out->name);
            return 0;
        }
    return -ENOENT;
}

/* As those of packs, with the top bit, which DIR's own numbers never have. */
uint64_t tp_control_ino(const struct tp_control_id *id)
{
    char text[300];
    int n = snprintf(text, sizeof text, "control/%d/%u/%s", (int)id->kind, id->which, id->name);

    return tp_xxh3(text, (size_t)n) | (uint64_t)1 << 63;
}

uint64_t tp_control_number(void)
{
    const struct tp_control_id id = {.kind = TP_CONTROL_TOP};

    return tp_control_ino(&id);
}

/* --- Listing ---------------------------------------------------------------------------------- */

static int add(struct tp_listing *listing, const char *name, const struct tp_control_id *id)
{
    mode_t type = tp_control_is_dir(id->kind)   ? S_IFDIR
                  : id->kind == TP_CONTROL_LAST ? S_IFLNK
                                                : S_IFREG;

    return tp_listing_add(listing, name, strlen(name), tp_control_ino(id), type, false);
}

static int add_models(struct tp_control *control, struct tp_listing *listing)
{
    struct tp_error err = {0};
    struct tp_store_model *models;
    size_t n;
    int rc = tp_store_models(control->fs->store, &models, &n, &err);

    if (rc < 0)
        return tp_fs_failed(control->fs, rc, &err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct tp_control_id id = {.kind = TP_CONTROL_MODEL};
        char name[256];
        if (snprintf(id.name, sizeof id.name, "%s", models[i].name) >= (int)sizeof id.name ||
            snprintf(name, sizeof name, "%s%s", models[i].name, json_suffix) >= (int)sizeof name)
            continue;
        rc = add(listing, name, &id);
    }
    tp_store_models_free(models, n);
    return rc;
}

/* Between enter and leave. */
static int add_jobs(struct tp_control *control, struct tp_listing *listing)
{
    struct tp_error err = {0};
    struct tp_control_id id = {.kind = TP_CONTROL_LAST};
    struct tp_job_status *jobs;
    char last[TP_JOB_ID_MAX];
    size_t n;
    int rc = tp_jobs_list(control->jobs, &jobs, &n, &err);

    if (rc < 0)
        return tp_fs_failed(control->fs, rc, &err);
    if (tp_jobs_last(control->jobs, last) == 0)
        rc = add(listing, "last", &id);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        id = (struct tp_control_id){.kind = TP_CONTROL_JOB};
        snprintf(id.name, sizeof id.name, "%s", jobs[i].id);
        rc = add(listing, jobs[i].id, &id);
    }
    free(jobs);
    return rc;
}

/* Those of a job that are there now: it may have no report, and no end. Between enter and leave. */
static int add_fixed(struct tp_control *control, const struct tp_control_id *dir,
                     struct tp_listing *listing)
{
    struct tp_job_status status;
    struct tp_control_id id;
    const char *name;
    int rc = 0;

    if (dir->kind == TP_CONTROL_JOB && tp_jobs_get(control->jobs, dir->name, &status, NULL) < 0)
        return -ENOENT;
    for (size_t i = 0; rc == 0 && (name = tp_control_fixed(dir->kind, i, &id)); i++) {
        memcpy(id.name, dir->name, sizeof id.name);
        if (id.kind == TP_CONTROL_JOB_FILE && strcmp(name, "report.json") == 0 &&
            !status.has_report)
            continue;
        if (id.kind == TP_CONTROL_JOB_FILE && strcmp(name, "exit") == 0 &&
            !tp_job_state_is_end(status.state))
            continue;
        rc = add(listing, name, &id);
    }
    return rc;
}

int tp_control_snapshot(struct tp_fs *fs, struct tp_node *node, struct tp_listing *listing)
{
    const struct tp_control_id *dir = &((struct tp_control_node *)node)->id;
    struct tp_control *control = fs->control;

    tp_listing_clear(listing);
    if (!tp_control_enter(control))
        return -ESHUTDOWN;
    int rc = dir->kind == TP_CONTROL_MODELS ? add_models(control, listing)
             : dir->kind == TP_CONTROL_JOBS ? add_jobs(control, listing)
                                            : add_fixed(control, dir, listing);
    tp_control_leave(control);
    return rc;
}
