/* SPDX-License-Identifier: MIT */
/* The settings of a running mount: files with one value each, valid until the mount ends. */
#ifndef TP_FS_CONTROL_SETTINGS_H
#define TP_FS_CONTROL_SETTINGS_H

#include "base/buffer.h"
#include "base/error.h"
#include "fs/control/control.h"

/* The name of setting number WHICH; NULL: there are not so many. */
const char *tp_setting_name(unsigned which);
/* Append the value of a setting and a newline. */
int tp_setting_write(struct tp_control *control, unsigned which, struct tp_buffer *out,
                     struct tp_error *err);
/* Change a setting to the value in TEXT of LEN bytes. -EINVAL: not a value. -ERANGE. */
int tp_setting_change(struct tp_control *control, unsigned which, const char *text, size_t len,
                      struct tp_error *err);

#endif
