/* SPDX-License-Identifier: MIT */
/* The index from bytes that nobody vouches for: every number is checked before it is used. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/le.h"
#include "store/pack/layout.h"
#include "tensor/safetensors.h"

struct decoder {
    struct tp_index *index;
    const uint8_t *files, *segments, *chunks, *tables, *dims, *strings;
    struct tp_error *err;
};

#define BAD(d, ...) tp_fail((d)->err, EBADMSG, "the index is damaged: " __VA_ARGS__)

static int get_string(const struct decoder *d, uint32_t off, const char **out)
{
    if (off >= d->index->strings_len)
        return BAD(d, "string offset %" PRIu32 " of %zu", off, d->index->strings_len);
    *out = d->index->strings + off;
    return 0;
}

/* Fixed part of the index; then LEN must be exactly what the counts add up to. */
static int decode_header(struct decoder *d, const uint8_t *in, size_t len)
{
    struct tp_index *x = d->index;
    uint64_t files = TP_INDEX_HEADER_LEN, segments, chunks, tables, dims, strings;
    uint32_t flags, zero = 0;

    if (len < TP_INDEX_HEADER_LEN || tp_get_le32(in) != TP_INDEX_MAGIC)
        return BAD(d, "it does not begin as one");
    x->chunk_size = tp_get_le32(in + 4);
    x->file_n = tp_get_le32(in + 8);
    x->segment_n = tp_get_le32(in + 12);
    x->chunk_n = tp_get_le32(in + 16);
    x->tables_n = tp_get_le32(in + 20);
    x->dim_n = tp_get_le32(in + 24);
    x->strings_len = tp_get_le32(in + 28);
    /* Six products of 32-bit counts by less than 128: no sum of them leaves 64 bits. */
    segments = files + (uint64_t)x->file_n * TP_FILE_RECORD_LEN;
    chunks = segments + (uint64_t)x->segment_n * TP_SEGMENT_RECORD_LEN;
    tables = chunks + (uint64_t)x->chunk_n * TP_CHUNK_RECORD_LEN;
    dims = tables + (uint64_t)x->tables_n * TP_TABLES_RECORD_LEN;
    strings = dims + (uint64_t)x->dim_n * TP_DIM_RECORD_LEN;
    if (strings + x->strings_len != len || x->strings_len == 0)
        return BAD(d, "its counts do not add up to its %zu bytes", len);
    d->files = in + files;
    d->segments = in + segments;
    d->chunks = in + chunks;
    d->tables = in + tables;
    d->dims = in + dims;
    d->strings = in + strings;
    if (d->strings[0] != 0 || d->strings[x->strings_len - 1] != 0)
        return BAD(d, "its strings do not begin and end with a zero byte");

    x->logical_bytes = tp_get_le64(in + 32);
    x->root_mtime_sec = (int64_t)tp_get_le64(in + 40);
    x->root_mtime_nsec = tp_get_le32(in + 48);
    x->root_mode = tp_get_le32(in + 52);
    flags = tp_get_le32(in + 56);
    x->has_base = flags & TP_INDEX_FLAG_BASE;
    memcpy(x->base_id, in + 80, TP_SHA256_LEN);
    for (unsigned i = 68; i < 80; i++)
        zero |= in[i];
    for (unsigned i = 0; i < TP_SHA256_LEN && !x->has_base; i++)
        zero |= x->base_id[i];
    if (x->chunk_size < 4096 || x->chunk_size > TP_CHUNK_MAX || (x->chunk_size & (x->chunk_size - 1)))
        return BAD(d, "a chunk size of %" PRIu32, x->chunk_size);
    if ((flags & ~TP_INDEX_FLAG_BASE) || zero || x->root_mode > 07777 ||
        x->root_mtime_nsec >= 1000000000)
        return BAD(d, "a field of its header is out of range");
    return 0;
}

static void *alloc_records(uint64_t n, size_t size)
{
    return calloc(n ? n : 1, size);
}

static int allocate(struct decoder *d)
{
    struct tp_index *x = d->index;

    x->files = alloc_records(x->file_n, sizeof *x->files);
    x->segments = alloc_records(x->segment_n, sizeof *x->segments);
    x->chunks = alloc_records(x->chunk_n, sizeof *x->chunks);
    x->tables = alloc_records(x->tables_n, sizeof *x->tables);
    x->dims = alloc_records(x->dim_n, sizeof *x->dims);
    x->strings = malloc(x->strings_len);
    if (!x->files || !x->segments || !x->chunks || !x->tables || !x->dims || !x->strings)
        return tp_fail(d->err, ENOMEM, "out of memory for an index of %" PRIu32 " chunks", x->chunk_n);
    memcpy(x->strings, d->strings, x->strings_len);
    for (uint32_t i = 0; i < x->dim_n; i++)
        x->dims[i] = tp_get_le64(d->dims + (size_t)i * TP_DIM_RECORD_LEN);
    return 0;
}

/* The parent of PATH (a prefix of it, LEN bytes) must be one of the N files before it, and a directory: this
 * also keeps every path from leading through a symbolic link. */
static int check_parent(const struct decoder *d, uint32_t n, const char *path, size_t len)
{
    char parent[TP_PATH_BYTES_MAX + 1];
    uint32_t lo = 0, hi = n;

    memcpy(parent, path, len);
    parent[len] = '\0';
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = tp_path_compare(d->index->files[mid].path, parent);

        if (c == 0)
            return d->index->files[mid].type == TP_ENTRY_DIR
                       ? 0
                       : BAD(d, "'%s' lies under a path that is not a directory", path);
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return BAD(d, "'%s' has no parent directory", path);
}

static int check_path(const struct decoder *d, uint32_t i, const char *path)
{
    const char *part = path;

    if (strlen(path) > TP_PATH_BYTES_MAX)
        return BAD(d, "the path of file %" PRIu32 " is too long", i);
    for (;;) {
        const char *end = strchr(part, '/');
        size_t len = end ? (size_t)(end - part) : strlen(part);

        if (len == 0 || len > TP_NAME_BYTES_MAX || (len == 1 && part[0] == '.') ||
            (len == 2 && part[0] == '.' && part[1] == '.'))
            return BAD(d, "'%s' is no relative path within a model", path);
        if (!end)
            break;
        part = end + 1;
    }
    if (i > 0 && tp_path_compare(d->index->files[i - 1].path, path) >= 0)
        return BAD(d, "'%s' is out of order or there twice", path);
    return part == path ? 0 : check_parent(d, i, path, (size_t)(part - path) - 1);
}

static int check_file(const struct decoder *d, uint32_t i)
{
    const struct tp_pack_file *f = &d->index->files[i];
    uint8_t sha = 0;

    if (f->mode > 07777 || f->mtime_nsec >= 1000000000 || f->size > INT64_MAX)
        return BAD(d, "a field of '%s' is out of range", f->path);
    if (f->type == TP_ENTRY_FILE)
        return f->target ? BAD(d, "the file '%s' has a link's target", f->path) : 0;
    for (unsigned b = 0; b < TP_SHA256_LEN; b++)
        sha |= f->sha256[b];
    if (f->size || f->segment_n || sha)
        return BAD(d, "'%s' is no file and has content", f->path);
    if ((f->type == TP_ENTRY_SYMLINK) != (f->target != NULL) ||
        (f->target && strlen(f->target) > TP_PATH_BYTES_MAX))
        return BAD(d, "'%s' has a wrong link target", f->path);
    return 0;
}

static int decode_file(struct decoder *d, uint32_t i)
{
    const uint8_t *in = d->files + (size_t)i * TP_FILE_RECORD_LEN;
    struct tp_pack_file *f = &d->index->files[i];
    uint32_t type = tp_get_le32(in + 8), target = tp_get_le32(in + 4);
    int rc = get_string(d, tp_get_le32(in), &f->path);

    if (rc == 0 && target)
        rc = get_string(d, target, &f->target);
    if (rc == 0)
        rc = check_path(d, i, f->path);
    if (rc < 0)
        return rc;
    if (type > TP_ENTRY_SYMLINK || (f->target && !f->target[0]))
        return BAD(d, "'%s' is of an unknown kind (%" PRIu32 ")", f->path, type);
    f->type = (enum tp_entry_type)type;
    f->mode = tp_get_le32(in + 12);
    f->mtime_sec = (int64_t)tp_get_le64(in + 16);
    f->mtime_nsec = tp_get_le32(in + 24);
    f->segment_n = tp_get_le32(in + 28);
    f->size = tp_get_le64(in + 32);
    memcpy(f->sha256, in + 40, TP_SHA256_LEN);
    return check_file(d, i);
}

static int decode_files(struct decoder *d)
{
    struct tp_index *x = d->index;
    uint64_t segments = 0, bytes = 0;

    for (uint32_t i = 0; i < x->file_n; i++) {
        int rc = decode_file(d, i);

        if (rc < 0)
            return rc;
        x->files[i].segment_first = (uint32_t)segments;
        segments += x->files[i].segment_n;
        if (segments > x->segment_n || !tp_add_u64(bytes, x->files[i].size, &bytes))
            return BAD(d, "'%s' has more than there is", x->files[i].path);
    }
    if (segments != x->segment_n || bytes != x->logical_bytes)
        return BAD(d, "its files do not add up to its %" PRIu32 " segments and %" PRIu64 " bytes",
                   x->segment_n, x->logical_bytes);
    return 0;
}

/* Shape and place of a tensor's segment: within the tensor, of whole elements, at whole bytes. */
static int check_tensor(const struct decoder *d, uint32_t i, const struct tp_segment *s)
{
    uint64_t elems = 1, bits, n, end;
    unsigned width = tp_dtype_bits(s->dtype);

    for (unsigned r = 0; r < s->rank; r++)
        if (!tp_mul_u64(elems, s->shape[r], &elems))
            return BAD(d, "segment %" PRIu32 " has too large a shape", i);
    if (!tp_mul_u64(s->len, 8, &bits) || bits % width)
        return BAD(d, "segment %" PRIu32 " is not of whole elements", i);
    n = bits / width;
    if (!tp_add_u64(s->elem_first, n, &end) || end > elems || !tp_mul_u64(s->elem_first, width, &bits) ||
        bits % 8)
        return BAD(d, "segment %" PRIu32 " is not within its tensor", i);
    if (s->base_segment == TP_NONE ? s->base_elem != 0
                                   : !d->index->has_base || !tp_add_u64(s->base_elem, n, &end))
        return BAD(d, "segment %" PRIu32 " has a wrong place in the base", i);
    return 0;
}

static int decode_segment(struct decoder *d, uint32_t i, uint32_t *dims)
{
    const uint8_t *in = d->segments + (size_t)i * TP_SEGMENT_RECORD_LEN;
    struct tp_index *x = d->index;
    struct tp_segment *s = &x->segments[i];
    int rc = get_string(d, tp_get_le32(in), &s->name);

    if (rc < 0)
        return rc;
    s->dtype = (enum tp_dtype)in[4];
    s->rank = in[5];
    s->tables_n = in[6];
    s->len = tp_get_le64(in + 8);
    s->elem_first = tp_get_le64(in + 16);
    s->base_elem = tp_get_le64(in + 24);
    s->base_segment = tp_get_le32(in + 32);
    if (in[4] >= TP_DTYPE_COUNT || in[7] || s->tables_n >= TP_CODEC_COUNT ||
        s->rank > TP_TENSOR_RANK_MAX || s->rank > x->dim_n - *dims || s->len > INT64_MAX)
        return BAD(d, "a field of segment %" PRIu32 " is out of range", i);
    s->shape = x->dims + *dims;
    *dims += s->rank;
    if (s->dtype != TP_DTYPE_BYTES)
        return check_tensor(d, i, s);
    if (s->name[0] || s->rank || s->elem_first || s->base_elem || s->base_segment != TP_NONE)
        return BAD(d, "segment %" PRIu32 " is no tensor and has one's fields", i);
    return 0;
}

static int decode_segments(struct decoder *d)
{
    struct tp_index *x = d->index;
    uint64_t chunks = 0, tables = 0;
    uint32_t dims = 0, i = 0;

    for (uint32_t f = 0; f < x->file_n; f++) {
        uint64_t off = 0;

        for (uint32_t end = i + x->files[f].segment_n; i < end; i++) {
            struct tp_segment *s = &x->segments[i];
            int rc = decode_segment(d, i, &dims);

            if (rc < 0)
                return rc;
            s->file = f;
            s->file_off = off;
            s->chunk_first = (uint32_t)chunks;
            s->tables_first = (uint32_t)tables;
            off += s->len;
            chunks += s->len / x->chunk_size + (s->len % x->chunk_size != 0);
            tables += s->tables_n;
            if (off > x->files[f].size || chunks > x->chunk_n || tables > x->tables_n)
                return BAD(d, "segment %" PRIu32 " has more than there is", i);
            s->chunk_n = (uint32_t)chunks - s->chunk_first;
        }
        if (off != x->files[f].size)
            return BAD(d, "the segments of '%s' do not add up to its size", x->files[f].path);
    }
    if (chunks != x->chunk_n || tables != x->tables_n || dims != x->dim_n)
        return BAD(d, "its segments do not add up to its chunks, tables and shapes");
    return 0;
}

static int check_same(const struct decoder *d, uint32_t i)
{
    const struct tp_index *x = d->index;
    const struct tp_chunk *c = &x->chunks[i];

    if (c->stored_len || c->stored_hash)
        return BAD(d, "chunk %" PRIu32 " is a reference and has bytes", i);
    if (c->ref_base)
        return x->has_base ? 0 : BAD(d, "chunk %" PRIu32 " refers to a base, and there is none", i);
    if (c->ref >= i || x->chunks[c->ref].codec == TP_CODEC_SAME ||
        tp_index_chunk_len(x, c->ref) != tp_index_chunk_len(x, i) ||
        x->chunks[c->ref].content_hash != c->content_hash)
        return BAD(d, "chunk %" PRIu32 " refers to chunk %" PRIu32 ", which is not the same", i, c->ref);
    return 0;
}

static int decode_chunk(struct decoder *d, uint32_t i)
{
    const uint8_t *in = d->chunks + (size_t)i * TP_CHUNK_RECORD_LEN;
    struct tp_chunk *c = &d->index->chunks[i];
    uint32_t len = tp_index_chunk_len(d->index, i);

    c->content_hash = tp_get_le64(in);
    c->stored_hash = tp_get_le64(in + 8);
    c->stored_len = tp_get_le32(in + 16);
    c->ref = tp_get_le32(in + 20);
    c->codec = in[24];
    c->ref_base = in[25] & TP_CHUNK_FLAG_REF_BASE;
    if (c->codec >= TP_CODEC_COUNT || in[25] > TP_CHUNK_FLAG_REF_BASE || in[26] || in[27])
        return BAD(d, "chunk %" PRIu32 " is coded in an unknown way (%u)", i, c->codec);
    if (c->codec == TP_CODEC_SAME)
        return check_same(d, i);
    if (c->ref || c->ref_base)
        return BAD(d, "chunk %" PRIu32 " has bytes and is a reference", i);
    if (c->codec == TP_CODEC_RAW ? c->stored_len != len || c->stored_hash != c->content_hash
                                 : c->stored_len == 0 || c->stored_len > len)
        return BAD(d, "chunk %" PRIu32 " of %" PRIu32 " bytes has %" PRIu32 " coded bytes", i, len,
                   c->stored_len);
    return 0;
}

static int decode_tables(struct decoder *d, const struct tp_segment *s, uint64_t *off)
{
    unsigned seen = 0;

    for (uint32_t i = s->tables_first; i < s->tables_first + s->tables_n; i++) {
        const uint8_t *in = d->tables + (size_t)i * TP_TABLES_RECORD_LEN;
        struct tp_tables_ref *t = &d->index->tables[i];

        t->stored_hash = tp_get_le64(in);
        t->stored_len = tp_get_le32(in + 8);
        t->codec = in[12];
        t->stored_off = *off;
        if (t->codec >= TP_CODEC_COUNT || in[13] || in[14] || in[15] || (seen & 1u << t->codec) ||
            t->stored_len == 0 || t->stored_len > TP_TABLES_MAX)
            return BAD(d, "a field of tables %" PRIu32 " is out of range", i);
        seen |= 1u << t->codec;
        *off += t->stored_len;
    }
    return 0;
}

static int decode_data(struct decoder *d, uint64_t data_len)
{
    struct tp_index *x = d->index;
    uint64_t off = TP_PACK_HEADER_LEN; /* at most 2^32 lengths of 32 bits: stays within 64 */

    for (uint32_t s = 0; s < x->segment_n; s++) {
        const struct tp_segment *seg = &x->segments[s];
        int rc = decode_tables(d, seg, &off);

        for (uint32_t i = seg->chunk_first; rc == 0 && i < seg->chunk_first + seg->chunk_n; i++) {
            x->chunks[i].segment = s;
            rc = decode_chunk(d, i);
            x->chunks[i].stored_off = off;
            off += x->chunks[i].stored_len;
        }
        if (rc < 0)
            return rc;
    }
    if (off - TP_PACK_HEADER_LEN != data_len)
        return BAD(d, "its chunks take %" PRIu64 " bytes, and the pack has %" PRIu64,
                   off - TP_PACK_HEADER_LEN, data_len);
    return 0;
}

int tp_index_decode(const void *data, size_t len, uint64_t data_len, struct tp_index *out,
                    struct tp_error *err)
{
    struct decoder d = {.index = out, .err = err};
    const uint8_t *in = data;
    int rc;

    memset(out, 0, sizeof *out);
    rc = decode_header(&d, in, len);
    if (rc == 0)
        rc = allocate(&d);
    if (rc == 0)
        rc = get_string(&d, tp_get_le32(in + 60), &out->base_name);
    if (rc == 0)
        rc = get_string(&d, tp_get_le32(in + 64), &out->writer);
    if (rc == 0)
        rc = decode_files(&d);
    if (rc == 0)
        rc = decode_segments(&d);
    if (rc == 0)
        rc = decode_data(&d, data_len);
    if (rc < 0)
        tp_index_clear(out);
    return rc;
}
