/* SPDX-License-Identifier: MIT */
/*
 * Learning a model for the delta codec: counts of differences by the base's field, then the contexts, their
 * shifts and the tables they share that make the fewest bits, tables included. All in integers, so that the
 * same samples give the same tables on every machine.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/delta/bins.h"
#include "codec/delta/learn.h"
#include "codec/delta/tables.h"

/* Differences to 0 are counted of so many elements of each row, and of every so manieth block besides. */
#define DIRECT_LEAST 512u
#define DIRECT_EVERY 8u
#define DIRECT_FIRST 32u /* blocks */

/* Counts of elements whose base has the same field. */
struct row {
    uint32_t left;   /* how many more are counted in both ways wherever they are */
    uint32_t bins[]; /* of the difference to the base, then, of some elements only, of that to 0 */
};

struct delta_stats {
    const struct tp_delta_kind *kind;
    bool no_memory;
    uint64_t count;
    unsigned blocks;
    uint64_t seen[256]; /* by field, when all is counted */
    struct row *rows[256];
};

struct tp_stats *tp_delta_stats_create(enum tp_dtype dtype)
{
    struct delta_stats *s = calloc(1, sizeof *s);

    if (s)
        s->kind = tp_delta_kind_of(dtype);
    return (struct tp_stats *)s;
}

void tp_delta_stats_destroy(struct tp_stats *stats)
{
    struct delta_stats *s = (struct delta_stats *)stats;

    if (!s)
        return;
    for (int i = 0; i < 256; i++)
        free(s->rows[i]);
    free(s);
}

static struct row *row_of(struct delta_stats *s, unsigned field)
{
    size_t bins = 2 * (size_t)tp_delta_bin_count(s->kind->width);

    s->rows[field] = calloc(1, sizeof(struct row) + bins * sizeof(uint32_t));
    s->no_memory |= !s->rows[field];
    if (s->rows[field])
        s->rows[field]->left = DIRECT_LEAST;
    return s->rows[field];
}

/* That there are rows for these. */
static bool rows_ready(struct delta_stats *s, const struct tp_delta_bins *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (__builtin_expect(!s->rows[b->field[i]], 0) && !row_of(s, b->field[i]))
            return false;
    return true;
}

static uint32_t direct_bin(const struct tp_delta_kind *kind, const uint8_t *src, size_t i)
{
    return tp_delta_bin_of(tp_delta_diff(tp_delta_load(src, i, kind->width), 0, kind->width, kind->is_float));
}

/* A block. The difference to 0 pays in few rows, and a part of the elements tells which. */
static void count_block(struct delta_stats *s, const uint8_t *src, const uint8_t *base, size_t n)
{
    unsigned bins = tp_delta_bin_count(s->kind->width);
    bool both = s->blocks < DIRECT_FIRST || s->blocks % DIRECT_EVERY == 0;
    struct tp_delta_bins b;

    s->blocks++;
    tp_delta_bins_of(s->kind, src, base, n, both, &b);
    if (!rows_ready(s, &b, n))
        return;
    for (size_t i = 0; i < n; i++) {
        struct row *row = s->rows[b.field[i]];

        row->bins[b.delta[i]]++;
        if (__builtin_expect(row->left > 0, 0)) {
            row->left--;
            if (!both)
                row->bins[bins + direct_bin(s->kind, src, i)]++;
        }
    }
    for (size_t i = 0; both && i < n; i++)
        s->rows[b.field[i]]->bins[bins + b.direct[i]]++;
}

void tp_delta_stats_add(struct tp_stats *stats, const void *src, const void *base, size_t len)
{
    struct delta_stats *s = (struct delta_stats *)stats;
    size_t bytes = s->kind->width / 8, n = len / bytes;

    /* Counters have 32 bits: what comes after 2^30 elements would not change the tables any more. */
    if (s->no_memory || s->count > 1u << 30)
        return;
    s->count += n;
    for (size_t i = 0; i < n && !s->no_memory; i += TP_DELTA_BLOCK)
        count_block(s, (const uint8_t *)src + i * bytes, (const uint8_t *)base + i * bytes,
                    n - i < TP_DELTA_BLOCK ? n - i : TP_DELTA_BLOCK);
}

static void sum_rows(struct delta_stats *s)
{
    for (unsigned field = 0; field < 256; field++) {
        s->seen[field] = 0;
        for (unsigned i = 0; s->rows[field] && i < tp_delta_bin_count(s->kind->width); i++)
            s->seen[field] += s->rows[field]->bins[i];
    }
}

/* The field value of context 0 that leaves the fewest elements outside the window. */
static unsigned first_field(const struct delta_stats *s)
{
    unsigned mask = s->kind->field_mask;
    unsigned best = 0;
    uint64_t inside_best = 0;

    for (unsigned e = 0; e + TP_DELTA_CONTEXTS <= mask + 1u; e++) {
        uint64_t inside = 0;

        for (unsigned i = 0; i < TP_DELTA_CONTEXTS; i++)
            inside += s->seen[e + i];
        if (inside > inside_best) {
            inside_best = inside;
            best = e;
        }
    }
    return best;
}

/* Add a row to its context's sums, which are no sums yet. What was counted of some elements stands for all. */
static void pool_row(const struct row *row, uint64_t seen, unsigned bins, uint32_t *sums)
{
    const uint32_t *direct = row->bins + bins;
    uint64_t some = 0, factor;

    for (unsigned i = 0; i < bins; i++)
        some += direct[i];
    for (unsigned i = 0; i < bins; i++)
        sums[1 + i] += row->bins[i];
    if (some == 0)
        return;
    factor = (seen << 16) / some;
    for (unsigned i = 0; i < bins; i++)
        if (direct[i])
            sums[bins + 2 + i] += (uint32_t)(direct[i] * factor >> 16);
}

/* The bins of every field to its context's, and their sums. */
static void pool_contexts(const struct delta_stats *s, unsigned first, struct tp_delta_learn *learn)
{
    unsigned n = learn->bin_count;

    for (unsigned field = 0; field <= s->kind->field_mask; field++) {
        unsigned c = field > first ? field - first : 0;

        c = c < TP_DELTA_CONTEXTS - 1 ? c : TP_DELTA_CONTEXTS - 1;
        if (!s->rows[field])
            continue;
        learn->count[c] += s->seen[field];
        pool_row(s->rows[field], s->seen[field], n, learn->sums + (size_t)c * 2 * (n + 1));
    }
    for (unsigned c = 0; c < 2 * TP_DELTA_CONTEXTS; c++)
        for (unsigned i = 0; i < n; i++)
            learn->sums[c * (n + 1) + i + 1] += learn->sums[c * (n + 1) + i];
}

/* How many elements have symbols up to SYM, which ends with a bin. */
TP_INLINE uint32_t sum_to(const uint32_t *sums, unsigned bins, unsigned sym, unsigned shift)
{
    uint64_t next = ((uint64_t)sym << shift) + 1;
    unsigned bin = next <= UINT32_MAX ? tp_delta_bin_of((uint32_t)next) : bins;

    return sums[bin < bins ? bin : bins];
}

uint32_t tp_delta_escapes(const struct tp_delta_learn *learn, unsigned c, bool direct, unsigned shift)
{
    return (uint32_t)learn->count[c] -
           sum_to(tp_delta_sums(learn, c, direct), learn->bin_count, TP_DELTA_ESCAPE - 1, shift);
}

void tp_delta_symbols(const struct tp_delta_learn *learn, unsigned c, bool direct, unsigned shift,
                      uint32_t hist[256])
{
    const uint32_t *sums = tp_delta_sums(learn, c, direct);
    uint32_t before = sums[1];

    hist[0] = before;
    for (unsigned sym = 1; sym < TP_DELTA_ESCAPE; sym++) {
        uint32_t next = sum_to(sums, learn->bin_count, sym, shift);

        hist[sym] = next - before;
        before = next;
    }
    hist[TP_DELTA_ESCAPE] = (uint32_t)learn->count[c] - before;
}

int tp_delta_stats_finish(struct tp_stats *stats, struct tp_buffer *out, double *bits)
{
    struct delta_stats *s = (struct delta_stats *)stats;
    struct tp_delta_learn *learn;
    struct tp_delta_model *model;
    int rc = -ENOMEM;

    if (s->no_memory)
        return -ENOMEM;
    learn = calloc(1, sizeof *learn);
    model = calloc(1, sizeof *model);
    if (!learn || !model)
        goto out;
    learn->kind = s->kind;
    learn->bin_count = tp_delta_bin_count(s->kind->width);
    learn->sums = calloc((size_t)TP_DELTA_CONTEXTS * 2 * (learn->bin_count + 1), sizeof(uint32_t));
    if (!learn->sums)
        goto out;
    sum_rows(s);
    model->first = (uint8_t)first_field(s);
    pool_contexts(s, model->first, learn);
    *bits = tp_delta_learn(learn, model);
    if (*bits >= 0)
        rc = tp_delta_model_write(out, s->kind, model);
out:
    if (learn)
        free(learn->sums);
    free(learn);
    free(model);
    return rc;
}
