/* SPDX-License-Identifier: MIT */
/* Replacing a pack by the directory that it was made from. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/stamp.h"
#include "store/compare.h"
#include "store/extract.h"
#include "store/extract_space.h"
#include "store/lock.h"
#include "store/names.h"
#include "store/ops.h"
#include "store/original/original.h"
#include "store/pack/pack_internal.h"
#include "store/place.h"
#include "store/remove.h"

struct job {
    const char *path;  /* the pack */
    struct stat named; /* what has the name of the pack: the pack, or a link to it */
    char *target;      /* the directory to be made */
    struct tp_pack *pack;
    struct tp_store *store;
    const struct tp_restore_options *options;
    struct tp_error *err;
};

static int check_base(const struct job *j)
{
    return tp_pack_base_error(j->pack)[0] ? tp_fail(j->err, ENOLINK, "'%s' cannot be restored: %s",
                                                    j->path, tp_pack_base_error(j->pack))
                                          : 0;
}

static int make_temporary(const struct job *j, char **path, int *fd)
{
    int rc = tp_temporary_beside(j->target, path, j->err);

    if (rc < 0)
        return rc;
    if (mkdir(*path, 0700) < 0)
        return tp_fail_errno(j->err, "cannot create '%s'", *path);
    *fd = open(*path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0) {
        rc = tp_fail_errno(j->err, "cannot open '%s'", *path);
        rmdir(*path);
        return rc;
    }
    rc = tp_temporary_lock(*fd, *path, j->err);
    /* Files made in it must not inherit access lists of the directory around it. */
    return rc == 0 ? tp_attrs_drop_lists(*fd, *path, j->err) : rc;
}

static void warn_of_lost(const struct job *j, const struct tp_lost *lost)
{
    char what[256];

    if (tp_lost_describe(lost, what, sizeof what))
        tp_log(TP_LOG_WARNING,
               "the file system of '%s' does not keep %s: nobody is granted more for that",
               j->target, what);
}

static int extract_pack(const struct job *j)
{
    struct tp_lost lost = {0};
    tp_autofree char *temporary = NULL;
    int fd = -1, rc;

    tp_temporaries_sweep(j->target);
    rc = make_temporary(j, &temporary, &fd);
    if (rc == 0)
        rc = tp_extract_check_space(tp_pack_index(j->pack), fd, j->target, j->err);
    if (rc == 0)
        rc = tp_extract(j->pack, fd, temporary, j->options->threads, j->options->progress, &lost,
                        j->err);
    if (rc == 0)
        warn_of_lost(j, &lost);
    if (rc == 0)
        rc = tp_rename_new(temporary, j->target, j->err);
    if (rc == 0)
        rc = tp_file_sync_parent(j->target, j->err);
    else if (fd >= 0)
        tp_file_remove_tree(AT_FDCWD, temporary, NULL);
    if (fd >= 0)
        close(fd);
    return rc;
}

static bool path_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* A directory that existed before may not be on the disk yet. */
static int sync_target(const struct job *j)
{
    int fd = open(j->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), rc = 0;

    if (fd < 0)
        return tp_fail_errno(j->err, "cannot open '%s'", j->target);
    if (syncfs(fd) < 0)
        rc = tp_fail_errno(j->err, "cannot sync '%s'", j->target);
    close(fd);
    return rc;
}

/*
 * Remove the file that was opened, or the link that led to it, and not a file that has replaced it.
 */
static int unlink_pack(const struct job *j)
{
    struct stat now;
    tp_autofree char *aside = NULL;
    int rc = tp_temporary_beside(j->path, &aside, j->err);

    if (rc == 0)
        rc = tp_rename_new(j->path, aside, j->err);
    if (rc < 0)
        return rc;
    if (lstat(aside, &now) < 0)
        rc = tp_fail_errno(j->err, "cannot stat '%s'", aside);
    else if (!tp_same_file(&now, &j->named))
        rc = tp_fail(j->err, EBUSY, "'%s' was replaced by another while it was restored", j->path);
    else if (unlink(aside) < 0)
        rc = tp_fail_errno(j->err, "cannot remove '%s'", j->path);
    if (rc < 0)
        tp_rename_new(aside, j->path, NULL);
    return rc == 0 ? tp_file_sync_parent(j->path, j->err) : rc;
}

/* The directory exists, made by this call or by one that ended before it removed the pack. */
static int remove_pack(const struct job *j, bool was_there)
{
    int rc = was_there ? sync_target(j) : 0;

    if (rc == 0)
        rc = tp_compare_dir(j->pack, j->target, true, j->options->progress, j->err);
    /* Complete an interrupted packing while the pack can still identify the files. */
    if (rc == 0 && tp_original_is_half_removed(AT_FDCWD, j->target))
        rc = tp_original_finish(j->target, j->pack, false, j->options->progress, j->err);
    return rc == 0 ? unlink_pack(j) : rc;
}

static int restore_locked(const struct job *j)
{
    bool was_there = path_exists(j->target);
    int claim = -1, rc = 0;

    tp_temporaries_sweep(j->target);
    if (!j->options->keep)
        rc = tp_pack_claim(j->pack, &claim, j->err);
    if (rc == 0 && !j->options->keep)
        rc = tp_dependents_check(j->store, j->path, j->pack, j->err);
    if (rc == 0 && was_there)
        rc = j->options->keep ? tp_fail(j->err, EEXIST, "'%s' exists", j->target) : 0;
    else if (rc == 0)
        rc = extract_pack(j);
    if (rc == 0 && !j->options->keep)
        rc = remove_pack(j, was_there);
    if (claim >= 0)
        close(claim);
    return rc;
}

static int restore_in_place(const struct job *j)
{
    struct tp_model_lock lock;
    int rc = tp_model_lock(j->target, &lock, j->err);

    if (rc < 0)
        return rc;
    rc = restore_locked(j);
    tp_model_unlock(&lock);
    return rc;
}

/* The target of DIR/NAME.tnpk is DIR/NAME. */
static int name_target(struct job *j)
{
    size_t len;

    if (j->options->out) {
        j->target = strdup(j->options->out);
        if (!j->target)
            return tp_oom(j->err);
        for (len = strlen(j->target); len > 1 && j->target[len - 1] == '/'; len--)
            j->target[len - 1] = '\0';
        return tp_check_new(j->target, j->err);
    }
    len = tp_place_name_len(tp_path_name(j->path));
    if (!tp_path_name(j->path)[len])
        return tp_fail(j->err, EINVAL,
                       "'%s' is not called NAME" TP_PACK_SUFFIX ": say where to restore it",
                       j->path);
    j->target = strndup(j->path, tp_place_name_len(j->path));
    return j->target ? 0 : tp_oom(j->err);
}

static int open_all(struct job *j)
{
    char *dir = tp_path_parent(j->path);
    int rc = dir ? tp_store_open(dir, &j->store, j->err) : tp_oom(j->err);

    free(dir);
    if (rc == 0 && lstat(j->path, &j->named) < 0)
        rc = tp_fail_errno(j->err, "cannot stat '%s'", j->path);
    if (rc == 0)
        rc = tp_store_open_path(j->store, j->path, &j->pack, j->err);
    return rc == 0 ? check_base(j) : rc;
}

int tp_restore(const char *path, const struct tp_restore_options *options, uint64_t *bytes,
               struct tp_error *err)
{
    struct job j = {.path = path, .options = options, .err = err};
    int rc = name_target(&j);

    if (rc == 0)
        rc = open_all(&j);
    if (rc == 0)
        rc = options->out ? extract_pack(&j) : restore_in_place(&j);
    if (rc == 0 && bytes)
        *bytes = tp_pack_index(j.pack)->logical_bytes;
    tp_pack_close(j.pack);
    tp_store_close(j.store);
    free(j.target);
    return rc;
}
