/* SPDX-License-Identifier: MIT */
/*
 * What a store knows of the packs in its directory: their ids, as long as the files are the same,
 * and which of them are open. The store calls all functions with its lock held.
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
    char *file;            /* NAME.tnpk */
    struct tp_stamp stamp; /* packs are never changed in place: an equal stamp means equal bytes */
    bool identified;       /* ID is set */
    int failed;            /* why ID is not set: a negative errno, or 0 if it was not read yet */
    struct tp_pack_id id;
    bool read; /* CONTENTS are set: the footer of version 1 does not have them */
    struct tp_pack_contents contents;
    struct tp_pack *pack; /* open, or NULL */
    uint64_t used;        /* clock at the last request for PACK */
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
/* A reference on the open pack of this file; NULL: it is not open. */
struct tp_pack *tp_catalog_shared(struct tp_catalog *catalog, const char *file,
                                  const struct tp_stamp *stamp);
/*
 * Keep *PACK, which was just opened. If another thread was faster, close it and return the other
 * one. -ENOMEM closes it.
 */
int tp_catalog_share(struct tp_catalog *catalog, const char *file, const struct tp_stamp *stamp,
                     struct tp_pack **pack);

/* Drop packs that were removed or replaced. Packs in use stay open for their users. */
void tp_catalog_drop_removed(struct tp_catalog *catalog);

/* Read the directory, and the ids of new and changed packs. Damaged packs have none. */
int tp_catalog_refresh(struct tp_catalog *catalog, struct tp_error *err);
/* The files of packs with this id, or with perhaps this content id. -ENOMEM. */
int tp_catalog_with_id(const struct tp_catalog *catalog, const uint8_t *id, char ***files,
                       size_t *n);
int tp_catalog_with_content(const struct tp_catalog *catalog, const uint8_t *content, char ***files,
                            size_t *n);
/* The files of packs whose base has this id, and of those whose base's id no pack has. -ENOMEM. */
int tp_catalog_with_base(const struct tp_catalog *catalog, const uint8_t *id, char ***files,
                         size_t *n);
/*
 * What FILE's footer and index say; ID may be NULL. Each file is read once as long as it is the
 * same.
 */
int tp_catalog_read(struct tp_catalog *catalog, const char *file, struct tp_pack_id *id,
                    struct tp_pack_contents *out, struct tp_error *err);
/* The first pack that may be intact but whose base could not be determined, or NULL. */
const struct tp_catalog_entry *tp_catalog_find_unreadable(const struct tp_catalog *catalog);

#endif
