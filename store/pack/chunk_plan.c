/* SPDX-License-Identifier: MIT */
/* What a chunk needs, and decoding it once that is there. */
#include <config.h>

#include "store/pack/chunk_plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/pack/pack_internal.h"

enum { PROBES = 256 }; /* chunks, and segments: 64 MiB at most */

/* "'PACK' is damaged: chunk N of 'FILE' (offset X in the pack): WHAT" */
static int damaged(const struct tp_chunk_plan *plan, const char *what, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(plan->pack);
    uint32_t file;
    uint64_t at;

    tp_index_place(x, plan->chunk, &file, &at);
    return tp_fail(err, EBADMSG,
                   "'%s' is damaged: chunk %" PRIu32 " (bytes from %" PRIu64
                   " of '%s', offset %" PRIu64 " in the pack): %s",
                   tp_pack_path(plan->pack), plan->chunk, at, x->files[file].path,
                   x->chunks[plan->chunk].stored_off, what);
}

static const struct tp_segment *segment_of(const struct tp_chunk_plan *plan)
{
    const struct tp_index *x = tp_pack_index(plan->pack);

    return &x->segments[x->chunks[plan->chunk].segment];
}

/* Bytes [OFF, OFF + LEN) of the file that SEGMENT of FROM is of, or that comes before them in it.
 */
static int plan_range(struct tp_chunk_plan *plan, struct tp_pack *from, uint32_t segment,
                      uint64_t off, size_t len, struct tp_error *err)
{
    struct tp_work_level *level = &plan->work->levels[plan->level];

    plan->from = from;
    tp_range_init(&plan->range, tp_pack_index(from), segment, off, len);
    if (!plan->codec) {
        plan->range.joined = plan->dst;
        return 0;
    }
    if (!plan->range.single && tp_work_need(&level->joined, err) < 0)
        return -ENOMEM;
    plan->range.joined = level->joined;
    return 0;
}

static int no_base(const struct tp_chunk_plan *plan, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(plan->pack);

    return tp_fail(err, ENOLINK, "'%s' of '%s' cannot be decoded: %s",
                   x->files[segment_of(plan)->file].path, tp_pack_path(plan->pack),
                   tp_pack_base_error(plan->pack));
}

static int plan_window(struct tp_chunk_plan *plan, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(plan->pack);
    const struct tp_segment *s = segment_of(plan);
    struct tp_pack *from = s->from.whence == TP_FROM_PACK ? plan->pack : tp_pack_base(plan->pack);
    struct tp_window_bytes bytes;
    int rc;

    if (s->from.whence == TP_FROM_NONE)
        return damaged(plan, "it is coded against what predicts it, and nothing does", err);
    if (!from)
        return no_base(plan, err);
    plan->window =
        (struct tp_window){.from = &s->from,
                           .dtype = s->dtype,
                           .off = (uint64_t)(plan->chunk - s->chunk_first) * x->chunk_size,
                           .len = tp_index_chunk_len(x, plan->chunk)};
    bytes = tp_window_bytes(&plan->window);
    rc = plan_range(plan, from, s->from.segment, bytes.off, bytes.len, err);
    plan->once = plan->range.whole && s->from.dtype == s->dtype;
    return rc;
}

/* Of a chunk that is bytes of the base. */
static int plan_copy(struct tp_chunk_plan *plan, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(plan->pack), *in;
    const struct tp_chunk *c = &x->chunks[plan->chunk];
    struct tp_pack *base = tp_pack_base(plan->pack);

    if (!base)
        return no_base(plan, err);
    in = tp_pack_index(base);
    return plan_range(plan, base, tp_index_segment_at(in, &in->files[c->ref], c->ref_off),
                      c->ref_off, tp_index_chunk_len(x, plan->chunk), err);
}

int tp_chunk_plan_make(struct tp_chunk_plan *plan, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(plan->pack);
    const struct tp_chunk *c = &x->chunks[plan->chunk];
    struct tp_work *work = plan->work;

    if (work->cancel && atomic_load_explicit(work->cancel, memory_order_relaxed))
        return tp_fail(err, ECANCELED, "cancelled");
    if (plan->level >= TP_WORK_LEVELS)
        return damaged(plan, "it lies behind too many bases", err);
    work->decoded += tp_index_chunk_len(x, plan->chunk);
    if (c->codec == TP_CODEC_SAME)
        return plan_copy(plan, err);
    if (c->codec == TP_CODEC_RAW)
        return 0;
    plan->codec = tp_codec_get(c->codec);
    if (!plan->codec || !plan->codec->fits(segment_of(plan)->dtype))
        return damaged(plan, "its codec does not fit its dtype, or is not in this build", err);
    return plan->codec->needs_base ? plan_window(plan, err) : 0;
}

static struct tp_bytes *bytes_of(const struct tp_chunk_plan *plan)
{
    return plan->check == TP_CHECK_FILE ? tp_pack_bytes(plan->pack) : tp_pack_mirrored(plan->pack);
}

static int read_stored(const struct tp_chunk_plan *plan, uint8_t *dst, struct tp_error *err)
{
    const struct tp_chunk *c = &tp_pack_index(plan->pack)->chunks[plan->chunk];
    int rc = tp_bytes_read_checked(bytes_of(plan), dst, c->stored_len, c->stored_off,
                                   c->stored_hash, err);

    return rc > 0 ? damaged(plan, "its coded bytes do not match their checksum", err) : rc;
}

static bool is_content(const struct tp_chunk_plan *plan)
{
    const struct tp_index *x = tp_pack_index(plan->pack);

    return tp_xxh3(plan->dst, tp_index_chunk_len(x, plan->chunk)) ==
           x->chunks[plan->chunk].content_hash;
}

static int check_content(const struct tp_chunk_plan *plan, struct tp_error *err)
{
    return plan->check == TP_CHECK_STORED || is_content(plan)
               ? 0
               : damaged(plan, "what it decodes to does not match its checksum", err);
}

/* The coded bytes are in WORK's buffer. */
static int decode_stored(const struct tp_chunk_plan *plan, const struct tp_tables *tables,
                         const uint8_t *base, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(plan->pack);
    int rc = plan->codec->decode(tables, segment_of(plan)->dtype, plan->work->stored,
                                 x->chunks[plan->chunk].stored_len, base, plan->dst,
                                 tp_index_chunk_len(x, plan->chunk), plan->work->scratch);

    if (rc == -ENOMEM)
        return tp_fail(err, ENOMEM, "out of memory for decoding '%s'", tp_pack_path(plan->pack));
    return rc < 0 ? damaged(plan, "its coded bytes break the rules of its codec", err) : 0;
}

/*
 * Where the content is checked in any case, its checksum says all that the one of the coded bytes
 * would: that is only computed where something is wrong, to say what, and to read a copy.
 */
static int read_and_decode(const struct tp_chunk_plan *plan, const struct tp_tables *tables,
                           const uint8_t *base, struct tp_error *err)
{
    const struct tp_chunk *c = &tp_pack_index(plan->pack)->chunks[plan->chunk];
    uint8_t *stored = plan->work->stored;
    int rc;

    if (plan->check == TP_CHECK_CONTENT &&
        tp_bytes_read(bytes_of(plan), stored, c->stored_len, c->stored_off, NULL) == 0 &&
        decode_stored(plan, tables, base, NULL) == 0 && is_content(plan))
        return 0;
    rc = read_stored(plan, stored, err);
    if (rc == 0)
        rc = decode_stored(plan, tables, base, err);
    return rc < 0 ? rc : check_content(plan, err);
}

static int decode_coded(const struct tp_chunk_plan *plan, struct tp_error *err)
{
    struct tp_tables_entry *tables = NULL;
    const uint8_t *base = plan->range.data;
    int rc = tp_work_need(&plan->work->stored, err);

    if (rc == 0 && plan->from)
        rc = tp_window_convert(&plan->window, plan->range.len, plan->work, &base, err);
    if (rc == 0 && plan->codec->needs_tables)
        rc = tp_tables_get(plan->pack, bytes_of(plan),
                           tp_pack_index(plan->pack)->chunks[plan->chunk].segment, plan->codec,
                           &tables, err);
    if (rc == 0)
        rc = read_and_decode(plan, tables ? tp_tables_of(tables) : NULL, base, err);
    if (tables)
        tp_tables_put(tables);
    return rc;
}

int tp_chunk_plan_decode(struct tp_chunk_plan *plan, struct tp_error *err)
{
    if (plan->codec)
        return decode_coded(plan, err);
    if (!plan->from)
        return read_stored(plan, plan->dst, err); /* its hash is that of the content, too */
    if (plan->range.data != plan->dst)
        memcpy(plan->dst, plan->range.data, plan->range.len);
    return check_content(plan, err);
}

bool tp_pack_probe(struct tp_pack *pack)
{
    const struct tp_index *x = tp_pack_index(pack);
    uint32_t chunk_step = x->chunk_n / PROBES + 1, segment_step = x->segment_n / PROBES + 1;
    struct tp_chunk_plan plan = {.pack = pack, .check = TP_CHECK_FILE};
    uint8_t *coded = malloc(TP_CHUNK_MAX);
    bool good = coded != NULL;

    for (uint64_t i = 0; good && i < x->chunk_n; i += chunk_step) {
        plan.chunk = (uint32_t)i;
        good = x->chunks[i].codec == TP_CODEC_SAME || read_stored(&plan, coded, NULL) == 0;
    }
    for (uint64_t i = 0; good && i < x->segment_n; i += segment_step)
        for (uint32_t t = 0; good && t < x->segments[i].tables_n; t++)
            good = tp_tables_check(pack, (uint32_t)i,
                                   x->tables[x->segments[i].tables_first + t].codec, NULL) == 0;
    free(coded);
    return good;
}
