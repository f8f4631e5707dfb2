/* SPDX-License-Identifier: MIT */
/* Decoding chunks with a private cache of one block for each level. */
#include <config.h>

#include "store/pack/decode.h"

#include <errno.h>
#include <inttypes.h>

#include "store/pack/pack_internal.h"

static int decode_chunk(struct tp_pack *pack, uint32_t chunk, uint8_t *dst, enum tp_check check,
                        struct tp_work *work, unsigned level, struct tp_error *err);

int tp_decode_privately(struct tp_pack *pack, uint32_t chunk, struct tp_work *work, unsigned level,
                        const uint8_t **data, struct tp_error *err)
{
    struct tp_work_level *own = &work->levels[level];
    uint64_t serial = tp_pack_serial(pack);
    int rc;

    if (own->block_of != serial || own->chunk != chunk) {
        rc = tp_work_allocate(&own->block, err);
        own->block_of = 0;
        if (rc == 0)
            rc = decode_chunk(pack, chunk, own->block, TP_CHECK_STORED, work, level + 1, err);
        if (rc < 0)
            return rc;
        own->block_of = serial;
        own->chunk = chunk;
    }
    *data = own->block;
    return 0;
}

static int fill_range(struct tp_pack *pack, struct tp_range *range, struct tp_work *work,
                      unsigned level, struct tp_error *err)
{
    struct tp_part part;
    const uint8_t *block;
    int rc = 0;

    while (rc == 0 && tp_range_next(range, &part)) {
        rc = tp_decode_privately(pack, part.chunk, work, level, &block, err);
        if (rc == 0)
            tp_range_add(range, &part, block);
    }
    return rc;
}

static int decode_chunk(struct tp_pack *pack, uint32_t chunk, uint8_t *dst, enum tp_check check,
                        struct tp_work *work, unsigned level, struct tp_error *err)
{
    struct tp_chunk_plan plan = {
        .pack = pack, .chunk = chunk, .dst = dst, .check = check, .work = work, .level = level};
    int rc;

    tp_chunk_resolve(&plan.pack, &plan.chunk);
    /* The caller checks only its own pack's file. */
    if (check == TP_CHECK_FILE && plan.pack != pack)
        plan.check = TP_CHECK_CONTENT;
    rc = tp_chunk_plan_make(&plan, err);
    if (rc == 0)
        rc = fill_range(plan.from, &plan.range, work, level, err);
    return rc < 0 ? rc : tp_chunk_plan_decode(&plan, err);
}

int tp_pack_decode_chunk(struct tp_pack *pack, uint32_t chunk, void *dst, struct tp_work *work,
                         struct tp_error *err)
{
    if (chunk >= tp_pack_index(pack)->chunk_n)
        return tp_fail(err, EINVAL, "'%s' has no chunk %" PRIu32, tp_pack_path(pack), chunk);
    return decode_chunk(pack, chunk, dst, TP_CHECK_FILE, work, 0, err);
}

int tp_window_read(struct tp_pack *base, const struct tp_window *window, struct tp_work *work,
                   struct tp_window_view *view, struct tp_error *err)
{
    struct tp_window_bytes bytes = tp_window_bytes(window);
    struct tp_range range;
    int rc = tp_work_allocate(&work->levels[0].joined, err);

    if (rc < 0)
        return rc;
    tp_range_init(&range, tp_pack_index(base), window->from->segment, bytes.off, bytes.len);
    range.joined = work->levels[0].joined;
    rc = fill_range(base, &range, work, 0, err);
    if (rc < 0)
        return rc;
    view->data = range.data;
    view->aligned = range.whole && window->from->dtype == window->dtype;
    return tp_work_convert(work, window->from->dtype, window->dtype, bytes.len, &view->data, err);
}
