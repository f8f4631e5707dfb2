/* SPDX-License-Identifier: MIT */
/*
 * An open pack: its index in memory, its chunks decoded one at a time. It is immutable, can be
 * shared by any number of threads, and keeps its base open.
 */
#ifndef TP_STORE_PACK_H
#define TP_STORE_PACK_H

#include <stdatomic.h>

#include "base/cleanup.h"
#include "store/pack/bytes.h"
#include "store/pack/index.h"

struct tp_pack;

struct tp_base_chain; /* the packs that are being opened, each as the base of the one before */

/* A base that a pack needs. */
struct tp_base_query {
    const char *path;  /* path of the pack that needs a base */
    const uint8_t *id; /* the base must have this id, or */
    const uint8_t
        *content; /* this content id, and not be damaged; NULL: the content does not count */
    bool (*suits)(void *arg,
                  struct tp_pack *base); /* also accepted by the caller; NULL: any base is */
    void *arg;
    const struct tp_base_chain *chain; /* for finders of packs that are opened for this query */
};

/* How a pack finds its base when it is opened. */
struct tp_base_finder {
    /* Open the pack that QUERY describes. -ENOLINK: there is none. */
    int (*find)(void *arg, const struct tp_base_query *query, struct tp_pack **out,
                struct tp_error *err);
    void *arg;
    /* The chain of the query for which this pack is opened, to detect circles; NULL: none. */
    const struct tp_base_chain *chain;
};

/*
 * Open PATH and, with FINDER, its bases. An absent or damaged base is not a failure, and neither is
 * a NULL finder: the pack opens and lists its files, and decoding a chunk that needs the base fails
 * with -ENOLINK; see tp_pack_base_error. -EBADMSG: damaged. -EPROTONOSUPPORT: a newer format. The
 * pack has a reference count; tp_pack_close drops one reference.
 */
int tp_pack_open(const char *path, const struct tp_base_finder *finder, struct tp_pack **out,
                 struct tp_error *err);
struct tp_pack *tp_pack_ref(struct tp_pack *pack);
void tp_pack_close(struct tp_pack *pack);
/* A pack that is closed at the end of its block (base/cleanup.h). */
#define tp_autopack tp_auto(tp_cleanup_pack)
static inline void tp_cleanup_pack(struct tp_pack **pack)
{
    tp_pack_close(*pack);
}

/* Read only the footer and ids, without keeping the index: to find a base among many packs. */
struct tp_pack_id {
    uint8_t id[TP_SHA256_LEN];
    bool has_base;
    uint8_t base_id[TP_SHA256_LEN];
    unsigned version;
    uint8_t content[8]; /* the first bytes of the content id; zero in version 1 */
    uint64_t pack_bytes;
    bool lossy; /* it has quantized matrices */
};
int tp_pack_identify(const char *path, struct tp_pack_id *out, struct tp_error *err);
int tp_pack_identify_bytes(struct tp_bytes *bytes, struct tp_pack_id *out, struct tp_error *err);

/* Read the content ids, which are in the index only. The index is not kept. */
struct tp_pack_contents {
    uint8_t own[TP_SHA256_LEN];
    uint8_t base[TP_SHA256_LEN]; /* zero: no base, or version 1 */
};
int tp_pack_read_contents(const char *path, struct tp_pack_contents *out, struct tp_error *err);

const struct tp_index *tp_pack_index(const struct tp_pack *pack);
const char *tp_pack_path(const struct tp_pack *pack);
const uint8_t *tp_pack_get_id(const struct tp_pack *pack);
const uint8_t *tp_pack_content_id(const struct tp_pack *pack);
uint64_t tp_pack_stored_bytes(const struct tp_pack *pack);
struct tp_pack *tp_pack_base(const struct tp_pack *pack); /* borrowed; NULL: none, or absent */
/* Why the base is absent; "" if it is present or not needed. */
const char *tp_pack_base_error(const struct tp_pack *pack);

#endif
