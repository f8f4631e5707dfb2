/* SPDX-License-Identifier: MIT */
/* Ranges of files in bytes, and the chunks that contain them. */
#include <config.h>

#include "store/pack/window.h"

#include <string.h>

#include "codec/convert.h"

struct tp_window_bytes tp_window_bytes(const struct tp_window *window)
{
    unsigned from = tp_dtype_bits(window->from->dtype), to = tp_dtype_bits(window->dtype);

    if (window->from->dtype == window->dtype)
        return (struct tp_window_bytes){window->from->off + window->off, window->len};
    return (struct tp_window_bytes){window->from->off + window->off * 8 / to * (from / 8),
                                    (size_t)window->len * 8 / to * (from / 8)};
}

void tp_range_init(struct tp_range *range, const struct tp_index *index, uint32_t segment,
                   uint64_t off, size_t len)
{
    struct tp_range first;
    struct tp_part part;

    *range = (struct tp_range){
        .index = index, .segment = &index->segments[segment], .off = off, .len = len};
    first = *range;
    range->single = tp_range_next(&first, &part) && part.off == 0 && part.len == len;
    range->whole = range->single && len == tp_index_chunk_len(index, part.chunk);
}

bool tp_range_next(struct tp_range *range, struct tp_part *part)
{
    const struct tp_index *x = range->index;
    const struct tp_segment *s = range->segment;
    uint64_t at = range->off + range->done;
    size_t left = range->len - range->done, in_chunk;

    if (left == 0)
        return false;
    if (at - s->file_off >= s->len)
        s = range->segment = &x->segments[tp_index_segment_at(x, &x->files[s->file], at)];
    part->chunk = s->chunk_first + (uint32_t)((at - s->file_off) / x->chunk_size);
    part->off = (uint32_t)((at - s->file_off) % x->chunk_size);
    in_chunk = tp_index_chunk_len(x, part->chunk) - part->off;
    part->len = (uint32_t)(in_chunk < left ? in_chunk : left);
    return true;
}

bool tp_range_add(struct tp_range *range, const struct tp_part *part, const uint8_t *block)
{
    if (!range->single)
        memcpy(range->joined + range->done, block + part->off, part->len);
    range->data = range->single ? block : range->joined;
    range->done += part->len;
    return range->single;
}

enum tp_whence tp_chunk_range(const struct tp_index *x, const struct tp_index *base, uint32_t chunk,
                              struct tp_range *range)
{
    const struct tp_chunk *c = &x->chunks[chunk];
    const struct tp_segment *s = &x->segments[c->segment];
    const struct tp_codec *codec = tp_codec_get(c->codec);
    const struct tp_index *in = s->from.whence == TP_FROM_PACK ? x : base;
    struct tp_window window = {.from = &s->from,
                               .dtype = s->dtype,
                               .off = (uint64_t)(chunk - s->chunk_first) * x->chunk_size,
                               .len = tp_index_chunk_len(x, chunk)};
    struct tp_window_bytes bytes;

    if (c->codec == TP_CODEC_SAME) {
        if (base)
            tp_range_init(range, base, tp_index_segment_at(base, &base->files[c->ref], c->ref_off),
                          c->ref_off, window.len);
        return TP_FROM_BASE;
    }
    if (!codec || !codec->needs_base || s->from.whence == TP_FROM_NONE)
        return TP_FROM_NONE;
    if (in) {
        bytes = tp_window_bytes(&window);
        tp_range_init(range, in, s->from.segment, bytes.off, bytes.len);
    }
    return s->from.whence;
}

int tp_work_convert(struct tp_work *work, enum tp_dtype from, enum tp_dtype to, size_t len,
                    const uint8_t **data, struct tp_error *err)
{
    int rc;

    if (from == to)
        return 0;
    rc = tp_work_allocate(&work->converted, err);
    if (rc < 0)
        return rc;
    tp_convert(to, work->converted, from, *data, len * 8 / tp_dtype_bits(from));
    *data = work->converted;
    return 0;
}
