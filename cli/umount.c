/* SPDX-License-Identifier: MIT */
/* tenpak umount: end a mount; when it is in use, name the processes that use it. */
#include <config.h>

#include <ctype.h>
#include <fcntl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/file.h"
#include "cli/options.h"
#include "cli/report.h"
#include "fs/kernel.h"
#include "fs/unmount.h"

enum { HOLDERS_MAX = 10 };

static const struct tp_option options[] = {
    {'l', "lazy", NULL, "detach now; what is open stays readable until it is closed"},
    {0, NULL, NULL, NULL},
};

/* Whether a link of /proc leads to MNT or below it; the mount itself is not asked anything. */
static bool leads_into(const char *link, const char *mnt)
{
    char target[4096];
    size_t len = strlen(mnt);
    ssize_t n = readlink(link, target, sizeof target - 1);
    if (n < 0)
        return false;
    target[n] = '\0';
    return !strncmp(target, mnt, len) && (!target[len] || target[len] == '/');
}

static bool has_open(const char *pid, const char *mnt)
{
    char path[512];
    struct tp_dir dir;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    tp_dir_open(&dir, AT_FDCWD, path);
    for (const struct dirent *e; !found && (e = tp_dir_next(&dir));) {
        snprintf(path, sizeof path, "/proc/%.20s/fd/%.200s", pid, e->d_name);
        found = leads_into(path, mnt);
    }
    tp_dir_close(&dir);
    return found;
}

/* Lines of /proc/PID/maps end in the path that is mapped. */
static bool has_mapped(const char *pid, const char *mnt)
{
    char path[64], line[8192];
    size_t len = strlen(mnt);
    bool found = false;
    snprintf(path, sizeof path, "/proc/%.20s/maps", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    while (!found && fgets(line, sizeof line, f)) {
        const char *name = strchr(line, '/');
        found = name && !strncmp(name, mnt, len) && name[len] == '/';
    }
    fclose(f);
    return found;
}

static const char *describe_use(const char *pid, const char *mnt)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/cwd", pid);
    if (leads_into(path, mnt))
        return "works in it";
    if (has_open(pid, mnt))
        return "has a file of it open";
    return has_mapped(pid, mnt) ? "has a file of it mapped" : NULL;
}

static void print_mount(const char *point)
{
    fprintf(stderr, "  a file system is mounted at '%s'\n", tp_report_name(point));
}

static void print_holders(const char *mnt)
{
    struct tp_dir dir;
    unsigned told = 0;

    tp_kernel_mounts_below(mnt, print_mount);
    tp_dir_open(&dir, AT_FDCWD, "/proc");
    for (const struct dirent *e; told < HOLDERS_MAX && (e = tp_dir_next(&dir));) {
        struct tp_buffer name = {0};
        char path[64];
        if (!isdigit((unsigned char)e->d_name[0]) || strtol(e->d_name, NULL, 10) == getpid())
            continue;
        const char *how = describe_use(e->d_name, mnt);
        if (!how)
            continue;
        snprintf(path, sizeof path, "/proc/%.20s/comm", e->d_name);
        if (!tp_file_read_all(-1, path, 4096, &name, NULL) && name.len)
            name.data[name.len - 1] = '\0';
        fprintf(stderr, "  process %s (%s) %s\n", e->d_name,
                name.len ? tp_report_name((char *)name.data) : "?", how);
        tp_buffer_clear(&name);
        told++;
    }
    tp_dir_close(&dir);
    fputs("hint: end these, or 'tenpak umount -l' to detach it now and let them finish\n", stderr);
}

static int run_umount(struct tp_options *o)
{
    struct tp_error err = {0};
    bool lazy = false;
    int opt, code = TP_EXIT_OK;

    while ((opt = tp_options_next(o)) > 0)
        lazy |= opt == 'l';
    if (opt < 0)
        return o->exit;
    /* What the caller has open in the mount, and gave to us, is not to hold it. */
    close_range(3, ~0u, 0);
    int rc = tp_unmount(o->argv[0], lazy, &err);
    if (rc == -EBUSY) {
        char *full = realpath(o->argv[0], NULL);
        fprintf(stderr, "tenpak: %s\n", err.message);
        print_holders(full ? full : o->argv[0]);
        free(full);
        code = TP_EXIT_BUSY;
    } else if (rc) {
        code = tp_report_error(&err);
    }
    return code;
}

const struct tp_command tp_command_umount = {
    .name = "umount",
    .args = "[OPTION...] MNT",
    .summary = "End a mount.",
    .about =
        "If the mount is in use, the processes that use it are printed, and the exit code is 11.",
    .examples = "  tenpak umount /mnt/models\n"
                "  tenpak umount --lazy /mnt/models\n",
    .options = options,
    .with = 0,
    .min_args = 1,
    .max_args = 1,
    .run = run_umount,
};
