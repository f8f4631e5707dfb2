/* SPDX-License-Identifier: MIT */
/*
 * The index of a pack in memory: which files it holds, which segments make up a file, how each chunk is
 * coded. index.c turns it into bytes and, checking everything, back (doc/FORMAT.md has the bytes).
 *
 * A file is a row of segments, a segment a run of bytes of one dtype (a tensor, a part of one, a header, or a
 * whole opaque file), cut from its own start into chunks of chunk_size decoded bytes; the last may be shorter.
 * The data area of the pack holds, segment by segment, first the segment's tables, then its chunks' coded
 * bytes, with nothing between: offsets follow from lengths.
 */
#ifndef TP_STORE_INDEX_H
#define TP_STORE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"
#include "codec/codec.h"
#include "tensor/dtype.h"
#include "tensor/modeldir.h"

#define TP_PACK_VERSION 1
#define TP_PACK_HEADER_LEN 16
#define TP_PACK_FOOTER_LEN 128
#define TP_NONE UINT32_MAX
#define TP_BASE_DEPTH_MAX 8
#define TP_INDEX_MAX (1u << 30) /* decoded bytes of an index; more is refused */

struct tp_pack_file {
    const char *path;          /* into index->strings; checked: relative, no "." or "..", no empty part */
    const char *target;        /* of a symbolic link, else NULL */
    enum tp_entry_type type;
    uint32_t mode;
    int64_t mtime_sec;
    uint32_t mtime_nsec;
    uint64_t size;
    uint8_t sha256[TP_SHA256_LEN]; /* of a file's content; zero for others */
    uint32_t segment_first;
    uint32_t segment_n;
};

struct tp_segment {
    const char *name;          /* the tensor's, "" for opaque bytes */
    uint32_t file;
    enum tp_dtype dtype;       /* BYTES: opaque */
    unsigned rank;             /* the whole tensor's shape, also where the segment is a part of it */
    const uint64_t *shape;
    uint64_t file_off;         /* first byte within the file (derived) */
    uint64_t len;              /* bytes */
    uint64_t elem_first;       /* first element within the tensor */
    uint32_t base_segment;     /* in the base pack's index, or TP_NONE */
    uint64_t base_elem;        /* element of the base segment that predicts this one's first */
    uint32_t chunk_first, chunk_n;
    uint32_t tables_first, tables_n;
};

struct tp_chunk {
    uint8_t codec;             /* enum tp_codec_id */
    bool ref_base;             /* SAME: REF is a chunk of the base pack, else of this one (a lower number) */
    uint32_t ref;              /* SAME: the chunk referred to, itself never SAME within this pack */
    uint32_t stored_len;       /* coded bytes; 0 for SAME */
    uint64_t stored_hash;      /* XXH3-64 of the coded bytes; 0 for SAME */
    uint64_t content_hash;     /* XXH3-64 of the decoded bytes */
    uint64_t stored_off;       /* from the start of the pack (derived) */
    uint32_t segment;          /* (derived) */
};

struct tp_tables_ref {
    uint8_t codec;
    uint32_t stored_len;
    uint64_t stored_hash;
    uint64_t stored_off;       /* (derived) */
};

struct tp_index {
    uint32_t chunk_size;       /* a power of two, 4096 .. TP_CHUNK_MAX */
    bool has_base;
    uint8_t base_id[TP_SHA256_LEN];
    const char *base_name;     /* what the base was called when this was packed: for messages only */
    const char *writer;        /* program and version that wrote it */
    uint32_t root_mode;        /* of the model directory itself */
    int64_t root_mtime_sec;
    uint32_t root_mtime_nsec;
    uint64_t logical_bytes;    /* sum of the files' sizes */
    uint32_t file_n, segment_n, chunk_n, tables_n;
    struct tp_pack_file *files;  /* parents before children, siblings in byte order */
    struct tp_segment *segments;
    struct tp_chunk *chunks;
    struct tp_tables_ref *tables;
    uint64_t *dims;            /* shapes point here */
    uint32_t dim_n;
    char *strings;             /* names point here */
    size_t strings_len;
};

/* Serialise; the id of the pack is the SHA-256 of these bytes. */
int tp_index_encode(const struct tp_index *index, struct tp_buffer *out, struct tp_error *err);

/* Parse and check everything that does not need the base: DATA_LEN is the length of the data area that the
 * lengths must fill exactly. -EBADMSG says which record and what is wrong with it. */
int tp_index_decode(const void *data, size_t len, uint64_t data_len, struct tp_index *out,
                    struct tp_error *err);
void tp_index_clear(struct tp_index *index);

/* Decoded length of a chunk. */
uint32_t tp_index_chunk_len(const struct tp_index *index, uint32_t chunk);
/* The file with this path, or NULL; O(log n). */
const struct tp_pack_file *tp_index_find(const struct tp_index *index, const char *path);

#endif
