/* SPDX-License-Identifier: MIT */
/* The owner, group and mode of a pack, from those of the model's files. */
#include <config.h>

#include "store/write/rights.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/acl.h"
#include "store/restored.h"

/* A file or directory of the model with its owner and mode. */
struct subject {
    const char *path;
    uid_t uid;
    gid_t gid;
    uint32_t mode;
    bool is_dir;
    uint32_t attr_first, attr_n;
};

static bool grants_read(uint32_t permissions, bool is_dir)
{
    uint32_t wanted = is_dir ? 5 : 4; /* a pack shows the names in all directories */

    return (permissions & wanted) == wanted;
}

/*
 * Remove from RIGHTS what S denies. A user in one class of the pack (owner, group, others) may be
 * in another class of a file with another owner or group.
 */
static void restrict_to(struct tp_rights *rights, const struct tp_index *x, const struct subject *s)
{
    uint32_t mode = s->mode;

    for (uint32_t i = s->attr_first; i < s->attr_first + s->attr_n; i++)
        if (strcmp(x->attrs[i].name, TP_ACL_ACCESS) == 0)
            mode = tp_acl_tighten(mode, x->attrs[i].value, x->attrs[i].len);
    bool owner = grants_read(mode >> 6, s->is_dir), group = grants_read(mode >> 3, s->is_dir),
         others = grants_read(mode, s->is_dir);
    if (s->gid != rights->gid)
        group = others = group && others;
    if (s->uid != rights->uid) {
        bool all = owner && group && others;

        if (!(group && others) && !rights->closed)
            rights->closed = s->path;
        owner = group && others;
        group = others = all;
    }
    rights->owner &= owner;
    rights->group &= group;
    rights->others &= others;
}

struct tp_rights tp_rights_find(const struct tp_plan *plan)
{
    const struct tp_modeldir *dir = tp_model_dir(plan->model);
    const struct tp_index *x = &plan->index;
    struct tp_rights rights = {
        .uid = dir->root_uid, .gid = dir->root_gid, .owner = true, .group = true, .others = true};
    struct subject root = {.path = plan->root,
                           .uid = dir->root_uid,
                           .gid = dir->root_gid,
                           .mode = dir->root_mode,
                           .is_dir = true,
                           .attr_first = x->root_attr_first,
                           .attr_n = x->root_attr_n};

    restrict_to(&rights, x, &root);
    for (uint32_t i = 0; i < x->file_n; i++) {
        const struct tp_entry *e = &dir->entries[i];
        struct subject s = {.path = e->path,
                            .uid = e->uid,
                            .gid = e->gid,
                            .mode = e->mode,
                            .is_dir = e->type == TP_ENTRY_DIR,
                            .attr_first = x->files[i].attr_first,
                            .attr_n = x->files[i].attr_n};

        if (e->type != TP_ENTRY_SYMLINK && e->link == TP_NO_ENTRY)
            restrict_to(&rights, x, &s);
    }
    return rights;
}

struct tp_rights tp_rights_of_file(const struct stat *st)
{
    return (struct tp_rights){.uid = st->st_uid,
                              .gid = st->st_gid,
                              .owner = st->st_mode & S_IRUSR,
                              .group = st->st_mode & S_IRGRP,
                              .others = st->st_mode & S_IROTH};
}

int tp_rights_set_owner(const struct tp_rights *rights, int fd, const char *path,
                        struct tp_error *err)
{
    struct stat st;

    /* A directory's default list gives new files a list. */
    int rc = tp_attrs_drop_lists(fd, path, err);
    if (rc < 0)
        return rc;
    if (fstat(fd, &st) < 0)
        return tp_fail_errno(err, "cannot stat '%s'", path);
    if (st.st_uid == rights->uid && st.st_gid == rights->gid)
        return 0;
    /* The pack does not change its owner if the model's owner may not read all files. */
    if (!rights->closed && st.st_uid != rights->uid && fchown(fd, rights->uid, rights->gid) == 0)
        return 0;
    if (st.st_gid != rights->gid && fchown(fd, (uid_t)-1, rights->gid) < 0 && errno != EPERM &&
        errno != EINVAL)
        return tp_fail_errno(err, "cannot give '%s' to the group of the model", path);
    return 0;
}

int tp_rights_narrow(struct tp_plan *plan, int fd, const char *path, struct tp_error *err)
{
    const struct tp_modeldir *dir = tp_model_dir(plan->model);
    struct tp_index *x = &plan->index;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return tp_fail_errno(err, "cannot stat '%s'", path);
    if (dir->root_gid != st.st_gid)
        x->root_mode = tp_narrow_mode(x->root_mode);
    for (uint32_t i = 0; i < x->file_n; i++)
        if (dir->entries[i].gid != st.st_gid && x->files[i].type != TP_ENTRY_SYMLINK)
            x->files[i].mode = tp_narrow_mode(x->files[i].mode);
    return 0;
}

int tp_rights_mode(const struct tp_rights *rights, int fd, bool replaces, const char *path,
                   mode_t *mode, struct tp_error *err)
{
    bool owner = rights->owner, group = rights->group, others = rights->others;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return tp_fail_errno(err, "cannot stat '%s'", path);
    if (st.st_gid != rights->gid)
        group = others = group && others;
    if (st.st_uid != rights->uid) {
        /* This process has read all files. The model's owner is one of the others now. */
        group = group && owner;
        others = others && owner;
        owner = true;
        if (replaces && rights->closed)
            return tp_fail(err, EPERM,
                           "'%s' belongs to another user than the model, whose owner (user %lu) "
                           "may not read it: no pack "
                           "can keep both",
                           rights->closed, (unsigned long)rights->uid);
        if (replaces && !group && !others)
            return tp_fail(
                err, EPERM,
                "the model belongs to user %lu, who could not read its pack: pack as this user",
                (unsigned long)rights->uid);
    }
    *mode = S_IWUSR | (owner ? S_IRUSR : 0) | (group ? S_IRGRP : 0) | (others ? S_IROTH : 0);
    return 0;
}
