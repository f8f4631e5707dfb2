/* SPDX-License-Identifier: MIT */
/*
 * An open pack: its index in memory, its chunks decoded one at a time. Immutable and shared by any
 * number of threads once open. Holds its base open too.
 */
#ifndef TP_STORE_PACK_H
#define TP_STORE_PACK_H

#include <stdatomic.h>

#include "base/cleanup.h"
#include "store/pack/bytes.h"
#include "store/pack/index.h"

struct tp_pack;

struct tp_base_chain; /* the packs that are being opened, each as the base of the one before it */

/* A base that a pack needs. */
struct tp_base_query {
    const char *path;       /* of the pack that needs it */
    const uint8_t *id;      /* the pack with this id, or */
    const uint8_t *content; /* one with this content id that is not broken (NULL: not by content) */
    bool (*suits)(void *arg, struct tp_pack *base); /* and that suits the caller; NULL: any does */
    void *arg;
    const struct tp_base_chain *chain; /* for the finders of packs that are opened on the way */
};

/* How a pack finds its base when it is opened. */
struct tp_base_finder {
    /* Open the pack that QUERY asks for; -ENOLINK: there is none. */
    int (*find)(void *arg, const struct tp_base_query *query, struct tp_pack **out,
                struct tp_error *err);
    void *arg;
    /* That of the query for which the pack is opened, so that a circle ends; NULL: for none. */
    const struct tp_base_chain *chain;
};

/* Open PATH and, through FINDER, its bases. An absent or damaged base is no failure here: the pack
 * opens, lists its files, and decoding what needs the base is -ENOLINK; see tp_pack_base_error. So
 * it is without a finder (NULL). -EBADMSG damaged, -EPROTONOSUPPORT newer format. References count;
 * close drops one. */
int tp_pack_open(const char *path, const struct tp_base_finder *finder, struct tp_pack **out,
                 struct tp_error *err);
struct tp_pack *tp_pack_ref(struct tp_pack *pack);
void tp_pack_close(struct tp_pack *pack);
/* A pack that is closed when its block is left (base/cleanup.h). */
#define tp_autopack tp_auto(tp_cleanup_pack)
static inline void tp_cleanup_pack(struct tp_pack **pack)
{
    tp_pack_close(*pack);
}

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

#endif
