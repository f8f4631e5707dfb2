/* SPDX-License-Identifier: MIT */
/*
 * How much decoding one chunk takes, with all that it is made from: doc/FORMAT.md, "Effort". First
 * as an upper bound, from the most that a chunk of the base takes; where that is much, exactly,
 * from the end of the chain up.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/progress.h"
#include "store/pack/pack_internal.h"
#include "store/pack/window.h"

/* For a chunk beside its bytes: a read, a checksum, a look at tables. */
#define VISIT 4096u
/* A bound above this is looked at exactly. */
#define EXACT_ABOVE (16u << 20)

/* What the chunks of a pack take. */
struct ledger {
    uint64_t worst; /* the most of one */
    uint64_t
        *upto; /* of all before each, less what neighbours share; NULL: only the bound is known */
    uint64_t *shared; /* with the one before it */
};

/* Chunks that one chunk is made from. */
struct needs {
    uint8_t whence;
    uint32_t first, last;
    bool kept; /* a reader remembers the last of them for the next chunk */
};

struct weigher {
    const struct tp_index *x, *base_index;
    const struct ledger *base;
    struct ledger own;
    uint64_t coded, plain; /* the most of what is no reference, and of that in files that nothing
                              here predicts */
};

static uint64_t effort_of(const struct ledger *l, uint32_t first, uint32_t last)
{
    return l->upto ? l->upto[last + 1] - l->upto[first] + l->shared[first]
                   : (last - first + (uint64_t)1) * l->worst;
}

/* What stands on a base that is not there takes nothing: it is not decoded. */
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

/* The tables of a segment, of whichever codec. */
static uint64_t tables_of(const struct tp_index *x, const struct tp_segment *s)
{
    uint64_t len = 0;

    for (uint32_t i = 0; i < s->tables_n; i++)
        len += x->tables[s->tables_first + i].stored_len;
    return len;
}

/* Those of one segment; BEFORE: what the chunk before needed. -EBADMSG. */
static int weigh_segment(struct weigher *w, const struct tp_segment *s, struct needs *before,
                         const char *path, struct tp_error *err)
{
    uint64_t tables = tables_of(w->x, s);

    for (uint32_t i = s->chunk_first; i < s->chunk_first + s->chunk_n; i++) {
        bool coded = w->x->chunks[i].codec != TP_CODEC_SAME;
        struct needs n = find_needs(w, i);
        uint64_t effort =
            VISIT + tp_index_chunk_len(w->x, i) + effort_of_needs(w, i, &n) + (coded ? tables : 0);

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
 * Exactly, of an index that stands on BASE, and so on down; OUT has what it takes, also on failure.
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
