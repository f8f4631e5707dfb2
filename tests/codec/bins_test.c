/* SPDX-License-Identifier: MIT */
/*
 * Bins of differences for training delta: every instruction set gives the same as one element at a
 * time.
 */
#include <config.h>

#include "base/isa.h"
#include "codec/delta/kernels.h"
#include "tests/tap.h"

#define ROUNDS 400

static uint64_t seed;

/* Elements that are the base's, near to it, or anything. */
static void fill(uint8_t *src, uint8_t *base, size_t n, size_t bytes)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t how = tap_random(&seed), v = tap_random(&seed), b = tap_random(&seed);

        v = how % 4 == 0 ? b : how % 4 == 1 ? b + v % 1000 - 500 : how % 4 == 2 ? b ^ v % 256 : v;
        memcpy(src + i * bytes, &v, bytes);
        memcpy(base + i * bytes, &b, bytes);
    }
}

/* How many of N elements the kernel puts into a wrong bin. */
static unsigned count_wrong(tp_delta_bins_fn *kernel, const struct tp_delta_kind *kind,
                            const uint8_t *src, const uint8_t *base, size_t n)
{
    struct tp_delta_bins bins;
    unsigned wrong = 0;

    kernel(kind, src, base, n, true, &bins);
    for (size_t i = 0; i < n; i++) {
        uint32_t v = tp_delta_load(src, i, kind->width), b = tp_delta_load(base, i, kind->width);

        wrong +=
            bins.delta[i] != tp_delta_bin_of(tp_delta_diff(v, b, kind->width, kind->is_float)) ||
            bins.direct[i] != tp_delta_bin_of(tp_delta_diff(v, 0, kind->width, kind->is_float)) ||
            bins.field[i] != (b >> kind->field_shift & kind->field_mask);
    }
    return wrong;
}

int main(void)
{
    uint8_t src[4 * TP_DELTA_BLOCK + TP_SLACK], base[sizeof src];

    seed = tap_seed();
    for (int dtype = 0; dtype < TP_DTYPE_COUNT; dtype++) {
        const struct tp_delta_kind *kind = tp_delta_kind_of((enum tp_dtype)dtype);

        for (int isa = TP_ISA_SCALAR; kind && isa <= (int)tp_isa_best(); isa++) {
            unsigned wrong = 0;
            char name[64];

            for (unsigned r = 0; r < ROUNDS; r++) {
                size_t n = 1 + tap_random(&seed) % TP_DELTA_BLOCK, off = tap_random(&seed) % 4;

                fill(src + off, base + off, n, kind->width / 8);
                wrong += count_wrong(tp_delta_kernels.bins[isa], kind, src + off, base + off, n);
            }
            snprintf(name, sizeof name, "%s by %s", tp_dtype_name((unsigned)dtype),
                     tp_isa_name((enum tp_isa)isa));
            is_int(wrong, 0, name);
        }
    }
    /* Each shift that brings a difference below 256 makes the whole of its bin one symbol. */
    for (unsigned shift = 0, wrong = 0; shift < 24; shift++) {
        for (uint32_t z = 1; z < 255u << shift; z += 1 + (z >> 10))
            wrong += tp_delta_bin_of(z) == tp_delta_bin_of(z + 1) && (z - 1) >> shift != z >> shift;
        if (shift == 23)
            is_int(wrong, 0, "no bin has two symbols");
    }
    return tap_done();
}
