/* SPDX-License-Identifier: MIT */
/*
 * The documents about a directory: totals, a row for each model, the manifest of a model, metrics,
 * the dashboard. Each document is written from one snapshot, so totals are the sums of its rows.
 * Every JSON document has "schema": "tenpak.NAME/1", and share/tenpak/schema/NAME.json describes
 * it.
 */
#ifndef TP_CONTROL_DOCUMENTS_H
#define TP_CONTROL_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"
#include "control/documents/mount.h"
#include "control/jobs/jobs.h"
#include "control/request/policy.h"
#include "store/store.h"

/*
 * The present state of a model. It is cached as long as the stamp of the pack, or of the plain
 * directory, is the same.
 */
struct tp_inventory_row {
    char name[256];
    enum tp_model_kind kind;
    char base[256];   /* its name in this directory; "": no base, or not a pack */
    bool base_absent; /* the base is not here; BASE is its name when the model was packed */
    char family[256]; /* the base at the end of the chain; for a pack without a base its own name;
                         "" for plain models */
    char id[TP_SHA256_HEX]; /* of the pack; "" if none */
    bool unreadable;        /* only STORED_BYTES is known; not included in totals */
    char error[256];        /* what is wrong with it, although a part may be readable; "" */
    bool exact;             /* false: a lossy pack, with quantized matrices */
    uint64_t files, tensors, logical_bytes, stored_bytes;
    char codec[32];         /* codec of most of its stored bytes; "" for plain models */
    int64_t changed;        /* seconds since 1970: the newest file, or the pack's time */
    int64_t estimate_bytes; /* size of a plain model as a pack, by its last estimate; -1: none */
    char estimate_base[256];
};

struct tp_inventory;

/* --- inventory.c --- */

/* JOBS may be NULL: then there are no jobs and no estimates. Thread-safe. */
int tp_inventory_create(struct tp_store *store, struct tp_jobs *jobs, struct tp_inventory **out,
                        struct tp_error *err);
void tp_inventory_destroy(struct tp_inventory *inventory);
/* The present rows. Free them with free(). */
int tp_inventory_rows(struct tp_inventory *inventory, struct tp_inventory_row **rows, size_t *n,
                      struct tp_error *err);

/* --- documents.c --- */

/* POLICY and MOUNT may be NULL, here and below. */
int tp_document_status(struct tp_inventory *inventory, const struct tp_policy *policy,
                       const struct tp_mount_figures *mount, struct tp_buffer *out,
                       struct tp_error *err);
int tp_document_models(struct tp_inventory *inventory, struct tp_buffer *out, struct tp_error *err);
/* All jobs, the newest first. */
int tp_document_jobs(struct tp_inventory *inventory, struct tp_buffer *out, struct tp_error *err);

/* --- model.c --- */

/*
 * -ENOENT: there is no such model. Of a very large one, the first files and tensors
 * (control/documents/manifest.h).
 */
int tp_document_model(struct tp_inventory *inventory, const char *name, struct tp_buffer *out,
                      struct tp_error *err);
/*
 * The time of the last change of a model, without making its document: of the pack, or of the top
 * of the directory. -ENOENT.
 */
int tp_document_model_time(struct tp_inventory *inventory, const char *name,
                           struct timespec *changed, struct tp_error *err);

/* --- metrics.c --- */

/* In the text format of Prometheus. */
int tp_document_metrics(struct tp_inventory *inventory, const struct tp_mount_figures *mount,
                        struct tp_buffer *out, struct tp_error *err);

/* --- page.c --- */

/* One page that contains the data of status, models, jobs, and the latest searches. */
int tp_document_dashboard(struct tp_inventory *inventory, const struct tp_policy *policy,
                          const struct tp_mount_figures *mount, struct tp_buffer *out,
                          struct tp_error *err);
int tp_document_readme(struct tp_buffer *out);
/* share/tenpak/openapi.json: the HTTP interface. */
const char *tp_openapi_text(size_t *len);

/*
 * The schemas by the names of their files ("status.json"), as in share/tenpak/schema. Constant,
 * never freed.
 */
size_t tp_schema_count(void);
const char *tp_schema_name(size_t i);
const char *tp_schema_text(size_t i, size_t *len);

/* --- search.c --- */

/* The candidates of a search. */
int tp_document_candidates(struct tp_buffer *out, struct tp_error *err);
/* The machines that a model can be optimized for, with those of tenpak.conf. */
int tp_document_hardware(const struct tp_policy *policy, struct tp_buffer *out,
                         struct tp_error *err);

#endif
