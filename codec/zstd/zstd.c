/* SPDX-License-Identifier: MIT */
/* The codec for data other than weights: one zstd frame per chunk. */
#include <config.h>

#include "codec/zstd/zstd.h"
#include "codec/scratch_impl.h"

#include <errno.h>

#include <zstd.h>

#define LEVEL_MAX 22

static bool fits_dtype(enum tp_dtype dtype)
{
    return tp_dtype_bits(dtype) != 0;
}

static size_t encode(const struct tp_tables *tables, enum tp_dtype dtype, const void *src,
                     const void *base, size_t len, void *dst, size_t cap,
                     struct tp_scratch *scratch)
{
    ZSTD_CCtx *ctx = tp_scratch_zstd_enc(scratch);
    size_t n;

    (void)tables, (void)dtype, (void)base;
    if (!ctx || cap < 2 ||
        ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel,
                                            scratch->level ? scratch->level : TP_LEVEL_DEFAULT)))
        return 0;
    /* libzstd needs more space than it uses; bytes beyond CAP do not count. */
    n = ZSTD_compress2(ctx, dst, cap + TP_SLACK / 2, src, len);
    return ZSTD_isError(n) || n >= cap ? 0 : n;
}

/*
 * Refuse frames that libzstd accepts in one-shot decoding: skippable frames and several frames,
 * which could hide bytes; dictionaries; a window or a size beyond that of a chunk.
 */
static bool frame_is_ours(const uint8_t *src, size_t src_len, size_t len)
{
    unsigned long long size;
    unsigned descriptor;

    if (src_len < 6 || src[0] != 0x28 || src[1] != 0xb5 || src[2] != 0x2f || src[3] != 0xfd)
        return false;
    descriptor = src[4];
    if (descriptor & 3) /* a dictionary's id */
        return false;
    if (!(descriptor & 0x20)) {
        uint64_t base = UINT64_C(1) << (10 + (src[5] >> 3));

        if (base + base / 8 * (src[5] & 7) > TP_CHUNK_MAX)
            return false;
    }
    size = ZSTD_getFrameContentSize(src, src_len);
    if (size != ZSTD_CONTENTSIZE_UNKNOWN && size != len)
        return false;
    return ZSTD_findFrameCompressedSize(src, src_len) == src_len;
}

static int decode(const struct tp_tables *tables, enum tp_dtype dtype, const void *src,
                  size_t src_len, const void *base, void *dst, size_t len,
                  struct tp_scratch *scratch)
{
    ZSTD_DCtx *ctx;

    (void)tables, (void)dtype, (void)base;
    if (!frame_is_ours(src, src_len, len))
        return -EBADMSG;
    ctx = tp_scratch_zstd_dec(scratch);
    if (!ctx)
        return -ENOMEM;
    return ZSTD_decompressDCtx(ctx, dst, len, src, src_len) == len ? 0 : -EBADMSG;
}

const struct tp_codec tp_codec_zstd = {
    .id = TP_CODEC_ZSTD,
    .name = "zstd",
    .needs_base = false,
    .needs_tables = false,
    .level_max = LEVEL_MAX,
    .fits = fits_dtype,
    .encode = encode,
    .decode = decode,
};
