/* SPDX-License-Identifier: MIT */
/* The codec of the few elements that changed, where and by how much. */
#ifndef TP_CODEC_SPARSE_SPARSE_H
#define TP_CODEC_SPARSE_SPARSE_H

#include "codec/codec.h"

extern const struct tp_codec tp_codec_sparse;

/* What its tables_create keeps at most, in bytes. */
extern const size_t tp_sparse_tables_size;

/* Whether to try it on LEN bytes: few of the elements differ from the base's, or up to a half and
 * these together; or no other codec has a use for the base of this dtype. */
bool tp_sparse_worth(enum tp_dtype dtype, const uint8_t *src, const uint8_t *base, size_t len);

#endif
