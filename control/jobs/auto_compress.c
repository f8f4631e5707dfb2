/* SPDX-License-Identifier: MIT */
/* auto_compress of the policy: packing plain models that have not changed for some time. */
#include <config.h>

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "control/jobs/impl.h"
#include "control/jobs/unfinished.h"
#include "control/request/impl.h"
#include "store/place.h"
#include "store/store.h"
#include "tensor/modeldir.h"
#include "tensor/is_model.h"

#define REQUESTER "policy"

/* The size of a directory's files, and the latest ctime in it, which programs cannot set. */
static int measure(const char *path, uint64_t *bytes, int64_t *changed)
{
    char *const paths[] = {(char *)path, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    int rc = 0;
    FTSENT *e;

    *bytes = 0;
    *changed = 0;
    if (!walk)
        return -errno;
    while ((errno = 0, e = fts_read(walk))) {
        if (e->fts_info == FTS_ERR || e->fts_info == FTS_DNR || e->fts_info == FTS_NS) {
            rc = -EAGAIN;
            break;
        }
        if (e->fts_info == FTS_F)
            *bytes += (uint64_t)e->fts_statp->st_size;
        if (e->fts_info != FTS_DP && e->fts_statp->st_ctim.tv_sec > *changed)
            *changed = e->fts_statp->st_ctim.tv_sec;
    }
    if (errno)
        rc = -errno;
    fts_close(walk);
    return rc;
}

/*
 * Whether the policy's latest job for this model failed or was cancelled, and the model has not
 * changed since. A job is created at least a second after the change that it waited for.
 */
static bool has_failed(struct tp_jobs *jobs, const char *name, int64_t changed)
{
    bool failed = false;

    pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < jobs->n; i++) {
        const struct tp_job_status *s = &jobs->list[i]->status;

        if (s->verb == TP_VERB_COMPRESS && strcmp(s->subject, name) == 0 &&
            strcmp(s->requester.command, REQUESTER) == 0)
            failed =
                s->created > changed && (s->state == TP_JOB_FAILED || s->state == TP_JOB_CANCELLED);
    }
    pthread_mutex_unlock(&jobs->lock);
    return failed;
}

/* NEW: the model has just become quiet. Later refusals are for the debug log. */
static void submit_model(struct tp_jobs *jobs, const char *name, bool new)
{
    struct tp_requester requester = {
        .uid = geteuid(), .gid = getegid(), .pid = getpid(), .command = REQUESTER};
    struct tp_request request;
    struct tp_error err = {0};
    char id[1][TP_JOB_ID_MAX];
    int rc;

    rc = tp_request_from_words(TP_VERB_COMPRESS, name, NULL, 0, &request, &err);
    if (rc == 0)
        rc = tp_jobs_submit(jobs, &request, 1, &requester, id, NULL, &err);
    if (rc == 0)
        tp_log(TP_LOG_INFO, "'%s' has not changed for some time: job '%s' compresses it", name,
               id[0]);
    else if (rc != -EBUSY && rc != -EAGAIN)
        tp_log(new ? TP_LOG_WARNING : TP_LOG_DEBUG,
               "'%s' has not changed for some time, but cannot be compressed: %s", name,
               err.message);
}

static void compress_if_quiet(struct tp_jobs *jobs, const struct tp_policy *policy,
                              unsigned interval, const char *name)
{
    char *path = tp_path_join(jobs->dir, name, ""), why[512];
    uint64_t bytes, quiet;
    int64_t changed, now = time(NULL);
    struct tp_placed at;

    /* A link names another directory; a model with a pack beside it was packed with keep=yes. */
    tp_place_stat(jobs->dirfd, name, &at);
    if (path && at.type == S_IFDIR && !at.pack && tp_modeldir_is_model(path) &&
        measure(path, &bytes, &changed) == 0 && bytes >= policy->least_bytes && bytes > 0 &&
        changed <= now && (quiet = (uint64_t)(now - changed)) >= policy->quiet_seconds &&
        !has_failed(jobs, name, changed)) {
        if (tp_is_unfinished(jobs->dir, name, why, sizeof why))
            tp_log(TP_LOG_DEBUG, "'%s' has not changed for some time, but is in use: %s", name,
                   why);
        else
            submit_model(jobs, name, quiet <= policy->quiet_seconds + interval);
    }
    free(path);
}

void tp_auto_compress(struct tp_jobs *jobs, const struct tp_policy *policy, unsigned interval)
{
    struct tp_store *store = NULL;
    struct tp_store_model *models = NULL;
    size_t n = 0;

    if (tp_store_open(jobs->dir, &store, NULL) < 0)
        return;
    tp_store_models(store, &models, &n, NULL);
    for (size_t i = 0; i < n && !jobs->closing; i++)
        if (models[i].kind == TP_MODEL_PLAIN)
            compress_if_quiet(jobs, policy, interval, models[i].name);
    tp_store_models_free(models, n);
    tp_store_close(store);
}
