/* SPDX-License-Identifier: MIT */
/* Whether a file system has space for a model. */
#ifndef TP_STORE_EXTRACT_SPACE_H
#define TP_STORE_EXTRACT_SPACE_H

#include "store/pack/index.h"

/*
 * The bytes that the files and directories of INDEX take in blocks of BLOCK bytes, without holes.
 */
uint64_t tp_extract_bytes(const struct tp_index *index, uint64_t block);

/*
 * -ENOSPC: the file system of DIRFD has no space for INDEX; ERR has the bytes missing. PATH is for
 * messages.
 */
int tp_extract_check_space(const struct tp_index *index, int dirfd, const char *path,
                           struct tp_error *err);

#endif
