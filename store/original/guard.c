/* SPDX-License-Identifier: MIT */
/*
 * Refusing originals that a pack must not replace, as far as this can be known in advance: mounts,
 * stores, and files that cannot be removed.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/names.h"
#include "store/original/original_impl.h"

#define TENPAK_TYPE "fuse.tenpak"

/* --- Mounts --- */

/* The kernel writes blanks, tabs, newlines and backslashes in mountinfo as three octal digits. */
static void unescape_octal(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        unsigned value;

        if (from[0] == '\\' && sscanf(from + 1, "%3o", &value) == 1) {
            *to = (char)value;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

struct mount_line {
    unsigned long long id;
    char *root, *point, *type, *source;
};

static bool parse_line(char *line, struct mount_line *out)
{
    char *rest = line, *fields[5], *dash;

    for (int i = 0; i < 5; i++)
        fields[i] = strsep(&rest, " ");
    dash = rest ? strstr(rest, " - ") : NULL;
    if (!dash)
        return false;
    rest = dash + 3;
    out->id = strtoull(fields[0], NULL, 10);
    out->root = fields[3];
    out->point = fields[4];
    out->type = strsep(&rest, " ");
    out->source = rest ? strsep(&rest, " ") : NULL;
    if (!out->source)
        return false;
    unescape_octal(out->root);
    unescape_octal(out->point);
    unescape_octal(out->source);
    return true;
}

/* PATH relative to DIR, "" for DIR itself; NULL: not in DIR. */
static const char *path_within(const char *path, const char *dir)
{
    size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0') ? path + len
                                                                                   : NULL;
}

/* FULL is the model's path without links, ID the id of the mount that contains it. */
static int check_mount(const struct tp_original *o, const struct mount_line *mount,
                       const char *full, unsigned long long id, struct tp_error *err)
{
    const char *inside = path_within(full, mount->point);

    if (strcmp(mount->type, TENPAK_TYPE) != 0)
        return 0;
    if (mount->id == id && inside)
        return tp_fail(err, EXDEV, "'%s' lies in the mount of '%s': pack '%s%s%s'", o->path,
                       mount->source, mount->source,
                       strcmp(mount->root, "/") == 0 ? "" : mount->root, inside);
    if (path_within(mount->source, full))
        return tp_fail(err, EINVAL, "'%s' is a directory of models that is mounted at '%s'",
                       o->path, mount->point);
    return 0;
}

static int check_mounts(const struct tp_original *o, unsigned long long id, struct tp_error *err)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *full = realpath(o->path, NULL), *line = NULL;
    struct mount_line mount;
    size_t cap = 0;
    int rc = full ? 0 : tp_fail_errno(err, "cannot resolve '%s'", o->path);

    while (rc == 0 && file && getline(&line, &cap, file) > 0)
        if (parse_line(line, &mount))
            rc = check_mount(o, &mount, full, id, err);
    free(line);
    free(full);
    if (file)
        fclose(file);
    return rc;
}

/* --- Permissions --- */

static bool has_capability(unsigned capability)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};

    return syscall(SYS_capget, &header, data) == 0 &&
           (data[capability / 32].effective & 1u << capability % 32);
}

static bool is_ours(const struct statx *st)
{
    return st->stx_uid == geteuid() || has_capability(CAP_FOWNER);
}

static int check_flags(const struct statx *st, const char *shown, struct tp_error *err)
{
    if (st->stx_attributes & STATX_ATTR_IMMUTABLE)
        return tp_fail(err, EPERM, "'%s' is immutable (chattr -i)", shown);
    if (st->stx_attributes & STATX_ATTR_APPEND)
        return tp_fail(err, EPERM, "'%s' may only be appended to (chattr -a)", shown);
    return 0;
}

/* Whether ST may be removed from a sticky directory DIR. SHOWN: its path for the message. */
static int check_sticky(const struct statx *st, const struct statx *dir, const char *shown,
                        struct tp_error *err)
{
    if (!(dir->stx_mode & S_ISVTX) || is_ours(st) || is_ours(dir))
        return 0;
    return tp_fail(err, EPERM,
                   "'%s' belongs to another user, who alone may remove it from a sticky directory",
                   shown);
}

int tp_original_check_removable(const struct tp_original *o, const struct tp_part *part,
                                struct tp_error *err)
{
    const struct tp_part *dir = &o->parts[part->parent];
    tp_autofree char *shown = tp_path_join(o->path, part->path, "");
    int rc = shown ? 0 : tp_oom(err);

    if (rc == 0 && part->st.stx_mnt_id != o->parts[0].st.stx_mnt_id)
        rc = tp_fail(err, EXDEV,
                     "'%s' is another file system, mounted within the model: unmount it first",
                     shown);
    if (rc == 0)
        rc = check_flags(&part->st, shown, err);
    if (rc == 0)
        rc = check_sticky(&part->st, &dir->st, shown, err);
    /* A directory of this user is made writable before it is emptied. */
    if (rc == 0 && part->type == TP_ENTRY_DIR && !is_ours(&part->st) &&
        faccessat(part->fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        rc = tp_fail_errno(err, "cannot remove what is in '%s'", shown);
    return rc;
}

/* Check the directory that contains the model, because the model's name is removed from it. */
static int check_parent(const struct tp_original *o, const char *parent, struct tp_error *err)
{
    const struct statx *model = &o->parts[0].st;
    struct statx st;
    int rc;

    if (statx(AT_FDCWD, parent, AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_MNT_ID, &st) < 0)
        return tp_fail_errno(err, "cannot stat '%s'", parent);
    if (!(st.stx_mask & model->stx_mask & STATX_MNT_ID))
        return tp_fail(err, EOPNOTSUPP,
                       "this kernel does not say where other file systems are mounted (Linux 5.8 "
                       "does): leave the "
                       "directory '%s' (--keep)",
                       o->path);
    if (st.stx_mnt_id != model->stx_mnt_id)
        return tp_fail(err, EXDEV, "'%s' is a mount point, which cannot be replaced", o->path);
    if (faccessat(AT_FDCWD, parent, W_OK | X_OK, AT_EACCESS) < 0)
        return tp_fail_errno(err, "cannot write to '%s'", parent);
    rc = check_flags(&st, parent, err);
    if (rc == 0)
        rc = check_flags(model, o->path, err);
    if (rc == 0)
        rc = check_sticky(model, &st, o->path, err);
    if (rc == 0 && !is_ours(model) && faccessat(o->parts[0].fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        rc = tp_fail_errno(err, "cannot remove what is in '%s'", o->path);
    return rc;
}

int tp_original_check_place(const struct tp_original *o, struct tp_error *err)
{
    tp_autofree char *parent = tp_path_parent(o->path);
    int rc = parent ? 0 : tp_oom(err);

    if (rc == 0)
        rc = check_mounts(o, o->parts[0].st.stx_mnt_id, err);
    if (rc == 0)
        rc = check_parent(o, parent, err);
    return rc;
}

/* --- Stores --- */

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), suffix_len = strlen(suffix);

    return len > suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

static bool describes_model(const char *name)
{
    static const char *const names[] = {"config.json", "adapter_config.json", "model_index.json",
                                        "modules.json", "snapshots"};

    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
        if (strcmp(name, names[n]) == 0)
            return true;
    return false;
}

/* Whether directory number DIR contains weights itself. */
static bool has_weights(const struct tp_original *o, size_t dir)
{
    /* The entries below a directory follow it. */
    for (size_t i = dir + 1; i < o->part_n && o->parts[i].parent >= dir; i++)
        if (o->parts[i].parent == dir &&
            (has_suffix(o->parts[i].name, ".safetensors") ||
             has_suffix(o->parts[i].name, ".gguf") || has_suffix(o->parts[i].name, ".bin")))
            return true;
    return false;
}

/*
 * Loose weights do not describe the directories beside them; a file that describes the whole does.
 */
static bool is_described(const struct tp_original *o)
{
    for (size_t i = 1; i < o->part_n; i++)
        if (o->parts[i].parent == 0 && describes_model(o->parts[i].name))
            return true;
    return false;
}

int tp_original_check_no_store(const struct tp_original *o, struct tp_error *err)
{
    bool described = is_described(o);

    for (size_t i = 1; i < o->part_n; i++) {
        const struct tp_part *part = &o->parts[i];
        const char *why = NULL;

        if (part->type == TP_ENTRY_DIR && strcmp(part->name, ".tenpak") == 0)
            why = "is tenpak's own";
        else if (part->type != TP_ENTRY_DIR && has_suffix(part->name, TP_PACK_SUFFIX))
            why = "is a pack";
        else if (!described && part->parent > 0 && o->parts[part->parent].parent == 0 &&
                 describes_model(part->name) && has_weights(o, part->parent))
            why = "describes another model";
        if (why)
            return tp_fail(err, EINVAL, "'%s' is a directory of models and no model: '%s' in it %s",
                           o->path, part->path, why);
    }
    return 0;
}
