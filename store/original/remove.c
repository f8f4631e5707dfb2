/* SPDX-License-Identifier: MIT */
/*
 * Removing the original. One rename hides it. It is compared once more, its files are moved to a
 * directory that no other process can enter, and its directories are removed one by one, which
 * fails if a new file is in one of them. Until the very end all files are on the disk, and
 * everything can be put back.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/dir.h"
#include "base/file.h"
#include "store/compare.h"
#include "store/names.h"
#include "store/original/original_impl.h"

#define NUMBER_TEXT 12

static void number_text(const struct tp_part *part, char out[NUMBER_TEXT])
{
    snprintf(out, NUMBER_TEXT, "%u", part->number);
}

/* Rename; -EEXIST if TO exists. Also for file systems that cannot do this in one step. */
static int move_name(int from_fd, const char *from, int to_fd, const char *to)
{
    struct stat st;

    if (renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (fstatat(to_fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return renameat(from_fd, from, to_fd, to);
}

/* A directory of this user may be read-only, if its files are meant to be. */
static int make_writable(int fd, const struct statx *st)
{
    if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == 0)
        return 0;
    return fchmod(fd, (st->stx_mode & 07777) | S_IRWXU);
}

/* --- Forward --- */

static int make_aside(struct tp_original *o, struct tp_error *err)
{
    if (o->aside_fd >= 0)
        return 0;
    if (mkdir(o->aside, 0700) < 0)
        return tp_fail_errno(err, "cannot create '%s'", o->aside);
    o->aside_fd = open(o->aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (o->aside_fd >= 0)
        return tp_temporary_lock(o->aside_fd, o->aside, err);
    tp_fail_errno(err, "cannot open '%s'", o->aside);
    rmdir(o->aside);
    return err ? err->code : -EIO;
}

static int move_aside(struct tp_original *o, struct tp_part *part, struct tp_error *err)
{
    const struct tp_part *dir = &o->parts[part->parent];
    char name[NUMBER_TEXT];

    number_text(part, name);
    if (move_name(dir->fd, part->name, o->aside_fd, name) < 0)
        return errno == ENOENT
                   ? tp_fail(err, EBUSY, "'%s/%s' went away while it was packed", o->path,
                             part->path)
                   : tp_fail_errno(err, "cannot move '%s/%s' aside", o->path, part->path);
    part->where = TP_PART_ASIDE;
    /* The file that had this name was moved. */
    return tp_original_check_part(o, part, o->aside_fd, name, true, err);
}

static int move_all_aside(struct tp_original *o, struct tp_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < o->part_n; i++) {
        struct tp_part *part = &o->parts[i];

        if (part->where != TP_PART_TREE)
            continue;
        if (part->type == TP_ENTRY_DIR && make_writable(part->fd, &part->st) < 0)
            rc = tp_fail_errno(err, "cannot make '%s/%s' writable", o->path, part->path);
        else if (part->type != TP_ENTRY_DIR)
            rc = move_aside(o, part, err);
    }
    return rc;
}

/* Report the new entry in a directory that should be empty. */
static int fail_not_empty(const struct tp_original *o, const struct tp_part *part,
                          struct tp_error *err)
{
    const struct dirent *entry;
    struct tp_dir dir;
    int rc;

    tp_dir_open(&dir, part->fd, ".");
    entry = tp_dir_next(&dir);
    rc = tp_fail(err, EBUSY, "'%s/%s/%s' came while it was packed", o->path, part->path,
                 entry ? entry->d_name : "...");
    tp_dir_close(&dir);
    return rc;
}

static int remove_directories(struct tp_original *o, struct tp_error *err)
{
    for (size_t i = o->part_n; i-- > 0;) {
        struct tp_part *part = &o->parts[i];
        int in = i ? o->parts[part->parent].fd : AT_FDCWD;

        if (part->type != TP_ENTRY_DIR || part->where != TP_PART_TREE)
            continue;
        if (unlinkat(in, i ? part->name : o->removing, AT_REMOVEDIR) < 0)
            return errno == ENOTEMPTY || errno == EEXIST
                       ? fail_not_empty(o, part, err)
                       : tp_fail_errno(err, "cannot remove '%s/%s'", o->path, part->path);
        part->where = TP_PART_GONE;
    }
    return 0;
}

/*
 * From here on the files that are aside are garbage. If this process does not delete them, a later
 * run does.
 */
static int commit_removal(struct tp_original *o, struct tp_error *err)
{
    tp_autofree char *rubbish = NULL;
    int rc = 0;

    if (o->leases && tp_leases_seal(o->leases) >= 0)
        rc = tp_original_check_leases(o, err);
    if (rc == 0)
        rc = tp_temporary_beside(o->path, &rubbish, err);
    if (rc == 0)
        rc = tp_rename_new(o->aside, rubbish, err);
    if (rc < 0)
        return rc;
    o->committed = true;
    rc = tp_file_sync_parent(rubbish, err);
    for (size_t i = 1; i < o->part_n; i++) {
        char name[NUMBER_TEXT];

        number_text(&o->parts[i], name);
        if (o->parts[i].where == TP_PART_ASIDE && unlinkat(o->aside_fd, name, 0) < 0 && rc == 0)
            rc = tp_fail_errno(err, "cannot remove '%s/%s'", rubbish, name);
    }
    if (rmdir(rubbish) < 0 && rc == 0)
        rc = tp_fail_errno(err, "cannot remove '%s'", rubbish);
    if (rc == 0)
        rc = tp_file_sync_parent(rubbish, err);
    return rc;
}

int tp_original_remove_parts(struct tp_original *o, struct tp_error *err)
{
    int rc = make_aside(o, err);

    if (rc == 0)
        rc = move_all_aside(o, err);
    if (rc == 0)
        rc = tp_original_check_leases(o, err);
    if (rc == 0)
        rc = remove_directories(o, err);
    return rc == 0 ? commit_removal(o, err) : rc;
}

/* --- Back --- */

/*
 * Copy the owner, access lists and other attributes of the removed directory PART as far as
 * possible. A failure must not prevent its files from being put back.
 */
static int copy_attributes(const struct tp_part *part, int to)
{
    int from = part->fd;
    char names[4096], value[4096];
    ssize_t len = from >= 0 ? flistxattr(from, names, sizeof names) : 0;
    int ignored = fchown(to, part->st.stx_uid, part->st.stx_gid);

    (void)ignored;
    for (ssize_t i = 0; i < len; i += (ssize_t)strlen(names + i) + 1) {
        ssize_t n = fgetxattr(from, names + i, value, sizeof value);

        if (n >= 0)
            fsetxattr(to, names + i, value, (size_t)n, 0);
    }
    for (uint32_t i = 0; from < 0 && i < part->attr_n; i++)
        fsetxattr(to, part->attrs[i].name, part->attrs[i].value, part->attrs[i].len, 0);
    return fchmod(to, part->st.stx_mode & 07777);
}

static int make_directory(struct tp_original *o, size_t number)
{
    struct tp_part *part = &o->parts[number];
    int in = number ? o->parts[part->parent].fd : AT_FDCWD, fd;
    const char *name = number ? part->name : o->removing;

    if (mkdirat(in, name, 0700) < 0 && errno != EEXIST)
        return -1;
    fd = openat(in, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    if (copy_attributes(part, fd) < 0 || make_writable(fd, &part->st) < 0) {
        int code = errno;

        close(fd);
        errno = code;
        return -1;
    }
    if (part->fd >= 0)
        close(part->fd);
    part->fd = fd;
    part->where = TP_PART_TREE;
    return 0;
}

/* If a writer has made a new file of this name, it is newer than the one that is put back. */
static int move_back(struct tp_original *o, struct tp_part *part)
{
    char name[NUMBER_TEXT];

    number_text(part, name);
    if (move_name(o->aside_fd, name, o->parts[part->parent].fd, part->name) < 0 &&
        (errno != EEXIST || unlinkat(o->aside_fd, name, 0) < 0))
        return -1;
    part->where = TP_PART_TREE;
    return 0;
}

static int put_parts_back(struct tp_original *o, struct tp_error *err)
{
    for (size_t i = 0; i < o->part_n; i++) {
        struct tp_part *part = &o->parts[i];
        int rc = 0;

        if (part->type == TP_ENTRY_DIR && part->where == TP_PART_GONE)
            rc = make_directory(o, i);
        else if (part->where == TP_PART_ASIDE)
            rc = move_back(o, part);
        if (rc < 0)
            return tp_fail_errno(err, "cannot put back '%s/%s'", o->path, part->path);
    }
    return 0;
}

/* Set modes and times, children before parents. */
static int finish_directories(struct tp_original *o, struct tp_error *err)
{
    for (size_t i = o->part_n; i-- > 0;) {
        const struct tp_part *part = &o->parts[i];
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                    {part->st.stx_mtime.tv_sec, part->st.stx_mtime.tv_nsec}};

        if (part->type != TP_ENTRY_DIR)
            continue;
        /*
         * A user who may write here without owning the directory cannot set these, but could not
         * have changed them either, except for the time.
         */
        if ((fchmod(part->fd, part->st.stx_mode & 07777) < 0 || futimens(part->fd, times) < 0) &&
            errno != EPERM)
            return tp_fail_errno(err, "cannot put back '%s/%s'", o->path, part->path);
    }
    return 0;
}

int tp_original_put_back(struct tp_original *o, struct tp_error *err)
{
    int rc = put_parts_back(o, err);

    if (rc == 0)
        rc = finish_directories(o, err);
    if (rc == 0 && o->aside_fd >= 0 && rmdir(o->aside) < 0)
        rc = tp_fail_errno(err, "cannot remove '%s'", o->aside);
    if (rc == 0)
        rc = tp_rename_new(o->removing, o->path, err);
    if (rc < 0)
        return rc;
    o->in_place = true;
    /* The pack may be removed next, so the directory must be on the disk before. */
    if (syncfs(o->parts[0].fd) < 0)
        return tp_fail_errno(err, "cannot sync '%s'", o->path);
    return tp_file_sync_parent(o->path, err);
}

/* --- Both --- */

static int number_parts(struct tp_original *o, const struct tp_index *index, struct tp_error *err)
{
    for (size_t i = 1; i < o->part_n; i++) {
        const struct tp_pack_file *file = tp_index_find(index, o->parts[i].path);

        if (!file)
            return tp_fail(err, EBUSY, "'%s/%s' came while it was packed", o->path,
                           o->parts[i].path);
        o->parts[i].number = (uint32_t)(file - index->files);
    }
    return 0;
}

int tp_original_compare(struct tp_original *o, const struct tp_pack *pack, struct tp_error *err)
{
    struct tp_error why = {0};
    int rc = tp_original_check(o, err);

    if (rc < 0)
        return rc;
    rc = tp_compare_dir(pack, o->in_place ? o->path : o->removing, false, NULL, &why);
    return rc == -EEXIST
               ? tp_fail(err, EBUSY, "'%s' changed while it was packed: %s", o->path, why.message)
           : rc < 0 ? tp_fail(err, -rc, "%s", why.message)
                    : 0;
}

int tp_original_undo(struct tp_original *o, int rc, struct tp_error *err)
{
    struct tp_error why = {0}, first = err ? *err : (struct tp_error){0};

    if (rc == 0 || o->committed || tp_original_put_back(o, &why) == 0)
        return rc;
    if (o->in_place)
        return tp_fail(err, -rc, "%.600s; %.300s", first.message, why.message);
    return tp_fail(
        err, -rc,
        "%.500s; what was '%.100s' is in '%.100s' now, since it could not be put back: %.200s",
        first.message, o->path, o->removing, why.message);
}

int tp_original_remove(struct tp_original *o, const struct tp_pack *pack, struct tp_error *err)
{
    int rc = tp_original_check(o, err);

    if (rc == 0)
        rc = number_parts(o, tp_pack_index(pack), err);
    if (rc == 0)
        rc = tp_rename_new(o->path, o->removing, err);
    if (rc < 0)
        return rc;
    o->in_place = false;
    rc = tp_file_sync_parent(o->removing, err);
    /* While the original is hidden, no process reaches it by its path. */
    if (rc == 0)
        rc = tp_original_compare(o, pack, err);
    if (rc == 0)
        rc = tp_original_remove_parts(o, err);
    return tp_original_undo(o, rc, err);
}
