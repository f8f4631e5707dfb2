/* SPDX-License-Identifier: MIT */
/*
 * Decoding one chunk with one warp, in code that C and CUDA share: decode.cu compiles it for
 * devices, and a test runs it on the host with one thread per lane. The including file defines:
 *
 *   WARP_FN        the qualifiers of a function
 *   WARP_LANE      the number of this thread in its warp
 *   WARP_BALLOT(p) the lanes where P is true, as bits; all lanes call it at the same place
 *   WARP_SYNC()    a barrier: earlier stores of all lanes are visible afterwards
 *   WARP_POPC(x)   number of bits set
 *
 * Thread l % 32 has the rANS lane l of a stream. Threads refill in the order of the symbols, which
 * is the order of the threads within a step.
 */
#ifndef TP_CODEC_CUDA_WARP_H
#define TP_CODEC_CUDA_WARP_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/cuda/types.h"

/* Memory that the lanes of a warp share: the frequencies and the expanded table of a chunk. */
struct warp_shared {
    uint16_t freq[256];
    uint32_t slot[WARP_RANS_ONE];
    uint32_t used; /* bytes of the serial form; 0: invalid */
};

/* rANS. */

struct warp_rans {
    uint32_t x[2];
    const uint8_t *words;
    uint32_t at;    /* position of the next word; beyond the end if the stream is damaged */
    uint32_t len;   /* of the words */
    uint32_t step;  /* symbols per step: the number of lanes, at most 32 */
    uint32_t steps; /* steps until it is the first lane's turn again: 1 or 2 */
};

/* Returns the sum of V, which has BITS bits, over all lanes. *BELOW: the sum over the lanes below
 * this one. */
WARP_FN uint32_t warp_sum(uint32_t v, uint32_t bits, uint32_t *below)
{
    uint32_t total = 0;

    *below = 0;
    for (uint32_t k = 0; k < bits; k++) {
        uint32_t lanes = WARP_BALLOT(v >> k & 1);

        *below += WARP_POPC(lanes & ((1u << WARP_LANE) - 1)) << k;
        total += WARP_POPC(lanes) << k;
    }
    return total;
}

/* Read N bits, at most 30, from bit AT on. Bits beyond LEN bytes are 0. */
WARP_FN uint32_t warp_bits_at(const uint8_t *src, uint32_t len, uint32_t at, uint32_t n)
{
    uint64_t v = 0;

    for (uint32_t k = 0; k < 5 && 8 * k < at % 8 + n; k++)
        if (at / 8 + k < len)
            v |= (uint64_t)src[at / 8 + k] << 8 * k;
    return (uint32_t)(v >> at % 8) & ((1u << n) - 1);
}

WARP_FN bool warp_rans_init(struct warp_rans *r, const uint8_t *src, uint32_t len)
{
    uint32_t lanes, at;

    if (len < 1 || src[0] > 6)
        return false;
    lanes = 1u << *src++;
    len--;
    at = 4 * lanes;
    for (uint32_t g = 0; g < 2; g++) {
        uint32_t lane = g * WARP_WIDTH + WARP_LANE, below;
        uint32_t n = lane < lanes ? WARP_CARRY_BITS + warp_bits_at(src, len, 4 * lane, 4) : 0;
        uint32_t total = warp_sum(n, 5, &below);

        r->x[g] = WARP_RANS_LOW;
        if (lane < lanes)
            r->x[g] = 1u << n | warp_bits_at(src, len, at + below, n);
        at += total;
    }
    at = (at + 7) / 8;
    if (at > len)
        return false;
    r->words = src + at;
    r->at = 0;
    r->len = len - at;
    r->step = lanes < WARP_WIDTH ? lanes : WARP_WIDTH;
    r->steps = lanes > WARP_WIDTH ? 2 : 1;
    return true;
}

/* Decode one symbol of each ACTIVE lane with the table SLOT. */
WARP_FN uint32_t warp_rans_get(struct warp_rans *r, uint32_t g, const uint32_t *slot, bool active)
{
    uint32_t x = r->x[g], entry, next;
    uint32_t below, takers;

    entry = active ? slot[x & (WARP_RANS_ONE - 1)] : 0;
    next = (entry & 0xfff) * (x >> WARP_RANS_BITS) + (entry >> 12 & 0xfff);
    takers = WARP_BALLOT(active && next < WARP_RANS_LOW);
    below = takers & ((1u << WARP_LANE) - 1);
    if (active && next < WARP_RANS_LOW) {
        uint32_t at = r->at + 2 * WARP_POPC(below);

        next <<= 16;
        if (at + 2 <= r->len)
            next |= (uint32_t)r->words[at] | (uint32_t)r->words[at + 1] << 8;
    }
    if (active)
        r->x[g] = next;
    r->at += 2 * WARP_POPC(takers);
    return entry >> 24;
}

WARP_FN bool warp_rans_finish(const struct warp_rans *r)
{
    bool wrong = r->x[0] != WARP_RANS_LOW || r->x[1] != WARP_RANS_LOW || r->at != r->len;

    return !WARP_BALLOT(wrong);
}

/* delta. */

/* Read a length of at most 21 bits. False: it is longer, or truncated. */
WARP_FN bool warp_length(const uint8_t **p, const uint8_t *end, uint32_t *out)
{
    uint32_t v = 0;

    for (uint32_t shift = 0; *p < end && shift <= 14; shift += 7) {
        uint8_t byte = *(*p)++;

        v |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = v;
            return true;
        }
    }
    return false;
}

WARP_FN uint32_t warp_order(uint32_t v)
{
    return v & 0x8000 ? ~v & 0xffff : v | 0x8000;
}

WARP_FN uint32_t warp_unorder(uint32_t o)
{
    return o & 0x8000 ? o ^ 0x8000 : ~o & 0xffff;
}

/* The state of decoding a delta chunk; the same in every lane. */
struct warp_delta {
    struct warp_rans rans;
    const uint8_t *raw, *esc;
    uint32_t raw_len, esc_len; /* bytes */
    uint32_t raw_bit, esc_at;  /* next */
};

WARP_FN bool warp_delta_init(struct warp_delta *d, const struct warp_chunk *chunk)
{
    const uint8_t *p = chunk->src, *end = p + chunk->src_len;
    uint32_t raw, esc;

    if (!warp_length(&p, end, &raw) || !warp_length(&p, end, &esc) ||
        raw + esc > (uint32_t)(end - p))
        return false;
    d->raw = end - esc - raw;
    d->esc = end - esc;
    d->raw_len = raw;
    d->esc_len = esc;
    d->raw_bit = 0;
    d->esc_at = 0;
    return warp_rans_init(&d->rans, p, (uint32_t)(d->raw - p));
}

/* Read the raw bits of this lane's element: BITS of them, at most 7, which follow those of the
 * lanes below. */
WARP_FN uint32_t warp_raw(struct warp_delta *d, uint32_t bits)
{
    uint32_t below, total = warp_sum(bits, 3, &below), at = d->raw_bit + below;

    d->raw_bit += total;
    return warp_bits_at(d->raw, d->raw_len, at, bits);
}

/* Read an escaped element of this lane. */
WARP_FN uint32_t warp_escaped(struct warp_delta *d, bool escaped, uint32_t z)
{
    uint32_t lanes = WARP_BALLOT(escaped);
    uint32_t at = d->esc_at + 2 * WARP_POPC(lanes & ((1u << WARP_LANE) - 1));

    if (escaped && at + 2 <= d->esc_len)
        z = (uint32_t)d->esc[at] | (uint32_t)d->esc[at + 1] << 8;
    d->esc_at += 2 * WARP_POPC(lanes);
    return z;
}

WARP_FN uint32_t warp_context(const struct warp_model *m, uint32_t base)
{
    uint32_t field = base >> m->field_shift & m->field_mask;
    uint32_t ctx = field > m->first ? field - m->first : 0;

    return ctx < WARP_CONTEXTS ? ctx : WARP_CONTEXTS - 1;
}

WARP_FN void warp_delta_step(const struct warp_model *m, struct warp_delta *d,
                             const struct warp_chunk *chunk, uint32_t g, uint32_t i, bool active)
{
    uint32_t base = active ? chunk->base[i] : 0;
    uint32_t ctx = warp_context(m, base);
    uint32_t sym, shift, z, diff, from;

    sym = warp_rans_get(&d->rans, g, m->slots + m->table[ctx] * WARP_RANS_ONE, active);
    shift = active && sym ? m->shift[ctx] : 0;
    z = warp_raw(d, shift);
    z = active && sym ? ((sym - 1) << shift | z) + 1 : 0;
    z = warp_escaped(d, active && sym == WARP_ESCAPE, z) & 0xffff;
    from = warp_order(m->keep[ctx] ? base : 0);
    diff = z >> 1 ^ (0u - (z & 1));
    if (active)
        chunk->dst[i] = (uint16_t)warp_unorder((from + diff) & 0xffff);
}

/*
 * Write carried bits, which shared->freq holds, into this lane's element, whose difference is DIFF:
 * COUNT bits from bit AT on, at the top of its SHIFT raw bits.
 */
WARP_FN uint32_t warp_put(const struct warp_shared *shared, uint32_t diff, uint32_t shift,
                          uint32_t at, uint32_t count)
{
    uint32_t z = diff & 0x8000 ? 2 * (0x10000 - diff) - 1 : 2 * diff, q = at / WARP_CARRY_BITS;
    uint32_t bits = shared->freq[q] | (uint32_t)shared->freq[q + 1] << WARP_CARRY_BITS;
    uint32_t mask = ((1u << count) - 1) << (shift - count);

    z = (((z - 1) & ~mask) | (bits >> at % WARP_CARRY_BITS << (shift - count) & mask)) + 1;
    return z >> 1 ^ (0u - (z & 1));
}

/* Write the last MOVED raw bits into the elements, starting with the last element. */
WARP_FN void warp_put_all(const struct warp_model *m, const struct warp_chunk *chunk,
                          const struct warp_shared *shared, uint32_t moved)
{
    for (uint32_t left = chunk->n, end = moved; left && end;) {
        bool active = WARP_LANE < left;
        uint32_t i = active ? left - 1 - WARP_LANE : 0, base = active ? chunk->base[i] : 0;
        uint32_t ctx = warp_context(m, base), from = warp_order(m->keep[ctx] ? base : 0), below,
                 sum;
        uint32_t diff = active ? (warp_order(chunk->dst[i]) - from) & 0xffff : 0;
        uint32_t shift = diff ? m->shift[ctx] : 0;

        sum = warp_sum(shift, 3, &below);
        if (shift && below < end) {
            uint32_t count = shift < end - below ? shift : end - below;

            diff = warp_put(shared, diff, shift, end - below - count, count);
            chunk->dst[i] = (uint16_t)warp_unorder((from + diff) & 0xffff);
        }
        end -= sum < end ? sum : end;
        left -= left < WARP_WIDTH ? left : WARP_WIDTH;
    }
}

/* Check the end of a chunk: the lanes must have carried raw bits followed by zeros. */
WARP_FN bool warp_delta_finish(const struct warp_model *m, const struct warp_delta *d,
                               const struct warp_chunk *chunk, struct warp_shared *shared)
{
    uint32_t limit = m->carries ? WARP_CARRY_BITS * d->rans.step * d->rans.steps : 0;
    uint32_t moved = d->raw_bit < limit ? d->raw_bit : limit, wrong = 0;

    for (uint32_t g = 0; g < 2; g++) {
        uint32_t lane = g * WARP_WIDTH + WARP_LANE, start = WARP_CARRY_BITS * lane;
        uint32_t taken = moved > start ? moved - start : 0;
        uint32_t carried = d->rans.x[g] ^ WARP_RANS_LOW;

        wrong |= carried >> (taken < WARP_CARRY_BITS ? taken : WARP_CARRY_BITS);
        shared->freq[lane] = (uint16_t)carried;
    }
    shared->freq[2 * WARP_WIDTH] = 0;
    WARP_SYNC();
    if (WARP_BALLOT(wrong != 0) || d->rans.at != d->rans.len || d->esc_at != d->esc_len ||
        (d->raw_bit - moved + 7) / 8 != d->raw_len)
        return false;
    warp_put_all(m, chunk, shared, moved);
    return true;
}

WARP_FN bool warp_delta_decode(const struct warp_model *m, const struct warp_chunk *chunk,
                               struct warp_shared *shared)
{
    struct warp_delta d;

    if (!warp_delta_init(&d, chunk))
        return false;
    for (uint32_t i = 0; i < chunk->n;)
        for (uint32_t g = 0; g < d.rans.steps && i < chunk->n; g++, i += d.rans.step)
            warp_delta_step(m, &d, chunk, g, i + WARP_LANE,
                            WARP_LANE < d.rans.step && i + WARP_LANE < chunk->n);
    return warp_delta_finish(m, &d, chunk, shared);
}

/* split. */

struct warp_bits {
    const uint8_t *src;
    uint32_t pos;
    uint32_t count;
};

WARP_FN uint32_t warp_bits_get(struct warp_bits *b, uint32_t n)
{
    uint32_t v = 0;

    for (uint32_t i = 0; i < n; i++, b->pos++)
        if (b->pos < b->count)
            v |= (uint32_t)(b->src[b->pos / 8] >> b->pos % 8 & 1) << i;
    return v;
}

/* The frequency after PREV, an exponential Golomb code of its difference; out of range: no code. */
WARP_FN uint32_t warp_freq_next(struct warp_bits *b, uint32_t prev)
{
    uint32_t order = 0, n = 1, u;

    while (prev >> order)
        order++;
    order /= 2;
    while (n <= 13 && warp_bits_get(b, 1) == 0)
        n++;
    if (n > 13)
        return UINT32_MAX;
    u = ((1u << (n - 1) | warp_bits_get(b, n - 1)) - 1) << order;
    u |= warp_bits_get(b, order);
    return u & 1 ? prev - (u + 1) / 2 : prev + u / 2;
}

/*
 * As tp_rans_freq_read, for tables without escape. Returns the number of bytes used, or 0 if they
 * are invalid.
 */
WARP_FN uint32_t warp_freq_read(const uint8_t *src, uint32_t len, uint16_t *freq)
{
    struct warp_bits b = {src, 0, (len < 1024 ? len : 1024) * 8};
    uint32_t lo = warp_bits_get(&b, 8), hi = warp_bits_get(&b, 8), left = WARP_RANS_ONE, prev = 0;

    for (uint32_t s = 0; s < 256; s++)
        freq[s] = 0;
    if (lo > hi)
        return 0;
    for (uint32_t s = lo; s < hi; s++) {
        prev = warp_freq_next(&b, prev);
        if (prev > left)
            return 0;
        freq[s] = (uint16_t)prev;
        left -= prev;
    }
    freq[hi] = (uint16_t)left;
    return b.pos > b.count ? 0 : (b.pos + 7) / 8;
}

/* Read a chunk's own table into SHARED. Returns the number of bytes used, or 0 if it is invalid. */
WARP_FN uint32_t warp_own_table(struct warp_shared *shared, const uint8_t *src, uint32_t len)
{
    uint32_t start = 0, used;

    WARP_SYNC();
    if (WARP_LANE == 0)
        shared->used = warp_freq_read(src, len, shared->freq);
    WARP_SYNC();
    used = shared->used;
    for (uint32_t s = 0; used && s < 256; s++) {
        uint32_t freq = shared->freq[s];

        for (uint32_t j = WARP_LANE; j < freq; j += WARP_WIDTH)
            shared->slot[start + j] = s << 24 | j << 12 | freq;
        start += freq;
    }
    WARP_SYNC();
    return used;
}

/* Check the patches of a plane and skip them. */
WARP_FN bool warp_patches(const uint8_t **p, const uint8_t *end, uint32_t n, uint32_t *count,
                          const uint8_t **list)
{
    uint32_t next = 0, gap;

    if (!warp_length(p, end, count) || *count > n)
        return false;
    *list = *p;
    for (uint32_t i = 0; i < *count; i++) {
        if (!warp_length(p, end, &gap) || gap >= n - next || *p == end)
            return false;
        ++*p;
        next += gap + 1;
    }
    return true;
}

WARP_FN void warp_patch(const uint8_t *list, const uint8_t *end, uint32_t count, uint8_t *plane)
{
    uint32_t at = 0, gap;

    while (count-- && warp_length(&list, end, &gap)) {
        at += gap;
        plane[2 * at++] = *list++;
    }
}

WARP_FN bool warp_rans_plane(const uint32_t *slot, const uint8_t *src, uint32_t len, uint8_t *plane,
                             uint32_t n)
{
    struct warp_rans r;

    if (!warp_rans_init(&r, src, len))
        return false;
    for (uint32_t i = 0; i < n;)
        for (uint32_t g = 0; g < r.steps && i < n; g++, i += r.step) {
            bool active = WARP_LANE < r.step && i + WARP_LANE < n;
            uint32_t sym = warp_rans_get(&r, g, slot, active);

            if (active)
                plane[2 * (i + WARP_LANE)] = (uint8_t)sym;
        }
    return warp_rans_finish(&r);
}

/*
 * Decode a coded plane into every second byte from PLANE on, with the tensor's table SLOT; NULL:
 * with the plane's own table.
 */
WARP_FN bool warp_coded_plane(const uint8_t **p, const uint8_t *end, const uint32_t *slot,
                              struct warp_shared *shared, uint8_t *plane, uint32_t n)
{
    const uint8_t *list = *p;
    uint32_t len, count = 0;

    if (end - *p < 3)
        return false;
    len = (uint32_t)(*p)[0] | (uint32_t)(*p)[1] << 8 | (uint32_t)(*p)[2] << 16;
    *p += 3;
    if (slot) {
        if (!warp_patches(p, end, n, &count, &list))
            return false;
    } else {
        uint32_t used = warp_own_table(shared, *p, (uint32_t)(end - *p));

        if (!used)
            return false;
        *p += used;
        slot = shared->slot;
    }
    if (len > (uint32_t)(end - *p) || !warp_rans_plane(slot, *p, len, plane, n))
        return false;
    *p += len;
    WARP_SYNC();
    if (WARP_LANE == 0)
        warp_patch(list, end, count, plane);
    return true;
}

WARP_FN bool warp_split_plane(const struct warp_model *m, uint32_t k, uint32_t kind,
                              const uint8_t **p, const uint8_t *end, struct warp_shared *shared,
                              uint8_t *plane, uint32_t n)
{
    uint32_t step = kind == WARP_RAW;

    if (kind == WARP_RANS && !m->has_table[k])
        return false;
    if (kind == WARP_RANS || kind == WARP_OWN)
        return warp_coded_plane(p, end, kind == WARP_OWN ? 0 : m->slots + k * WARP_RANS_ONE, shared,
                                plane, n);
    if ((uint32_t)(end - *p) < (step ? n : 1))
        return false;
    for (uint32_t i = WARP_LANE; i < n; i += WARP_WIDTH)
        plane[2 * i] = (*p)[i * step];
    *p += step ? n : 1;
    return true;
}

/* Decode both planes into DST, then undo the rotation. */
WARP_FN bool warp_split_decode(const struct warp_model *m, const struct warp_chunk *chunk,
                               struct warp_shared *shared)
{
    const uint8_t *p = chunk->src, *end = p + chunk->src_len;
    uint8_t *bytes = (uint8_t *)chunk->dst;
    uint32_t kinds;

    if (p == end)
        return false;
    kinds = *p++;
    for (uint32_t k = 2; chunk->n && k-- > 0;)
        if (!warp_split_plane(m, k, kinds >> 2 * k & 3, &p, end, shared, bytes + k, chunk->n))
            return false;
    WARP_SYNC();
    for (uint32_t i = WARP_LANE; i < chunk->n; i += WARP_WIDTH)
        chunk->dst[i] = (uint16_t)(chunk->dst[i] >> 1 | chunk->dst[i] << 15);
    return p == end;
}

WARP_FN bool warp_decode(const struct warp_model *m, const struct warp_chunk *chunk,
                         struct warp_shared *shared)
{
    return m->is_split ? warp_split_decode(m, chunk, shared) : warp_delta_decode(m, chunk, shared);
}

#endif
