/* SPDX-License-Identifier: MIT */
/* Arguments of the command line that name a store, a plain model directory, or a pack. */
#ifndef TP_CLI_ARGUMENT_H
#define TP_CLI_ARGUMENT_H

#include "store/store.h"

enum tp_argument_kind { TP_ARGUMENT_STORE, TP_ARGUMENT_PLAIN, TP_ARGUMENT_PACK };

struct tp_argument {
    enum tp_argument_kind kind;
    char *path; /* as given, without trailing slashes; with ".tnpk" if only that exists; for a path
                   in a tenpak mount, its place in the mounted directory */
    char *parent; /* the directory that contains it: for a model the store */
    char *name;   /* its name in PARENT */
};

/*
 * A directory that is not a model is a store. -ENOENT and others: it does not exist or cannot be
 * read.
 */
int tp_argument_find(const char *arg, struct tp_argument *out, struct tp_error *err);
/*
 * As tp_argument_find, if a pack is wanted: for a model's directory with its pack beside it, the
 * pack.
 */
int tp_argument_find_pack(const char *arg, struct tp_argument *out, struct tp_error *err);
/*
 * As tp_argument_find, for a model that is to be run. ARG may also be the id "org/name" of a model
 * in the hub's cache, or its folder there: then PATH is its snapshot, PARENT the cache, and NAME
 * the name of the folder. -EINVAL: it is a store.
 */
int tp_argument_find_model(const char *arg, struct tp_argument *out, struct tp_error *err);
/*
 * The folder in the hub's cache of the model with the id ARG; free() it. NULL: ARG exists, is no
 * id, or there is no such folder.
 */
char *tp_argument_hub_folder(const char *arg);
void tp_argument_clear(struct tp_argument *place);

/*
 * Open the pack at PLACE, and the store that contains it and its bases. The caller closes both, the
 * pack first. -EINVAL: it is not a pack.
 */
int tp_argument_open(const struct tp_argument *place, struct tp_store **store,
                     struct tp_pack **pack, struct tp_error *err);

#endif
