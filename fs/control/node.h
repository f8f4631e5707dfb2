/* SPDX-License-Identifier: MIT */
/* Nodes of the control directory. */
#ifndef TP_FS_CONTROL_NODE_H
#define TP_FS_CONTROL_NODE_H

#include "fs/control/entries.h"
#include "fs/control/impl.h"

struct tp_control_node {
    struct tp_node node;
    struct tp_control_id id;
    struct tp_text *text; /* of a document; NULL: made at open, and not open now */
    unsigned open_n;      /* handles that read TEXT */
    bool opened;          /* was ever opened: a look-up must not replace its text */
    bool stale;           /* a poll reported news to its reader */
    struct tp_control_node *next, **at;
};

static inline struct tp_control_node *tp_as_control(struct tp_node *node)
{
    return (struct tp_control_node *)node;
}

/* With the lock held: the text of a node with this id, with a reference; NULL: none. */
struct tp_text *tp_control_known_text(struct tp_control *control, const struct tp_control_id *id);
/* Call it after the last request. */
void tp_control_free_nodes(struct tp_control *control);

#endif
