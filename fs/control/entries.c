/* SPDX-License-Identifier: MIT */
/* The tables of the control directory: its entries and what they contain. */
#include <config.h>

#include "fs/control/entries.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "fs/control/events.h"
#include "fs/control/handles.h"
#include "fs/control/impl.h"
#include "fs/control/settings.h"
#include "fs/control/text.h"
#include "fs/control/wait.h"
#include "fs/control/write.h"
#include "fs/list.h"
#include "fs/status.h"

#define DIRECTORY (S_IFDIR | 0770)
#define FILE_MODE (S_IFREG | 0660)
#define LINK (S_IFLNK | 0777)

static const char json_suffix[] = ".json";

/* --- Documents: between enter and leave --------------------------------------------------------
 */

static int write_readme(struct tp_control *control, const struct tp_control_id *id,
                        struct tp_text *text, struct tp_error *err)
{
    (void)control;
    (void)id;
    (void)err;
    return tp_document_readme(&text->bytes);
}

static int write_candidates(struct tp_control *control, const struct tp_control_id *id,
                            struct tp_text *text, struct tp_error *err)
{
    (void)control;
    (void)id;
    return tp_document_candidates(&text->bytes, err);
}

static int write_hardware(struct tp_control *control, const struct tp_control_id *id,
                          struct tp_text *text, struct tp_error *err)
{
    struct tp_policy policy;

    (void)id;
    tp_jobs_get_policy(control->jobs, &policy, NULL);
    return tp_document_hardware(&policy, &text->bytes, err);
}

static int write_schema(struct tp_control *control, const struct tp_control_id *id,
                        struct tp_text *text, struct tp_error *err)
{
    size_t len;
    const char *schema = tp_schema_text(id->which, &len);

    (void)control;
    (void)err;
    return tp_buffer_append(&text->bytes, schema, len);
}

static int write_status(struct tp_control *control, const struct tp_control_id *id,
                        struct tp_text *text, struct tp_error *err)
{
    struct tp_mount_figures mount;
    struct tp_policy policy;

    (void)id;
    tp_status_get(control->fs, &mount);
    tp_jobs_get_policy(control->jobs, &policy, NULL);
    return tp_document_status(control->inventory, &policy, &mount, &text->bytes, err);
}

static int write_metrics(struct tp_control *control, const struct tp_control_id *id,
                         struct tp_text *text, struct tp_error *err)
{
    struct tp_mount_figures mount;

    (void)id;
    tp_status_get(control->fs, &mount);
    return tp_document_metrics(control->inventory, &mount, &text->bytes, err);
}

static int write_dashboard(struct tp_control *control, const struct tp_control_id *id,
                           struct tp_text *text, struct tp_error *err)
{
    struct tp_mount_figures mount;
    struct tp_policy policy;

    (void)id;
    tp_status_get(control->fs, &mount);
    tp_jobs_get_policy(control->jobs, &policy, NULL);
    return tp_document_dashboard(control->inventory, &policy, &mount, &text->bytes, err);
}

static int write_models(struct tp_control *control, const struct tp_control_id *id,
                        struct tp_text *text, struct tp_error *err)
{
    (void)id;
    return tp_document_models(control->inventory, &text->bytes, err);
}

static int write_model(struct tp_control *control, const struct tp_control_id *id,
                       struct tp_text *text, struct tp_error *err)
{
    return tp_document_model(control->inventory, id->name, &text->bytes, err);
}

static int write_help(struct tp_control *control, const struct tp_control_id *id,
                      struct tp_text *text, struct tp_error *err)
{
    (void)control;
    (void)err;
    return tp_verb_help((enum tp_verb)id->which, &text->bytes);
}

static int write_setting(struct tp_control *control, const struct tp_control_id *id,
                         struct tp_text *text, struct tp_error *err)
{
    return tp_setting_write(control, id->which, &text->bytes, err);
}

static int write_job_file(struct tp_control *control, const struct tp_control_id *id,
                          struct tp_text *text, struct tp_error *err)
{
    return tp_jobs_file(control->jobs, id->name, id->entry->name, &text->bytes, err);
}

static int write_job_status(struct tp_control *control, const struct tp_control_id *id,
                            struct tp_text *text, struct tp_error *err)
{
    struct tp_job_status status;
    int rc = tp_jobs_get(control->jobs, id->name, &status, err);

    return rc < 0 ? rc : tp_job_status_write(&status, &text->bytes);
}

/* --- Sizes and times ----------------------------------------------------------------------------
 */

static int attr_model(struct tp_control *control, const struct tp_control_id *id,
                      const struct tp_text *text, struct stat *st)
{
    struct tp_error err = {0};

    if (text)
        return 0;
    if (!tp_control_enter(control))
        return -ESHUTDOWN;
    int rc = tp_document_model_time(control->inventory, id->name, &st->st_mtim, &err);
    tp_control_leave(control);
    return rc < 0 ? tp_fs_log_failure(control->fs, rc, &err) : 0;
}

static int attr_jobs(struct tp_control *control, const struct tp_control_id *id,
                     const struct tp_text *text, struct stat *st)
{
    (void)id;
    (void)text;
    TP_LOCK_SCOPE(&control->lock);
    st->st_mtim = control->changed;
    return 0;
}

int tp_control_last_job(struct tp_control *control, char id[TP_JOB_ID_MAX])
{
    if (!tp_control_enter(control))
        return -ESHUTDOWN;
    int rc = tp_jobs_last(control->jobs, id);
    tp_control_leave(control);
    return rc;
}

static int attr_last(struct tp_control *control, const struct tp_control_id *id,
                     const struct tp_text *text, struct stat *st)
{
    char last[TP_JOB_ID_MAX];
    int rc = tp_control_last_job(control, last);

    if (rc < 0)
        return rc;
    st->st_size = (off_t)strlen(last);
    return attr_jobs(control, id, text, st);
}

static int job_status(struct tp_control *control, const char *job, struct tp_job_status *status)
{
    struct tp_error err = {0};

    if (!tp_control_enter(control))
        return -ESHUTDOWN;
    int rc = tp_jobs_get(control->jobs, job, status, &err);
    tp_control_leave(control);
    return rc < 0 ? tp_fs_log_failure(control->fs, rc, &err) : 0;
}

/* The time when the job was submitted. */
static int attr_job(struct tp_control *control, const struct tp_control_id *id,
                    const struct tp_text *text, struct stat *st)
{
    struct tp_job_status status;
    int rc = job_status(control, id->name, &status);

    (void)text;
    if (rc == 0)
        st->st_mtim = (struct timespec){status.created, 0};
    return rc;
}

static int attr_log(struct tp_control *control, const struct tp_control_id *id,
                    const struct tp_text *text, struct stat *st)
{
    struct stat log;
    int rc = attr_job(control, id, text, st);

    if (rc < 0)
        return rc;
    int fd = tp_control_log_fd(control, id->name);
    if (fd < 0)
        return fd;
    if (fstat(fd, &log) < 0)
        rc = -errno;
    close(fd);
    if (rc == 0) {
        st->st_size = log.st_size;
        st->st_mtim = log.st_mtim;
    }
    return rc;
}

/* The final status, when the job has ended. */
static int attr_wait(struct tp_control *control, const struct tp_control_id *id,
                     const struct tp_text *text, struct stat *st)
{
    struct tp_job_status status;
    tp_auto(tp_buffer_clear) struct tp_buffer end = {0};
    int rc = job_status(control, id->name, &status);

    (void)text;
    if (rc < 0)
        return rc;
    st->st_mtim = (struct timespec){status.created, 0};
    if (!tp_job_state_is_end(status.state))
        return 0;
    st->st_mtim.tv_sec = status.ended;
    rc = tp_job_status_write(&status, &end);
    st->st_size = (off_t)end.len;
    return rc;
}

/* --- Names --------------------------------------------------------------------------------------
 */

static const struct tp_control_entry model_entry, job_entry, last_entry;

static const char *nth_verb(unsigned i)
{
    return i < TP_VERB_COUNT ? tp_verb_get((enum tp_verb)i)->name : NULL;
}

static const char *nth_schema(unsigned i)
{
    return i < tp_schema_count() ? tp_schema_name(i) : NULL;
}

/* NAME.json in models/. */
static int find_model(const char *name, struct tp_control_id *out)
{
    size_t len = strlen(name), tail = sizeof json_suffix - 1;

    if (len <= tail || len - tail >= sizeof out->name ||
        strcmp(name + len - tail, json_suffix) != 0)
        return -ENOENT;
    *out = (struct tp_control_id){.entry = &model_entry};
    memcpy(out->name, name, len - tail);
    return 0;
}

static int find_job(const char *name, struct tp_control_id *out)
{
    *out = (struct tp_control_id){.entry = &last_entry};
    if (strcmp(name, last_entry.name) == 0)
        return 0;
    if (strlen(name) >= TP_JOB_ID_MAX)
        return -ENOENT;
    out->entry = &job_entry;
    memcpy(out->name, name, strlen(name));
    return 0;
}

int tp_control_find(const struct tp_control_id *dir, const char *name, struct tp_control_id *out)
{
    const struct tp_control_entry *of = dir->entry;
    const char *nth;

    if (of->find)
        return of->find(name, out);
    *out = *dir;
    for (const struct tp_control_entry *entry = of->entries; entry && entry->name; entry++)
        if (strcmp(entry->name, name) == 0) {
            out->entry = entry;
            return 0;
        }
    for (unsigned i = 0; of->nth && (nth = of->nth(i)); i++)
        if (strcmp(nth, name) == 0) {
            out->entry = of->item;
            out->which = i;
            return 0;
        }
    return -ENOENT;
}

bool tp_control_is_same(const struct tp_control_id *a, const struct tp_control_id *b)
{
    return a->entry == b->entry && a->which == b->which && strcmp(a->name, b->name) == 0;
}

/* As for packs: a hash with the top bit set, which DIR's own numbers never have. */
uint64_t tp_control_ino(const struct tp_control_id *id)
{
    char text[320];
    int n = snprintf(text, sizeof text, "control/%s/%u/%s", id->entry->name, id->which, id->name);

    return tp_xxh3(text, (size_t)n) | (uint64_t)1 << 63;
}

uint64_t tp_control_number(void)
{
    return tp_control_ino(&(struct tp_control_id){.entry = &tp_control_top});
}

/* --- Listing ------------------------------------------------------------------------------------
 */

static int add_entry(struct tp_listing *listing, const char *name, const struct tp_control_id *id)
{
    return tp_listing_add(listing, name, strlen(name), tp_control_ino(id), id->entry->mode & S_IFMT,
                          false);
}

static int list_models(struct tp_control *control, const struct tp_control_id *dir,
                       struct tp_listing *listing)
{
    struct tp_error err = {0};
    struct tp_store_model *models;
    size_t n;
    int rc = tp_store_models(control->fs->store, &models, &n, &err);

    (void)dir;
    if (rc < 0)
        return tp_fs_log_failure(control->fs, rc, &err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct tp_control_id id = {.entry = &model_entry};
        char name[256];
        if (snprintf(id.name, sizeof id.name, "%s", models[i].name) >= (int)sizeof id.name ||
            snprintf(name, sizeof name, "%s%s", models[i].name, json_suffix) >= (int)sizeof name)
            continue;
        rc = add_entry(listing, name, &id);
    }
    tp_store_models_free(models, n);
    return rc;
}

static int list_jobs(struct tp_control *control, const struct tp_control_id *dir,
                     struct tp_listing *listing)
{
    struct tp_error err = {0};
    struct tp_control_id id = {.entry = &last_entry};
    tp_autofree struct tp_job_status *jobs = NULL;
    char last[TP_JOB_ID_MAX];
    size_t n;
    int rc = tp_jobs_list(control->jobs, &jobs, &n, &err);

    (void)dir;
    if (rc < 0)
        return tp_fs_log_failure(control->fs, rc, &err);
    if (tp_jobs_last(control->jobs, last) == 0)
        rc = add_entry(listing, last_entry.name, &id);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        id = (struct tp_control_id){.entry = &job_entry};
        snprintf(id.name, sizeof id.name, "%s", jobs[i].id);
        rc = add_entry(listing, jobs[i].id, &id);
    }
    return rc;
}

/* The files that a job has now: there may be no report and no end yet. */
static int list_job(struct tp_control *control, const struct tp_control_id *dir,
                    struct tp_listing *listing)
{
    struct tp_control_id id = *dir;
    struct tp_job_status status;
    int rc = tp_jobs_get(control->jobs, dir->name, &status, NULL) < 0 ? -ENOENT : 0;

    for (id.entry = dir->entry->entries; rc == 0 && id.entry->name; id.entry++) {
        bool there = strcmp(id.entry->name, "report.json") == 0 ? status.has_report
                     : strcmp(id.entry->name, "exit") == 0      ? tp_job_state_is_end(status.state)
                                                                : true;
        if (there)
            rc = add_entry(listing, id.entry->name, &id);
    }
    return rc;
}

static int list_entries(const struct tp_control_id *dir, struct tp_listing *listing)
{
    const struct tp_control_entry *of = dir->entry;
    struct tp_control_id id = *dir;
    const char *name;
    int rc = 0;

    for (id.entry = of->entries; rc == 0 && id.entry && id.entry->name; id.entry++)
        rc = add_entry(listing, id.entry->name, &id);
    id.entry = of->item;
    for (id.which = 0; rc == 0 && of->nth && (name = of->nth(id.which)); id.which++)
        rc = add_entry(listing, name, &id);
    return rc;
}

int tp_control_list(struct tp_control *control, const struct tp_control_id *dir,
                    struct tp_listing *listing)
{
    tp_listing_clear(listing);
    if (!tp_control_enter(control))
        return -ESHUTDOWN;
    int rc =
        dir->entry->list ? dir->entry->list(control, dir, listing) : list_entries(dir, listing);
    tp_control_leave(control);
    return rc;
}

/* --- The tables ---------------------------------------------------------------------------------
 */

static const struct tp_control_entry verb_entry = {
    "VERB", FILE_MODE, .write = write_help, .made = TP_MADE_ONCE, .accept = tp_control_submit};

static const struct tp_control_entry schema_entry = {"schema/NAME.json", FILE_MODE,
                                                     .write = write_schema, .made = TP_MADE_ONCE};

static const struct tp_control_entry setting_entry = {
    "settings/NAME", FILE_MODE, .write = write_setting, .accept = tp_control_change_setting};

static const struct tp_control_entry model_entry = {"models/NAME.json", FILE_MODE,
                                                    .write = write_model, .made = TP_MADE_AT_OPEN,
                                                    .attr = attr_model};

static const struct tp_control_entry job_entries[] = {
    {"request.json", FILE_MODE, .write = write_job_file},
    {"status.json", FILE_MODE, .write = write_job_status, .has_news = tp_control_text_has_news},
    {"report.json", FILE_MODE, .write = write_job_file},
    {"exit", FILE_MODE, .write = write_job_file},
    {"log", FILE_MODE, .attr = attr_log, .open = tp_control_log_open, .read = tp_control_log_read,
     .pages = true},
    {"wait", FILE_MODE, .attr = attr_wait, .read = tp_control_wait_read,
     .has_news = tp_control_wait_has_news},
    {0},
};

static const struct tp_control_entry job_entry = {"jobs/ID", DIRECTORY, .entries = job_entries,
                                                  .list = list_job, .attr = attr_job};

static const struct tp_control_entry last_entry = {"last", LINK, .attr = attr_last};

static const struct tp_control_entry top_entries[] = {
    {"README", FILE_MODE, .write = write_readme, .made = TP_MADE_ONCE},
    {"candidates.json", FILE_MODE, .write = write_candidates, .made = TP_MADE_ONCE},
    {"dashboard.html", FILE_MODE, .write = write_dashboard},
    {"error_log", FILE_MODE, .write = tp_control_errors_write, .attr = tp_control_errors_attr,
     .read = tp_control_errors_read},
    {"events", FILE_MODE, .attr = tp_control_events_attr, .read = tp_control_events_read,
     .has_news = tp_control_events_has_news, .stream = true},
    {"hardware.json", FILE_MODE, .write = write_hardware, .made = TP_MADE_ONCE},
    {"jobs", DIRECTORY, .find = find_job, .list = list_jobs, .attr = attr_jobs},
    {"metrics", FILE_MODE, .write = write_metrics},
    {"models", DIRECTORY, .find = find_model, .list = list_models},
    {"models.json", FILE_MODE, .write = write_models},
    {"schema", DIRECTORY, .nth = nth_schema, .item = &schema_entry},
    {"settings", DIRECTORY, .nth = tp_setting_name, .item = &setting_entry},
    {"status.json", FILE_MODE, .write = write_status, .has_news = tp_control_text_has_news},
    {0},
};

const struct tp_control_entry tp_control_top = {TP_CONTROL_NAME, DIRECTORY, .entries = top_entries,
                                                .nth = nth_verb, .item = &verb_entry};
