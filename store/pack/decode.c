/* SPDX-License-Identifier: MIT */
/* One chunk of a pack, from its coded bytes or from where it refers to, and checked. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/pack/layout.h"
#include "store/pack/pack_internal.h"
#include "store/pack/window.h"

enum { PROBES = 256 }; /* chunks, and segments: 64 MiB at most */

/* "'PACK' is damaged: chunk N of 'FILE' (offset X in the pack): WHAT" */
static int damaged(const struct tp_pack *pack, uint32_t chunk, const char *what,
                   struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(pack);
    const struct tp_chunk *c = &x->chunks[chunk];
    const struct tp_segment *s = &x->segments[c->segment];
    uint64_t at = s->file_off + (uint64_t)(chunk - s->chunk_first) * x->chunk_size;

    return tp_fail(err, EBADMSG,
                   "'%s' is damaged: chunk %" PRIu32 " (bytes from %" PRIu64
                   " of '%s', offset %" PRIu64 " in the pack): %s",
                   tp_pack_path(pack), chunk, at, x->files[s->file].path, c->stored_off, what);
}

static int no_base(const struct tp_pack *pack, uint32_t chunk, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(pack);
    const struct tp_segment *s = &x->segments[x->chunks[chunk].segment];

    return tp_fail(err, ENOLINK, "'%s' of '%s' cannot be decoded: %s", x->files[s->file].path,
                   tp_pack_path(pack), tp_pack_base_error(pack));
}

/* SAME as bytes of the base. */
static int copy_from_base(struct tp_pack *pack, uint32_t chunk, void *dst, struct tp_work *work,
                          const struct tp_chunk_fetch *fetch, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(pack);
    const struct tp_chunk *c = &x->chunks[chunk];
    struct tp_pack *base = tp_pack_base(pack);
    int rc;

    if (!base)
        return no_base(pack, chunk, err);
    if (fetch || c->alias == TP_NONE)
        return tp_window_copy(base, c->ref, c->ref_off, tp_index_chunk_len(x, chunk), dst, work,
                              fetch, err);
    work->depth++;
    rc = tp_pack_decode_chunk(base, c->alias, dst, work, NULL, err);
    work->depth--;
    return rc;
}

/* Who asks about this very file, to verify or to unpack it, does not get what a copy has. */
static struct tp_bytes *bytes_of(const struct tp_pack *pack, const struct tp_work *work,
                                 const struct tp_chunk_fetch *fetch)
{
    return fetch || work->depth > 0 ? tp_pack_mirrored(pack) : tp_pack_bytes(pack);
}

static int read_stored(struct tp_pack *pack, struct tp_bytes *bytes, uint32_t chunk, uint8_t *dst,
                       struct tp_error *err)
{
    const struct tp_chunk *c = &tp_pack_index(pack)->chunks[chunk];
    int rc = tp_bytes_read_checked(bytes, dst, c->stored_len, c->stored_off, c->stored_hash, err);

    return rc > 0 ? damaged(pack, chunk, "its coded bytes do not match their checksum", err) : rc;
}

bool tp_pack_probe(struct tp_pack *pack)
{
    const struct tp_index *x = tp_pack_index(pack);
    uint32_t chunk_step = x->chunk_n / PROBES + 1, segment_step = x->segment_n / PROBES + 1;
    uint8_t *coded = malloc(TP_CHUNK_MAX);
    bool good = coded != NULL;

    for (uint64_t i = 0; good && i < x->chunk_n; i += chunk_step)
        good = x->chunks[i].codec == TP_CODEC_SAME ||
               read_stored(pack, tp_pack_bytes(pack), (uint32_t)i, coded, NULL) == 0;
    for (uint64_t i = 0; good && i < x->segment_n; i += segment_step)
        for (uint32_t t = 0; good && t < x->segments[i].tables_n; t++)
            good = tp_tables_check(pack, (uint32_t)i,
                                   x->tables[x->segments[i].tables_first + t].codec, NULL) == 0;
    free(coded);
    return good;
}

static int get_window(struct tp_pack *pack, uint32_t chunk, struct tp_work *work,
                      const struct tp_chunk_fetch *fetch, struct tp_window_view *view,
                      struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(pack);
    const struct tp_segment *s = &x->segments[x->chunks[chunk].segment];
    struct tp_window w = {.from = &s->from, .dtype = s->dtype};
    struct tp_pack *from = s->from.whence == TP_FROM_PACK ? pack : tp_pack_base(pack);

    if (s->from.whence == TP_FROM_NONE)
        return damaged(pack, chunk,
                       "it is coded against what predicts it, and its segment has no such thing",
                       err);
    if (!from)
        return no_base(pack, chunk, err);
    w.off = (uint64_t)(chunk - s->chunk_first) * x->chunk_size;
    w.len = tp_index_chunk_len(x, chunk);
    return tp_window_get(from, &w, work, fetch, view, err);
}

static bool is_content(const struct tp_index *x, uint32_t chunk, const uint8_t *data)
{
    return tp_xxh3(data, tp_index_chunk_len(x, chunk)) == x->chunks[chunk].content_hash;
}

/* What decoding one chunk needs beside its coded bytes. */
struct means {
    const struct tp_codec *codec;
    struct tp_tables_entry *tables;
    struct tp_window_view view;
    uint8_t *stored;
};

static int run_codec(struct tp_pack *pack, uint32_t chunk, const struct means *m, uint8_t *dst,
                     struct tp_work *work, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(pack);
    const struct tp_chunk *c = &x->chunks[chunk];
    int rc = m->codec->decode(m->tables ? tp_tables_of(m->tables) : NULL,
                              x->segments[c->segment].dtype, m->stored, c->stored_len, m->view.data,
                              dst, tp_index_chunk_len(x, chunk), work->scratch);

    if (rc == -ENOMEM)
        return tp_fail(err, ENOMEM, "out of memory for decoding '%s'", tp_pack_path(pack));
    return rc < 0 ? damaged(pack, chunk, "its coded bytes break the rules of its codec", err) : 0;
}

/*
 * With a fetch the content's checksum, which is computed then in any case, says all that the one of
 * the coded bytes would: that is only computed where something is wrong, to tell what, and to look
 * for a copy. Otherwise the coded bytes have been checked. 1: the content has been, too.
 */
static int decode_read(struct tp_pack *pack, uint32_t chunk, const struct means *m, uint8_t *dst,
                       struct tp_work *work, const struct tp_chunk_fetch *fetch,
                       struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(pack);
    int rc;

    if (!fetch)
        return run_codec(pack, chunk, m, dst, work, err);
    if (run_codec(pack, chunk, m, dst, work, NULL) == 0 && is_content(x, chunk, dst))
        return 1;
    rc = read_stored(pack, tp_pack_mirrored(pack), chunk, m->stored, err);
    return rc < 0 ? rc : run_codec(pack, chunk, m, dst, work, err);
}

static int decode_coded(struct tp_pack *pack, uint32_t chunk, uint8_t *dst, struct tp_work *work,
                        const struct tp_chunk_fetch *fetch, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(pack);
    const struct tp_chunk *c = &x->chunks[chunk];
    struct tp_work_level *level = tp_work_level_get(work, err);
    struct tp_bytes *bytes = bytes_of(pack, work, fetch);
    struct means m = {.codec = tp_codec_get(c->codec)};
    int rc;

    if (!level)
        return damaged(pack, chunk, "it lies behind too many bases", err);
    if (!m.codec || !m.codec->fits(x->segments[c->segment].dtype))
        return damaged(pack, chunk, "its codec does not fit its dtype, or is not in this build",
                       err);
    rc = tp_work_need(&level->stored, err);
    m.stored = level->stored;
    if (rc == 0 && (!fetch || tp_bytes_read(bytes, m.stored, c->stored_len, c->stored_off, NULL)))
        rc = read_stored(pack, bytes, chunk, m.stored, err);
    if (rc == 0 && m.codec->needs_base)
        rc = get_window(pack, chunk, work, fetch, &m.view, err);
    if (rc == 0 && m.codec->needs_tables)
        rc = tp_tables_get(pack, bytes, c->segment, m.codec, &m.tables, err);
    if (rc == 0)
        rc = decode_read(pack, chunk, &m, dst, work, fetch, err);
    if (m.tables)
        tp_tables_put(m.tables);
    tp_window_release(fetch, &m.view);
    return rc;
}

int tp_pack_decode_chunk(struct tp_pack *pack, uint32_t chunk, void *dst, struct tp_work *work,
                         const struct tp_chunk_fetch *fetch, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(pack);
    uint32_t from = chunk;
    const struct tp_chunk *c;
    int rc;

    if (chunk >= x->chunk_n)
        return tp_fail(err, EINVAL, "'%s' has no chunk %" PRIu32, tp_pack_path(pack), chunk);
    if (work->cancel && atomic_load_explicit(work->cancel, memory_order_relaxed))
        return tp_fail(err, ECANCELED, "cancelled");
    work->decoded += tp_index_chunk_len(x, chunk);
    if (x->chunks[chunk].codec == TP_CODEC_SAME && !x->chunks[chunk].ref_base)
        from = x->chunks[chunk].ref;
    c = &x->chunks[from];
    if (c->codec == TP_CODEC_SAME)
        rc = copy_from_base(pack, from, dst, work, fetch, err);
    else if (c->codec == TP_CODEC_RAW)
        return read_stored(pack, bytes_of(pack, work, fetch), from, dst,
                           err); /* its hash is that of the content, too */
    else
        rc = decode_coded(pack, from, dst, work, fetch, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    /* What only predicts another chunk is not kept, and that chunk's own content is checked. */
    if (work->depth > 0 && !fetch)
        return 0;
    return is_content(x, from, dst)
               ? 0
               : damaged(pack, chunk, "what it decodes to does not match its checksum", err);
}
