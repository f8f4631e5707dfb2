/* SPDX-License-Identifier: MIT */
/* Writing the index and the footer of a pack. */
#include <config.h>

#include "store/write/end.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "store/pack/layout.h"

#define INDEX_SLOW_MAX (8u << 20) /* larger indexes are compressed with a faster level */

/* Write the index, compressed if that is smaller and within the ratio that readers accept. */
static int put_index(struct tp_sink *sink, const struct tp_buffer *index, struct tp_footer *footer,
                     struct tp_error *err)
{
    size_t cap = ZSTD_compressBound(index->len), n;
    tp_autofree uint8_t *packed = malloc(cap);

    if (!packed)
        return tp_oom(err);
    n = ZSTD_compress(packed, cap, index->data, index->len, index->len <= INDEX_SLOW_MAX ? 19 : 9);
    footer->coding = TP_INDEX_ZSTD;
    if (ZSTD_isError(n) || n >= index->len ||
        !tp_index_may_be(index->len, n, footer->index_off + n + TP_PACK_FOOTER_LEN)) {
        footer->coding = TP_INDEX_RAW;
        n = index->len;
    }
    footer->index_stored = n;
    footer->index_hash = tp_xxh3(footer->coding == TP_INDEX_RAW ? index->data : packed, n);
    return tp_sink_put(sink, footer->coding == TP_INDEX_RAW ? index->data : packed, n, err);
}

int tp_end_write(struct tp_sink *sink, uint64_t *off, const struct tp_index *x,
                 uint8_t id[TP_SHA256_LEN], struct tp_error *err)
{
    tp_auto(tp_buffer_clear) struct tp_buffer index = {0};
    struct tp_footer footer = {.version = TP_PACK_VERSION,
                               .features = x->lossy ? TP_PACK_FEATURE_LOSSY : 0,
                               .index_off = *off};
    uint8_t content[TP_SHA256_LEN];
    uint8_t raw[TP_PACK_FOOTER_LEN];
    int rc = tp_index_encode(x, &index, err);

    if (rc == 0)
        rc = tp_sha256(index.data, index.len, footer.id);
    if (rc == 0)
        rc = tp_index_content_id(x, content, err);
    if (rc == 0) {
        memcpy(footer.content, content, sizeof footer.content);
        footer.index_len = index.len;
        memcpy(footer.base_id, x->base_id, TP_SHA256_LEN);
        memcpy(id, footer.id, TP_SHA256_LEN);
        rc = put_index(sink, &index, &footer, err);
    }
    if (rc == 0) {
        tp_footer_encode(&footer, raw);
        rc = tp_sink_put(sink, raw, sizeof raw, err);
    }
    *off += footer.index_stored + sizeof raw;
    return rc == 0 ? tp_sink_finish(sink, err) : rc;
}
