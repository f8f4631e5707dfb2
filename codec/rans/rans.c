/* SPDX-License-Identifier: MIT */
/* rANS streams: the portable coder and decoder, and the table of kernels, which do most of the
 * work. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "codec/codec.h"
#include "base/isa.h"
#include "codec/rans/rans.h"

/* Kernels process this many symbols at a time, in at least 2^KERNEL_LANES_LOG lanes. */
#define KERNEL_STEP 64
#define KERNEL_LANES_LOG 4

unsigned tp_rans_lanes_log(size_t n, size_t bytes)
{
    /* A lane costs about 2 bytes; many lanes let the kernels hide latency. */
    unsigned log = bytes >= 24 * 1024 ? 6 : bytes >= 3072 ? 5 : bytes >= 512 ? 4 : 2;

    while (log > 0 && (n >> log) < 4)
        log--;
    return log;
}

/* Code the symbols from number N - 1 down to number FROM. */
TP_INLINE uint8_t *encode_from(uint32_t *x, const struct tp_rans_enc *enc, const uint8_t *syms,
                               const uint8_t *tabs, size_t from, size_t n, unsigned lanes_log,
                               uint8_t *p)
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

static uint8_t *tp_rans_encode_scalar(uint32_t *x, const struct tp_rans_enc *enc,
                                      const uint8_t *syms, const uint8_t *tabs, size_t n,
                                      unsigned lanes_log, uint8_t *p)
{
    return encode_from(x, enc, syms, tabs, 0, n, lanes_log, p);
}

static size_t tp_rans_decode_scalar(struct tp_rans_reader *r, const struct tp_rans_dec *dec,
                                    uint8_t *dst, size_t n)
{
    size_t lane_mask = ((size_t)1 << r->lanes_log) - 1;

    for (size_t i = 0; i < n; i++)
        dst[i] = (uint8_t)tp_rans_get(r, (unsigned)(i & lane_mask), dec);
    return n;
}

static const struct {
    tp_rans_decode_fn *decode[TP_ISA_COUNT];
    tp_rans_encode_fn *encode[TP_ISA_COUNT];
} kernels = {TP_BY_ISA(tp_rans_decode), TP_BY_ISA(tp_rans_encode)};

/* Bits packed from the least significant of each byte up; up to 8 bytes from P on are written. */
struct bits {
    uint8_t *p;
    uint64_t acc;
    unsigned n; /* in acc, fewer than 8 between calls */
};

static void put_bits(struct bits *b, uint64_t v, unsigned n)
{
    b->acc |= v << b->n;
    b->n += n;
    tp_put_le64(b->p, b->acc);
    b->p += b->n / 8;
    b->acc >>= b->n / 8 * 8;
    b->n %= 8;
}

static unsigned get_bits(const uint8_t *src, size_t at, unsigned n)
{
    return (unsigned)(tp_get_le64(src + at / 8) >> at % 8 & (((uint64_t)1 << n) - 1));
}

/*
 * The states: the number of bits of each beyond TP_RANS_CARRY_BITS, in 4 bits; then the bits of
 * each below its top bit, which is always set.
 */
static uint8_t *put_states(const uint32_t *x, unsigned lanes_log, uint8_t *end)
{
    uint8_t head[TP_RANS_HEAD_MAX + 8];
    struct bits b = {.p = head};
    size_t lanes = (size_t)1 << lanes_log;
    size_t len;

    put_bits(&b, lanes_log, 8);
    for (size_t l = 0; l < lanes; l++)
        put_bits(&b, 31u - (unsigned)__builtin_clz(x[l]) - TP_RANS_CARRY_BITS, 4);
    for (size_t l = 0; l < lanes; l++) {
        unsigned n = 31u - (unsigned)__builtin_clz(x[l]);

        put_bits(&b, x[l] ^ 1u << n, n);
    }
    len = (size_t)(b.p - head) + (b.n > 0);
    memcpy(end - len, head, len);
    return end - len;
}

/* The number of bytes of the states; 0: there are too few bytes. */
static size_t get_states(struct tp_rans_reader *r, const uint8_t *src, size_t len)
{
    size_t lanes = (size_t)1 << r->lanes_log;
    size_t at = 4 * lanes;
    size_t end = at;

    if ((at + 7) / 8 > len)
        return 0;
    for (size_t l = 0; l < lanes; l++)
        end += TP_RANS_CARRY_BITS + get_bits(src, 4 * l, 4);
    if ((end + 7) / 8 > len)
        return 0;
    for (size_t l = 0; l < lanes; l++) {
        unsigned n = TP_RANS_CARRY_BITS + get_bits(src, 4 * l, 4);

        r->x[l] = 1u << n | get_bits(src, at, n);
        at += n;
    }
    return (end + 7) / 8;
}

uint8_t *tp_rans_encode(const struct tp_rans_enc *enc, const uint8_t *syms, const uint8_t *tabs,
                        size_t n, unsigned lanes_log, const uint8_t *carry, uint8_t *end)
{
    uint32_t x[TP_RANS_LANES_MAX];
    uint8_t *p = end;
    size_t lanes = (size_t)1 << lanes_log;
    size_t kernel_n = lanes_log >= KERNEL_LANES_LOG ? n - n % KERNEL_STEP : 0;

    for (size_t l = 0; l < lanes; l++)
        x[l] =
            TP_RANS_LOW + (carry ? get_bits(carry, TP_RANS_CARRY_BITS * l, TP_RANS_CARRY_BITS) : 0);
    p = encode_from(x, enc, syms, tabs, kernel_n, n, lanes_log, p);
    if (kernel_n)
        p = kernels.encode[tp_isa_get()](x, enc, syms, tabs, kernel_n, lanes_log, p);
    return put_states(x, lanes_log, p);
}

int tp_rans_reader_init(struct tp_rans_reader *r, const uint8_t *src, size_t len)
{
    size_t used;

    if (len < 1 || src[0] > TP_RANS_LANES_LOG_MAX)
        return -EBADMSG;
    r->lanes_log = src[0];
    used = get_states(r, src + 1, len - 1);
    if (used == 0)
        return -EBADMSG;
    r->p = src + 1 + used;
    r->end = src + len;
    return 0;
}

int tp_rans_reader_finish(const struct tp_rans_reader *r, uint8_t *carry)
{
    struct bits b = {.p = carry};
    uint32_t wrong = 0;

    for (size_t l = 0; l < (size_t)1 << r->lanes_log; l++) {
        uint32_t carried = r->x[l] ^ TP_RANS_LOW;

        wrong |= carry ? carried >> TP_RANS_CARRY_BITS : carried;
        if (carry)
            put_bits(&b, carried & (TP_RANS_LOW - 1), TP_RANS_CARRY_BITS);
    }
    return r->p == r->end && wrong == 0 ? 0 : -EBADMSG;
}

void tp_rans_read(struct tp_rans_reader *r, const struct tp_rans_dec *dec, uint8_t *dst, size_t n)
{
    size_t done = kernels.decode[tp_isa_get()](r, dec, dst, n);

    tp_rans_decode_scalar(r, dec, dst + done, n - done);
}

int tp_rans_decode(const struct tp_rans_dec *dec, const uint8_t *src, size_t len, uint8_t *dst,
                   size_t n)
{
    struct tp_rans_reader r;
    int rc = tp_rans_reader_init(&r, src, len);

    if (rc)
        return rc;
    tp_rans_read(&r, dec, dst, n);
    return tp_rans_reader_finish(&r, NULL);
}
