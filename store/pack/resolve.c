/* SPDX-License-Identifier: MIT */
/*
 * Finding everything that an index refers to in its base, when the pack is opened against that
 * base. Format 1 refers to segments and chunks of the base, format 2 to bytes of its files.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>

#include "base/checked.h"
#include "codec/convert.h"
#include "store/pack/pack_internal.h"

/* Format 1: convert a segment number and an element to bytes of a file. */
static bool place_segment_v1(struct tp_segment *s, const struct tp_index *base)
{
    const struct tp_segment *b =
        s->from.segment < base->segment_n ? &base->segments[s->from.segment] : NULL;
    uint64_t elem = s->from.off, n = s->len * 8 / tp_dtype_bits(s->dtype);
    unsigned bits;

    if (!b || b->dtype == TP_DTYPE_BYTES || !tp_convert_possible(b->dtype, s->dtype))
        return false;
    bits = tp_dtype_bits(b->dtype);
    if ((elem % 8 * bits) % 8 != 0 || !tp_range_within(elem, n, b->len * 8 / bits))
        return false;
    s->from.dtype = b->dtype;
    s->from.file = b->file;
    s->from.off = b->file_off + elem / 8 * bits + elem % 8 * bits / 8;
    return true;
}

/* The file of the base with these bytes, or NULL. */
static const struct tp_pack_file *file_with(const struct tp_index *base, uint32_t file,
                                            uint64_t off, uint64_t len)
{
    const struct tp_pack_file *f = file < base->file_n ? &base->files[file] : NULL;

    return f && f->type == TP_ENTRY_FILE && f->link == TP_NONE && tp_range_within(off, len, f->size)
               ? f
               : NULL;
}

static bool place_segment(struct tp_segment *s, const struct tp_index *base)
{
    const struct tp_pack_file *f =
        file_with(base, s->from.file, s->from.off, tp_segment_predictor_len(s));

    if (!f)
        return false;
    s->from.segment = s->len ? tp_index_segment_at(base, f, s->from.off) : TP_NONE;
    return true;
}

/* Format 1: convert the number of a chunk to bytes of a file. */
static bool place_chunk_v1(struct tp_chunk *c, const struct tp_index *base)
{
    if (c->alias >= base->chunk_n)
        return false;
    tp_index_place(base, c->alias, &c->ref, &c->ref_off);
    return true;
}

/*
 * Find the chunk of the base that begins at the same byte and has the same length, if there is one.
 */
static bool place_chunk(struct tp_chunk *c, uint32_t len, const struct tp_index *base)
{
    const struct tp_pack_file *f = file_with(base, c->ref, c->ref_off, len);
    const struct tp_segment *s;
    uint64_t in;

    if (!f)
        return false;
    s = &base->segments[tp_index_segment_at(base, f, c->ref_off)];
    in = c->ref_off - s->file_off;
    c->alias = s->chunk_first + (uint32_t)(in / base->chunk_size);
    if (in % base->chunk_size != 0 || tp_index_chunk_len(base, c->alias) != len)
        c->alias = TP_NONE;
    return true;
}

int tp_pack_resolve(struct tp_index *x, const struct tp_index *base, const char *path,
                    struct tp_error *err)
{
    for (uint32_t i = 0; i < x->segment_n; i++) {
        struct tp_segment *s = &x->segments[i];

        if (s->from.whence == TP_FROM_BASE &&
            !(x->version == 1 ? place_segment_v1(s, base) : place_segment(s, base)))
            return tp_fail(err, EBADMSG,
                           "'%s': segment %" PRIu32 " is not where it says in the base", path, i);
    }
    for (uint32_t i = 0; i < x->chunk_n; i++) {
        struct tp_chunk *c = &x->chunks[i];
        uint32_t len = tp_index_chunk_len(x, i);

        if (!c->ref_base)
            continue;
        if (!(x->version == 1 ? place_chunk_v1(c, base) : place_chunk(c, len, base)) ||
            (c->alias != TP_NONE && (base->chunks[c->alias].content_hash != c->content_hash ||
                                     tp_index_chunk_len(base, c->alias) != len)))
            return tp_fail(err, EBADMSG, "'%s': chunk %" PRIu32 " is not what it says in the base",
                           path, i);
    }
    return 0;
}

/* All references were checked: in the pack by the decoder, in the base by tp_pack_resolve. */
void tp_chunk_resolve(struct tp_pack **pack, uint32_t *chunk)
{
    for (;;) {
        const struct tp_chunk *c = &tp_pack_index(*pack)->chunks[*chunk];
        struct tp_pack *base = tp_pack_base(*pack);

        if (c->codec != TP_CODEC_SAME)
            return;
        if (!c->ref_base) {
            *chunk = c->ref;
        } else if (base && c->alias != TP_NONE) {
            *chunk = c->alias;
            *pack = base;
        } else {
            return;
        }
    }
}
