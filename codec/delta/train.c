/* SPDX-License-Identifier: MIT */
/*
 * Training the delta codec: counts of differences by the base's field, and from these the contexts,
 * their shifts and the tables they share that take the fewest bits, tables included. All arithmetic
 * is on integers, so that the same samples give the same tables on every machine.
 */
#include <config.h>

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "codec/delta/kernels.h"
#include "codec/delta/train.h"
#include "codec/delta/choose.h"
#include "codec/delta/tables.h"

/* Differences to 0 are counted for the first elements of each row, and in some blocks. */
#define DIRECT_LEAST 512u /* elements of each row */
#define DIRECT_EVERY 8u   /* one block in so many */
#define DIRECT_FIRST 32u  /* and all of the first blocks */

/* The first blocks are kept unchanged. A tensor with no more blocks than this needs no rows. */
#define KEPT_BLOCKS 16u

/* A row: counts of the elements whose base has the same field. */
struct row {
    uint32_t left;   /* the number of further elements to count in both ways, in any block */
    uint32_t bins[]; /* of the difference to the base; then, for some elements only, of the
                        difference to 0 */
};

struct delta_stats {
    const struct tp_delta_kind *kind;
    bool no_memory;
    uint64_t count;
    unsigned blocks;
    uint32_t seen[256]; /* by field, after all elements were counted */
    struct row *rows[256];
    uint16_t kept_n[KEPT_BLOCKS];
    struct tp_delta_bins kept[KEPT_BLOCKS]; /* while there are no more */
};

struct tp_stats *tp_delta_stats_create(enum tp_dtype dtype)
{
    struct delta_stats *s = malloc(sizeof *s);

    if (s) {
        memset(s, 0, offsetof(struct delta_stats, kept_n));
        s->kind = tp_delta_kind_of(dtype);
    }
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

/* Allocate the rows for the fields of these elements. */
static bool rows_ready(struct delta_stats *s, const struct tp_delta_bins *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (__builtin_expect(!s->rows[b->field[i]], 0) && !row_of(s, b->field[i]))
            return false;
    return true;
}

static uint32_t direct_bin(const struct tp_delta_kind *kind, const uint8_t *src, size_t i)
{
    return tp_delta_bin_of(
        tp_delta_diff(tp_delta_load(src, i, kind->width), 0, kind->width, kind->is_float));
}

/*
 * The difference to 0 pays in few rows; a part of the elements shows in which. SRC NULL: B has
 * both.
 */
static void count_rows(struct delta_stats *s, const struct tp_delta_bins *b, size_t n,
                       const uint8_t *src)
{
    unsigned bins = tp_delta_bin_count(s->kind->width);

    if (!rows_ready(s, b, n))
        return;
    for (size_t i = 0; i < n; i++) {
        struct row *row = s->rows[b->field[i]];

        row->bins[b->delta[i]]++;
        if (__builtin_expect(row->left > 0, 0)) {
            row->left--;
            if (src)
                row->bins[bins + direct_bin(s->kind, src, i)]++;
        }
    }
    for (size_t i = 0; !src && i < n; i++)
        s->rows[b->field[i]]->bins[bins + b->direct[i]]++;
}

static void count_block(struct delta_stats *s, const uint8_t *src, const uint8_t *base, size_t n)
{
    bool keep = s->blocks < KEPT_BLOCKS,
         both = s->blocks < DIRECT_FIRST || s->blocks % DIRECT_EVERY == 0;
    struct tp_delta_bins here, *b = keep ? &s->kept[s->blocks] : &here;

    tp_delta_kernels.bins[tp_isa_get()](s->kind, src, base, n, both, b);
    if (keep)
        s->kept_n[s->blocks] = (uint16_t)n;
    for (unsigned i = 0; s->blocks == KEPT_BLOCKS && i < KEPT_BLOCKS && !s->no_memory; i++)
        count_rows(s, &s->kept[i], s->kept_n[i], NULL);
    s->blocks++;
    if (!keep)
        count_rows(s, b, n, both ? NULL : src);
}

void tp_delta_stats_add(struct tp_stats *stats, const void *src, const void *base, size_t len)
{
    struct delta_stats *s = (struct delta_stats *)stats;
    size_t bytes = s->kind->width / 8, n = len / bytes;

    /* Counters have 32 bits: elements after the first 2^30 would not change the tables any more. */
    if (s->no_memory || s->count > 1u << 30)
        return;
    s->count += n;
    for (size_t i = 0; i < n && !s->no_memory; i += TP_DELTA_BLOCK)
        count_block(s, (const uint8_t *)src + i * bytes, (const uint8_t *)base + i * bytes,
                    n - i < TP_DELTA_BLOCK ? n - i : TP_DELTA_BLOCK);
}

static void sum_rows(struct delta_stats *s)
{
    unsigned bins = tp_delta_bin_count(s->kind->width);

    for (unsigned field = 0; field < 256; field++) {
        uint32_t sum = 0;

        for (unsigned i = 0; s->rows[field] && i < bins; i++)
            sum += s->rows[field]->bins[i];
        s->seen[field] = sum;
    }
}

static void sum_kept(struct delta_stats *s)
{
    for (unsigned b = 0; b < s->blocks; b++)
        for (unsigned i = 0; i < s->kept_n[b]; i++)
            s->seen[s->kept[b].field[i]]++;
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

static unsigned context_of(unsigned field, unsigned first)
{
    unsigned c = field > first ? field - first : 0;

    return c < TP_DELTA_CONTEXTS - 1 ? c : TP_DELTA_CONTEXTS - 1;
}

/* Add a row to the bins of its context. Counts of some elements are scaled to all. */
static void pool_row(const struct row *row, uint64_t seen, unsigned bins, uint32_t *pool)
{
    const uint32_t *direct = row->bins + bins;
    uint32_t some = 0;
    uint64_t factor;

    for (unsigned i = 0; i < bins; i++)
        some += direct[i];
    factor = some ? (seen << 16) / some : 0;
    for (unsigned i = 0; i < (factor == 1u << 16 ? 2 * bins : bins); i++)
        pool[i] += row->bins[i];
    for (unsigned i = 0; factor != 1u << 16 && i < bins; i++)
        pool[bins + i] += (uint32_t)(direct[i] * factor >> 16);
}

/* The sum of the rows of each context. */
static int pool_rows(const struct delta_stats *s, unsigned first, struct tp_delta_totals *totals)
{
    unsigned bins = tp_delta_bin_count(s->kind->width), field = 0;
    uint32_t *pool = malloc(2 * (size_t)bins * sizeof *pool);
    int rc = pool ? 0 : -ENOMEM;

    for (unsigned c = 0; rc == 0 && c < TP_DELTA_CONTEXTS; c++) {
        if (totals->count[c] == 0)
            continue;
        memset(pool, 0, 2 * (size_t)bins * sizeof *pool);
        for (; field <= s->kind->field_mask && context_of(field, first) <= c; field++)
            if (s->rows[field])
                pool_row(s->rows[field], s->seen[field], bins, pool);
        rc = tp_delta_counts_build(&totals->counts[c][0], pool, bins);
        if (rc == 0)
            rc = tp_delta_counts_build(&totals->counts[c][1], pool + bins, bins);
    }
    free(pool);
    return rc;
}

/* Sort N keys, by their lower eight bits and then by the upper; SPARE has space for as many. */
static void sort_keys(uint16_t *keys, uint16_t *spare, size_t n)
{
    for (unsigned shift = 0; shift < 16; shift += 8) {
        uint16_t at[256] = {0}, next = 0, *from = shift ? spare : keys, *to = shift ? keys : spare;

        for (size_t i = 0; i < n; i++)
            at[from[i] >> shift & 255]++;
        for (unsigned i = 0; i < 256; i++) {
            next = (uint16_t)(next + at[i]);
            at[i] = (uint16_t)(next - at[i]);
        }
        for (size_t i = 0; i < n; i++)
            to[at[from[i] >> shift & 255]++] = from[i];
    }
}

/* Sort the kept elements by context and bin. A bin has 12 bits. */
#define BIN_BITS 12
static int list_kept(const struct delta_stats *s, unsigned first, bool direct,
                     struct tp_delta_totals *totals)
{
    uint16_t keys[KEPT_BLOCKS * TP_DELTA_BLOCK], spare[KEPT_BLOCKS * TP_DELTA_BLOCK];
    size_t n = 0;
    int rc = 0;

    for (unsigned b = 0; b < s->blocks; b++)
        for (unsigned i = 0; i < s->kept_n[b]; i++) {
            unsigned bin = direct ? s->kept[b].direct[i] : s->kept[b].delta[i];

            keys[n++] = (uint16_t)(context_of(s->kept[b].field[i], first) << BIN_BITS | bin);
        }
    sort_keys(keys, spare, n);
    for (size_t i = 0; i < n; i++)
        spare[i] = keys[i] & ((1u << BIN_BITS) - 1);
    n = 0;
    for (unsigned c = 0; rc == 0 && c < TP_DELTA_CONTEXTS; c++) {
        if (totals->count[c])
            rc = tp_delta_counts_sorted(&totals->counts[c][direct], spare + n, totals->count[c],
                                        tp_delta_bin_count(s->kind->width));
        n += totals->count[c];
    }
    return rc;
}

/* Divide the counts among the contexts. */
static int distribute_counts(struct delta_stats *s, unsigned first, struct tp_delta_totals *totals)
{
    int rc;

    for (unsigned field = 0; field <= s->kind->field_mask; field++)
        totals->count[context_of(field, first)] += s->seen[field];
    if (s->blocks > KEPT_BLOCKS)
        return pool_rows(s, first, totals);
    rc = list_kept(s, first, false, totals);
    return rc ? rc : list_kept(s, first, true, totals);
}

int tp_delta_stats_finish(struct tp_stats *stats, struct tp_buffer *out, double *bits)
{
    struct delta_stats *s = (struct delta_stats *)stats;
    tp_autofree struct tp_delta_totals *totals = NULL;
    tp_autofree struct tp_delta_model *model = NULL;
    int rc = -ENOMEM;

    if (s->no_memory)
        return -ENOMEM;
    totals = calloc(1, sizeof *totals);
    model = calloc(1, sizeof *model);
    if (!totals || !model)
        goto out;
    totals->kind = s->kind;
    memset(s->seen, 0, sizeof s->seen);
    if (s->blocks > KEPT_BLOCKS)
        sum_rows(s);
    else
        sum_kept(s);
    model->first = (uint8_t)first_field(s);
    rc = distribute_counts(s, model->first, totals);
    if (rc)
        goto out;
    *bits = tp_delta_train(totals, model);
    rc = *bits < 0 ? -ENOMEM : tp_delta_model_write(out, s->kind, model);
out:
    for (unsigned c = 0; totals && c < TP_DELTA_CONTEXTS; c++) {
        tp_delta_counts_clear(&totals->counts[c][0]);
        tp_delta_counts_clear(&totals->counts[c][1]);
    }
    return rc;
}
