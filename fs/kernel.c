/* SPDX-License-Identifier: MIT */
/* Finding a mount in the kernel's table, and the read-ahead of a file system in /sys. */
#include <config.h>

#include "fs/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "fs/mountinfo.h"

int tp_kernel_canonical(const char *path, char **out, struct tp_error *err)
{
    tp_autofree char *copy = strdup(path), *parent = NULL;
    const char *name;

    *out = NULL;
    if (!copy)
        return tp_oom(err);
    for (size_t len = strlen(copy); len > 1 && copy[len - 1] == '/'; len--)
        copy[len - 1] = 0;
    char *slash = strrchr(copy, '/');
    name = slash ? slash + 1 : copy;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        *out = realpath(copy, NULL);
        return *out ? 0 : tp_fail_errno(err, "cannot find '%s'", path);
    }
    if (slash)
        *slash = 0;
    parent = realpath(!slash ? "." : *copy ? copy : "/", NULL);
    if (!parent)
        return tp_fail_errno(err, "cannot find '%s'", path);
    *out = tp_format("%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name);
    return *out ? 0 : tp_oom(err);
}

/* Find a tenpak mount at PATH: the minor number of its device, and the user who made it. */
static bool find_connection(const char *path, unsigned *number, uid_t *owner)
{
    static const char user[] = "user_id=";
    tp_auto(tp_mount_table_clear) struct tp_mount_table table = {0};
    bool found = false;

    if (tp_mount_table_read(&table) < 0)
        return false;
    /* A later mount covers earlier ones. */
    for (size_t i = 0; i < table.n; i++) {
        const struct tp_mount_row *row = &table.rows[i];
        const char *id = strstr(row->options, user);
        if (strcmp(row->point, path) != 0)
            continue;
        found = strcmp(row->type, TP_FS_TYPE) == 0;
        *number = minor(row->dev);
        *owner = id ? (uid_t)strtoul(id + strlen(user), NULL, 10) : 0;
    }
    return found;
}

bool tp_kernel_is_tenpak(const char *path)
{
    unsigned number;
    uid_t owner;

    return find_connection(path, &number, &owner);
}

bool tp_kernel_is_mounted(const char *path, dev_t dev)
{
    unsigned number;

    return tp_kernel_connection(path, &number) && number == minor(dev);
}

bool tp_kernel_connection(const char *path, unsigned *number)
{
    uid_t owner;

    return find_connection(path, number, &owner);
}

bool tp_kernel_owner(const char *path, uid_t *owner)
{
    unsigned number;

    return find_connection(path, &number, owner);
}

void tp_kernel_mounts_below(const char *path, void (*fn)(const char *point))
{
    tp_auto(tp_mount_table_clear) struct tp_mount_table table = {0};

    if (tp_mount_table_read(&table) < 0)
        return;
    for (size_t i = 0; i < table.n; i++)
        if (strcmp(table.rows[i].point, path) != 0 && tp_path_is_within(table.rows[i].point, path))
            fn(table.rows[i].point);
}

static void read_ahead_path(dev_t dev, char out[64])
{
    snprintf(out, 64, "/sys/class/bdi/%u:%u/read_ahead_kb", major(dev), minor(dev));
}

static unsigned read_number(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned n = 0;

    if (!file)
        return 0;
    if (fscanf(file, "%u", &n) != 1)
        n = 0;
    fclose(file);
    return n;
}

unsigned tp_kernel_read_ahead(dev_t dev)
{
    char path[64];

    read_ahead_path(dev, path);
    return read_number(path);
}

unsigned tp_kernel_max_background(dev_t dev)
{
    char path[64];

    snprintf(path, sizeof path, "/sys/fs/fuse/connections/%u/max_background", minor(dev));
    return read_number(path);
}

unsigned tp_kernel_max_request_kb(void)
{
    return read_number("/proc/sys/fs/fuse/max_pages_limit") * 4;
}

int tp_kernel_set_read_ahead(dev_t dev, unsigned kb)
{
    char path[64];
    int rc = 0;

    read_ahead_path(dev, path);
    tp_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (dprintf(fd, "%u\n", kb) < 0)
        rc = -errno;
    return rc;
}
