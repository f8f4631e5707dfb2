/* SPDX-License-Identifier: MIT */
/* Work memory of one thread. */
#include <config.h>

#include "codec/scratch_impl.h"

#include <stdlib.h>

struct tp_scratch *tp_scratch_create(void)
{
    struct tp_scratch *scratch = calloc(1, sizeof *scratch);

    if (!scratch)
        return NULL;
    scratch->block = aligned_alloc(64, TP_SCRATCH_SIZE + TP_SLACK);
    if (!scratch->block) {
        free(scratch);
        return NULL;
    }
    return scratch;
}

void tp_scratch_destroy(struct tp_scratch *scratch)
{
    if (!scratch)
        return;
    ZSTD_freeCCtx(scratch->zstd_enc);
    ZSTD_freeDCtx(scratch->zstd_dec);
    free(scratch->block);
    free(scratch);
}

void tp_scratch_set_level(struct tp_scratch *scratch, int level)
{
    scratch->level = level;
}

/* The index of the pack has the length and the checksum, so the frame needs neither. */
ZSTD_CCtx *tp_scratch_zstd_enc(struct tp_scratch *scratch)
{
    ZSTD_CCtx *ctx;

    if (scratch->zstd_enc)
        return scratch->zstd_enc;
    ctx = ZSTD_createCCtx();
    if (!ctx)
        return NULL;
    if (ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, 0)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 0)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_dictIDFlag, 0))) {
        ZSTD_freeCCtx(ctx);
        return NULL;
    }
    scratch->zstd_enc = ctx;
    return ctx;
}

ZSTD_DCtx *tp_scratch_zstd_dec(struct tp_scratch *scratch)
{
    if (!scratch->zstd_dec)
        scratch->zstd_dec = ZSTD_createDCtx();
    return scratch->zstd_dec;
}
