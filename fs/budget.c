/* SPDX-License-Identifier: MIT */
/*
 * Keeping the mount within its cgroups. The cache and hot files get at most a quarter of the limit
 * each, jobs another quarter (base/memory.h). The rest is for indexes, nodes and documents: there
 * an allocation fails, which is an error of one request, where the kernel would kill the daemon.
 */
#include <config.h>

#include "fs/budget.h"

#include <stdbool.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/cpu.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/size.h"
#include "fs/fs.h"
#include "fs/hot/promote.h"

#define TMPFS_MAGIC 0x01021994u
#define THREAD_BYTES ((uint64_t)8 << 20)
#define RAMFS_MAGIC 0x858458f6u

/* Whether hot files are in memory. */
static bool hot_is_memory(const struct tp_mount_options *options)
{
    struct statfs st;

    if (options->hot_bytes == 0)
        return false;
    if (!options->hot_dir)
        return true;
    return statfs(options->hot_dir, &st) == 0 &&
           ((unsigned)st.f_type == TMPFS_MAGIC || (unsigned)st.f_type == RAMFS_MAGIC);
}

/* 0 means the default, which fits. */
static void cut_budget(const char *what, uint64_t *bytes, uint64_t most)
{
    char asked[TP_SIZE_TEXT], given[TP_SIZE_TEXT];

    if (*bytes <= most)
        return;
    tp_log(TP_LOG_WARNING, "%s=%s is cut to %s: the control group of the daemon has no more memory",
           what, tp_size_print(*bytes, asked), tp_size_print(most, given));
    *bytes = most;
}

void tp_budget_cut_options(struct tp_mount_options *options)
{
    uint64_t limit = tp_memory_cgroups();

    /* Stacks count against every limit, also against one that the daemon was started with. */
    tp_memory_shrink_stacks();
    if (limit == UINT64_MAX)
        return;
    if (hot_is_memory(options))
        cut_budget("hot", &options->hot_bytes, limit / 4);
    cut_budget("cache", &options->cache_bytes, limit / 4);
    /* Each thread has a part of the cache, and buffers. */
    unsigned most = (unsigned)(limit / 4 / THREAD_BYTES);
    unsigned threads = options->threads ? options->threads : tp_cpu_count();
    if (threads > most)
        options->threads = most > 0 ? most : 1;
}

uint64_t tp_budget_cache_most(void)
{
    uint64_t limit = tp_memory_cgroups();

    return limit == UINT64_MAX ? tp_memory_limit() / 2 : limit / 4;
}

void tp_budget_keep(struct tp_fs *fs)
{
    struct tp_engine_stats stats;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (atomic_exchange(&fs->budget_at, now.tv_sec) == now.tv_sec)
        return;
    uint64_t limit = tp_memory_cgroups();
    bool limited = limit != UINT64_MAX;
    if (!limited && !atomic_load(&fs->confined))
        return;
    atomic_store(&fs->confined, limited);
    tp_engine_get_stats(fs->engine, &stats);
    if (limited && stats.cached_bytes_max > limit / 4)
        tp_engine_set_cache(fs->engine, limit / 4, NULL);
    uint64_t apart = limit / 4 + (hot_is_memory(fs->options) ? fs->options->hot_bytes : 0);
    tp_memory_confine(
        limited ? tp_memory_daemon_share(limit, apart, stats.mapped_bytes) : UINT64_MAX, false);
}
