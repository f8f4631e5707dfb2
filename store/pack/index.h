/* SPDX-License-Identifier: MIT */
/*
 * The index of a pack in memory: which files it holds, which segments make up a file, how each
 * chunk is coded. index.c turns it into bytes and, checking everything, back (doc/FORMAT.md has the
 * bytes).
 *
 * A file is a row of segments, a segment a run of bytes of one dtype (a tensor, a part of one, a
 * header, or a whole opaque file), cut from its own start into chunks of chunk_size decoded bytes;
 * the last may be shorter. The data area of the pack holds, segment by segment, first the segment's
 * tables, then its chunks' coded bytes, with nothing between: offsets follow from lengths.
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

#define TP_PACK_VERSION 2 /* that is written; 1 is read, too */
#define TP_PACK_HEADER_LEN 16
#define TP_PACK_FOOTER_LEN 128
#define TP_NONE UINT32_MAX
#define TP_BASE_DEPTH_MAX 8
#define TP_INDEX_MAX (1u << 30) /* decoded bytes of an index; more is refused */

struct tp_pack_file {
    const char *path;   /* into index->strings; checked: relative, no "." or "..", no empty part */
    const char *target; /* of a symbolic link, else NULL */
    enum tp_entry_type type;
    uint32_t mode;
    int64_t mtime_sec;
    uint32_t mtime_nsec;
    uint64_t size;
    uint8_t sha256[TP_SHA256_LEN]; /* of a file's content; zero for others */
    uint32_t segment_first;
    uint32_t segment_n;
    uint32_t link; /* the lower file number whose file this is another name of, or TP_NONE */
    bool sparse;   /* the file had holes: restoring leaves runs of zeros unwritten */
    uint32_t attr_first, attr_n; /* into index->attrs */
    bool chained;                /* a segment of it is predicted from this pack (derived) */
    bool predicts;               /* it predicts a segment of this pack (derived) */
};

/* An extended attribute. */
struct tp_attr {
    uint32_t file;        /* TP_NONE: of the model directory itself */
    const char *name;     /* "user." and more, or a POSIX access list */
    const uint8_t *value; /* into index->values */
    uint32_t len;
};

enum tp_whence { TP_FROM_NONE = 0, TP_FROM_BASE = 1, TP_FROM_PACK = 2 };

/* The bytes of a file that predict a segment: as many elements as it has, from byte OFF on. */
struct tp_predictor {
    uint8_t whence; /* enum tp_whence */
    enum tp_dtype dtype;
    uint32_t file; /* of the base's index or, FROM_PACK, a lower one of this index */
    uint64_t off;
    uint32_t
        segment; /* that holds OFF (derived; FROM_BASE once the pack is open against its base) */
};

struct tp_segment {
    const char *name; /* the tensor's, "" for opaque bytes */
    uint32_t file;
    enum tp_dtype dtype; /* BYTES: opaque */
    unsigned rank;       /* the whole tensor's shape, also where the segment is a part of it */
    const uint64_t *shape;
    uint64_t file_off;   /* first byte within the file (derived) */
    uint64_t len;        /* bytes */
    uint64_t elem_first; /* first element within the tensor */
    struct tp_predictor from;
    uint32_t chunk_first, chunk_n;
    uint32_t tables_first, tables_n;
};

struct tp_chunk {
    uint8_t codec; /* enum tp_codec_id */
    bool ref_base; /* SAME: as bytes of the base, else as a chunk of this pack */
    uint32_t ref;  /* SAME: a lower chunk, itself never SAME; with REF_BASE a file of the base */
    uint32_t stored_len; /* coded bytes; 0 for SAME */
    uint32_t alias; /* SAME with REF_BASE: the base's chunk that this one is (derived, once the pack
                       is open against its base); TP_NONE: it lies across several */
    union {
        uint64_t stored_hash; /* XXH3-64 of the coded bytes; 0 for SAME without REF_BASE */
        uint64_t ref_off;     /* SAME with REF_BASE: its first byte in that file */
    };
    uint64_t content_hash; /* XXH3-64 of the decoded bytes */
    uint64_t stored_off;   /* from the start of the pack (derived) */
    uint32_t segment;      /* (derived) */
};

struct tp_tables_ref {
    uint8_t codec;
    uint32_t stored_len;
    uint64_t stored_hash;
    uint64_t stored_off; /* (derived) */
};

struct tp_index {
    unsigned version;    /* of the format that it was read in */
    uint32_t chunk_size; /* a power of two, 4096 .. TP_CHUNK_MAX */
    bool has_base;
    uint8_t base_id[TP_SHA256_LEN];
    uint8_t base_content_id[TP_SHA256_LEN]; /* zero: not known, version 1 */
    const char *base_name; /* what the base was called when this was packed: for messages only */
    const char *writer;    /* program and version that wrote it */
    uint32_t root_mode;    /* of the model directory itself */
    int64_t root_mtime_sec;
    uint32_t root_mtime_nsec;
    uint64_t logical_bytes; /* sum of the files' sizes */
    bool siblings;          /* some segment is predicted from this pack itself (derived) */
    uint32_t file_n, segment_n, chunk_n, tables_n;
    uint32_t attr_n;                       /* all of them */
    uint32_t root_attr_first, root_attr_n; /* those of the model directory itself */
    struct tp_pack_file *files;            /* parents before children, siblings in byte order */
    struct tp_segment *segments;
    struct tp_chunk *chunks;
    struct tp_tables_ref *tables;
    struct tp_attr *attrs; /* by file, the model directory's last, then by name */
    uint8_t *values;       /* attributes' values point here */
    uint32_t values_len;
    uint64_t *dims; /* shapes point here */
    uint32_t dim_n;
    char *strings; /* names point here */
    size_t strings_len;
};

/* --- index_encode.c --- */

/* Serialise in format 2; the id of the pack is the SHA-256 of these bytes. An index that was read
 * in format 1 must have been opened against its base. */
int tp_index_encode(const struct tp_index *index, struct tp_buffer *out, struct tp_error *err);

/* --- index_decode.c --- */

/* Parse, in format VERSION, and check everything that does not need the base: DATA_LEN is the
 * length of the data area that the lengths must fill exactly. -EBADMSG says which record and what
 * is wrong with it. */
int tp_index_decode(unsigned version, const void *data, size_t len, uint64_t data_len,
                    struct tp_index *out, struct tp_error *err);

/* --- index.c --- */

void tp_index_clear(struct tp_index *index);

/* Bytes of memory that an index takes. */
uint64_t tp_index_memory(const struct tp_index *index);
/* Decoded length of a chunk. */
uint32_t tp_index_chunk_len(const struct tp_index *index, uint32_t chunk);
/* The file with this path, or NULL; O(log n). */
const struct tp_pack_file *tp_index_find(const struct tp_index *index, const char *path);
/* In an open pack, what is another name of a file has all that the file has, its segments, too, but
 * the path. Such an index is not encoded. */
void tp_index_fill_links(struct tp_index *index);
/* The file whose content FILE has: what a hard link leads to, else FILE itself. */
const struct tp_pack_file *tp_index_file_of(const struct tp_index *index,
                                            const struct tp_pack_file *file);

/* --- attrs.c --- */

/*
 * Whether an index may hold an attribute of this name of what is of this type (the model directory
 * is a DIR).
 */
bool tp_attr_may_be(const char *name, enum tp_entry_type type);

/* --- index.c --- */

/* Bytes that predict the segment. */
uint64_t tp_segment_predictor_len(const struct tp_segment *segment);
/* Where CHUNK's bytes lie in a file. */
void tp_index_place(const struct tp_index *index, uint32_t chunk, uint32_t *file, uint64_t *off);
/* The segment that holds the byte at OFF, which lies within FILE; O(log n). */
uint32_t tp_index_segment_at(const struct tp_index *index, const struct tp_pack_file *file,
                             uint64_t off);

/* The SHA-256 of what the pack holds: its paths, kinds, links' targets and files' hashes, neither
 * times nor modes nor how it is coded. Packs with the same one predict each other's dependents.
 * -ENOMEM. */
int tp_index_content_id(const struct tp_index *index, uint8_t out[TP_SHA256_LEN],
                        struct tp_error *err);

#endif
