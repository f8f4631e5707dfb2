/* SPDX-License-Identifier: MIT */
/* What cgroups allow, read from files like the kernel's; and memory whose pages are there. */
#include <config.h>

#include "base/memory.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/tap.h"

static char top[] = "/tmp/tenpak-memory-XXXXXX";

/* Written below TOP, with the folders that lead to it. */
static void put(const char *name, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", top, name);
    for (char *slash = path + sizeof top; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        mkdir(path, 0700);
    }
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f))
        ok(false, "'%s' is written", path);
}

static uint64_t limit_of(const char *membership)
{
    char file[PATH_MAX], root[PATH_MAX];
    put("self", membership);
    snprintf(file, sizeof file, "%s/self", top);
    snprintf(root, sizeof root, "%s/cgroup", top);
    return tp_memory_cgroup_limit(file, root);
}

static void test_cleared(void)
{
    enum { BYTES = 8 << 20 };
    uint8_t *memory = tp_memory_cleared(BYTES / 8, 8);
    struct rusage before, after;
    unsigned sum = 0;

    if (!memory)
        bail_out("out of memory");
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < BYTES; i += 512)
        sum |= memory[i]++;
    getrusage(RUSAGE_SELF, &after);
    is_int(sum, 0, "memory is cleared");
    ok(after.ru_minflt - before.ru_minflt < BYTES / 4096 / 8, "and there");
    free(memory);
}

int main(void)
{
    char command[sizeof top + 16];

    if (!mkdtemp(top))
        return 99;
    is_u64(tp_memory_cgroup_limit("/nowhere/at/all", top), UINT64_MAX, "no cgroups at all");
    is_u64(limit_of("0::/\n"), UINT64_MAX, "a root without a limit");

    put("cgroup/a/b/memory.max", "max\n");
    is_u64(limit_of("0::/a/b\n"), UINT64_MAX, "max is none");
    put("cgroup/a/memory.max", "300000000\n");
    is_u64(limit_of("0::/a/b\n"), 300000000, "that of the cgroup above holds, too");
    put("cgroup/a/b/memory.max", "400000000\n");
    is_u64(limit_of("0::/a/b\n"), 300000000, "a looser one below it does not loosen it");
    put("cgroup/a/b/memory.high", "200000000\n");
    is_u64(limit_of("0::/a/b\n"), 200000000, "where slowing down begins is a limit");
    is_u64(limit_of("0::/not/seen/from/here\n"), UINT64_MAX, "a cgroup that is not to be seen");
    put("cgroup/memory.max", "250000000\n");
    is_u64(limit_of("0::/not/seen/from/here\n"), 250000000, "but the root of a container's own is");

    put("cgroup/memory/x/memory.limit_in_bytes", "268435456\n");
    put("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    is_u64(limit_of("5:cpu,cpuacct:/x\n4:memory:/x\n0::/none\n"), 250000000,
           "the least of both versions");
    put("cgroup/memory/x/memory.limit_in_bytes", "134217728\n");
    is_u64(limit_of("5:cpu,cpuacct:/x\n4:hugetlb,memory:/x\n"), 134217728,
           "one of several controllers");
    is_u64(limit_of("4:memoryless:/x\n"), UINT64_MAX, "a controller of another name");
    is_u64(limit_of("nonsense\n\n4:memory\n:"), UINT64_MAX, "lines that are none");

    ok(tp_memory_limit() > 0 &&
           tp_memory_limit() <= (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE),
       "never more than there is");
    snprintf(command, sizeof command, "rm -rf %s", top);
    if (system(command))
        diag("'%s' stays", top);
    test_cleared();
    return tap_done();
}
