/* SPDX-License-Identifier: MIT */
/*
 * The data that host and device share: the flat form of tables, and a chunk. C and CUDA include
 * this file.
 */
#ifndef TP_CODEC_CUDA_TYPES_H
#define TP_CODEC_CUDA_TYPES_H

#include <stdint.h>

#define WARP_WIDTH 32u
#define WARP_CONTEXTS 16
#define WARP_RANS_BITS 11u
#define WARP_RANS_ONE (1u << WARP_RANS_BITS)
#define WARP_RANS_LOW (1u << 15)
#define WARP_CARRY_BITS 15u
#define WARP_ESCAPE 255u

/*
 * The tables of a tensor on the device. SLOTS: the tables of decoding entries, one after the other.
 */
struct warp_model {
    uint8_t is_split;
    uint8_t carries; /* delta: as in struct tp_delta_tables, for 16-bit floats, and so on */
    uint8_t first;
    uint8_t field_shift;
    uint8_t field_mask;
    uint8_t table[WARP_CONTEXTS];
    uint8_t shift[WARP_CONTEXTS];
    uint8_t keep[WARP_CONTEXTS];
    uint8_t has_table[2]; /* split: whether the low and the high plane have a table */
    const uint32_t *slots;
};

struct warp_chunk {
    const uint8_t *src;
    const uint16_t *base;
    uint16_t *dst;
    uint32_t src_len;
    uint32_t n; /* elements */
};

/* How a plane of split is coded. */
enum { WARP_CONST, WARP_RAW, WARP_RANS, WARP_OWN };

#endif
