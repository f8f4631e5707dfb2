/* SPDX-License-Identifier: MIT */
/* The owner and mode of a pack. Only users who can read the whole model can read its pack. */
#ifndef TP_STORE_RIGHTS_H
#define TP_STORE_RIGHTS_H

#include <sys/stat.h>

#include "store/write/plan.h"

/* Which classes of users can read every file and list every directory of a model. */
struct tp_rights {
    uid_t uid; /* of the model directory */
    gid_t gid;
    bool owner, group, others;
    const char
        *closed; /* a path of another user that the model's owner may not read, or NULL; borrowed */
};

/* Determine the rights from the modes, owners and access lists of PLAN. */
struct tp_rights tp_rights_find(const struct tp_plan *plan);

/* The rights of a file: those of a pack that another pack is made from. */
struct tp_rights tp_rights_of_file(const struct stat *st);

/*
 * Give the new pack FD, which is empty and has mode 0600, to the owner and group of the model, as
 * far as this process may.
 */
int tp_rights_set_owner(const struct tp_rights *rights, int fd, const char *path,
                        struct tp_error *err);

/*
 * When a pack is restored, all files get the group of the pack FD. Remove from the modes in PLAN
 * the permissions that a file grants to a different group.
 */
int tp_rights_narrow(struct tp_plan *plan, int fd, const char *path, struct tp_error *err);

/*
 * The mode of the pack FD by RIGHTS, for its present owner. -1 and a message: the pack would
 * replace a model whose owner could not read it.
 */
int tp_rights_mode(const struct tp_rights *rights, int fd, bool replaces, const char *path,
                   mode_t *mode, struct tp_error *err);

#endif
