/* SPDX-License-Identifier: MIT */
/* The base's elements behind a chunk, whatever their alignment and dtype. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "codec/convert.h"
#include "store/pack/pack_internal.h"
#include "store/pack/window.h"

struct tp_work *tp_work_create(void)
{
    struct tp_work *work = calloc(1, sizeof *work);

    if (!work)
        return NULL;
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

bool tp_window_possible(const struct tp_index *base, uint32_t segment, uint64_t base_elem, uint64_t n,
                        enum tp_dtype dtype)
{
    const struct tp_segment *s;
    unsigned bits;

    if (segment >= base->segment_n || dtype == TP_DTYPE_BYTES)
        return false;
    s = &base->segments[segment];
    if (s->dtype == TP_DTYPE_BYTES || !tp_convert_possible(s->dtype, dtype))
        return false;
    bits = tp_dtype_bits(s->dtype);
    return (base_elem % 8 * bits) % 8 == 0 && tp_range_within(base_elem, n, s->len * 8 / bits);
}

/* The chunk decoded into the level's own buffer, where the last one is remembered. */
static int decode_here(struct tp_pack *base, uint32_t chunk, struct tp_work *work, struct tp_work_level *level,
                       struct tp_error *err)
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

/* Copy [off, off + len) of the base's segment into level->joined, chunk by chunk. */
static int join(struct tp_pack *base, const struct tp_segment *s, uint64_t off, size_t len,
                struct tp_work *work, const struct tp_chunk_fetch *fetch, struct tp_error *err)
{
    const struct tp_index *index = tp_pack_index(base);
    struct tp_work_level *level = &work->levels[work->depth];
    int rc = tp_work_need(&level->joined, err);

    for (size_t done = 0; rc == 0 && done < len;) {
        uint32_t chunk = s->chunk_first + (uint32_t)((off + done) / index->chunk_size);
        size_t at = (off + done) % index->chunk_size;
        size_t n = tp_index_chunk_len(index, chunk) - at;
        const uint8_t *data;
        void *handle;

        if (n > len - done)
            n = len - done;
        rc = tp_window_chunk(base, chunk, false, work, fetch, &data, &handle, err);
        if (rc < 0)
            break;
        memcpy(level->joined + done, data + at, n);
        if (handle)
            fetch->release(fetch->arg, handle);
        done += n;
    }
    return rc;
}

int tp_window_get(struct tp_pack *base, const struct tp_window *window, struct tp_work *work,
                  const struct tp_chunk_fetch *fetch, struct tp_window_view *view, struct tp_error *err)
{
    const struct tp_index *index = tp_pack_index(base);
    const struct tp_segment *s = &index->segments[window->segment];
    struct tp_work_level *level = tp_work_level_get(work, err);
    unsigned from_bits = tp_dtype_bits(s->dtype), to_bits = tp_dtype_bits(window->dtype);
    uint64_t off;
    size_t len;
    int rc;

    memset(view, 0, sizeof *view);
    if (!level)
        return err ? err->code : -EBADMSG;
    if (s->dtype == window->dtype) {
        off = window->base_elem / 8 * from_bits + window->base_elem % 8 * from_bits / 8 + window->off;
        len = window->len;
    } else {
        off = (window->base_elem + window->off * 8 / to_bits) * (from_bits / 8);
        len = (size_t)window->len * 8 / to_bits * (from_bits / 8);
    }
    view->chunk = s->chunk_first + (uint32_t)(off / index->chunk_size);
    if (len && off % index->chunk_size == 0 && len <= tp_index_chunk_len(index, view->chunk)) {
        view->aligned = s->dtype == window->dtype && len == tp_index_chunk_len(index, view->chunk);
        rc = tp_window_chunk(base, view->chunk, view->aligned, work, fetch, &view->data, &view->handle, err);
    } else {
        rc = join(base, s, off, len, work, fetch, err);
        view->data = level->joined;
    }
    if (rc < 0 || s->dtype == window->dtype)
        return rc;
    rc = tp_work_need(&level->converted, err);
    if (rc == 0)
        tp_convert(window->dtype, level->converted, s->dtype, view->data, len * 8 / from_bits);
    tp_window_release(fetch, view);
    view->data = level->converted;
    return rc;
}

void tp_window_release(const struct tp_chunk_fetch *fetch, struct tp_window_view *view)
{
    if (view->handle)
        fetch->release(fetch->arg, view->handle);
    view->handle = NULL;
}
