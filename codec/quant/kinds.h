/* SPDX-License-Identifier: MIT */
/* What the files of codec/quant/ share about the kinds of parts. */
#ifndef TP_CODEC_QUANT_KINDS_H
#define TP_CODEC_QUANT_KINDS_H

#include "base/isa.h"
#include "base/le.h"
#include "codec/quant/quant.h"

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

/*
 * Kernels by instruction set: the values of the columns COL to END - 1 of row R of a part, set or
 * added to DST. COL is a multiple of 8.
 */
typedef void tp_quant_row_fn(const struct tp_quant_view *view, const struct tp_quant_spec *spec,
                             uint32_t r, uint32_t col, uint32_t end, float *dst, bool add);
extern tp_quant_row_fn *const tp_quant_row[TP_ISA_COUNT];
tp_quant_row_fn tp_quant_row_scalar, tp_quant_row_avx2;
tp_quant_row_fn tp_quant_row_by_eight; /* AVX2; it calls tp_quant_row_avx2 for the rest */

#endif
