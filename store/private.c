/* SPDX-License-Identifier: MIT */
/* Opening the directory DIR/.tenpak. */
#include <config.h>

#include "store/private.h"

#include <sys/stat.h>

#include "base/dir.h"

int tp_private_open(int dirfd, bool create)
{
    struct stat st;
    mode_t mode = fstat(dirfd, &st) < 0 ? 0700 : st.st_mode & 0775;

    return tp_dir_enter(dirfd, TP_PRIVATE, create, mode);
}
