/* SPDX-License-Identifier: MIT */
/*
 * Choosing the delta codec's model: each context's cheapest shift first, then tables merged while that saves
 * more bytes of tables than it costs in codes, then contexts moved to whichever table and shift suits them best.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "codec/delta/learn.h"

#define FRAC 16 /* bits are counted in 1 / 2^FRAC */
#define BIT ((uint64_t)1 << FRAC)
#define TABLE_BITS (20 * BIT) /* what a table takes besides its symbols */
#define SYMBOL_BITS (4 * BIT) /* and for each symbol */
#define ROUNDS 3

/* A table in the making: what its contexts will send to it. */
struct cluster {
    uint32_t hist[256];
    uint64_t cost;
    bool used;
};

struct chooser {
    const struct tp_delta_learn *learn;
    struct tp_delta_model *model;
    struct cluster clusters[TP_DELTA_CONTEXTS];
    uint32_t log2[257]; /* log2(1 + i / 256) */
};

/* log2(1 + i/256) by repeated squaring. */
static void log2_table(uint32_t log2[257])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint64_t x = (uint64_t)(256 + i) << 23; /* 1.31 */
        uint32_t r = 0;

        for (int bit = 0; bit < FRAC; bit++) {
            x = x * x >> 31;
            r <<= 1;
            if (x >> 32) {
                x >>= 1;
                r |= 1;
            }
        }
        log2[i] = r;
    }
    log2[256] = 1u << FRAC;
}

/* log2(v) in 1 / 2^FRAC, for v > 0. */
static uint32_t log2_of(const struct chooser *ch, uint32_t v)
{
    unsigned log = 31 - (unsigned)__builtin_clz(v);
    uint32_t m = v << (31 - log); /* 1.31 */
    uint32_t i = m >> 23 & 255;
    uint32_t rest = m & 0x7fffff;
    uint32_t a = ch->log2[i];

    return (log << FRAC) + a + (uint32_t)((uint64_t)(ch->log2[i + 1] - a) * rest >> 23);
}

/* Up to which symbol codes pay, given that each takes a slot at least and that the rest escapes. */
static unsigned cut_symbols(const uint32_t hist[256], uint64_t total, unsigned width)
{
    uint64_t slot = total / TP_RANS_ONE;
    int64_t sum = 0;
    int64_t best = 0;
    unsigned cut = 255;

    for (unsigned s = 255; s-- > 0;) {
        uint64_t spare = hist[s] < slot ? slot - hist[s] : 0;

        sum += (int64_t)((uint64_t)hist[s] * width * BIT);
        sum -= (int64_t)(spare * 94548 + SYMBOL_BITS / 2); /* 94548 is 1 / ln 2 */
        if (sum < best || (sum == best && hist[s] == 0)) {
            best = sum;
            cut = s;
        }
    }
    return cut;
}

/* Turn what lies beyond the cut into escapes. */
static void cut_hist(uint32_t hist[256], unsigned width)
{
    uint64_t total = 0;
    unsigned cut;

    for (unsigned s = 0; s < 256; s++)
        total += hist[s];
    cut = cut_symbols(hist, total, width);
    for (unsigned s = cut; s < 255; s++) {
        hist[255] += hist[s];
        hist[s] = 0;
    }
    /* Symbols in between that were not seen may come: they get the smallest frequency. */
    for (unsigned s = 0; s < cut; s++)
        hist[s] += hist[s] == 0;
}

/* About the bits that these symbols take with a table of their own, raw escapes and the table included. */
static uint64_t hist_cost(const struct chooser *ch, const uint32_t raw[256], unsigned width)
{
    uint32_t hist[256];
    uint64_t total = 0;
    uint64_t cost = 0;
    uint64_t slots = 0; /* in 1/256 */
    uint64_t scale;
    uint32_t symbols = 0;

    memcpy(hist, raw, sizeof hist);
    cut_hist(hist, width);
    hist[255] += hist[255] == 0;
    for (unsigned s = 0; s < 256; s++)
        total += hist[s];
    scale = ((uint64_t)1 << (TP_RANS_BITS + 8 + 32)) / total;
    for (unsigned s = 0; s < 256; s++) {
        uint64_t f;

        if (hist[s] == 0)
            continue;
        f = (hist[s] * (unsigned __int128)scale) >> 32;
        f = f < 256 ? 256 : f;
        slots += f;
        symbols++;
        cost += hist[s] * (uint64_t)(((TP_RANS_BITS + 8) << FRAC) - log2_of(ch, (uint32_t)f));
    }
    cost += total * (uint64_t)(log2_of(ch, (uint32_t)slots) - ((TP_RANS_BITS + 8) << FRAC));
    cost += (uint64_t)hist[255] * width * BIT;
    return cost + TABLE_BITS + symbols * SYMBOL_BITS;
}

static uint64_t raw_bits(const struct chooser *ch, unsigned c, bool direct, unsigned shift)
{
    uint32_t zero = ch->learn->bins[((size_t)c * 2 + direct) * ch->learn->bin_count];

    return (ch->learn->count[c] - zero) * shift * BIT;
}

/* The shift and mode that would be best for context C alone. */
static void choose_alone(struct chooser *ch, unsigned c)
{
    const struct tp_delta_kind *kind = ch->learn->kind;
    struct cluster *cl = &ch->clusters[c];

    cl->cost = UINT64_MAX;
    cl->used = ch->learn->count[c] > 0;
    for (unsigned direct = 0; direct < 2 && cl->used; direct++) {
        for (unsigned shift = 0; shift <= kind->shift_max; shift++) {
            uint32_t hist[256];
            uint64_t raw = raw_bits(ch, c, direct, shift);

            if (raw >= cl->cost)
                break;
            tp_delta_symbols(ch->learn, c, direct, shift, hist);
            if (raw + (uint64_t)hist[TP_DELTA_ESCAPE] * kind->width * BIT >= cl->cost)
                continue;

            uint64_t cost = hist_cost(ch, hist, kind->width) + raw;

            if (cost < cl->cost) {
                cl->cost = cost;
                memcpy(cl->hist, hist, sizeof hist);
                ch->model->ctx[c] = (struct tp_delta_context){(uint8_t)c, (uint8_t)shift, (uint8_t)direct};
            }
        }
    }
    cl->cost = hist_cost(ch, cl->hist, kind->width);
}

/* What it saves to make tables I and J one; 0 where one is not there. */
static int64_t merge_gain(const struct chooser *ch, int i, int j)
{
    const struct cluster *a = &ch->clusters[i];
    const struct cluster *b = &ch->clusters[j];
    uint32_t sum[256];

    if (i == j || !a->used || !b->used)
        return 0;
    for (int s = 0; s < 256; s++)
        sum[s] = a->hist[s] + b->hist[s];
    return (int64_t)(a->cost + b->cost) - (int64_t)hist_cost(ch, sum, ch->learn->kind->width);
}

static void merge_pair(struct chooser *ch, int to, int from)
{
    for (int s = 0; s < 256; s++)
        ch->clusters[to].hist[s] += ch->clusters[from].hist[s];
    ch->clusters[to].cost = hist_cost(ch, ch->clusters[to].hist, ch->learn->kind->width);
    ch->clusters[from].used = false;
    for (int c = 0; c < TP_DELTA_CONTEXTS; c++)
        if (ch->model->ctx[c].table == from)
            ch->model->ctx[c].table = (uint8_t)to;
}

/* Merge the pair of tables that saves most, while one does. */
static void merge_tables(struct chooser *ch)
{
    int64_t gain[TP_DELTA_CONTEXTS][TP_DELTA_CONTEXTS];

    for (int i = 0; i < TP_DELTA_CONTEXTS; i++)
        for (int j = i; j < TP_DELTA_CONTEXTS; j++)
            gain[i][j] = merge_gain(ch, i, j);
    for (;;) {
        int64_t best = 0;
        int from = -1;
        int to = -1;

        for (int i = 0; i < TP_DELTA_CONTEXTS; i++) {
            for (int j = i + 1; j < TP_DELTA_CONTEXTS; j++) {
                if (gain[i][j] > best) {
                    best = gain[i][j];
                    to = i;
                    from = j;
                }
            }
        }
        if (from < 0)
            return;
        merge_pair(ch, to, from);
        for (int i = 0; i < TP_DELTA_CONTEXTS; i++) {
            gain[i < to ? i : to][i < to ? to : i] = merge_gain(ch, i, to);
            gain[i < from ? i : from][i < from ? from : i] = 0;
        }
    }
}

/* A table's real frequencies, and what each symbol costs with them, escapes with what follows them. */
static void finish_table(const struct chooser *ch, const uint32_t raw[256], uint16_t freq[256],
                         uint32_t cost[256])
{
    uint32_t hist[256];

    memcpy(hist, raw, sizeof hist);
    cut_hist(hist, ch->learn->kind->width);
    tp_rans_normalize(hist, TP_DELTA_ESCAPE, freq);
    cost[255] = (TP_RANS_BITS << FRAC) - log2_of(ch, freq[255]) +
                ((uint32_t)ch->learn->kind->width << FRAC);
    for (int s = 0; s < 255; s++)
        cost[s] = freq[s] ? (TP_RANS_BITS << FRAC) - log2_of(ch, freq[s]) : cost[255];
}

static uint64_t cross_cost(const uint32_t hist[256], const uint32_t cost[256])
{
    uint64_t sum = 0;

    for (int s = 0; s < 256; s++)
        sum += (uint64_t)hist[s] * cost[s];
    return sum;
}

/* Move context C to the table, shift and mode that are cheapest for it as the tables are. */
static void move_context(struct chooser *ch, unsigned c, uint32_t (*cost)[256])
{
    uint64_t best = UINT64_MAX;
    struct tp_delta_context *ctx = &ch->model->ctx[c];

    for (unsigned direct = 0; direct < 2; direct++) {
        for (unsigned shift = 0; shift <= ch->learn->kind->shift_max; shift++) {
            uint32_t hist[256];
            uint64_t raw = raw_bits(ch, c, direct, shift);

            if (raw >= best)
                break;
            tp_delta_symbols(ch->learn, c, direct, shift, hist);
            if (raw + (uint64_t)hist[TP_DELTA_ESCAPE] * ch->learn->kind->width * BIT >= best)
                continue;
            for (unsigned t = 0; t < TP_DELTA_CONTEXTS; t++) {
                uint64_t sum;

                if (!ch->clusters[t].used)
                    continue;
                sum = raw + cross_cost(hist, cost[t]);
                if (sum < best) {
                    best = sum;
                    *ctx = (struct tp_delta_context){(uint8_t)t, (uint8_t)shift, (uint8_t)direct};
                }
            }
        }
    }
}

static void move_contexts(struct chooser *ch)
{
    uint32_t cost[TP_DELTA_CONTEXTS][256];
    uint16_t freq[256];

    for (int t = 0; t < TP_DELTA_CONTEXTS; t++)
        if (ch->clusters[t].used)
            finish_table(ch, ch->clusters[t].hist, freq, cost[t]);
    for (unsigned c = 0; c < TP_DELTA_CONTEXTS; c++)
        if (ch->learn->count[c])
            move_context(ch, c, cost);
    for (int t = 0; t < TP_DELTA_CONTEXTS; t++)
        memset(&ch->clusters[t], 0, sizeof ch->clusters[t]);
    for (unsigned c = 0; c < TP_DELTA_CONTEXTS; c++) {
        const struct tp_delta_context *ctx = &ch->model->ctx[c];
        uint32_t hist[256];

        if (ch->learn->count[c] == 0)
            continue;
        tp_delta_symbols(ch->learn, c, ctx->direct, ctx->shift, hist);
        for (int s = 0; s < 256; s++)
            ch->clusters[ctx->table].hist[s] += hist[s];
        ch->clusters[ctx->table].used = true;
    }
    for (int t = 0; t < TP_DELTA_CONTEXTS; t++)
        ch->clusters[t].cost = hist_cost(ch, ch->clusters[t].hist, ch->learn->kind->width);
}

/* Number the tables that are left, and give the contexts that were not seen what their neighbour has. */
static void number_tables(struct chooser *ch)
{
    struct tp_delta_model *m = ch->model;
    uint8_t number[TP_DELTA_CONTEXTS] = {0};
    int last = -1;

    for (int t = 0; t < TP_DELTA_CONTEXTS; t++)
        if (ch->clusters[t].used)
            number[t] = m->table_count++;
    for (int c = 0; c < TP_DELTA_CONTEXTS; c++) {
        if (ch->learn->count[c] == 0)
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

double tp_delta_learn(const struct tp_delta_learn *learn, struct tp_delta_model *model)
{
    struct chooser *ch = calloc(1, sizeof *ch);
    uint64_t bits = 0;
    uint64_t total = 0;
    unsigned next = 0;

    if (!ch)
        return -1;
    ch->learn = learn;
    ch->model = model;
    log2_table(ch->log2);
    for (unsigned c = 0; c < TP_DELTA_CONTEXTS; c++)
        choose_alone(ch, c);
    for (int round = 0; round < ROUNDS; round++) {
        merge_tables(ch);
        move_contexts(ch);
    }
    merge_tables(ch);
    number_tables(ch);
    model->freq[0][TP_DELTA_ESCAPE] = TP_RANS_ONE; /* where nothing was seen */
    for (int t = 0; t < TP_DELTA_CONTEXTS; t++) {
        uint32_t cost[256];

        if (!ch->clusters[t].used)
            continue;
        finish_table(ch, ch->clusters[t].hist, model->freq[next++], cost);
        bits += cross_cost(ch->clusters[t].hist, cost);
    }
    for (unsigned c = 0; c < TP_DELTA_CONTEXTS; c++) {
        bits += raw_bits(ch, c, model->ctx[c].direct, model->ctx[c].shift);
        total += learn->count[c];
    }
    free(ch);
    return total ? (double)bits / (double)total / (double)BIT : 0;
}
