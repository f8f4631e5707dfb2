/* SPDX-License-Identifier: MIT */
/* The weights of one layer: names, sizes and memory. */
#include <config.h>

#include "optimizer/runtime/layer.h"

#include <stdlib.h>

static const char *const names[TP_ROLE_COUNT] = {
    [TP_ROLE_Q] = "q",       [TP_ROLE_K] = "k",
    [TP_ROLE_V] = "v",       [TP_ROLE_QKV] = "qkv",
    [TP_ROLE_O] = "o",       [TP_ROLE_GATE] = "gate",
    [TP_ROLE_UP] = "up",     [TP_ROLE_GATE_UP] = "gate_up",
    [TP_ROLE_DOWN] = "down",
};

const char *tp_role_name(enum tp_role role)
{
    return names[role];
}

void tp_norm_clear(struct tp_norm *norm)
{
    free(norm->weight);
    free(norm->bias);
    *norm = (struct tp_norm){0};
}

void tp_layer_clear(struct tp_layer *layer)
{
    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        tp_linear_clear(&layer->linears[i]);
    for (unsigned i = 0; i < TP_NORM_ROLE_COUNT; i++)
        tp_norm_clear(&layer->norms[i]);
}

uint64_t tp_layer_bytes(const struct tp_layer *layer)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        bytes += layer->linears[i].bytes;
    return bytes;
}
