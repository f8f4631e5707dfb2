/* SPDX-License-Identifier: MIT */
/* The mount's state: opened and closed, the kernel's numbers and references, and what its
 * operator is told. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "fs/budget.h"
#include "fs/control/control.h"
#include "fs/fs.h"
#include "fs/hot/promote.h"
#include "fs/sweep.h"
#include "fs/watch.h"
#include "store/names.h"

/* Seconds for which the same story is not told again. */
enum { STORY_SECONDS = 60 };

static void tell_nested(void *arg, const char *name, size_t packs)
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
    fs->root.node.kind = TP_NODE_PLAIN;
    fs->options = options;
    fs->watch = tp_watch_create(fs->root.fd);
    fs->plain_most = tp_sweep_most();
    fs->sweep = tp_sweep_create(fs);
    if (!fs->sweep)
        return tp_fail(err, ENOMEM, "out of memory");
    clock_gettime(CLOCK_MONOTONIC, &fs->started);
    int rc = tp_store_open(fs->dir, &fs->store, err);
    if (rc == 0)
        rc = tp_store_find_nested(fs->store, tell_nested, fs, err);
    if (rc == 0)
        rc = tp_engine_create(&engine, &fs->engine, err);
    if (rc < 0)
        return rc;
    tp_budget_keep(fs);
    return tp_promote_create(fs, options, err);
}

/* What the engine did, for who looks into a mount's speed; and whether it got everything back. */
static void tell_work(struct tp_fs *fs)
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
               "%" PRIu64 " blocks are still held at the end, room for %" PRIu64 " is reserved",
               stats.held_blocks, stats.reserved_blocks);
}

/* Called when no request can come any more: what the kernel never forgot is forgotten here. */
void tp_fs_close(struct tp_fs *fs)
{
    tp_watch_destroy(fs->watch);
    tp_sweep_destroy(fs->sweep);
    tp_promote_stop(fs);
    for (unsigned i = 0; i < TP_FS_BUCKETS; i++)
        while (fs->plain[i]) {
            struct tp_plain *plain = fs->plain[i];
            fs->plain[i] = plain->chain;
            tp_plain_free(fs, plain);
        }
    tp_list_unref(fs, fs->listing);
    while (fs->all)
        tp_tree_unref(fs, fs->all, fs->all->refs);
    tp_promote_destroy(fs);
    if (fs->engine)
        tell_work(fs);
    tp_engine_destroy(fs->engine);
    tp_store_close(fs->store);
    if (fs->root.fd >= 0)
        close(fs->root.fd);
    free(fs->dir);
    free(fs->mountpoint);
}

struct tp_node *tp_fs_node(struct tp_fs *fs, fuse_ino_t ino)
{
    if (ino == FUSE_ROOT_ID)
        return &fs->root.node;
    return (struct tp_node *)(uintptr_t)ino;
}

fuse_ino_t tp_fs_ino(struct tp_fs *fs, struct tp_node *node)
{
    return node == &fs->root.node ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node;
}

void tp_fs_forget(struct tp_fs *fs, struct tp_node *node, uint64_t n)
{
    if (node == &fs->root.node)
        return;
    if (tp_is_control(node)) {
        tp_control_forget(fs, node, n);
        return;
    }
    pthread_mutex_lock(&fs->lock);
    node->lookups -= n;
    if (node->kind == TP_NODE_PACKED) {
        struct tp_tree *tree = ((struct tp_packed *)node)->tree;
        tp_tree_drop_node((struct tp_packed *)node);
        tp_tree_unref(fs, tree, n);
    } else if (node->lookups == 0) {
        struct tp_plain *plain = (struct tp_plain *)node;
        struct tp_plain **at = &fs->plain[plain->ino % TP_FS_BUCKETS];
        while (*at != plain)
            at = &(*at)->chain;
        *at = plain->chain;
        tp_plain_free(fs, plain);
    }
    pthread_mutex_unlock(&fs->lock);
}

bool tp_fs_hidden(const char *name)
{
    if (name[0] != '.')
        return false;
    return strncmp(name, ".tenpak", 7) == 0 || strstr(name, TP_PACK_SUFFIX) ||
           tp_is_temporary(name) || tp_is_removing(name);
}

static bool told_lately(struct tp_fs *fs, const char *story)
{
    uint64_t hash = tp_xxh3(story, strlen(story));
    unsigned slot = (unsigned)(hash % TP_STORIES);
    struct timespec now;
    bool lately;

    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&fs->story_lock);
    lately = fs->stories[slot].hash == hash && now.tv_sec - fs->stories[slot].told < STORY_SECONDS;
    if (!lately) {
        fs->stories[slot].hash = hash;
        fs->stories[slot].told = now.tv_sec;
    }
    pthread_mutex_unlock(&fs->story_lock);
    return lately;
}

void tp_fs_tell(struct tp_fs *fs, const char *fmt, ...)
{
    char story[TP_ERROR_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(story, sizeof story, fmt, ap);
    va_end(ap);
    if (!told_lately(fs, story))
        tp_log(TP_LOG_INFO, "%s", story);
}

int tp_fs_failed(struct tp_fs *fs, int rc, const struct tp_error *err)
{
    switch (-rc) {
    case ENOENT:
    case EACCES:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ESTALE:
    case ENAMETOOLONG:
        return -rc;
    default:
        atomic_fetch_add(&fs->errors, 1);
        if (!told_lately(fs, err->message))
            tp_log(TP_LOG_ERROR, "%s", err->message);
        return EIO;
    }
}
