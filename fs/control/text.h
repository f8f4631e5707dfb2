/* SPDX-License-Identifier: MIT */
/* The texts of documents: made as a snapshot, shared, never changed. */
#ifndef TP_FS_CONTROL_TEXT_H
#define TP_FS_CONTROL_TEXT_H

#include "fs/control/node.h"

/* What is open of error_log reads on from its text. */
struct tp_text {
    struct tp_buffer bytes;
    struct timespec made;
    uint64_t knows; /* the latest event that it may know of */
    uint64_t ends;  /* of error_log: how many bytes there had ever been */
    _Atomic unsigned refs;
};

int tp_text_make(struct tp_control *control, const struct tp_control_id *id, struct tp_text **out);
struct tp_text *tp_text_ref(struct tp_text *text);
void tp_text_unref(struct tp_text *text);
/*
 * Under the lock: TEXT, or that of an earlier look-up with the same bytes, which keeps its time.
 */
struct tp_text *tp_text_same(struct tp_control *control, const struct tp_control_id *id,
                             struct tp_text *text);
/*
 * The text of a document's node, made anew where poll reported news to its reader; NULL: it is made
 * at open, and not open.
 */
struct tp_text *tp_text_of_node(struct tp_control *control, struct tp_control_node *node);
/*
 * A handle more or less reads the text of a document; KEPT: it is what its pages in the kernel, if
 * any, have.
 */
int tp_text_open(struct tp_control *control, struct tp_control_node *node, bool *kept);
void tp_text_close(struct tp_control *control, struct tp_control_node *node);

#endif
