/* SPDX-License-Identifier: MIT */
/* From what the user says of a base to where it is. Nothing is changed. */
#ifndef TP_STORE_CHOOSE_BASE_H
#define TP_STORE_CHOOSE_BASE_H

#include "store/ops.h"

struct tp_base_choice {
    char name[256]; /* "": no base */
    char why[256];
    char *pack;    /* the path of its pack; NULL: no base */
    char *plain;   /* the path of its directory, whether it is there or not; NULL: a pack by path */
    bool unpacked; /* the directory is there, whole or half removed: pack it first */
    bool searched; /* the user named none */
};

/*
 * The base for the model at PATH; PACKS_ONLY: where it is searched for, only among packs. -ENOENT:
 * the user names one that is not there. OUT is for tp_base_choice_clear.
 */
int tp_base_resolve(const char *path, const struct tp_compress_options *options, bool packs_only,
                    struct tp_base_choice *out, struct tp_error *err);
void tp_base_choice_clear(struct tp_base_choice *choice);

#endif
