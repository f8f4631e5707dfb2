/* SPDX-License-Identifier: MIT */
/* Which permissions of a file are restored. */
#ifndef TP_STORE_RESTORED_H
#define TP_STORE_RESTORED_H

#include <string.h>

#include "base/acl.h"
#include "store/pack/index.h"

/* The access list among N attributes, or NULL. */
static inline const struct tp_attr *tp_access_list(const struct tp_attr *attrs, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(attrs[i].name, TP_ACL_ACCESS) == 0)
            return &attrs[i];
    return NULL;
}

/* MODE for a file that gets another group: the group has the permissions of others. */
static inline uint32_t tp_narrow_mode(uint32_t mode)
{
    return mode & (~(uint32_t)070 | (mode & 07) << 3);
}

/*
 * MODE without set-ID bits. FOREIGN: the group is not that of the pack, so it gets the permissions
 * of others. In this case, and on file systems without lists, the mode grants no more than LIST
 * (may be NULL) did.
 */
static inline uint32_t tp_restored_mode(uint32_t mode, const struct tp_attr *list, bool has_list,
                                        bool foreign)
{
    mode &= 01777;
    if (list && (!has_list || foreign))
        mode = tp_acl_tighten(mode, list->value, list->len);
    return foreign ? tp_narrow_mode(mode) : mode;
}

#endif
