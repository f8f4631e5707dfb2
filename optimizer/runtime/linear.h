/* SPDX-License-Identifier: MIT */
/*
 * A linear operation, y = W x + b, whatever W is stored as.
 *
 * W has OUT rows of IN elements. What it is stored as is a table of operations: the floating-point
 * dtypes have one each, and a quantized format adds its own. A linear can be replaced in a layer
 * by another one of the same dimensions.
 */
#ifndef TP_OPTIMIZER_RUNTIME_LINEAR_H
#define TP_OPTIMIZER_RUNTIME_LINEAR_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tensor/dtype.h"

struct tp_linear;
struct tp_team;

/* Every operation accumulates in fp32, in an order that does not depend on the threads. */
struct tp_linear_ops {
    const char *name; /* of the format, as "bf16" */
    /* Rows FIRST to FIRST + N - 1 of W as fp32: DST has N * IN elements. */
    void (*rows)(const struct tp_linear *l, size_t first, size_t n, float *dst);
    /*
     * Y[i] = W X[i], without the bias, for N vectors: X[i] starts at X + i * X_STRIDE elements,
     * Y[i] at Y + i * Y_STRIDE. For N up to 8 or so the operation reads W once, and is bound by
     * memory.
     */
    int (*apply)(const struct tp_linear *l, struct tp_team *team, size_t n, const float *x,
                 size_t x_stride, float *y, size_t y_stride, struct tp_error *err);
    uint64_t (*bytes)(const struct tp_linear *l); /* in memory */
    void (*clear)(struct tp_linear *l);           /* free DATA */
};

struct tp_linear {
    const struct tp_linear_ops *ops; /* NULL: there is no such matrix */
    uint32_t out, in;
    enum tp_dtype dtype; /* of a floating-point matrix */
    void *data;          /* owned, in the form of OPS */
    float *bias;         /* OUT elements, owned; NULL: none */
};

/* Y = W X + b, as apply. */
int tp_linear_apply(const struct tp_linear *l, struct tp_team *team, size_t n, const float *x,
                    size_t x_stride, float *y, size_t y_stride, struct tp_error *err);
void tp_linear_clear(struct tp_linear *l);
/* The operations of a matrix of BF16, F16 or F32; NULL for another dtype. */
const struct tp_linear_ops *tp_linear_float_ops(enum tp_dtype dtype);

#endif
