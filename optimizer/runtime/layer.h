/* SPDX-License-Identifier: MIT */
/*
 * The weights of one layer.
 *
 *     h = input_norm(x);  q, k, v = attention matrices of h;  a = o(attention(q, k, v))
 *     x = x + a;  h = mlp_norm(x);  x = x + down(activation(gate(h)) * up(h))
 *
 * With sandwich norms a and the output of down pass a norm before they are added. With a parallel
 * residual h of the second line is mlp_norm of the x of the first.
 */
#ifndef TP_OPTIMIZER_RUNTIME_LAYER_H
#define TP_OPTIMIZER_RUNTIME_LAYER_H

#include "optimizer/runtime/linear.h"

/* The matrices of a layer. A family has either the fused or the single ones. */
enum tp_role {
    TP_ROLE_Q,
    TP_ROLE_K,
    TP_ROLE_V,
    TP_ROLE_QKV,
    TP_ROLE_O,
    TP_ROLE_GATE,
    TP_ROLE_UP,
    TP_ROLE_GATE_UP,
    TP_ROLE_DOWN,
    TP_ROLE_COUNT
};
const char *tp_role_name(enum tp_role role); /* as "gate_up" */

enum tp_norm_role {
    TP_NORM_INPUT,
    TP_NORM_Q, /* of one head */
    TP_NORM_K,
    TP_NORM_ATTENTION_OUT, /* sandwich norms only */
    TP_NORM_MLP,
    TP_NORM_MLP_OUT, /* sandwich norms only */
    TP_NORM_ROLE_COUNT
};

/* Weights of a norm, as fp32: owned; NULL: there is no such norm, or it has no bias. */
struct tp_norm {
    float *weight, *bias;
};

struct tp_layer {
    uint32_t number;
    struct tp_linear linears[TP_ROLE_COUNT];
    struct tp_norm norms[TP_NORM_ROLE_COUNT];
};

void tp_norm_clear(struct tp_norm *norm);
void tp_layer_clear(struct tp_layer *layer);
uint64_t tp_layer_bytes(const struct tp_layer *layer); /* of its matrices, in memory */

#endif
