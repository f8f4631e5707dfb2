/* SPDX-License-Identifier: MIT */
/* One chunk: a reference where its content is known, else coded by whatever makes it smallest. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "codec/scratch.h"
#include "store/write/writer_internal.h"

int tp_writer_read(struct tp_writer *w, uint32_t file, void *dst, size_t len, uint64_t off,
                   struct tp_error *err)
{
    int rc = tp_model_read(w->plan.model, w->plan.model_file[file], off, dst, len, err);

    if (rc == -EBADMSG)
        return tp_fail(err, EBUSY, "'%s/%s' became shorter while it was packed", w->plan.root,
                       w->plan.index.files[file].path);
    return rc;
}

/* From the model itself: what will be in the pack is not there yet, so its source is read. */
static int read_window(struct tp_writer *w, const struct tp_window *window, struct tp_work *work,
                       struct tp_window_view *view, struct tp_error *err)
{
    const struct tp_segment *s = &w->plan.index.segments[window->from->segment];
    struct tp_work_level *level = tp_work_level_get(work, err);
    struct tp_window_bytes b = tp_window_bytes(window);
    uint64_t in = b.off - s->file_off, chunk_size = w->plan.index.chunk_size;
    int rc = level ? tp_work_need(&level->joined, err) : -EBADMSG;

    memset(view, 0, sizeof *view);
    if (rc == 0)
        rc = tp_writer_read(w, window->from->file, level->joined, b.len, b.off, err);
    if (rc < 0)
        return rc;
    view->data = level->joined;
    view->aligned = window->from->dtype == window->dtype && in % chunk_size == 0 && in < s->len &&
                    b.len == (s->len - in < chunk_size ? s->len - in : chunk_size);
    return tp_window_convert(window, b.len, level, view, err);
}

int tp_writer_window(struct tp_writer *w, const struct tp_segment *s, uint32_t nth, uint32_t len,
                     struct tp_work *work, struct tp_window_view *view, struct tp_error *err)
{
    struct tp_window window = {.from = &s->from,
                               .dtype = s->dtype,
                               .off = (uint64_t)nth * w->plan.index.chunk_size,
                               .len = len};

    return s->from.whence == TP_FROM_PACK
               ? read_window(w, &window, work, view, err)
               : tp_window_get(w->plan.base, &window, work, NULL, view, err);
}

size_t tp_encode_zstd(const struct tp_writer *w, struct tp_work *work, const void *src, size_t len,
                      void *dst, size_t cap)
{
    tp_scratch_set_level(work->scratch, w->zstd_level);
    return tp_codec_general()->encode(NULL, TP_DTYPE_BYTES, src, NULL, len, dst, cap,
                                      work->scratch);
}

/*
 * Offer a coding of N bytes that stands in the coder's spare place and costs TABLES more; 0: there
 * is none.
 */
static void offer(struct tp_coded *out, struct tp_coder *coder, uint8_t codec, size_t n,
                  size_t tables)
{
    uint8_t *was = out->bytes;

    if (n == 0 || n + tables >= out->cost)
        return;
    out->codec = codec;
    out->stored_len = (uint32_t)n;
    out->cost = (uint32_t)(n + tables);
    out->bytes = coder->spare;
    coder->spare = was;
}

/* Whether the bytes repeat every 64: what only zstd makes nothing of. */
static bool repeats(const uint8_t *src, uint32_t len)
{
    return len > 64 && memcmp(src, src + 64, len - 64) == 0;
}

bool tp_writer_may_refer(const struct tp_writer *w, const struct tp_segment *s, uint32_t chunk)
{
    const struct tp_index *x = &w->plan.index;

    return !x->files[s->file].predicts ||
           x->segments[x->chunks[chunk].segment].from.whence != TP_FROM_PACK;
}

void tp_coded_set_same(struct tp_coded *c, uint32_t chunk, const struct tp_pack *base)
{
    c->codec = TP_CODEC_SAME;
    c->stored_len = 0;
    c->stored_hash = 0;
    c->ref = chunk;
    c->ref_base = base != NULL;
    if (base)
        tp_index_place(tp_pack_index(base), chunk, &c->ref, &c->stored_hash);
}

/* The one of the base's chunks in the same place, or any that has this content. */
static bool find_same(struct tp_writer *w, const struct tp_segment *s, struct tp_coded *out)
{
    uint32_t found =
        w->in_base ? tp_chunkmap_find(w->in_base, out->content_hash, out->len) : TP_NONE;

    if (found != TP_NONE) {
        tp_coded_set_same(out, found, w->plan.base);
        return true;
    }
    found = tp_chunkmap_find(w->in_pack, out->content_hash, out->len);
    if (found == TP_NONE || !tp_writer_may_refer(w, s, found))
        return false;
    tp_coded_set_same(out, found, NULL);
    return true;
}

/* With one chunk in the segment, its tables are this chunk's cost alone: count them. */
static size_t tables_cost(const struct tp_segment *s, const struct tp_candidate *c)
{
    return s->chunk_n == 1 ? c->blob.len : 0;
}

static int encode_candidates(struct tp_writer *w, const struct tp_segment *s, uint32_t nth,
                             const struct tp_learned *learned, struct tp_coder *coder,
                             struct tp_coded *out, struct tp_error *err)
{
    struct tp_window_view view = {0};

    for (unsigned i = 0; i < learned->n; i++) {
        const struct tp_candidate *c = &learned->candidates[i];
        size_t tables = tables_cost(s, c);
        int rc = 0;

        if (tables >= out->cost)
            continue;
        if (c->codec->needs_base && !view.data)
            rc = tp_writer_window(w, s, nth, out->len, coder->work, &view, err);
        if (rc < 0)
            return rc;
        if (!tp_codec_worth(c->codec, s->dtype, out->src, view.data, out->len))
            continue;
        offer(out, coder, (uint8_t)c->codec->id,
              c->codec->encode(c->tables, s->dtype, out->src, view.data, out->len, coder->spare,
                               out->cost - tables, coder->work->scratch),
              tables);
    }
    return 0;
}

static void wait_learned(struct tp_writer *w, const struct tp_learned *learned)
{
    pthread_mutex_lock(&w->lock);
    while (!learned->done)
        pthread_cond_wait(&w->learned_one, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

int tp_encode_chunk(struct tp_writer *w, uint32_t chunk, struct tp_coder *coder,
                    struct tp_coded *out, struct tp_error *err)
{
    const struct tp_index *x = &w->plan.index;
    const struct tp_segment *s = &x->segments[x->chunks[chunk].segment];
    struct tp_learned *learned = &w->learned[x->chunks[chunk].segment];
    uint32_t nth = chunk - s->chunk_first;
    int rc;

    out->len = tp_index_chunk_len(x, chunk);
    out->codec = TP_CODEC_RAW;
    out->stored_len = out->cost = out->len;
    out->ref_base = false;
    out->ref = 0;
    rc = tp_writer_read(w, s->file, out->src, out->len, s->file_off + (uint64_t)nth * x->chunk_size,
                        err);
    if (rc < 0)
        return rc;
    out->content_hash = tp_xxh3(out->src, out->len);
    if (find_same(w, s, out))
        return 0;
    if (s->dtype != TP_DTYPE_BYTES) {
        wait_learned(w, learned);
        rc = encode_candidates(w, s, nth, learned, coder, out, err);
        if (rc < 0)
            return rc;
    }
    if (w->allowed[TP_CODEC_ZSTD] &&
        (s->dtype == TP_DTYPE_BYTES || learned->try_zstd || repeats(out->src, out->len)))
        offer(out, coder, TP_CODEC_ZSTD,
              tp_encode_zstd(w, coder->work, out->src, out->len, coder->spare, out->cost), 0);
    out->stored_hash =
        out->codec == TP_CODEC_RAW ? out->content_hash : tp_xxh3(out->bytes, out->stored_len);
    return 0;
}
