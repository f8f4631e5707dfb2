/* SPDX-License-Identifier: MIT */
/* Reading access lists: a version, then entries of 8 bytes: tag, permissions, number. */
#include <config.h>

#include "base/acl.h"

#include "base/le.h"

enum { HEAD = 4, ENTRY = 8, LIST_VERSION = 2, PERMISSIONS = 7 };
enum { OWNER = 0x01, USER = 0x02, OWNING_GROUP = 0x04, GROUP = 0x08, MASK = 0x10, OTHER = 0x20 };

bool tp_acl_is_valid(const void *list, size_t len)
{
    const uint8_t *in = list;
    unsigned seen = 0, last = 0;

    if (len < HEAD || (len - HEAD) % ENTRY != 0 || tp_get_le32(in) != LIST_VERSION)
        return false;
    for (size_t at = HEAD; at < len; at += ENTRY) {
        unsigned tag = tp_get_le16(in + at);
        bool many = tag == USER || tag == GROUP;

        if ((tag != OWNER && tag != OWNING_GROUP && tag != MASK && tag != OTHER && !many) ||
            tag < last || (tag == last && !many) || tp_get_le16(in + at + 2) > PERMISSIONS)
            return false;
        seen |= last = tag;
    }
    /* Every mode has these; a list that names users or groups has a mask, too. */
    return (seen & (OWNER | OWNING_GROUP | OTHER)) == (OWNER | OWNING_GROUP | OTHER) &&
           (!(seen & (USER | GROUP)) || seen & MASK);
}

uint32_t tp_acl_tighten(uint32_t mode, const void *list, size_t len)
{
    const uint8_t *in = list;
    uint32_t group = PERMISSIONS, named = PERMISSIONS, mask = PERMISSIONS;
    bool somebody = false;

    if (!tp_acl_is_valid(list, len))
        return mode & ~(uint32_t)077;
    for (size_t at = HEAD; at < len; at += ENTRY) {
        unsigned tag = tp_get_le16(in + at), permissions = tp_get_le16(in + at + 2);

        if (tag == OWNING_GROUP)
            group = permissions;
        else if (tag == MASK)
            mask = permissions;
        else if (tag == USER || tag == GROUP)
            named &= permissions, somebody = true;
    }
    /*
     * The mask limits the group and named users and groups, but not others; a named one may be
     * among the others.
     */
    if (somebody)
        named &= mask;
    return mode & (~(uint32_t)077 | (group & mask & named) << 3 | named);
}
