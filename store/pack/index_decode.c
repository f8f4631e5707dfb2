/* SPDX-License-Identifier: MIT */
/* Decoding an index from untrusted bytes: every number is checked before it is used. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/le.h"
#include "base/progress.h"
#include "codec/convert.h"
#include "store/pack/layout.h"
#include "tensor/safetensors.h"

/* A part of a path has at least one byte and a '/'. */
#define DEPTH_MAX ((TP_PATH_BYTES_MAX + 1) / 2)

struct decoder {
    struct tp_index *index;
    const uint8_t *files, *segments, *chunks, *tables, *dims, *attrs, *values, *strings;
    struct tp_error *err;
    uint64_t strings_left; /* bytes of strings that records may still refer to */
    /* The directories that contain the current file, each in the one before: their numbers. */
    uint32_t above[DEPTH_MAX];
    uint32_t depth;
};

#define BAD(d, ...) tp_fail((d)->err, EBADMSG, "the index is damaged: " __VA_ARGS__)

/* Lengths that differ between the versions. */
static size_t header_len(const struct decoder *d)
{
    return d->index->version == 1 ? TP_INDEX_HEADER_LEN_V1 : TP_INDEX_HEADER_LEN;
}

static size_t file_len(const struct decoder *d)
{
    return d->index->version == 1 ? TP_FILE_RECORD_LEN_V1 : TP_FILE_RECORD_LEN;
}

static size_t segment_len(const struct decoder *d)
{
    return d->index->version == 1 ? TP_SEGMENT_RECORD_LEN_V1 : TP_SEGMENT_RECORD_LEN;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i])
            return false;
    return true;
}

/*
 * Many records may refer to one string, so both each length and the sum of all lengths are bounded.
 */
static int get_string(struct decoder *d, uint32_t off, size_t most, const char **out)
{
    size_t len;

    if (off >= d->index->strings_len)
        return BAD(d, "string offset %" PRIu32 " of %zu", off, d->index->strings_len);
    *out = d->index->strings + off;
    len = strnlen(*out, most + 1);
    if (len > most)
        return BAD(d, "the string at %" PRIu32 " has more than %zu bytes", off, most);
    if (len > d->strings_left)
        return BAD(d, "its records refer to more strings than it may have");
    d->strings_left -= len;
    return 0;
}

/* Compute where each part of the index is. LEN must be exactly the sum of all parts. */
static int decode_counts(struct decoder *d, const uint8_t *in, size_t len)
{
    struct tp_index *x = d->index;
    uint64_t files = header_len(d), segments, chunks, tables, dims, attrs, values, strings;

    if (len < files || tp_get_le32(in) != TP_INDEX_MAGIC)
        return BAD(d, "it does not begin as one");
    x->chunk_size = tp_get_le32(in + 4);
    x->file_n = tp_get_le32(in + 8);
    x->segment_n = tp_get_le32(in + 12);
    x->chunk_n = tp_get_le32(in + 16);
    x->tables_n = tp_get_le32(in + 20);
    x->dim_n = tp_get_le32(in + 24);
    x->strings_len = tp_get_le32(in + 28);
    x->attr_n = x->version == 1 ? 0 : tp_get_le32(in + 68);
    x->values_len = x->version == 1 ? 0 : tp_get_le32(in + 72);
    /* Products of 32-bit counts and numbers below 128: their sum fits into 64 bits. */
    segments = files + (uint64_t)x->file_n * file_len(d);
    chunks = segments + (uint64_t)x->segment_n * segment_len(d);
    tables = chunks + (uint64_t)x->chunk_n * TP_CHUNK_RECORD_LEN;
    dims = tables + (uint64_t)x->tables_n * TP_TABLES_RECORD_LEN;
    attrs = dims + (uint64_t)x->dim_n * TP_DIM_RECORD_LEN;
    values = attrs + (uint64_t)x->attr_n * TP_ATTR_RECORD_LEN;
    strings = values + x->values_len;
    if (strings + x->strings_len != len || x->strings_len == 0)
        return BAD(d, "its counts do not add up to its %zu bytes", len);
    d->files = in + files;
    d->segments = in + segments;
    d->chunks = in + chunks;
    d->tables = in + tables;
    d->dims = in + dims;
    d->attrs = in + attrs;
    d->values = in + values;
    d->strings = in + strings;
    if (d->strings[0] != 0 || d->strings[x->strings_len - 1] != 0)
        return BAD(d, "its strings do not begin and end with a zero byte");
    return 0;
}

static int decode_header(struct decoder *d, const uint8_t *in, size_t len)
{
    struct tp_index *x = d->index;
    bool reserved;
    uint32_t flags, known = TP_INDEX_FLAG_BASE;
    int rc = decode_counts(d, in, len);

    if (rc < 0)
        return rc;
    x->logical_bytes = tp_get_le64(in + 32);
    x->root_mtime_sec = (int64_t)tp_get_le64(in + 40);
    x->root_mtime_nsec = tp_get_le32(in + 48);
    x->root_mode = tp_get_le32(in + 52);
    flags = tp_get_le32(in + 56);
    x->has_base = flags & TP_INDEX_FLAG_BASE;
    x->lossy = x->version > 1 && flags & TP_INDEX_FLAG_LOSSY;
    memcpy(x->base_id, in + 80, TP_SHA256_LEN);
    if (x->version == 1) {
        reserved = is_zero(in + 68, 12);
    } else {
        known |= TP_INDEX_FLAG_LOSSY;
        reserved = is_zero(in + 76, 4) && is_zero(in + 144, 16);
        memcpy(x->base_content_id, in + 112, TP_SHA256_LEN);
    }
    if (x->has_base == is_zero(x->base_id, TP_SHA256_LEN) ||
        (x->version > 1 && x->has_base == is_zero(x->base_content_id, TP_SHA256_LEN)))
        return BAD(d, "it does not say whether it has a base");
    if (x->chunk_size < 4096 || x->chunk_size > TP_CHUNK_MAX ||
        (x->chunk_size & (x->chunk_size - 1)))
        return BAD(d, "a chunk size of %" PRIu32, x->chunk_size);
    if ((flags & ~known) || !reserved || x->root_mode > 07777 || x->root_mtime_nsec >= 1000000000)
        return BAD(d, "a field of its header is out of range");
    return 0;
}

static void *alloc_records(uint64_t n, size_t size)
{
    return calloc(n ? n : 1, size);
}

static int alloc_arrays(struct decoder *d)
{
    struct tp_index *x = d->index;

    x->files = alloc_records(x->file_n, sizeof *x->files);
    x->segments = alloc_records(x->segment_n, sizeof *x->segments);
    x->chunks = alloc_records(x->chunk_n, sizeof *x->chunks);
    x->tables = alloc_records(x->tables_n, sizeof *x->tables);
    x->dims = alloc_records(x->dim_n, sizeof *x->dims);
    x->attrs = alloc_records(x->attr_n, sizeof *x->attrs);
    x->values = malloc(x->values_len + 1u);
    x->strings = malloc(x->strings_len);
    if (!x->files || !x->segments || !x->chunks || !x->tables || !x->dims || !x->attrs ||
        !x->values || !x->strings)
        return tp_oom(d->err);
    memcpy(x->strings, d->strings, x->strings_len);
    memcpy(x->values, d->values, x->values_len);
    for (uint32_t i = 0; i < x->dim_n; i++)
        x->dims[i] = tp_get_le64(d->dims + (size_t)i * TP_DIM_RECORD_LEN);
    return 0;
}

/* An index may have millions of records: check for cancellation after every few thousand. */
static int poll_cancel(const struct decoder *d, uint32_t i)
{
    return i % 4096 == 0 ? tp_cancel_check(d->err) : 0;
}

/*
 * Check the parent of file I, the first LEN bytes of PATH: a directory of the pack. So no path
 * leads through a symbolic link. The entries of a directory follow it, so the parent is one of the
 * open directories.
 */
static int check_parent(struct decoder *d, uint32_t i, const char *path, size_t len)
{
    const struct tp_pack_file *files = d->index->files, *before = &files[i ? i - 1 : 0];

    while (d->depth > 0 && strlen(files[d->above[d->depth - 1]].path) > len)
        d->depth--;
    if (len == 0)
        return 0;
    if (d->depth > 0 && strlen(files[d->above[d->depth - 1]].path) == len &&
        memcmp(files[d->above[d->depth - 1]].path, path, len) == 0)
        return 0;
    if (i > 0 && before->type != TP_ENTRY_DIR && strncmp(before->path, path, len) == 0 &&
        before->path[len] == '\0')
        return BAD(d, "'%s' lies under a path that is not a directory", path);
    return BAD(d, "'%s' has no parent directory", path);
}

static int check_path(struct decoder *d, uint32_t i, const char *path)
{
    const char *part = path;

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
    return check_parent(d, i, path, part == path ? 0 : (size_t)(part - path) - 1);
}

static int check_file(const struct decoder *d, uint32_t i)
{
    const struct tp_pack_file *f = &d->index->files[i];

    if (f->mode > 07777 || f->mtime_nsec >= 1000000000 || f->size > INT64_MAX)
        return BAD(d, "a field of '%s' is out of range", f->path);
    if (f->type == TP_ENTRY_FILE && f->target)
        return BAD(d, "the file '%s' has a link's target", f->path);
    if (f->type == TP_ENTRY_FILE && f->link == TP_NONE)
        return 0;
    if (f->size || f->segment_n || f->sparse || !is_zero(f->sha256, TP_SHA256_LEN))
        return BAD(d, "'%s' has no content of its own and says what it is", f->path);
    if (f->link != TP_NONE &&
        (f->type != TP_ENTRY_FILE || f->link >= i || d->index->files[f->link].link != TP_NONE ||
         d->index->files[f->link].type != TP_ENTRY_FILE))
        return BAD(d, "'%s' is another name of what is no file before it", f->path);
    if ((f->type == TP_ENTRY_SYMLINK) != (f->target != NULL))
        return BAD(d, "'%s' has a wrong link target", f->path);
    return 0;
}

static int decode_file(struct decoder *d, uint32_t i)
{
    const uint8_t *in = d->files + i * file_len(d);
    struct tp_pack_file *f = &d->index->files[i];
    uint32_t type = tp_get_le32(in + 8), target = tp_get_le32(in + 4);
    int rc = get_string(d, tp_get_le32(in), TP_PATH_BYTES_MAX, &f->path);

    if (rc == 0 && target)
        rc = get_string(d, target, TP_PATH_BYTES_MAX, &f->target);
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
    f->link = TP_NONE;
    if (d->index->version > 1) {
        uint32_t flags = tp_get_le32(in + 76);

        f->link = tp_get_le32(in + 72);
        f->sparse = flags & TP_FILE_FLAG_SPARSE;
        if (flags & ~TP_FILE_FLAG_SPARSE)
            return BAD(d, "'%s' has flags that are none", f->path);
    }
    return check_file(d, i);
}

static int decode_files(struct decoder *d)
{
    struct tp_index *x = d->index;
    uint64_t segments = 0, bytes = 0;

    for (uint32_t i = 0; i < x->file_n; i++) {
        int rc = poll_cancel(d, i);

        if (rc == 0)
            rc = decode_file(d, i);

        if (rc < 0)
            return rc;
        if (x->files[i].type == TP_ENTRY_DIR)
            d->above[d->depth++] = i;
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

/*
 * Check shape and place of a tensor's segment: within the tensor, of whole elements, at whole
 * bytes.
 */
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
    if (!tp_add_u64(s->elem_first, n, &end) || end > elems ||
        !tp_mul_u64(s->elem_first, width, &bits) || bits % 8)
        return BAD(d, "segment %" PRIu32 " is not within its tensor", i);
    return 0;
}

/*
 * Version 1 names a segment and an element. The bytes in a file are known when the base is there.
 */
static int decode_predictor_v1(struct decoder *d, const uint8_t *in, struct tp_segment *s)
{
    uint64_t n = s->len * 8 / tp_dtype_bits(s->dtype), end;
    struct tp_predictor *p = &s->from;

    p->off = tp_get_le64(in + 24);
    p->segment = tp_get_le32(in + 32);
    p->file = TP_NONE;
    p->whence = p->segment == TP_NONE ? TP_FROM_NONE : TP_FROM_BASE;
    if (p->whence == TP_FROM_NONE ? p->off != 0
                                  : !d->index->has_base || !tp_add_u64(p->off, n, &end))
        return BAD(d, "segment %td has a wrong place in the base", s - d->index->segments);
    return 0;
}

/*
 * A file that predicts another must not be predicted from this pack itself, so a chain has at most
 * two files.
 */
static int check_sibling(struct decoder *d, struct tp_segment *s)
{
    struct tp_index *x = d->index;
    struct tp_pack_file *from = s->from.file < s->file ? &x->files[s->from.file] : NULL;

    if (!from || from->type != TP_ENTRY_FILE || from->link != TP_NONE || from->chained ||
        !tp_range_within(s->from.off, tp_segment_predictor_len(s), from->size))
        return BAD(d, "segment %td is predicted by what is no file before its own",
                   s - x->segments);
    x->siblings = from->predicts = true;
    x->files[s->file].chained = true;
    s->from.segment = s->len ? tp_index_segment_at(x, from, s->from.off) : TP_NONE;
    return 0;
}

static int decode_predictor(struct decoder *d, const uint8_t *in, struct tp_segment *s)
{
    struct tp_predictor *p = &s->from;
    uint64_t end;

    p->off = tp_get_le64(in + 24);
    p->file = tp_get_le32(in + 32);
    p->whence = in[36];
    p->dtype = (enum tp_dtype)in[37];
    p->segment = TP_NONE;
    if (p->whence == TP_FROM_NONE)
        return is_zero(in + 24, 16)
                   ? 0
                   : BAD(d, "segment %td has a predictor and none", s - d->index->segments);
    if (p->whence > TP_FROM_PACK || in[38] || in[39] || in[37] >= TP_DTYPE_COUNT ||
        p->dtype == TP_DTYPE_BYTES || s->dtype == TP_DTYPE_BYTES ||
        !tp_convert_possible(p->dtype, s->dtype) ||
        !tp_add_u64(p->off, tp_segment_predictor_len(s), &end) || end > INT64_MAX)
        return BAD(d, "segment %td has a wrong predictor", s - d->index->segments);
    if (p->whence == TP_FROM_PACK)
        return check_sibling(d, s);
    return d->index->has_base ? 0
                              : BAD(d, "segment %td is predicted by a base, and there is none",
                                    s - d->index->segments);
}

static int decode_segment(struct decoder *d, uint32_t i, uint32_t *dims)
{
    const uint8_t *in = d->segments + i * segment_len(d);
    struct tp_index *x = d->index;
    struct tp_segment *s = &x->segments[i];
    int rc = get_string(d, tp_get_le32(in), TP_TENSOR_NAME_MAX, &s->name);

    if (rc < 0)
        return rc;
    s->dtype = (enum tp_dtype)in[4];
    s->rank = in[5];
    s->tables_n = in[6];
    s->len = tp_get_le64(in + 8);
    s->elem_first = tp_get_le64(in + 16);
    if (in[4] >= TP_DTYPE_COUNT || in[7] || s->tables_n >= tp_codec_limit(d->index->lossy) ||
        s->rank > TP_TENSOR_RANK_MAX || s->rank > x->dim_n - *dims || s->len > INT64_MAX)
        return BAD(d, "a field of segment %" PRIu32 " is out of range", i);
    s->shape = x->dims + *dims;
    *dims += s->rank;
    rc = s->dtype == TP_DTYPE_BYTES ? 0 : check_tensor(d, i, s);
    if (rc == 0)
        rc = d->index->version == 1 ? decode_predictor_v1(d, in, s) : decode_predictor(d, in, s);
    if (rc < 0)
        return rc;
    if (s->dtype == TP_DTYPE_BYTES &&
        (s->name[0] || s->rank || s->elem_first || s->from.whence != TP_FROM_NONE))
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
            int rc;

            s->file = f;
            s->file_off = off;
            rc = poll_cancel(d, i);
            if (rc == 0)
                rc = decode_segment(d, i, &dims);
            if (rc < 0)
                return rc;
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

    if (c->stored_len || ((!c->ref_base || x->version == 1) && c->stored_hash))
        return BAD(d, "chunk %" PRIu32 " is a reference and has bytes", i);
    if (c->ref_base)
        return x->has_base && c->ref_off <= INT64_MAX
                   ? 0
                   : BAD(d, "chunk %" PRIu32 " refers to a base, and there is no such place", i);
    if (c->ref >= i || x->chunks[c->ref].codec == TP_CODEC_SAME ||
        tp_index_chunk_len(x, c->ref) != tp_index_chunk_len(x, i) ||
        x->chunks[c->ref].content_hash != c->content_hash)
        return BAD(d, "chunk %" PRIu32 " refers to chunk %" PRIu32 ", which is not the same", i,
                   c->ref);
    if (x->files[x->segments[c->segment].file].predicts &&
        x->segments[x->chunks[c->ref].segment].from.whence == TP_FROM_PACK)
        return BAD(d, "chunk %" PRIu32 " predicts others and refers to one that is predicted", i);
    return 0;
}

static int decode_chunk(struct decoder *d, uint32_t i)
{
    const uint8_t *in = d->chunks + (size_t)i * TP_CHUNK_RECORD_LEN;
    struct tp_chunk *c = &d->index->chunks[i];
    uint32_t len = tp_index_chunk_len(d->index, i), most = len;

    c->content_hash = tp_get_le64(in);
    c->stored_hash = tp_get_le64(in + 8);
    c->stored_len = tp_get_le32(in + 16);
    c->ref = tp_get_le32(in + 20);
    c->codec = in[24];
    c->ref_base = in[25] & TP_CHUNK_FLAG_REF_BASE;
    c->alias = TP_NONE;
    if (c->codec >= tp_codec_limit(d->index->lossy) || in[25] > TP_CHUNK_FLAG_REF_BASE || in[26] ||
        in[27])
        return BAD(d, "chunk %" PRIu32 " is coded in an unknown way (%u)", i, c->codec);
    if (tp_codec_is_lossy(c->codec))
        most = TP_CHUNK_MAX;
    if (c->codec == TP_CODEC_SAME && c->ref_base && d->index->version == 1) {
        c->alias =
            c->ref; /* a chunk of the base; the bytes in a file are known when the base is there */
        c->ref = TP_NONE;
    }
    if (c->codec == TP_CODEC_SAME)
        return check_same(d, i);
    if (c->ref || c->ref_base)
        return BAD(d, "chunk %" PRIu32 " has bytes and is a reference", i);
    if (c->codec == TP_CODEC_RAW ? c->stored_len != len || c->stored_hash != c->content_hash
                                 : c->stored_len == 0 || c->stored_len > most)
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
        if (t->codec >= tp_codec_limit(d->index->lossy) || in[13] || in[14] || in[15] ||
            (seen & 1u << t->codec) || t->stored_len == 0 ||
            t->stored_len > (tp_codec_is_lossy(t->codec) ? TP_TABLES_LOSSY_MAX : TP_TABLES_MAX))
            return BAD(d, "a field of tables %" PRIu32 " is out of range", i);
        seen |= 1u << t->codec;
        *off += t->stored_len;
    }
    return 0;
}

static int decode_data(struct decoder *d, uint64_t data_len)
{
    struct tp_index *x = d->index;
    uint64_t off = TP_PACK_HEADER_LEN; /* at most 2^32 lengths of 32 bits: fits into 64 bits */

    for (uint32_t s = 0; s < x->segment_n; s++) {
        const struct tp_segment *seg = &x->segments[s];
        int rc = decode_tables(d, seg, &off);

        for (uint32_t i = seg->chunk_first; rc == 0 && i < seg->chunk_first + seg->chunk_n; i++) {
            x->chunks[i].segment = s;
            rc = poll_cancel(d, i);
            if (rc == 0)
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

int tp_index_decode(unsigned version, const void *data, size_t len, uint64_t data_len,
                    struct tp_index *out, struct tp_error *err)
{
    struct decoder d = {.index = out, .err = err};
    const uint8_t *in = data;
    int rc;

    memset(out, 0, sizeof *out);
    out->version = version;
    d.strings_left = TP_STRINGS_ANY_INDEX + TP_STRINGS_OF_INDEX * (uint64_t)len;
    rc = decode_header(&d, in, len);
    if (rc == 0)
        rc = alloc_arrays(&d);
    if (rc == 0)
        rc = get_string(&d, tp_get_le32(in + 60), TP_PATH_BYTES_MAX, &out->base_name);
    if (rc == 0)
        rc = get_string(&d, tp_get_le32(in + 64), TP_NAME_BYTES_MAX, &out->writer);
    if (rc == 0)
        rc = decode_files(&d);
    if (rc == 0)
        rc = tp_attrs_decode(d.attrs, out, &d.strings_left, err);
    if (rc == 0)
        rc = decode_segments(&d);
    if (rc == 0)
        rc = decode_data(&d, data_len);
    if (rc < 0)
        tp_index_clear(out);
    return rc;
}
