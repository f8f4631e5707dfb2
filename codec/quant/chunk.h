/* SPDX-License-Identifier: MIT */
/*
 * A packed matrix in pieces: the codec "quant" of packs. A tensor of bf16 numbers in a file is the
 * rounded values of the matrix, by rows or, TRANSPOSED, by columns. Its packed bytes are divided
 * among the chunks of the tensor, so that each chunk is decoded on its own; what many chunks need
 * is in the tables of their segment (doc/codecs.md). The packed bytes can be put together again.
 *
 * FIRST and N say which elements of the tensor a chunk has, in the order of the file.
 */
#ifndef TP_CODEC_QUANT_CHUNK_H
#define TP_CODEC_QUANT_CHUNK_H

#include "codec/codec.h"
#include "codec/quant/quant.h"

/* The only codec that loses something, at its writer: it decodes, and has no encoder. */
extern const struct tp_codec tp_codec_quant;

#define TP_QUANT_TABLES_MAX (4u << 20) /* bytes of tables */

/* The elements of a tensor that a segment has: a range of them or, transposed, of columns. */
struct tp_quant_extent {
    bool transposed;
    uint32_t first_col, end_col; /* transposed: columns of the matrix; otherwise all of them */
};

/* --- chunk.c --- */

/* The bytes of the tables of a segment, and the tables themselves, appended to OUT. -ENOMEM. */
uint64_t tp_quant_tables_bytes(const struct tp_quant_matrix *m,
                               const struct tp_quant_extent *extent);
int tp_quant_tables_encode(const struct tp_quant_matrix *m, const struct tp_quant_extent *extent,
                           struct tp_buffer *out);

/* The coded bytes of a chunk, and the coding, at DST. */
uint64_t tp_quant_chunk_bytes(const struct tp_quant_matrix *m, bool transposed, uint64_t first,
                              uint32_t n);
void tp_quant_chunk_encode(const struct tp_quant_matrix *m, bool transposed, uint64_t first,
                           uint32_t n, uint8_t *dst);

/* --- codec.c --- */

/* Floats of WORK: the elements of the largest chunk, and a few more. */
#define TP_QUANT_WORK (TP_CHUNK_MAX / 2 + 64)
/* The N numbers of a chunk, rounded to bf16, from M, the whole matrix. */
void tp_quant_chunk_values(const struct tp_quant_matrix *m, bool transposed, uint64_t first,
                           uint32_t n, void *dst, float *work);

/* --- tables.c --- */

/* What tables of this codec say: the matrix, and which part of it the segment has. */
const struct tp_quant_spec *tp_quant_tables_spec(const struct tp_tables *tables);
const struct tp_quant_extent *tp_quant_tables_extent(const struct tp_tables *tables);
/* Put the bytes of these tables to their places in PACKED, the bytes of the whole matrix. */
void tp_quant_tables_restore(const struct tp_tables *tables, uint8_t *packed);
/* The same for the LEN coded bytes of a chunk. -EBADMSG. */
int tp_quant_chunk_restore(const struct tp_tables *tables, const uint8_t *src, size_t len,
                           uint64_t first, uint32_t n, uint8_t *packed);

#endif
