/* SPDX-License-Identifier: MIT */
/* The names of models and packs, and what exists under them. */
#include <config.h>

#include "store/place.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUFFIX_LEN = sizeof TP_PACK_SUFFIX - 1 };

bool tp_place_pack_name(const char *name, char file[NAME_MAX + 1])
{
    return snprintf(file, NAME_MAX + 1, "%s" TP_PACK_SUFFIX, name) <= NAME_MAX;
}

bool tp_place_is_pack_name(const char *file)
{
    return file[0] != '.' && tp_place_name_len(file) < strlen(file);
}

size_t tp_place_name_len(const char *name)
{
    size_t len = strlen(name);
    bool packed = len > SUFFIX_LEN && strcmp(name + len - SUFFIX_LEN, TP_PACK_SUFFIX) == 0;

    return packed ? len - SUFFIX_LEN : len;
}

bool tp_place_is_pack(int dirfd, const char *file, struct stat *st)
{
    uid_t owner;

    if (!tp_place_is_pack_name(file) || fstatat(dirfd, file, st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (!S_ISLNK(st->st_mode))
        return S_ISREG(st->st_mode);
    owner = st->st_uid;
    return fstatat(dirfd, file, st, 0) == 0 && S_ISREG(st->st_mode) &&
           (geteuid() != 0 || owner == 0 || owner == st->st_uid);
}

void tp_place_stat(int dirfd, const char *name, struct tp_placed *out)
{
    struct stat *st = &out->plain_st;

    memset(out, 0, sizeof *out);
    if (fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW) == 0) {
        out->type = st->st_mode & S_IFMT;
        out->plain =
            S_ISDIR(st->st_mode) ||
            (S_ISLNK(st->st_mode) && fstatat(dirfd, name, st, 0) == 0 && S_ISDIR(st->st_mode));
    }
    out->pack =
        tp_place_pack_name(name, out->file) && tp_place_is_pack(dirfd, out->file, &out->pack_st);
}

char *tp_place_path(const char *dir, const char *name)
{
    char *path = tp_path_join(dir, name, "");
    struct stat st;

    if (path && stat(path, &st) < 0) {
        free(path);
        path = tp_path_join(dir, name, TP_PACK_SUFFIX);
    }
    return path;
}
