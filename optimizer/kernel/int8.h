/* SPDX-License-Identifier: MIT */
/*
 * Products of integers (kernel.h): how vectors are packed, and what a kernel computes of a few
 * rows.
 *
 * A packed vector has WIDTH columns, a multiple of TP_INT8_PAD; zeros follow its last column:
 *
 *     i8 natural[WIDTH]      its integers
 *     i8 split[WIDTH]        the same: of each 64 columns the even ones, then the odd ones
 *     f32 scales[WIDTH / 8]  of the block that these 8 columns are in
 *     f32 sums[WIDTH / 8]    the scale times the sum of the 8 integers
 *
 * A step is what TP_INT8_STEP bytes of codes stand for: 64 columns of 4 bits, or 32 of 8 bits. It
 * has 8 lanes, and a lane the codes of 4 bytes.
 */
#ifndef TP_OPTIMIZER_KERNEL_INT8_H
#define TP_OPTIMIZER_KERNEL_INT8_H

#include "base/isa.h"
#include "codec/quant/quant.h"
#include "optimizer/kernel/kernel.h"

enum {
    TP_INT8_BLOCK = 32, /* columns of a scale */
    TP_INT8_PAD = 128,
    TP_INT8_STEP = 32,
    TP_INT8_LANES = 8,
    TP_INT8_ROWS = 4,   /* of a tile, at most */
    TP_INT8_WINDOW = 8, /* factors that a step has, at most */
};

#define TP_INT8_LEAST 0x1p-100f /* the greatest |x| of a block that counts */

/* A packed vector. */
struct tp_int8_vector {
    int8_t *natural, *split;
    float *scales, *sums;
};

TP_INLINE size_t tp_int8_width(size_t cols)
{
    return (cols + TP_INT8_PAD - 1) / TP_INT8_PAD * TP_INT8_PAD;
}

TP_INLINE size_t tp_int8_size(size_t width)
{
    return 2 * width + 2 * (width / 8) * sizeof(float);
}

TP_INLINE struct tp_int8_vector tp_int8_vector(const void *packed, size_t width, size_t i)
{
    int8_t *natural = (int8_t *)packed + i * tp_int8_size(width);
    float *scales = (float *)(void *)(natural + 2 * width);

    return (struct tp_int8_vector){natural, natural + width, scales, scales + width / 8};
}

/* Pack X, of COLS columns. */
typedef void tp_int8_pack_fn(const float *x, size_t cols, const struct tp_int8_vector *to);

/*
 * The factors of all GROUPS groups of a few rows: A[g], and B[g] where the part has offsets. They
 * are those of the integers that the products take. The next row's are STRIDE elements on, at least
 * TP_INT8_WINDOW more than there are groups; the elements of B up to the end of a window are zero.
 */
typedef void tp_int8_factors_fn(const struct tp_quant_matrix *m, const struct tp_quant_view *v,
                                size_t row, unsigned rows, size_t groups, float *a, float *b,
                                size_t stride);

/* Codes of BITS, 2 or 3, as codes of 4 bits: COLS, a multiple of 8. */
typedef void tp_int8_widen_fn(const uint8_t *codes, size_t cols, unsigned bits, uint8_t *to);

/* A few rows of a part, and the vectors that they are multiplied with. */
struct tp_int8_tile {
    unsigned rows;
    bool narrow;  /* codes of 4 bits; otherwise of 8 */
    bool whole;   /* all lanes of a step are in one group */
    bool add;     /* to Y */
    uint8_t flip; /* makes a byte of 8 bits a signed integer by exclusive or */
    const uint8_t *codes[TP_INT8_ROWS];
    size_t bytes; /* of a row of codes: the last step may have less than TP_INT8_STEP */
    /* Lane l of step s is in group BASE[s] + LANE[8 * s + l]. */
    const uint32_t *base;
    const uint8_t *lane;
    const float *a[TP_INT8_ROWS], *b[TP_INT8_ROWS];
    size_t windows; /* of B, each of TP_INT8_WINDOW; 0: no offsets */

    const void *x;
    size_t width, m;
    const float *sums; /* of groups: SUMS[i * SUMS_STRIDE + g], zeros follow in the last window */
    size_t sums_stride;
    float *y; /* of the first row */
    size_t y_stride;
};
typedef void tp_int8_tile_fn(const struct tp_int8_tile *t);
/* TILE(T, NARROW, WHOLE) with these of T as constants: the compiler makes a loop for each pair. */
#define TP_INT8_TILE(T, TILE)                                                                      \
    do {                                                                                           \
        if ((T)->narrow && (T)->whole)                                                             \
            TILE(T, true, true);                                                                   \
        else if ((T)->narrow)                                                                      \
            TILE(T, true, false);                                                                  \
        else if ((T)->whole)                                                                       \
            TILE(T, false, true);                                                                  \
        else                                                                                       \
            TILE(T, false, false);                                                                 \
    } while (0)

tp_int8_pack_fn tp_int8_pack_avx2;
tp_int8_factors_fn tp_int8_factors_avx2;
tp_int8_widen_fn tp_int8_widen_avx2;
tp_int8_tile_fn tp_int8_tile_avx2, tp_int8_tile_avx512;

#endif
