/* SPDX-License-Identifier: MIT */
/* The settings of a running mount, one value a file, valid until the mount ends. */
#ifndef TP_FS_CONTROL_SETTINGS_H
#define TP_FS_CONTROL_SETTINGS_H

#include "base/buffer.h"
#include "base/error.h"
#include "fs/control/control.h"

/* The name of a setting; NULL: there are not so many. */
const char *tp_setting_name(unsigned which);
/* Append its value, and a newline. */
int tp_setting_write(struct tp_control *control, unsigned which, struct tp_buffer *out,
                     struct tp_error *err);
/* -EINVAL: TEXT, LEN bytes, is no value. -ERANGE. */
int tp_setting_change(struct tp_control *control, unsigned which, const char *text, size_t len,
                      struct tp_error *err);

#endif
