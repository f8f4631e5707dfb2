/* SPDX-License-Identifier: MIT */
/*
 * What a directory has under the name of a model: the directory NAME, the pack NAME.tnpk, both, or
 * neither.
 */
#ifndef TP_STORE_PLACE_H
#define TP_STORE_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "store/names.h"

/* --- Names --- */

/* Write NAME.tnpk to FILE. False: the name is too long for a file. */
bool tp_place_pack_name(const char *name, char file[NAME_MAX + 1]);
/* Whether the name of a file is that of a pack: NAME.tnpk, not hidden. */
bool tp_place_is_pack_name(const char *file);
/* The length of NAME, which may be a path, without its suffix ".tnpk". */
size_t tp_place_name_len(const char *name);

/* --- Files --- */

/*
 * Whether FILE in the directory DIRFD is a pack: a regular file with the name of one, or a symbolic
 * link to a regular file. For root, a link must belong to root or to the owner of its target, so
 * that no user can make root show another user's file. ST: the status of the file.
 */
bool tp_place_is_pack(int dirfd, const char *file, struct stat *st);

struct tp_placed {
    mode_t type;                   /* S_IFMT of NAME itself, without following a link; 0: absent */
    bool plain;                    /* NAME is a directory, or a symbolic link to one */
    bool pack;                     /* NAME.tnpk is a pack */
    char file[NAME_MAX + 1];       /* NAME.tnpk */
    struct stat plain_st, pack_st; /* each if present */
};

void tp_place_stat(int dirfd, const char *name, struct tp_placed *out);
/* The path of NAME in DIR, or of its pack if NAME is absent. NULL: out of memory. */
char *tp_place_path(const char *dir, const char *name);

#endif
