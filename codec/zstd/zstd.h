/* SPDX-License-Identifier: MIT */
/* The codec for bytes of any kind: one zstd frame per chunk. */
#ifndef TP_CODEC_ZSTD_ZSTD_H
#define TP_CODEC_ZSTD_ZSTD_H

#include "codec/codec.h"

extern const struct tp_codec tp_codec_zstd;

#endif
