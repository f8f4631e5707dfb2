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

#include "codec/codec.h"
#include "codec/rans/rans.h"

#define SPLIT_PLANES_MAX 8u

struct split_shape {
    unsigned width; /* bytes an element, and planes: 1, 2, 4 or 8 */
    bool rotate;
};

struct split_shape tp_split_shape(enum tp_dtype dtype);

/* SRC has n * shape.width bytes. */
void tp_split_cut(uint8_t *const plane[], const uint8_t *src, size_t n, struct split_shape shape);
void tp_split_merge(uint8_t *dst, const uint8_t *const plane[], size_t n, struct split_shape shape);

/*
 * Elements of two bytes from the plane LOW and the next N symbols of a stream. Does a multiple of
 * 64 from the first on, and returns how many; the lanes of the stream may be too few for it.
 */
size_t tp_split_join_avx512(struct tp_rans_reader *r, const struct tp_rans_dec *dec,
                            const uint8_t *low, uint8_t *dst, size_t n, bool rotate);

#endif
