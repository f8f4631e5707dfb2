/* SPDX-License-Identifier: MIT */
/*
 * Checking whether a request can be executed in a directory, and whether two requests exclude each
 * other.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "control/verb/impl.h"
#include "store/lock.h"
#include "store/names.h"
#include "store/original/original.h"
#include "store/place.h"
#include "tensor/hub.h"

static void find_target(int dirfd, const char *dir, const char *name, struct tp_target *out)
{
    struct tp_placed at;

    tp_place_stat(dirfd, name, &at);
    *out = (struct tp_target){.dirfd = dirfd,
                              .dir = dir,
                              .link = at.type == S_IFLNK,
                              .plain = at.type == S_IFDIR,
                              .file = at.type == S_IFREG,
                              .pack = at.pack,
                              .half_removed = tp_original_is_half_removed(dirfd, name)};
}

int tp_target_fail(const struct tp_target *target, const char *name, struct tp_error *err)
{
    if (target->file)
        return tp_fail(err, EINVAL,
                       "'%s' is a single file: a model is a directory, so move it into one", name);
    return tp_fail(err, ENOENT, "there is no model '%s'", name);
}

int tp_target_check_other(const struct tp_target *target, const char *other, const char *role,
                          struct tp_error *err)
{
    struct tp_target at;

    find_target(target->dirfd, target->dir, other, &at);
    if (at.plain || at.pack)
        return 0;
    if (at.file)
        return tp_target_fail(&at, other, err);
    return at.link ? tp_fail(err, EINVAL, "%s '%s' is a symbolic link", role, other)
                   : tp_fail(err, ENOENT, "there is no model '%s' to be %s", other, role);
}

int tp_target_check_base(const struct tp_target *target, const char *name, const char *base,
                         struct tp_error *err)
{
    if (strcmp(base, "auto") == 0 || strcmp(base, "none") == 0)
        return 0;
    if (strcmp(base, name) == 0)
        return tp_fail(err, EINVAL, "'%s' cannot be its own base", base);
    return tp_target_check_other(target, base, "the base", err);
}

int tp_request_check_values(const char *dir, const struct tp_request *request, struct tp_error *err)
{
    const struct tp_verb_ops *verb = tp_verb_get(request->verb);

    return verb->check_values ? verb->check_values(dir, request, err) : 0;
}

int tp_request_check(int dirfd, const char *dir, const struct tp_request *request,
                     struct tp_error *err)
{
    const struct tp_verb_ops *verb = tp_verb_get(request->verb);
    struct tp_target target;
    int rc = tp_request_check_values(dir, request, err);

    if (rc < 0)
        return rc;
    find_target(dirfd, dir, request->subject, &target);
    if (target.link && !target.pack)
        return tp_fail(err, EINVAL, "'%s' is a symbolic link: name its target instead",
                       request->subject);
    rc = verb->check(&target, request, err);
    if (rc == 0 && !verb->reads_only && faccessat(dirfd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        rc = tp_fail_errno(err, "cannot write to '%s'", dir);
    return rc;
}

bool tp_request_excludes(enum tp_verb a, const char *a_subject, enum tp_verb b,
                         const char *b_subject)
{
    return strcmp(a_subject, b_subject) == 0 &&
           !(tp_verb_get(a)->reads_only && tp_verb_get(b)->reads_only);
}

int tp_target_find_model(const char *dir, const char *path, const char *name, char **out,
                         struct tp_error *err)
{
    char *found = path ? strdup(path) : tp_place_path(dir, name), *snapshot;
    int rc;

    if (!found)
        return tp_oom(err);
    rc = tp_hub_snapshot(found, &snapshot, err);
    if (rc < 0 || snapshot) {
        free(found);
        found = snapshot;
    }
    *out = found;
    return rc;
}

void tp_target_sweep(const char *dir, const char *name)
{
    tp_autofree char *plain = tp_path_join(dir, name, ""),
                     *pack = tp_path_join(dir, name, TP_PACK_SUFFIX);

    if (plain && pack) {
        tp_model_locks_sweep(plain);
        tp_temporaries_sweep(plain);
        tp_temporaries_sweep(pack);
        tp_temporaries_sweep_made_of(plain);
    }
}
