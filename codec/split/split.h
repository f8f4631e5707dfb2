/* SPDX-License-Identifier: MIT */
/* The codec of weights without a base, as byte planes that are coded each for itself. */
#ifndef TP_CODEC_SPLIT_SPLIT_H
#define TP_CODEC_SPLIT_SPLIT_H

#include "codec/codec.h"

extern const struct tp_codec tp_codec_split;

#endif
