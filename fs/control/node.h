/* SPDX-License-Identifier: MIT */
/* Nodes of the control directory. */
#ifndef TP_FS_CONTROL_NODE_H
#define TP_FS_CONTROL_NODE_H

#include "fs/control/entries.h"
#include "fs/control/impl.h"

struct tp_control_node {
    struct tp_node node;
    struct tp_control_id id;
    struct tp_text *text; /* of a document; NULL: one that is made at open, and is not open */
    unsigned open_n;      /* handles that read TEXT */
    bool opened;          /* ever: a look-up does not replace its text any more */
    bool stale;           /* poll reported news to its reader */
    struct tp_control_node *next, **at;
};

static inline struct tp_control_node *tp_as_control(struct tp_node *node)
{
    return (struct tp_control_node *)node;
}

/* Under the lock: a text that a node of this id has; NULL: none. With a reference. */
struct tp_text *tp_control_known_text(struct tp_control *control, const struct tp_control_id *id);
/* When no request comes any more. */
void tp_control_free_nodes(struct tp_control *control);

#endif
