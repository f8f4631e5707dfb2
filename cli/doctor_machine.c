/* SPDX-License-Identifier: MIT */
/* Checks of the machine: limits of processes, huge pages, kernels of the CPU. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "base/cpu.h"
#include "base/isa.h"
#include "cli/doctor.h"
#include "cli/report.h"
#include "codec/codec.h"
#include "fs/mount.h"

enum { FILES_WANTED = 4096 };

static void check_files(struct tp_findings *all)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < FILES_WANTED)
        tp_finding_add(all, "open_files", TP_FINDING_NOTE, "ulimit -n 65536",
                       "at most %llu open files: plain models with many shards may need more",
                       (unsigned long long)limit.rlim_max);
    else
        tp_finding_add(all, "open_files", TP_FINDING_OK, NULL,
                       "at most %llu open files (of at most %llu)",
                       (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
}

static void check_memlock(struct tp_findings *all)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit))
        return;
    if (limit.rlim_cur == RLIM_INFINITY)
        tp_finding_add(all, "memlock", TP_FINDING_OK, NULL, "no limit of locked memory");
    else
        tp_finding_add(all, "memlock", TP_FINDING_NOTE, "ulimit -l unlimited",
                       "%s of memory can be locked: loaders that register buffers (io_uring, CUDA) "
                       "may want more",
                       tp_report_size(limit.rlim_cur));
}

/* Read the word in brackets of a file in /sys that lists choices. */
static bool read_choice(const char *path, char *out, size_t len)
{
    char line[128];
    FILE *f = fopen(path, "re");
    const char *open = f && fgets(line, sizeof line, f) ? strchr(line, '[') : NULL;
    if (f)
        fclose(f);
    if (!open)
        return false;
    snprintf(out, len, "%.*s", (int)strcspn(open + 1, "]"), open + 1);
    return true;
}

static void check_huge_pages(struct tp_findings *all)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
    char mode[32];
    if (!read_choice(path, mode, sizeof mode))
        tp_finding_add(all, "huge_pages", TP_FINDING_NOTE, NULL,
                       "this kernel has no transparent huge pages");
    else if (!strcmp(mode, "never"))
        tp_finding_add(all, "huge_pages", TP_FINDING_NOTE,
                       "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
                       "never: decoded blocks are in small pages");
    else
        tp_finding_add(all, "huge_pages", TP_FINDING_OK, NULL, "%s", mode);
}

static void check_memory(struct tp_findings *all)
{
    unsigned long long kb = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu", &kb) == 1)
            break;
    if (f)
        fclose(f);
    uint64_t cache = tp_mount_default_cache();
    if (kb && kb * 1024 < 2 * cache)
        tp_finding_add(all, "memory", TP_FINDING_SLOW, "tenpak mount -o cache=64M DIR MNT",
                       "%s are free, but the cache of a mount takes up to %s",
                       tp_report_size(kb * 1024), tp_report_size(cache));
    else
        tp_finding_add(all, "memory", TP_FINDING_OK, NULL,
                       "%s are free; the cache of a mount takes up to %s",
                       tp_report_size(kb * 1024), tp_report_size(cache));
}

static void check_cpu(struct tp_findings *all)
{
    const char *in_use = tp_isa_name(tp_isa_get());
    unsigned n = tp_cpu_count();
    if (tp_isa_get() < tp_isa_best())
        tp_finding_add(all, "cpu_kernels", TP_FINDING_SLOW, "unset TENPAK_CPU",
                       "%s, because of TENPAK_CPU in the environment; this CPU has %s", in_use,
                       tp_isa_name(tp_isa_best()));
    else if (tp_isa_best() == TP_ISA_SCALAR)
        tp_finding_add(all, "cpu_kernels", TP_FINDING_SLOW, NULL,
                       "this CPU has neither AVX2 nor AVX-512: decoding is several times slower");
    else
        tp_finding_add(all, "cpu_kernels", TP_FINDING_OK, NULL, "%s on %u CPU%s", in_use, n,
                       n == 1 ? "" : "s");
}

static void check_kernel(struct tp_findings *all)
{
    struct utsname name;
    if (!uname(&name))
        tp_finding_add(all, "kernel", TP_FINDING_OK, NULL, "%s %.60s, libfuse %s", name.sysname,
                       name.release, fuse_pkgversion());
}

void tp_doctor_machine(struct tp_findings *all)
{
    check_files(all);
    check_memlock(all);
    check_huge_pages(all);
    check_memory(all);
    check_cpu(all);
    check_kernel(all);
}
