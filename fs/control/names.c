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
        return ENOENT;
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
            return ENOENT;
        if (out->kind == TP_CONTROL_JOB)
            memcpy(out->name, name, strlen(name));
        return 0;
    }
    for (size_t i = 0; (fixed = tp_control_fixed(parent->kind, i, out)); i++)
        if (strcmp(fixed, name) == 0) {
            memcpy(out->name, parent->name, sizeof out->name);
            return 0;
        }
    return ENOENT;
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

struct listing {
    struct tp_control *control;
    struct tp_control_node *node;
    struct tp_buffer names; /* each with its 0 */
    struct listing_item {
        size_t name;
        uint64_t ino;
        mode_t type;
    } * items;
    size_t n, cap;
    bool read; /* from its beginning, already */
};

static void clear(struct listing *listing)
{
    tp_buffer_clear(&listing->names);
    free(listing->items);
    listing->items = NULL;
    listing->n = listing->cap = 0;
}

static int add(struct listing *listing, const char *name, const struct tp_control_id *id)
{
    if (listing->n == listing->cap) {
        size_t cap = listing->cap ? 2 * listing->cap : 32;
        struct listing_item *items = realloc(listing->items, cap * sizeof *items);
        if (!items)
            return ENOMEM;
        listing->items = items;
        listing->cap = cap;
    }
    size_t at = listing->names.len;
    if (tp_buffer_append(&listing->names, name, strlen(name) + 1) < 0)
        return ENOMEM;
    mode_t type = tp_control_is_dir(id->kind)   ? S_IFDIR
                  : id->kind == TP_CONTROL_LAST ? S_IFLNK
                                                : S_IFREG;
    listing->items[listing->n++] = (struct listing_item){at, tp_control_ino(id), type};
    return 0;
}

static int add_models(struct listing *listing)
{
    struct tp_error err = {0};
    struct tp_store_model *models;
    size_t n;
    int rc = tp_store_models(listing->control->fs->store, &models, &n, &err);

    if (rc < 0)
        return tp_fs_failed(listing->control->fs, rc, &err);
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
static int add_jobs(struct listing *listing)
{
    struct tp_error err = {0};
    struct tp_control_id id = {.kind = TP_CONTROL_LAST};
    struct tp_job_status *jobs;
    char last[TP_JOB_ID_MAX];
    size_t n;
    int rc = tp_jobs_list(listing->control->jobs, &jobs, &n, &err);

    if (rc < 0)
        return tp_fs_failed(listing->control->fs, rc, &err);
    if (tp_jobs_last(listing->control->jobs, last) == 0)
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
static int add_fixed(struct listing *listing)
{
    const struct tp_control_id *dir = &listing->node->id;
    struct tp_job_status status;
    struct tp_control_id id;
    const char *name;
    int rc = 0;

    if (dir->kind == TP_CONTROL_JOB &&
        tp_jobs_get(listing->control->jobs, dir->name, &status, NULL) < 0)
        return ENOENT;
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

static int fill(struct listing *listing)
{
    int rc;

    clear(listing);
    if (!tp_control_enter(listing->control))
        return ESHUTDOWN;
    switch (listing->node->id.kind) {
    case TP_CONTROL_MODELS:
        rc = add_models(listing);
        break;
    case TP_CONTROL_JOBS:
        rc = add_jobs(listing);
        break;
    default:
        rc = add_fixed(listing);
        break;
    }
    tp_control_leave(listing->control);
    return rc;
}

void tp_control_list_open(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct listing *listing = calloc(1, sizeof *listing);
    int rc = ENOMEM;

    if (listing) {
        listing->control = fs->control;
        listing->node = (struct tp_control_node *)node;
        rc = fill(listing);
    }
    fi->fh = (uint64_t)(uintptr_t)listing;
    if (rc != 0) {
        fuse_reply_err(req, rc);
        if (listing)
            tp_control_list_release(fi);
    } else if (fuse_reply_open(req, fi) == -ENOENT) {
        tp_control_list_release(fi);
    }
}

void tp_control_list_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi,
                          bool plus)
{
    struct listing *listing = (struct listing *)(uintptr_t)fi->fh;
    char *buffer = tp_thread_buffer();
    size_t used = 0;
    int rc = buffer ? 0 : ENOMEM;

    if (rc == 0 && off == 0 && listing->read)
        rc = fill(listing);
    if (rc != 0) {
        fuse_reply_err(req, rc);
        return;
    }
    listing->read = true;
    if (size > TP_MAX_READ)
        size = TP_MAX_READ;
    for (size_t i = (size_t)off; i < listing->n; i++) {
        const struct listing_item *item = &listing->items[i];
        const char *name = (const char *)listing->names.data + item->name;
        struct fuse_entry_param entry = {
            .attr = {.st_ino = (ino_t)item->ino, .st_mode = item->type}};
        size_t n = plus ? fuse_add_direntry_plus(req, buffer + used, size - used, name, &entry,
                                                 (off_t)i + 1)
                        : fuse_add_direntry(req, buffer + used, size - used, name, &entry.attr,
                                            (off_t)i + 1);
        if (n > size - used)
            break;
        used += n;
    }
    fuse_reply_buf(req, buffer, used);
}

void tp_control_list_release(struct fuse_file_info *fi)
{
    struct listing *listing = (struct listing *)(uintptr_t)fi->fh;

    clear(listing);
    free(listing);
}
