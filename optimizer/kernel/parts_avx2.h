/* SPDX-License-Identifier: MIT */
/*
 * Products of few vectors with any quantized matrix, AVX2. Four rows are expanded in tiles that
 * stay in the first cache: each part, or two together, set the values of a tile, or add their own
 * to them. With one vector the last part goes from registers into the product.
 */
#ifndef TP_OPTIMIZER_KERNEL_PARTS_AVX2_H
#define TP_OPTIMIZER_KERNEL_PARTS_AVX2_H

#include <immintrin.h>

#include "codec/quant/quant.h"
#include "optimizer/kernel/impl.h"

enum {
    TP_PART_ROWS = 4,
    TP_PART_TILE = 640, /* columns, at most */
    TP_PART_UNIT = 64,  /* of which they are a multiple */
    TP_PART_STRIDE = TP_PART_TILE + 16,
    /* factors of a row: one for each column at most; and what vectors have more */
    TP_PART_FACTORS = TP_PART_TILE + 16,
    TP_PART_BOOK = 256 * 8, /* numbers of a codebook of 8 bits and eight columns */
};

/* Columns of four rows. */
struct tp_part_tile {
    const struct tp_quant_matrix *w;
    size_t row[TP_PART_ROWS]; /* the last one again, where there are no more */
    size_t col, cols;
    float *values; /* of row j from j * TP_PART_STRIDE on */
    float *a, *b;  /* factors of row j from j * TP_PART_FACTORS on, and as many of another part */
    const float *x;
    __m256 *sums;                       /* of the products with X */
    const float *table[TP_QUANT_PARTS]; /* a codebook as fp32, or NULL */
};

/* What becomes of the values of a part. */
enum tp_part_mode {
    TP_PART_SET,
    TP_PART_ADD,          /* to those of the tile */
    TP_PART_MULTIPLY,     /* add their products with X to the sums */
    TP_PART_ADD_MULTIPLY, /* the same with what ADD would give; the tile stays as it is */
    TP_PART_MODES
};

/* Part number PART of the tile's matrix. */
typedef void tp_part_fn(const struct tp_part_tile *t, unsigned part);
typedef tp_part_fn *tp_part_kernel[TP_PART_MODES];

struct tp_part_kernels {
    const tp_part_kernel *kernel[TP_QUANT_PARTS]; /* NULL: there is none */
    unsigned count[TP_QUANT_PARTS];               /* of parts that it does */
};

/* --- part_kernels_avx2.c --- */

/*
 * Choose the kernels for ROWS rows. SPACE is for tables of the tile: TP_PART_BOOK numbers for each
 * part of the matrix.
 */
void tp_part_kernels_choose(struct tp_part_kernels *kernels, struct tp_part_tile *t, size_t rows,
                            float *space);

#endif
