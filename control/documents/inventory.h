/* SPDX-License-Identifier: MIT */
/* The inventory: what is known of each model and of the jobs, for the documents. */
#ifndef TP_CONTROL_INVENTORY_H
#define TP_CONTROL_INVENTORY_H

#include <pthread.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/stamp.h"
#include "control/documents/documents.h"

/* A directory of a plain model; the path begins at the top of the store. */
struct tp_plain_dir {
    char *path;
    struct tp_stamp stamp;
};

struct tp_plain_cache {
    struct tp_plain_dir *dirs;
    size_t dir_n;
    uint64_t fingerprint; /* hash of all paths, sizes and times: the count of tensors is valid while
                             this is the same */
    bool counted;
    uint64_t tensors;
    double looked,
        good_for; /* monotonic seconds; files can change without a change of their directory */
};

struct tp_inventory_entry {
    struct tp_inventory_row row;
    bool known;            /* ROW is valid for STAMP or PLAIN */
    struct tp_stamp stamp; /* of the pack */
    bool identified, has_base;
    uint8_t id[TP_SHA256_LEN], base_id[TP_SHA256_LEN];
    uint8_t content[TP_SHA256_LEN],
        base_content[TP_SHA256_LEN]; /* zero if the base's is not known */
    char own_base[256];              /* name of the base in the pack */
    char own_error[256];             /* without errors of the base */
    struct tp_plain_cache plain;
};

struct tp_estimate_note {
    char job[TP_JOB_ID_MAX];
    char subject[256], base[256];
    int64_t stored_bytes; /* -1: the report does not have it */
};

struct tp_inventory {
    struct tp_store *store;
    struct tp_jobs *jobs;
    int dirfd;
    pthread_mutex_t lock;
    struct tp_inventory_entry *entries; /* in byte order of their names */
    size_t n;
    struct tp_estimate_note *notes; /* in the order of their jobs */
    size_t note_n;
    /*
     * Jobs that have ended since the inventory was created, and the ids of those already counted.
     */
    uint64_t ended[TP_VERB_COUNT][TP_JOB_STATE_COUNT];
    char (*counted)[TP_JOB_ID_MAX];
    size_t counted_n;
};

/* --- inventory_models.c --- */

/* Update an entry. -ENOENT: the model was removed. -ENOMEM. Other errors are set in the row. */
int tp_inventory_read_pack(struct tp_inventory *inventory, struct tp_inventory_entry *entry);
int tp_inventory_read_plain(struct tp_inventory *inventory, struct tp_inventory_entry *entry);
void tp_plain_cache_clear(struct tp_plain_cache *cache);

/* --- inventory_jobs.c --- */

/* With the lock held: set estimates in the rows. Without jobs this does nothing. */
int tp_inventory_estimates(struct tp_inventory *inventory, struct tp_inventory_row *rows, size_t n,
                           struct tp_error *err);
/*
 * The present jobs, and a copy of the counts. Free JOBS with free(). There are none without a
 * manager.
 */
int tp_inventory_jobs(struct tp_inventory *inventory, struct tp_job_status **jobs, size_t *n,
                      uint64_t (*ended)[TP_JOB_STATE_COUNT], struct tp_error *err);

/* Sums over rows. Unreadable packs are only counted. */
struct tp_totals {
    uint64_t plain, packs, unreadable, unreadable_bytes;
    uint64_t logical_bytes, stored_bytes;
};
struct tp_family {
    const char *base; /* as in the rows; "" for plain directories */
    bool absent;
    struct tp_totals totals;
};

/* --- inventory.c --- */

void tp_totals_add(struct tp_totals *totals, const struct tp_inventory_row *row);
/*
 * The families by what they save, the greatest first, plain directories last. Free them with
 * free().
 */
int tp_families(const struct tp_inventory_row *rows, size_t n, struct tp_family **out,
                size_t *family_n);

#endif
