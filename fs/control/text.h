/* SPDX-License-Identifier: MIT */
/* The texts of documents: snapshots that are shared and never change. */
#ifndef TP_FS_CONTROL_TEXT_H
#define TP_FS_CONTROL_TEXT_H

#include "fs/control/node.h"

/* An open error_log continues after its text. */
struct tp_text {
    struct tp_buffer bytes;
    struct timespec made;
    uint64_t knows; /* number of the last event that the text may include */
    uint64_t ends;  /* of error_log: number of all bytes logged before */
    _Atomic unsigned refs;
};

int tp_text_make(struct tp_control *control, const struct tp_control_id *id, struct tp_text **out);
struct tp_text *tp_text_ref(struct tp_text *text);
void tp_text_unref(struct tp_text *text);
/*
 * With the lock held: TEXT or, if an earlier look-up made the same bytes, that text, which keeps
 * its time.
 */
struct tp_text *tp_text_same(struct tp_control *control, const struct tp_control_id *id,
                             struct tp_text *text);
/*
 * The text of a document's node. It is made again if poll reported news to its reader. NULL: it is
 * made at open, and the document is not open.
 */
struct tp_text *tp_text_of_node(struct tp_control *control, struct tp_control_node *node);
/*
 * One more, or one less, handle reads the text of a document. *KEPT: pages that the kernel has
 * cached are those of this text.
 */
int tp_text_open(struct tp_control *control, struct tp_control_node *node, bool *kept);
void tp_text_close(struct tp_control *control, struct tp_control_node *node);

#endif
