/* SPDX-License-Identifier: MIT */
/* Checks of FUSE: the device, the helper, sizes of requests, and read-ahead of existing mounts. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/doctor.h"
#include "fs/fs.h"
#include "fs/kernel.h"

/* Pages of a request of 1 MiB. */
#define MAX_PAGES 256u

static bool read_number(const char *path, unsigned long *out)
{
    FILE *f = fopen(path, "re");
    bool good = f && fscanf(f, "%lu", out) == 1;
    if (f)
        fclose(f);
    return good;
}

/* Finds PROGRAM in PATH. */
static bool find_program(const char *program, char *out, size_t len, struct stat *st)
{
    const char *path = getenv("PATH");
    for (const char *dir = path ? path : "/usr/bin:/bin"; *dir;) {
        size_t n = strcspn(dir, ":");
        snprintf(out, len, "%.*s/%s", (int)n, dir, program);
        if (!stat(out, st) && S_ISREG(st->st_mode) && !access(out, X_OK))
            return true;
        dir += n + (dir[n] == ':');
    }
    return false;
}

static void check_device(struct tp_findings *all)
{
    if (access("/dev/fuse", F_OK))
        tp_finding_add(
            all, "dev_fuse", TP_FINDING_BROKEN, "sudo modprobe fuse",
            "there is no /dev/fuse; a container needs --device /dev/fuse --cap-add SYS_ADMIN");
    else if (access("/dev/fuse", R_OK | W_OK))
        tp_finding_add(all, "dev_fuse", TP_FINDING_BROKEN, "sudo chmod 666 /dev/fuse",
                       "this user may not open /dev/fuse");
    else
        tp_finding_add(all, "dev_fuse", TP_FINDING_OK, NULL, "/dev/fuse can be opened");
}

static void check_helper(struct tp_findings *all)
{
    char path[4096], fix[160];
    struct stat st;
    if (!find_program("fusermount3", path, sizeof path, &st)) {
        tp_finding_add(all, "fusermount3", geteuid() ? TP_FINDING_BROKEN : TP_FINDING_NOTE,
                       "sudo apt-get install fuse3", "fusermount3 is not installed");
    } else if (geteuid() && !(st.st_mode & S_ISUID)) {
        snprintf(fix, sizeof fix, "sudo chmod u+s %.128s", path);
        tp_finding_add(all, "fusermount3", TP_FINDING_BROKEN, fix,
                       "%.200s is not setuid: only root can mount", path);
    } else {
        tp_finding_add(all, "fusermount3", TP_FINDING_OK, NULL, "%.200s", path);
    }
}

static void check_allow_other(struct tp_findings *all)
{
    char line[256];
    bool allowed = false;
    FILE *f = fopen("/etc/fuse.conf", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *word = line + strspn(line, " \t");
        allowed |= !strncmp(word, "user_allow_other", 16) && strchr(" \t\n", word[16]);
    }
    if (f)
        fclose(f);
    if (allowed || !geteuid())
        tp_finding_add(all, "allow_other", TP_FINDING_OK, NULL, "-o allow_other is allowed");
    else
        tp_finding_add(all, "allow_other", TP_FINDING_NOTE,
                       "echo user_allow_other | sudo tee -a /etc/fuse.conf",
                       "/etc/fuse.conf allows -o allow_other only to root");
}

static void check_max_pages(struct tp_findings *all)
{
    unsigned long limit;
    if (!read_number("/proc/sys/fs/fuse/max_pages_limit", &limit))
        tp_finding_add(all, "max_pages_limit", TP_FINDING_NOTE, NULL,
                       "this kernel has no max_pages_limit: requests are at most 1 MiB");
    else if (limit < MAX_PAGES)
        tp_finding_add(all, "max_pages_limit", TP_FINDING_SLOW,
                       "echo 256 | sudo tee /proc/sys/fs/fuse/max_pages_limit",
                       "requests are at most %lu KiB; a mount should have 1024 KiB", limit * 4);
    else
        tp_finding_add(all, "max_pages_limit", TP_FINDING_OK, NULL,
                       "%lu: requests of up to %lu KiB", limit, limit * 4);
}

void tp_doctor_fuse(struct tp_findings *all)
{
    check_device(all);
    check_helper(all);
    check_allow_other(all);
    check_max_pages(all);
}

static void check_mount(struct tp_findings *all, unsigned long major, unsigned long minor,
                        const char *point)
{
    char path[96], fix[160];
    unsigned long kb;
    snprintf(path, sizeof path, "/sys/class/bdi/%lu:%lu/read_ahead_kb", major, minor);
    snprintf(fix, sizeof fix, "echo %u | sudo tee %s", TP_READ_AHEAD_KB, path);
    if (!read_number(path, &kb))
        tp_finding_add(all, "read_ahead", TP_FINDING_NOTE, NULL, "%.100s: %.100s cannot be read",
                       point, path);
    else if (kb < TP_READ_AHEAD_KB)
        tp_finding_add(
            all, "read_ahead", TP_FINDING_SLOW, fix,
            "%.100s: the kernel reads ahead %lu KiB; %u KiB make requests larger and fewer", point,
            kb, TP_READ_AHEAD_KB);
    else
        tp_finding_add(all, "read_ahead", TP_FINDING_OK, NULL, "%.100s: %lu KiB", point, kb);
}

static void check_limits(struct tp_findings *all, const char *point, const struct tp_json *status)
{
    const struct tp_json *kernel = tp_json_get(status, "kernel"),
                         *pass = tp_json_get(status, "passthrough");
    const char *why = tp_json_string(tp_json_get(pass, "why_not"));
    uint64_t in_flight = 0;
    bool on = false;

    if (tp_json_u64(tp_json_get(kernel, "max_background"), &in_flight) &&
        in_flight < TP_MAX_BACKGROUND)
        tp_finding_add(all, "in_flight", TP_FINDING_SLOW,
                       "echo 0 | sudo tee /sys/module/fuse/parameters/max_user_bgreq",
                       "%.100s: at most %u requests of read-ahead in flight; %u are better", point,
                       (unsigned)in_flight, TP_MAX_BACKGROUND);
    if (!tp_json_bool(tp_json_get(pass, "on"), &on))
        return;
    if (on)
        tp_finding_add(all, "passthrough", TP_FINDING_OK, NULL,
                       "%.100s: on, for plain files and hot files", point);
    else
        tp_finding_add(all, "passthrough", TP_FINDING_NOTE, NULL,
                       "%.100s: off, all reads go through the daemon: %.120s", point,
                       why ? why : "?");
}

/* While there is a daemon, the kernel answers this from its cache. */
static bool is_dead(struct tp_findings *all, const char *point)
{
    char fix[160];
    struct statvfs st;
    if (statvfs(point, &st) == 0 || errno != ENOTCONN)
        return false;
    snprintf(fix, sizeof fix, "tenpak umount -l '%.128s'", point);
    tp_finding_add(all, "daemon", TP_FINDING_BROKEN, fix,
                   "the daemon of %.100s has died: all accesses fail", point);
    return true;
}

/* The daemon answers only users who may read its control directory. */
static void ask_mount(struct tp_findings *all, const char *point)
{
    tp_autojson struct tp_json *status = NULL;
    tp_autofree char *text = NULL;

    if (tp_mount_status(point, &text, NULL) == 0 &&
        tp_json_parse(text, strlen(text), &status, NULL) == 0)
        check_limits(all, point, status);
}

/* The kernel writes blanks, tabs, newlines and backslashes as three octal digits. */
static void unescape_octal(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] && from[2] && from[3]) {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

bool tp_doctor_mounts(struct tp_findings *all, const char *mnt)
{
    char line[8192], point[4096], *wanted = NULL;
    unsigned long major, minor;
    unsigned n = 0;
    if (mnt && tp_kernel_canonical(mnt, &wanted, NULL))
        return false;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        if (!strstr(line, " - " TP_FS_TYPE " ") ||
            sscanf(line, "%*u %*u %lu:%lu %*s %4095s", &major, &minor, point) != 3)
            continue;
        unescape_octal(point);
        if (wanted && strcmp(point, wanted))
            continue;
        n++;
        if (is_dead(all, point))
            continue;
        check_mount(all, major, minor, point);
        ask_mount(all, point);
    }
    if (f)
        fclose(f);
    free(wanted);
    if (!n && !mnt)
        tp_finding_add(all, "mounts", TP_FINDING_OK, NULL, "there is no tenpak mount now");
    return n || !mnt;
}
