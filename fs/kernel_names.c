/* SPDX-License-Identifier: MIT */
/*
 * Names in two generations. The older one is dropped when the kernel has none of its names any
 * more.
 */
#include <config.h>

#include "fs/kernel_names.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/hash.h"

enum { NAMES_BYTES_MAX = 1 << 20, SEEN = 8192 };

struct generation {
    struct tp_buffer names;
    uint64_t seen[SEEN]; /* hashes of the names in it, to avoid most duplicates; 0: none */
};

struct tp_kernel_names {
    pthread_mutex_t lock;
    time_t seconds, begun; /* of the newer generation */
    unsigned newer;
    struct generation generations[2];
};

struct tp_kernel_names *tp_kernel_names_create(unsigned seconds)
{
    struct tp_kernel_names *known = calloc(1, sizeof *known);

    if (!known)
        return NULL;
    pthread_mutex_init(&known->lock, NULL);
    known->seconds = (time_t)seconds + 1;
    return known;
}

void tp_kernel_names_destroy(struct tp_kernel_names *known)
{
    if (!known)
        return;
    for (unsigned i = 0; i < 2; i++)
        tp_buffer_clear(&known->generations[i].names);
    pthread_mutex_destroy(&known->lock);
    free(known);
}

/* With the lock held. */
static struct generation *current_generation(struct tp_kernel_names *known)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - known->begun > known->seconds) {
        known->newer ^= 1;
        known->begun = now.tv_sec;
        tp_buffer_clear(&known->generations[known->newer].names);
        memset(known->generations[known->newer].seen, 0, sizeof known->generations[0].seen);
    }
    return &known->generations[known->newer];
}

bool tp_kernel_names_note(struct tp_kernel_names *known, const char *name)
{
    size_t len = strlen(name) + 1;
    uint64_t hash = tp_xxh3(name, len) | 1;

    TP_LOCK_SCOPE(&known->lock);
    struct generation *generation = current_generation(known);
    uint64_t *seen = &generation->seen[(hash >> 1) % SEEN];
    bool noted = *seen == hash;
    if (!noted && generation->names.len + len <= NAMES_BYTES_MAX &&
        tp_buffer_append(&generation->names, name, len) == 0) {
        *seen = hash;
        noted = true;
    }
    return noted;
}

int tp_kernel_names_copy(struct tp_kernel_names *known, struct tp_buffer *out)
{
    int rc = 0;

    TP_LOCK_SCOPE(&known->lock);
    for (unsigned i = 0; rc == 0 && i < 2; i++)
        rc = tp_buffer_append(out, known->generations[i].names.data,
                              known->generations[i].names.len);
    return rc;
}
