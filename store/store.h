/* SPDX-License-Identifier: MIT */
/*
 * A store is a directory of models: plain directories and packs (NAME.tnpk) side by side. It needs
 * no database: which pack has which id is read from the packs' footers and remembered by inode and
 * mtime.
 */
#ifndef TP_STORE_STORE_H
#define TP_STORE_STORE_H

#include "base/cleanup.h"
#include "store/pack/pack.h"

struct tp_store;

enum tp_model_kind { TP_MODEL_PLAIN, TP_MODEL_PACK };

struct tp_store_model {
    char *name; /* without .tnpk */
    enum tp_model_kind kind;
};

/* Thread-safe. DIR must exist. */
int tp_store_open(const char *dir, struct tp_store **out, struct tp_error *err);
void tp_store_close(struct tp_store *store);
/* A store that is closed when its block is left (base/cleanup.h). */
#define tp_autostore tp_auto(tp_cleanup_store)
static inline void tp_cleanup_store(struct tp_store **store)
{
    tp_store_close(*store);
}
const char *tp_store_dir(const struct tp_store *store);

/* The models of DIR itself, in byte order of their names: *OUT is freed with tp_store_models_free.
 * Where both NAME/ and NAME.tnpk exist the plain directory is listed (a pack that is not yet in its
 * place). */
int tp_store_models(struct tp_store *store, struct tp_store_model **out, size_t *n,
                    struct tp_error *err);
void tp_store_models_free(struct tp_store_model *models, size_t n);

/* A store has one level: packs in a directory of DIR are files there and no models. FOUND is told
 * of each directory that has some, and how many: such a one is a store of its own. */
int tp_store_find_nested(struct tp_store *store,
                         void (*found)(void *arg, const char *name, size_t packs), void *arg,
                         struct tp_error *err);
/* How many packs the directory NAME of DIR holds. */
size_t tp_store_count_nested(struct tp_store *store, const char *name);

/* Open pack NAME (of NAME.tnpk in DIR); packs that are open already are shared. */
int tp_store_open_pack(struct tp_store *store, const char *name, struct tp_pack **out,
                       struct tp_error *err);
/*
 * Open the pack PATH, which need not be in DIR. Its bases are looked for in STORE or, where that is
 * NULL, in the directory that PATH lies in.
 */
int tp_store_open_path(struct tp_store *store, const char *path, struct tp_pack **out,
                       struct tp_error *err);
/* Packs are kept open for a while. Drop those that were removed or replaced meanwhile, since an
 * open file keeps its space. Packs in use stay open for their users. */
void tp_store_drop_removed(struct tp_store *store);
/* Open a base, wherever in DIR it is: by its id and, where none has that or its own base is absent,
 * by its content. -ENOLINK: there is none. */
int tp_store_open_base(struct tp_store *store, const struct tp_base_query *query,
                       struct tp_pack **out, struct tp_error *err);
/* Names of the packs in DIR that could not be read without PACK, which lies in DIR: it is their
 * base, and no other pack there can be. Freed with tp_store_names_free. An error where some pack
 * cannot be read or is of a newer format: whose base it needs is not known then. */
int tp_store_dependents(struct tp_store *store, const struct tp_pack *pack, char ***names,
                        size_t *n, struct tp_error *err);
void tp_store_names_free(char **names, size_t n);

#endif
