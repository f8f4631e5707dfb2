/* SPDX-License-Identifier: MIT */
/*
 * How much memory this process may use: the machine's, cut by the limits of its cgroups. Staying
 * within that, and taking some at once.
 */
#include <config.h>

#include "base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
/* The default of 8 MiB for each thread would be most of a small limit. */
#define THREAD_STACK ((size_t)512 << 10)

/* Sanitizers need more memory than any limit allows. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* The number in a file; UINT64_MAX: there is no file, or it says "max". */
static uint64_t limit_in(const char *root, const char *dir, const char *file)
{
    char path[PATH_MAX];
    uint64_t limit = UINT64_MAX;
    int n = snprintf(path, sizeof path, "%s%s/%s", root, dir, file);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;

    if (!f)
        return UINT64_MAX;
    if (fscanf(f, "%" SCNu64, &limit) != 1)
        limit = UINT64_MAX;
    fclose(f);
    return limit;
}

static uint64_t smaller_limit(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The tightest limit from the cgroup DIR up to the root, in FILES, of which the last is NULL; those
 * above a container's own are not to be seen. */
static uint64_t limit_upwards(const char *root, char *dir, const char *const *files)
{
    uint64_t limit = UINT64_MAX;

    for (;;) {
        for (unsigned i = 0; files[i]; i++)
            limit = smaller_limit(limit, limit_in(root, dir, files[i]));
        char *slash = strrchr(dir, '/');
        if (!slash)
            return limit;
        *slash = '\0';
    }
}

/* Whether a list like "cpu,memory" has a word. */
static bool list_has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (;;) {
        size_t n = strcspn(list, ",");
        if (n == len && strncmp(list, word, n) == 0)
            return true;
        if (!list[n])
            return false;
        list += n + 1;
    }
}

uint64_t tp_memory_cgroup_limit(const char *membership, const char *root)
{
    static const char *const v1[] = {"memory.limit_in_bytes", NULL};
    /* Above the second a process is slowed down until it stands still. */
    static const char *const v2[] = {"memory.max", "memory.high", NULL};
    char line[PATH_MAX], folder[PATH_MAX];
    uint64_t limit = UINT64_MAX;
    FILE *f = fopen(membership, "re");

    if (!f)
        return UINT64_MAX;
    /* NUMBER:CONTROLLERS:DIR, without controllers for version 2. */
    while (fgets(line, sizeof line, f)) {
        char *rest = line, *number = strsep(&rest, ":"), *controllers = strsep(&rest, ":");
        if (!number || !controllers || !rest)
            continue;
        rest[strcspn(rest, "\n")] = '\0';
        if (!*controllers) {
            limit = smaller_limit(limit, limit_upwards(root, rest, v2));
        } else if (list_has_word(controllers, "memory") &&
                   (size_t)snprintf(folder, sizeof folder, "%s/memory", root) < sizeof folder) {
            limit = smaller_limit(limit, limit_upwards(folder, rest, v1));
        }
    }
    fclose(f);
    return limit;
}

static uint64_t machine_memory(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t tp_memory_cgroups(void)
{
    uint64_t limit = tp_memory_cgroup_limit("/proc/self/cgroup", "/sys/fs/cgroup");

    /* Version 1 has a number for "no limit". */
    return limit < machine_memory() ? limit : UINT64_MAX;
}

uint64_t tp_memory_limit(void)
{
    return smaller_limit(machine_memory(), tp_memory_cgroups());
}

uint64_t tp_memory_jobs_share(uint64_t limit)
{
    return limit / 4;
}

/* Page tables, pipes, requests in the kernel, and code: none of these counts as data. */
static uint64_t kernels_share(uint64_t limit)
{
    uint64_t share = limit / 16;

    return share < 8 * MIB ? 8 * MIB : share > 256 * MIB ? 256 * MIB : share;
}

uint64_t tp_memory_daemon_share(uint64_t limit, uint64_t apart, uint64_t mapped)
{
    uint64_t others = kernels_share(limit) + tp_memory_jobs_share(limit) + apart;

    return (limit > others ? limit - others : 0) + mapped;
}

void tp_memory_shrink_stacks(void)
{
    pthread_attr_t attr;

    if (SANITIZED || pthread_attr_init(&attr) != 0)
        return;
    if (pthread_attr_setstacksize(&attr, THREAD_STACK) == 0)
        pthread_setattr_default_np(&attr);
    pthread_attr_destroy(&attr);
}

int tp_memory_confine(uint64_t bytes, bool for_good)
{
    struct rlimit limit;

    if (SANITIZED)
        return 0;
    if (getrlimit(RLIMIT_DATA, &limit) < 0)
        return -errno;
    if (limit.rlim_max < bytes)
        bytes = limit.rlim_max;
    limit.rlim_cur = bytes;
    if (for_good)
        limit.rlim_max = bytes;
    return setrlimit(RLIMIT_DATA, &limit) < 0 ? -errno : 0;
}

/* Bytes that count for RLIMIT_DATA, and the main thread's stack; 0: not known. */
static uint64_t data_in_use(void)
{
    uint64_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f && fscanf(f, "%*u %*u %*u %*u %*u %" SCNu64, &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t tp_memory_left(uint64_t limit)
{
    uint64_t whole = limit ? limit : tp_memory_limit();
    uint64_t reserve = smaller_limit(32 * MIB, whole / 8), used = data_in_use();

    return whole > used + reserve ? whole - used - reserve : 0;
}

int tp_memory_check(uint64_t bytes)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_DATA, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return 0;
    return bytes <= tp_memory_left(limit.rlim_cur) ? 0 : -ENOMEM;
}

void *tp_memory_alloc_cleared(size_t n, size_t size)
{
    volatile uint8_t *memory = calloc(n, size);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    for (size_t at = 0; memory && at < n * size; at += page)
        memory[at] = 0;
    return (void *)(uintptr_t)memory;
}

void *tp_memory_alloc_huge(uint64_t bytes)
{
    size_t align = bytes >= TP_HUGE_PAGE ? TP_HUGE_PAGE : 64;
    void *memory;

    if (bytes > SIZE_MAX / 2 || tp_memory_check(bytes) < 0 ||
        posix_memalign(&memory, align, bytes ? bytes : 1) != 0)
        return NULL;
    if (align == TP_HUGE_PAGE)
        madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}
