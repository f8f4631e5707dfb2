/* SPDX-License-Identifier: MIT */
/* The figures of the mount for documents. */
#ifndef TP_FS_CONTROL_FIGURES_H
#define TP_FS_CONTROL_FIGURES_H

#include "fs/control/impl.h"

struct tp_control_figures {
    struct tp_policy policy;
    struct tp_live live;
    struct tp_buffer status; /* figures of the mount, as JSON */
};

/* Call it between tp_control_enter and tp_control_leave. */
void tp_control_figures_get(struct tp_control *control, struct tp_control_figures *out);
void tp_control_figures_clear(struct tp_control_figures *figures);

#endif
