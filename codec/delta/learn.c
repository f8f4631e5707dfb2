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

#include "codec/delta/learn.h"
#include "codec/delta/tables.h"

/*
 * Zero has bin 0. What is left of another difference when 1 is taken off is counted exactly below 256 and
 * in 128 bins an octave above: any shift that brings it below 256 makes the whole bin one symbol.
 */
static unsigned bin_count(unsigned width)
{
    return 1 + 256 + 128 * (width - 8);
}

TP_INLINE unsigned bin_of(uint32_t z)
{
    uint32_t y = z - 1;
    unsigned octave = 24 - (unsigned)__builtin_clz(y | 128);

    return z ? 1 + octave * 128 + (y >> octave) : 0;
}

static uint32_t bin_start(unsigned bin)
{
    if (bin <= 256)
        return bin;
    bin -= 1 + 256;
    return ((128 + bin % 128) << (bin / 128 + 1)) + 1;
}

struct delta_stats {
    const struct tp_delta_kind *kind;
    bool no_memory;
    uint64_t count;
    uint64_t seen[256]; /* by field, when all is counted */
    uint32_t *rows[256]; /* by field: bins of the difference to the base, then of that to 0 */
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

static uint32_t *row_of(struct delta_stats *s, unsigned field)
{
    if (!s->rows[field]) {
        s->rows[field] = calloc(2 * (size_t)bin_count(s->kind->width), sizeof(uint32_t));
        s->no_memory |= !s->rows[field];
    }
    return s->rows[field];
}

TP_INLINE void count(struct delta_stats *s, const uint8_t *src, const uint8_t *base, size_t n, unsigned width)
{
    bool is_float = s->kind->is_float;
    unsigned bins = bin_count(width);

    for (size_t i = 0; i < n; i++) {
        uint32_t b = tp_delta_load(base, i, width);
        uint32_t v = tp_delta_load(src, i, width);
        unsigned field = b >> s->kind->field_shift & s->kind->field_mask;
        uint32_t *row = s->rows[field];

        if (!row) {
            row = row_of(s, field);
            if (!row)
                return;
        }
        row[bin_of(tp_delta_diff(v, b, width, is_float))]++;
        row[bins + bin_of(tp_delta_diff(v, 0, width, is_float))]++;
    }
}

void tp_delta_stats_add(struct tp_stats *stats, const void *src, const void *base, size_t len)
{
    struct delta_stats *s = (struct delta_stats *)stats;
    unsigned width = s->kind->width;
    size_t n = len / (width / 8);

    /* Counters have 32 bits: what comes after 2^30 elements would not change the tables any more. */
    if (s->no_memory || s->count > 1u << 30)
        return;
    s->count += n;
    if (width == 8)
        count(s, src, base, n, 8);
    else if (width == 16)
        count(s, src, base, n, 16);
    else
        count(s, src, base, n, 32);
}

static void sum_rows(struct delta_stats *s)
{
    for (unsigned field = 0; field < 256; field++) {
        s->seen[field] = 0;
        for (unsigned i = 0; s->rows[field] && i < bin_count(s->kind->width); i++)
            s->seen[field] += s->rows[field][i];
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

/* Add the bins of every field to its context's. BINS is TP_DELTA_CONTEXTS times both kinds of bins. */
static void pool_contexts(const struct delta_stats *s, unsigned first, struct tp_delta_learn *learn)
{
    unsigned n = 2 * bin_count(s->kind->width);

    for (unsigned field = 0; field <= s->kind->field_mask; field++) {
        unsigned c = field > first ? field - first : 0;

        c = c < TP_DELTA_CONTEXTS - 1 ? c : TP_DELTA_CONTEXTS - 1;
        if (!s->rows[field])
            continue;
        learn->count[c] += s->seen[field];
        for (unsigned i = 0; i < n; i++)
            learn->bins[c * n + i] += s->rows[field][i];
    }
}

void tp_delta_symbols(const struct tp_delta_learn *learn, unsigned c, bool direct, unsigned shift,
                      uint32_t hist[256])
{
    unsigned n = learn->bin_count;
    const uint32_t *bins = learn->bins + ((size_t)c * 2 + direct) * n;
    uint64_t coded = bins[0];

    memset(hist, 0, 256 * sizeof *hist);
    hist[0] = bins[0];
    for (unsigned i = 1; i < n; i++) {
        uint32_t sym = ((bin_start(i) - 1) >> shift) + 1;

        if (sym >= TP_DELTA_ESCAPE)
            break;
        hist[sym] += bins[i];
        coded += bins[i];
    }
    hist[TP_DELTA_ESCAPE] = (uint32_t)(learn->count[c] - coded);
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
    learn->bin_count = bin_count(s->kind->width);
    learn->bins = calloc((size_t)TP_DELTA_CONTEXTS * 2 * learn->bin_count, sizeof(uint32_t));
    if (!learn->bins)
        goto out;
    sum_rows(s);
    model->first = (uint8_t)first_field(s);
    pool_contexts(s, model->first, learn);
    *bits = tp_delta_learn(learn, model);
    if (*bits >= 0)
        rc = tp_delta_model_write(out, s->kind, model);
out:
    if (learn)
        free(learn->bins);
    free(learn);
    free(model);
    return rc;
}
