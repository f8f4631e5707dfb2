/* SPDX-License-Identifier: MIT */
/*
 * A linear operation, y = W x + b, whatever form W has.
 *
 * The form of a matrix (optimizer/kernel/kernel.h) is its table of operations: each dtype of
 * floating-point weights is one, and each quantized format another. A linear of a layer can be
 * replaced by one of another form and the same dimensions.
 */
#ifndef TP_OPTIMIZER_RUNTIME_LINEAR_H
#define TP_OPTIMIZER_RUNTIME_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/quant/quant.h"
#include "optimizer/kernel/kernel.h"
#include "optimizer/runtime/team.h"

struct tp_linear {
    struct tp_matrix matrix; /* form NULL: there is no such matrix */
    void *data;              /* what MATRIX refers to, for free; NULL: it belongs to another */
    uint64_t bytes;          /* of the matrix in memory */
    float *bias;             /* as many as the matrix has rows, for free; NULL: none */
    bool packed;             /* the matrix is a quantized one, by tp_linear_open_packed */
};

void tp_linear_clear(struct tp_linear *l);

/*
 * A linear whose matrix is LEN packed bytes (codec/quant/quant.h). First the memory for them, which
 * is L's; then, once the caller has put them there, their check. -ENOMEM; -EBADMSG,
 * -EPROTONOSUPPORT as of tp_quant_open. L, zeroed before, is for tp_linear_clear in any case.
 */
uint8_t *tp_linear_reserve_packed(struct tp_linear *l, size_t len);
int tp_linear_open_packed(struct tp_linear *l, size_t len, struct tp_error *err);
/* The packed matrix; NULL: it is a floating-point one. */
const struct tp_quant_matrix *tp_linear_packed(const struct tp_linear *l);

/* All elements of M in bf16, row by row, for free(); NULL: no memory. */
uint16_t *tp_linear_rounded(struct tp_team *team, const struct tp_matrix *m);

/* Y[i] = W X[i] + b; the stride is in elements. */
struct tp_product {
    const struct tp_linear *linear;
    float *y;
    size_t y_stride;
};

enum { TP_PRODUCTS_MAX = 3 };
/*
 * Compute N products, at most TP_PRODUCTS_MAX, of the same M vectors X. They are rounded to DTYPE,
 * BF16, F16 or F32, after the bias is added. With BF16, which the elements of X have been rounded
 * to as well, they may be products of bf16. With I8 they are not rounded, and those with matrices
 * that tp_int8_has are products of integers, the others as with F32 (optimizer/kernel/kernel.h).
 */
void tp_linear_multiply(struct tp_team *team, const struct tp_product *products, unsigned n,
                        const float *x, size_t x_stride, size_t m, enum tp_dtype dtype);
/* Whether the product with L is one of integers. */
bool tp_linear_of_integers(const struct tp_linear *l, enum tp_dtype dtype);
/* The most memory that they allocate where vectors have COLS elements. */
size_t tp_linear_space(size_t cols, enum tp_dtype dtype);

#endif
