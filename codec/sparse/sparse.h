/* SPDX-License-Identifier: MIT */
/* The codec of the few elements that changed, where and by how much. */
#ifndef TP_CODEC_SPARSE_SPARSE_H
#define TP_CODEC_SPARSE_SPARSE_H

#include "codec/codec.h"

extern const struct tp_codec tp_codec_sparse;

/* What its tables_create keeps at most, in bytes. */
extern const size_t tp_sparse_tables_size;

#endif
