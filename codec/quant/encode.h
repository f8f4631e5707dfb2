/* SPDX-License-Identifier: MIT */
/* Codes and scales written into the sections of a packed matrix. */
#ifndef TP_CODEC_QUANT_ENCODE_H
#define TP_CODEC_QUANT_ENCODE_H

#include "codec/quant/method.h"
#include "codec/quant/quant.h"

/* A packed matrix that is being made. */
struct tp_packing {
    struct tp_quant_spec spec;
    struct tp_quant_layout layout;
    uint8_t *data; /* layout.bytes */
};

/* A section of a part, or one of its rows. */
static inline uint8_t *tp_packing_at(const struct tp_packing *p, unsigned part,
                                     enum tp_quant_section_id id, uint32_t row)
{
    const struct tp_quant_section *s = &p->layout.section[part][id];

    return p->data + s->offset + row * s->stride;
}

/* Pack N codes of BITS bits from a byte on; the bits after them to the end of the byte are 0. */
void tp_pack_codes(uint8_t *dst, const uint8_t *codes, size_t n, unsigned bits);

/* Part PART, INT8: row R from its values. */
void tp_encode_int8(const struct tp_packing *p, unsigned part, uint32_t r, const float *x);

/*
 * NF4: the blocks that begin in the rows FIRST to END - 1, and their absolute maxima to ABSMAX, by
 * block. A block may end in the rows after.
 */
void tp_encode_nf4(const struct tp_packing *p, const struct tp_quant_source *source, uint32_t first,
                   uint32_t end, float *absmax);
/* The absolute maxima into the sections of NF4 or NF4_DOUBLE. ABSMAX is changed. */
void tp_encode_nf4_scales(const struct tp_packing *p, float *absmax);

#endif
