/* SPDX-License-Identifier: MIT */
/*
 * Packs that are valid by construction, of whatever an input asks for: directories, links, holes
 * and attributes, segments of all dtypes, predicted by any bytes of the base or of a lower file,
 * chunks of all codecs with an encoder, and references. What each file holds is known, to compare
 * with what a reader gives.
 */
#ifndef TP_TESTS_FUZZ_PACK_DRAFT_H
#define TP_TESTS_FUZZ_PACK_DRAFT_H

#include "codec/convert.h"
#include "codec/scratch.h"
#include "tests/fuzz/pack_base.h"

enum {
    DRAFT_FILES_MAX = 24,
    DRAFT_SEGMENTS_MAX = 48,
    DRAFT_CHUNKS_MAX = 256,
    DRAFT_ELEMS_MAX = 12000,
    DRAFT_BYTES_MAX = 512 << 10, /* of all files */
    DRAFT_VALUE_MAX = 64,
    DRAFT_DEPTH_MAX = 6,
    DRAFT_PATH_MAX = 64
};

/* An input as numbers: zeros when it is used up. */
struct feed {
    const uint8_t *data;
    size_t len;
};

struct draft {
    struct tp_index x;
    struct tp_pack_file files[DRAFT_FILES_MAX];
    struct tp_segment segments[DRAFT_SEGMENTS_MAX];
    struct tp_chunk chunks[DRAFT_CHUNKS_MAX];
    struct tp_tables_ref tables[DRAFT_SEGMENTS_MAX];
    struct tp_attr attrs[DRAFT_FILES_MAX + 1];
    uint64_t dims[2 * DRAFT_SEGMENTS_MAX];
    char paths[DRAFT_FILES_MAX][DRAFT_PATH_MAX];
    uint8_t values[(DRAFT_FILES_MAX + 1) * DRAFT_VALUE_MAX];
    uint8_t *content[DRAFT_FILES_MAX]; /* with TP_SLACK after it */
    uint8_t *predicted;                /* what predicts the segment that is being made */
    struct tp_buffer data;
    const struct draft *base;
    struct tp_scratch *scratch;
};

static inline uint32_t feed_byte(struct feed *feed)
{
    if (feed->len == 0)
        return 0;
    feed->len--;
    return *feed->data++;
}

static inline uint32_t feed_below(struct feed *feed, uint32_t n)
{
    uint32_t high = n > 256 ? feed_byte(feed) << 8 : 0;

    return (high | feed_byte(feed)) % n;
}

static inline void *draft_alloc(size_t len)
{
    void *p = calloc(1, len + TP_SLACK);

    FUZZ_CHECK(p != NULL);
    return p;
}

/* --- What a segment holds, and what predicts it --- */

/* A file that may predict: of the base, or an earlier one that is not predicted so itself. */
static inline uint32_t draft_choose_predictor(struct draft *d, struct feed *feed, uint8_t whence)
{
    const struct tp_index *x = whence == TP_FROM_BASE ? &d->base->x : &d->x;
    uint32_t n = whence == TP_FROM_BASE ? x->file_n : x->file_n - 1, file;

    if (n == 0)
        return TP_NONE;
    file = feed_below(feed, n);
    return x->files[file].size && x->files[file].link == TP_NONE &&
                   (whence == TP_FROM_BASE || !x->files[file].chained)
               ? file
               : TP_NONE;
}

/* Let S be predicted by some bytes; *ELEMS: no more than there are. */
static inline void draft_predict(struct draft *d, struct feed *feed, struct tp_segment *s,
                                 uint32_t *elems)
{
    static const enum tp_dtype floats[] = {TP_DTYPE_BF16, TP_DTYPE_F16, TP_DTYPE_F32};
    uint8_t whence = (uint8_t)feed_below(feed, 3);
    enum tp_dtype dtype = floats[feed_below(feed, 3)];
    uint32_t file, width, off;
    uint64_t size;

    if (!tp_convert_possible(dtype, s->dtype))
        dtype = s->dtype;
    if (whence == TP_FROM_NONE || (whence == TP_FROM_BASE && !d->base) ||
        s->dtype == TP_DTYPE_BYTES)
        return;
    file = draft_choose_predictor(d, feed, whence);
    if (file == TP_NONE)
        return;
    size = whence == TP_FROM_BASE ? d->base->x.files[file].size : d->x.files[file].size;
    width = tp_dtype_bits(dtype);
    off = feed_below(feed, 4) ? feed_below(feed, (uint32_t)(size < 65536 ? size : 65536)) : 0;
    if (*elems > (size - off) * 8 / width)
        *elems = (uint32_t)((size - off) * 8 / width);
    s->from = (struct tp_predictor){.whence = whence, .dtype = dtype, .file = file, .off = off};
    if (whence == TP_FROM_PACK)
        d->x.files[s->file].chained = true;
}

/* The bytes that predict S, in its dtype; NULL: none do. */
static inline const uint8_t *draft_predicted(struct draft *d, const struct tp_segment *s)
{
    const uint8_t *from;

    if (s->from.whence == TP_FROM_NONE || s->len == 0)
        return NULL;
    from = (s->from.whence == TP_FROM_BASE ? d->base->content : d->content)[s->from.file] +
           s->from.off;
    free(d->predicted);
    d->predicted = draft_alloc(s->len);
    if (s->from.dtype == s->dtype)
        memcpy(d->predicted, from, s->len);
    else
        tp_convert(s->dtype, d->predicted, s->from.dtype, from,
                   s->len * 8 / tp_dtype_bits(s->dtype));
    return d->predicted;
}

enum { FILL_ZERO, FILL_PREDICTED, FILL_NEAR, FILL_NOISE, FILL_WEIGHTS, FILL_REPEATS, FILL_N };

static inline void draft_fill(struct feed *feed, uint8_t *p, size_t len, const uint8_t *predicted)
{
    uint32_t how = feed_below(feed, FILL_N), seed = feed_byte(feed) * 2654435761u + 1;
    uint32_t step = 1 + feed_byte(feed);

    if (how == FILL_WEIGHTS || (how <= FILL_NEAR && how != FILL_ZERO && !predicted))
        codec_base_fill(p, len);
    if (predicted && (how == FILL_PREDICTED || how == FILL_NEAR))
        memcpy(p, predicted, len);
    for (size_t i = 0; how == FILL_NEAR && i < len; i += step)
        p[i] ^= (uint8_t)(1u << (i / step & 3));
    for (size_t i = 0; how >= FILL_NOISE && how != FILL_WEIGHTS && i < len; i++) {
        seed = seed * 1103515245 + 12345;
        p[i] = how == FILL_NOISE ? (uint8_t)(seed >> 16) : (uint8_t)(i % step);
    }
}

/* --- Chunks --- */

static inline void draft_put(struct draft *d, const void *data, size_t len)
{
    FUZZ_CHECK(tp_buffer_append(&d->data, data, len) == 0);
}

/* The tables of CODEC learned from all of the segment, as one more of the pack; NULL: it has none.
 */
static inline struct tp_tables *draft_learn(struct draft *d, struct tp_segment *s,
                                            const struct tp_codec *codec, const uint8_t *src,
                                            const uint8_t *predicted)
{
    struct tp_stats *stats = codec->stats_create(s->dtype);
    struct tp_tables *tables = NULL;
    struct tp_buffer blob = {0};
    double bits;

    FUZZ_CHECK(stats != NULL);
    for (uint64_t at = 0; at < s->len; at += d->x.chunk_size) {
        uint64_t n = s->len - at < d->x.chunk_size ? s->len - at : d->x.chunk_size;

        codec->stats_add(stats, src + at, codec->needs_base ? predicted + at : NULL, n);
    }
    FUZZ_CHECK(codec->stats_finish(stats, &blob, &bits) == 0);
    codec->stats_destroy(stats);
    if (blob.len > 0 && blob.len <= TP_TABLES_MAX) {
        FUZZ_CHECK(tp_buffer_reserve(&blob, TP_SLACK) == 0 &&
                   codec->tables_create(s->dtype, blob.data, blob.len, &tables, NULL) == 0);
        d->tables[d->x.tables_n++] =
            (struct tp_tables_ref){.codec = (uint8_t)codec->id,
                                   .stored_len = (uint32_t)blob.len,
                                   .stored_hash = tp_xxh3(blob.data, blob.len)};
        s->tables_n = 1;
        draft_put(d, blob.data, blob.len);
    }
    tp_buffer_clear(&blob);
    return tables;
}

/* A reference to what the base has there, or to a lower chunk of the same content. */
static inline bool draft_refer(struct draft *d, const struct tp_segment *s, uint64_t at,
                               uint32_t len, const uint8_t *src, struct tp_chunk *c)
{
    if (s->from.whence == TP_FROM_BASE && s->from.dtype == s->dtype &&
        memcmp(src, d->base->content[s->from.file] + s->from.off + at, len) == 0) {
        *c = (struct tp_chunk){.codec = TP_CODEC_SAME,
                               .ref_base = true,
                               .ref = s->from.file,
                               .ref_off = s->from.off + at,
                               .content_hash = c->content_hash};
        return true;
    }
    for (uint32_t i = 0; i < d->x.chunk_n; i++) {
        const struct tp_chunk *lower = &d->chunks[i];
        const struct tp_segment *of = &d->segments[lower->segment];
        uint64_t left = of->len - (uint64_t)(i - of->chunk_first) * d->x.chunk_size;

        if (lower->codec == TP_CODEC_SAME || lower->content_hash != c->content_hash ||
            of->from.whence == TP_FROM_PACK ||
            (left < d->x.chunk_size ? left : d->x.chunk_size) != len)
            continue;
        *c = (struct tp_chunk){.codec = TP_CODEC_SAME, .ref = i, .content_hash = c->content_hash};
        return true;
    }
    return false;
}

static inline void draft_add_chunk(struct draft *d, const struct tp_segment *s, uint64_t at,
                                   const uint8_t *src, const uint8_t *predicted,
                                   const struct tp_codec *codec, const struct tp_tables *tables,
                                   bool refer)
{
    uint32_t len = (uint32_t)(s->len - at < d->x.chunk_size ? s->len - at : d->x.chunk_size);
    struct tp_chunk c = {
        .codec = TP_CODEC_RAW, .stored_len = len, .content_hash = tp_xxh3(src, len)};
    uint8_t *coded = draft_alloc(len);
    size_t n = 0;

    if (refer && draft_refer(d, s, at, len, src, &c)) {
        free(coded);
    } else {
        if (codec)
            n = codec->encode(tables, s->dtype, src, codec->needs_base ? predicted + at : NULL, len,
                              coded, len, d->scratch);
        if (n) {
            c.codec = (uint8_t)codec->id;
            c.stored_len = (uint32_t)n;
        }
        c.stored_hash = n ? tp_xxh3(coded, n) : c.content_hash;
        draft_put(d, n ? coded : src, c.stored_len);
        free(coded);
    }
    c.segment = (uint32_t)(s - d->segments);
    d->chunks[d->x.chunk_n++] = c;
}

/* --- Segments and files --- */

static inline void draft_code(struct draft *d, struct feed *feed, struct tp_segment *s,
                              const uint8_t *src, const uint8_t *predicted)
{
    const struct tp_codec *codec = tp_codec_get(feed_below(feed, TP_CODEC_QUANT));
    bool refer = feed_byte(feed) & 1;
    struct tp_tables *tables = NULL;

    if (codec && (s->len == 0 || (codec->needs_base && !predicted) || !codec->fits(s->dtype)))
        codec = tp_codec_get(TP_CODEC_ZSTD);
    if (codec && codec->needs_tables) {
        tables = draft_learn(d, s, codec, src, predicted);
        codec = tables ? codec : NULL;
    }
    s->chunk_first = d->x.chunk_n;
    for (uint64_t at = 0; at < s->len; at += d->x.chunk_size)
        draft_add_chunk(d, s, at, src + at, predicted, codec, tables, refer);
    s->chunk_n = d->x.chunk_n - s->chunk_first;
    if (tables)
        codec->tables_destroy(tables);
}

static inline void draft_shape(struct draft *d, struct feed *feed, struct tp_segment *s,
                               uint64_t elems)
{
    s->name = feed_byte(feed) & 1 ? "model.layers.0.weight" : "w";
    s->elem_first = feed_below(feed, 3) * 8;
    s->shape = &d->dims[d->x.dim_n];
    s->rank = 1 + feed_below(feed, 2);
    d->dims[d->x.dim_n++] = s->elem_first + elems + feed_below(feed, 9);
    if (s->rank == 2)
        d->dims[d->x.dim_n++] = 1 + feed_below(feed, 3);
}

/* One more segment of the last file. */
static inline void draft_add_segment(struct draft *d, struct feed *feed)
{
    uint32_t file = d->x.file_n - 1, elems = 1 + feed_below(feed, DRAFT_ELEMS_MAX);
    struct tp_segment *s = &d->segments[d->x.segment_n];
    struct tp_pack_file *f = &d->files[file];
    unsigned width;
    uint8_t *grown;

    *s = (struct tp_segment){.name = "",
                             .file = file,
                             .dtype = (enum tp_dtype)feed_below(feed, TP_DTYPE_COUNT),
                             .file_off = f->size};
    width = s->dtype == TP_DTYPE_BYTES ? 8 : tp_dtype_bits(s->dtype);
    if (feed_byte(feed) == 255)
        elems = 0;
    draft_predict(d, feed, s, &elems);
    elems = width % 8 ? elems / 4 * 4 : elems;
    s->len = (uint64_t)elems * width / 8;
    if (d->x.logical_bytes + s->len > DRAFT_BYTES_MAX ||
        d->x.chunk_n + s->len / d->x.chunk_size + 1 > DRAFT_CHUNKS_MAX)
        elems = 0, s->len = 0;
    if (s->dtype != TP_DTYPE_BYTES)
        draft_shape(d, feed, s, elems);
    grown = draft_alloc(f->size + s->len);
    if (f->size)
        memcpy(grown, d->content[file], f->size);
    free(d->content[file]);
    d->content[file] = grown;
    draft_fill(feed, grown + f->size, s->len, draft_predicted(d, s));
    /* Codecs may read what lies behind their input. */
    d->x.segment_n++;
    draft_code(d, feed, s, grown + f->size, s->from.whence && s->len ? d->predicted : NULL);
    f->segment_n++;
    f->size += s->len;
    d->x.logical_bytes += s->len;
}

static inline void draft_add_attr(struct draft *d, struct feed *feed, uint32_t file)
{
    static const char *const names[] = {"user.a", "user.comment", "user.\x01"};
    uint32_t len = feed_below(feed, DRAFT_VALUE_MAX);

    for (uint32_t i = 0; i < len; i++)
        d->values[d->x.values_len + i] = (uint8_t)feed_byte(feed);
    d->attrs[d->x.attr_n++] = (struct tp_attr){.file = file,
                                               .name = names[feed_below(feed, 3)],
                                               .value = d->values + d->x.values_len,
                                               .len = len};
    d->x.values_len += len;
}

/* A lower file to be another name of, or TP_NONE. */
static inline uint32_t draft_choose_link(const struct draft *d, struct feed *feed, uint32_t below)
{
    uint32_t file = below ? feed_below(feed, below) : 0;

    return file < below && d->files[file].type == TP_ENTRY_FILE && d->files[file].link == TP_NONE
               ? file
               : TP_NONE;
}

static inline void draft_fill_file(struct draft *d, struct feed *feed, struct tp_pack_file *f)
{
    uint32_t n = feed_below(feed, 4);

    for (uint32_t i = 0; i < n && d->x.segment_n < DRAFT_SEGMENTS_MAX; i++)
        draft_add_segment(d, feed);
    f->sparse = feed_byte(feed) & 1;
    if (!d->content[d->x.file_n - 1])
        d->content[d->x.file_n - 1] = draft_alloc(0);
    FUZZ_CHECK(tp_sha256(d->content[d->x.file_n - 1], f->size, f->sha256) == 0);
}

/* Names come in their order: each is after its sisters. DIR: the directory that it is in. */
static inline void draft_add_file(struct draft *d, struct feed *feed, const char *dir)
{
    uint32_t number = d->x.file_n, kind = feed_below(feed, 6);
    struct tp_pack_file *f = &d->files[number];
    char *path = d->paths[number];

    snprintf(path, DRAFT_PATH_MAX, "%s%s%c%c", dir, dir[0] ? "/" : "", 'a' + (int)number / 26,
             'a' + (int)number % 26);
    *f = (struct tp_pack_file){.path = path,
                               .mode = feed_byte(feed) << 4,
                               .mtime_sec = (int64_t)feed_byte(feed) << 24,
                               .mtime_nsec = feed_below(feed, 65536),
                               .segment_first = d->x.segment_n,
                               .link = TP_NONE};
    d->x.file_n++;
    if (kind == 0) {
        f->type = TP_ENTRY_DIR;
    } else if (kind == 1) {
        f->type = TP_ENTRY_SYMLINK;
        f->target = feed_byte(feed) & 1 ? "../x" : "/";
    } else {
        f->type = TP_ENTRY_FILE;
        if (kind == 2)
            f->link = draft_choose_link(d, feed, number);
        if (f->link == TP_NONE)
            draft_fill_file(d, feed, f);
    }
    if (f->type != TP_ENTRY_SYMLINK && f->link == TP_NONE && (feed_byte(feed) & 3) == 3)
        draft_add_attr(d, feed, number);
}

/* All of a pack over BASE (NULL: none), whose pack is BASE_PACK. */
static inline void draft_make(struct draft *d, struct feed *feed, const struct draft *base,
                              const struct tp_pack *base_pack)
{
    const char *above[DRAFT_DEPTH_MAX] = {""};
    uint32_t n = 1 + feed_below(feed, DRAFT_FILES_MAX), depth = 0;

    memset(d, 0, sizeof *d);
    d->base = base;
    d->scratch = tp_scratch_create();
    FUZZ_CHECK(d->scratch != NULL);
    d->x = (struct tp_index){.chunk_size = 4096u << feed_below(feed, 4),
                             .has_base = base != NULL,
                             .base_name = base ? "base" : "",
                             .writer = "fuzz",
                             .root_mode = 0700 | feed_byte(feed),
                             .files = d->files,
                             .segments = d->segments,
                             .chunks = d->chunks,
                             .tables = d->tables,
                             .attrs = d->attrs,
                             .values = d->values,
                             .dims = d->dims};
    if (base) {
        memcpy(d->x.base_id, tp_pack_get_id(base_pack), TP_SHA256_LEN);
        memcpy(d->x.base_content_id, tp_pack_content_id(base_pack), TP_SHA256_LEN);
    }
    while (d->x.file_n < n) {
        uint32_t up = feed_below(feed, 4) == 3 ? 1 + feed_below(feed, DRAFT_DEPTH_MAX) : 0;

        depth -= up < depth ? up : depth;
        draft_add_file(d, feed, above[depth]);
        if (d->files[d->x.file_n - 1].type == TP_ENTRY_DIR && depth + 1 < DRAFT_DEPTH_MAX)
            above[++depth] = d->files[d->x.file_n - 1].path;
    }
    if (feed_byte(feed) & 1)
        draft_add_attr(d, feed, TP_NONE);
}

static inline void draft_clear(struct draft *d)
{
    for (uint32_t i = 0; i < DRAFT_FILES_MAX; i++)
        free(d->content[i]);
    free(d->predicted);
    tp_buffer_clear(&d->data);
    tp_scratch_destroy(d->scratch);
}

#endif
