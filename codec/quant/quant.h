/* SPDX-License-Identifier: MIT */
/*
 * Quantized matrices: their packed bytes and what these stand for. Quantization loses information,
 * so it has an interface of its own and not that of the exact codecs (codec/codec.h). It knows no
 * file, path, thread or JSON. Work is done on ranges of rows, which the caller divides among its
 * threads as it likes; the result does not depend on the division.
 *
 * A matrix W has ROWS rows (outputs) and COLS columns (inputs), row-major. A packed matrix is a
 * header of TP_QUANT_HEADER bytes and the sections of one to TP_QUANT_PARTS parts. W is the sum of
 * its parts: codes of few bits, and what refines them (a few values in fp16, codes of the residual,
 * a product of two thin matrices).
 *
 * The value of an element is defined in IEEE fp32 operations, each rounded to nearest even, in a
 * fixed order, without fused multiplications: the first part gives w, each further part p makes it
 * w + p. All kernels give the same bits.
 *
 * Packed bytes are hostile until tp_quant_open has checked them. Then every reader of a struct
 * tp_quant_matrix stays in bounds, and reads nothing after the end of the bytes.
 */
#ifndef TP_CODEC_QUANT_QUANT_H
#define TP_CODEC_QUANT_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TP_QUANT_HEADER 64u
#define TP_QUANT_ALIGN 64u /* of each section, from the start of the packed bytes */
#define TP_QUANT_PARTS 4u
#define TP_QUANT_BLOCK 64u                /* elements of a block of NF4 */
#define TP_QUANT_SCALE_BLOCK 256u         /* scales of a block of NF4_DOUBLE */
#define TP_QUANT_DIMENSION_MAX (1u << 24) /* rows, columns */

/* Kinds of parts; they are on disk, and never renumbered. */
enum tp_quant_kind {
    TP_QUANT_NONE = 0,
    TP_QUANT_INT8 = 1,       /* a signed byte, fp32 absmax of each row */
    TP_QUANT_NF4 = 2,        /* bitsandbytes' 4-bit code, fp32 absmax of each block */
    TP_QUANT_NF4_DOUBLE = 3, /* the same with coded absmax */
    TP_QUANT_SYM = 4,        /* groups: fp16 scale, zero in the middle of the codes */
    TP_QUANT_ASYM = 5,       /* groups: fp16 scale, a zero of the code's width */
    TP_QUANT_AFFINE = 6,     /* groups: fp16 scale and fp16 offset */
    TP_QUANT_OUTLIERS = 7,   /* fp16 values with their positions */
    TP_QUANT_COLUMNS = 8,    /* whole columns in fp16 */
    TP_QUANT_LOW_RANK = 9,   /* the product of two fp16 matrices */
    TP_QUANT_CODEBOOK = 10,  /* vectors of a table of centroids, an fp16 scale of each row */
    TP_QUANT_KIND_COUNT
};

/* What a kind does not use is 0. */
struct tp_quant_part {
    enum tp_quant_kind kind;
    unsigned
        bits; /* of a code: 2, 3, 4 or 8 in groups, 1 to 8 in a codebook, 8 of INT8, 4 of NF4 */
    uint32_t group; /* columns that share a scale, or elements of a centroid: it divides COLS */
    uint32_t count; /* of outliers, columns, or the rank */
};

struct tp_quant_spec {
    uint32_t rows, cols;
    unsigned parts;
    struct tp_quant_part part[TP_QUANT_PARTS];
};

/*
 * The sections of a part, by kind; b are bits, G groups (COLS / group), n = ROWS * COLS.
 *
 *   kind        codes                 scales             zeros               table
 *   INT8        i8 [ROWS][COLS]       f32 [ROWS]         -                   -
 *   NF4         n nibbles, high first f32 [n/64]         -                   -
 *   NF4_DOUBLE  n nibbles, high first u8 [n/64]          f32 [n/64/256]      f32 offset
 *   SYM         b [ROWS][COLS]        f16 [ROWS][G]      -                   -
 *   ASYM        b [ROWS][COLS]        f16 [ROWS][G]      b [ROWS][G]         -
 *   AFFINE      b [ROWS][COLS]        f16 [ROWS][G]      f16 [ROWS][G]       -
 *   OUTLIERS    u16 columns [count] *) f16 [count]       -                   u32 start [ROWS + 1]
 *   COLUMNS     -                     f16 [ROWS][count]  -                   u32 column [count]
 *   LOW_RANK    -                     f16 [ROWS][count]  -                   f16 [count][COLS]
 *   CODEBOOK    b [ROWS][COLS/group]  f16 [ROWS]         -                   f16 [2^b][group]
 *
 * *) u32 if COLS is above 65536.
 *
 * A row of b-bit codes is a string of bits, the least significant bit of the first byte first, that
 * begins at a byte: element i has the bits from i * b on. So of 4-bit codes the first of a byte is
 * in its low half. NF4 alone has the first in the high half, and its blocks of 64 ignore rows.
 */
enum tp_quant_section_id {
    TP_QUANT_CODES,
    TP_QUANT_SCALES,
    TP_QUANT_ZEROS,
    TP_QUANT_TABLE,
    TP_QUANT_SECTIONS
};

struct tp_quant_section {
    uint64_t offset; /* from the start of the packed bytes; a multiple of TP_QUANT_ALIGN */
    uint64_t bytes;  /* 0: the kind has no such section */
    uint64_t stride; /* bytes from a row to the next; 0: not by rows */
};

struct tp_quant_layout {
    uint64_t bytes; /* of the whole packed matrix, with its header */
    struct tp_quant_section section[TP_QUANT_PARTS][TP_QUANT_SECTIONS];
};

/* The sections of a part of an open matrix. */
struct tp_quant_view {
    struct tp_quant_part part;
    uint32_t groups; /* COLS / part.group; 0 without a group */
    const uint8_t *section[TP_QUANT_SECTIONS];
    uint64_t stride[TP_QUANT_SECTIONS];
};

struct tp_quant_matrix {
    struct tp_quant_spec spec;
    struct tp_quant_layout layout;
    const uint8_t *data;
    struct tp_quant_view view[TP_QUANT_PARTS];
};

/* 1 / 127, rounded: INT8's scale is this times the row's absmax. */
#define TP_QUANT_INT8_UNIT 0x1.020408p-7f
/* NF4's values, by code. */
extern const float tp_quant_nf4[16];
/* The values of NF4_DOUBLE's coded scales, by code, ascending. */
extern const float tp_quant_dynamic[256];

/* --- layout.c --- */

/* The name of a kind ("int8", "nf4"); "unknown" for a number that is no kind. */
const char *tp_quant_kind_name(unsigned kind);

/* Whether codes of a kind have scales by groups. */
static inline bool tp_quant_kind_has_groups(enum tp_quant_kind kind)
{
    return kind == TP_QUANT_SYM || kind == TP_QUANT_ASYM || kind == TP_QUANT_AFFINE;
}

/* The largest divisor of COLS that is at most WANTED; COLS itself if WANTED is 0. */
uint32_t tp_quant_group(uint32_t cols, uint32_t wanted);

/*
 * Check SPEC and say where its sections are. -EINVAL: it breaks a rule of its kinds.
 */
int tp_quant_layout(const struct tp_quant_spec *spec, struct tp_quant_layout *out,
                    struct tp_error *err);
/* Bits of a weight, header and alignment included: 8 * bytes / (ROWS * COLS). */
double tp_quant_bits(const struct tp_quant_spec *spec, const struct tp_quant_layout *layout);

/* The header of a packed matrix. SPEC has been checked. */
void tp_quant_header_put(const struct tp_quant_spec *spec, uint8_t header[TP_QUANT_HEADER]);
/*
 * Read a header of LEN bytes at least: its specification, checked as tp_quant_layout does.
 * -EBADMSG: it breaks a rule; -EPROTONOSUPPORT: a newer version.
 */
int tp_quant_header_get(const uint8_t *data, size_t len, struct tp_quant_spec *spec,
                        struct tp_error *err);

/*
 * Check the LEN packed bytes at DATA, which must be exactly those of the header's specification,
 * with positions that ascend within their bounds. OUT points into DATA, which must stay as it is.
 * -EBADMSG, -EPROTONOSUPPORT.
 */
int tp_quant_open(const uint8_t *data, size_t len, struct tp_quant_matrix *out,
                  struct tp_error *err);

/*
 * The values of the columns COL to COL_END - 1 of the rows ROW to ROW_END - 1: row r goes to
 * DST + (r - ROW) * STRIDE. COL is a multiple of 8.
 */
void tp_quant_read_rows(const struct tp_quant_matrix *m, uint32_t row, uint32_t row_end,
                        uint32_t col, uint32_t col_end, float *dst, size_t stride);

/* Of one row. */
static inline void tp_quant_read(const struct tp_quant_matrix *m, uint32_t row, uint32_t col,
                                 uint32_t end, float *dst)
{
    tp_quant_read_rows(m, row, row + 1, col, end, dst, 0);
}

/* Of whole rows. */
static inline void tp_quant_dequantize(const struct tp_quant_matrix *m, uint32_t row,
                                       uint32_t row_end, float *dst, size_t stride)
{
    tp_quant_read_rows(m, row, row_end, 0, m->spec.cols, dst, stride);
}

/* The code of B bits at bit AT of some bytes; it reads no byte after the code's last. */
static inline unsigned tp_quant_code_at(const uint8_t *bytes, uint64_t at, unsigned b)
{
    unsigned shift = at & 7;
    unsigned v = bytes[at >> 3];

    if (shift + b > 8)
        v |= (unsigned)bytes[(at >> 3) + 1] << 8;
    return v >> shift & ((1u << b) - 1);
}

/* The code at position I of the row of codes at ROW. */
static inline unsigned tp_quant_code(const uint8_t *row, uint64_t i, unsigned b)
{
    return tp_quant_code_at(row, i * b, b);
}

#endif
