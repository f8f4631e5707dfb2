/* SPDX-License-Identifier: MIT */
/* status.json, models.json and the list of jobs, written from one snapshot of a directory. */
#include <config.h>

#include "control/documents/documents.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "control/documents/internal.h"

int tp_snapshot_make(struct tp_inventory *inventory, struct tp_snapshot *moment,
                     struct tp_error *err)
{
    *moment = (struct tp_snapshot){0};
    int rc = tp_inventory_rows(inventory, &moment->rows, &moment->row_n, err);
    if (rc == 0)
        rc = tp_inventory_jobs(inventory, &moment->jobs, &moment->job_n, moment->ended, err);
    if (rc == 0 &&
        tp_families(moment->rows, moment->row_n, &moment->families, &moment->family_n) < 0)
        rc = tp_oom(err);
    for (size_t i = 0; i < moment->row_n; i++)
        tp_totals_add(&moment->totals, &moment->rows[i]);
    if (rc < 0)
        tp_snapshot_clear(moment);
    return rc;
}

void tp_snapshot_clear(struct tp_snapshot *moment)
{
    free(moment->rows);
    free(moment->families);
    free(moment->jobs);
    *moment = (struct tp_snapshot){0};
}

int tp_document_finish(struct tp_json_writer *json, struct tp_error *err)
{
    int rc = tp_json_writer_finish(json);

    return rc < 0 ? tp_fail(err, -rc, "cannot write a document: %s", strerror(-rc)) : 0;
}

static void put_sums(struct tp_json_writer *json, uint64_t logical, uint64_t stored)
{
    tp_json_put_u64(json, "logical_bytes", logical);
    tp_json_put_u64(json, "stored_bytes", stored);
    tp_json_put_i64(json, "saved_bytes", (int64_t)(logical - stored));
    if (stored)
        tp_json_put_double(json, "ratio", (double)logical / (double)stored);
    else
        tp_json_put_null(json, "ratio");
}

static void put_text(struct tp_json_writer *json, const char *key, const char *text)
{
    tp_json_put_string(json, key, text[0] ? text : NULL);
}

/* --- status.json --- */

static void put_families(const struct tp_snapshot *moment, struct tp_json_writer *json)
{
    tp_json_begin_array(json, "families");
    for (size_t i = 0; i < moment->family_n; i++) {
        const struct tp_family *family = &moment->families[i];
        tp_json_begin_object(json, NULL);
        put_text(json, "base", family->base);
        tp_json_put_bool(json, "base_absent", family->absent);
        tp_json_put_u64(json, "models", family->totals.plain + family->totals.packs);
        put_sums(json, family->totals.logical_bytes, family->totals.stored_bytes);
        tp_json_end_object(json);
    }
    tp_json_end_array(json);
}

static void put_jobs(const struct tp_snapshot *moment, struct tp_inventory *inventory,
                     struct tp_json_writer *json)
{
    uint64_t counts[TP_JOB_STATE_COUNT] = {0};

    if (!inventory->jobs) {
        tp_json_put_null(json, "jobs");
        return;
    }
    for (size_t i = 0; i < moment->job_n; i++)
        counts[moment->jobs[i].state]++;
    tp_json_begin_object(json, "jobs");
    tp_json_put_u64(json, "slots", tp_jobs_get_slots(inventory->jobs));
    for (unsigned state = 0; state < TP_JOB_STATE_COUNT; state++)
        tp_json_put_u64(json, tp_job_state_name(state), counts[state]);
    tp_json_begin_array(json, "active");
    for (size_t i = 0; i < moment->job_n; i++)
        if (!tp_job_state_is_end(moment->jobs[i].state))
            tp_job_status_json(&moment->jobs[i], json, NULL);
    tp_json_end_array(json);
    tp_json_end_object(json);
}

void tp_snapshot_status_json(const struct tp_snapshot *moment, struct tp_inventory *inventory,
                             const struct tp_policy *policy, const struct tp_mount_figures *mount,
                             struct tp_json_writer *json)
{
    const struct tp_totals *totals = &moment->totals;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    tp_json_begin_object(json, NULL);
    tp_json_put_string(json, "schema", "tenpak.status/1");
    tp_json_put_string(json, "version", TENPAK_VERSION);
    tp_json_put_time(json, "time", now.tv_sec, (uint32_t)now.tv_nsec);
    tp_json_put_string(json, "directory", tp_store_dir(inventory->store));
    tp_json_begin_object(json, "models");
    tp_json_put_u64(json, "total", totals->plain + totals->packs);
    tp_json_put_u64(json, "plain", totals->plain);
    tp_json_put_u64(json, "packs", totals->packs);
    tp_json_put_u64(json, "unreadable", totals->unreadable);
    tp_json_put_u64(json, "unreadable_bytes", totals->unreadable_bytes);
    tp_json_end_object(json);
    put_sums(json, totals->logical_bytes, totals->stored_bytes);
    put_families(moment, json);
    put_jobs(moment, inventory, json);
    if (policy)
        tp_policy_json(policy, json, "policy");
    else
        tp_json_put_null(json, "policy");
    if (mount)
        tp_mount_figures_json(mount, json, "mount");
    else
        tp_json_put_null(json, "mount");
    tp_json_end_object(json);
}

int tp_document_status(struct tp_inventory *inventory, const struct tp_policy *policy,
                       const struct tp_mount_figures *mount, struct tp_buffer *out,
                       struct tp_error *err)
{
    struct tp_json_writer json;
    tp_auto(tp_snapshot_clear) struct tp_snapshot moment = {0};

    int rc = tp_snapshot_make(inventory, &moment, err);
    if (rc < 0)
        return rc;
    tp_json_writer_init(&json, out, true);
    tp_snapshot_status_json(&moment, inventory, policy, mount, &json);
    return tp_document_finish(&json, err);
}

/* --- models.json --- */

static void put_row(const struct tp_inventory_row *row, struct tp_json_writer *json)
{
    tp_json_begin_object(json, NULL);
    tp_json_put_string(json, "name", row->name);
    tp_json_put_string(json, "kind", row->kind == TP_MODEL_PACK ? "pack" : "plain");
    put_text(json, "id", row->id);
    put_text(json, "base", row->base);
    tp_json_put_bool(json, "base_absent", row->base_absent);
    put_text(json, "family", row->family);
    put_text(json, "codec", row->codec);
    tp_json_put_time(json, "changed", row->changed, 0);
    if (row->unreadable) {
        tp_json_put_null(json, "exact");
        tp_json_put_null(json, "files");
        tp_json_put_null(json, "tensors");
        tp_json_put_null(json, "logical_bytes");
        tp_json_put_u64(json, "stored_bytes", row->stored_bytes);
        tp_json_put_null(json, "saved_bytes");
        tp_json_put_null(json, "ratio");
    } else {
        tp_json_put_bool(json, "exact", row->exact);
        tp_json_put_u64(json, "files", row->files);
        tp_json_put_u64(json, "tensors", row->tensors);
        put_sums(json, row->logical_bytes, row->stored_bytes);
    }
    if (row->estimate_bytes >= 0) {
        tp_json_begin_object(json, "estimate");
        tp_json_put_i64(json, "stored_bytes", row->estimate_bytes);
        tp_json_put_i64(json, "saves_bytes", (int64_t)row->stored_bytes - row->estimate_bytes);
        put_text(json, "base", row->estimate_base);
        tp_json_end_object(json);
    } else {
        tp_json_put_null(json, "estimate");
    }
    put_text(json, "error", row->error);
    tp_json_end_object(json);
}

void tp_snapshot_models_json(const struct tp_snapshot *moment, struct tp_json_writer *json)
{
    tp_json_begin_object(json, NULL);
    tp_json_put_string(json, "schema", "tenpak.models/1");
    tp_json_begin_array(json, "models");
    for (size_t i = 0; i < moment->row_n; i++)
        put_row(&moment->rows[i], json);
    tp_json_end_array(json);
    put_sums(json, moment->totals.logical_bytes, moment->totals.stored_bytes);
    tp_json_end_object(json);
}

int tp_document_models(struct tp_inventory *inventory, struct tp_buffer *out, struct tp_error *err)
{
    struct tp_json_writer json;
    tp_auto(tp_snapshot_clear) struct tp_snapshot moment = {0};

    int rc = tp_snapshot_make(inventory, &moment, err);
    if (rc < 0)
        return rc;
    tp_json_writer_init(&json, out, true);
    tp_snapshot_models_json(&moment, &json);
    return tp_document_finish(&json, err);
}

/* --- Jobs --- */

void tp_snapshot_jobs_json(const struct tp_snapshot *moment, struct tp_json_writer *json)
{
    tp_json_begin_object(json, NULL);
    tp_json_put_string(json, "schema", "tenpak.jobs/1");
    tp_json_begin_array(json, "jobs");
    for (size_t i = moment->job_n; i-- > 0;)
        tp_job_status_json(&moment->jobs[i], json, NULL);
    tp_json_end_array(json);
    tp_json_end_object(json);
}

int tp_document_jobs(struct tp_inventory *inventory, struct tp_buffer *out, struct tp_error *err)
{
    struct tp_json_writer json;
    tp_auto(tp_snapshot_clear) struct tp_snapshot moment = {0};

    int rc = tp_inventory_jobs(inventory, &moment.jobs, &moment.job_n, NULL, err);
    if (rc < 0)
        return rc;
    tp_json_writer_init(&json, out, true);
    tp_snapshot_jobs_json(&moment, &json);
    return tp_document_finish(&json, err);
}
