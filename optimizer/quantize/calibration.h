/* SPDX-License-Identifier: MIT */
/*
 * What methods of quantization need to know about the inputs of a layer's matrices, gathered while
 * the layer is computed (struct tp_watch):
 *
 *     tp_calibration_create(rt, needs, &c, err);
 *     for each layer:
 *         tp_calibration_begin(c);
 *         tp_runtime_layer(rt, layer, windows, n, hidden, tp_calibration_watch(c), err);
 *         tp_calibration_end(c, err);
 *         ... c->inputs ...
 *     tp_calibration_destroy(c);
 *
 * The layer may be computed in several calls between begin and end, for parts of the windows. The
 * result depends on the order of the rows, but not on the parts or the number of threads.
 */
#ifndef TP_OPTIMIZER_QUANTIZE_CALIBRATION_H
#define TP_OPTIMIZER_QUANTIZE_CALIBRATION_H

#include "codec/quant/method.h"
#include "optimizer/runtime/runtime.h"

/* The inputs of a layer: matrices that read the same vectors are quantized together. */
enum tp_input { TP_INPUT_ATTENTION, TP_INPUT_O, TP_INPUT_MLP, TP_INPUT_DOWN, TP_INPUT_COUNT };
enum tp_input tp_input_of(enum tp_role role);
/* Its width. */
uint32_t tp_input_width(const struct tp_arch *arch, enum tp_input input);

/* Of one input; NULL: not asked for. Arrays have COLS elements, the Hessian COLS x COLS. */
struct tp_input_statistics {
    uint32_t cols;
    uint64_t rows;   /* vectors that were seen */
    float *hessian;  /* the mean of x x^T, symmetric */
    float *diagonal; /* the mean of x^2 */
    float *mean;     /* of |x| */
    float *max;      /* of |x| */
};

struct tp_calibration {
    struct tp_input_statistics inputs[TP_INPUT_COUNT];
    struct tp_calibration_impl *impl;
};

/* NEEDS: enum tp_quant_needs, of all recipes together. The diagonal is always there. */
int tp_calibration_create(struct tp_runtime *rt, unsigned needs, struct tp_calibration **out,
                          struct tp_error *err);
void tp_calibration_destroy(struct tp_calibration *c); /* NULL is allowed */
/* Bytes that a calibration takes; UINT64_MAX: more than 64 bits can say. */
uint64_t tp_calibration_bytes(const struct tp_arch *arch, unsigned needs);

void tp_calibration_begin(struct tp_calibration *c);
const struct tp_watch *tp_calibration_watch(const struct tp_calibration *c);
/* -EINVAL: an input has seen nothing; -EDOM: an input was not a finite number. */
int tp_calibration_end(struct tp_calibration *c, struct tp_error *err);

#endif
