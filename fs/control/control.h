/* SPDX-License-Identifier: MIT */
/*
 * The control directory MNT/.tenpak: documents to read, files to write commands to, jobs as
 * directories (fs/control/entries.h).
 *
 * A document is a snapshot: what is opened is a node of its own whose bytes never change, so that
 * its size is true, it can be mapped, and two readers may read two moments. Only a descriptor whose
 * poll reported news reads the next snapshot, once, from its beginning.
 *
 * No thread that serves requests waits here for a job: a reader of jobs/ID/wait is remembered and
 * answered by the directory's own thread, as are those that poll. Writes go to a pool of threads.
 */
#ifndef TP_FS_CONTROL_H
#define TP_FS_CONTROL_H

#include "fs/fs.h"

#define TP_CONTROL_NAME ".tenpak"

/*
 * Set FS->control up as the mount's options say: jobs, documents. An error in tenpak.conf is
 * returned here.
 */
int tp_control_create(struct tp_fs *fs, struct tp_error *err);
/* When requests come. */
int tp_control_start(struct tp_fs *fs, struct tp_error *err);
/* The mount is detached: jobs end, readers that wait for one get -ESHUTDOWN. Returns at once. */
void tp_control_detach(struct tp_fs *fs);
/* When no request comes any more, before the session is destroyed. */
void tp_control_stop(struct tp_fs *fs);
void tp_control_destroy(struct tp_fs *fs);

/* --- node.c --- */

/* Whether NAME at the top is the control directory, and shows there. */
bool tp_control_is_name(const struct tp_fs *fs, const char *name);
bool tp_control_is_visible(const struct tp_fs *fs);

/* --- entries.c --- */

uint64_t tp_control_number(void);

/* --- control.c --- */

/* The error in tenpak.conf for which the earlier policy holds; "": none. */
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
