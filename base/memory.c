/* SPDX-License-Identifier: MIT */
/*
 * How much memory this process may use: the machine's, cut by the limits of its cgroups. And taking
 * some at once.
 */
#include <config.h>

#include "base/memory.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static uint64_t least(uint64_t a, uint64_t b)
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
            limit = least(limit, limit_in(root, dir, files[i]));
        char *slash = strrchr(dir, '/');
        if (!slash)
            return limit;
        *slash = '\0';
    }
}

/* Whether a list like "cpu,memory" has a word. */
static bool lists(const char *list, const char *word)
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
            limit = least(limit, limit_upwards(root, rest, v2));
        } else if (lists(controllers, "memory") &&
                   (size_t)snprintf(folder, sizeof folder, "%s/memory", root) < sizeof folder) {
            limit = least(limit, limit_upwards(folder, rest, v1));
        }
    }
    fclose(f);
    return limit;
}

uint64_t tp_memory_limit(void)
{
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    return least(machine, tp_memory_cgroup_limit("/proc/self/cgroup", "/sys/fs/cgroup"));
}

void *tp_memory_cleared(size_t n, size_t size)
{
    volatile uint8_t *memory = calloc(n, size);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    for (size_t at = 0; memory && at < n * size; at += page)
        memory[at] = 0;
    return (void *)(uintptr_t)memory;
}
