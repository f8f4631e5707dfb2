/* SPDX-License-Identifier: MIT */
/* Moving raw bits of the delta codec into the states of the lanes, and back. */
#include <config.h>

#include <string.h>

#include "base/le.h"
#include "codec/delta/kernels.h"

#define PIECE 48 /* bits moved at a time */

/* Read at most 56 bits. */
TP_INLINE uint64_t bits_at(const uint8_t *p, size_t at, unsigned n)
{
    return tp_get_le64(p + at / 8) >> at % 8 & (((uint64_t)1 << n) - 1);
}

static size_t carried_bits(unsigned lanes_log, size_t total)
{
    size_t capacity = (size_t)TP_RANS_CARRY_BITS << lanes_log;

    return total < capacity ? total : capacity;
}

/* Append N bits from bit FROM of P on. */
static void copy_bits(struct tp_delta_writer *w, const uint8_t *p, size_t from, size_t n)
{
    for (size_t done = 0; done < n; done += PIECE) {
        unsigned now = n - done < PIECE ? (unsigned)(n - done) : PIECE;

        tp_delta_put_raw(w, bits_at(p, from + done, now), now);
    }
}

size_t tp_delta_carry_take(const struct tp_delta_tables *t, const uint8_t *raw, size_t total,
                           unsigned lanes_log, uint8_t carry[TP_RANS_CARRY_BYTES])
{
    struct tp_delta_writer w = {.raw = carry};
    size_t n = t->carries ? carried_bits(lanes_log, total) : 0;

    memset(carry, 0, TP_RANS_CARRY_BYTES);
    copy_bits(&w, raw, total - n, n);
    return total - n;
}

TP_INLINE void put_one(const struct tp_delta_tables *t, struct tp_delta_tail *tail,
                       const uint8_t *base, uint8_t *dst, size_t i, unsigned width)
{
    bool is_float = t->kind->is_float;
    uint32_t b = tp_delta_load(base, i, width);
    unsigned c = tp_delta_context_of(b, t->kind, t->first);
    uint32_t from = t->keep[c] ? b : 0;
    uint32_t z = tp_delta_diff(tp_delta_load(dst, i, width), from, width, is_float);
    unsigned shift = z ? t->shift[c] : 0;

    tail->at -= shift;
    if (z == 0)
        return;
    z = (((z - 1) >> shift << shift) | (uint32_t)bits_at(tail->bytes, tail->at, shift)) + 1;
    tp_delta_store(dst, i, width, tp_delta_undiff(z, from, width, is_float));
}

/* The elements below N, one at a time. */
TP_INLINE void put_width(const struct tp_delta_tables *t, struct tp_delta_tail *tail,
                         const uint8_t *base, uint8_t *dst, size_t n, unsigned width)
{
    const size_t step = 64 / width;

    while (n > 0 && tail->at > tail->begin) {
        size_t i = n > step ? n - step : 0;

        /*
         * Most elements equal the base. They have the difference 0 and no raw bits, unless the
         * difference is to 0 and not to the base.
         */
        if (n >= step && !t->has_direct &&
            tp_get_le64(dst + i * (width / 8)) == tp_get_le64(base + i * (width / 8)))
            n = i;
        while (n > i && tail->at > tail->begin)
            put_one(t, tail, base, dst, --n, width);
    }
}

size_t tp_delta_carry_scalar(const struct tp_delta_tables *t, struct tp_delta_tail *tail,
                             const uint8_t *base, uint8_t *dst, size_t n)
{
    put_width(t, tail, base, dst, n, 16);
    return 0;
}

static void put_all(const struct tp_delta_tables *t, struct tp_delta_tail *tail,
                    const uint8_t *base, uint8_t *dst, size_t n)
{
    if (t->kind->width == 16)
        n = tp_delta_kernels.carry[tp_isa_get()](t, tail, base, dst, n);
    TP_DELTA_BY_WIDTH(t->kind->width, put_width, t, tail, base, dst, n);
}

bool tp_delta_carry_put(const struct tp_delta_tables *t, const struct tp_delta_reader *r,
                        const uint8_t carry[TP_RANS_CARRY_BYTES], const uint8_t *base, uint8_t *dst,
                        size_t n)
{
    size_t moved = t->carries ? carried_bits(r->rans.lanes_log, r->raw_bit) : 0;
    size_t capacity = (size_t)TP_RANS_CARRY_BITS << r->rans.lanes_log;
    size_t stored = r->raw_bit - moved;
    size_t whole = stored / 8;
    struct tp_delta_tail tail = {.begin = TP_DELTA_TAIL_BEFORE * 8 + stored % 8};
    struct tp_delta_writer w = {.raw = tail.bytes + TP_DELTA_TAIL_BEFORE};
    size_t before = whole < TP_DELTA_TAIL_BEFORE ? whole : TP_DELTA_TAIL_BEFORE;

    if ((stored + 7) / 8 != (size_t)(r->esc_begin - r->raw))
        return false;
    for (size_t at = moved; t->carries && at < capacity; at += PIECE)
        if (bits_at(carry, at, capacity - at < PIECE ? (unsigned)(capacity - at) : PIECE))
            return false;
    if (moved == 0)
        return true;
    memcpy(w.raw - before, r->raw + whole - before, before);
    copy_bits(&w, r->raw, whole * 8, stored % 8);
    copy_bits(&w, carry, 0, moved);
    tail.at = tail.begin + moved;
    put_all(t, &tail, base, dst, n);
    return true;
}
