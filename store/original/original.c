/* SPDX-License-Identifier: MIT */
/* Recording the state of a model's directory, and checking that it is unchanged. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "store/names.h"
#include "store/original/original_impl.h"

/* Descriptors for everything except the model's files: the pack, its bases, threads, libraries. */
#define OTHER_FILES 256u
#define ADVICE                                                                                     \
    "leave the directory (--keep), or answer for it yourself that nobody writes to it "            \
    "(--no-lease)"

int tp_original_make_names(const char *path, char **removing, char **aside, struct tp_error *err)
{
    int rc = tp_side_path(path, "removing", removing, err);

    *aside = NULL;
    if (rc == 0)
        rc = tp_side_path(path, "removing-files", aside, err);
    if (rc < 0) {
        free(*removing);
        *removing = NULL;
    }
    return rc;
}

int tp_original_create(const char *path, enum tp_original_use use, const atomic_int *cancel,
                       struct tp_original **out, struct tp_error *err)
{
    struct tp_original *o = calloc(1, sizeof *o);
    int rc;

    *out = NULL;
    if (!o)
        return tp_oom(err);
    o->use = use;
    o->cancel = cancel;
    o->aside_fd = -1;
    o->path = strdup(path);
    rc = o->path ? tp_original_make_names(path, &o->removing, &o->aside, err) : tp_oom(err);
    if (rc == 0 && use == TP_ORIGINAL_REPLACE)
        rc = tp_leases_create(cancel, &o->leases, err);
    if (rc < 0)
        tp_original_close(o);
    else
        *out = o;
    return rc;
}

void tp_original_close(struct tp_original *o)
{
    if (!o)
        return;
    tp_leases_destroy(o->leases);
    for (size_t i = 0; i < o->part_n; i++) {
        if (o->parts[i].fd >= 0)
            close(o->parts[i].fd);
        free(o->parts[i].path);
    }
    if (o->aside_fd >= 0)
        close(o->aside_fd);
    free(o->parts);
    free(o->path);
    free(o->removing);
    free(o->aside);
    free(o);
}

/* The part that is the directory of this path: parents come before their children. */
static size_t find_parent(const struct tp_original *o, const char *path, size_t len)
{
    size_t i = o->part_n - 1;

    if (len == 0)
        return 0;
    while (i > 0 && (strncmp(o->parts[i].path, path, len) != 0 || o->parts[i].path[len] != '\0'))
        i = o->parts[i].parent;
    return i;
}

int tp_original_add(struct tp_original *o, const char *path, enum tp_entry_type type,
                    struct tp_error *err)
{
    const char *slash = strrchr(path, '/');
    struct tp_part part = {.type = type, .fd = -1, .parent = TP_ORIGINAL_NONE};

    if ((o->part_n & (o->part_n - 1)) == 0) {
        struct tp_part *parts = realloc(o->parts, (o->part_n ? 2 * o->part_n : 1) * sizeof *parts);

        if (!parts)
            return tp_oom(err);
        o->parts = parts;
    }
    part.path = strdup(path);
    if (!part.path)
        return tp_oom(err);
    part.name = slash ? part.path + (slash + 1 - path) : part.path;
    if (o->part_n > 0) {
        part.parent = find_parent(o, path, slash ? (size_t)(slash - path) : 0);
        part.number = (uint32_t)(o->part_n - 1);
    }
    o->parts[o->part_n++] = part;
    return 0;
}

int tp_original_allow_files(const struct tp_original *o, size_t n, struct tp_error *err)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return tp_fail_errno(err, "cannot ask for the limit on open files");
    if (limit.rlim_cur >= n + OTHER_FILES)
        return 0;
    if (limit.rlim_max < n + OTHER_FILES)
        return tp_fail(err, EMFILE,
                       "'%s' has %zu files, which have to be open at once, and the hard limit on "
                       "open files is %llu: "
                       "raise it (ulimit -Hn, LimitNOFILE=), " ADVICE,
                       o->path, n, (unsigned long long)limit.rlim_max);
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) < 0
               ? tp_fail_errno(err, "cannot raise the limit on open files")
               : 0;
}

int tp_original_lease(struct tp_original *o, struct tp_part *part, struct tp_error *err)
{
    int rc = tp_leases_add(o->leases, part->fd);

    part->leased = rc == 0;
    switch (rc) {
    case 0:
        return 0;
    case -EAGAIN:
        return tp_fail(err, EBUSY, "'%s/%s' is open for writing", o->path, part->path);
    case -EACCES:
        return tp_fail(err, EACCES,
                       "'%s/%s' belongs to another user, so that a writer to it would not be "
                       "noticed: pack it as that "
                       "user or as root, " ADVICE,
                       o->path, part->path);
    case -EOPNOTSUPP:
        return tp_fail(err, EOPNOTSUPP,
                       "the file system of '%s' has no leases, so that a writer to '%s' would not "
                       "be noticed: " ADVICE,
                       o->path, part->path);
    default:
        return tp_fail(err, -rc, "cannot lease '%s/%s': %s", o->path, part->path, strerror(-rc));
    }
}

static int stat_part(int fd, const char *name, struct statx *out)
{
    return statx(fd, name, (name[0] ? 0 : AT_EMPTY_PATH) | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                 STATX_BASIC_STATS | STATX_MNT_ID, out);
}

static enum tp_entry_type type_of(const struct statx *st)
{
    return S_ISDIR(st->stx_mode)   ? TP_ENTRY_DIR
           : S_ISLNK(st->stx_mode) ? TP_ENTRY_SYMLINK
                                   : TP_ENTRY_FILE;
}

int tp_original_open_part(struct tp_original *o, struct tp_part *part, struct tp_error *err)
{
    int in = part->parent == TP_ORIGINAL_NONE ? AT_FDCWD : o->parts[part->parent].fd;
    const char *name = part->parent == TP_ORIGINAL_NONE ? o->path : part->name;
    bool lease = o->leases && part->type == TP_ENTRY_FILE;
    int rc;

    if (part->type == TP_ENTRY_DIR)
        part->fd = openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    else if (lease)
        part->fd = openat(in, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (part->fd < 0 && (part->type == TP_ENTRY_DIR || lease))
        return tp_fail_errno(err, "cannot open '%s/%s'", o->path, part->path);
    rc = part->fd >= 0 ? stat_part(part->fd, "", &part->st) : stat_part(in, name, &part->st);
    if (rc < 0)
        return tp_fail_errno(err, "cannot stat '%s/%s'", o->path, part->path);
    if (type_of(&part->st) != part->type ||
        (part->type == TP_ENTRY_FILE && !S_ISREG(part->st.stx_mode)))
        return tp_fail(err, EBUSY, "'%s/%s' became another while it was looked at", o->path,
                       part->path);
    if (!lease)
        return 0;
    /* The state is recorded under the lease. */
    rc = tp_original_lease(o, part, err);
    if (rc == 0 && stat_part(part->fd, "", &part->st) < 0)
        rc = tp_fail_errno(err, "cannot stat '%s/%s'", o->path, part->path);
    return rc;
}

static int open_parts(struct tp_original *o, struct tp_error *err)
{
    struct tp_modeldir listing;
    size_t open_n = 0;
    int rc = tp_modeldir_scan(o->path, &listing, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < listing.entry_n; i++) {
        rc = tp_original_add(o, listing.entries[i].path, listing.entries[i].type, err);
        open_n += o->leases || listing.entries[i].type == TP_ENTRY_DIR;
    }
    tp_modeldir_clear(&listing);
    if (rc == 0)
        rc = tp_original_allow_files(o, open_n, err);
    for (size_t i = 1; rc == 0 && i < o->part_n; i++) {
        rc = tp_original_open_part(o, &o->parts[i], err);
        /* No program writes to this file, so it may never become complete; the user decides. */
        if (rc == 0 && o->parts[i].type == TP_ENTRY_FILE && tp_is_partial(o->parts[i].name))
            tp_log(TP_LOG_WARNING, "'%s/%s' is named as what is not complete", o->path,
                   o->parts[i].path);
        if (rc == 0 && o->use != TP_ORIGINAL_READ)
            rc = tp_original_check_removable(o, &o->parts[i], err);
    }
    return rc;
}

int tp_original_open(const char *path, enum tp_original_use use, const atomic_int *cancel,
                     struct tp_original **out, struct tp_error *err)
{
    bool replace = use != TP_ORIGINAL_READ;
    int rc = tp_original_create(path, use, cancel, out, err);
    struct tp_original *o = *out;

    if (rc < 0)
        return rc;
    o->in_place = true;
    rc = tp_original_add(o, ".", TP_ENTRY_DIR, err);
    if (rc == 0)
        rc = tp_original_open_part(o, &o->parts[0], err);
    if (rc == 0 && replace)
        rc = tp_original_check_place(o, err);
    if (rc == 0)
        rc = open_parts(o, err);
    if (rc == 0 && replace)
        rc = tp_original_check_no_store(o, err);
    if (rc < 0) {
        tp_original_close(o);
        *out = NULL;
    }
    return rc;
}

const atomic_int *tp_original_cancel(const struct tp_original *o)
{
    return o->leases ? tp_leases_cancel(o->leases) : o->cancel;
}

bool tp_original_is_in_place(const struct tp_original *o)
{
    return o->in_place;
}

int tp_original_check_leases(struct tp_original *o, struct tp_error *err)
{
    int fd = o->leases ? tp_leases_broken(o->leases) : -1;

    for (size_t i = 0; fd >= 0 && i < o->part_n; i++)
        if (o->parts[i].leased && o->parts[i].fd == fd)
            return tp_fail(err, EBUSY, "'%s/%s' was opened for writing while it was packed",
                           o->path, o->parts[i].path);
    return fd >= 0 ? tp_fail(err, EBUSY, "'%s' was written to while it was packed", o->path) : 0;
}

static bool same_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

int tp_original_check_part(const struct tp_original *o, const struct tp_part *part, int fd,
                           const char *name, bool moved, struct tp_error *err)
{
    const struct statx *was = &part->st;
    struct statx st;

    if (stat_part(fd, name, &st) < 0)
        return errno == ENOENT ? tp_fail(err, EBUSY, "'%s/%s' went away while it was packed",
                                         o->path, part->path)
                               : tp_fail_errno(err, "cannot stat '%s/%s'", o->path, part->path);
    if (st.stx_ino != was->stx_ino || st.stx_dev_major != was->stx_dev_major ||
        st.stx_dev_minor != was->stx_dev_minor || type_of(&st) != part->type ||
        ((st.stx_mask & was->stx_mask & STATX_MNT_ID) && st.stx_mnt_id != was->stx_mnt_id))
        return tp_fail(err, EBUSY, "'%s/%s' was replaced by another while it was packed", o->path,
                       part->path);
    if (!same_time(&st.stx_mtime, &was->stx_mtime) ||
        (!moved && !same_time(&st.stx_ctime, &was->stx_ctime)) ||
        (part->type != TP_ENTRY_DIR && st.stx_size != was->stx_size))
        return tp_fail(err, EBUSY, "'%s/%s' changed while it was packed", o->path, part->path);
    return 0;
}

int tp_original_check(struct tp_original *o, struct tp_error *err)
{
    int rc = tp_original_check_leases(o, err);

    /* The rename changed the ctime of the directory itself, which was checked before. */
    if (rc == 0)
        rc = tp_original_check_part(o, &o->parts[0], AT_FDCWD, o->in_place ? o->path : o->removing,
                                    !o->in_place, err);
    for (size_t i = 1; rc == 0 && i < o->part_n; i++)
        rc = tp_original_check_part(o, &o->parts[i], o->parts[o->parts[i].parent].fd,
                                    o->parts[i].name, false, err);
    return rc;
}
