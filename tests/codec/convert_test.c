/* SPDX-License-Identifier: MIT */
/*
 * Conversions of every 16-bit pattern and many fp32 ones, compared with arithmetic on the numbers.
 */
#include <config.h>

#include <math.h>

#include "base/isa.h"
#include "codec/codec.h"
#include "codec/convert.h"
#include "tests/tap.h"

/* A binary floating-point format: its bits, and those of its fraction. */
struct format {
    enum tp_dtype dtype;
    int bits, fraction;
};
static const struct format formats[] = {
    {TP_DTYPE_BF16, 16, 7},
    {TP_DTYPE_F16, 16, 10},
    {TP_DTYPE_F32, 32, 23},
};

static uint32_t low_bits(int n)
{
    return n >= 32 ? UINT32_MAX : (1u << n) - 1;
}

static int bias_of(struct format f)
{
    return (1 << (f.bits - f.fraction - 2)) - 1;
}

static bool is_nan(uint32_t x, struct format f)
{
    uint32_t infinity = low_bits(f.bits - 1) & ~low_bits(f.fraction);

    return (x & low_bits(f.bits - 1)) > infinity;
}

/* What X stands for, without its sign; not of a NaN. */
static double magnitude(uint32_t x, struct format f)
{
    int exponent = (int)((x & low_bits(f.bits - 1)) >> f.fraction);
    double fraction = x & low_bits(f.fraction);

    if (exponent == (1 << (f.bits - f.fraction - 1)) - 1)
        return INFINITY;
    if (exponent == 0)
        return ldexp(fraction, 1 - bias_of(f) - f.fraction);
    return ldexp(fraction + ldexp(1, f.fraction), exponent - bias_of(f) - f.fraction);
}

/* The pattern nearest to V >= 0, ties to even: in units of the format's last place there. */
static uint32_t nearest(double v, struct format f)
{
    int exponent, least = 1 - bias_of(f);
    uint32_t infinity = low_bits(f.bits - 1) & ~low_bits(f.fraction);
    double units;

    if (isinf(v))
        return infinity;
    frexp(v, &exponent);
    exponent = v == 0 || exponent - 1 < least ? least : exponent - 1;
    units = nearbyint(ldexp(v, f.fraction - exponent));
    if (exponent > bias_of(f))
        return infinity;
    /* The hidden bit, where there is one, counts one exponent. */
    return (uint32_t)(exponent - least) * (low_bits(f.fraction) + 1) + (uint32_t)units;
}

static uint32_t expected(uint32_t x, struct format from, struct format to)
{
    uint32_t sign = x >> (from.bits - 1) & 1;
    uint32_t r, infinity = low_bits(to.bits - 1) & ~low_bits(to.fraction);
    int shift = to.fraction - from.fraction;

    if (!is_nan(x, from)) {
        r = nearest(magnitude(x, from), to);
        r = r > infinity ? infinity : r;
    } else {
        uint32_t payload = x & low_bits(from.fraction);

        /*
         * What goes through fp32 and loses bits on the way out becomes quiet; fp32 holds all of a
         * 16-bit NaN.
         */
        r = infinity | (shift < 0 ? payload >> -shift : payload << shift);
        if (to.dtype != TP_DTYPE_F32)
            r |= 1u << (to.fraction - 1);
    }
    return sign << (to.bits - 1) | (r & low_bits(to.bits - 1));
}

static uint32_t load(const uint8_t *p, struct format f)
{
    uint32_t v = 0;

    memcpy(&v, p, (size_t)f.bits / 8);
    return v;
}

static void compare(struct format from, struct format to, const uint8_t *src, size_t n,
                    const char *what)
{
    size_t from_bytes = (size_t)from.bits / 8, to_bytes = (size_t)to.bits / 8;

    for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best(); isa++) {
        uint8_t *dst = malloc(n * to_bytes);
        size_t i = 0;

        if (!dst)
            bail_out("out of memory");
        tp_isa_set((enum tp_isa)isa);
        tp_convert(to.dtype, dst, from.dtype, src, n);
        while (i < n &&
               load(dst + i * to_bytes, to) == expected(load(src + i * from_bytes, from), from, to))
            i++;
        if (!ok(i == n, "%s, %s to %s, %s", what, tp_dtype_name(from.dtype),
                tp_dtype_name(to.dtype), tp_isa_name((enum tp_isa)isa)))
            diag("%08x: got %08x, want %08x", load(src + i * from_bytes, from),
                 load(dst + i * to_bytes, to),
                 expected(load(src + i * from_bytes, from), from, to));
        free(dst);
    }
}

/* fp32: what is halfway between 16-bit numbers, and one beside it, and any. */
static void fill_fp32(uint32_t *x, size_t n, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t r = tap_random(seed);
        uint32_t v = (uint32_t)(r >> 32);
        uint32_t exponent = 90 + (uint32_t)(r >> 8) % 60; /* about where fp16 begins and ends */

        if (r & 1)
            v = (v & 0x807fffff) | exponent << 23;
        switch (r >> 1 & 7) {
        case 0:
            v = (v & 0xffffe000) | 0x1000;
            break;
        case 1:
            v = (v & 0xffff0000) | 0x8000;
            break;
        case 2:
            v = ((v & 0xffffe000) | 0x1000) + (r & 16 ? 1 : -1u);
            break;
        case 3:
            v = (v & 0x80000000) | 0x7f800000 | (v & 0x7fffff) >> (r >> 4 & 31);
            break;
        default:
            break;
        }
        x[i] = v;
    }
}

static void any_length(uint64_t *seed)
{
    uint32_t src[70];
    uint16_t once[70], dst[71];
    bool good = true;

    fill_fp32(src, 70, seed);
    tp_isa_set(TP_ISA_SCALAR);
    tp_convert(TP_DTYPE_BF16, once, TP_DTYPE_F32, src, 70);
    tp_isa_set(tp_isa_best());
    for (size_t n = 0; n <= 70; n++) {
        memset(dst, 0x5a, sizeof dst);
        tp_convert(TP_DTYPE_BF16, dst, TP_DTYPE_F32, src, n);
        good = good && !memcmp(dst, once, 2 * n) && dst[n] == 0x5a5a;
    }
    ok(good, "any number of elements, and nothing behind them");
}

int main(void)
{
    enum { MANY = 1 << 20 };
    uint64_t seed = tap_seed();
    uint16_t *all = malloc(2 * 65536);
    uint32_t *many = malloc(4 * MANY);

    if (!all || !many)
        bail_out("out of memory");
    for (unsigned i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    fill_fp32(many, MANY, &seed);
    for (size_t from = 0; from < 3; from++)
        for (size_t to = 0; to < 3; to++)
            if (from == to)
                continue;
            else if (formats[from].bits == 16)
                compare(formats[from], formats[to], (const uint8_t *)all, 65536, "every pattern");
            else
                compare(formats[from], formats[to], (const uint8_t *)many, MANY, "many patterns");
    any_length(&seed);

    uint16_t copy[3];
    tp_convert(TP_DTYPE_I16, copy, TP_DTYPE_I16, all + 7, 3);
    is_mem(copy, all + 7, sizeof copy, "equal dtypes are copied");
    ok(tp_convert_possible(TP_DTYPE_F32, TP_DTYPE_BF16) &&
           tp_convert_possible(TP_DTYPE_F16, TP_DTYPE_F32),
       "floats into one another");
    ok(tp_convert_possible(TP_DTYPE_I64, TP_DTYPE_I64), "anything into itself");
    ok(!tp_convert_possible(TP_DTYPE_I16, TP_DTYPE_BF16) &&
           !tp_convert_possible(TP_DTYPE_F32, TP_DTYPE_F64),
       "nothing else");
    free(all);
    free(many);
    return tap_done();
}
