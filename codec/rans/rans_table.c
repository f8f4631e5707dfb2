/* SPDX-License-Identifier: MIT */
/*
 * Frequency tables of rANS: made from counts, written, read, and expanded for coding and decoding.
 */
#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "codec/rans/rans.h"

/*
 * Find the symbol that gains most from one more slot, or loses least from one less; -1: none can
 * lose a slot.
 */
static int best_step(const uint32_t hist[256], const uint16_t freq[256], bool more)
{
    int best = -1;
    uint64_t best_num = 0;
    uint64_t best_den = 1;

    for (int i = 0; i < 256; i++) {
        if (more ? freq[i] == 0 : freq[i] <= 1)
            continue;
        /* hist * log2 of the step's ratio, to first order hist / (f +- 1/2). */
        uint64_t num = hist[i];
        uint64_t den = more ? 2u * freq[i] + 1 : 2u * freq[i] - 1;
        bool better = more ? num * best_den > best_num * den : num * best_den < best_num * den;

        if (best < 0 || better) {
            best = i;
            best_num = num;
            best_den = den;
        }
    }
    return best;
}

void tp_rans_normalize(const uint32_t hist[256], int escape, uint16_t freq[256])
{
    uint64_t total = 0;
    uint32_t sum = 0;

    for (int i = 0; i < 256; i++)
        total += hist[i];
    memset(freq, 0, 256 * sizeof *freq);
    if (total == 0) {
        freq[escape < 0 ? 0 : escape] = TP_RANS_ONE;
        return;
    }
    for (int i = 0; i < 256; i++) {
        uint64_t f = ((uint64_t)hist[i] * TP_RANS_ONE * 2 + total) / (2 * total);

        if (f == 0 && (hist[i] > 0 || i == escape))
            f = 1;
        freq[i] = (uint16_t)f;
        sum += freq[i];
    }
    while (sum != TP_RANS_ONE) {
        bool more = sum < TP_RANS_ONE;
        int i = best_step(hist, freq, more);

        freq[i] = (uint16_t)(more ? freq[i] + 1 : freq[i] - 1);
        sum += more ? 1 : -1u;
    }
}

/* Bits are packed from the least significant of each byte up. OUT may be NULL: only count. */
struct bit_writer {
    uint8_t *out;
    size_t bits;
};

static void put_bits(struct bit_writer *w, uint32_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++, w->bits++)
        if (v >> i & 1)
            w->out[w->bits / 8] |= (uint8_t)(1u << w->bits % 8);
}

static unsigned bit_length(uint32_t v)
{
    return v ? 32 - (unsigned)__builtin_clz(v) : 0;
}

/* Exponential Golomb code; its order grows with the previous value. */
static unsigned order_after(uint32_t prev)
{
    return bit_length(prev) / 2;
}

static void put_freq(struct bit_writer *w, uint32_t f, uint32_t prev)
{
    uint32_t u = f >= prev ? 2 * (f - prev) : 2 * (prev - f) - 1;
    unsigned order = order_after(prev);
    uint32_t v = (u >> order) + 1;
    unsigned n = bit_length(v);

    put_bits(w, 0, n - 1);
    put_bits(w, 1, 1);
    put_bits(w, v, n - 1);
    put_bits(w, u, order);
}

#define FREQ_BYTES_MAX 1024

static size_t freq_pack(uint8_t *out, const uint16_t freq[256], int escape)
{
    struct bit_writer w = {.out = out};
    int lo = 1;
    int hi = 0;
    uint32_t prev = 0;

    for (int i = 255; i >= 0; i--) {
        if (freq[i] == 0 || i == escape)
            continue;
        hi = hi < lo ? i : hi;
        lo = i;
    }
    put_bits(&w, (uint32_t)lo, 8);
    put_bits(&w, (uint32_t)hi, 8);
    for (int i = lo; i <= hi; i++) {
        if (i == escape || (escape < 0 && i == hi))
            continue;
        put_freq(&w, freq[i], prev);
        prev = freq[i];
    }
    return (w.bits + 7) / 8;
}

int tp_rans_freq_write(struct tp_buffer *out, const uint16_t freq[256], int escape)
{
    uint8_t buf[FREQ_BYTES_MAX] = {0};

    return tp_buffer_append(out, buf, freq_pack(buf, freq, escape));
}

struct bit_reader {
    const uint8_t *src;
    size_t pos;
    size_t bits; /* bits of the input */
};

/* Get the next bits, at least 24. Bits beyond the end are 0. */
static uint32_t peek_bits(const struct bit_reader *r)
{
    size_t at = r->pos / 8, end = (r->bits + 7) / 8;
    uint32_t v = 0;

    for (unsigned i = 0; i < 4 && at + i < end; i++)
        v |= (uint32_t)r->src[at + i] << 8 * i;
    return v >> r->pos % 8;
}

/* N is below 24. */
static uint32_t get_bits(struct bit_reader *r, unsigned n)
{
    uint32_t v = peek_bits(r) & ((1u << n) - 1);

    r->pos += n;
    return v;
}

/* Read the next frequency; above TP_RANS_ONE: the code is invalid. */
static uint32_t get_freq(struct bit_reader *r, uint32_t prev)
{
    unsigned order = order_after(prev);
    unsigned n = 1 + (unsigned)__builtin_ctz(peek_bits(r) | 1u << 13);
    uint32_t u;

    r->pos += n;
    if (n > 13)
        return UINT32_MAX;
    u = (((1u << (n - 1)) | get_bits(r, n - 1)) - 1) << order;
    u |= get_bits(r, order);
    return u & 1 ? prev - (u + 1) / 2 : prev + u / 2;
}

int tp_rans_freq_read(const uint8_t *src, size_t len, int escape, uint16_t freq[256])
{
    struct bit_reader r = {.src = src, .bits = (len < FREQ_BYTES_MAX ? len : FREQ_BYTES_MAX) * 8};
    int lo = (int)get_bits(&r, 8);
    int hi = (int)get_bits(&r, 8);
    uint32_t left = TP_RANS_ONE;
    uint32_t prev = 0;

    if (lo > hi && (lo != 1 || hi != 0 || escape < 0))
        return -EBADMSG;
    memset(freq, 0, 256 * sizeof *freq);
    for (int i = lo; i <= hi; i++) {
        uint32_t f;

        if (i == escape || (escape < 0 && i == hi))
            continue;
        f = get_freq(&r, prev);
        if (f > left)
            return -EBADMSG;
        freq[i] = (uint16_t)f;
        left -= f;
        prev = f;
    }
    freq[escape < 0 ? hi : escape] = (uint16_t)left;
    if (r.pos > r.bits)
        return -EBADMSG;
    return (int)((r.pos + 7) / 8);
}

enum { STEP = 8 };

/* Entries are made STEP at a time; the next symbol overwrites those beyond a symbol's slots. */
void tp_rans_dec_init(struct tp_rans_dec *dec, const uint16_t freq[256])
{
    uint32_t slots[TP_RANS_ONE + STEP], *at = slots;

    for (uint32_t s = 0; s < 256; s++) {
        for (uint32_t j = 0; j < freq[s]; j += STEP)
            for (uint32_t k = 0; k < STEP; k++)
                at[j + k] = s << 24 | (j + k) << 12 | freq[s];
        at += freq[s];
    }
    memcpy(dec->slot, slots, sizeof dec->slot);
}

void tp_rans_enc_init(struct tp_rans_enc *enc, const uint16_t freq[256])
{
    uint32_t first = 0;

    memset(enc, 0, sizeof *enc);
    for (uint32_t s = 0; s < 256; s++) {
        uint32_t f = freq[s];
        unsigned log;

        if (f == 0)
            continue;
        log = bit_length(f - 1);
        /*
         * ceil(2^n / f) gives the exact quotient while f^2 << 20 <= 2^n, and it fits 32 bits with
         * n = 20 + 2 * log2(f), rounded up.
         */
        unsigned n = 20 + 2 * log;

        n = n < 31 ? 31 : n;
        enc->sym[s].rcp = (uint32_t)(((1ull << n) + f - 1) / f);
        enc->sym[s].bits = f | first << 12 | (uint32_t)(n - 31) << 24;
        first += f;
    }
}
