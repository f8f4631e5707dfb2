/* SPDX-License-Identifier: MIT */
/*
 * A store is a directory of models: plain directories and packs (NAME.tnpk) side by side. There is
 * no database: ids are read from the footers of the packs, and remembered by inode and modification
 * time.
 */
#ifndef TP_STORE_STORE_H
#define TP_STORE_STORE_H

#include "base/cleanup.h"
#include "store/pack/pack.h"

struct tp_store;

enum tp_model_kind { TP_MODEL_PLAIN, TP_MODEL_PACK };

struct tp_store_model {
    char *name; /* without ".tnpk" */
    enum tp_model_kind kind;
};

/* Thread-safe. DIR must exist. */
int tp_store_open(const char *dir, struct tp_store **out, struct tp_error *err);
void tp_store_close(struct tp_store *store);
/* A store that is closed at the end of its block (base/cleanup.h). */
#define tp_autostore tp_auto(tp_cleanup_store)
static inline void tp_cleanup_store(struct tp_store **store)
{
    tp_store_close(*store);
}
const char *tp_store_dir(const struct tp_store *store);

/*
 * List the models of DIR in byte order of their names. Free *OUT with tp_store_models_free. If
 * NAME/ and NAME.tnpk exist, the plain directory is listed, because the pack is not in its place
 * yet.
 */
int tp_store_models(struct tp_store *store, struct tp_store_model **out, size_t *n,
                    struct tp_error *err);
void tp_store_models_free(struct tp_store_model *models, size_t n);

/*
 * Find packs in subdirectories of DIR. A store has one level, so these are not models of this
 * store. FOUND is called for each directory that has some, with their number.
 */
int tp_store_find_nested(struct tp_store *store,
                         void (*found)(void *arg, const char *name, size_t packs), void *arg,
                         struct tp_error *err);
/* The number of packs in the subdirectory NAME of DIR. */
size_t tp_store_count_nested(struct tp_store *store, const char *name);

/* Open the pack NAME.tnpk in DIR. Packs that are open already are shared. */
int tp_store_open_pack(struct tp_store *store, const char *name, struct tp_pack **out,
                       struct tp_error *err);
/*
 * Open the pack PATH, which need not be in DIR. Its bases are searched for in STORE or, if STORE is
 * NULL, in the directory of PATH.
 */
int tp_store_open_path(struct tp_store *store, const char *path, struct tp_pack **out,
                       struct tp_error *err);
/*
 * Packs stay open for a while. Close those that were removed or replaced, because an open file
 * keeps its disk space. Packs in use stay open for their users.
 */
void tp_store_drop_removed(struct tp_store *store);
/*
 * Open a base in DIR: by its id or, if no usable pack has this id, by its content. -ENOLINK: there
 * is none.
 */
int tp_store_open_base(struct tp_store *store, const struct tp_base_query *query,
                       struct tp_pack **out, struct tp_error *err);
/*
 * The names of the packs in DIR that cannot be read without PACK, a pack in DIR: it is their base,
 * and no other pack in DIR can replace it. Free them with tp_store_names_free. It is an error if a
 * pack cannot be read or has a newer format, because its base is not known.
 */
int tp_store_dependents(struct tp_store *store, const struct tp_pack *pack, char ***names,
                        size_t *n, struct tp_error *err);
void tp_store_names_free(char **names, size_t n);

#endif
