/* SPDX-License-Identifier: MIT */
/*
 * The work memory for codecs. A call may use the whole block, whose content is unspecified at the
 * next call.
 */
#ifndef TP_CODEC_SCRATCH_IMPL_H
#define TP_CODEC_SCRATCH_IMPL_H

#include <zstd.h>

#include "codec/codec.h"
#include "codec/scratch.h"

#define TP_SCRATCH_SIZE (2u * 1024u * 1024u)

struct tp_scratch {
    uint8_t *block; /* TP_SCRATCH_SIZE bytes, 64-byte aligned, TP_SLACK more after them */
    int level;      /* tp_scratch_set_level */
    ZSTD_CCtx *zstd_enc;
    ZSTD_DCtx *zstd_dec;
};

/* --- scratch.c --- */

/* Created by the first call and then kept. NULL: out of memory. */
ZSTD_CCtx *tp_scratch_zstd_enc(struct tp_scratch *scratch);
ZSTD_DCtx *tp_scratch_zstd_dec(struct tp_scratch *scratch);

#endif
