/* SPDX-License-Identifier: MIT */
/* What the files of the codec "quant" share: which bytes of a packed matrix belong to a chunk. */
#ifndef TP_CODEC_QUANT_CHUNK_IMPL_H
#define TP_CODEC_QUANT_CHUNK_IMPL_H

#include "codec/quant/chunk.h"
#include "codec/quant/kinds.h"

#define TP_QUANT_RUNS (TP_QUANT_PARTS * TP_QUANT_SECTIONS)
#define TP_QUANT_CHUNK_HEADER 8u   /* the first element */
#define TP_QUANT_TABLES_HEADER 16u /* the extent; the header of the matrix follows */

/* N pieces of BYTES bytes of a section, the first at OFFSET in it, STRIDE apart. */
struct tp_quant_run {
    unsigned part, section;
    uint64_t offset, bytes, n, stride;
    bool by_row; /* piece r belongs to row r of the matrix */
};

/* The elements of a chunk by rows. COL is rounded down to a multiple of 8, and FIRST with it. */
struct tp_quant_place {
    uint64_t first, end;
    uint32_t row, col, last_row, last_col;
};

struct tp_tables {
    struct tp_quant_extent extent;
    struct tp_quant_matrix m; /* of the whole matrix; views of what the tables have, others NULL */
    unsigned run_n;
    struct tp_quant_run runs[TP_QUANT_RUNS];
    const uint8_t *at[TP_QUANT_RUNS]; /* the bytes of each run */
    uint8_t bytes[];
};

/* The bytes of a chunk that are those of a run, or the codes of a part in the order of the file. */
struct tp_quant_piece {
    struct tp_quant_run run;
    const uint8_t *at;
};

/* --- chunk.c --- */

/* Sections of a part in their order in a chunk and in tables. */
extern const unsigned char tp_quant_order[TP_QUANT_SECTIONS];

struct tp_quant_place tp_quant_place(const struct tp_quant_spec *spec, uint64_t first, uint32_t n);
/* The runs that tables have, in order. Returns their number. */
unsigned tp_quant_table_runs(const struct tp_quant_spec *spec, const struct tp_quant_layout *layout,
                             const struct tp_quant_extent *extent,
                             struct tp_quant_run runs[TP_QUANT_RUNS]);
/*
 * The runs of part PART that a chunk by rows has, in order. M needs no bytes but the table of
 * COLUMNS. K: the outliers of the chunk.
 */
unsigned tp_quant_chunk_runs(const struct tp_quant_matrix *m, unsigned part,
                             const struct tp_quant_place *place, const uint32_t k[2],
                             struct tp_quant_run runs[TP_QUANT_SECTIONS]);
/* The bits of the codes of a part that has one for each element; 0: it has none. */
unsigned tp_quant_element_bits(const struct tp_quant_part *part);

/*
 * A pointer P such that P + OFFSET is AT. P itself may be outside of what AT points into: kernels
 * add the offset of what they read in the whole section.
 */
static inline const uint8_t *tp_quant_rebase(const uint8_t *at, uint64_t offset)
{
    return (const uint8_t *)((uintptr_t)at - (uintptr_t)offset);
}

/* Where the code of an element of a part is, in the section of codes: the bit, and its width. */
static inline uint64_t tp_quant_code_bit(const struct tp_quant_spec *spec,
                                         const struct tp_quant_part *part, uint64_t stride,
                                         uint32_t row, uint32_t col)
{
    uint64_t e;

    if (part->kind != TP_QUANT_NF4 && part->kind != TP_QUANT_NF4_DOUBLE)
        return 8 * row * stride + (uint64_t)col * part->bits;
    e = (uint64_t)row * spec->cols + col;
    return e / 2 * 8 + (e & 1 ? 0 : 4); /* the first of a byte is in its high half */
}

/* Put a code of B bits at this bit of zeroed bytes. */
static inline void tp_quant_code_put(uint8_t *bytes, uint64_t bit, unsigned b, unsigned code)
{
    unsigned v = code << (bit & 7);

    bytes[bit >> 3] |= (uint8_t)v;
    if ((bit & 7) + b > 8)
        bytes[(bit >> 3) + 1] |= (uint8_t)(v >> 8);
}

#endif
