/* SPDX-License-Identifier: MIT */
/* The delta codec: coding chunks with a kernel, and the rest with portable code. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "codec/delta/delta.h"
#include "codec/delta/kernels.h"
#include "codec/delta/tables.h"
#include "codec/delta/train.h"
#include "codec/scratch_impl.h"

static bool fits_dtype(enum tp_dtype dtype)
{
    return tp_delta_kind_of(dtype) != NULL;
}

/* Sections of the work memory, for the most elements that a chunk can have. */
#define ELEMENTS_MAX TP_CHUNK_MAX
#define SYMS_AT 0u
#define TABS_AT (SYMS_AT + ELEMENTS_MAX + TP_SLACK)
#define RAW_AT (TABS_AT + ELEMENTS_MAX + TP_SLACK)
#define ESC_AT (RAW_AT + TP_CHUNK_MAX + TP_SLACK)
#define RANS_AT (ESC_AT + TP_CHUNK_MAX + TP_SLACK)
#define RANS_END (RANS_AT + TP_RANS_HEAD_MAX + 2 * ELEMENTS_MAX)
_Static_assert(RANS_END <= TP_SCRATCH_SIZE, "the work memory is too small");

TP_INLINE void split_one(const struct tp_delta_tables *t, struct tp_delta_writer *w,
                         const uint8_t *src, const uint8_t *base, size_t i, unsigned width)
{
    uint32_t b = tp_delta_load(base, i, width);
    unsigned c = tp_delta_context_of(b, t->kind, t->first);
    uint32_t z =
        tp_delta_diff(tp_delta_load(src, i, width), t->keep[c] ? b : 0, width, t->kind->is_float);
    unsigned shift = t->shift[c];
    uint32_t sym = z ? ((z - 1) >> shift) + 1 : 0;

    if (sym >= t->symbols[c]) {
        sym = TP_DELTA_ESCAPE;
        tp_delta_store(w->esc, 0, width, z);
        w->esc += width / 8;
    }
    if (sym)
        tp_delta_put_raw(w, (z - 1) & ((1u << shift) - 1), shift);
    w->syms[i] = (uint8_t)sym;
    w->tabs[i] = t->table[c];
}

TP_INLINE void split_width(const struct tp_delta_tables *t, struct tp_delta_writer *w,
                           const uint8_t *src, const uint8_t *base, size_t i, size_t n,
                           unsigned width)
{
    for (; i < n; i++)
        split_one(t, w, src, base, i, width);
}

/* The elements from number I on. A copy of OUT stays in registers, since no store can alias it. */
static void split_from(const struct tp_delta_tables *t, struct tp_delta_writer *out,
                       const uint8_t *src, const uint8_t *base, size_t i, size_t n)
{
    struct tp_delta_writer w = *out;

    TP_DELTA_BY_WIDTH(t->kind->width, split_width, t, &w, src, base, i, n);
    *out = w;
}

size_t tp_delta_split_scalar(const struct tp_delta_tables *t, struct tp_delta_writer *w,
                             const uint8_t *src, const uint8_t *base, size_t n)
{
    split_from(t, w, src, base, 0, n);
    return n;
}

TP_INLINE void merge_one(const struct tp_delta_tables *t, struct tp_delta_reader *r,
                         const uint8_t *base, uint8_t *dst, size_t i, unsigned width)
{
    uint32_t b = tp_delta_load(base, i, width);
    unsigned c = tp_delta_context_of(b, t->kind, t->first);
    unsigned lane = (unsigned)(i & ((1u << r->rans.lanes_log) - 1));
    uint32_t sym = tp_rans_get(&r->rans, lane, &t->dec[t->table[c]]);
    unsigned shift = sym ? t->shift[c] : 0;
    uint64_t bits = tp_get_le64(r->raw + r->raw_bit / 8) >> r->raw_bit % 8;
    uint32_t z = sym ? ((sym - 1) << shift | ((uint32_t)bits & ((1u << shift) - 1))) + 1 : 0;

    r->raw_bit += r->raw_bit <= r->raw_bits ? shift : 0;
    if (sym == TP_DELTA_ESCAPE) {
        z = tp_delta_load(r->esc, 0, width);
        r->esc += r->esc <= r->esc_end ? width / 8 : 0;
    }
    z &= tp_delta_mask(width);
    tp_delta_store(dst, i, width, tp_delta_undiff(z, t->keep[c] ? b : 0, width, t->kind->is_float));
}

TP_INLINE void merge_width(const struct tp_delta_tables *t, struct tp_delta_reader *r,
                           const uint8_t *base, uint8_t *dst, size_t i, size_t n, unsigned width)
{
    for (; i < n; i++)
        merge_one(t, r, base, dst, i, width);
}

static void merge_from(const struct tp_delta_tables *t, struct tp_delta_reader *out,
                       const uint8_t *base, uint8_t *dst, size_t i, size_t n)
{
    struct tp_delta_reader r = *out;

    TP_DELTA_BY_WIDTH(t->kind->width, merge_width, t, &r, base, dst, i, n);
    *out = r;
}

size_t tp_delta_decode_scalar(const struct tp_delta_tables *t, struct tp_delta_reader *r,
                              const uint8_t *base, uint8_t *dst, size_t n)
{
    merge_from(t, r, base, dst, 0, n);
    return n;
}

/* Lengths of 21 bits, seven to a byte, the lowest first. */
static size_t put_length(uint8_t *p, size_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        p[n++] = (uint8_t)(v | 0x80);
    p[n++] = (uint8_t)v;
    return n;
}

static bool get_length(const uint8_t **p, const uint8_t *end, size_t *v)
{
    *v = 0;
    for (unsigned i = 0; i < 3 && *p < end; i++) {
        uint8_t b = *(*p)++;

        *v |= (size_t)(b & 0x7f) << 7 * i;
        if (b < 0x80)
            return true;
    }
    return false;
}

/* The coded size of the symbols, estimated from one in 61 of them. */
static size_t guess_size(const struct tp_delta_tables *t, const struct tp_delta_writer *w, size_t n)
{
    size_t cost = 0;

    for (size_t i = 0; i < n; i += 61)
        cost += t->cost[w->tabs[i]][w->syms[i]];
    return cost * 61 / 8192;
}

/*
 * The number of lanes for symbols of about BYTES coded bytes. If there are enough raw bits for the
 * lanes to carry, a lane costs only half a byte. Kernels need at least 16 lanes.
 */
static unsigned choose_lanes(const struct tp_delta_tables *t, size_t n, size_t bytes,
                             size_t raw_bits)
{
    unsigned log = tp_rans_lanes_log(n, bytes);

    for (unsigned more = TP_RANS_LANES_LOG_MAX; t->carries && more >= 4 && more > log; more--)
        if (bytes >= (size_t)24 << more && raw_bits >= (size_t)TP_RANS_CARRY_BITS << more &&
            n >> more >= 4)
            return more;
    return log;
}

/* Whether an element escaped from a table that has no code for escapes. */
static bool escape_fails(const struct tp_delta_tables *t, const struct tp_delta_writer *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (w->syms[i] == TP_DELTA_ESCAPE && (t->no_escape >> w->tabs[i] & 1))
            return true;
    return false;
}

/*
 * Move the bits that the lanes carry from the end of the raw bits, at RAW, to CARRY, and clear the
 * unused bits of the last byte. Returns the number of bytes that remain.
 */
static size_t finish_raw(const struct tp_delta_tables *t, const struct tp_delta_writer *w,
                         uint8_t *raw, size_t bits, unsigned lanes_log,
                         uint8_t carry[TP_RANS_CARRY_BYTES])
{
    *w->raw = (uint8_t)w->acc;
    bits = tp_delta_carry_take(t, raw, bits, lanes_log, carry);
    if (bits % 8)
        raw[bits / 8] &= (uint8_t)((1u << bits % 8) - 1);
    return (bits + 7) / 8;
}

static uint8_t *append_bytes(uint8_t *out, const void *bytes, size_t len)
{
    memcpy(out, bytes, len);
    return out + len;
}

static size_t encode(const struct tp_tables *tables, enum tp_dtype dtype, const void *src,
                     const void *base, size_t len, void *dst, size_t cap,
                     struct tp_scratch *scratch)
{
    const struct tp_delta_tables *t = (const struct tp_delta_tables *)tables;
    uint8_t *raw_begin = scratch->block + RAW_AT, *esc_begin = scratch->block + ESC_AT;
    struct tp_delta_writer w = {
        .syms = scratch->block + SYMS_AT,
        .tabs = scratch->block + TABS_AT,
        .raw = raw_begin,
        .esc = esc_begin,
    };
    uint8_t head[8], carry[TP_RANS_CARRY_BYTES], *coded, *end = scratch->block + RANS_END,
                                                         *out = dst;
    size_t n = len / (t->kind->width / 8), raw_bits, raw, esc, head_len, total;
    unsigned lanes_log;

    (void)dtype;
    split_from(t, &w, src, base, tp_delta_kernels.split[tp_isa_get()](t, &w, src, base, n), n);
    esc = (size_t)(w.esc - esc_begin);
    raw_bits = (size_t)(w.raw - raw_begin) * 8 + w.acc_bits;
    lanes_log = choose_lanes(t, n, guess_size(t, &w, n), raw_bits);
    raw = finish_raw(t, &w, raw_begin, raw_bits, lanes_log, carry);
    head_len = put_length(head, raw);
    head_len += put_length(head + head_len, esc);
    if (head_len + raw + esc >= cap || (esc && t->no_escape && escape_fails(t, &w, n)))
        return 0;
    coded = tp_rans_encode(t->enc, w.syms, w.tabs, n, lanes_log, carry, end);
    total = head_len + (size_t)(end - coded) + raw + esc;
    if (total >= cap)
        return 0;
    out = append_bytes(out, head, head_len);
    out = append_bytes(out, coded, (size_t)(end - coded));
    out = append_bytes(out, raw_begin, raw);
    append_bytes(out, esc_begin, esc);
    return total;
}

static int decode(const struct tp_tables *tables, enum tp_dtype dtype, const void *src,
                  size_t src_len, const void *base, void *dst, size_t len,
                  struct tp_scratch *scratch)
{
    const struct tp_delta_tables *t = (const struct tp_delta_tables *)tables;
    const uint8_t *p = src;
    const uint8_t *end = p + src_len;
    struct tp_delta_reader r;
    size_t n = len / (t->kind->width / 8);
    uint8_t carry[TP_RANS_CARRY_BYTES] = {0};
    size_t raw;
    size_t esc;
    int rc;

    (void)dtype;
    (void)scratch;
    if (!get_length(&p, end, &raw) || !get_length(&p, end, &esc) || raw + esc > (size_t)(end - p) ||
        len != n * (t->kind->width / 8))
        return -EBADMSG;
    r.raw = end - esc - raw;
    r.raw_bit = 0;
    r.esc = r.esc_begin = end - esc;
    r.esc_end = end;
    rc = tp_rans_reader_init(&r.rans, p, (size_t)(r.raw - p));
    if (rc)
        return rc;
    r.raw_bits = raw * 8 + (t->carries ? TP_RANS_CARRY_BITS << r.rans.lanes_log : 0);
    merge_from(t, &r, base, dst, tp_delta_kernels.decode[tp_isa_get()](t, &r, base, dst, n), n);
    rc = tp_rans_reader_finish(&r.rans, t->carries ? carry : NULL);
    if (rc || r.esc != r.esc_end || r.raw_bit > r.raw_bits)
        return -EBADMSG;
    return tp_delta_carry_put(t, &r, carry, base, dst, n) ? 0 : -EBADMSG;
}

const struct tp_codec tp_codec_delta = {
    .id = TP_CODEC_DELTA,
    .name = "delta",
    .needs_base = true,
    .needs_tables = true,
    .tables_bytes = TP_DELTA_TABLES_BYTES,
    .fits = fits_dtype,
    .stats_create = tp_delta_stats_create,
    .stats_add = tp_delta_stats_add,
    .stats_finish = tp_delta_stats_finish,
    .stats_destroy = tp_delta_stats_destroy,
    .tables_create = tp_delta_tables_create,
    .tables_destroy = tp_delta_tables_destroy,
    .encode = encode,
    .decode = decode,
};
