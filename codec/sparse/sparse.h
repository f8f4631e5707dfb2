/* SPDX-License-Identifier: MIT */
/* The codec for chunks with few changed elements: codes their positions and the sizes of the
 * changes. */
#ifndef TP_CODEC_SPARSE_SPARSE_H
#define TP_CODEC_SPARSE_SPARSE_H

#include "codec/codec.h"

extern const struct tp_codec tp_codec_sparse;

#endif
