/* SPDX-License-Identifier: MIT */
/* Random numbers and comparisons for the tests of kernels. */
#ifndef TP_TESTS_KERNEL_CHECK_H
#define TP_TESTS_KERNEL_CHECK_H

#include <float.h>
#include <math.h>

#include "tensor/dtype.h"
#include "tests/tap.h"

static uint64_t seed;
__attribute__((unused)) static size_t below(size_t n)
{
    return (size_t)(tap_random(&seed) % n);
}

/* Between -1 and 1. */
__attribute__((unused)) static float number(void)
{
    return (float)((double)(int64_t)tap_random(&seed) * 0x1p-63);
}

__attribute__((unused)) static void *allocate(size_t n)
{
    void *p = malloc(n ? n : 1);

    if (!p)
        bail_out("no memory");
    return p;
}

__attribute__((unused)) static float *numbers(size_t n)
{
    float *x = allocate(n * sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = number();
    return x;
}

/* Replace a few numbers by ones that are not ordinary. */
__attribute__((unused)) static void spoil(float *x, size_t n, bool with_nan)
{
    const float odd[] = {0.0f, -0.0f, 1e-40f, -3e-42f, FLT_MAX, -INFINITY, INFINITY, NAN};

    for (size_t i = 0; i < 1 + n / 50; i++)
        x[below(n)] = odd[below(with_nan ? 8 : 4)];
}

/* The same bits; a NaN is as good as another. */
__attribute__((unused)) static bool same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i]))) {
            diag("element %zu: %a, not %a", i, (double)a[i], (double)b[i]);
            return false;
        }
    return true;
}

__attribute__((unused)) static const enum tp_dtype dtypes[] = {TP_DTYPE_F32, TP_DTYPE_BF16,
                                                               TP_DTYPE_F16};

#endif
