/* SPDX-License-Identifier: MIT */
/*
 * Codecs: pure, exact transforms of one chunk of weights (at most TP_CHUNK_MAX bytes). Some of them
 * are given the base's bytes in the same place. A codec is a folder here and a line in the registry
 * (registry.c). It knows no file, path, thread or JSON.
 *
 * A tensor codec works in two steps. It is trained on samples of a tensor (stats_*), which makes a
 * short string of bytes, the tables. Every chunk is then coded with these tables, on its own. A
 * decoder needs the tables, the coded chunk and the same base bytes, and reconstructs every bit.
 *
 * Coded chunks and tables are hostile until checked: decode and tables_create never read or write
 * out of bounds, and never loop for longer than the output is long, whatever bytes they get. They
 * need not detect all damage; the store's checksums do.
 *
 * Buffers of elements and of coded bytes have TP_SLACK readable bytes after their end, destinations
 * TP_SLACK writable ones, whose content is unspecified before and after. No alignment is assumed.
 * BASE has the chunk's dtype and length (convert.h converts it).
 */
#ifndef TP_CODEC_CODEC_H
#define TP_CODEC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "tensor/dtype.h"

#define TP_CHUNK_MAX (256u * 1024u)
#define TP_SLACK 256u

/*
 * Wire ids; they are on disk, and never renumbered. RAW (bytes as they are) and SAME (a reference
 * to another chunk) belong to the store.
 */
enum tp_codec_id {
    TP_CODEC_RAW = 0,
    TP_CODEC_SAME = 1,
    TP_CODEC_ZSTD = 2,
    TP_CODEC_SPLIT = 3,
    TP_CODEC_DELTA = 4,
    TP_CODEC_SPARSE = 5,
    TP_CODEC_QUANT = 6,
    TP_CODEC_COUNT
};

struct tp_stats;   /* statistics of a tensor while a codec is trained; each codec has its own */
struct tp_tables;  /* the tables of a tensor, expanded for coding and decoding; immutable, shared
                      freely */
struct tp_scratch; /* work memory of one thread at a time, for any codec */

/*
 * A codec, and all that its callers ask of it: no file outside codec/ names one. There are two
 * kinds. A tensor codec (needs_tables) is trained on samples of one tensor. A general codec takes
 * bytes of any kind, whatever their dtype, and has no tables: its stats_* and tables_* are NULL,
 * and TABLES is NULL below.
 *
 * A codec without stats_* and encode is not for writers of exact packs: its chunks and tables are
 * made from something else than the content (quant/chunk.h).
 */
struct tp_codec {
    enum tp_codec_id id;
    const char *name;
    bool needs_base; /* it codes differences from a base; never true of a general codec */
    bool needs_tables;
    bool lossy; /* only lossy packs have its chunks, which may be longer than what they decode to,
                   and take longer to decode */
    bool whole_samples;  /* stats_add must see samples whole; pieces of them mislead it */
    size_t tables_bytes; /* memory that tables_create takes at most, besides a copy of quant's
                            tables; 0 without tables */
    int level_max;       /* the encoder takes an effort from 1 to this (tp_scratch_set_level); 0: it
                            takes none */

    /* Whether tensors of this dtype can be coded at all. */
    bool (*fits)(enum tp_dtype dtype);

    /*
     * Whether coding these LEN bytes is likely to pay. It looks at a part of them, which takes far
     * less time than coding in vain. NULL: always; the size that stats_finish promises then holds
     * for all chunks of a tensor, else only for those that are worth it. Call tp_codec_worth.
     */
    bool (*worth)(enum tp_dtype dtype, const void *src, const void *base, size_t len);

    /*
     * Training. stats_add counts LEN bytes of whole elements of the tensor, with the base's bytes
     * in the same place (NULL where !needs_base). stats_finish appends the tables to OUT, and
     * writes to *BITS the coded size of an element that they promise, without the tables. NULL or
     * -ENOMEM: out of memory.
     */
    struct tp_stats *(*stats_create)(enum tp_dtype dtype);
    void (*stats_add)(struct tp_stats *stats, const void *src, const void *base, size_t len);
    int (*stats_finish)(struct tp_stats *stats, struct tp_buffer *out, double *bits);
    void (*stats_destroy)(struct tp_stats *stats);

    /*
     * Check and expand tables that were read from a file: -EBADMSG when they break the format's
     * rules.
     */
    int (*tables_create)(enum tp_dtype dtype, const uint8_t *blob, size_t len,
                         struct tp_tables **out, struct tp_error *err);
    void (*tables_destroy)(struct tp_tables *tables);

    /* Code LEN bytes (at most TP_CHUNK_MAX, whole elements) into DST of CAP bytes. Returns the
     * coded length, or 0 when it would not be smaller than CAP: that is a result, not an error. */
    size_t (*encode)(const struct tp_tables *tables, enum tp_dtype dtype, const void *src,
                     const void *base, size_t len, void *dst, size_t cap,
                     struct tp_scratch *scratch);

    /*
     * Reconstruct exactly LEN bytes. 0, or -EBADMSG when the coded bytes break the format's rules.
     */
    int (*decode)(const struct tp_tables *tables, enum tp_dtype dtype, const void *src,
                  size_t src_len, const void *base, void *dst, size_t len,
                  struct tp_scratch *scratch);
};

/* --- registry.c --- */

/*
 * The codec with this wire id; NULL for RAW, SAME, an unknown one. A writer tries tensor codecs in
 * the order of their ids, below TP_CODEC_COUNT, and keeps the first of those that code a chunk to
 * the same length.
 */
const struct tp_codec *tp_codec_get(unsigned id);
/* The number of wire ids that a pack may have; those of lossy packs alone come last. */
unsigned tp_codec_limit(bool lossy);
/* The name of a wire id, also of RAW and SAME; "unknown" for a number that is no codec. */
const char *tp_codec_name(unsigned id);
/* The codec with an encoder that has this name; or NULL. */
const struct tp_codec *tp_codec_find(const char *name);
/*
 * The general codec: for what is not a tensor, and for chunks that no tensor codec makes smaller.
 */
const struct tp_codec *tp_codec_general(void);

/* What a user can choose from: "auto" (all of them), then the names that tp_codec_find knows, in
 * the order of the alphabet. Ends with NULL. */
extern const char *const tp_codec_choices[];

/* Whether only lossy packs have chunks of this wire id. */
static inline bool tp_codec_is_lossy(unsigned id)
{
    const struct tp_codec *codec = tp_codec_get(id);

    return codec && codec->lossy;
}

/* codec->worth, and true for a codec that has none. */
static inline bool tp_codec_worth(const struct tp_codec *codec, enum tp_dtype dtype,
                                  const void *src, const void *base, size_t len)
{
    return !codec->worth || codec->worth(dtype, src, base, len);
}

#endif
