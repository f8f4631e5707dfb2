/* SPDX-License-Identifier: MIT */
/* What the files of this folder share. */
#ifndef TP_CONTROL_DOCUMENTS_INTERNAL_H
#define TP_CONTROL_DOCUMENTS_INTERNAL_H

#include "base/json_write.h"
#include "control/documents/inventory.h"

/* A snapshot of a directory, from which every document is written. */
struct tp_snapshot {
    struct tp_inventory_row *rows;
    size_t row_n;
    struct tp_family *families;
    size_t family_n;
    struct tp_job_status *jobs; /* the oldest first */
    size_t job_n;
    uint64_t ended[TP_VERB_COUNT][TP_JOB_STATE_COUNT];
    struct tp_totals totals;
};

/* --- documents.c --- */

int tp_snapshot_make(struct tp_inventory *inventory, struct tp_snapshot *moment,
                     struct tp_error *err);
void tp_snapshot_clear(struct tp_snapshot *moment);

void tp_snapshot_status_json(const struct tp_snapshot *moment, struct tp_inventory *inventory,
                             const struct tp_policy *policy, const struct tp_mount_figures *mount,
                             struct tp_json_writer *json);
void tp_snapshot_models_json(const struct tp_snapshot *moment, struct tp_json_writer *json);
void tp_snapshot_jobs_json(const struct tp_snapshot *moment, struct tp_json_writer *json);

/* The result of the writer, with a message. */
int tp_document_finish(struct tp_json_writer *json, struct tp_error *err);

#endif
