/* SPDX-License-Identifier: MIT */
/*
 * Carried bits: the last raw bits of a delta chunk are not among its raw bits. The lanes of rANS
 * carry them in their initial states, which costs next to nothing.
 *
 * While a chunk is decoded, arbitrary bits are in their place. This has no effect on other bits:
 * whether a difference is 0, and its upper bits, do not depend on its raw bits. At the end of the
 * chunk the states hold the carried bits, and tp_delta_carry_put writes them into the elements,
 * from the last element to the first.
 */
#ifndef TP_CODEC_DELTA_CARRY_H
#define TP_CODEC_DELTA_CARRY_H

#include "codec/delta/model.h"

/*
 * Move the last bits of the TOTAL bits at RAW to CARRY, as many as the lanes carry: none unless
 * t->carries. Returns the number of bits that remain. RAW has slack.
 */
size_t tp_delta_carry_take(const struct tp_delta_tables *t, const uint8_t *raw, size_t total,
                           unsigned lanes_log, uint8_t carry[TP_RANS_CARRY_BYTES]);

/*
 * Write the bits in CARRY into the N elements at DST. R has read the chunk: its raw_bit counts the
 * raw bits of all elements. False: the chunk has fewer raw bits, or the lanes carried more.
 */
bool tp_delta_carry_put(const struct tp_delta_tables *t, const struct tp_delta_reader *r,
                        const uint8_t carry[TP_RANS_CARRY_BYTES], const uint8_t *base, uint8_t *dst,
                        size_t n);

/*
 * The end of the raw bits: some stored bits, which a step of a kernel may access, and the carried
 * bits.
 */
#define TP_DELTA_TAIL_BEFORE 32
struct tp_delta_tail {
    uint8_t bytes[TP_DELTA_TAIL_BEFORE + TP_RANS_CARRY_BYTES + 8];
    size_t begin; /* the first carried bit */
    size_t at;    /* the end of the bits of the elements that are left */
};

#endif
