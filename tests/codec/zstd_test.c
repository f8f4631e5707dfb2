/* SPDX-License-Identifier: MIT */
/* The zstd codec: round trips, and frames that are not a chunk's. */
#include <config.h>

#include <zstd.h>

#include "codec/scratch.h"
#include "tests/codec/codec_check.h"

static void round_trips(const struct tp_codec *zstd, struct tp_scratch *scratch, uint64_t *seed)
{
    bool good = true, damaged = true;

    for (int run = 0; run < 150 && good && damaged; run++) {
        size_t len = check_length(seed, TP_DTYPE_BYTES), coded_len;
        uint8_t *src = check_alloc(len), *coded;

        check_fill(seed, (enum check_kind)(tap_random(seed) % CHECK_KINDS), TP_DTYPE_BF16, src,
                   len & ~(size_t)1);
        good = check_round_trip(zstd, NULL, TP_DTYPE_BYTES, src, NULL, len, len + 64, scratch,
                                &coded, &coded_len);
        for (int i = 0; i < 10 && good && coded_len; i++)
            damaged = damaged && check_damaged_decode(zstd, NULL, TP_DTYPE_BYTES, coded, coded_len,
                                                      NULL, len, scratch, seed);
        free(coded);
        free(src);
    }
    ok(good, "round trips of any bytes");
    ok(damaged, "damaged frames give -EBADMSG at most");
}

static void not_smaller(const struct tp_codec *zstd, struct tp_scratch *scratch, uint64_t *seed)
{
    uint8_t *src = check_alloc(4096), *dst = check_alloc(8192);
    size_t n;

    check_fill(seed, CHECK_RANDOM, TP_DTYPE_BYTES, src, 4096);
    is_u64(zstd->encode(NULL, TP_DTYPE_BYTES, src, NULL, 4096, dst, 4096, scratch), 0,
           "noise does not become smaller");
    memset(src, 7, 4096);
    n = zstd->encode(NULL, TP_DTYPE_BYTES, src, NULL, 4096, dst, 4096, scratch);
    ok(n > 0 && n < 32, "a constant does: %zu bytes", n);
    is_u64(zstd->encode(NULL, TP_DTYPE_BYTES, src, NULL, 4096, dst, n, scratch), 0,
           "as many bytes as there are");
    is_u64(zstd->encode(NULL, TP_DTYPE_BYTES, src, NULL, 4096, dst, n + 1, scratch), n,
           "one byte more");
    ok(ZSTD_getFrameContentSize(dst, n) == ZSTD_CONTENTSIZE_UNKNOWN,
       "the size is not in the frame");
    free(src);
    free(dst);
}

static void foreign_frames(const struct tp_codec *zstd, struct tp_scratch *scratch)
{
    uint8_t *src = check_alloc(10000), *out = check_alloc(10001), *coded = check_alloc(20000);
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    size_t n, m;

    memset(src, 1, 10000);
    n = zstd->encode(NULL, TP_DTYPE_BYTES, src, NULL, 10000, coded, 20000, scratch);
    is_int(zstd->decode(NULL, TP_DTYPE_BYTES, coded, n, NULL, out, 10000, scratch), 0,
           "a frame of ours");
    is_int(zstd->decode(NULL, TP_DTYPE_BYTES, coded, n, NULL, out, 9999, scratch), -EBADMSG,
           "one byte too many");
    is_int(zstd->decode(NULL, TP_DTYPE_BYTES, coded, n, NULL, out, 10001, scratch), -EBADMSG,
           "one byte too few");
    is_int(zstd->decode(NULL, TP_DTYPE_BYTES, coded, 0, NULL, out, 10000, scratch), -EBADMSG,
           "nothing");

    m = zstd->encode(NULL, TP_DTYPE_BYTES, src, NULL, 5000, coded, 10000, scratch);
    n = zstd->encode(NULL, TP_DTYPE_BYTES, src, NULL, 5000, coded + m, 10000, scratch);
    is_int(zstd->decode(NULL, TP_DTYPE_BYTES, coded, m + n, NULL, out, 10000, scratch), -EBADMSG,
           "two frames");

    const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
    is_int(zstd->decode(NULL, TP_DTYPE_BYTES, skippable, sizeof skippable, NULL, out, 0, scratch),
           -EBADMSG, "a skippable frame");

    ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, 24);
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, 0);
    ZSTD_inBuffer in = {src, 10000, 0};
    ZSTD_outBuffer to = {coded, 20000, 0};
    if (ZSTD_compressStream2(ctx, &to, &in, ZSTD_e_flush) == 0 &&
        ZSTD_compressStream2(ctx, &to, &in, ZSTD_e_end) == 0)
        is_int(zstd->decode(NULL, TP_DTYPE_BYTES, coded, to.pos, NULL, out, 10000, scratch),
               -EBADMSG, "a window of 16 MiB");
    else
        ok(false, "a frame with a large window");
    ZSTD_freeCCtx(ctx);
    free(src);
    free(out);
    free(coded);
}

/* The effort that is asked for is the one that is used, and the default after that. */
static void levels(const struct tp_codec *codec, struct tp_scratch *scratch, uint64_t *seed)
{
    uint8_t *src = malloc(60000 + TP_SLACK), *coded = malloc(60000 + TP_SLACK),
            *out = malloc(60000 + TP_SLACK);
    static const int level[] = {0, 1, TP_LEVEL_DEFAULT, 19, 22, 0};
    size_t n[6] = {0}, from = 0;
    bool exact = true;

    /* Phrases that come again in other order, with a byte changed here and there. */
    for (size_t i = 0; i < 60000; i++) {
        bool copied = i >= 64 * 24 && tap_random(seed) % 16;

        if (i % 24 == 0)
            from = tap_random(seed) % 64 * 24;
        src[i] = copied ? src[from + i % 24] : (uint8_t)tap_random(seed);
    }
    for (int i = 0; i < 6; i++) {
        tp_scratch_set_level(scratch, level[i]);
        n[i] = codec->encode(NULL, TP_DTYPE_BYTES, src, NULL, 60000, coded, 60000, scratch);
        exact &= n[i] &&
                 !codec->decode(NULL, TP_DTYPE_BYTES, coded, n[i], NULL, out, 60000, scratch) &&
                 !memcmp(src, out, 60000);
    }
    ok(exact, "every level round trips");
    ok(n[3] < n[1], "level 19 takes less than level 1: %zu, %zu", n[3], n[1]);
    ok(n[0] == n[2] && n[5] == n[0] && n[0] != n[3], "0 is the default, also after others");
    is_int(codec->level_max, 22, "levels up to 22");
    free(src);
    free(coded);
    free(out);
}

int main(void)
{
    const struct tp_codec *zstd = tp_codec_get(TP_CODEC_ZSTD);
    struct tp_scratch *scratch = tp_scratch_create();
    uint64_t seed = tap_seed();

    if (!scratch)
        bail_out("out of memory");
    round_trips(zstd, scratch, &seed);
    not_smaller(zstd, scratch, &seed);
    foreign_frames(zstd, scratch);
    levels(zstd, scratch, &seed);
    tp_scratch_destroy(scratch);
    tp_scratch_destroy(NULL);
    return tap_done();
}
