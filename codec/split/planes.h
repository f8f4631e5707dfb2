/* SPDX-License-Identifier: MIT */
/*
 * Elements cut into byte planes, the least significant byte's first. Of floats of two bytes and
 * more the top 16 bits are rotated left by one before: the sign leaves the exponent's byte, and
 * what an upcast from 16 bits appended stays by itself.
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
 * Kernels. cut takes elements apart and merge puts them together: N of them, of shape.width bytes.
 *
 * join makes elements of two bytes from the plane LOW and the next symbols of a stream: a multiple
 * of 64 of N, from the first on. It returns how many, which is none where the stream has too few
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
    tp_split_join_fn *join[TP_ISA_COUNT]; /* NULL: there is none */
} tp_split_kernels;

#endif
