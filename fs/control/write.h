/* SPDX-License-Identifier: MIT */
/*
 * Writes to the control directory: commands and settings. One write is one transaction; it is
 * accepted or refused as a whole, and has a reply.
 */
#ifndef TP_FS_CONTROL_WRITE_H
#define TP_FS_CONTROL_WRITE_H

#include "fs/control/handles.h"

/* One write and its result. */
struct tp_control_command {
    const char *text;
    size_t len;
    struct tp_requester requester;
    char file[64]; /* name of the file below the control directory */
    char (*ids)[TP_JOB_ID_MAX];
    size_t n;
    struct tp_job_status first; /* of the first job, as it was when all were accepted */
    struct tp_request_position position;
    struct tp_error err;
};

/* An operation of nodes. */
int tp_control_write(fuse_req_t req, struct tp_node *node, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi);

/* Functions of entries: submit jobs; change a setting. */
int tp_control_submit(struct tp_control *control, const struct tp_control_id *id,
                      struct tp_control_command *command);
int tp_control_change_setting(struct tp_control *control, const struct tp_control_id *id,
                              struct tp_control_command *command);

#endif
