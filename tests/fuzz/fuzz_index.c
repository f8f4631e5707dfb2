/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an index: refused, or decoded to an index whose numbers are consistent and that can
 * be encoded and decoded again.
 */
#include <config.h>

#include <string.h>

#include "base/le.h"
#include "store/pack/layout.h"
#include "tests/fuzz/fuzz.h"

static void check_chunks(const struct tp_index *x, uint64_t data_len)
{
    uint64_t end = TP_PACK_HEADER_LEN;

    for (uint32_t i = 0; i < x->chunk_n; i++) {
        const struct tp_chunk *c = &x->chunks[i];

        FUZZ_CHECK(c->segment < x->segment_n && c->codec < TP_CODEC_COUNT);
        FUZZ_CHECK(c->stored_off >= end && c->stored_len <= TP_CHUNK_MAX);
        FUZZ_CHECK(tp_index_chunk_len(x, i) > 0 && tp_index_chunk_len(x, i) <= x->chunk_size);
        FUZZ_CHECK(c->codec != TP_CODEC_SAME || c->ref_base || c->ref < i);
        end = c->stored_off + c->stored_len;
    }
    FUZZ_CHECK(end <= TP_PACK_HEADER_LEN + data_len);
}

static void check_files(const struct tp_index *x)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < x->file_n; i++) {
        const struct tp_pack_file *f = &x->files[i];

        FUZZ_CHECK(f->path[0] != '/' && !strstr(f->path, "//") && strncmp(f->path, "../", 3) != 0);
        FUZZ_CHECK(tp_index_find(x, f->path) == f);
        FUZZ_CHECK(f->segment_first + f->segment_n <= x->segment_n);
        FUZZ_CHECK(f->link == TP_NONE || (f->link < i && x->files[f->link].link == TP_NONE &&
                                          x->files[f->link].type == TP_ENTRY_FILE));
        bytes += f->size;
    }
    FUZZ_CHECK(bytes == x->logical_bytes);
}

static void check_segments(const struct tp_index *x)
{
    for (uint32_t i = 0; i < x->segment_n; i++) {
        const struct tp_segment *s = &x->segments[i];
        const struct tp_pack_file *from;

        FUZZ_CHECK(s->from.whence != TP_FROM_BASE || x->has_base);
        if (s->from.whence != TP_FROM_PACK || s->len == 0)
            continue;
        FUZZ_CHECK(s->from.file < s->file && s->from.segment < i);
        from = &x->files[s->from.file];
        FUZZ_CHECK(from->predicts && !from->chained && x->files[s->file].chained && x->siblings);
        FUZZ_CHECK(s->from.off + tp_segment_predictor_len(s) <= from->size);
    }
}

static void check_attrs(const struct tp_index *x)
{
    uint32_t n = x->root_attr_n;

    for (uint32_t i = 0; i < x->file_n; i++)
        n += x->files[i].attr_n;
    FUZZ_CHECK(n == x->attr_n);
    for (uint32_t i = 0; i < x->attr_n; i++) {
        const struct tp_attr *a = &x->attrs[i];

        FUZZ_CHECK(a->name[0] && a->value + a->len <= x->values + x->values_len);
        FUZZ_CHECK(a->file == TP_NONE || x->files[a->file].link == TP_NONE);
    }
}

/* The first eight bytes are the length of the data area; their last says the format, 0 for 1. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tp_buffer again = {0};
    uint8_t id[TP_SHA256_LEN], id_again[TP_SHA256_LEN];
    struct tp_index x, y;
    struct tp_error err = {0};
    uint64_t data_len;
    unsigned version;

    if (len >= TP_PACK_FOOTER_LEN) {
        struct tp_footer footer;

        if (tp_footer_decode(data + len - TP_PACK_FOOTER_LEN, len, "x", &footer, &err) == 0)
            FUZZ_CHECK(footer.index_off + footer.index_stored + TP_PACK_FOOTER_LEN == len);
    }
    if (len < 8)
        return 0;
    version = data[7] > 1 ? TP_PACK_VERSION : 1;
    data_len = tp_get_le64(data) & (UINT64_MAX >> 8);
    if (tp_index_decode(version, data + 8, len - 8, data_len, &x, &err) < 0) {
        FUZZ_CHECK(err.message[0] && !x.files);
        return 0;
    }
    check_files(&x);
    check_chunks(&x, data_len);
    check_segments(&x);
    check_attrs(&x);
    /* What stands on a base and is of format 1 cannot be said in format 2 without that base. */
    if (version > 1 || !x.has_base) {
        FUZZ_CHECK(tp_index_encode(&x, &again, &err) == 0);
        FUZZ_CHECK(tp_index_decode(TP_PACK_VERSION, again.data, again.len, data_len, &y, &err) ==
                   0);
        FUZZ_CHECK(y.chunk_n == x.chunk_n && y.logical_bytes == x.logical_bytes &&
                   y.attr_n == x.attr_n);
        FUZZ_CHECK(tp_index_content_id(&x, id, &err) == 0 &&
                   tp_index_content_id(&y, id_again, &err) == 0);
        FUZZ_CHECK(memcmp(id, id_again, sizeof id) == 0);
        tp_index_clear(&y);
    }
    tp_index_clear(&x);
    tp_buffer_clear(&again);
    return 0;
}
