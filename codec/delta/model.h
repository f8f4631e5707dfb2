/* SPDX-License-Identifier: MIT */
/*
 * The model of the delta codec, shared by its parts: kinds of elements, contexts, tables, reader
 * and writer.
 */
#ifndef TP_CODEC_DELTA_MODEL_H
#define TP_CODEC_DELTA_MODEL_H

#include "base/buffer.h"
#include "codec/codec.h"
#include "base/isa.h"
#include "codec/rans/rans.h"

#define TP_DELTA_CONTEXTS 16
#define TP_DELTA_ESCAPE 255

/*
 * How elements of a dtype are read: width in bits, and the field of the base that gives the
 * context.
 */
struct tp_delta_kind {
    uint8_t width;       /* 8, 16 or 32; 0: not coded by this codec */
    uint8_t is_float;    /* sign and magnitude: mapped to integers of the same order first */
    uint8_t field_shift; /* the exponent, or the top bits of an integer */
    uint8_t field_mask;
    uint8_t shift_max;
};

/* --- tables.c --- */

/* NULL if the codec does not support this dtype. */
const struct tp_delta_kind *tp_delta_kind_of(enum tp_dtype dtype);

/*
 * A context: its table, the number of raw bits of a difference, and whether the difference is to
 * the base or to 0.
 */
struct tp_delta_context {
    uint8_t table;
    uint8_t shift;  /* of differences that are not 0 */
    uint8_t direct; /* the difference is to 0, not to the base */
};

struct tp_delta_model {
    uint8_t first; /* the field value of context 0, which smaller values belong to as well */
    uint8_t table_count;
    struct tp_delta_context ctx[TP_DELTA_CONTEXTS];
    uint16_t freq[TP_DELTA_CONTEXTS][256]; /* of table_count tables */
};

/* Serial form; tp_delta_model_read returns 0 or -EBADMSG. */
int tp_delta_model_write(struct tp_buffer *out, const struct tp_delta_kind *kind,
                         const struct tp_delta_model *model);
int tp_delta_model_read(const uint8_t *src, size_t len, const struct tp_delta_kind *kind,
                        struct tp_delta_model *model);

/*
 * A model expanded. Arrays of bytes are indexed by context, and laid out to be loaded as vectors.
 */
struct tp_delta_tables {
    const struct tp_delta_kind *kind;
    uint8_t first;
    uint8_t has_raw;
    uint8_t has_direct;
    uint8_t carries;    /* lanes carry raw bits: see carry.h */
    uint16_t no_escape; /* a bit for each table that has no code for escapes */
    uint8_t table_count;
    _Alignas(16) uint8_t table[TP_DELTA_CONTEXTS];
    _Alignas(16) uint8_t shift[TP_DELTA_CONTEXTS];
    _Alignas(16) uint8_t keep[TP_DELTA_CONTEXTS]; /* 0 where direct, else 0xff */
    _Alignas(16)
        uint8_t symbols[TP_DELTA_CONTEXTS]; /* symbols below this have a code: the rest escapes */
    uint16_t cost[TP_DELTA_CONTEXTS][256];  /* 1024ths of a bit, by table; to guess sizes */
    struct tp_rans_dec *dec;
    struct tp_rans_enc *enc;
};

/*
 * The parts of a chunk that is being read. For any chunk, a position passes the end of its part by
 * a few bytes at most.
 */
struct tp_delta_reader {
    struct tp_rans_reader rans;
    const uint8_t *raw;
    size_t raw_bit;     /* next */
    size_t raw_bits;    /* including those that the lanes carry */
    const uint8_t *esc; /* next */
    const uint8_t *esc_begin;
    const uint8_t *esc_end;
};

/* The parts of a chunk that is being written. syms and tabs have one byte per element. */
struct tp_delta_writer {
    uint8_t *syms;
    uint8_t *tabs;
    uint8_t *raw; /* next byte */
    uint64_t acc; /* bits not in raw yet, fewer than 8 between calls */
    unsigned acc_bits;
    uint8_t *esc; /* next */
};

/*
 * FN(..., width) with the WIDTH of an element as a constant, 8, 16 or 32, so that the loop in FN is
 * compiled for each.
 */
#define TP_DELTA_BY_WIDTH(WIDTH, FN, ...)                                                          \
    ((WIDTH) == 8 ? FN(__VA_ARGS__, 8) : (WIDTH) == 16 ? FN(__VA_ARGS__, 16) : FN(__VA_ARGS__, 32))

/* Append N raw bits, at most 56. Writes up to 8 bytes from w->raw on. */
TP_INLINE void tp_delta_put_raw(struct tp_delta_writer *w, uint64_t bits, unsigned n)
{
    unsigned bytes;

    w->acc |= bits << w->acc_bits;
    w->acc_bits += n;
    __builtin_memcpy(w->raw, &w->acc, sizeof w->acc);
    bytes = w->acc_bits / 8;
    w->raw += bytes;
    w->acc >>= 8 * bytes;
    w->acc_bits %= 8;
}

/* Elements one by one, as unsigned integers of WIDTH bits in 32. */
TP_INLINE uint32_t tp_delta_load(const uint8_t *p, size_t i, unsigned width)
{
    uint16_t h;
    uint32_t v;

    if (width == 8)
        return p[i];
    if (width == 16) {
        __builtin_memcpy(&h, p + 2 * i, sizeof h);
        return h;
    }
    __builtin_memcpy(&v, p + 4 * i, sizeof v);
    return v;
}

TP_INLINE void tp_delta_store(uint8_t *p, size_t i, unsigned width, uint32_t v)
{
    uint16_t h = (uint16_t)v;

    if (width == 8)
        p[i] = (uint8_t)v;
    else if (width == 16)
        __builtin_memcpy(p + 2 * i, &h, sizeof h);
    else
        __builtin_memcpy(p + 4 * i, &v, sizeof v);
}

TP_INLINE uint32_t tp_delta_mask(unsigned width)
{
    return 0xffffffffu >> (32 - width);
}

/* Bits of a float to the integer with the same order, and back; integers stay as they are. */
TP_INLINE uint32_t tp_delta_order(uint32_t v, unsigned width, bool is_float)
{
    uint32_t top = 1u << (width - 1);

    if (!is_float)
        return v;
    /* Signs are random: no branches. */
    return (v ^ ((0u - (v >> (width - 1))) | top)) & tp_delta_mask(width);
}

TP_INLINE uint32_t tp_delta_unorder(uint32_t o, unsigned width, bool is_float)
{
    uint32_t top = 1u << (width - 1);

    if (!is_float)
        return o;
    return (o ^ (((o >> (width - 1)) - 1) | top)) & tp_delta_mask(width);
}

/* The difference of V to BASE, small in either direction: 0, -1, 1, -2, ... as 0, 1, 2, 3, ... */
TP_INLINE uint32_t tp_delta_diff(uint32_t v, uint32_t base, unsigned width, bool is_float)
{
    uint32_t d = tp_delta_order(v, width, is_float) - tp_delta_order(base, width, is_float);
    uint32_t sign = 0u - (d >> (width - 1) & 1);

    return ((d << 1) ^ sign) & tp_delta_mask(width);
}

TP_INLINE uint32_t tp_delta_undiff(uint32_t z, uint32_t base, unsigned width, bool is_float)
{
    uint32_t d = (z >> 1) ^ (0u - (z & 1));

    return tp_delta_unorder((tp_delta_order(base, width, is_float) + d) & tp_delta_mask(width),
                            width, is_float);
}

TP_INLINE unsigned tp_delta_context_of(uint32_t base, const struct tp_delta_kind *kind,
                                       unsigned first)
{
    unsigned field = base >> kind->field_shift & kind->field_mask;

    field = field > first ? field - first : 0;
    return field < TP_DELTA_CONTEXTS - 1 ? field : TP_DELTA_CONTEXTS - 1;
}

#endif
