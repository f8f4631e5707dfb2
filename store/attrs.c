/* SPDX-License-Identifier: MIT */
/* Reading and writing the extended attributes of open files. */
#include <config.h>

#include "store/attrs.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/acl.h"
#include "base/vector.h"
#include "store/pack/layout.h"

#define NAMES_MAX 65536u /* maximum of the kernel */
#define FLAGS_LOST (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_SYNC_FL)

static bool has_no_attributes(int code)
{
    return code == EOPNOTSUPP || code == ENOSYS;
}

/*
 * Count an attribute that packs do not keep. Labels of SELinux do not count: its policy sets them
 * again for each file.
 */
static void count_lost(const char *name, struct tp_lost *lost, bool *other)
{
    if (strcmp(name, "security.capability") == 0)
        lost->capabilities++;
    else if (strcmp(name, "security.selinux") != 0)
        *other = true;
}

/* Read one attribute, unless it was removed after it was listed. */
static int read_one(int fd, const char *path, const char *name, uint32_t file, struct tp_attrs *out,
                    struct tp_error *err)
{
    uint8_t *value = malloc(TP_ATTR_VALUE_MAX);
    ssize_t len = value ? fgetxattr(fd, name, value, TP_ATTR_VALUE_MAX) : 0;
    int rc = 0;

    if (value && len < 0 && errno != ENODATA)
        rc = tp_fail_errno(err, "cannot read the attribute '%s' of '%s'", name, path);
    if (value && len >= 0 && (out->bytes += (uint64_t)len) > TP_ATTR_VALUES_MAX)
        rc = tp_fail(err, E2BIG, "the attributes up to those of '%s' take more than %u bytes", path,
                     TP_ATTR_VALUES_MAX);
    if (rc < 0 || (value && len < 0)) {
        free(value);
        return rc;
    }
    uint8_t *fits = value ? realloc(value, len ? (size_t)len : 1) : NULL;
    char *copy = strdup(name);
    if (!value || !copy || TP_VECTOR_GROW(out->list, out->n, out->cap) < 0) {
        free(fits ? fits : value);
        free(copy);
        return tp_oom(err);
    }
    out->list[out->n++] = (struct tp_attr){
        .file = file, .name = copy, .value = fits ? fits : value, .len = (uint32_t)len};
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tp_attr *)a)->name, ((const struct tp_attr *)b)->name);
}

static void count_flags(int fd, struct tp_lost *lost)
{
    long flags = 0; /* the kernel's type is long, but it fills an int */

    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0)
        lost->flags += (flags & FLAGS_LOST) != 0;
}

int tp_attrs_read(int fd, const char *path, uint32_t file, struct tp_attrs *out,
                  struct tp_lost *lost, struct tp_error *err)
{
    struct tp_lost ignored = {0};
    uint32_t first = out->n;
    char *names = NULL;
    bool other = false;
    struct stat st;
    int rc = 0;

    lost = lost ? lost : &ignored;
    count_flags(fd, lost);
    ssize_t len = flistxattr(fd, NULL, 0);
    if (len == 0 || (len < 0 && has_no_attributes(errno)))
        return 0;
    if (len < 0 || fstat(fd, &st) < 0)
        return tp_fail_errno(err, "cannot list the attributes of '%s'", path);
    names = malloc(NAMES_MAX);
    if (!names)
        return tp_oom(err);
    len = flistxattr(fd, names, NAMES_MAX);
    if (len < 0)
        rc = tp_fail_errno(err, "cannot list the attributes of '%s'", path);
    for (const char *name = names; rc == 0 && name < names + len; name += strlen(name) + 1) {
        if (tp_attr_may_be(name, S_ISDIR(st.st_mode) ? TP_ENTRY_DIR : TP_ENTRY_FILE))
            rc = read_one(fd, path, name, file, out, err);
        else
            count_lost(name, lost, &other);
    }
    free(names);
    lost->attributes += other;
    if (out->n > first)
        qsort(out->list + first, out->n - first, sizeof *out->list, by_name);
    return rc;
}

void tp_attrs_clear(struct tp_attrs *attrs)
{
    for (uint32_t i = 0; i < attrs->n; i++) {
        free((void *)(uintptr_t)attrs->list[i].name);
        free((void *)(uintptr_t)attrs->list[i].value);
    }
    free(attrs->list);
    *attrs = (struct tp_attrs){0};
}

int tp_attrs_drop_lists(int fd, const char *path, struct tp_error *err)
{
    static const char *const names[] = {TP_ACL_ACCESS, TP_ACL_DEFAULT};

    /* Removing a default list from something other than a directory fails with EACCES. */
    for (unsigned i = 0; i < 2; i++)
        if (fremovexattr(fd, names[i]) < 0 && errno != ENODATA && errno != EACCES &&
            !has_no_attributes(errno))
            return tp_fail_errno(err, "cannot take the access lists from '%s'", path);
    return 0;
}

bool tp_attrs_supported(int fd, const char *name)
{
    return fgetxattr(fd, name, NULL, 0) >= 0 || !has_no_attributes(errno);
}

int tp_attrs_write(int fd, const char *path, const struct tp_attr *attrs, uint32_t n, uint32_t mode,
                   struct tp_lost *lost, struct tp_error *err)
{
    bool attributes_lost = false;

    for (uint32_t i = 0; i < n; i++) {
        const struct tp_attr *a = &attrs[i];
        bool list = strcmp(a->name, TP_ACL_ACCESS) == 0;

        if (fsetxattr(fd, a->name, a->value, a->len, 0) == 0)
            continue;
        if (!has_no_attributes(errno))
            return tp_fail_errno(err, "cannot set the attribute '%s' of '%s'", a->name, path);
        attributes_lost = true;
        if (list && fchmod(fd, tp_acl_tighten(mode, a->value, a->len)) < 0)
            return tp_fail_errno(err, "cannot set the mode of '%s'", path);
    }
    lost->attributes += attributes_lost;
    return 0;
}

bool tp_lost_describe(const struct tp_lost *lost, char *out, size_t len)
{
    const struct {
        uint64_t n;
        const char *what;
    } parts[] = {{lost->owners, "owners or groups of their own"},
                 {lost->capabilities, "capabilities"},
                 {lost->flags, "flags such as immutable"},
                 {lost->attributes, "attributes or access lists"}};
    size_t at = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].n == 0 || at >= len)
            continue;
        at += (size_t)snprintf(out + at, len - at, "%s%s (%" PRIu64 " file%s)", at ? ", " : "",
                               parts[i].what, parts[i].n, parts[i].n == 1 ? "" : "s");
    }
    return at > 0;
}
