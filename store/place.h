/* SPDX-License-Identifier: MIT */
/*
 * What a directory has under the name of a model: the model's own directory NAME, its pack
 * NAME.tnpk, both, or neither.
 */
#ifndef TP_STORE_PLACE_H
#define TP_STORE_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "store/names.h"

/* --- Names --- */

/* Write NAME.tnpk to FILE; false: no file can have so long a name. */
bool tp_place_pack_name(const char *name, char file[NAME_MAX + 1]);
/* Whether a file of this name can be a pack of a model: NAME.tnpk, not hidden. */
bool tp_place_is_pack_name(const char *file);
/* Bytes of NAME, which may be a path, without the ".tnpk" that it may end in. */
size_t tp_place_name_len(const char *name);

/* --- Files --- */

/*
 * Whether FILE of the directory DIRFD is a pack: a regular file of such a name, or a symbolic link
 * to one. For root, a link counts only where it belongs to root or to the owner of the file that it
 * leads to, so that no user makes root show another user's file. ST is that of the file.
 */
bool tp_place_is_pack(int dirfd, const char *file, struct stat *st);

struct tp_placed {
    mode_t type;             /* S_IFMT of NAME itself, links not followed; 0: there is nothing */
    bool plain;              /* NAME is a directory, or a symbolic link to one */
    bool pack;               /* NAME.tnpk is a pack */
    char file[NAME_MAX + 1]; /* NAME.tnpk */
    struct stat plain_st, pack_st; /* each where it is there */
};

void tp_place_stat(int dirfd, const char *name, struct tp_placed *out);

#endif
