/* SPDX-License-Identifier: MIT */
/* Determining the base that a model is packed against. Nothing is changed. */
#ifndef TP_STORE_CHOOSE_BASE_H
#define TP_STORE_CHOOSE_BASE_H

#include "store/ops.h"

struct tp_base_choice {
    char name[256]; /* "": no base */
    char why[256];
    char *pack;    /* path of the base's pack; NULL: no base */
    char *plain;   /* path of the base's directory, present or not; NULL: the base was given as the
                      path of a pack */
    bool unpacked; /* the directory is present, whole or half removed: it must be packed first */
    bool searched; /* the user named no base */
};

/*
 * Determine the base of the model at PATH. PACKS_ONLY: search only among packs. -ENOENT: the base
 * that the user named does not exist. Clear OUT with tp_base_choice_clear.
 */
int tp_base_resolve(const char *path, const struct tp_compress_options *options, bool packs_only,
                    struct tp_base_choice *out, struct tp_error *err);
void tp_base_choice_clear(struct tp_base_choice *choice);

#endif
