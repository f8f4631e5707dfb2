/* SPDX-License-Identifier: MIT */
/*
 * The effort of decoding a chunk with everything that it requires: doc/FORMAT.md, "Effort". First
 * an upper bound is computed, from the greatest effort of any chunk of the base. If the bound is
 * high, the effort is computed exactly, from the end of the chain of bases up.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/progress.h"
#include "store/pack/pack_internal.h"
#include "store/pack/window.h"

/* Cost of a chunk besides its bytes: a read, a checksum, a look-up of tables. */
#define VISIT 4096u
/* The numbers of a quantized matrix are computed, at the worst by a product of two matrices. */
#define LOSSY_FACTOR 16u
/* If the bound exceeds this, the exact effort is computed. */
#define EXACT_ABOVE (16u << 20)

/* The efforts of the chunks of a pack. */
struct ledger {
    uint64_t worst;   /* the greatest effort of one chunk */
    uint64_t *upto;   /* sum of the efforts of all chunks before each one, without what neighbours
                         share; NULL: only the bound is known */
    uint64_t *shared; /* effort that a chunk shares with the one before it */
};

/* The chunks that a chunk requires. */
struct needs {
    uint8_t whence;
    uint32_t first, last;
    bool kept; /* a reader keeps the last of them for the next chunk */
};

struct weigher {
    const struct tp_index *x, *base_index;
    const struct ledger *base;
    struct ledger own;
    uint64_t coded, plain; /* greatest effort of chunks that are not references, and of those in
                              files that no file of this pack predicts */
};

static uint64_t effort_of(const struct ledger *l, uint32_t first, uint32_t last)
{
    return l->upto ? l->upto[last + 1] - l->upto[first] + l->shared[first]
                   : (last - first + (uint64_t)1) * l->worst;
}

/* A chunk whose base is absent takes no effort, because it is not decoded. */
static struct needs find_needs(const struct weigher *w, uint32_t chunk)
{
    const struct tp_chunk *c = &w->x->chunks[chunk];
    bool same = c->codec == TP_CODEC_SAME;
    struct needs n = {.whence = TP_FROM_NONE};
    enum tp_whence whence;
    struct tp_range range;
    struct tp_part part;

    if (same && !c->ref_base)
        return (struct needs){.whence = TP_FROM_PACK, .first = c->ref, .last = c->ref};
    whence = tp_chunk_range(w->x, w->base ? w->base_index : NULL, chunk, &range);
    if (whence == TP_FROM_NONE || (whence == TP_FROM_BASE && !w->base))
        return n;
    n.whence = (uint8_t)whence;
    n.kept = !same || c->alias == TP_NONE;
    tp_range_next(&range, &part);
    n.first = part.chunk;
    range.done = range.len - 1;
    tp_range_next(&range, &part);
    n.last = part.chunk;
    return n;
}

static uint64_t effort_of_needs(const struct weigher *w, uint32_t chunk, const struct needs *n)
{
    if (n->whence == TP_FROM_NONE)
        return 0;
    if (n->whence == TP_FROM_BASE)
        return effort_of(w->base, n->first, n->last);
    if (w->own.upto)
        return effort_of(&w->own, n->first, n->last);
    return w->x->chunks[chunk].codec == TP_CODEC_SAME
               ? w->coded
               : (n->last - n->first + (uint64_t)1) * w->plain;
}

/* Effort of the tables of a segment, for any codec. */
static uint64_t tables_of(const struct tp_index *x, const struct tp_segment *s)
{
    uint64_t len = 0;

    for (uint32_t i = 0; i < s->tables_n; i++)
        len += x->tables[s->tables_first + i].stored_len;
    return len;
}

/* Effort of the chunk itself. */
static uint64_t own_effort(const struct tp_index *x, uint32_t chunk, uint64_t tables)
{
    uint64_t len = tp_index_chunk_len(x, chunk);

    if (x->chunks[chunk].codec == TP_CODEC_SAME)
        return VISIT + len;
    return VISIT + tables + (tp_codec_is_lossy(x->chunks[chunk].codec) ? LOSSY_FACTOR * len : len);
}

/* Check the chunks of one segment. BEFORE: what the previous chunk needed. -EBADMSG: too much. */
static int weigh_segment(struct weigher *w, const struct tp_segment *s, struct needs *before,
                         const char *path, struct tp_error *err)
{
    uint64_t tables = tables_of(w->x, s);

    for (uint32_t i = s->chunk_first; i < s->chunk_first + s->chunk_n; i++) {
        bool coded = w->x->chunks[i].codec != TP_CODEC_SAME;
        struct needs n = find_needs(w, i);
        uint64_t effort = own_effort(w->x, i, tables) + effort_of_needs(w, i, &n);

        if (w->own.upto) {
            const struct ledger *from = n.whence == TP_FROM_BASE ? w->base : &w->own;
            bool share =
                n.kept && before->kept && n.whence == before->whence && n.first == before->last;

            w->own.shared[i] = share ? effort_of(from, n.first, n.first) : 0;
            w->own.upto[i + 1] = w->own.upto[i] + effort - w->own.shared[i];
            if (effort > TP_EFFORT_MAX)
                return tp_fail(
                    err, EBADMSG,
                    "'%s': chunk %" PRIu32
                    " takes the decoding of more than %u MiB, with all that it stands on",
                    path, i, TP_EFFORT_MAX >> 20);
        }
        if (effort > w->own.worst)
            w->own.worst = effort;
        if (coded && effort > w->coded)
            w->coded = effort;
        if (!w->x->files[s->file].chained && effort > w->plain)
            w->plain = effort;
        *before = n;
    }
    return 0;
}

static int weigh_index(struct weigher *w, const char *path, struct tp_error *err)
{
    int rc = 0;

    for (uint32_t f = 0; rc == 0 && f < w->x->file_n; f++) {
        const struct tp_pack_file *file = &w->x->files[f];
        struct needs before = {0};

        if (f % 4096 == 0)
            rc = tp_cancel_check(err);
        for (uint32_t i = 0; rc == 0 && i < file->segment_n; i++)
            rc = weigh_segment(w, &w->x->segments[file->segment_first + i], &before, path, err);
    }
    return rc;
}

static void ledger_clear(struct ledger *l)
{
    free(l->upto);
    free(l->shared);
    *l = (struct ledger){0};
}

/*
 * Compute the exact efforts of an index with this BASE, and of the bases below. OUT must be cleared
 * also after an error.
 */
static int ledger_fill(const struct tp_index *x, const struct tp_pack *base, const char *path,
                       struct ledger *out, struct tp_error *err)
{
    struct ledger below = {0};
    struct weigher w = {.x = x};
    int rc = 0;

    if (base) {
        rc = ledger_fill(tp_pack_index(base), tp_pack_base(base), path, &below, err);
        w.base = &below;
        w.base_index = tp_pack_index(base);
    }
    w.own.upto = calloc((size_t)x->chunk_n + 1, sizeof *w.own.upto);
    w.own.shared = calloc((size_t)x->chunk_n + 1, sizeof *w.own.shared);
    if (rc == 0 && (!w.own.upto || !w.own.shared))
        rc = tp_oom(err);
    if (rc == 0)
        rc = weigh_index(&w, path, err);
    ledger_clear(&below);
    *out = w.own;
    return rc;
}

int tp_effort_check(const struct tp_index *x, const struct tp_pack *base, const char *path,
                    uint64_t *worst, struct tp_error *err)
{
    struct ledger below = {.worst = base ? tp_pack_effort(base) : 0}, exact = {0};
    struct weigher w = {
        .x = x, .base = base ? &below : NULL, .base_index = base ? tp_pack_index(base) : NULL};
    int rc = weigh_index(&w, path, err);

    if (rc == 0 && w.own.worst > EXACT_ABOVE) {
        rc = ledger_fill(x, base, path, &exact, err);
        w.own.worst = exact.worst;
        ledger_clear(&exact);
    }
    *worst = w.own.worst;
    return rc;
}
