/* SPDX-License-Identifier: MIT */
/*
 * The delta codec. Weights and their base are mapped to integers of the same order; their
 * difference is entropy-coded with the exponent of the base as context. doc/codecs.md specifies the
 * layout.
 */
#ifndef TP_CODEC_DELTA_DELTA_H
#define TP_CODEC_DELTA_DELTA_H

#include "codec/codec.h"

extern const struct tp_codec tp_codec_delta;

#endif
