/* SPDX-License-Identifier: MIT */
/* Estimates and counts of jobs, for the inventory. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "control/documents/inventory.h"

/* --- Estimates --- */

static void read_note(struct tp_inventory *inventory, const struct tp_job_status *job,
                      struct tp_estimate_note *note)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    tp_autojson struct tp_json *report = NULL;
    uint64_t stored;

    *note = (struct tp_estimate_note){.stored_bytes = -1};
    snprintf(note->job, sizeof note->job, "%s", job->id);
    snprintf(note->subject, sizeof note->subject, "%s", job->subject);
    if (tp_jobs_file(inventory->jobs, job->id, "report.json", &text, NULL) == 0 &&
        tp_json_parse(text.data, text.len, &report, NULL) == 0 &&
        tp_json_u64(tp_json_get(tp_json_get(report, "result"), "stored_bytes"), &stored)) {
        const char *base = tp_json_string(tp_json_get(tp_json_get(report, "result"), "base"));
        note->stored_bytes = (int64_t)stored;
        snprintf(note->base, sizeof note->base, "%.255s", base ? base : "");
    }
}

static const struct tp_estimate_note *find_note(const struct tp_inventory *inventory,
                                                const char *job)
{
    for (size_t i = 0; i < inventory->note_n; i++)
        if (!strcmp(inventory->notes[i].job, job))
            return &inventory->notes[i];
    return NULL;
}

static bool is_estimate(const struct tp_job_status *job)
{
    return job->verb == TP_VERB_ESTIMATE && job->state == TP_JOB_COMPLETED && job->has_report;
}

/* Read the estimates of finished jobs; each report is read once. */
static int take_notes(struct tp_inventory *inventory, const struct tp_job_status *jobs, size_t n)
{
    struct tp_estimate_note *notes;
    size_t used = 0, wanted = 0;

    for (size_t i = 0; i < n; i++)
        wanted += is_estimate(&jobs[i]);
    notes = calloc(wanted + 1, sizeof *notes);
    if (!notes)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (!is_estimate(&jobs[i]))
            continue;
        const struct tp_estimate_note *known = find_note(inventory, jobs[i].id);
        if (known)
            notes[used++] = *known;
        else
            read_note(inventory, &jobs[i], &notes[used++]);
    }
    free(inventory->notes);
    inventory->notes = notes;
    inventory->note_n = used;
    return 0;
}

int tp_inventory_estimates(struct tp_inventory *inventory, struct tp_inventory_row *rows, size_t n,
                           struct tp_error *err)
{
    struct tp_job_status *jobs = NULL;
    size_t job_n = 0;

    if (!inventory->jobs)
        return 0;
    int rc = tp_jobs_list(inventory->jobs, &jobs, &job_n, err);
    if (rc < 0)
        return rc;
    rc = take_notes(inventory, jobs, job_n);
    free(jobs);
    if (rc < 0)
        return tp_oom(err);
    /* The last estimate of a model counts. */
    for (size_t i = 0; i < inventory->note_n; i++) {
        const struct tp_estimate_note *note = &inventory->notes[i];
        size_t low = 0, high = n;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (strcmp(rows[middle].name, note->subject) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        if (low == n || strcmp(rows[low].name, note->subject) || rows[low].kind != TP_MODEL_PLAIN ||
            note->stored_bytes < 0)
            continue;
        rows[low].estimate_bytes = note->stored_bytes;
        memcpy(rows[low].estimate_base, note->base, sizeof note->base);
    }
    return 0;
}

/* --- Counts --- */

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Count each job that has ended once. Its record may be removed later. */
static int count_ended(struct tp_inventory *inventory, const struct tp_job_status *jobs, size_t n)
{
    char(*counted)[TP_JOB_ID_MAX] = calloc(n + 1, sizeof *counted);
    size_t used = 0;

    if (!counted)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (!tp_job_state_is_end(jobs[i].state))
            continue;
        memcpy(counted[used++], jobs[i].id, TP_JOB_ID_MAX);
        if (!inventory->counted_n || !bsearch(jobs[i].id, inventory->counted, inventory->counted_n,
                                              sizeof *counted, by_text))
            inventory->ended[jobs[i].verb][jobs[i].state]++;
    }
    if (used > 1)
        qsort(counted, used, sizeof *counted, by_text);
    free(inventory->counted);
    inventory->counted = counted;
    inventory->counted_n = used;
    return 0;
}

int tp_inventory_jobs(struct tp_inventory *inventory, struct tp_job_status **jobs, size_t *n,
                      uint64_t (*ended)[TP_JOB_STATE_COUNT], struct tp_error *err)
{
    *jobs = NULL;
    *n = 0;
    if (ended)
        memset(ended, 0, sizeof inventory->ended);
    if (!inventory->jobs)
        return 0;
    int rc = tp_jobs_list(inventory->jobs, jobs, n, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&inventory->lock);
    rc = count_ended(inventory, *jobs, *n);
    if (ended)
        memcpy(ended, inventory->ended, sizeof inventory->ended);
    pthread_mutex_unlock(&inventory->lock);
    if (rc < 0) {
        free(*jobs);
        *jobs = NULL;
        *n = 0;
        return tp_oom(err);
    }
    return 0;
}
