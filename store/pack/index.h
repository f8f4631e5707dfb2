/* SPDX-License-Identifier: MIT */
/*
 * The index of a pack in memory: its files, the segments of each file, and the coding of each
 * chunk. index_encode.c and index_decode.c convert it to and from bytes (doc/FORMAT.md).
 *
 * A file is a sequence of segments. A segment is a run of bytes of one dtype: a tensor, a part of a
 * tensor, a header, or a whole file of another format. It is divided into chunks of chunk_size
 * bytes from its start; the last chunk may be shorter. The data area of the pack holds, for each
 * segment, the tables of the segment and then the coded bytes of its chunks, without gaps: offsets
 * follow from the lengths.
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

#define TP_PACK_VERSION 2 /* the version that is written; version 1 is read, too */
#define TP_PACK_HEADER_LEN 16
#define TP_PACK_FOOTER_LEN 128
#define TP_NONE UINT32_MAX
#define TP_BASE_DEPTH_MAX 8
#define TP_INDEX_MAX (1u << 30) /* maximum of decoded bytes of an index */

struct tp_pack_file {
    const char *path;   /* in index->strings; checked: relative, no "." or "..", no empty part */
    const char *target; /* of a symbolic link, otherwise NULL */
    enum tp_entry_type type;
    uint32_t mode;
    int64_t mtime_sec;
    uint32_t mtime_nsec;
    uint64_t size;
    uint8_t sha256[TP_SHA256_LEN]; /* of a file's content; zero for other types */
    uint32_t segment_first;
    uint32_t segment_n;
    uint32_t link; /* the lower number of the file that this is another name of, or TP_NONE */
    bool sparse;   /* the file had holes: unpacking leaves runs of zeros unwritten */
    uint32_t attr_first, attr_n; /* in index->attrs */
    bool chained;                /* a file of this pack predicts a segment of it (derived) */
    bool predicts;               /* it predicts a segment of a file of this pack (derived) */
};

/* An extended attribute. */
struct tp_attr {
    uint32_t file;        /* TP_NONE: the model directory itself */
    const char *name;     /* "user.*", or a POSIX access list */
    const uint8_t *value; /* in index->values */
    uint32_t len;
};

enum tp_whence { TP_FROM_NONE = 0, TP_FROM_BASE = 1, TP_FROM_PACK = 2 };

/* Bytes of a file that predict a segment: as many elements as the segment has, from byte OFF on. */
struct tp_predictor {
    uint8_t whence; /* enum tp_whence */
    enum tp_dtype dtype;
    uint32_t file; /* of the base's index; with TP_FROM_PACK a lower number in this index */
    uint64_t off;
    uint32_t segment; /* segment with OFF (derived; with TP_FROM_BASE when the pack is open with its
                         base) */
};

struct tp_segment {
    const char *name; /* of the tensor; "" for other bytes */
    uint32_t file;
    enum tp_dtype dtype; /* TP_DTYPE_BYTES: not a tensor */
    unsigned rank;       /* shape of the whole tensor, also if the segment is a part of it */
    const uint64_t *shape;
    uint64_t file_off;   /* offset in the file (derived) */
    uint64_t len;        /* bytes */
    uint64_t elem_first; /* number of the first element within the tensor */
    struct tp_predictor from;
    uint32_t chunk_first, chunk_n;
    uint32_t tables_first, tables_n;
};

struct tp_chunk {
    uint8_t codec; /* enum tp_codec_id */
    bool ref_base; /* SAME: refers to bytes of the base, otherwise to a chunk of this pack */
    uint32_t ref;  /* SAME: a lower chunk, which is not SAME; with REF_BASE a file of the base */
    uint32_t stored_len; /* coded bytes; 0 for SAME */
    uint32_t alias; /* SAME with REF_BASE: the chunk of the base that equals this one (derived, when
                       the pack is open with its base); TP_NONE: the bytes are in several chunks */
    union {
        uint64_t stored_hash; /* XXH3-64 of the coded bytes; 0 for SAME without REF_BASE */
        uint64_t ref_off;     /* SAME with REF_BASE: offset in that file */
    };
    uint64_t content_hash; /* XXH3-64 of the decoded bytes */
    uint64_t stored_off;   /* offset in the pack (derived) */
    uint32_t segment;      /* (derived) */
};

struct tp_tables_ref {
    uint8_t codec;
    uint32_t stored_len;
    uint64_t stored_hash;
    uint64_t stored_off; /* (derived) */
};

struct tp_index {
    unsigned version;    /* of the format that the index was read from */
    uint32_t chunk_size; /* a power of two from 4096 to TP_CHUNK_MAX */
    bool has_base;
    bool lossy; /* it may have chunks of the codec "quant" */
    uint8_t base_id[TP_SHA256_LEN];
    uint8_t base_content_id[TP_SHA256_LEN]; /* zero: not known (version 1) */
    const char *base_name; /* the name of the base when this was packed: for messages only */
    const char *writer;    /* program and version that wrote the pack */
    uint32_t root_mode;    /* of the model directory itself */
    int64_t root_mtime_sec;
    uint32_t root_mtime_nsec;
    uint64_t logical_bytes; /* sum of the sizes of all files */
    bool siblings;          /* a file of this pack predicts another (derived) */
    uint32_t file_n, segment_n, chunk_n, tables_n;
    uint32_t attr_n;                       /* of all files */
    uint32_t root_attr_first, root_attr_n; /* of the model directory itself */
    struct tp_pack_file *files;            /* parents before children, siblings in byte order */
    struct tp_segment *segments;
    struct tp_chunk *chunks;
    struct tp_tables_ref *tables;
    struct tp_attr
        *attrs;      /* ordered by file, then by name; those of the model directory come last */
    uint8_t *values; /* attributes' values point here */
    uint32_t values_len;
    uint64_t *dims; /* shapes point here */
    uint32_t dim_n;
    char *strings; /* names point here */
    size_t strings_len;
};

/* --- index_encode.c --- */

/*
 * Encode in format 2 and append to OUT. The id of a pack is the SHA-256 of these bytes. An index
 * that was read in format 1 must have been resolved against its base.
 */
int tp_index_encode(const struct tp_index *index, struct tp_buffer *out, struct tp_error *err);

/* --- index_decode.c --- */

/*
 * Decode an index of format VERSION, and check everything that does not need the base. DATA_LEN is
 * the length of the data area; the lengths in the index must add up to it. -EBADMSG: ERR names the
 * record and the fault.
 */
int tp_index_decode(unsigned version, const void *data, size_t len, uint64_t data_len,
                    struct tp_index *out, struct tp_error *err);

/* --- index.c --- */

void tp_index_clear(struct tp_index *index);

/* The bytes of memory that an index takes. */
uint64_t tp_index_memory(const struct tp_index *index);
/* The decoded length of a chunk. */
uint32_t tp_index_chunk_len(const struct tp_index *index, uint32_t chunk);
/* The file with this path, or NULL; O(log n). */
const struct tp_pack_file *tp_index_find(const struct tp_index *index, const char *path);
/*
 * Give each hard link the segments and attributes of its file, for reading. Such an index cannot be
 * encoded.
 */
void tp_index_fill_links(struct tp_index *index);
/* The file with the content of FILE: the target of a hard link, otherwise FILE itself. */
const struct tp_pack_file *tp_index_file_of(const struct tp_index *index,
                                            const struct tp_pack_file *file);

/* --- attrs.c --- */

/*
 * Whether an index may have an attribute of this NAME for an entry of this type. The model
 * directory is a TP_ENTRY_DIR.
 */
bool tp_attr_may_be(const char *name, enum tp_entry_type type);

/* --- index.c --- */

/* The number of bytes that predict the segment. */
uint64_t tp_segment_predictor_len(const struct tp_segment *segment);
/* The file that contains CHUNK, and its offset there. */
void tp_index_place(const struct tp_index *index, uint32_t chunk, uint32_t *file, uint64_t *off);
/*
 * The segment that contains the byte at OFF of FILE; O(log n). OFF must be less than the file's
 * size.
 */
uint32_t tp_index_segment_at(const struct tp_index *index, const struct tp_pack_file *file,
                             uint64_t off);

/*
 * The content id: the SHA-256 of the paths, types, targets of links and hashes of all files,
 * without times, modes and coding. Packs with one content id can replace each other as a base.
 * -ENOMEM.
 */
int tp_index_content_id(const struct tp_index *index, uint8_t out[TP_SHA256_LEN],
                        struct tp_error *err);

#endif
