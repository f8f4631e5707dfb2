/* SPDX-License-Identifier: MIT */
/*
 * Completing a removal that another process began. What is left is compared with the pack by
 * content, and nothing else is removed.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/compare.h"
#include "store/names.h"
#include "store/original/original_impl.h"
#include "store/pack/pack_internal.h"

static bool name_exists(int fd, const char *name)
{
    struct stat st;

    return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool tp_original_is_half_removed(int dirfd, const char *path)
{
    tp_autofree char *removing = NULL, *aside = NULL;

    return tp_original_make_names(path, &removing, &aside, NULL) == 0 &&
           (name_exists(dirfd, removing) || name_exists(dirfd, aside));
}

static int open_directory(const char *path, int *out, struct tp_error *err)
{
    *out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return *out >= 0 || errno == ENOENT ? 0 : tp_fail_errno(err, "cannot open '%s'", path);
}

/*
 * Set a directory's recorded mode and time from the pack, if it was removed or made writable.
 * ATTRS: its attributes.
 */
static void take_from_index(struct tp_part *part, uint32_t mode, int64_t sec, uint32_t nsec,
                            const struct tp_attr *attrs, uint32_t attr_n,
                            const struct tp_owner *owner)
{
    part->attrs = attrs;
    part->attr_n = attr_n;
    if (part->where == TP_PART_GONE) {
        part->st.stx_uid = owner->uid;
        part->st.stx_gid = owner->gid;
    }
    part->st.stx_mode = (uint16_t)(S_IFDIR | mode);
    part->st.stx_mtime.tv_sec = sec;
    part->st.stx_mtime.tv_nsec = nsec;
}

/* Find where a part is: in the tree under its name, aside under its number, or removed. */
static enum tp_part_where find_by_identity(const struct tp_original *o, const struct tp_part *part)
{
    const struct tp_part *dir = &o->parts[part->parent];
    char number[12];

    snprintf(number, sizeof number, "%u", part->number);
    if (dir->where == TP_PART_TREE && name_exists(dir->fd, part->name))
        return TP_PART_TREE;
    return part->type != TP_ENTRY_DIR && o->aside_fd >= 0 && name_exists(o->aside_fd, number)
               ? TP_PART_ASIDE
               : TP_PART_GONE;
}

/* If a part is at both places, the one in the tree is newer. */
static void drop_older(const struct tp_original *o, const struct tp_part *part)
{
    char number[12];

    snprintf(number, sizeof number, "%u", part->number);
    if (o->aside_fd >= 0 && part->type != TP_ENTRY_DIR)
        unlinkat(o->aside_fd, number, 0);
}

/* Open a part that is aside, under its number. */
static int open_aside(struct tp_original *o, struct tp_part *part, struct tp_error *err)
{
    char number[12];

    snprintf(number, sizeof number, "%u", part->number);
    if (part->type == TP_ENTRY_FILE && o->leases) {
        part->fd =
            openat(o->aside_fd, number, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (part->fd < 0)
            return tp_fail_errno(err, "cannot open '%s/%s'", o->aside, number);
        return tp_original_lease(o, part, err);
    }
    return 0;
}

static int find_part(struct tp_original *o, size_t number, struct tp_error *err)
{
    struct tp_part *part = &o->parts[number];

    part->where = find_by_identity(o, part);
    if (part->where == TP_PART_TREE)
        drop_older(o, part);
    if (part->where == TP_PART_TREE)
        return tp_original_open_part(o, part, err);
    return part->where == TP_PART_ASIDE ? open_aside(o, part, err) : 0;
}

static int find_parts(struct tp_original *o, const struct tp_pack *pack, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(pack);
    struct tp_owner owner;
    int rc = tp_bytes_owner(tp_pack_bytes(pack), &owner, err);

    if (rc == 0)
        rc = tp_original_allow_files(o, x->file_n, err);
    if (rc == 0)
        rc = open_directory(o->aside, &o->aside_fd, err);
    if (rc == 0 && o->aside_fd >= 0)
        rc = tp_temporary_lock(o->aside_fd, o->aside, err);
    if (rc == 0)
        rc = tp_original_add(o, ".", TP_ENTRY_DIR, err);
    if (rc < 0)
        return rc;
    rc = open_directory(o->removing, &o->parts[0].fd, err);
    o->parts[0].where = o->parts[0].fd >= 0 ? TP_PART_TREE : TP_PART_GONE;
    take_from_index(&o->parts[0], x->root_mode, x->root_mtime_sec, x->root_mtime_nsec,
                    x->attrs + x->root_attr_first, x->root_attr_n, &owner);
    for (uint32_t i = 0; rc == 0 && i < x->file_n; i++) {
        const struct tp_pack_file *f = &x->files[i];

        rc = tp_original_add(o, f->path, f->type, err);
        if (rc == 0)
            rc = find_part(o, i + 1u, err);
        if (rc == 0 && f->type == TP_ENTRY_DIR)
            take_from_index(&o->parts[i + 1u], f->mode, f->mtime_sec, f->mtime_nsec,
                            x->attrs + f->attr_first, f->attr_n, &owner);
    }
    return rc;
}

/*
 * Compare the content of what is left. Files that the pack does not have are noticed when their
 * directory is removed.
 */
static int compare_parts(struct tp_original *o, const struct tp_pack *pack,
                         const struct tp_progress *progress, struct tp_error *err)
{
    int rc = 0;

    for (size_t i = 1; rc == 0 && i < o->part_n; i++) {
        const struct tp_part *part = &o->parts[i];
        char number[12];

        snprintf(number, sizeof number, "%u", part->number);
        if (part->where == TP_PART_TREE)
            rc = tp_compare_file(pack, o->removing, part->number, o->parts[part->parent].fd,
                                 part->name, progress, err);
        else if (part->where == TP_PART_ASIDE)
            rc = tp_compare_file(pack, o->removing, part->number, o->aside_fd, number, progress,
                                 err);
    }
    return rc;
}

static bool is_complete(const struct tp_original *o)
{
    for (size_t i = 0; i < o->part_n; i++)
        if (o->parts[i].type != TP_ENTRY_DIR && o->parts[i].where == TP_PART_GONE)
            return false;
    return true;
}

int tp_original_finish(const char *path, struct tp_pack *pack, bool unleased,
                       const struct tp_progress *progress, struct tp_error *err)
{
    struct tp_original *o;
    bool looked;
    int rc = tp_original_create(path, unleased ? TP_ORIGINAL_REPLACE_UNLEASED : TP_ORIGINAL_REPLACE,
                                progress ? progress->cancel : NULL, &o, err);

    if (rc < 0)
        return rc;
    rc = find_parts(o, pack, err);
    if (rc == 0)
        rc = compare_parts(o, pack, progress, err);
    looked = rc == 0 || rc == -EEXIST;
    if (rc == 0)
        rc = tp_original_remove_parts(o, err);
    if (rc < 0 && looked && !o->committed && is_complete(o))
        rc = tp_original_undo(o, rc, err);
    else if (rc < 0 && !o->committed)
        tp_error_prefix(err, "'%s' and '%s' are what an interrupted removal left", o->removing,
                        o->aside);
    tp_original_close(o);
    return rc;
}
