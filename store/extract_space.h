/* SPDX-License-Identifier: MIT */
/* Whether a model fits on a disk. */
#ifndef TP_STORE_EXTRACT_SPACE_H
#define TP_STORE_EXTRACT_SPACE_H

#include "store/pack/index.h"

/*
 * The bytes that the files and directories of INDEX take in blocks of BLOCK bytes, without their
 * holes.
 */
uint64_t tp_extract_bytes(const struct tp_index *index, uint64_t block);

/*
 * -ENOSPC and how much is missing where the file system of DIRFD, at PATH, has no space for INDEX.
 */
int tp_extract_check_space(const struct tp_index *index, int dirfd, const char *path,
                           struct tp_error *err);

#endif
