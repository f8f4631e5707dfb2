/* SPDX-License-Identifier: MIT */
/* The cost of a table for symbols of given counts, and which symbols a table leaves out. */
#include <config.h>

#include <string.h>

#include "codec/delta/hist.h"

#define LN2_INVERSE 94548u /* 1 / ln 2, in 1 / 2^TP_DELTA_FRAC */

/* log2(1 + i / 256). */
static const uint32_t log2_of[257] = {
    0,     368,   735,   1101,  1465,  1828,  2190,  2550,  2909,  3266,  3622,  3977,  4331,
    4683,  5034,  5383,  5731,  6078,  6424,  6769,  7112,  7454,  7794,  8134,  8472,  8809,
    9145,  9480,  9813,  10146, 10477, 10807, 11136, 11463, 11790, 12115, 12440, 12763, 13085,
    13406, 13726, 14045, 14363, 14680, 14995, 15310, 15624, 15936, 16248, 16558, 16868, 17176,
    17484, 17790, 18096, 18400, 18704, 19006, 19308, 19608, 19908, 20207, 20505, 20801, 21097,
    21392, 21686, 21980, 22272, 22563, 22854, 23143, 23432, 23720, 24007, 24293, 24578, 24862,
    25146, 25429, 25710, 25991, 26272, 26551, 26829, 27107, 27384, 27660, 27935, 28210, 28483,
    28756, 29028, 29300, 29570, 29840, 30109, 30377, 30644, 30911, 31177, 31442, 31707, 31971,
    32234, 32496, 32757, 33018, 33278, 33538, 33796, 34054, 34312, 34568, 34824, 35079, 35334,
    35588, 35841, 36093, 36345, 36596, 36847, 37096, 37346, 37594, 37842, 38089, 38336, 38582,
    38827, 39071, 39315, 39559, 39801, 40044, 40285, 40526, 40766, 41006, 41245, 41483, 41721,
    41959, 42195, 42431, 42667, 42902, 43136, 43370, 43603, 43836, 44068, 44299, 44530, 44760,
    44990, 45219, 45448, 45676, 45904, 46131, 46357, 46583, 46808, 47033, 47257, 47481, 47704,
    47927, 48149, 48371, 48592, 48813, 49033, 49253, 49472, 49690, 49909, 50126, 50343, 50560,
    50776, 50992, 51207, 51421, 51635, 51849, 52062, 52275, 52487, 52699, 52910, 53121, 53331,
    53541, 53751, 53960, 54168, 54376, 54584, 54791, 54998, 55204, 55410, 55615, 55820, 56024,
    56228, 56432, 56635, 56837, 57040, 57242, 57443, 57644, 57844, 58044, 58244, 58443, 58642,
    58841, 59039, 59236, 59433, 59630, 59827, 60023, 60218, 60413, 60608, 60802, 60996, 61190,
    61383, 61576, 61768, 61960, 62152, 62343, 62534, 62724, 62914, 63104, 63293, 63482, 63671,
    63859, 64047, 64234, 64421, 64608, 64794, 64980, 65165, 65351, 65536,
};

/* A straight line between entries of the table. */
TP_INLINE uint32_t log2_between(uint32_t v)
{
    unsigned log = 31 - (unsigned)__builtin_clz(v);
    uint32_t m = v << (31 - log); /* 1.31 */
    uint32_t i = m >> 23 & 255;
    uint32_t rest = m & 0x7fffff;
    uint32_t a = log2_of[i];

    return (log << TP_DELTA_FRAC) + a + (uint32_t)((uint64_t)(log2_of[i + 1] - a) * rest >> 23);
}

uint32_t tp_delta_log2(uint32_t v)
{
    return log2_between(v);
}

static uint64_t total_of(const struct tp_delta_hist *hist)
{
    uint64_t total = hist->escapes;

    for (unsigned i = 0; i < hist->n; i++)
        total += hist->count[i];
    return total;
}

/* The symbols from AT on escape. */
struct cut {
    int64_t sum, best;
    unsigned at;
};

/*
 * Of the symbols from LOW up to HIGH, which do not occur, all or none are left out, because each
 * has the same cost.
 */
static void cut_empty(struct cut *cut, unsigned low, unsigned high, uint64_t each)
{
    if (low >= high)
        return;
    cut->sum -= (int64_t)((high - low) * each);
    if (cut->sum <= cut->best) {
        cut->best = cut->sum;
        cut->at = low;
    }
}

/* Find the last symbol whose code pays. Each takes at least one slot, and all later ones escape. */
static unsigned cut_symbols(const struct tp_delta_hist *hist, uint64_t total, unsigned width)
{
    uint64_t slot = total / TP_RANS_ONE, empty = slot * LN2_INVERSE + TP_DELTA_SYMBOL_BITS / 2;
    unsigned next = hist->n ? hist->sym[hist->n - 1] + 1u : 0;
    struct cut cut = {.at = next};

    cut.sum = cut.best = -(int64_t)((TP_DELTA_ESCAPE - next) * empty);
    for (unsigned i = hist->n; i-- > 0;) {
        uint64_t spare = hist->count[i] < slot ? slot - hist->count[i] : 0;

        cut_empty(&cut, hist->sym[i] + 1u, next, empty);
        cut.sum += (int64_t)((uint64_t)hist->count[i] * width * TP_DELTA_BIT);
        cut.sum -= (int64_t)(spare * LN2_INVERSE + TP_DELTA_SYMBOL_BITS / 2);
        if (cut.sum < cut.best) {
            cut.best = cut.sum;
            cut.at = hist->sym[i];
        }
        next = hist->sym[i];
    }
    cut_empty(&cut, 0, next, empty);
    return cut.at;
}

/*
 * The symbols if those from CUT on escape: the number that occur, and the number of elements that
 * escape.
 */
static unsigned count_below(const struct tp_delta_hist *hist, unsigned cut, uint64_t total,
                            uint64_t *escapes)
{
    unsigned n = 0;

    for (; n < hist->n && hist->sym[n] < cut; n++)
        total -= hist->count[n];
    *escapes = total;
    return n;
}

/* The parts of a cost. */
struct sum {
    uint64_t scale; /* counts to frequencies of TP_RANS_BITS + 8 bits */
    uint64_t slots;
    uint64_t cost;
};

/* Add TIMES symbols that occur COUNT times each. */
TP_INLINE void add_cost(struct sum *sum, uint64_t count, uint64_t times)
{
    uint64_t f = (uint64_t)((count * (unsigned __int128)sum->scale) >> 32);

    f = f < 256 ? 256 : f;
    sum->slots += times * f;
    sum->cost +=
        times * count * (((TP_RANS_BITS + 8) << TP_DELTA_FRAC) - log2_between((uint32_t)f));
}

uint64_t tp_delta_hist_cost(const struct tp_delta_hist *hist, unsigned width)
{
    uint64_t total = total_of(hist), escapes;
    unsigned cut = cut_symbols(hist, total, width), n = count_below(hist, cut, total, &escapes);
    struct sum sum = {0};

    /* Symbols that were not seen, and escapes, may still occur: they get the smallest frequency. */
    total += cut - n + (escapes == 0);
    escapes += escapes == 0;
    sum.scale = ((uint64_t)1 << (TP_RANS_BITS + 8 + 32)) / total;
    for (unsigned i = 0; i < n; i++)
        add_cost(&sum, hist->count[i], 1);
    add_cost(&sum, 1, cut - n);
    add_cost(&sum, escapes, 1);
    if (sum.slots > (uint64_t)1 << (TP_RANS_BITS + 8))
        sum.cost +=
            total * (log2_between((uint32_t)sum.slots) - ((TP_RANS_BITS + 8) << TP_DELTA_FRAC));
    return sum.cost + escapes * width * TP_DELTA_BIT + TP_DELTA_TABLE_BITS +
           (cut + 1) * TP_DELTA_SYMBOL_BITS;
}

void tp_delta_hist_cut(const struct tp_delta_hist *hist, unsigned width, uint32_t out[256])
{
    uint64_t total = total_of(hist), escapes;
    unsigned cut = cut_symbols(hist, total, width), n = count_below(hist, cut, total, &escapes);

    for (unsigned s = 0; s < 256; s++)
        out[s] = s < cut;
    for (unsigned i = 0; i < n; i++)
        out[hist->sym[i]] = hist->count[i];
    out[TP_DELTA_ESCAPE] = (uint32_t)escapes;
}

uint64_t tp_delta_hist_cross(const struct tp_delta_hist *hist, const uint32_t cost[256])
{
    uint64_t sum = (uint64_t)hist->escapes * cost[TP_DELTA_ESCAPE];

    for (unsigned i = 0; i < hist->n; i++)
        sum += (uint64_t)hist->count[i] * cost[hist->sym[i]];
    return sum;
}

void tp_delta_hist_copy(struct tp_delta_hist *to, const struct tp_delta_hist *from)
{
    to->n = from->n;
    to->escapes = from->escapes;
    memcpy(to->sym, from->sym, from->n);
    memcpy(to->count, from->count, from->n * sizeof *from->count);
}

void tp_delta_hist_sum(const struct tp_delta_hist *a, const struct tp_delta_hist *b,
                       struct tp_delta_hist *out)
{
    unsigned i = 0, k = 0, n = 0;

    while (i < a->n || k < b->n) {
        unsigned x = i < a->n ? a->sym[i] : TP_DELTA_ESCAPE,
                 y = k < b->n ? b->sym[k] : TP_DELTA_ESCAPE;

        out->sym[n] = (uint8_t)(x < y ? x : y);
        out->count[n++] = (x <= y ? a->count[i] : 0) + (y <= x ? b->count[k] : 0);
        i += x <= y;
        k += y <= x;
    }
    out->n = n;
    out->escapes = a->escapes + b->escapes;
}

bool tp_delta_hist_equal(const struct tp_delta_hist *a, const struct tp_delta_hist *b)
{
    return a->n == b->n && a->escapes == b->escapes && memcmp(a->sym, b->sym, a->n) == 0 &&
           memcmp(a->count, b->count, a->n * sizeof *a->count) == 0;
}
