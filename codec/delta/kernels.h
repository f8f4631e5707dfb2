/* SPDX-License-Identifier: MIT */
/*
 * The kernels of the delta codec, by instruction set. All rows give the same bits; the scalar ones
 * are the reference.
 */
#ifndef TP_CODEC_DELTA_KERNELS_H
#define TP_CODEC_DELTA_KERNELS_H

#include "codec/delta/bins.h"
#include "codec/delta/carry.h"
#include "codec/delta/model.h"

/*
 * decode and split process elements from 0 on, as many as suit the kernel, and return their number;
 * portable code processes the rest. For any coded bytes, decode reads no further than the slack.
 */
typedef size_t tp_delta_decode_fn(const struct tp_delta_tables *t, struct tp_delta_reader *r,
                                  const uint8_t *base, uint8_t *dst, size_t n);
typedef size_t tp_delta_split_fn(const struct tp_delta_tables *t, struct tp_delta_writer *w,
                                 const uint8_t *src, const uint8_t *base, size_t n);
/*
 * For elements of 16 bits, from number N - 1 down: put the carried bits back into them. Stops if no
 * carried bits or too few elements are left. Returns the number of elements left.
 */
typedef size_t tp_delta_carry_fn(const struct tp_delta_tables *t, struct tp_delta_tail *tail,
                                 const uint8_t *base, uint8_t *dst, size_t n);
/* The bins of the first N elements, at most TP_DELTA_BLOCK; OUT->direct only with DIRECT. */
typedef void tp_delta_bins_fn(const struct tp_delta_kind *kind, const uint8_t *src,
                              const uint8_t *base, size_t n, bool direct,
                              struct tp_delta_bins *out);

tp_delta_decode_fn tp_delta_decode_scalar, tp_delta_decode_avx2, tp_delta_decode_avx512;
tp_delta_split_fn tp_delta_split_scalar, tp_delta_split_avx2, tp_delta_split_avx512;
tp_delta_carry_fn tp_delta_carry_scalar, tp_delta_carry_avx2, tp_delta_carry_avx512;
tp_delta_bins_fn tp_delta_bins_scalar, tp_delta_bins_avx2, tp_delta_bins_avx512;

/* Use the row tp_isa_get(). */
extern const struct tp_delta_kernels {
    tp_delta_decode_fn *decode[TP_ISA_COUNT];
    tp_delta_split_fn *split[TP_ISA_COUNT];
    tp_delta_carry_fn *carry[TP_ISA_COUNT];
    tp_delta_bins_fn *bins[TP_ISA_COUNT];
} tp_delta_kernels;

#endif
