/* SPDX-License-Identifier: MIT */
/*
 * Paths in a tenpak mount as what they are behind it: a model in a mount is worked on in the
 * directory that is mounted.
 */
#ifndef TP_CLI_MOUNTED_PATH_H
#define TP_CLI_MOUNTED_PATH_H

#include "base/error.h"

/* Where PATH lies in a tenpak mount, the same in the mounted directory, else PATH; to be freed. The
 * last component need not exist. -ESTALE: the mounted directory has another place now. */
int tp_mounted_path_resolve(const char *path, char **out, struct tp_error *err);

#endif
