/* SPDX-License-Identifier: MIT */
/* Encoding an index: doc/FORMAT.md, "The index". */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "store/pack/layout.h"

/* Append a string to the pool and return its offset. The empty string is always at 0. */
static int pool_add(struct tp_buffer *pool, const char *s, uint32_t *off)
{
    size_t len = s ? strlen(s) : 0;

    *off = 0;
    if (!len)
        return 0;
    if (pool->len + len + 1 > TP_INDEX_MAX)
        return -EFBIG;
    *off = (uint32_t)pool->len;
    return tp_buffer_append(pool, s, len + 1);
}

static int encode_header(const struct tp_index *index, struct tp_buffer *pool, uint8_t *out)
{
    uint32_t base_name = 0, writer = 0;
    int rc = pool_add(pool, index->base_name, &base_name);

    if (rc == 0)
        rc = pool_add(pool, index->writer, &writer);
    if (rc < 0)
        return rc;
    memset(out, 0, TP_INDEX_HEADER_LEN);
    tp_put_le32(out, TP_INDEX_MAGIC);
    tp_put_le32(out + 4, index->chunk_size);
    tp_put_le32(out + 8, index->file_n);
    tp_put_le32(out + 12, index->segment_n);
    tp_put_le32(out + 16, index->chunk_n);
    tp_put_le32(out + 20, index->tables_n);
    tp_put_le32(out + 24, index->dim_n);
    /* 28: length of the string pool, set at the end */
    tp_put_le64(out + 32, index->logical_bytes);
    tp_put_le64(out + 40, (uint64_t)index->root_mtime_sec);
    tp_put_le32(out + 48, index->root_mtime_nsec);
    tp_put_le32(out + 52, index->root_mode);
    tp_put_le32(out + 56, (index->has_base ? TP_INDEX_FLAG_BASE : 0) |
                              (index->lossy ? TP_INDEX_FLAG_LOSSY : 0));
    tp_put_le32(out + 60, base_name);
    tp_put_le32(out + 64, writer);
    tp_put_le32(out + 68, index->attr_n);
    tp_put_le32(out + 72, index->values_len);
    /* 76 .. 79: zero */
    if (index->has_base) {
        memcpy(out + 80, index->base_id, TP_SHA256_LEN);
        memcpy(out + 112, index->base_content_id, TP_SHA256_LEN);
    }
    /* 144 .. 159: zero */
    return 0;
}

static int encode_files(const struct tp_index *index, struct tp_buffer *pool, uint8_t *out)
{
    for (uint32_t i = 0; i < index->file_n; i++, out += TP_FILE_RECORD_LEN) {
        const struct tp_pack_file *f = &index->files[i];
        uint32_t path = 0, target = 0;
        int rc = pool_add(pool, f->path, &path);

        if (rc == 0)
            rc = pool_add(pool, f->target, &target);
        if (rc < 0)
            return rc;
        tp_put_le32(out, path);
        tp_put_le32(out + 4, target);
        tp_put_le32(out + 8, f->type);
        tp_put_le32(out + 12, f->mode);
        tp_put_le64(out + 16, (uint64_t)f->mtime_sec);
        tp_put_le32(out + 24, f->mtime_nsec);
        tp_put_le32(out + 28, f->segment_n);
        tp_put_le64(out + 32, f->size);
        memcpy(out + 40, f->sha256, TP_SHA256_LEN);
        tp_put_le32(out + 72, f->link);
        tp_put_le32(out + 76, f->sparse ? TP_FILE_FLAG_SPARSE : 0);
    }
    return 0;
}

static int encode_segments(const struct tp_index *index, struct tp_buffer *pool, uint8_t *out)
{
    for (uint32_t i = 0; i < index->segment_n; i++, out += TP_SEGMENT_RECORD_LEN) {
        const struct tp_segment *s = &index->segments[i];
        uint32_t name = 0;
        int rc = pool_add(pool, s->name, &name);

        if (rc < 0)
            return rc;
        tp_put_le32(out, name);
        out[4] = (uint8_t)s->dtype;
        out[5] = (uint8_t)s->rank;
        out[6] = (uint8_t)s->tables_n;
        out[7] = 0;
        tp_put_le64(out + 8, s->len);
        tp_put_le64(out + 16, s->elem_first);
        memset(out + 24, 0, 16);
        if (s->from.whence == TP_FROM_NONE)
            continue;
        tp_put_le64(out + 24, s->from.off);
        tp_put_le32(out + 32, s->from.file);
        out[36] = s->from.whence;
        out[37] = (uint8_t)s->from.dtype;
    }
    return 0;
}

static void encode_chunks(const struct tp_index *index, uint8_t *out)
{
    for (uint32_t i = 0; i < index->chunk_n; i++, out += TP_CHUNK_RECORD_LEN) {
        const struct tp_chunk *c = &index->chunks[i];

        tp_put_le64(out, c->content_hash);
        tp_put_le64(out + 8, c->stored_hash);
        tp_put_le32(out + 16, c->stored_len);
        tp_put_le32(out + 20, c->ref);
        out[24] = c->codec;
        out[25] = c->ref_base ? TP_CHUNK_FLAG_REF_BASE : 0;
        tp_put_le16(out + 26, 0);
    }
}

static void encode_tables(const struct tp_index *index, uint8_t *out)
{
    for (uint32_t i = 0; i < index->tables_n; i++, out += TP_TABLES_RECORD_LEN) {
        tp_put_le64(out, index->tables[i].stored_hash);
        tp_put_le32(out + 8, index->tables[i].stored_len);
        tp_put_le32(out + 12, index->tables[i].codec);
    }
}

static void encode_dims(const struct tp_index *index, uint8_t *out)
{
    for (uint32_t i = 0; i < index->segment_n; i++)
        for (unsigned d = 0; d < index->segments[i].rank; d++, out += TP_DIM_RECORD_LEN)
            tp_put_le64(out, index->segments[i].shape[d]);
}

/* An attribute with the name of the one before shares its string. */
static int encode_attrs(const struct tp_index *index, struct tp_buffer *pool, uint8_t *out,
                        uint8_t *values)
{
    uint32_t value = 0, name = 0;

    for (uint32_t i = 0; i < index->attr_n; i++, out += TP_ATTR_RECORD_LEN) {
        const struct tp_attr *a = &index->attrs[i];
        int rc = 0;

        if (i == 0 || strcmp(index->attrs[i - 1].name, a->name) != 0)
            rc = pool_add(pool, a->name, &name);
        if (rc < 0)
            return rc;
        tp_attr_encode(a, name, value, out);
        memcpy(values + value, a->value, a->len);
        value += a->len;
    }
    return 0;
}

int tp_index_encode(const struct tp_index *index, struct tp_buffer *out, struct tp_error *err)
{
    struct tp_buffer pool = {0};
    size_t files = TP_INDEX_HEADER_LEN;
    size_t segments = files + (size_t)index->file_n * TP_FILE_RECORD_LEN;
    size_t chunks = segments + (size_t)index->segment_n * TP_SEGMENT_RECORD_LEN;
    size_t tables = chunks + (size_t)index->chunk_n * TP_CHUNK_RECORD_LEN;
    size_t dims = tables + (size_t)index->tables_n * TP_TABLES_RECORD_LEN;
    size_t attrs = dims + (size_t)index->dim_n * TP_DIM_RECORD_LEN;
    size_t values = attrs + (size_t)index->attr_n * TP_ATTR_RECORD_LEN;
    size_t strings = values + index->values_len;
    uint8_t *base;
    int rc = strings > TP_INDEX_MAX ? -EFBIG : tp_buffer_reserve(out, strings);

    if (rc == 0)
        rc = tp_buffer_append_u8(&pool, 0);
    if (rc < 0)
        goto out;
    base = out->data + out->len;
    rc = encode_header(index, &pool, base);
    if (rc == 0)
        rc = encode_files(index, &pool, base + files);
    if (rc == 0)
        rc = encode_segments(index, &pool, base + segments);
    if (rc == 0)
        rc = encode_attrs(index, &pool, base + attrs, base + values);
    if (rc < 0)
        goto out;
    encode_chunks(index, base + chunks);
    encode_tables(index, base + tables);
    encode_dims(index, base + dims);
    if (strings + pool.len > TP_INDEX_MAX) {
        rc = -EFBIG;
        goto out;
    }
    tp_put_le32(base + 28, (uint32_t)pool.len);
    out->len += strings;
    rc = tp_buffer_append(out, pool.data, pool.len);
out:
    tp_buffer_clear(&pool);
    if (rc == -EFBIG)
        return tp_fail(err, EFBIG, "the index would be larger than %u MiB", TP_INDEX_MAX >> 20);
    return rc < 0 ? tp_fail(err, -rc, "out of memory for the index") : 0;
}
