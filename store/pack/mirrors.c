/* SPDX-License-Identifier: MIT */
/* Several sources behind one: all operations except `recover` are those of the first. */
#include <config.h>

#include "store/pack/mirrors.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"

enum {
    MIRRORS_MAX = 4,
    SECONDS_BETWEEN = 5, /* seconds between two searches for mirrors */
};

struct tp_mirrors {
    struct tp_bytes source; /* first: a pointer to it is also one to this structure */
    struct tp_bytes *own;
    tp_mirrors_find find;
    void *arg;
    pthread_mutex_t lock; /* protects what follows; a mirror in the list stays there */
    struct tp_bytes *list[MIRRORS_MAX];
    unsigned n;
    bool searched; /* at SEARCHED_AT of CLOCK_MONOTONIC */
    bool logged;
    struct timespec searched_at;
};

static struct tp_mirrors *mirrors_of(struct tp_bytes *bytes)
{
    return (struct tp_mirrors *)bytes;
}

static ssize_t mirrors_read(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off)
{
    struct tp_bytes *own = mirrors_of(bytes)->own;

    return own->operations->read(own, dst, len, off);
}

/* Mirror number I, after a search if none is known and none was made lately; NULL: none. */
static struct tp_bytes *mirror_at(struct tp_mirrors *mirrors, unsigned i)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    TP_LOCK_SCOPE(&mirrors->lock);
    if (i == mirrors->n && i < MIRRORS_MAX &&
        (!mirrors->searched || now.tv_sec - mirrors->searched_at.tv_sec >= SECONDS_BETWEEN)) {
        mirrors->find(mirrors->arg, mirrors);
        mirrors->searched = true;
        mirrors->searched_at = now;
    }
    return i < mirrors->n ? mirrors->list[i] : NULL;
}

/* Ask the operator to replace or remove the damaged source while another one is intact. */
static void log_once(struct tp_mirrors *mirrors, uint64_t off)
{
    bool logged;

    pthread_mutex_lock(&mirrors->lock);
    logged = mirrors->logged;
    mirrors->logged = true;
    pthread_mutex_unlock(&mirrors->lock);
    if (!logged)
        tp_log(TP_LOG_WARNING,
               "'%s' is damaged at offset %" PRIu64 ": reading what it lost from a copy beside it",
               mirrors->own->name, off);
}

static bool mirrors_recover(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off,
                            uint64_t hash)
{
    struct tp_mirrors *mirrors = mirrors_of(bytes);
    struct tp_bytes *own = mirrors->own, *mirror;

    if (own->operations->recover && own->operations->recover(own, dst, len, off, hash))
        return true;
    for (unsigned i = 0; (mirror = mirror_at(mirrors, i)); i++)
        if (tp_bytes_read_checked(mirror, dst, len, off, hash, NULL) == 0) {
            log_once(mirrors, off);
            return true;
        }
    return false;
}

static void mirrors_advise(struct tp_bytes *bytes, uint64_t off, uint64_t len,
                           enum tp_advice advice)
{
    tp_bytes_advise(mirrors_of(bytes)->own, off, len, advice);
}

static void mirrors_close(struct tp_bytes *bytes)
{
    struct tp_mirrors *mirrors = mirrors_of(bytes);

    for (unsigned i = 0; i < mirrors->n; i++)
        tp_bytes_close(mirrors->list[i]);
    pthread_mutex_destroy(&mirrors->lock);
    free(mirrors);
}

static const struct tp_bytes_operations operations = {
    .read = mirrors_read,
    .recover = mirrors_recover,
    .advise = mirrors_advise,
    .close = mirrors_close,
};

int tp_mirrors_open(struct tp_bytes *own, tp_mirrors_find find, void *arg, struct tp_bytes **out,
                    struct tp_error *err)
{
    struct tp_mirrors *mirrors = calloc(1, sizeof *mirrors);

    *out = NULL;
    if (!mirrors)
        return tp_oom(err);
    mirrors->source = *own;
    mirrors->source.operations = &operations;
    mirrors->own = own;
    mirrors->find = find;
    mirrors->arg = arg;
    pthread_mutex_init(&mirrors->lock, NULL);
    *out = &mirrors->source;
    return 0;
}

/* Called by FIND, so with the lock held. */
void tp_mirrors_add(struct tp_mirrors *mirrors, struct tp_bytes *bytes)
{
    bool known = tp_identity_equal(&bytes->identity, &mirrors->own->identity);

    for (unsigned i = 0; i < mirrors->n && !known; i++)
        known = tp_identity_equal(&bytes->identity, &mirrors->list[i]->identity);
    if (known || mirrors->n == MIRRORS_MAX || bytes->size != mirrors->own->size)
        tp_bytes_close(bytes);
    else
        mirrors->list[mirrors->n++] = bytes;
}
