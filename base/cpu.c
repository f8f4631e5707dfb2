/* SPDX-License-Identifier: MIT */
/* The number of CPUs: the affinity mask, limited by the quota of the cgroup. */
#include <config.h>

#include "base/cpu.h"

#include <inttypes.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static unsigned affinity_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? (unsigned)n : 1;
}

/*
 * "QUOTA PERIOD" or "max PERIOD" in cpu.max of DIR; 0 where there is no limit. Rounded up to whole
 * CPUs.
 */
static unsigned quota_at(const char *dir)
{
    char path[512];
    int n = snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    uint64_t quota = 0, period = 0;
    int got = fscanf(f, "%" SCNu64 " %" SCNu64, &quota, &period);
    fclose(f);
    if (got != 2 || quota == 0 || period == 0)
        return 0;
    uint64_t cpus = quota / period + (quota % period != 0);
    return cpus > UINT16_MAX ? UINT16_MAX : (unsigned)cpus;
}

/* The tightest quota from this process's cgroup (version 2) up to the root. */
static unsigned quota_count(void)
{
    char line[512], dir[480] = "";
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "0::", 3) == 0)
            snprintf(dir, sizeof dir, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    }
    fclose(f);

    unsigned least = 0;
    for (;;) {
        unsigned n = quota_at(dir);
        if (n && (!least || n < least))
            least = n;
        char *slash = strrchr(dir, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
    return least;
}

unsigned tp_cpu_count(void)
{
    unsigned n = affinity_count();
    unsigned quota = quota_count();
    return quota && quota < n ? quota : n;
}
