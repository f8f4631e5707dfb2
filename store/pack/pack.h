/* SPDX-License-Identifier: MIT */
/*
 * An open pack: its index in memory, its chunks decoded one at a time. Immutable and shared by any
 * number of threads once open. Holds its base open too.
 */
#ifndef TP_STORE_PACK_H
#define TP_STORE_PACK_H

#include <stdatomic.h>

#include "store/pack/bytes.h"
#include "store/pack/index.h"

struct tp_pack;
struct tp_store; /* finds a base by its id or its content: store.h */

/* Open PATH and, through STORE (may be NULL when the pack needs no base), its bases. An absent or
 * damaged base is no failure here: the pack opens, lists its files, and decoding what needs the
 * base is -ENOLINK; see tp_pack_base_error. -EBADMSG damaged, -EPROTONOSUPPORT newer format.
 * References count; close drops one. */
int tp_pack_open(const char *path, struct tp_store *store, struct tp_pack **out,
                 struct tp_error *err);
struct tp_pack *tp_pack_ref(struct tp_pack *pack);
void tp_pack_close(struct tp_pack *pack);

/*
 * Only the footer and the ids, without keeping the index: what finding a base among many packs
 * needs.
 */
struct tp_pack_id {
    uint8_t id[TP_SHA256_LEN];
    bool has_base;
    uint8_t base_id[TP_SHA256_LEN];
    unsigned version;
    uint8_t content[8]; /* the first bytes of the content id; of version 1 not known from here */
    uint64_t pack_bytes;
};
int tp_pack_identify(const char *path, struct tp_pack_id *out, struct tp_error *err);
int tp_pack_identify_bytes(struct tp_bytes *bytes, struct tp_pack_id *out, struct tp_error *err);

/* What only the index knows: content ids. It is read, and not kept. */
struct tp_pack_contents {
    uint8_t own[TP_SHA256_LEN];
    uint8_t base[TP_SHA256_LEN]; /* zero: none, or of version 1 */
};
int tp_pack_read_contents(const char *path, struct tp_pack_contents *out, struct tp_error *err);

const struct tp_index *tp_pack_index(const struct tp_pack *pack);
const char *tp_pack_path(const struct tp_pack *pack);
const uint8_t *tp_pack_get_id(const struct tp_pack *pack);
const uint8_t *tp_pack_content_id(const struct tp_pack *pack);
uint64_t tp_pack_stored_bytes(const struct tp_pack *pack);
struct tp_pack *tp_pack_base(const struct tp_pack *pack); /* borrowed; NULL when none or absent */
/* Why the base that the pack needs is not there: "" when it is, or when none is needed. */
const char *tp_pack_base_error(const struct tp_pack *pack);

/*
 * Decode chunk number CHUNK into DST (tp_index_chunk_len bytes and TP_SLACK more). Reads the coded
 * bytes with one pread, verifies both hashes; with FETCH the content's, and the other where that
 * fails. FETCH, where given, brings a base's chunk (a cache); without it the base's chunk is
 * decoded into WORK. -EBADMSG names pack, file, chunk and offset; -ENOLINK.
 */
struct tp_work; /* per-thread memory for decoding through a chain of bases */
/*
 * CANCEL, which may be NULL: once it is non-zero decoding with it fails, -ECANCELED, however much
 * one chunk takes.
 */
struct tp_work *tp_work_create(const atomic_int *cancel);
void tp_work_destroy(struct tp_work *work);

struct tp_chunk_fetch {
    /* Give the decoded bytes of a chunk of the base pack (with TP_SLACK readable after them), valid
     * until release. May block on another thread's decoding of it, never on a caller higher in the
     * chain. ONCE: who asks needs all of the chunk, and does not come back for it. 1, only then:
     * nobody else is expected to want it, and who asks is to decode it as if there were no fetch.
     */
    int (*get)(void *arg, struct tp_pack *pack, uint32_t chunk, bool once, const uint8_t **data,
               void **handle, struct tp_work *work, struct tp_error *err);
    void (*release)(void *arg, void *handle);
    void *arg;
};

int tp_pack_decode_chunk(struct tp_pack *pack, uint32_t chunk, void *dst, struct tp_work *work,
                         const struct tp_chunk_fetch *fetch, struct tp_error *err);

#endif
