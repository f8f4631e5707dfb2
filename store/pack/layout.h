/* SPDX-License-Identifier: MIT */
/* The layout of a pack (doc/FORMAT.md): the header, the footer and the records of the index. */
#ifndef TP_STORE_LAYOUT_H
#define TP_STORE_LAYOUT_H

#include "store/pack/index.h"

#define TP_PACK_MAGIC "\x89TNPK\r\n\x1a"
#define TP_PACK_MAGIC_LEN 8
#define TP_PACK_FEATURE_LOSSY 1u                     /* it has quantized matrices */
#define TP_PACK_FEATURES_KNOWN TP_PACK_FEATURE_LOSSY /* those that this reader knows */

#define TP_INDEX_MAGIC 0x58495054u /* "TPIX" */
#define TP_CONTENT_MAGIC                                                                           \
    0x44435054u /* "TPCD", at the start of the bytes that a content id hashes */
#define TP_INDEX_HEADER_LEN 160u
#define TP_FILE_RECORD_LEN 80u
#define TP_SEGMENT_RECORD_LEN 40u
#define TP_CHUNK_RECORD_LEN 28u
#define TP_TABLES_RECORD_LEN 16u
#define TP_DIM_RECORD_LEN 8u
#define TP_ATTR_RECORD_LEN 16u
#define TP_INDEX_HEADER_LEN_V1 112u
#define TP_FILE_RECORD_LEN_V1 72u
#define TP_SEGMENT_RECORD_LEN_V1 36u

#define TP_INDEX_FLAG_BASE 1u
#define TP_INDEX_FLAG_LOSSY 2u
#define TP_CHUNK_FLAG_REF_BASE 1u
#define TP_FILE_FLAG_SPARSE 1u

#define TP_TABLES_MAX (1u << 20)       /* stored bytes of one table */
#define TP_TABLES_LOSSY_MAX (4u << 20) /* of a codec of lossy packs */
#define TP_INDEX_RATIO_MAX 1024u       /* maximal ratio of a compressed index */
/* Limits of an index: this size is always allowed, beyond it a multiple of the size of the pack. */
#define TP_INDEX_ANY_PACK (16u << 20)
#define TP_INDEX_OF_PACK_MAX 16u
#define TP_PATH_BYTES_MAX 4095u
#define TP_NAME_BYTES_MAX 255u
/*
 * Limits of all strings that records refer to: this size is always allowed, beyond it a multiple of
 * the size of the index. Records may share strings.
 */
#define TP_STRINGS_ANY_INDEX (1u << 20)
#define TP_STRINGS_OF_INDEX 8u
#define TP_ATTR_NAME_MAX 255u
#define TP_ATTR_VALUE_MAX 65536u
#define TP_ATTR_VALUES_MAX (16u << 20) /* of all attributes together */
#define TP_CONTENT_PREFIX_LEN 8u       /* bytes of the content id in the footer */

enum tp_index_coding { TP_INDEX_RAW = 0, TP_INDEX_ZSTD = 1 };

/* The last TP_PACK_FOOTER_LEN bytes of a pack. */
struct tp_footer {
    uint16_t version;
    uint16_t coding;   /* enum tp_index_coding */
    uint32_t features; /* TP_PACK_FEATURE_ */
    uint64_t index_off;
    uint64_t index_stored;
    uint64_t index_len;
    uint8_t id[TP_SHA256_LEN];
    uint8_t base_id[TP_SHA256_LEN]; /* zero: none */
    uint64_t index_hash;            /* XXH3-64 of the stored index */
    uint8_t
        content[TP_CONTENT_PREFIX_LEN]; /* the first bytes of the content id; zero in version 1 */
};

/* --- footer.c --- */

void tp_header_encode(unsigned version, uint8_t out[TP_PACK_HEADER_LEN]);
/*
 * Check that these bytes are the header of a pack of VERSION, the version in its footer. -EBADMSG.
 */
int tp_header_check(const uint8_t in[TP_PACK_HEADER_LEN], unsigned version, const char *path,
                    struct tp_error *err);

void tp_footer_encode(const struct tp_footer *footer, uint8_t out[TP_PACK_FOOTER_LEN]);
/* Decode and check the footer. FILE_SIZE is the length of the whole pack. */
int tp_footer_decode(const uint8_t in[TP_PACK_FOOTER_LEN], uint64_t file_size, const char *path,
                     struct tp_footer *out, struct tp_error *err);

/* --- attrs.c --- */

/*
 * Decode the attribute records of INDEX, whose strings and values are set, check them, and assign
 * them to its files. STRINGS_LEFT: bytes of strings that records may still refer to.
 */
int tp_attrs_decode(const uint8_t *records, struct tp_index *index, uint64_t *strings_left,
                    struct tp_error *err);
/* Encode one record. NAME and VALUE are the offsets of its name and value. */
void tp_attr_encode(const struct tp_attr *attr, uint32_t name, uint32_t value, uint8_t *out);

/* --- footer.c --- */

/* Whether a pack of PACK_BYTES may have an index of LEN bytes that is stored in STORED bytes. */
bool tp_index_may_be(uint64_t len, uint64_t stored, uint64_t pack_bytes);

#endif
