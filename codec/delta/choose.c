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
#define TABLE_MOST (TABLE_BITS + 256 * SYMBOL_BITS)
#define ROUNDS 3
#define SHIFTS 32
#define PARTS 9

/* A table in the making: what its contexts will send to it. */
struct cluster {
    uint32_t hist[256];
    uint64_t cost;
    uint64_t total;
    uint64_t part[PARTS]; /* how many symbols are 0, 1 to 2, 3 to 6, .. */
    bool used;
};

struct chooser {
    const struct tp_delta_learn *learn;
    struct tp_delta_model *model;
    struct cluster clusters[TP_DELTA_CONTEXTS];
    /* What a context takes alone by mode and shift, its table included; all ones: unknown. */
    uint64_t alone[TP_DELTA_CONTEXTS][2][SHIFTS];
    /* What merging two clusters saves, the lower number first; settled ones are as they were when it was taken. */
    int64_t gain[TP_DELTA_CONTEXTS][TP_DELTA_CONTEXTS];
    bool settled[TP_DELTA_CONTEXTS];
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
    unsigned cut = 255;
    int64_t sum;
    int64_t best;

    while (cut > 0 && hist[cut - 1] == 0)
        cut--;
    sum = -(int64_t)((255 - cut) * (slot * 94548 + SYMBOL_BITS / 2));
    best = sum;
    for (unsigned s = cut; s-- > 0;) {
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

/* Turn what lies beyond the cut into escapes; returns the cut. */
static unsigned cut_hist(uint32_t hist[256], unsigned width)
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
    return cut;
}

/* About the bits that these symbols take with a table of their own, raw escapes and the table included. */
static uint64_t hist_cost(const struct chooser *ch, const uint32_t raw[256], unsigned width)
{
    uint32_t hist[256];
    uint64_t total = 0;
    uint64_t cost = 0;
    uint64_t slots = 0; /* in 1/256 */
    uint64_t scale;
    unsigned cut;

    memcpy(hist, raw, sizeof hist);
    cut = cut_hist(hist, width);
    hist[cut] = hist[255] + (hist[255] == 0); /* beside the others, so that they are CUT + 1 in a row */
    for (unsigned s = 0; s <= cut; s++)
        total += hist[s];
    scale = ((uint64_t)1 << (TP_RANS_BITS + 8 + 32)) / total;
    for (unsigned s = 0; s <= cut; s++) {
        uint64_t f;

        f = (hist[s] * (unsigned __int128)scale) >> 32;
        f = f < 256 ? 256 : f;
        slots += f;
        cost += hist[s] * (uint64_t)(((TP_RANS_BITS + 8) << FRAC) - log2_of(ch, (uint32_t)f));
    }
    if (slots > (uint64_t)1 << (TP_RANS_BITS + 8))
        cost += total * (log2_of(ch, (uint32_t)slots) - ((TP_RANS_BITS + 8) << FRAC));
    cost += (uint64_t)hist[cut] * width * BIT;
    return cost + TABLE_BITS + (cut + 1) * SYMBOL_BITS;
}

static void settle_cluster(const struct chooser *ch, struct cluster *cl)
{
    unsigned s = 0;

    cl->cost = hist_cost(ch, cl->hist, ch->learn->kind->width);
    cl->total = 0;
    for (unsigned p = 0; p < PARTS; p++) {
        cl->part[p] = 0;
        for (; s < (2u << p) - 1 && s < 256; s++)
            cl->part[p] += cl->hist[s];
        cl->total += cl->part[p];
    }
}

static uint64_t raw_bits(const struct chooser *ch, unsigned c, bool direct, unsigned shift)
{
    uint32_t zero = tp_delta_sums(ch->learn, c, direct)[1];

    return (ch->learn->count[c] - zero) * shift * BIT;
}

/* The shift and mode that would be best for context C alone. What is far from that is given up early. */
static void choose_alone(struct chooser *ch, unsigned c)
{
    const struct tp_delta_kind *kind = ch->learn->kind;
    struct cluster *cl = &ch->clusters[c];

    cl->cost = UINT64_MAX;
    cl->used = ch->learn->count[c] > 0;
    memset(ch->alone[c], 0xff, sizeof ch->alone[c]);
    for (unsigned direct = 0; direct < 2 && cl->used; direct++) {
        for (unsigned shift = 0; shift <= kind->shift_max; shift++) {
            uint32_t hist[256];
            uint64_t raw = raw_bits(ch, c, direct, shift);
            uint64_t escapes = tp_delta_escapes(ch->learn, c, direct, shift);
            uint64_t cost;

            if (raw >= cl->cost)
                break;
            if (raw + escapes * kind->width * BIT >= cl->cost)
                continue;
            tp_delta_symbols(ch->learn, c, direct, shift, hist);
            cost = hist_cost(ch, hist, kind->width) + raw;
            ch->alone[c][direct][shift] = cost;
            if (escapes < ch->learn->count[c] / 16 && cl->cost != UINT64_MAX &&
                cost > cl->cost + cl->cost / 8 + TABLE_MOST)
                break;
            if (cost < cl->cost) {
                cl->cost = cost;
                memcpy(cl->hist, hist, sizeof hist);
                ch->model->ctx[c] = (struct tp_delta_context){(uint8_t)c, (uint8_t)shift, (uint8_t)direct};
            }
        }
    }
    if (cl->used)
        settle_cluster(ch, cl);
}

static uint64_t times_log2(const struct chooser *ch, uint64_t n)
{
    return n ? n * log2_of(ch, (uint32_t)n) : 0;
}

/*
 * Whether two tables differ so much in how often a symbol is 0, 1 to 2, 3 to 6, .. that coding both with one takes
 * more than that could save, even if all else were alike.
 */
static bool too_different(const struct chooser *ch, const struct cluster *a, const struct cluster *b)
{
    uint64_t loss = times_log2(ch, a->total + b->total) - times_log2(ch, a->total) - times_log2(ch, b->total);

    for (int p = 0; p < PARTS; p++)
        loss += times_log2(ch, a->part[p]) + times_log2(ch, b->part[p]) -
                times_log2(ch, a->part[p] + b->part[p]);
    return (int64_t)loss > (int64_t)(2 * TABLE_MOST);
}

/* What it saves to make tables I and J one; 0 where one is not there. */
static int64_t merge_gain(const struct chooser *ch, int i, int j)
{
    const struct cluster *a = &ch->clusters[i];
    const struct cluster *b = &ch->clusters[j];
    uint32_t sum[256];

    if (i == j || !a->used || !b->used || too_different(ch, a, b))
        return 0;
    for (int s = 0; s < 256; s++)
        sum[s] = a->hist[s] + b->hist[s];
    return (int64_t)(a->cost + b->cost) - (int64_t)hist_cost(ch, sum, ch->learn->kind->width);
}

static void merge_pair(struct chooser *ch, int to, int from)
{
    for (int s = 0; s < 256; s++)
        ch->clusters[to].hist[s] += ch->clusters[from].hist[s];
    settle_cluster(ch, &ch->clusters[to]);
    ch->clusters[from].used = false;
    for (int c = 0; c < TP_DELTA_CONTEXTS; c++)
        if (ch->model->ctx[c].table == from)
            ch->model->ctx[c].table = (uint8_t)to;
}

/* What merging saves, where that is not known from before. */
static void take_gains(struct chooser *ch)
{
    for (int i = 0; i < TP_DELTA_CONTEXTS; i++)
        for (int j = i + 1; j < TP_DELTA_CONTEXTS; j++)
            if (!ch->settled[i] || !ch->settled[j])
                ch->gain[i][j] = merge_gain(ch, i, j);
    memset(ch->settled, true, sizeof ch->settled);
}

/* Merge the pair of tables that saves most, while one does. */
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
        ch->settled[to] = ch->settled[from] = false;
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

/*
 * Move context C to the table, shift and mode that are cheapest for it as the tables are; returns whether it was not
 * there. What it costs where it is, is known first: most others are then out of the question at once.
 */
static bool move_context(struct chooser *ch, unsigned c, uint32_t (*cost)[256])
{
    struct tp_delta_context *ctx = &ch->model->ctx[c];
    struct tp_delta_context was = *ctx;
    uint32_t own[256];
    uint64_t best;

    tp_delta_symbols(ch->learn, c, was.direct, was.shift, own);
    best = raw_bits(ch, c, was.direct, was.shift) + cross_cost(own, cost[was.table]);

    for (unsigned direct = 0; direct < 2; direct++) {
        for (unsigned shift = 0; shift <= ch->learn->kind->shift_max; shift++) {
            uint32_t hist[256];
            uint64_t alone = ch->alone[c][direct][shift];
            uint64_t raw = raw_bits(ch, c, direct, shift);

            if (raw >= best)
                break;
            if (alone != UINT64_MAX
                    ? alone > best + TABLE_MOST
                    : raw + tp_delta_escapes(ch->learn, c, direct, shift) * ch->learn->kind->width * BIT >= best)
                continue;
            tp_delta_symbols(ch->learn, c, direct, shift, hist);
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
    return memcmp(&was, ctx, sizeof was) != 0;
}

/* Returns whether any context moved. */
static bool move_contexts(struct chooser *ch)
{
    uint32_t cost[TP_DELTA_CONTEXTS][256];
    struct cluster made[TP_DELTA_CONTEXTS] = {0};
    uint16_t freq[256];
    bool moved = false;

    for (int t = 0; t < TP_DELTA_CONTEXTS; t++)
        if (ch->clusters[t].used)
            finish_table(ch, ch->clusters[t].hist, freq, cost[t]);
    for (unsigned c = 0; c < TP_DELTA_CONTEXTS; c++)
        if (ch->learn->count[c])
            moved |= move_context(ch, c, cost);
    if (!moved)
        return false;
    for (unsigned c = 0; c < TP_DELTA_CONTEXTS; c++) {
        const struct tp_delta_context *ctx = &ch->model->ctx[c];
        uint32_t hist[256];

        if (ch->learn->count[c] == 0)
            continue;
        tp_delta_symbols(ch->learn, c, ctx->direct, ctx->shift, hist);
        for (int s = 0; s < 256; s++)
            made[ctx->table].hist[s] += hist[s];
        made[ctx->table].used = true;
    }
    for (int t = 0; t < TP_DELTA_CONTEXTS; t++) {
        if (made[t].used == ch->clusters[t].used &&
            memcmp(made[t].hist, ch->clusters[t].hist, sizeof made[t].hist) == 0)
            continue;
        ch->clusters[t] = made[t];
        if (made[t].used)
            settle_cluster(ch, &ch->clusters[t]);
        ch->settled[t] = false;
    }
    return true;
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
    merge_tables(ch);
    for (int round = 0; round < ROUNDS && move_contexts(ch); round++)
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
