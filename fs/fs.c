/* SPDX-License-Identifier: MIT */
/* Opening and closing the state of a mount, and messages to its operator. */
#include <config.h>

#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "fs/budget.h"
#include "fs/list.h"
#include "fs/hot/promote.h"
#include "fs/packed/long_read.h"
#include "fs/sweep.h"
#include "fs/watch.h"
#include "store/names.h"

/* Seconds for which a message is not repeated. */
enum { REPEAT_SECONDS = 60 };

static void log_nested(void *arg, const char *name, size_t packs)
{
    const struct tp_fs *fs = arg;

    tp_log(TP_LOG_WARNING,
           "'%s/%s' holds %zu pack%s, which show%s as %s there: mount '%s/%s' by itself", fs->dir,
           name, packs, packs == 1 ? "" : "s", packs == 1 ? "s" : "",
           packs == 1 ? "a file" : "files", fs->dir, name);
}

int tp_fs_open(struct tp_fs *fs, const struct tp_mount_options *options, struct tp_error *err)
{
    struct tp_engine_options engine = {.threads = options->threads,
                                       .cache_bytes = options->cache_bytes};
    struct stat st;

    if (engine.cache_bytes == 0)
        engine.cache_bytes = tp_mount_default_cache();
    engine.cache_most = tp_budget_cache_most();
    fs->root.fd = open(fs->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fs->root.fd < 0 || fstat(fs->root.fd, &st) < 0)
        return tp_fail_errno(err, "cannot read the directory '%s'", fs->dir);
    fs->dev = fs->root.dev = st.st_dev;
    fs->root.ino = st.st_ino;
    fs->root.node.ops = &tp_plain_ops;
    fs->options = options;
    fs->watch = tp_watch_create(fs->root.fd);
    fs->plain_most = tp_sweep_most();
    fs->sweep = tp_sweep_create(fs);
    if (!fs->sweep)
        return tp_oom(err);
    fs->started = tp_seconds();
    int rc = tp_store_open(fs->dir, &fs->store, err);
    if (rc == 0)
        rc = tp_store_find_nested(fs->store, log_nested, fs, err);
    if (rc == 0)
        rc = tp_engine_create(&engine, &fs->engine, err);
    if (rc == 0)
        rc = tp_long_reads_create(fs, err);
    if (rc < 0)
        return rc;
    tp_budget_keep(fs);
    return tp_promote_create(fs, options, err);
}

/* Log the work of the engine, and whether all of its blocks were released. */
static void log_work(struct tp_fs *fs)
{
    struct tp_engine_stats stats;

    tp_engine_get_stats(fs->engine, &stats);
    tp_log(TP_LOG_DEBUG,
           "decoded %" PRIu64 " blocks (%" PRIu64 " ahead of readers), %" PRIu64
           " bytes in %" PRIu64 " ms of CPU time; found %" PRIu64 ", waited for %" PRIu64
           ", evicted %" PRIu64 ", errors %" PRIu64,
           stats.decoded_blocks, stats.prefetched_blocks, stats.decoded_bytes,
           stats.decode_nsec / 1000000u, stats.hits, stats.waits, stats.evicted_blocks,
           stats.errors);
    if (stats.held_blocks + stats.reserved_blocks > 0)
        tp_log(TP_LOG_WARNING,
               "%" PRIu64 " blocks are still held at the end, space for %" PRIu64 " is reserved",
               stats.held_blocks, stats.reserved_blocks);
}

void tp_fs_close(struct tp_fs *fs)
{
    tp_watch_destroy(fs->watch);
    tp_sweep_destroy(fs->sweep);
    tp_promote_stop(fs);
    tp_long_reads_stop(fs);
    for (unsigned i = 0; i < TP_FS_BUCKETS; i++)
        while (fs->plain[i]) {
            struct tp_plain *plain = fs->plain[i];
            fs->plain[i] = plain->chain;
            tp_plain_free(fs, plain);
        }
    tp_listing_unref(fs, fs->listing);
    while (fs->all)
        tp_tree_unref(fs, fs->all, fs->all->refs);
    tp_promote_destroy(fs);
    if (fs->engine)
        log_work(fs);
    tp_engine_destroy(fs->engine);
    tp_store_close(fs->store);
    if (fs->root.fd >= 0)
        close(fs->root.fd);
    free(fs->dir);
    free(fs->mountpoint);
}

bool tp_fs_is_hidden(const char *name)
{
    if (name[0] != '.')
        return false;
    return strncmp(name, ".tenpak", 7) == 0 || strstr(name, TP_PACK_SUFFIX) ||
           tp_is_temporary(name) || tp_is_removing(name) || tp_is_lock(name);
}

static bool logged_lately(struct tp_fs *fs, const char *message)
{
    uint64_t hash = tp_xxh3(message, strlen(message));
    unsigned slot = (unsigned)(hash % TP_LOGGED_MAX);
    struct timespec now;
    bool lately;

    clock_gettime(CLOCK_MONOTONIC, &now);
    TP_LOCK_SCOPE(&fs->logged_lock);
    lately = fs->logged[slot].hash == hash && now.tv_sec - fs->logged[slot].at < REPEAT_SECONDS;
    if (!lately) {
        fs->logged[slot].hash = hash;
        fs->logged[slot].at = now.tv_sec;
    }
    return lately;
}

void tp_fs_log_hint(struct tp_fs *fs, const char *fmt, ...)
{
    char message[TP_ERROR_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (!logged_lately(fs, message))
        tp_log(TP_LOG_INFO, "%s", message);
}

int tp_fs_log_failure(struct tp_fs *fs, int rc, const struct tp_error *err)
{
    switch (-rc) {
    case ENOENT:
    case EACCES:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ESTALE:
    case ENAMETOOLONG:
        return rc;
    default:
        atomic_fetch_add(&fs->errors, 1);
        if (!logged_lately(fs, err->message))
            tp_log(TP_LOG_ERROR, "%s", err->message);
        return -EIO;
    }
}
