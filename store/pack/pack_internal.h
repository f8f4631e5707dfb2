/* SPDX-License-Identifier: MIT */
/* Of open packs, what only the rest of store/ needs. */
#ifndef TP_STORE_PACK_INTERNAL_H
#define TP_STORE_PACK_INTERNAL_H

#include "store/pack/pack.h"

/* --- pack.c --- */

/* Never given to another pack of this process, and never 0. */
uint64_t tp_pack_serial(const struct tp_pack *pack);
/* Whether more than one reference is held. */
bool tp_pack_is_shared(const struct tp_pack *pack);
/* Its own source of bytes: for a caller that asks about this very file. */
struct tp_bytes *tp_pack_bytes(const struct tp_pack *pack);
/* The same, with the copies of the pack in its directory as mirrors. */
struct tp_bytes *tp_pack_mirrored(const struct tp_pack *pack);
/* Of the format that it was written in. */
unsigned tp_pack_version(const struct tp_pack *pack);

/* --- chunk_plan.c --- */

/*
 * Whether coded bytes and tables are what they should be: all of a small pack, of a large one some,
 * evenly spread.
 */
bool tp_pack_probe(struct tp_pack *pack);

/* --- pack.c --- */

/* How many bases stand behind this pack. */
unsigned tp_pack_depth(const struct tp_pack *pack);

/*
 * tp_pack_open of the file NAME in the directory DIRFD, wherever that is by now; PATH is what it
 * was called.
 */
int tp_pack_open_at(int dirfd, const char *name, const char *path,
                    const struct tp_base_finder *finder, struct tp_pack **out,
                    struct tp_error *err);

/* --- resolve.c --- */

/* Find everything that X, the index of the pack PATH, has from the base. -EBADMSG: it is not there.
 */
int tp_pack_resolve(struct tp_index *x, const struct tp_index *base, const char *path,
                    struct tp_error *err);

/*
 * Follow references to other chunks of the pack and of its bases. What is left refers to something
 * only where its base is absent, or where that lies across several chunks.
 */
void tp_chunk_resolve(struct tp_pack **pack, uint32_t *chunk);

/* Decoded bytes and more that one chunk of a pack may take, with all that it is made from: a reader
 * is busy with them for a fraction of a second. What a writer makes takes a tenth (doc/FORMAT.md,
 * "Effort"). */
#define TP_EFFORT_MAX (128u << 20)

/* --- effort.c --- */

/* The most that a chunk of X, resolved against BASE (NULL: there is none), takes, or more;
 * -EBADMSG: X, the pack PATH, takes more than it may. */
int tp_effort_check(const struct tp_index *x, const struct tp_pack *base, const char *path,
                    uint64_t *worst, struct tp_error *err);

/* --- pack.c --- */

/* What that was when this pack was opened. */
uint64_t tp_pack_effort(const struct tp_pack *pack);

/* Open PATH with this base (NULL: none), which must have the id that the pack names. */
int tp_pack_open_with(const char *path, struct tp_pack *base, struct tp_pack **out,
                      struct tp_error *err);

/* --- tables.c --- */

/* The expanded tables of a codec in a segment, from a cache that all packs share: released after
 * use. They are read from BYTES, one of the pack's. */
struct tp_tables_entry;
int tp_tables_get(struct tp_pack *pack, struct tp_bytes *bytes, uint32_t segment,
                  const struct tp_codec *codec, struct tp_tables_entry **out, struct tp_error *err);
const struct tp_tables *tp_tables_of(const struct tp_tables_entry *entry);
void tp_tables_put(struct tp_tables_entry *entry);
/* Read and check the tables of codec number CODEC, whether this build has the codec or not. */
int tp_tables_check(struct tp_pack *pack, uint32_t segment, uint8_t codec, struct tp_error *err);
/* Forget those of a pack that goes; none of them may be in use. */
void tp_tables_forget(uint64_t serial);

#endif
