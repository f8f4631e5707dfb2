/* SPDX-License-Identifier: MIT */
/* The codec of the few elements that changed, where and by how much. */
#ifndef TP_CODEC_SPARSE_SPARSE_H
#define TP_CODEC_SPARSE_SPARSE_H

#include "codec/codec.h"

extern const struct tp_codec tp_codec_sparse;

#endif
