/* SPDX-License-Identifier: MIT */
/*
 * The control directory MNT/.tenpak: documents to read, files that accept commands, and jobs as
 * directories (fs/control/entries.h).
 *
 * A document is a snapshot. Each open has a node whose bytes never change, so the size is true, the
 * document can be mapped, and two readers may read two versions. Only a descriptor whose poll
 * reported news reads the next snapshot, once, from its beginning.
 *
 * No thread that serves requests waits for a job. A reader of jobs/ID/wait is remembered and
 * answered by the directory's own thread, and so are pollers. Writes go to a pool of threads.
 */
#ifndef TP_FS_CONTROL_H
#define TP_FS_CONTROL_H

#include "fs/fs.h"

#define TP_CONTROL_NAME ".tenpak"

/* Set up FS->control according to the mount's options. An error in tenpak.conf is returned. */
int tp_control_create(struct tp_fs *fs, struct tp_error *err);
/* Call it when requests start. */
int tp_control_start(struct tp_fs *fs, struct tp_error *err);
/*
 * Call it when the mount is detached: jobs end, and readers that wait for one get -ESHUTDOWN.
 * Returns at once.
 */
void tp_control_detach(struct tp_fs *fs);
/* Call it after the last request, before the session is destroyed. */
void tp_control_stop(struct tp_fs *fs);
void tp_control_destroy(struct tp_fs *fs);

/* --- node.c --- */

/* Whether NAME at the top is the control directory, and whether it is listed. */
bool tp_control_is_name(const struct tp_fs *fs, const char *name);
bool tp_control_is_visible(const struct tp_fs *fs);

/* --- entries.c --- */

uint64_t tp_control_number(void);

/* --- control.c --- */

/* The error in tenpak.conf because of which the earlier policy is in effect; "": none. */
void tp_control_conf_error(struct tp_fs *fs, char out[TP_ERROR_MAX]);

extern const struct tp_node_ops tp_control_ops;

static inline bool tp_is_control(const struct tp_node *node)
{
    return node->ops == &tp_control_ops;
}

/* --- node.c --- */

/* Count a look-up of the control directory itself. */
int tp_control_enter_top(struct tp_fs *fs, struct fuse_entry_param *entry);

#endif
