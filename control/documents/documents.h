/* SPDX-License-Identifier: MIT */
/*
 * The documents about a directory: totals, a row a model, a model's manifest, metrics, the
 * dashboard. Each is one snapshot: totals are the sums of the rows of the same moment. Every JSON
 * document has "schema": "tenpak.NAME/1", and share/tenpak/schema/NAME.json describes it.
 */
#ifndef TP_CONTROL_DOCUMENTS_H
#define TP_CONTROL_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"
#include "control/jobs/jobs.h"
#include "control/request/policy.h"
#include "store/store.h"

/*
 * What a mount adds to the documents; all 0 where there is none. Counters only grow while the
 * daemon lives.
 */
struct tp_live {
    bool mounted;
    char *status; /* the mount's own part as a JSON object, or NULL (fs/status.h) */
    uint64_t reads, read_bytes, cache_hits, cache_misses, cache_used_bytes, cache_max_bytes, errors,
        open_files;
    double decode_seconds, uptime_seconds;
};

/*
 * A model as it is now, from a cache that is keyed by the pack's inode and times, and a plain
 * directory's.
 */
struct tp_inventory_row {
    char name[256];
    enum tp_model_kind kind;
    char base[256];   /* by its name here; "" : none, or not a pack */
    bool base_absent; /* BASE is what it was called when this was packed, and is not here */
    char family[256]; /* the base at the end of the chain, itself for a pack without one; "" for
                         plain */
    char id[TP_SHA256_HEX]; /* of the pack; "" */
    bool unreadable;        /* nothing is known but STORED_BYTES; totals leave it out */
    char error[256];        /* what is wrong with it, though some may be readable; "" */
    bool exact;             /* always, for now: bit for bit */
    uint64_t files, tensors, logical_bytes, stored_bytes;
    char codec[32];         /* that most of its bytes are stored by; "" for plain */
    int64_t changed;        /* seconds since 1970: the newest file, or the pack's time */
    int64_t estimate_bytes; /* what a plain model would take by the latest estimate of it; -1:
                               nobody asked */
    char estimate_base[256];
};

struct tp_inventory;

/* --- inventory.c --- */

/* JOBS may be NULL: no jobs, no estimates. All calls are safe from any thread. */
int tp_inventory_create(struct tp_store *store, struct tp_jobs *jobs, struct tp_inventory **out,
                        struct tp_error *err);
void tp_inventory_destroy(struct tp_inventory *inventory);
/* The rows as they are now: freed with free(). */
int tp_inventory_rows(struct tp_inventory *inventory, struct tp_inventory_row **rows, size_t *n,
                      struct tp_error *err);

/* --- documents.c --- */

int tp_document_status(struct tp_inventory *inventory, const struct tp_policy *policy,
                       const struct tp_live *live, struct tp_buffer *out, struct tp_error *err);
int tp_document_models(struct tp_inventory *inventory, struct tp_buffer *out, struct tp_error *err);
/* All jobs, the newest first. */
int tp_document_jobs(struct tp_inventory *inventory, struct tp_buffer *out, struct tp_error *err);

/* --- model.c --- */

/*
 * -ENOENT: no such model. Of one with very much in it, the first files and tensors
 * (control/documents/manifest.h).
 */
int tp_document_model(struct tp_inventory *inventory, const char *name, struct tp_buffer *out,
                      struct tp_error *err);
/* Without making it: -ENOENT, or when the pack, or the top of the directory, changed. */
int tp_document_model_time(struct tp_inventory *inventory, const char *name,
                           struct timespec *changed, struct tp_error *err);

/* --- metrics.c --- */

/* Prometheus' text format. */
int tp_document_metrics(struct tp_inventory *inventory, const struct tp_live *live,
                        struct tp_buffer *out, struct tp_error *err);

/* --- page.c --- */

/* One page with the data of status, models and jobs in it. */
int tp_document_dashboard(struct tp_inventory *inventory, const struct tp_policy *policy,
                          const struct tp_live *live, struct tp_buffer *out, struct tp_error *err);
int tp_document_readme(struct tp_buffer *out);
/*
 * What the optimizer may try, and what an hour of each machine costs: what is known of them here.
 */
int tp_document_candidates(struct tp_buffer *out, struct tp_error *err);
int tp_document_hardware(struct tp_buffer *out, struct tp_error *err);

/* share/tenpak/openapi.json: what tenpak serve answers to. */
const char *tp_openapi_text(size_t *len);

/*
 * The schemas by their files' names ("status.json"), as they are in share/tenpak/schema: constant,
 * never freed.
 */
size_t tp_schema_count(void);
const char *tp_schema_name(size_t i);
const char *tp_schema_text(size_t i, size_t *len);

#endif
