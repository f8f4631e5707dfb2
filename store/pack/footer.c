/* SPDX-License-Identifier: MIT */
/* The header and footer of a pack, which identify it and locate its index. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/le.h"
#include "store/pack/layout.h"

enum {
    FOOTER_VERSION = 8,
    FOOTER_CODING = 10,
    FOOTER_FEATURES = 12,
    FOOTER_INDEX_OFF = 16,
    FOOTER_INDEX_STORED = 24,
    FOOTER_INDEX_LEN = 32,
    FOOTER_ID = 40,
    FOOTER_BASE_ID = 72,
    FOOTER_INDEX_HASH = 104,
    FOOTER_CONTENT = 112,
    FOOTER_HASH = 120
};

void tp_header_encode(unsigned version, uint8_t out[TP_PACK_HEADER_LEN])
{
    memset(out, 0, TP_PACK_HEADER_LEN);
    memcpy(out, TP_PACK_MAGIC, TP_PACK_MAGIC_LEN);
    tp_put_le16(out + 8, (uint16_t)version);
}

int tp_header_check(const uint8_t in[TP_PACK_HEADER_LEN], unsigned version, const char *path,
                    struct tp_error *err)
{
    uint8_t want[TP_PACK_HEADER_LEN];

    if (memcmp(in, TP_PACK_MAGIC, TP_PACK_MAGIC_LEN) != 0)
        return tp_fail(err, EBADMSG, "'%s' does not begin as a pack does (offset 0)", path);
    tp_header_encode(version, want);
    for (unsigned i = TP_PACK_MAGIC_LEN; i < TP_PACK_HEADER_LEN; i++)
        if (in[i] != want[i])
            return tp_fail(err, EBADMSG, "'%s' is damaged: byte %u of its header is %u, not %u",
                           path, i, in[i], want[i]);
    return 0;
}

void tp_footer_encode(const struct tp_footer *footer, uint8_t out[TP_PACK_FOOTER_LEN])
{
    memset(out, 0, TP_PACK_FOOTER_LEN);
    memcpy(out, TP_PACK_MAGIC, TP_PACK_MAGIC_LEN);
    tp_put_le16(out + FOOTER_VERSION, footer->version);
    tp_put_le16(out + FOOTER_CODING, footer->coding);
    tp_put_le32(out + FOOTER_FEATURES, footer->features);
    tp_put_le64(out + FOOTER_INDEX_OFF, footer->index_off);
    tp_put_le64(out + FOOTER_INDEX_STORED, footer->index_stored);
    tp_put_le64(out + FOOTER_INDEX_LEN, footer->index_len);
    memcpy(out + FOOTER_ID, footer->id, TP_SHA256_LEN);
    memcpy(out + FOOTER_BASE_ID, footer->base_id, TP_SHA256_LEN);
    tp_put_le64(out + FOOTER_INDEX_HASH, footer->index_hash);
    memcpy(out + FOOTER_CONTENT, footer->content, TP_CONTENT_PREFIX_LEN);
    tp_put_le64(out + FOOTER_HASH, tp_xxh3(out, FOOTER_HASH));
}

/* Check what is the same in all versions: magic, version, features, and the hash over these. */
static int check_identity(const uint8_t *in, const char *path, struct tp_error *err)
{
    unsigned version = tp_get_le16(in + FOOTER_VERSION);
    uint32_t unknown = tp_get_le32(in + FOOTER_FEATURES) & ~TP_PACK_FEATURES_KNOWN;

    if (memcmp(in, TP_PACK_MAGIC, TP_PACK_MAGIC_LEN) != 0)
        return tp_fail(err, EBADMSG, "'%s' is not a pack, or is cut short: it has no footer", path);
    if (tp_get_le64(in + FOOTER_HASH) != tp_xxh3(in, FOOTER_HASH))
        return tp_fail(err, EBADMSG, "'%s' is damaged: its footer does not match its checksum",
                       path);
    if (version > TP_PACK_VERSION)
        return tp_fail(err, EPROTONOSUPPORT,
                       "'%s' is of pack format %u, and this program reads up to %u", path, version,
                       TP_PACK_VERSION);
    if (version == 0)
        return tp_fail(err, EBADMSG, "'%s' claims pack format 0", path);
    if (unknown)
        return tp_fail(err, EPROTONOSUPPORT,
                       "'%s' uses features 0x%" PRIx32 " that this program does not know", path,
                       unknown);
    return 0;
}

bool tp_index_may_be(uint64_t len, uint64_t stored, uint64_t pack_bytes)
{
    return len <= TP_INDEX_MAX && len / TP_INDEX_RATIO_MAX <= stored &&
           (len <= TP_INDEX_ANY_PACK ||
            (len - TP_INDEX_ANY_PACK) / TP_INDEX_OF_PACK_MAX <= pack_bytes);
}

int tp_footer_decode(const uint8_t in[TP_PACK_FOOTER_LEN], uint64_t file_size, const char *path,
                     struct tp_footer *out, struct tp_error *err)
{
    uint64_t end;
    int rc = check_identity(in, path, err);

    if (rc < 0)
        return rc;
    out->version = tp_get_le16(in + FOOTER_VERSION);
    out->coding = tp_get_le16(in + FOOTER_CODING);
    out->features = tp_get_le32(in + FOOTER_FEATURES);
    out->index_off = tp_get_le64(in + FOOTER_INDEX_OFF);
    out->index_stored = tp_get_le64(in + FOOTER_INDEX_STORED);
    out->index_len = tp_get_le64(in + FOOTER_INDEX_LEN);
    memcpy(out->id, in + FOOTER_ID, TP_SHA256_LEN);
    memcpy(out->base_id, in + FOOTER_BASE_ID, TP_SHA256_LEN);
    out->index_hash = tp_get_le64(in + FOOTER_INDEX_HASH);
    memcpy(out->content, in + FOOTER_CONTENT, TP_CONTENT_PREFIX_LEN);

    if (out->version < 2 && (out->features || tp_get_le64(in + FOOTER_CONTENT) != 0))
        return tp_fail(err, EBADMSG, "'%s': reserved bytes of its footer are not zero", path);
    if (out->index_off < TP_PACK_HEADER_LEN ||
        !tp_add_u64(out->index_off, out->index_stored, &end) ||
        !tp_add_u64(end, TP_PACK_FOOTER_LEN, &end) || end != file_size)
        return tp_fail(err, EBADMSG,
                       "'%s' has %" PRIu64 " bytes, and its index of %" PRIu64 " bytes at %" PRIu64
                       " does not end where its footer begins",
                       path, file_size, out->index_stored, out->index_off);
    if (out->coding > TP_INDEX_ZSTD)
        return tp_fail(err, EBADMSG, "'%s': its index is stored in an unknown way (%u)", path,
                       out->coding);
    if ((out->coding == TP_INDEX_RAW && out->index_len != out->index_stored) ||
        !tp_index_may_be(out->index_len, out->index_stored, file_size))
        return tp_fail(err, EBADMSG,
                       "'%s': an index of %" PRIu64 " bytes stored in %" PRIu64
                       " is more than a pack of %" PRIu64 " bytes can have",
                       path, out->index_len, out->index_stored, file_size);
    return 0;
}
