/* SPDX-License-Identifier: MIT */
/*
 * Computing the bins of differences, 16 at a time: one body with compiler vectors, compiled once
 * for each instruction set.
 */
#include <config.h>

#include "codec/delta/kernels.h"

#define LANES 16

typedef uint8_t bytes __attribute__((vector_size(LANES)));
typedef uint16_t words __attribute__((vector_size(2 * LANES)));
typedef uint32_t lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef float floats __attribute__((vector_size(4 * LANES)));

TP_INLINE void load_lanes(const uint8_t *p, unsigned width, lanes *out)
{
    bytes b;
    words w;

    if (width == 8) {
        __builtin_memcpy(&b, p, sizeof b);
        *out = __builtin_convertvector(b, lanes);
    } else if (width == 16) {
        __builtin_memcpy(&w, p, sizeof w);
        *out = __builtin_convertvector(w, lanes);
    } else {
        __builtin_memcpy(out, p, sizeof *out);
    }
}

/* tp_delta_order */
TP_INLINE void order_lanes(lanes *v, unsigned width, bool is_float)
{
    if (is_float)
        *v = (*v ^ ((0 - (*v >> (width - 1))) | 1u << (width - 1))) & tp_delta_mask(width);
}

/*
 * tp_delta_bin_of the difference of V to B, both ordered. A difference of 128 or more, converted to
 * a float, has its octave in the exponent and its place within it in the first seven bits of the
 * fraction.
 */
TP_INLINE void find_bins(const lanes *v, const lanes *b, unsigned width, uint16_t *out)
{
    lanes d = *v - *b;
    lanes z = ((d << 1) ^ (0 - (d >> (width - 1) & 1))) & tp_delta_mask(width);
    lanes y = z - 1;
    lanes high = width == 32 ? (lanes)(y >= 1u << 24) : (lanes){0};
    lanes exact = width == 32 ? ((y >> 8) & high) | (y & ~high) : y & tp_delta_mask(width);
    lanes small = (lanes)(y < 128);
    lanes at, nonzero = (lanes)(z != 0);
    floats f = __builtin_convertvector((ints)exact, floats);
    words w;

    __builtin_memcpy(&at, &f, sizeof at);
    at = (at >> 16) - (134u << 7) + 128 + (high & (8 * 128));
    w = __builtin_convertvector((((y & small) | (at & ~small)) + 1) & nonzero, words);
    __builtin_memcpy(out, &w, sizeof w);
}

TP_INLINE void bins16(const struct tp_delta_kind *kind, const uint8_t *src, const uint8_t *base,
                      unsigned width, bool is_float, bool direct, size_t i,
                      struct tp_delta_bins *out)
{
    lanes v, b, zero = {0};
    bytes field;

    load_lanes(src, width, &v);
    load_lanes(base, width, &b);
    field = __builtin_convertvector(b >> kind->field_shift & kind->field_mask, bytes);
    __builtin_memcpy(out->field + i, &field, sizeof field);
    order_lanes(&v, width, is_float);
    order_lanes(&b, width, is_float);
    find_bins(&v, &b, width, out->delta + i);
    if (direct) {
        order_lanes(&zero, width, is_float);
        find_bins(&v, &zero, width, out->direct + i);
    }
}

TP_INLINE void bins_width(const struct tp_delta_kind *kind, const uint8_t *src, const uint8_t *base,
                          size_t n, unsigned width, bool is_float, bool direct,
                          struct tp_delta_bins *out)
{
    size_t bytes_n = width / 8, whole = n - n % LANES;

    for (size_t i = 0; i < whole; i += LANES)
        bins16(kind, src + i * bytes_n, base + i * bytes_n, width, is_float, direct, i, out);
    if (whole < n) {
        uint8_t s[4 * LANES] = {0}, b[4 * LANES] = {0};

        __builtin_memcpy(s, src + whole * bytes_n, (n - whole) * bytes_n);
        __builtin_memcpy(b, base + whole * bytes_n, (n - whole) * bytes_n);
        bins16(kind, s, b, width, is_float, direct, whole, out);
    }
}

TP_INLINE void bins_any(const struct tp_delta_kind *kind, const uint8_t *src, const uint8_t *base,
                        size_t n, bool direct, struct tp_delta_bins *out)
{
    if (kind->width == 16 && kind->is_float)
        bins_width(kind, src, base, n, 16, true, direct, out);
    else if (kind->width == 32 && kind->is_float)
        bins_width(kind, src, base, n, 32, true, direct, out);
    else if (kind->width == 8)
        bins_width(kind, src, base, n, 8, kind->is_float, direct, out);
    else if (kind->width == 16)
        bins_width(kind, src, base, n, 16, false, direct, out);
    else
        bins_width(kind, src, base, n, 32, false, direct, out);
}

#define BINS(SUFFIX, TARGET)                                                                       \
    TARGET void tp_delta_bins_##SUFFIX(const struct tp_delta_kind *kind, const uint8_t *src,       \
                                       const uint8_t *base, size_t n, bool direct,                 \
                                       struct tp_delta_bins *out)                                  \
    {                                                                                              \
        bins_any(kind, src, base, n, direct, out);                                                 \
    }

TP_FOR_EACH_ISA(BINS)
