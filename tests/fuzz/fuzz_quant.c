/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a packed quantized matrix: refused, or values that are the same with every
 * instruction set.
 */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/isa.h"
#include "codec/quant/quant.h"
#include "tests/fuzz/fuzz.h"

#define ELEMENTS_MAX (1u << 16)

/* NaNs may differ in their payload. */
static int same_values(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a) && !(isnan(a[i]) && isnan(b[i])))
            return 0;
    return 1;
}

/* Row R of M, by every kernel. */
static void check_row(const struct tp_quant_matrix *m, uint32_t r)
{
    size_t cols = m->spec.cols;
    float *first = malloc(cols * sizeof *first), *dst = malloc(cols * sizeof *dst);

    FUZZ_CHECK(first != NULL && dst != NULL);
    tp_isa_set(TP_ISA_SCALAR);
    tp_quant_dequantize(m, r, r + 1, first, cols);
    for (int isa = TP_ISA_SCALAR + 1; isa <= (int)tp_isa_best(); isa++) {
        tp_isa_set((enum tp_isa)isa);
        tp_quant_dequantize(m, r, r + 1, dst, cols);
        FUZZ_CHECK(same_values(first, dst, cols));
    }
    free(dst);
    free(first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *exact = malloc(len + !len);
    struct tp_quant_matrix m;
    struct tp_error err = {0};
    int rc;

    FUZZ_CHECK(exact != NULL);
    if (len)
        memcpy(exact, data, len);
    rc = tp_quant_open(exact, len, &m, &err);
    FUZZ_CHECK(rc == 0 || ((rc == -EBADMSG || rc == -EPROTONOSUPPORT) && err.message[0]));
    for (uint32_t r = 0; rc == 0 && r < m.spec.rows; r++) {
        /* A few bytes may stand for many elements: the first and the last row then. */
        if ((uint64_t)m.spec.rows * m.spec.cols > ELEMENTS_MAX && r != 0)
            r = m.spec.rows - 1;
        check_row(&m, r);
    }
    free(exact);
    return 0;
}
