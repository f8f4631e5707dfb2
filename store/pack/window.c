/* SPDX-License-Identifier: MIT */
/* The base's elements behind a chunk, whatever their alignment and dtype. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "codec/convert.h"
#include "codec/scratch.h"
#include "store/pack/pack_internal.h"
#include "store/pack/window.h"

struct tp_work *tp_work_create(const atomic_int *cancel)
{
    struct tp_work *work = calloc(1, sizeof *work);

    if (!work)
        return NULL;
    work->cancel = cancel;
    work->scratch = tp_scratch_create();
    if (!work->scratch) {
        free(work);
        return NULL;
    }
    return work;
}

void tp_work_destroy(struct tp_work *work)
{
    if (!work)
        return;
    for (unsigned i = 0; i < TP_WORK_LEVELS; i++) {
        free(work->levels[i].stored);
        free(work->levels[i].decoded);
        free(work->levels[i].joined);
        free(work->levels[i].converted);
    }
    tp_scratch_destroy(work->scratch);
    free(work);
}

struct tp_work_level *tp_work_level_get(struct tp_work *work, struct tp_error *err)
{
    if (work->depth >= TP_WORK_LEVELS) {
        tp_fail(err, EBADMSG, "a chain of more than %d bases", TP_BASE_DEPTH_MAX);
        return NULL;
    }
    return &work->levels[work->depth];
}

int tp_work_need(uint8_t **buffer, struct tp_error *err)
{
    if (!*buffer)
        *buffer = malloc(TP_WORK_BUFFER);
    return *buffer ? 0 : tp_fail(err, ENOMEM, "out of memory for decoding");
}

/* The chunk decoded into the level's own buffer, where the last one is remembered. */
static int decode_here(struct tp_pack *base, uint32_t chunk, struct tp_work *work,
                       struct tp_work_level *level, struct tp_error *err)
{
    uint64_t serial = tp_pack_serial(base);

    if (level->decoded_of == serial && level->decoded_chunk == chunk)
        return 0;
    int rc = tp_work_need(&level->decoded, err);
    if (rc < 0)
        return rc;
    level->decoded_of = 0;
    work->depth++;
    rc = tp_pack_decode_chunk(base, chunk, level->decoded, work, NULL, err);
    work->depth--;
    if (rc < 0)
        return rc;
    level->decoded_of = serial;
    level->decoded_chunk = chunk;
    return 0;
}

int tp_window_chunk(struct tp_pack *base, uint32_t chunk, bool once, struct tp_work *work,
                    const struct tp_chunk_fetch *fetch, const uint8_t **data, void **handle,
                    struct tp_error *err)
{
    struct tp_work_level *level = tp_work_level_get(work, err);
    int rc = 1;

    if (!level)
        return err ? err->code : -EBADMSG;
    *handle = NULL;
    if (fetch) {
        work->depth++;
        rc = fetch->get(fetch->arg, base, chunk, once, data, handle, work, err);
        work->depth--;
    }
    if (rc <= 0)
        return rc;
    rc = decode_here(base, chunk, work, level, err);
    *data = level->decoded;
    return rc;
}

/*
 * The bytes [off, off + len) of the file that SEGMENT of BASE is a part of, chunk by chunk; OFF
 * lies in SEGMENT.
 */
static int gather(struct tp_pack *base, const struct tp_segment *s, uint64_t off, size_t len,
                  uint8_t *dst, struct tp_work *work, const struct tp_chunk_fetch *fetch,
                  struct tp_error *err)
{
    const struct tp_index *index = tp_pack_index(base);
    int rc = 0;

    for (size_t done = 0; rc == 0 && done < len;) {
        uint64_t in = off + done - s->file_off;
        uint32_t chunk = s->chunk_first + (uint32_t)(in / index->chunk_size);
        size_t at = in % index->chunk_size, n;
        const uint8_t *data;
        void *handle;

        if (in >= s->len) {
            s = &index->segments[tp_index_segment_at(index, &index->files[s->file], off + done)];
            continue;
        }
        n = tp_index_chunk_len(index, chunk) - at;
        if (n > len - done)
            n = len - done;
        rc = tp_window_chunk(base, chunk, false, work, fetch, &data, &handle, err);
        if (rc < 0)
            break;
        memcpy(dst + done, data + at, n);
        if (handle)
            fetch->release(fetch->arg, handle);
        done += n;
    }
    return rc;
}

int tp_window_copy(struct tp_pack *base, uint32_t file, uint64_t off, size_t len, uint8_t *dst,
                   struct tp_work *work, const struct tp_chunk_fetch *fetch, struct tp_error *err)
{
    const struct tp_index *index = tp_pack_index(base);

    return gather(base, &index->segments[tp_index_segment_at(index, &index->files[file], off)], off,
                  len, dst, work, fetch, err);
}

struct tp_window_bytes tp_window_bytes(const struct tp_window *window)
{
    unsigned from = tp_dtype_bits(window->from->dtype), to = tp_dtype_bits(window->dtype);

    if (window->from->dtype == window->dtype)
        return (struct tp_window_bytes){window->from->off + window->off, window->len};
    return (struct tp_window_bytes){window->from->off + window->off * 8 / to * (from / 8),
                                    (size_t)window->len * 8 / to * (from / 8)};
}

int tp_window_convert(const struct tp_window *window, size_t len, struct tp_work_level *level,
                      struct tp_window_view *view, struct tp_error *err)
{
    enum tp_dtype dtype = window->from->dtype;

    if (dtype == window->dtype)
        return 0;
    int rc = tp_work_need(&level->converted, err);
    if (rc < 0)
        return rc;
    tp_convert(window->dtype, level->converted, dtype, view->data, len * 8 / tp_dtype_bits(dtype));
    view->data = level->converted;
    return 0;
}

int tp_window_get(struct tp_pack *base, const struct tp_window *window, struct tp_work *work,
                  const struct tp_chunk_fetch *fetch, struct tp_window_view *view,
                  struct tp_error *err)
{
    const struct tp_index *index = tp_pack_index(base);
    const struct tp_segment *s = &index->segments[window->from->segment];
    struct tp_work_level *level = tp_work_level_get(work, err);
    struct tp_window_bytes b = tp_window_bytes(window);
    uint64_t in = b.off - s->file_off;
    uint32_t chunk;
    int rc;

    memset(view, 0, sizeof *view);
    if (!level)
        return err ? err->code : -EBADMSG;
    if (in >= s->len) {
        s = &index->segments[tp_index_segment_at(index, &index->files[s->file], b.off)];
        in = b.off - s->file_off;
    }
    chunk = s->chunk_first + (uint32_t)(in / index->chunk_size);
    if (in % index->chunk_size == 0 && b.len <= tp_index_chunk_len(index, chunk)) {
        view->aligned =
            window->from->dtype == window->dtype && b.len == tp_index_chunk_len(index, chunk);
        rc = tp_window_chunk(base, chunk, view->aligned, work, fetch, &view->data, &view->handle,
                             err);
    } else {
        rc = tp_work_need(&level->joined, err);
        if (rc == 0)
            rc = gather(base, s, b.off, b.len, level->joined, work, fetch, err);
        view->data = level->joined;
    }
    if (rc < 0 || window->from->dtype == window->dtype)
        return rc;
    rc = tp_window_convert(window, b.len, level, view, err);
    tp_window_release(fetch, view);
    return rc;
}

void tp_window_release(const struct tp_chunk_fetch *fetch, struct tp_window_view *view)
{
    if (view->handle)
        fetch->release(fetch->arg, view->handle);
    view->handle = NULL;
}
