/* SPDX-License-Identifier: MIT */
/*
 * The inside of an inventory: what is remembered of each model, and what the documents ask of it.
 */
#ifndef TP_CONTROL_INVENTORY_H
#define TP_CONTROL_INVENTORY_H

#include <pthread.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/stamp.h"
#include "control/documents/documents.h"

/* A directory of a plain model; the path from the store's top. */
struct tp_plain_dir {
    char *path;
    struct tp_stamp stamp;
};

struct tp_plain_cache {
    struct tp_plain_dir *dirs;
    size_t dir_n;
    uint64_t
        fingerprint; /* of all paths, sizes and times: the count of tensors holds while it does */
    bool counted;
    uint64_t tensors;
    double looked, good_for; /* monotonic seconds: files change without their directory changing */
};

struct tp_inventory_entry {
    struct tp_inventory_row row;
    bool known;            /* ROW is filled, as of STAMP or PLAIN */
    struct tp_stamp stamp; /* of the pack */
    bool identified, has_base;
    uint8_t id[TP_SHA256_LEN], base_id[TP_SHA256_LEN];
    uint8_t content[TP_SHA256_LEN],
        base_content[TP_SHA256_LEN]; /* the base's is zero where it is not known */
    char own_base[256];              /* the base's name in the pack */
    char own_error[256];             /* without what the base adds to it */
    struct tp_plain_cache plain;
};

struct tp_estimate_note {
    char job[TP_JOB_ID_MAX];
    char subject[256], base[256];
    int64_t stored_bytes; /* -1: the report says nothing of it */
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
    /* Jobs seen to have ended since this was made, and which are counted already. */
    uint64_t ended[TP_VERB_COUNT][TP_JOB_STATE_COUNT];
    char (*counted)[TP_JOB_ID_MAX];
    size_t counted_n;
};

/* --- inventory_models.c --- */

/*
 * Bring an entry up to date. -ENOENT: the model is gone; -ENOMEM. Anything else wrong with it is
 * its row's error.
 */
int tp_inventory_read_pack(struct tp_inventory *inventory, struct tp_inventory_entry *entry);
int tp_inventory_read_plain(struct tp_inventory *inventory, struct tp_inventory_entry *entry);
void tp_plain_cache_clear(struct tp_plain_cache *cache);

/* --- inventory_jobs.c --- */

/* Estimates into the rows, under the lock; without jobs nothing. */
int tp_inventory_estimates(struct tp_inventory *inventory, struct tp_inventory_row *rows, size_t n,
                           struct tp_error *err);
/*
 * The jobs as they are, and a copy of the counts: JOBS is freed with free(). None without a
 * manager.
 */
int tp_inventory_jobs(struct tp_inventory *inventory, struct tp_job_status **jobs, size_t *n,
                      uint64_t (*ended)[TP_JOB_STATE_COUNT], struct tp_error *err);

/* Sums over rows. Unreadable packs are counted, and are in no sum. */
struct tp_totals {
    uint64_t plain, packs, unreadable, unreadable_bytes;
    uint64_t logical_bytes, stored_bytes;
};
struct tp_family {
    const char *base; /* in the rows; "" for plain directories */
    bool absent;
    struct tp_totals totals;
};

/* --- inventory.c --- */

void tp_totals_add(struct tp_totals *totals, const struct tp_inventory_row *row);
/* Families by what they save, the greatest first, plain directories last: freed with free(). */
int tp_families(const struct tp_inventory_row *rows, size_t n, struct tp_family **out,
                size_t *family_n);

#endif
