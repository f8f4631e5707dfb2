/* SPDX-License-Identifier: MIT */
/* rANS streams: portable coding and decoding, and the choice of the kernel that does most of it. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "codec/codec.h"
#include "codec/isa.h"
#include "codec/rans/rans.h"

/* Kernels do this many symbols at a time, in at least 2^KERNEL_LANES_LOG lanes. */
#define KERNEL_STEP 64
#define KERNEL_LANES_LOG 4

unsigned tp_rans_lanes_log(size_t n, size_t bytes)
{
    /* A lane costs about 3 bytes; many lanes let the kernels hide latency. */
    unsigned log = bytes >= 24 * 1024 ? 6 : bytes >= 3072 ? 5 : bytes >= 512 ? 4 : 2;

    while (log > 0 && (n >> log) < 4)
        log--;
    return log;
}

static uint8_t *encode_scalar(uint32_t *x, const struct tp_rans_enc *enc, const uint8_t *syms,
                              const uint8_t *tabs, size_t from, size_t n, unsigned lanes_log, uint8_t *p)
{
    size_t lane_mask = ((size_t)1 << lanes_log) - 1;

    for (size_t i = n; i-- > from;) {
        struct tp_rans_sym s = enc[tabs ? tabs[i] : 0].sym[syms[i]];
        uint32_t freq = s.bits & 0xfff;
        uint32_t first = s.bits >> 12 & 0xfff;
        uint32_t v = x[i & lane_mask];

        if (v >> 20 >= freq) {
            p -= 2;
            tp_put_le16(p, (uint16_t)v);
            v >>= 16;
        }
        uint32_t q = (uint32_t)((uint64_t)v * s.rcp >> (31 + (s.bits >> 24)));

        x[i & lane_mask] = v + first + q * (TP_RANS_ONE - freq);
    }
    return p;
}

uint8_t *tp_rans_encode(const struct tp_rans_enc *enc, const uint8_t *syms, const uint8_t *tabs, size_t n,
                        unsigned lanes_log, uint8_t *end)
{
    uint32_t x[TP_RANS_LANES_MAX];
    uint8_t *p = end;
    size_t lanes = (size_t)1 << lanes_log;
    enum tp_isa isa = tp_isa_get();
    size_t kernel_n = 0;

    for (size_t l = 0; l < lanes; l++)
        x[l] = TP_RANS_LOW;
    if (TP_HAVE_X86 && lanes_log >= KERNEL_LANES_LOG && isa != TP_ISA_SCALAR)
        kernel_n = n - n % KERNEL_STEP;
    p = encode_scalar(x, enc, syms, tabs, kernel_n, n, lanes_log, p);
#if TP_HAVE_X86
    if (kernel_n && isa == TP_ISA_AVX512)
        p = tp_rans_encode_avx512(x, enc, syms, tabs, kernel_n, lanes_log, p);
    else if (kernel_n)
        p = tp_rans_encode_avx2(x, enc, syms, tabs, kernel_n, lanes_log, p);
#endif
    for (size_t l = lanes; l-- > 0;) {
        p -= 4;
        tp_put_le32(p, x[l]);
    }
    *--p = (uint8_t)lanes_log;
    return p;
}

int tp_rans_reader_init(struct tp_rans_reader *r, const uint8_t *src, size_t len)
{
    size_t lanes;

    if (len < 1 || src[0] > TP_RANS_LANES_LOG_MAX)
        return -EBADMSG;
    lanes = (size_t)1 << src[0];
    if (len < 1 + 4 * lanes)
        return -EBADMSG;
    r->lanes_log = src[0];
    for (size_t l = 0; l < lanes; l++)
        r->x[l] = tp_get_le32(src + 1 + 4 * l);
    r->p = src + 1 + 4 * lanes;
    r->end = src + len;
    return 0;
}

int tp_rans_reader_finish(const struct tp_rans_reader *r)
{
    uint32_t wrong = 0;

    for (size_t l = 0; l < (size_t)1 << r->lanes_log; l++)
        wrong |= r->x[l] ^ TP_RANS_LOW;
    return r->p == r->end && wrong == 0 ? 0 : -EBADMSG;
}

void tp_rans_read(struct tp_rans_reader *r, const struct tp_rans_dec *dec, uint8_t *dst, size_t n)
{
    size_t lane_mask = ((size_t)1 << r->lanes_log) - 1;
    size_t done = 0;

#if TP_HAVE_X86
    enum tp_isa isa = tp_isa_get();

    if (isa == TP_ISA_AVX512)
        done = tp_rans_decode_avx512(r, dec, dst, n);
    else if (isa == TP_ISA_AVX2)
        done = tp_rans_decode_avx2(r, dec, dst, n);
#endif
    for (size_t i = done; i < n; i++)
        dst[i] = (uint8_t)tp_rans_get(r, (unsigned)(i & lane_mask), dec);
}

int tp_rans_decode(const struct tp_rans_dec *dec, const uint8_t *src, size_t len, uint8_t *dst, size_t n)
{
    struct tp_rans_reader r;
    int rc = tp_rans_reader_init(&r, src, len);

    if (rc)
        return rc;
    tp_rans_read(&r, dec, dst, n);
    return tp_rans_reader_finish(&r);
}
