/* SPDX-License-Identifier: MIT */
/* Limits of cgroups, read from files like the kernel's; and memory whose pages are present. */
#include <config.h>

#include "base/memory.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

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
    uint8_t *memory = tp_memory_alloc_cleared(BYTES / 8, 8);
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

static void test_shares(void)
{
    const uint64_t mib = 1 << 20, limit = 1024 * mib;

    is_u64(tp_memory_jobs_share(limit), 256 * mib, "jobs have a quarter");
    is_u64(tp_memory_daemon_share(limit, 0, 0), 704 * mib, "a 16th is the kernel's");
    is_u64(tp_memory_daemon_share(limit, 300 * mib, 100 * mib), 504 * mib,
           "what has bounds of its own comes off, but for its address space");
    is_u64(tp_memory_daemon_share(64 * mib, 60 * mib, 5 * mib), 5 * mib, "nothing is left");
    ok(tp_memory_daemon_share(limit, 0, 0) + tp_memory_jobs_share(limit) < limit,
       "all shares fit into the limit");
}

/* In a process of its own, which keeps the limit: the number of the step that failed. */
static int check_confined(void)
{
    const uint64_t mib = 1 << 20;

    if (tp_memory_check(UINT64_MAX / 2) != 0)
        return 1;
    if (tp_memory_confine(256 * mib, false) != 0 || tp_memory_check(64 * mib) != 0)
        return 2;
    if (tp_memory_check(250 * mib) != -ENOMEM)
        return 3;
    if (malloc(300 * mib))
        return 4;
    if (tp_memory_confine(512 * mib, true) != 0 || tp_memory_check(250 * mib) != 0)
        return 5;
    /* It is for good. */
    tp_memory_confine(1024 * mib, false);
    return tp_memory_check(600 * mib) == -ENOMEM ? 0 : 6;
}

static void test_confine(void)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0)
        _exit(check_confined());
    waitpid(child, &status, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    is_int(status, 0, "allocations fail above the limit, and large ones are refused before");
#endif
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
    test_shares();
    test_confine();
    return tap_done();
}
