/* SPDX-License-Identifier: MIT */
/*
 * Interleaved rANS over bytes, internal to codec/. Symbol i belongs to lane i mod LANES; every lane
 * is a 31-bit state. All lanes refill 16 bits at a time from one shared stream of words, in the
 * order of the symbols. Probabilities have 11 bits. doc/codecs.md specifies the layout.
 *
 * A symbol can be coded under one of several tables, chosen by a byte that the decoder knows before
 * the symbol (codec/delta does this in kernels of its own, on the tables made here).
 */
#ifndef TP_CODEC_RANS_RANS_H
#define TP_CODEC_RANS_RANS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

#define TP_RANS_BITS 11
#define TP_RANS_ONE (1u << TP_RANS_BITS)
#define TP_RANS_LOW (1u << 15)  /* states are at or above this, and below it << 16 */
#define TP_RANS_LANES_LOG_MAX 6 /* 64 lanes */
#define TP_RANS_LANES_MAX (1u << TP_RANS_LANES_LOG_MAX)
#define TP_RANS_NO_ESCAPE (-1)
#define TP_RANS_CARRY_BITS 15 /* bits that a lane can carry besides its symbols */
/* Space for the bits that all lanes carry, and for wide stores. */
#define TP_RANS_CARRY_BYTES (TP_RANS_CARRY_BITS * TP_RANS_LANES_MAX / 8 + 8)
/* the number of lanes and their states */
#define TP_RANS_HEAD_MAX (1 + 34 * TP_RANS_LANES_MAX / 8)

/*
 * Decoding: one entry a slot: symbol << 24 | offset of the slot within the symbol << 12 |
 * frequency.
 */
struct tp_rans_dec {
    uint32_t slot[TP_RANS_ONE];
};

/*
 * Encoding: one entry a symbol. x / f is (x * rcp) >> (31 + shift) for every x < f << 20, which
 * holds for a state after renormalisation. bits: frequency | first slot << 12 | shift << 24.
 */
struct tp_rans_sym {
    uint32_t rcp;
    uint32_t bits;
};
struct tp_rans_enc {
    struct tp_rans_sym sym[256];
};

/* --- rans_table.c --- */

/*
 * Frequencies that sum to TP_RANS_ONE: at least 1 for each symbol that was counted and for the
 * symbol ESCAPE, counted or not, unless it is TP_RANS_NO_ESCAPE.
 */
void tp_rans_normalize(const uint32_t hist[256], int escape, uint16_t freq[256]);

/*
 * Serial form of frequencies. ESCAPE is the same as for tp_rans_normalize; its presence is not
 * stored. The reader returns the number of bytes that it used, or -EBADMSG; frequencies that it
 * accepts sum to TP_RANS_ONE.
 */
int tp_rans_freq_write(struct tp_buffer *out, const uint16_t freq[256], int escape);
int tp_rans_freq_read(const uint8_t *src, size_t len, int escape, uint16_t freq[256]);

/* FREQ must sum to TP_RANS_ONE. */
void tp_rans_dec_init(struct tp_rans_dec *dec, const uint16_t freq[256]);
void tp_rans_enc_init(struct tp_rans_enc *enc, const uint16_t freq[256]);

/* --- rans.c --- */

/* The number of lanes, as a power of two, for N symbols of about BYTES coded bytes. */
unsigned tp_rans_lanes_log(size_t n, size_t bytes);

/* The maximal length of a stream of N symbols. */
static inline size_t tp_rans_bound(size_t n)
{
    return TP_RANS_HEAD_MAX + 2 * n;
}

/*
 * Code N symbols into the bytes that end at END, downwards; returns where the stream begins (at
 * most tp_rans_bound(N) before END; what lies below is kept). TABS chooses symbol i's table
 * ENC[TABS[i]]; NULL: ENC[0] for all. A symbol whose frequency is 0 must not occur (the stream
 * would be garbage, nothing worse). SYMS and TABS have TP_SLACK readable bytes after their end.
 *
 * CARRY: TP_RANS_CARRY_BITS bits for each lane, least significant first. The state of the lane
 * begins with them, and the decoder gets them at the end of the stream. Together they cost about
 * half a bit. NULL: none.
 */
uint8_t *tp_rans_encode(const struct tp_rans_enc *enc, const uint8_t *syms, const uint8_t *tabs,
                        size_t n, unsigned lanes_log, const uint8_t *carry, uint8_t *end);

/*
 * Decode a stream of exactly LEN bytes to N symbols: 0 or -EBADMSG. SRC has TP_SLACK readable bytes
 * after its end; DST TP_SLACK writable ones.
 */
int tp_rans_decode(const struct tp_rans_dec *dec, const uint8_t *src, size_t len, uint8_t *dst,
                   size_t n);

/* The state of the decoder, for kernels: lanes, the next word, the end of the words. */
struct tp_rans_reader {
    uint32_t x[TP_RANS_LANES_MAX];
    const uint8_t *p;
    const uint8_t *end;
    unsigned lanes_log;
};

/* Read the lane count and the states of a stream of exactly LEN bytes, and slack: 0 or -EBADMSG. */
int tp_rans_reader_init(struct tp_rans_reader *r, const uint8_t *src, size_t len);
/* Decode the next N symbols. In every call but the last, N is a multiple of TP_RANS_LANES_MAX. */
void tp_rans_read(struct tp_rans_reader *r, const struct tp_rans_dec *dec, uint8_t *dst, size_t n);
/*
 * Check that all words were read and every state is the initial one of the encoder: 0 or -EBADMSG.
 * The carried bits are written to CARRY, which has TP_RANS_CARRY_BYTES; NULL: they must be zeros.
 */
int tp_rans_reader_finish(const struct tp_rans_reader *r, uint8_t *carry);

/* The next symbol of lane L, by the table. Never reads beyond end + 2. */
static inline unsigned tp_rans_get(struct tp_rans_reader *r, unsigned l,
                                   const struct tp_rans_dec *dec)
{
    uint32_t x = r->x[l];
    uint32_t e = dec->slot[x & (TP_RANS_ONE - 1)];

    x = (e & 0xfff) * (x >> TP_RANS_BITS) + ((e >> 12) & 0xfff);
    if (x < TP_RANS_LOW) {
        x = x << 16 | (uint32_t)r->p[0] | (uint32_t)r->p[1] << 8;
        r->p += r->p <= r->end ? 2 : 0;
    }
    r->x[l] = x;
    return e >> 24;
}

/*
 * Kernels. decode decodes symbols from 0 on and returns their number: a multiple of
 * TP_RANS_LANES_MAX or N, and possibly 0 with fewer than 16 lanes. encode needs 16 lanes or more
 * and N as a multiple of 64. It continues with the states X, codes down to symbol 0, and returns
 * the beginning of the words.
 */
typedef size_t tp_rans_decode_fn(struct tp_rans_reader *r, const struct tp_rans_dec *dec,
                                 uint8_t *dst, size_t n);
typedef uint8_t *tp_rans_encode_fn(uint32_t *x, const struct tp_rans_enc *enc, const uint8_t *syms,
                                   const uint8_t *tabs, size_t n, unsigned lanes_log, uint8_t *p);

tp_rans_decode_fn tp_rans_decode_avx2, tp_rans_decode_avx512;
tp_rans_encode_fn tp_rans_encode_avx2, tp_rans_encode_avx512;

#endif
