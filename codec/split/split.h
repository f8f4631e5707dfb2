/* SPDX-License-Identifier: MIT */
/* The codec for weights without a base: codes each byte plane separately. */
#ifndef TP_CODEC_SPLIT_SPLIT_H
#define TP_CODEC_SPLIT_SPLIT_H

#include "codec/codec.h"

extern const struct tp_codec tp_codec_split;

#endif
