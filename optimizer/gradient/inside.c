/* SPDX-License-Identifier: MIT */
/* The inside of a layer for some windows: what its steps compute, kept for the way back. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "optimizer/gradient/gradient_impl.h"

/* Elements of a row. */
static uint64_t row_elements(const struct tp_arch *a)
{
    uint64_t queries = (uint64_t)a->head_n * a->head_dim;
    uint64_t qkv = queries + 2 * (uint64_t)a->kv_head_n * a->head_dim;
    uint64_t gate_up = (uint64_t)a->inter * (a->gated ? 2 : 1);

    /* In the order of tp_inside_create. */
    return 8 * (uint64_t)a->hidden + 3 * qkv + 4 * queries + 2 * gate_up + 2 * (uint64_t)a->inter;
}

uint64_t tp_inside_bytes(const struct tp_arch *arch, uint64_t rows)
{
    uint64_t bytes;

    return tp_mul_u64(row_elements(arch) * sizeof(float), rows, &bytes) ? bytes : UINT64_MAX;
}

int tp_inside_create(const struct tp_arch *a, size_t rows, struct tp_inside *in,
                     struct tp_error *err)
{
    uint64_t bytes = tp_inside_bytes(a, rows);
    size_t hidden = rows * a->hidden, inter = rows * a->inter, qkv, queries, gate_up;
    float *at;

    *in = (struct tp_inside){.arch = a, .most = rows};
    tp_pass_places(a, &in->places);
    in->queries = (size_t)a->head_n * a->head_dim;
    in->gate_up_width = (size_t)a->inter * (a->gated ? 2 : 1);
    if (bytes > SIZE_MAX / 2 || tp_memory_check(bytes) < 0 || !(in->memory = malloc(bytes)))
        return tp_fail(err, ENOMEM, "out of memory for the steps of a layer on %zu rows", rows);
    qkv = rows * in->places.width;
    queries = rows * in->queries;
    gate_up = rows * in->gate_up_width;
    at = in->memory;

    struct {
        float **where;
        size_t n;
    } const parts[] = {
        {&in->x, hidden},         {&in->h, hidden},          {&in->o, hidden},
        {&in->middle, hidden},    {&in->h2, hidden},         {&in->down, hidden},
        {&in->d_h, hidden},       {&in->d_a, hidden},        {&in->qkv, qkv},
        {&in->heads, qkv},        {&in->d_qkv, qkv},         {&in->values, queries},
        {&in->d_values, queries}, {&in->d_keys_of, queries}, {&in->d_values_of, queries},
        {&in->gate_up, gate_up},  {&in->d_gate_up, gate_up}, {&in->act, inter},
        {&in->d_act, inter},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i].where = at;
        at += parts[i].n;
    }
    return 0;
}

void tp_inside_clear(struct tp_inside *in)
{
    free(in->memory);
    in->memory = NULL;
}

/* --- Computing --- */

static void keep_input(void *arg, enum tp_role role, const float *x, size_t rows, size_t stride,
                       size_t width)
{
    struct tp_inside *in = arg;
    float *to = role == TP_ROLE_O                          ? in->values
                : role == TP_ROLE_DOWN                     ? in->act
                : role == TP_ROLE_Q || role == TP_ROLE_QKV ? in->h
                                                           : in->h2;

    for (size_t i = 0; i < rows; i++)
        memcpy(to + (in->input_at[role] + i) * width, x + i * stride, width * sizeof *x);
    in->input_at[role] += rows;
}

static void keep_state(void *arg, enum tp_stage stage, const float *x, size_t rows, size_t width)
{
    struct tp_inside *in = arg;
    float *const to[] = {[TP_STAGE_QKV] = in->qkv,
                         [TP_STAGE_HEADS] = in->heads,
                         [TP_STAGE_O] = in->o,
                         [TP_STAGE_GATE_UP] = in->gate_up,
                         [TP_STAGE_DOWN] = in->down};

    memcpy(to[stage] + in->at[stage] * width, x, rows * width * sizeof *x);
    in->at[stage] += rows;
}

int tp_inside_compute(struct tp_inside *in, struct tp_runtime *rt, const struct tp_layer *layer,
                      const struct tp_window *windows, uint32_t n, struct tp_error *err)
{
    const struct tp_arch *a = in->arch;
    struct tp_watch watch = {.input = keep_input, .state = keep_state, .arg = in};
    size_t elements;
    int rc;

    in->rows = 0;
    for (uint32_t i = 0; i < n; i++)
        in->rows += windows[i].n;
    elements = in->rows * a->hidden;
    memset(in->at, 0, sizeof in->at);
    memset(in->input_at, 0, sizeof in->input_at);
    /* The outputs of the layer are not needed: they go where a gradient will be. */
    memcpy(in->d_h, in->x, elements * sizeof *in->x);
    rc = tp_runtime_layer(rt, layer, windows, n, in->d_h, &watch, err);
    if (rc < 0 || a->parallel_residual)
        return rc;
    if (a->sandwich_norms)
        tp_pass_norm(rt, &layer->norms[TP_NORM_ATTENTION_OUT], a->hidden, in->rows, in->o,
                     in->middle);
    else
        memcpy(in->middle, in->o, elements * sizeof *in->x);
    tp_add_all(tp_runtime_team(rt), in->middle, in->x, elements);
    return 0;
}
