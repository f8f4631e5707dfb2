/* SPDX-License-Identifier: MIT */
/* Planning and executing the decoding of a chunk. */
#include <config.h>

#include "store/pack/chunk_plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/pack/pack_internal.h"

enum { PROBES = 256 }; /* probed chunks and segments: 64 MiB at most */

/* Fail with "'PACK' is damaged: chunk N of 'FILE' (offset X in the pack): WHAT". */
static int fail_damaged(const struct tp_chunk_plan *plan, const char *what, struct tp_error *err)
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

static int no_base(const struct tp_chunk_plan *plan, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(plan->pack);

    return tp_fail(err, ENOLINK, "'%s' of '%s' cannot be decoded: %s",
                   x->files[segment_of(plan)->file].path, tp_pack_path(plan->pack),
                   tp_pack_base_error(plan->pack));
}

int tp_chunk_plan_make(struct tp_chunk_plan *plan, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(plan->pack);
    const struct tp_segment *s = segment_of(plan);
    struct tp_pack *base = tp_pack_base(plan->pack);
    uint8_t codec = x->chunks[plan->chunk].codec;
    struct tp_work *work = plan->work;
    enum tp_whence whence;

    if (work->cancel && atomic_load_explicit(work->cancel, memory_order_relaxed))
        return tp_fail(err, ECANCELED, "cancelled");
    if (plan->level >= TP_WORK_LEVELS)
        return fail_damaged(plan, "it lies behind too many bases", err);
    work->decoded += tp_index_chunk_len(x, plan->chunk);
    plan->codec = tp_codec_get(codec);
    if (codec != TP_CODEC_RAW && codec != TP_CODEC_SAME &&
        (!plan->codec || !plan->codec->fits(s->dtype)))
        return fail_damaged(plan, "its codec does not fit its dtype, or is not in this build", err);
    whence = tp_chunk_range(x, base ? tp_pack_index(base) : NULL, plan->chunk, &plan->range);
    if (whence == TP_FROM_NONE)
        return plan->codec && plan->codec->needs_base
                   ? fail_damaged(
                         plan, "it is coded as a difference, and its segment has no predictor", err)
                   : 0;
    plan->from = whence == TP_FROM_PACK ? plan->pack : base;
    if (!plan->from)
        return no_base(plan, err);
    plan->once = plan->codec && plan->range.whole && s->from.dtype == s->dtype;
    /* A chunk that is only a copy is joined at its destination. */
    if (plan->codec && !plan->range.single &&
        tp_work_allocate(&work->levels[plan->level].joined, err))
        return -ENOMEM;
    plan->range.joined = plan->codec ? work->levels[plan->level].joined : plan->dst;
    return 0;
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

    return rc > 0 ? fail_damaged(plan, "its coded bytes do not match their checksum", err) : rc;
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
               : fail_damaged(plan, "what it decodes to does not match its checksum", err);
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
        return tp_oom(err);
    return rc < 0 ? fail_damaged(plan, "its coded bytes break the rules of its codec", err) : 0;
}

/*
 * If the content is checked, its hash also covers the coded bytes. The hash of the coded bytes is
 * computed only after a mismatch, to report what is damaged and to read a copy.
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
    const struct tp_segment *s = segment_of(plan);
    struct tp_tables_entry *tables = NULL;
    const uint8_t *base = plan->range.data;
    int rc = tp_work_allocate(&plan->work->stored, err);

    if (rc == 0 && plan->from)
        rc = tp_work_convert(plan->work, s->from.dtype, s->dtype, plan->range.len, &base, err);
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
        return read_stored(plan, plan->dst, err); /* its hash is also that of the content */
    if (plan->range.data != plan->dst)
        memcpy(plan->dst, plan->range.data, plan->range.len);
    return check_content(plan, err);
}

bool tp_pack_probe(struct tp_pack *pack)
{
    const struct tp_index *x = tp_pack_index(pack);
    uint32_t chunk_step = x->chunk_n / PROBES + 1, segment_step = x->segment_n / PROBES + 1;
    struct tp_chunk_plan plan = {.pack = pack, .check = TP_CHECK_FILE};
    tp_autofree uint8_t *coded = malloc(TP_CHUNK_MAX);
    bool good = coded != NULL;

    for (uint64_t i = 0; good && i < x->chunk_n; i += chunk_step) {
        plan.chunk = (uint32_t)i;
        good = x->chunks[i].codec == TP_CODEC_SAME || read_stored(&plan, coded, NULL) == 0;
    }
    for (uint64_t i = 0; good && i < x->segment_n; i += segment_step)
        for (uint32_t t = 0; good && t < x->segments[i].tables_n; t++)
            good = tp_tables_check(pack, (uint32_t)i,
                                   x->tables[x->segments[i].tables_first + t].codec, NULL) == 0;
    return good;
}
