/* SPDX-License-Identifier: MIT */
/*
 * Coding the segments of a pack: their chunks as a source for the coder, and references to known
 * chunks.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "store/write/writer_internal.h"
#include "store/write/chunkmap.h"

#define TRAINING_MAX 8u /* segments that are trained at a time: each takes memory */

static int read_model(struct tp_writer *w, uint32_t file, void *dst, size_t len, uint64_t off,
                      struct tp_error *err)
{
    int rc = tp_model_read(w->plan.model, w->plan.model_file[file], off, dst, len, err);

    if (rc == -EBADMSG)
        return tp_fail(err, EBUSY, "'%s/%s' became shorter while it was packed", w->plan.root,
                       w->plan.index.files[file].path);
    return rc;
}

/* Read the predicting bytes from the model, because the pack does not have them yet. */
static int read_window(struct tp_writer *w, const struct tp_window *window, struct tp_work *work,
                       struct tp_window_view *view, struct tp_error *err)
{
    const struct tp_segment *s = &w->plan.index.segments[window->from->segment];
    uint8_t **joined = &work->levels[0].joined;
    struct tp_window_bytes b = tp_window_bytes(window);
    uint64_t in = b.off - s->file_off, chunk_size = w->plan.index.chunk_size;
    int rc = tp_work_allocate(joined, err);

    if (rc == 0)
        rc = read_model(w, window->from->file, *joined, b.len, b.off, err);
    if (rc < 0)
        return rc;
    view->data = *joined;
    view->aligned = window->from->dtype == window->dtype && in % chunk_size == 0 && in < s->len &&
                    b.len == (s->len - in < chunk_size ? s->len - in : chunk_size);
    return tp_work_convert(work, window->from->dtype, window->dtype, b.len, &view->data, err);
}

/* A segment as a source for the coder. */
struct segment_source {
    struct tp_writer *w;
    const struct tp_segment *s;
    struct tp_work *work;
    struct tp_window_view view;
};

static int read_segment(void *arg, uint32_t chunk, void *dst, size_t len, struct tp_error *err)
{
    const struct segment_source *from = arg;

    return read_model(from->w, from->s->file, dst, len,
                      from->s->file_off + (uint64_t)chunk * from->w->plan.index.chunk_size, err);
}

static int predict_segment(void *arg, uint32_t chunk, size_t len, const uint8_t **out, bool *whole,
                           struct tp_error *err)
{
    struct segment_source *from = arg;
    const struct tp_segment *s = from->s;
    struct tp_window window = {.from = &s->from,
                               .dtype = s->dtype,
                               .off = (uint64_t)chunk * from->w->plan.index.chunk_size,
                               .len = (uint32_t)len};
    int rc = s->from.whence == TP_FROM_PACK
                 ? read_window(from->w, &window, from->work, &from->view, err)
                 : tp_window_read(from->w->plan.base, &window, from->work, &from->view, err);

    *out = from->view.data;
    *whole = from->view.aligned;
    return rc;
}

static struct tp_code_source source_of(struct segment_source *from)
{
    return (struct tp_code_source){.dtype = from->s->dtype,
                                   .len = from->s->len,
                                   .chunk_size = from->w->plan.index.chunk_size,
                                   .predicted = from->s->from.whence != TP_FROM_NONE,
                                   .read = read_segment,
                                   .predict = predict_segment,
                                   .arg = from};
}

int tp_train_segment(struct tp_writer *w, uint32_t segment, struct tp_writer_memory *memory,
                     struct tp_error *err)
{
    struct segment_source from = {
        .w = w, .s = &w->plan.index.segments[segment], .work = memory->work};
    const struct tp_code_source source = source_of(&from);
    int rc;

    pthread_mutex_lock(&w->lock);
    while (w->training_n >= TRAINING_MAX)
        pthread_cond_wait(&w->segment_trained, &w->lock);
    w->training_n++;
    pthread_mutex_unlock(&w->lock);

    rc = tp_train(&source, &w->code, 0, &memory->coder, &w->segments[segment].trained, err);

    pthread_mutex_lock(&w->lock);
    w->training_n--;
    w->segments[segment].done = true;
    pthread_cond_broadcast(&w->segment_trained);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

static void wait_trained(struct tp_writer *w, uint32_t segment)
{
    TP_LOCK_SCOPE(&w->lock);
    while (!w->segments[segment].done)
        pthread_cond_wait(&w->segment_trained, &w->lock);
}

bool tp_writer_may_refer(const struct tp_writer *w, const struct tp_segment *s, uint32_t chunk)
{
    const struct tp_index *x = &w->plan.index;

    return !x->files[s->file].predicts ||
           x->segments[x->chunks[chunk].segment].from.whence != TP_FROM_PACK;
}

void tp_coded_set_same(struct tp_coded *c, uint32_t chunk, const struct tp_pack *base)
{
    c->coding.codec = TP_CODEC_SAME;
    c->coding.len = 0;
    c->stored_hash = 0;
    c->ref = chunk;
    c->ref_base = base != NULL;
    if (base)
        tp_index_place(tp_pack_index(base), chunk, &c->ref, &c->stored_hash);
}

/* Find a chunk of the base with this content: the one at the same place, or any other. */
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

int tp_encode_chunk(struct tp_writer *w, uint32_t chunk, struct tp_writer_memory *memory,
                    struct tp_coded *out, struct tp_error *err)
{
    const struct tp_index *x = &w->plan.index;
    uint32_t segment = x->chunks[chunk].segment;
    const struct tp_segment *s = &x->segments[segment];
    struct segment_source from = {.w = w, .s = s, .work = memory->work};
    const struct tp_code_source source = source_of(&from);
    const struct tp_trained *trained = NULL;
    int rc;

    out->len = tp_index_chunk_len(x, chunk);
    out->ref_base = false;
    out->ref = 0;
    rc = read_segment(&from, chunk - s->chunk_first, out->src, out->len, err);
    if (rc < 0)
        return rc;
    out->content_hash = tp_xxh3(out->src, out->len);
    if (find_same(w, s, out))
        return 0;
    if (s->dtype != TP_DTYPE_BYTES) {
        wait_trained(w, segment);
        trained = &w->segments[segment].trained;
    }
    rc = tp_code_chunk(&source, chunk - s->chunk_first, out->src, trained, &w->code, &memory->coder,
                       &out->coding, err);
    if (rc < 0)
        return rc;
    out->stored_hash = out->coding.codec == TP_CODEC_RAW
                           ? out->content_hash
                           : tp_xxh3(out->coding.bytes, out->coding.len);
    return 0;
}
