/* SPDX-License-Identifier: MIT */
/* Readers of jobs/ID/wait. They are remembered, and answered by the control directory's thread. */
#ifndef TP_FS_CONTROL_WAIT_H
#define TP_FS_CONTROL_WAIT_H

#include "fs/control/handles.h"

/* Function of the entry: the final status of a job, when it has ended. */
int tp_control_wait_read(fuse_req_t req, struct tp_control *control,
                         struct tp_control_handle *handle, size_t size, off_t off);
bool tp_control_wait_has_news(const struct tp_control *control,
                              const struct tp_control_handle *handle);

/* Answer the readers whose job has ended, and notify pollers. */
void tp_control_answer_waiters(struct tp_control *control);
/* Answer all readers with RC, a negative errno. */
void tp_control_release_waiters(struct tp_control *control, int rc);

#endif
