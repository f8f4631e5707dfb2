/* SPDX-License-Identifier: MIT */
/* What an argument of the command line means: a store, a plain model directory, or a pack. */
#ifndef TP_CLI_ARGUMENT_H
#define TP_CLI_ARGUMENT_H

#include "store/store.h"

enum tp_argument_kind { TP_ARGUMENT_STORE, TP_ARGUMENT_PLAIN, TP_ARGUMENT_PACK };

struct tp_argument {
    enum tp_argument_kind kind;
    char *path; /* as given, without trailing slashes; ".tnpk" added where only that exists; of what
                 * lies in a tenpak mount, its place in the directory that is mounted */
    char *parent; /* the directory that holds it: the store of a model */
    char *name;   /* the model's name in it */
};

/* A directory that is no model itself is a store. -ENOENT and so on when there is nothing. */
int tp_argument_find(const char *arg, struct tp_argument *out, struct tp_error *err);
/* The same where a pack is wanted: of a model's directory that has its pack beside it, the pack. */
int tp_argument_find_pack(const char *arg, struct tp_argument *out, struct tp_error *err);
void tp_argument_clear(struct tp_argument *place);

/* Open the pack at PLACE, with the store around it, where its bases are; both are the caller's to
 * close, the pack first. -EINVAL: no pack. */
int tp_argument_open(const struct tp_argument *place, struct tp_store **store,
                     struct tp_pack **pack, struct tp_error *err);

#endif
