/* SPDX-License-Identifier: MIT */
/*
 * Training delta: counts and costs compared with simple definitions, and the same tables for every
 * way of counting.
 */
#include <config.h>

#include "codec/delta/bins.h"
#include "codec/delta/counts.h"
#include "codec/delta/tables.h"
#include "codec/delta/train.h"
#include "tests/tap.h"

#define ROUNDS 300
#define ELEMS_MAX 4096

static uint64_t seed;

/* Many symbols or few, large counts or small. */
static void random_hist(struct tp_delta_hist *hist)
{
    unsigned one_in = 1 + (unsigned)(tap_random(&seed) % 40),
             bits = (unsigned)(tap_random(&seed) % 24);
    unsigned end = 1 + (unsigned)(tap_random(&seed) % TP_DELTA_ESCAPE);

    hist->n = 0;
    for (unsigned s = 0; s < end; s++) {
        if (tap_random(&seed) % one_in)
            continue;
        hist->sym[hist->n] = (uint8_t)s;
        hist->count[hist->n++] = 1 + (uint32_t)((tap_random(&seed) & ((1u << bits) - 1)) / (s + 1));
    }
    hist->escapes =
        tap_random(&seed) % 2 || !hist->n ? 1 + (uint32_t)(tap_random(&seed) % 1000) : 0;
}

static void spread(const struct tp_delta_hist *hist, uint32_t out[256])
{
    memset(out, 0, 256 * sizeof *out);
    for (unsigned i = 0; i < hist->n; i++)
        out[hist->sym[i]] = hist->count[i];
    out[TP_DELTA_ESCAPE] = hist->escapes;
}

/* Which symbols to code, by looking at each: the last of the best. */
static unsigned plain_cut(const uint32_t hist[256], unsigned width)
{
    uint64_t total = 0, slot;
    int64_t sum = 0, best = 0;
    unsigned cut = TP_DELTA_ESCAPE;

    for (unsigned s = 0; s < 256; s++)
        total += hist[s];
    slot = total / TP_RANS_ONE;
    while (cut > 0 && hist[cut - 1] == 0)
        cut--;
    for (unsigned s = cut; s-- > 0;) {
        uint64_t spare = hist[s] < slot ? slot - hist[s] : 0;

        sum += (int64_t)(hist[s] * (uint64_t)width * TP_DELTA_BIT);
        sum -= (int64_t)(spare * 94548 + TP_DELTA_SYMBOL_BITS / 2);
        if (sum < best || (sum == best && hist[s] == 0)) {
            best = sum;
            cut = s;
        }
    }
    return cut;
}

static void plain_table(const struct tp_delta_hist *from, unsigned width, uint32_t hist[256],
                        unsigned *cut)
{
    spread(from, hist);
    *cut = plain_cut(hist, width);
    for (unsigned s = 0; s < TP_DELTA_ESCAPE; s++) {
        if (s >= *cut) {
            hist[TP_DELTA_ESCAPE] += hist[s];
            hist[s] = 0;
        } else {
            hist[s] += hist[s] == 0;
        }
    }
}

static uint64_t plain_cost(const struct tp_delta_hist *from, unsigned width)
{
    uint64_t total = 0, slots = 0, cost = 0, scale;
    unsigned whole = TP_RANS_BITS + 8, cut;
    uint32_t hist[256];

    plain_table(from, width, hist, &cut);
    hist[cut] = hist[TP_DELTA_ESCAPE] + (hist[TP_DELTA_ESCAPE] == 0);
    for (unsigned s = 0; s <= cut; s++)
        total += hist[s];
    scale = ((uint64_t)1 << (whole + 32)) / total;
    for (unsigned s = 0; s <= cut; s++) {
        uint64_t f = (uint64_t)((hist[s] * (unsigned __int128)scale) >> 32);

        f = f < 256 ? 256 : f;
        slots += f;
        cost += (uint64_t)hist[s] * ((whole << TP_DELTA_FRAC) - tp_delta_log2((uint32_t)f));
    }
    if (slots > (uint64_t)1 << whole)
        cost += total * (tp_delta_log2((uint32_t)slots) - (whole << TP_DELTA_FRAC));
    return cost + (uint64_t)hist[cut] * width * TP_DELTA_BIT + TP_DELTA_TABLE_BITS +
           (cut + 1) * TP_DELTA_SYMBOL_BITS;
}

static void test_hist(void)
{
    unsigned costs = 0, cuts = 0, sums = 0, same = 0;

    for (unsigned r = 0; r < ROUNDS; r++) {
        unsigned width = 8u << tap_random(&seed) % 3, cut;
        struct tp_delta_hist a, b, sum, copy;
        uint32_t x[256], y[256], got[256];

        random_hist(&a);
        random_hist(&b);
        costs += tp_delta_hist_cost(&a, width) == plain_cost(&a, width);
        plain_table(&a, width, x, &cut);
        tp_delta_hist_cut(&a, width, got);
        cuts += memcmp(x, got, sizeof x) == 0;
        tp_delta_hist_sum(&a, &b, &sum);
        spread(&a, x);
        spread(&b, y);
        spread(&sum, got);
        for (unsigned s = 0; s < 256; s++)
            x[s] += y[s];
        sums += memcmp(x, got, sizeof x) == 0;
        tp_delta_hist_copy(&copy, &sum);
        same += tp_delta_hist_equal(&copy, &sum) && !tp_delta_hist_equal(&a, &sum);
    }
    is_int(costs, ROUNDS, "costs are those of every symbol added up");
    is_int(cuts, ROUNDS, "the same symbols are cut off");
    is_int(sums, ROUNDS, "sums have both");
    is_int(same, ROUNDS, "copies are equal, others are not");
}

/* By squaring: what the table was made by. */
static uint32_t plain_log2(uint32_t v)
{
    unsigned log = 31 - (unsigned)__builtin_clz(v);
    uint64_t x = (uint64_t)v << (31 - log);
    uint32_t r = log;

    for (int bit = 0; bit < TP_DELTA_FRAC; bit++) {
        x = x * x >> 31;
        r = r << 1 | (uint32_t)(x >> 32);
        x >>= x >> 32;
    }
    return r;
}

static void test_log2(void)
{
    unsigned exact = 0, near = 0;

    for (uint32_t i = 256; i < 512; i++)
        exact += tp_delta_log2(i) == plain_log2(i) && tp_delta_log2(i << 20) == plain_log2(i << 20);
    for (unsigned r = 0; r < ROUNDS; r++) {
        uint32_t v = (uint32_t)tap_random(&seed) >> tap_random(&seed) % 31 | 1;
        int64_t off = (int64_t)tp_delta_log2(v) - plain_log2(v);

        near += off >= -2 && off <= 2;
    }
    is_int(exact, 256, "logarithms of 256 to 511");
    is_int(near, ROUNDS, "and of others, to about 1/32768");
}

/* What elements with these differences are with a shift. */
static void plain_symbols(const uint32_t *diff, size_t n, unsigned shift, uint32_t hist[256])
{
    memset(hist, 0, 256 * sizeof *hist);
    for (size_t i = 0; i < n; i++) {
        uint32_t sym = diff[i] ? ((diff[i] - 1) >> shift) + 1 : 0;

        hist[diff[i] && (diff[i] - 1) >> shift >= TP_DELTA_ESCAPE - 1 ? TP_DELTA_ESCAPE : sym]++;
    }
}

static unsigned wrong_symbols(const struct tp_delta_counts *counts, const uint32_t *diff, size_t n,
                              unsigned width)
{
    unsigned wrong = 0;

    for (unsigned shift = 0; shift < width; shift++) {
        struct tp_delta_hist hist;
        uint32_t want[256], got[256];

        plain_symbols(diff, n, shift, want);
        tp_delta_symbols(counts, (uint32_t)n, shift, &hist);
        spread(&hist, got);
        wrong += memcmp(want, got, sizeof want) != 0;
        wrong += tp_delta_escapes(counts, (uint32_t)n, shift) != want[TP_DELTA_ESCAPE];
        for (unsigned i = 0; i < hist.n; i++)
            wrong += hist.count[i] == 0 || (i > 0 && hist.sym[i] <= hist.sym[i - 1]);
    }
    return wrong;
}

static int by_bin(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

static void test_counts(void)
{
    static uint32_t diff[ELEMS_MAX], bins[1 + 256 + 128 * 24];
    static uint16_t bin[ELEMS_MAX];
    unsigned wrong = 0, lists = 0, sums = 0;

    for (unsigned r = 0; r < ROUNDS; r++) {
        unsigned width = 8u << tap_random(&seed) % 3,
                 bits = (unsigned)(tap_random(&seed) % (width + 1));
        size_t n = 1 + tap_random(&seed) % (tap_random(&seed) % 2 ? 300 : ELEMS_MAX);
        struct tp_delta_counts taken = {0}, sorted = {0};

        memset(bins, 0, sizeof bins);
        for (size_t i = 0; i < n; i++) {
            diff[i] = (uint32_t)tap_random(&seed) & (uint32_t)(((uint64_t)1 << bits) - 1);
            bin[i] = (uint16_t)tp_delta_bin_of(diff[i]);
            bins[bin[i]]++;
        }
        qsort(bin, n, sizeof *bin, by_bin);
        if (tp_delta_counts_build(&taken, bins, tp_delta_bin_count(width)) ||
            tp_delta_counts_sorted(&sorted, bin, n, tp_delta_bin_count(width)))
            bail_out("out of memory");
        wrong += wrong_symbols(&taken, diff, n, width) + wrong_symbols(&sorted, diff, n, width);
        lists += taken.list && sorted.list;
        sums += taken.sums && sorted.sums;
        tp_delta_counts_clear(&taken);
        tp_delta_counts_clear(&sorted);
    }
    is_int(wrong, 0, "symbols and escapes at every shift");
    ok(lists > 0 && sums > 0 && lists + sums == ROUNDS, "from %u lists and %u sums", lists, sums);
}

static void train(enum tp_dtype dtype, const uint8_t *src, const uint8_t *base, size_t len,
                  size_t piece, struct tp_buffer *out, double *bits)
{
    struct tp_stats *stats = tp_delta_stats_create(dtype);

    if (!stats)
        bail_out("out of memory");
    for (size_t i = 0; i < len; i += piece)
        tp_delta_stats_add(stats, src + i, base + i, len - i < piece ? len - i : piece);
    if (tp_delta_stats_finish(stats, out, bits))
        bail_out("training failed");
    tp_delta_stats_destroy(stats);
}

/*
 * Few elements are kept until all are there, and more are counted at once: in pieces, these few are
 * too.
 */
static void test_kept(enum tp_dtype dtype)
{
    const struct tp_delta_kind *kind = tp_delta_kind_of(dtype);
    static uint8_t src[4 * ELEMS_MAX + TP_SLACK], base[4 * ELEMS_MAX + TP_SLACK];
    size_t bytes = kind->width / 8;
    unsigned same = 0;

    for (unsigned r = 0; r < ROUNDS / 10; r++) {
        size_t n = ELEMS_MAX - tap_random(&seed) % 200;
        struct tp_buffer kept = {0}, counted = {0};
        double bits[2];

        for (size_t i = 0; i < n; i++) {
            uint64_t v = tap_random(&seed) % (1u << (kind->width - 2)), d = tap_random(&seed);

            v += (d & 0xff) >> (d >> 8) % 8;
            memcpy(src + i * bytes, &v, bytes);
            v -= (d & 0xff) >> (d >> 8) % 8;
            memcpy(base + i * bytes, &v, bytes);
        }
        train(dtype, src, base, n * bytes, n * bytes, &kept, &bits[0]);
        train(dtype, src, base, n * bytes, 200 * bytes, &counted, &bits[1]);
        same += kept.len == counted.len && memcmp(kept.data, counted.data, kept.len) == 0 &&
                memcmp(&bits[0], &bits[1], sizeof bits[0]) == 0;
        tp_buffer_clear(&kept);
        tp_buffer_clear(&counted);
    }
    ok(same == ROUNDS / 10, "the same tables for %s", tp_dtype_name(dtype));
}

int main(void)
{
    seed = tap_seed();
    test_log2();
    test_hist();
    test_counts();
    test_kept(TP_DTYPE_BF16);
    test_kept(TP_DTYPE_F32);
    test_kept(TP_DTYPE_I8);
    return tap_done();
}
