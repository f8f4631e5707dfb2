/* SPDX-License-Identifier: MIT */
/*
 * The last raw bits of a delta chunk do not stand among its raw bits: the lanes of rANS carry them
 * in the states that they begin with. Readers get anything in their place, and it does not matter
 * what: that a difference is not 0, and its upper bits, can be told whatever its raw bits are. When
 * a chunk has been read and the states are there, these bits are put right, from the last element
 * back.
 */
#ifndef TP_CODEC_DELTA_CARRY_H
#define TP_CODEC_DELTA_CARRY_H

#include "codec/delta/model.h"

/*
 * Move what can be carried from the end of TOTAL bits at RAW to CARRY; returns how many bits
 * remain. RAW has slack. Without t->carries that is all.
 */
size_t tp_delta_carry_take(const struct tp_delta_tables *t, const uint8_t *raw, size_t total,
                           unsigned lanes_log, uint8_t carry[TP_RANS_CARRY_BYTES]);

/*
 * Put the bits in CARRY into the N elements at DST. R has read the chunk: its raw_bit counts all
 * raw bits of the elements. False: that is not what the chunk has, or more was carried.
 */
bool tp_delta_carry_put(const struct tp_delta_tables *t, const struct tp_delta_reader *r,
                        const uint8_t carry[TP_RANS_CARRY_BYTES], const uint8_t *base, uint8_t *dst,
                        size_t n);

/*
 * The end of the raw bits: some that are stored, which a kernel's step may touch, and those
 * carried.
 */
#define TP_DELTA_TAIL_BEFORE 32
struct tp_delta_tail {
    uint8_t bytes[TP_DELTA_TAIL_BEFORE + TP_RANS_CARRY_BYTES + 8];
    size_t begin; /* the first carried bit */
    size_t at;    /* behind the bits of the elements to come */
};

#endif
