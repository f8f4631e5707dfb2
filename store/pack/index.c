/* SPDX-License-Identifier: MIT */
/* Look-ups in an index, and its ids and sizes. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "store/pack/layout.h"

void tp_index_clear(struct tp_index *index)
{
    free(index->files);
    free(index->segments);
    free(index->chunks);
    free(index->tables);
    free(index->attrs);
    free(index->values);
    free(index->dims);
    free(index->strings);
    memset(index, 0, sizeof *index);
}

uint64_t tp_index_memory(const struct tp_index *index)
{
    return sizeof *index + (uint64_t)index->file_n * sizeof *index->files +
           (uint64_t)index->segment_n * sizeof *index->segments +
           (uint64_t)index->chunk_n * sizeof *index->chunks +
           (uint64_t)index->tables_n * sizeof *index->tables +
           (uint64_t)index->attr_n * sizeof *index->attrs +
           (uint64_t)index->dim_n * sizeof *index->dims + index->values_len + index->strings_len;
}

uint32_t tp_index_chunk_len(const struct tp_index *index, uint32_t chunk)
{
    const struct tp_segment *s = &index->segments[index->chunks[chunk].segment];
    uint64_t rest = s->len - (uint64_t)(chunk - s->chunk_first) * index->chunk_size;

    return rest < index->chunk_size ? (uint32_t)rest : index->chunk_size;
}

void tp_index_place(const struct tp_index *index, uint32_t chunk, uint32_t *file, uint64_t *off)
{
    const struct tp_segment *s = &index->segments[index->chunks[chunk].segment];

    *file = s->file;
    *off = s->file_off + (uint64_t)(chunk - s->chunk_first) * index->chunk_size;
}

const struct tp_pack_file *tp_index_find(const struct tp_index *index, const char *path)
{
    uint32_t lo = 0, hi = index->file_n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = tp_path_compare(index->files[mid].path, path);

        if (c == 0)
            return &index->files[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

void tp_index_fill_links(struct tp_index *x)
{
    for (uint32_t i = 0; i < x->file_n; i++) {
        struct tp_pack_file *f = &x->files[i];
        const char *path = f->path;
        uint32_t link = f->link;

        if (link == TP_NONE)
            continue;
        *f = x->files[link];
        f->path = path;
        f->link = link;
    }
}

const struct tp_pack_file *tp_index_file_of(const struct tp_index *index,
                                            const struct tp_pack_file *file)
{
    return file->link == TP_NONE ? file : &index->files[file->link];
}

uint64_t tp_segment_predictor_len(const struct tp_segment *segment)
{
    if (segment->from.dtype == segment->dtype)
        return segment->len;
    return segment->len * 8 / tp_dtype_bits(segment->dtype) *
           (tp_dtype_bits(segment->from.dtype) / 8);
}

uint32_t tp_index_segment_at(const struct tp_index *index, const struct tp_pack_file *file,
                             uint64_t off)
{
    uint32_t lo = file->segment_first, hi = lo + file->segment_n;

    /*
     * Find the last segment that begins at or before OFF. Segments before it that begin there are
     * empty.
     */
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (index->segments[mid].file_off <= off)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static void hash_u32(struct tp_sha256 *sha, uint32_t v)
{
    uint8_t raw[4];

    tp_put_le32(raw, v);
    tp_sha256_update(sha, raw, sizeof raw);
}

static void hash_string(struct tp_sha256 *sha, const char *s)
{
    hash_u32(sha, (uint32_t)strlen(s));
    tp_sha256_update(sha, s, strlen(s));
}

int tp_index_content_id(const struct tp_index *index, uint8_t out[TP_SHA256_LEN],
                        struct tp_error *err)
{
    struct tp_sha256 *sha = tp_sha256_create();

    if (!sha)
        return tp_oom(err);
    hash_u32(sha, TP_CONTENT_MAGIC);
    hash_u32(sha, index->file_n);
    for (uint32_t i = 0; i < index->file_n; i++) {
        const struct tp_pack_file *f = &index->files[i];

        hash_u32(sha, f->type);
        hash_string(sha, f->path);
        if (f->type == TP_ENTRY_FILE)
            tp_sha256_update(sha, tp_index_file_of(index, f)->sha256, TP_SHA256_LEN);
        else if (f->type == TP_ENTRY_SYMLINK)
            hash_string(sha, f->target);
    }
    tp_sha256_final(sha, out);
    tp_sha256_destroy(sha);
    return 0;
}
