/* SPDX-License-Identifier: MIT */
/* The owner and the mode of a pack: no user may read it who could not read all of the model. */
#ifndef TP_STORE_RIGHTS_H
#define TP_STORE_RIGHTS_H

#include <sys/types.h>

#include "store/write/plan.h"

/* Who may read every file and list every directory of a model. */
struct tp_rights {
    uid_t uid; /* of the model directory */
    gid_t gid;
    bool owner, group, others;
    const char
        *closed; /* what belongs to another user and is closed to the owner, or NULL; borrowed */
};

/* From the modes, owners and access lists of PLAN. */
struct tp_rights tp_rights_find(const struct tp_plan *plan);

/* Give the new file FD, which is empty and of mode 0600, to the owner and the group of the model,
 * as far as this process may. */
int tp_rights_set_owner(const struct tp_rights *rights, int fd, const char *path,
                        struct tp_error *err);

/* Everything that is restored belongs to the group of the pack FD: take from the index of PLAN what
 * the mode of something of another group grants to that other group. */
int tp_rights_narrow(struct tp_plan *plan, int fd, const char *path, struct tp_error *err);

/* The mode of the pack FD that RIGHTS leave, whatever its owner is now. -1 and a story where the
 * pack would take the place of a model whose owner could not read it. */
int tp_rights_mode(const struct tp_rights *rights, int fd, bool replaces, const char *path,
                   mode_t *mode, struct tp_error *err);

#endif
