/* SPDX-License-Identifier: MIT */
/*
 * What a store remembers of the packs in its directory: their ids, as long as the file is the
 * same, and which are open. The store calls everything here under its lock.
 */
#ifndef TP_STORE_CATALOG_H
#define TP_STORE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/stamp.h"
#include "store/pack/pack.h"

struct tp_catalog_entry {
    char *file; /* NAME.tnpk */
    struct tp_stamp
        stamp;       /* packs are never written to in place: the same one has the same bytes */
    bool identified; /* ID holds */
    int failed;      /* why not: negative errno, 0 where it was not asked */
    struct tp_pack_id id;
    bool read; /* CONTENTS hold: of version 1 the footer does not tell anything of them */
    struct tp_pack_contents contents;
    struct tp_pack *pack; /* open, or NULL */
    uint64_t used;        /* when PACK was last asked for */
};

struct tp_catalog {
    const char *dir;
    int dirfd;
    struct tp_catalog_entry *entries; /* in byte order of their files */
    size_t n, cap;
    uint64_t clock;
};

void tp_catalog_clear(struct tp_catalog *catalog);

/* -ENOENT: there is no such file. */
int tp_catalog_stat(const struct tp_catalog *catalog, const char *file, struct tp_stamp *stamp,
                    struct tp_error *err);
/* A reference on the pack, when this very file is open; else NULL. */
struct tp_pack *tp_catalog_shared(struct tp_catalog *catalog, const char *file,
                                  const struct tp_stamp *stamp);
/* Remember *PACK, just opened; or, when another thread was faster, close it and give what that
 * one opened. -ENOMEM closes it. */
int tp_catalog_share(struct tp_catalog *catalog, const char *file, const struct tp_stamp *stamp,
                     struct tp_pack **pack);

/* Drop packs that are no longer in their places; those in use stay open for their users. */
void tp_catalog_drop_removed(struct tp_catalog *catalog);

/* Read the directory, and the ids of the packs that are new or changed. Damaged packs have none. */
int tp_catalog_refresh(struct tp_catalog *catalog, struct tp_error *err);
/* Files of the packs with this id, and of those that may have this content id. -ENOMEM. */
int tp_catalog_with_id(const struct tp_catalog *catalog, const uint8_t *id, char ***files,
                       size_t *n);
int tp_catalog_with_content(const struct tp_catalog *catalog, const uint8_t *content, char ***files,
                            size_t *n);
/* Files of the packs whose base has this id, and of those whose base's id no pack has. -ENOMEM. */
int tp_catalog_with_base(const struct tp_catalog *catalog, const uint8_t *id, char ***files,
                         size_t *n);
/*
 * What FILE's footer (ID may be NULL) and its index say; read once as long as it is the same file.
 */
int tp_catalog_read(struct tp_catalog *catalog, const char *file, struct tp_pack_id *id,
                    struct tp_pack_contents *out, struct tp_error *err);
/* The first pack that may be whole and could not be asked for its base, or NULL. */
const struct tp_catalog_entry *tp_catalog_find_unreadable(const struct tp_catalog *catalog);

#endif
