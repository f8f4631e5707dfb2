/* SPDX-License-Identifier: MIT */
/* Functions of open packs for the rest of store/. */
#ifndef TP_STORE_PACK_INTERNAL_H
#define TP_STORE_PACK_INTERNAL_H

#include "store/pack/pack.h"

/* --- pack.c --- */

/* A number that no other pack of this process gets, and never 0. */
uint64_t tp_pack_serial(const struct tp_pack *pack);
/* Whether there is more than one reference. */
bool tp_pack_is_shared(const struct tp_pack *pack);
/* The pack's own source of bytes, for callers that check this file. */
struct tp_bytes *tp_pack_bytes(const struct tp_pack *pack);
/* The same, with copies of the pack in its directory as mirrors. */
struct tp_bytes *tp_pack_mirrored(const struct tp_pack *pack);
/* The version of its format. */
unsigned tp_pack_version(const struct tp_pack *pack);

/* --- chunk_plan.c --- */

/*
 * Whether coded bytes and tables are intact: all of a small pack, evenly spread samples of a large
 * one.
 */
bool tp_pack_probe(struct tp_pack *pack);

/* --- pack.c --- */

/* The number of bases below this pack. */
unsigned tp_pack_depth(const struct tp_pack *pack);

/* As tp_pack_open for the file NAME in the directory DIRFD. PATH is its name in messages. */
int tp_pack_open_at(int dirfd, const char *name, const char *path,
                    const struct tp_base_finder *finder, struct tp_pack **out,
                    struct tp_error *err);

/* --- resolve.c --- */

/*
 * Find everything that X, the index of the pack PATH, refers to in the index BASE. -EBADMSG: BASE
 * does not have it.
 */
int tp_pack_resolve(struct tp_index *x, const struct tp_index *base, const char *path,
                    struct tp_error *err);

/*
 * Follow references to other chunks of the pack and of its bases. The result is still a reference
 * if its base is absent, or if it refers to bytes in several chunks.
 */
void tp_chunk_resolve(struct tp_pack **pack, uint32_t *chunk);

/*
 * The limit of effort for one chunk, in bytes that are decoded: a fraction of a second. The effort
 * of chunks that the writer makes is at most a tenth of this (doc/FORMAT.md, "Effort").
 */
#define TP_EFFORT_MAX (128u << 20)

/* --- effort.c --- */

/*
 * Check the effort of each chunk of X, the index of the pack PATH, resolved against BASE (NULL:
 * none). *WORST is an upper bound of all. -EBADMSG: the limit is exceeded.
 */
int tp_effort_check(const struct tp_index *x, const struct tp_pack *base, const char *path,
                    uint64_t *worst, struct tp_error *err);

/* --- pack.c --- */

/* The bound of effort, computed when this pack was opened. */
uint64_t tp_pack_effort(const struct tp_pack *pack);

/* Open PATH with this base (NULL: none), which must have the id that the pack names. */
int tp_pack_open_with(const char *path, struct tp_pack *base, struct tp_pack **out,
                      struct tp_error *err);

/* --- tables.c --- */

/*
 * Get the expanded tables of a codec in a segment, from a cache that all packs share. They are read
 * from BYTES, a source of the pack. Release them with tp_tables_put.
 */
struct tp_tables_entry;
int tp_tables_get(struct tp_pack *pack, struct tp_bytes *bytes, uint32_t segment,
                  const struct tp_codec *codec, struct tp_tables_entry **out, struct tp_error *err);
const struct tp_tables *tp_tables_of(const struct tp_tables_entry *entry);
void tp_tables_put(struct tp_tables_entry *entry);
/* Read and check the tables of codec number CODEC, also if this build does not have the codec. */
int tp_tables_check(struct tp_pack *pack, uint32_t segment, uint8_t codec, struct tp_error *err);
/* An engine gives MORE bytes of its budget to this cache, and takes LESS of what it gave back. */
void tp_tables_give(size_t more, size_t less);
/* Forget the tables of a pack that is closed. None may be in use. */
void tp_tables_forget(uint64_t serial);

#endif
