/* SPDX-License-Identifier: MIT */
/*
 * A store is a directory of models: plain directories and packs (NAME.tnpk) side by side. It needs no
 * database: which pack has which id is read from the packs' footers and remembered by inode and mtime.
 */
#ifndef TP_STORE_STORE_H
#define TP_STORE_STORE_H

#include "store/pack/pack.h"

struct tp_store;

enum tp_model_kind { TP_MODEL_PLAIN, TP_MODEL_PACK };

struct tp_model {
    char *name;               /* without .tnpk */
    enum tp_model_kind kind;
};

/* Thread-safe. DIR must exist. */
int tp_store_open(const char *dir, struct tp_store **out, struct tp_error *err);
void tp_store_close(struct tp_store *store);
const char *tp_store_dir(const struct tp_store *store);

/* The models of DIR itself, in byte order of their names: *OUT is freed with tp_store_models_free. Where both
 * NAME/ and NAME.tnpk exist the plain directory is listed (a pack that is not yet in its place). */
int tp_store_models(struct tp_store *store, struct tp_model **out, size_t *n, struct tp_error *err);
void tp_store_models_free(struct tp_model *models, size_t n);

/* Open pack NAME (of NAME.tnpk in DIR); packs that are open already are shared. */
int tp_store_open_pack(struct tp_store *store, const char *name, struct tp_pack **out,
                       struct tp_error *err);
/* Packs are kept open for a while. Of those that were removed or replaced meanwhile, keep none: that would hold their
 * room. Who has one open has it still. */
void tp_store_drop_removed(struct tp_store *store);
/* Open the pack with this id, wherever in DIR it is. -ENOLINK: none has it. */
int tp_store_open_id(struct tp_store *store, const uint8_t id[TP_SHA256_LEN], struct tp_pack **out,
                     struct tp_error *err);
/* Names of the packs in DIR whose base is ID: freed with tp_store_names_free. An error where some pack cannot be
 * read or is of a newer format: whose base it needs is not known then. */
int tp_store_dependents(struct tp_store *store, const uint8_t id[TP_SHA256_LEN], char ***names, size_t *n,
                        struct tp_error *err);
void tp_store_names_free(char **names, size_t n);

#endif
