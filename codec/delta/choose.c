/* SPDX-License-Identifier: MIT */
/*
 * Choosing the model of the delta codec. Each context gets its cheapest shift. Then tables are
 * merged while that saves more bytes of tables than it costs in codes. Then contexts move to the
 * table and shift that suit them best.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "codec/delta/train.h"
#include "codec/delta/choose.h"

#define TABLE_MOST (TP_DELTA_TABLE_BITS + 256 * TP_DELTA_SYMBOL_BITS)
#define ROUNDS 3
#define SHIFTS 32
#define PARTS 9

/* A table that is being made: the counts of its contexts. */
struct cluster {
    struct tp_delta_hist hist;
    uint64_t cost;
    uint64_t total;
    uint64_t part[PARTS]; /* how many symbols are 0, 1 to 2, 3 to 6, .. */
    bool used;
};

struct chooser {
    const struct tp_delta_totals *totals;
    struct tp_delta_model *model;
    struct cluster clusters[TP_DELTA_CONTEXTS];
    /* The cost of a context with a table of its own, by mode and shift; all ones: unknown. */
    uint64_t alone[TP_DELTA_CONTEXTS][2][SHIFTS];
    /*
     * The saving by merging two clusters, the lower number first. It is valid while neither has
     * changed since.
     */
    int64_t gain[TP_DELTA_CONTEXTS][TP_DELTA_CONTEXTS];
    bool known[TP_DELTA_CONTEXTS];
};

static void measure_cluster(const struct chooser *ch, struct cluster *cl)
{
    cl->cost = tp_delta_hist_cost(&cl->hist, ch->totals->kind->width);
    cl->total = cl->hist.escapes;
    memset(cl->part, 0, sizeof cl->part);
    cl->part[PARTS - 1] = cl->hist.escapes;
    for (unsigned i = 0; i < cl->hist.n; i++) {
        cl->part[31 - __builtin_clz(cl->hist.sym[i] + 1u)] += cl->hist.count[i];
        cl->total += cl->hist.count[i];
    }
}

static uint64_t raw_bits(const struct chooser *ch, unsigned c, bool direct, unsigned shift)
{
    uint32_t zeros = ch->totals->counts[c][direct].zeros;

    return (uint64_t)(ch->totals->count[c] - zeros) * shift * TP_DELTA_BIT;
}

/* The elements that escape with any table, and their cost. */
static uint64_t escape_bits(const struct chooser *ch, unsigned c, bool direct, unsigned shift,
                            uint64_t *escapes)
{
    *escapes = tp_delta_escapes(&ch->totals->counts[c][direct], ch->totals->count[c], shift);
    return *escapes * ch->totals->kind->width * TP_DELTA_BIT;
}

static void make_hist(const struct chooser *ch, unsigned c, bool direct, unsigned shift,
                      struct tp_delta_hist *hist)
{
    tp_delta_symbols(&ch->totals->counts[c][direct], ch->totals->count[c], shift, hist);
}

/* Find the best shift and mode for context C alone. Candidates far from the best are dropped early.
 */
static void choose_alone(struct chooser *ch, unsigned c)
{
    const struct tp_delta_kind *kind = ch->totals->kind;
    struct cluster *cl = &ch->clusters[c];

    cl->cost = UINT64_MAX;
    cl->used = ch->totals->count[c] > 0;
    memset(ch->alone[c], 0xff, sizeof ch->alone[c]);
    for (unsigned direct = 0; direct < 2 && cl->used; direct++) {
        for (unsigned shift = 0; shift <= kind->shift_max; shift++) {
            struct tp_delta_hist hist;
            uint64_t raw = raw_bits(ch, c, direct, shift), escapes, cost;

            if (raw >= cl->cost)
                break;
            if (raw + escape_bits(ch, c, direct, shift, &escapes) >= cl->cost)
                continue;
            make_hist(ch, c, direct, shift, &hist);
            cost = tp_delta_hist_cost(&hist, kind->width) + raw;
            ch->alone[c][direct][shift] = cost;
            if (escapes < ch->totals->count[c] / 16 && cl->cost != UINT64_MAX &&
                cost > cl->cost + cl->cost / 8 + TABLE_MOST)
                break;
            if (cost < cl->cost) {
                cl->cost = cost;
                tp_delta_hist_copy(&cl->hist, &hist);
                ch->model->ctx[c] =
                    (struct tp_delta_context){(uint8_t)c, (uint8_t)shift, (uint8_t)direct};
            }
        }
    }
    if (cl->used)
        measure_cluster(ch, cl);
}

static uint64_t times_log2(uint64_t n)
{
    return n ? n * tp_delta_log2((uint32_t)n) : 0;
}

/*
 * Whether two tables differ so much in how often a symbol is 0, 1 to 2, 3 to 6, .. that coding both
 * with one table costs more than merging could save, even if all else were equal.
 */
static bool too_different(const struct cluster *a, const struct cluster *b)
{
    uint64_t loss = times_log2(a->total + b->total) - times_log2(a->total) - times_log2(b->total);

    for (int p = 0; p < PARTS; p++)
        loss +=
            times_log2(a->part[p]) + times_log2(b->part[p]) - times_log2(a->part[p] + b->part[p]);
    return (int64_t)loss > (int64_t)(2 * TABLE_MOST);
}

/* The saving by merging tables I and J; 0 if one of them does not exist. */
static int64_t merge_gain(const struct chooser *ch, int i, int j)
{
    const struct cluster *a = &ch->clusters[i];
    const struct cluster *b = &ch->clusters[j];
    struct tp_delta_hist sum;

    if (i == j || !a->used || !b->used || too_different(a, b))
        return 0;
    tp_delta_hist_sum(&a->hist, &b->hist, &sum);
    return (int64_t)(a->cost + b->cost) -
           (int64_t)tp_delta_hist_cost(&sum, ch->totals->kind->width);
}

static void merge_pair(struct chooser *ch, int to, int from)
{
    struct tp_delta_hist sum;

    tp_delta_hist_sum(&ch->clusters[to].hist, &ch->clusters[from].hist, &sum);
    tp_delta_hist_copy(&ch->clusters[to].hist, &sum);
    measure_cluster(ch, &ch->clusters[to]);
    ch->clusters[from].used = false;
    for (int c = 0; c < TP_DELTA_CONTEXTS; c++)
        if (ch->model->ctx[c].table == from)
            ch->model->ctx[c].table = (uint8_t)to;
}

/* Compute the savings that are not known from before. */
static void take_gains(struct chooser *ch)
{
    for (int i = 0; i < TP_DELTA_CONTEXTS; i++)
        for (int j = i + 1; j < TP_DELTA_CONTEXTS; j++)
            if (!ch->known[i] || !ch->known[j])
                ch->gain[i][j] = merge_gain(ch, i, j);
    memset(ch->known, true, sizeof ch->known);
}

/* Merge the pair of tables that saves most, as long as there is one that saves. */
static void merge_tables(struct chooser *ch)
{
    for (;;) {
        int64_t best = 0;
        int from = -1;
        int to = -1;

        take_gains(ch);
        for (int i = 0; i < TP_DELTA_CONTEXTS; i++) {
            for (int j = i + 1; j < TP_DELTA_CONTEXTS; j++) {
                if (ch->gain[i][j] > best) {
                    best = ch->gain[i][j];
                    to = i;
                    from = j;
                }
            }
        }
        if (from < 0)
            return;
        merge_pair(ch, to, from);
        ch->known[to] = ch->known[from] = false;
    }
}

/*
 * The real frequencies of a table, and the cost of each symbol with them; an escape includes the
 * raw element.
 */
static void finish_table(const struct chooser *ch, const struct tp_delta_hist *raw,
                         uint16_t freq[256], uint32_t cost[256])
{
    unsigned width = ch->totals->kind->width;
    uint32_t hist[256];

    tp_delta_hist_cut(raw, width, hist);
    tp_rans_normalize(hist, TP_DELTA_ESCAPE, freq);
    cost[255] = (TP_RANS_BITS << TP_DELTA_FRAC) - tp_delta_log2(freq[255]) +
                ((uint32_t)width << TP_DELTA_FRAC);
    for (int s = 0; s < 255; s++)
        cost[s] = freq[s] ? (TP_RANS_BITS << TP_DELTA_FRAC) - tp_delta_log2(freq[s]) : cost[255];
}

/*
 * Move context C to the table, shift and mode that are cheapest for it, without changing the
 * tables. True: it moved. The cost at its present place is computed first, because it excludes most
 * others at once.
 */
static bool move_context(struct chooser *ch, unsigned c, uint32_t (*cost)[256])
{
    struct tp_delta_context *ctx = &ch->model->ctx[c];
    struct tp_delta_context was = *ctx;
    struct tp_delta_hist hist;
    uint64_t best, escapes;

    make_hist(ch, c, was.direct, was.shift, &hist);
    best = raw_bits(ch, c, was.direct, was.shift) + tp_delta_hist_cross(&hist, cost[was.table]);

    for (unsigned direct = 0; direct < 2; direct++) {
        for (unsigned shift = 0; shift <= ch->totals->kind->shift_max; shift++) {
            uint64_t alone = ch->alone[c][direct][shift];
            uint64_t raw = raw_bits(ch, c, direct, shift);

            if (raw >= best)
                break;
            if (alone != UINT64_MAX ? alone > best + TABLE_MOST
                                    : raw + escape_bits(ch, c, direct, shift, &escapes) >= best)
                continue;
            make_hist(ch, c, direct, shift, &hist);
            for (unsigned t = 0; t < TP_DELTA_CONTEXTS; t++) {
                uint64_t sum;

                if (!ch->clusters[t].used)
                    continue;
                sum = raw + tp_delta_hist_cross(&hist, cost[t]);
                if (sum < best) {
                    best = sum;
                    *ctx = (struct tp_delta_context){(uint8_t)t, (uint8_t)shift, (uint8_t)direct};
                }
            }
        }
    }
    return memcmp(&was, ctx, sizeof was) != 0;
}

/* Recompute the counts of each table. */
static void share_symbols(const struct chooser *ch, struct cluster *made)
{
    for (int t = 0; t < TP_DELTA_CONTEXTS; t++) {
        made[t].used = false;
        made[t].hist.n = made[t].hist.escapes = 0;
    }
    for (unsigned c = 0; c < TP_DELTA_CONTEXTS; c++) {
        const struct tp_delta_context *ctx = &ch->model->ctx[c];
        struct tp_delta_hist hist, sum;

        if (ch->totals->count[c] == 0)
            continue;
        make_hist(ch, c, ctx->direct, ctx->shift, &hist);
        tp_delta_hist_sum(&made[ctx->table].hist, &hist, &sum);
        tp_delta_hist_copy(&made[ctx->table].hist, &sum);
        made[ctx->table].used = true;
    }
}

/* Returns whether any context moved. */
static bool move_contexts(struct chooser *ch)
{
    uint32_t cost[TP_DELTA_CONTEXTS][256];
    struct cluster made[TP_DELTA_CONTEXTS];
    uint16_t freq[256];
    bool moved = false;

    for (int t = 0; t < TP_DELTA_CONTEXTS; t++)
        if (ch->clusters[t].used)
            finish_table(ch, &ch->clusters[t].hist, freq, cost[t]);
    for (unsigned c = 0; c < TP_DELTA_CONTEXTS; c++)
        if (ch->totals->count[c])
            moved |= move_context(ch, c, cost);
    if (!moved)
        return false;
    share_symbols(ch, made);
    for (int t = 0; t < TP_DELTA_CONTEXTS; t++) {
        struct cluster *cl = &ch->clusters[t];

        if (made[t].used == cl->used && tp_delta_hist_equal(&made[t].hist, &cl->hist))
            continue;
        tp_delta_hist_copy(&cl->hist, &made[t].hist);
        cl->used = made[t].used;
        if (cl->used)
            measure_cluster(ch, cl);
        ch->known[t] = false;
    }
    return true;
}

/* Number the remaining tables. Contexts without elements get the table of their neighbour. */
static void number_tables(struct chooser *ch)
{
    struct tp_delta_model *m = ch->model;
    uint8_t number[TP_DELTA_CONTEXTS] = {0};
    int last = -1;

    for (int t = 0; t < TP_DELTA_CONTEXTS; t++)
        if (ch->clusters[t].used)
            number[t] = m->table_count++;
    for (int c = 0; c < TP_DELTA_CONTEXTS; c++) {
        if (ch->totals->count[c] == 0)
            continue;
        m->ctx[c].table = number[m->ctx[c].table];
        for (int i = last + 1; i < c; i++)
            m->ctx[i] = m->ctx[last < 0 ? c : last];
        last = c;
    }
    for (int i = last + 1; i < TP_DELTA_CONTEXTS && last >= 0; i++)
        m->ctx[i] = m->ctx[last];
    m->table_count += m->table_count == 0;
}

double tp_delta_train(const struct tp_delta_totals *totals, struct tp_delta_model *model)
{
    tp_autofree struct chooser *ch = calloc(1, sizeof *ch);
    uint64_t bits = 0;
    uint64_t total = 0;
    unsigned next = 0;

    if (!ch)
        return -1;
    ch->totals = totals;
    ch->model = model;
    for (unsigned c = 0; c < TP_DELTA_CONTEXTS; c++)
        choose_alone(ch, c);
    merge_tables(ch);
    for (int round = 0; round < ROUNDS && move_contexts(ch); round++)
        merge_tables(ch);
    number_tables(ch);
    model->freq[0][TP_DELTA_ESCAPE] = TP_RANS_ONE; /* no elements */
    for (int t = 0; t < TP_DELTA_CONTEXTS; t++) {
        uint32_t cost[256];

        if (!ch->clusters[t].used)
            continue;
        finish_table(ch, &ch->clusters[t].hist, model->freq[next++], cost);
        bits += tp_delta_hist_cross(&ch->clusters[t].hist, cost);
    }
    for (unsigned c = 0; c < TP_DELTA_CONTEXTS; c++) {
        bits += raw_bits(ch, c, model->ctx[c].direct, model->ctx[c].shift);
        total += totals->count[c];
    }
    return total ? (double)bits / (double)total / (double)TP_DELTA_BIT : 0;
}
