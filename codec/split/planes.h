/* SPDX-License-Identifier: MIT */
/*
 * Byte planes: plane K has byte K of each element, the least significant first. The top 16 bits of
 * floats of two bytes and more are first rotated left by one. This moves the sign out of the byte
 * of the exponent, and puts the zeros that an upcast from 16 bits appended into planes of their
 * own.
 */
#ifndef TP_CODEC_SPLIT_PLANES_H
#define TP_CODEC_SPLIT_PLANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"
#include "codec/codec.h"
#include "codec/rans/rans.h"

#define SPLIT_PLANES_MAX 8u

struct split_shape {
    unsigned width; /* bytes an element, and planes: 1, 2, 4 or 8 */
    bool rotate;
};

struct split_shape tp_split_shape(enum tp_dtype dtype);

/*
 * Kernels. cut separates N elements of shape.width bytes into planes; merge joins them.
 *
 * join makes elements of two bytes from the plane LOW and the next symbols of a stream, from the
 * first of N on. It returns their number, a multiple of 64, which may be 0 if the stream has few
 * lanes.
 */
typedef void tp_split_cut_fn(uint8_t *const plane[], const void *src, size_t n,
                             struct split_shape shape);
typedef void tp_split_merge_fn(void *dst, const uint8_t *const plane[], size_t n,
                               struct split_shape shape);
typedef size_t tp_split_join_fn(struct tp_rans_reader *r, const struct tp_rans_dec *dec,
                                const uint8_t *low, uint8_t *dst, size_t n, bool rotate);

tp_split_join_fn tp_split_join_avx512;

/* By instruction set; use the row tp_isa_get(). All rows give the same bits. */
extern const struct tp_split_kernels {
    tp_split_cut_fn *cut[TP_ISA_COUNT];
    tp_split_merge_fn *merge[TP_ISA_COUNT];
    tp_split_join_fn *join[TP_ISA_COUNT]; /* NULL: no such kernel */
} tp_split_kernels;

#endif
