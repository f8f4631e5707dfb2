/* SPDX-License-Identifier: MIT */
/*
 * Training the sparse codec: the distances between changed elements of a tensor, and how they
 * changed.
 */
#include <config.h>

#include "codec/sparse/tables.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * A tensor that changes everywhere does not suit this codec; this number of changes suffices to
 * detect it.
 */
#define DENSE_CHANGES 65536u
#define DENSE_ONE_IN 8u

/* The cost of a chunk besides its changes: their number, and rounding up to bytes. */
#define CHUNK_BITS 20.0

struct tp_stats {
    enum tp_dtype dtype;
    struct sparse_shape shape;
    uint64_t elements;
    uint64_t changes;
    uint64_t gap[GAP_TOKENS];
    uint64_t value[VALUE_TOKENS];
    double extra_bits; /* plain bits after the tokens */
    uint32_t *positions;
};

/* For one width, so that each width has a loop without branches. */
TP_INLINE size_t find_positions(const uint8_t *src, const uint8_t *base, size_t len, unsigned width,
                                uint32_t *out)
{
    size_t n = 0, i = 0;

    while (i < len) {
        size_t block = len - i < 64 ? len - i : 64;

        if (block == 64) {
            uint64_t differ = 0;

            for (unsigned j = 0; j < 64; j += 8)
                differ |= tp_get_le64(src + i + j) ^ tp_get_le64(base + i + j);
            if (!differ) {
                i += 64;
                continue;
            }
        }
        for (size_t j = i; j < i + block; j += width) {
            out[n] = (uint32_t)(j / width);
            n += element_get(src + j, width) != element_get(base + j, width);
        }
        i += block;
    }
    return n;
}

size_t tp_sparse_positions(const uint8_t *src, const uint8_t *base, size_t len,
                           struct sparse_shape shape, uint32_t *out)
{
    switch (shape.width) {
    case 1:
        return find_positions(src, base, len, 1, out);
    case 2:
        return find_positions(src, base, len, 2, out);
    case 4:
        return find_positions(src, base, len, 4, out);
    default:
        return find_positions(src, base, len, 8, out);
    }
}

struct tp_stats *tp_sparse_stats_create(enum tp_dtype dtype)
{
    struct tp_stats *stats = calloc(1, sizeof *stats);

    if (!stats)
        return NULL;
    stats->dtype = dtype;
    stats->shape = tp_sparse_shape(dtype);
    /*
     * One more than the number of elements, because an entry is written before it is known whether
     * it counts.
     */
    stats->positions = malloc((TP_CHUNK_MAX / stats->shape.width + 1) * sizeof *stats->positions);
    if (!stats->positions) {
        free(stats);
        return NULL;
    }
    return stats;
}

void tp_sparse_stats_destroy(struct tp_stats *stats)
{
    if (!stats)
        return;
    free(stats->positions);
    free(stats);
}

static void count_chunk(struct tp_stats *stats, const uint8_t *src, const uint8_t *base, size_t len)
{
    unsigned width = stats->shape.width;
    size_t n = tp_sparse_positions(src, base, len, stats->shape, stats->positions);
    uint32_t next = 0;

    for (size_t i = 0; i < n; i++) {
        size_t at = (size_t)stats->positions[i] * width;
        struct token gap = token_of(stats->positions[i] - next);
        struct token value = token_of(change_number(element_get(src + at, width),
                                                    element_get(base + at, width), stats->shape));

        stats->gap[gap.symbol]++;
        stats->value[value.symbol]++;
        stats->extra_bits += gap.extra + value.extra;
        next = stats->positions[i] + 1;
    }
    stats->changes += n;
    stats->elements += len / width;
}

void tp_sparse_stats_add(struct tp_stats *stats, const void *src, const void *base, size_t len)
{
    const uint8_t *s = src, *b = base;

    for (size_t i = 0; i < len; i += TP_CHUNK_MAX) {
        if (stats->changes > DENSE_CHANGES && stats->changes > stats->elements / DENSE_ONE_IN)
            return;
        count_chunk(stats, s + i, b + i, len - i < TP_CHUNK_MAX ? len - i : TP_CHUNK_MAX);
    }
}

/* X to the power of N by squaring: the same on every machine, which pow() does not promise. */
static double power_of(double x, uint64_t n)
{
    double r = 1;

    for (; n; n >>= 1, x *= x)
        if (n & 1)
            r *= x;
    return r;
}

/*
 * Weights of gaps: the counts, plus eight gaps distributed as if every element changed
 * independently with the tensor's probability. Without these, few samples would leave gaps without
 * a code.
 */
static void weigh_gaps(const struct tp_stats *stats, double *weight)
{
    double changed = ((double)stats->changes + 0.5) / ((double)stats->elements + 1);
    double kept = changed < 1 ? 1 - changed : 0.5;
    double reached = 1;

    for (unsigned t = 0; t < GAP_TOKENS; t++) {
        unsigned extra;
        uint64_t least = token_base(t, &extra);
        double after = power_of(kept, least + (UINT64_C(1) << extra));

        weight[t] = (double)stats->gap[t] + 8 * (reached - after);
        reached = after;
    }
    weight[GAP_ESCAPE] = 0.5;
}

/*
 * Weights of values: the counts, a little for the smallest steps, and for unseen values the number
 * of those seen once.
 */
static void weigh_values(const struct tp_stats *stats, double *weight)
{
    unsigned once = 0;

    for (unsigned t = 0; t < VALUE_TOKENS; t++) {
        weight[t] = (double)stats->value[t] + (t < 8 ? 0.5 / (t / 2 + 1) : 0);
        once += stats->value[t] == 1;
    }
    weight[VALUE_ESCAPE] = 0.5 + once;
}

/*
 * Frequencies that sum to the scale, at least 1 if a token is worth its slot. The remainder of the
 * rounding is added to, or taken from, the symbol with the best ratio, one by one.
 */
static void normalize_weights(const double *weight, unsigned symbols, uint16_t *freq)
{
    double total = 0;
    int rest = (int)SPARSE_SCALE;

    for (unsigned s = 0; s < symbols; s++)
        total += weight[s];
    for (unsigned s = 0; s < symbols; s++) {
        double share = weight[s] / total * SPARSE_SCALE;

        freq[s] = share < 0.25 ? 0 : share < 1 ? 1 : (uint16_t)(share + 0.5);
        if (s == symbols - 1 && !freq[s])
            freq[s] = 1;
        rest -= freq[s];
    }
    for (; rest; rest += rest < 0 ? 1 : -1) {
        unsigned best = symbols - 1;
        double best_gain = -1;

        for (unsigned s = 0; s < symbols; s++) {
            double gain;

            if (rest < 0 ? freq[s] < 2 : !freq[s])
                continue;
            gain = rest < 0 ? freq[s] / (weight[s] + 0.01) : weight[s] / freq[s];
            if (gain > best_gain) {
                best_gain = gain;
                best = s;
            }
        }
        freq[best] = (uint16_t)(freq[best] + (rest < 0 ? -1 : 1));
    }
}

static int put_number(struct tp_buffer *out, unsigned v)
{
    int rc;

    if (v < 0x80)
        return tp_buffer_append_u8(out, (uint8_t)v);
    rc = tp_buffer_append_u8(out, (uint8_t)(v | 0x80));
    return rc ? rc : tp_buffer_append_u8(out, (uint8_t)(v >> 7));
}

static int put_alphabet(struct tp_buffer *out, const uint16_t *freq, unsigned symbols)
{
    int rc = 0;

    for (unsigned s = 0; s < symbols && !rc; s++) {
        unsigned run = 0;

        while (!freq[s + run])
            run++;
        if (run) {
            rc = put_number(out, 0);
            rc = rc ? rc : put_number(out, run);
            s += run;
        }
        rc = rc ? rc : put_number(out, freq[s]);
    }
    return rc;
}

static double token_cost(const uint64_t *count, const uint16_t *freq, unsigned tokens,
                         double raw_bits)
{
    double escape = SPARSE_SCALE_BITS - log2(freq[tokens]) + raw_bits;
    double bits = 0;

    for (unsigned t = 0; t < tokens; t++)
        if (count[t])
            bits += (double)count[t] * (freq[t] ? SPARSE_SCALE_BITS - log2(freq[t]) : escape);
    return bits;
}

int tp_sparse_stats_finish(struct tp_stats *stats, struct tp_buffer *out, double *bits)
{
    double weight[VALUE_TOKENS + 1];
    uint16_t gap[GAP_TOKENS + 1], value[VALUE_TOKENS + 1];
    double total, chunk = (double)(TP_CHUNK_MAX / stats->shape.width);
    int rc;

    weigh_gaps(stats, weight);
    normalize_weights(weight, GAP_TOKENS + 1, gap);
    weigh_values(stats, weight);
    normalize_weights(weight, VALUE_TOKENS + 1, value);
    total = stats->extra_bits + token_cost(stats->gap, gap, GAP_TOKENS, 7) +
            token_cost(stats->value, value, VALUE_TOKENS, 8);
    *bits = CHUNK_BITS / chunk + (stats->elements ? total / (double)stats->elements : 0);
    /* An element of the dtype may be two elements here, or a part of one. */
    *bits *= tp_dtype_bits(stats->dtype) / (8.0 * stats->shape.width);
    rc = put_alphabet(out, gap, GAP_TOKENS + 1);
    return rc ? rc : put_alphabet(out, value, VALUE_TOKENS + 1);
}
