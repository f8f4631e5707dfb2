/* SPDX-License-Identifier: MIT */
/* What the files of codec/quant/ share about the kinds of parts. */
#ifndef TP_CODEC_QUANT_KINDS_H
#define TP_CODEC_QUANT_KINDS_H

#include <string.h>

#include "base/isa.h"
#include "base/le.h"
#include "codec/quant/quant.h"

/* The scale of block B of NF4 and NF4_DOUBLE. */
static inline float tp_quant_block_scale(const struct tp_quant_view *v, uint64_t b)
{
    const uint8_t *scales = v->section[TP_QUANT_SCALES];
    float scale, offset;

    if (v->part.kind == TP_QUANT_NF4) {
        memcpy(&scale, scales + 4 * b, 4);
        return scale;
    }
    memcpy(&scale, v->section[TP_QUANT_ZEROS] + 4 * (b / TP_QUANT_SCALE_BLOCK), 4);
    memcpy(&offset, v->section[TP_QUANT_TABLE], 4);
    return tp_quant_dynamic[scales[b]] * scale + offset;
}

/* --- layout.c --- */

/* Whether a part has a value for every element; the first part of a matrix must. */
bool tp_quant_kind_dense(enum tp_quant_kind kind);

/* The bytes of a column's number in the part OUTLIERS. */
static inline unsigned tp_quant_column_bytes(uint32_t cols)
{
    return cols > 65536 ? 4 : 2;
}

/* Number K of such columns, of BYTES bytes each. */
static inline uint32_t tp_quant_column(const uint8_t *columns, size_t k, unsigned bytes)
{
    return bytes == 4 ? tp_get_le32(columns + 4 * k) : tp_get_le16(columns + 2 * k);
}

/* --- dequantize.c --- */

/*
 * What OUTLIERS and COLUMNS have of the columns COL to COL + COLS - 1 of a row: the elements FIRST
 * to END - 1.
 */
struct tp_quant_elements {
    const uint8_t *columns, *values;
    unsigned bytes; /* of a column's number */
    uint32_t col, cols;
    size_t first, end;
};
struct tp_quant_elements tp_quant_row_elements(const struct tp_quant_view *view,
                                               const struct tp_quant_spec *spec, uint32_t row,
                                               uint32_t col, uint32_t end);

/* The columns COL to END - 1 of ROWS rows. COL is a multiple of 8; row ROW + i is at DST + i *
 * STRIDE. */
struct tp_quant_rectangle {
    uint32_t row, rows, col, end;
    float *dst;
    size_t stride;
};
/* Kernels by instruction set: set the values of a part, or add them to those that are there. */
typedef void tp_quant_part_fn(const struct tp_quant_view *view, const struct tp_quant_spec *spec,
                              const struct tp_quant_rectangle *to, bool add);
extern tp_quant_part_fn *const tp_quant_part[TP_ISA_COUNT];
tp_quant_part_fn tp_quant_part_scalar, tp_quant_part_avx2;
tp_quant_part_fn tp_quant_part_by_eight; /* AVX2; it calls tp_quant_part_avx2 for the rest */

#endif
