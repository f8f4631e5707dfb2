/* SPDX-License-Identifier: MIT */
/*
 * Variables that are released, and mutexes that are unlocked, when their block is left:
 *
 *     tp_autofree char *path = tp_path_join(dir, name, "");
 *     tp_autoclose int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
 *     tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
 *
 * A variable has its value from its declaration on. What the function returns is computed before
 * the variables are released, in the reverse order of their declarations.
 */
#ifndef TP_BASE_CLEANUP_H
#define TP_BASE_CLEANUP_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FN is called with the address of the variable. */
#define tp_auto(fn) __attribute__((cleanup(fn)))

/* free() */
#define tp_autofree tp_auto(tp_cleanup_free)

/* close(), unless the descriptor is negative; errno stays. */
#define tp_autoclose tp_auto(tp_cleanup_close)

/* Hold the mutex at LOCK until the block is left. */
#define TP_LOCK_SCOPE(lock)                                                                        \
    tp_auto(tp_cleanup_unlock) pthread_mutex_t *TP_SCOPE_NAME(__LINE__) = tp_cleanup_lock(lock)

#define TP_SCOPE_NAME(line) TP_SCOPE_PASTE(line)
#define TP_SCOPE_PASTE(line) tp_scope_##line

static inline void tp_cleanup_free(void *variable)
{
    void *memory;

    memcpy(&memory, variable, sizeof memory);
    free(memory);
}

static inline void tp_cleanup_close(const int *fd)
{
    int kept = errno;

    if (*fd >= 0)
        close(*fd);
    errno = kept;
}

static inline pthread_mutex_t *tp_cleanup_lock(pthread_mutex_t *lock)
{
    pthread_mutex_lock(lock);
    return lock;
}

static inline void tp_cleanup_unlock(pthread_mutex_t **lock)
{
    pthread_mutex_unlock(*lock);
}

#endif
