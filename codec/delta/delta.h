/* SPDX-License-Identifier: MIT */
/*
 * The delta codec: the difference of a weight to its base, both as numbers in the order of the
 * values, is entropy-coded with the base's exponent as context. doc/codecs.md has the layout to the
 * bit.
 */
#ifndef TP_CODEC_DELTA_DELTA_H
#define TP_CODEC_DELTA_DELTA_H

#include "codec/codec.h"

extern const struct tp_codec tp_codec_delta;

#endif
