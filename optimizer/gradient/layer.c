/* SPDX-License-Identifier: MIT */
/* The way back through a layer (optimizer/runtime/layer.h has the way forward). */
#include <config.h>

#include <math.h>
#include <string.h>

#include "optimizer/gradient/gradient_impl.h"

struct back {
    struct tp_inside *in;
    struct tp_runtime *rt;
    const struct tp_layer *layer;
    const struct tp_gradient_watch *watch;
    float *space;
};

size_t tp_layer_back_space(const struct tp_arch *arch, size_t rows)
{
    size_t most = 0;

    for (unsigned i = 0; i < TP_ROLE_COUNT; i++) {
        uint32_t out, in;

        if (!tp_role_shape(arch, i, &out, &in))
            continue;

        struct tp_matrix w = {.rows = out, .cols = in};
        size_t some = tp_linear_back_space(&w, rows);

        most = some > most ? some : most;
    }
    return most;
}

/* --- Matrices --- */

/* The rows of the matrix of ROLE, for the watch; then DX, or added to it. */
static int matrix_back(const struct back *b, enum tp_role role, const float *x, size_t x_stride,
                       const float *dy, size_t dy_stride, float *dx, bool add, struct tp_error *err)
{
    struct tp_gradient_rows rows = {role, x, dy, x_stride, dy_stride, b->in->rows};
    struct tp_linear_back back = {
        &b->layer->linears[role].matrix, dy, dy_stride, b->in->rows, dx, add};
    int rc = b->watch->rows(b->watch->arg, b->layer, &rows, err);

    if (rc == 0)
        tp_linear_back(b->rt->team, &back, b->space);
    return rc;
}

static void norm_back(const struct back *b, enum tp_norm_role role, const float *x, const float *dy,
                      float *dx)
{
    struct tp_norm_back norm = {b->in->arch, &b->layer->norms[role], x,          dy,
                                dx,          b->in->arch->hidden,    b->in->rows};

    tp_norm_back(b->rt->team, &norm);
}

/* --- The MLP --- */

static void activation_part(void *arg, size_t part, void *scratch)
{
    const struct tp_inside *in = arg;
    const struct tp_arch *a = in->arch;
    size_t n = a->inter, end = (part + 1) * TP_GRADIENT_ROWS;
    void (*const back)(const float *, const float *, const float *, size_t, float *, float *) =
        a->activation == TP_ACTIVATION_SILU   ? tp_silu_back
        : a->activation == TP_ACTIVATION_GELU ? tp_gelu_back
                                              : tp_gelu_tanh_back;

    (void)scratch;
    end = end < in->rows ? end : in->rows;
    for (size_t i = part * TP_GRADIENT_ROWS; i < end; i++) {
        const float *x = in->gate_up + i * in->gate_up_width;
        float *d = in->d_gate_up + i * in->gate_up_width;

        back(x, a->gated ? x + n : NULL, in->d_act + i * n, n, d, a->gated ? d + n : NULL);
    }
}

/* From the gradient G of the MLP's output to D_H, that of its input. */
static int mlp_back(const struct back *b, const float *g, struct tp_error *err)
{
    struct tp_inside *in = b->in;
    const struct tp_arch *a = in->arch;
    size_t hidden = a->hidden, width = in->gate_up_width;
    enum tp_role first = a->gate_up_fused ? TP_ROLE_GATE_UP : a->gated ? TP_ROLE_GATE : TP_ROLE_UP;
    int rc;

    if (a->sandwich_norms) {
        norm_back(b, TP_NORM_MLP_OUT, in->down, g, in->d_h);
        g = in->d_h;
    }
    rc = matrix_back(b, TP_ROLE_DOWN, in->act, a->inter, g, hidden, in->d_act, false, err);
    tp_team_run(b->rt->team, (in->rows + TP_GRADIENT_ROWS - 1) / TP_GRADIENT_ROWS, activation_part,
                in);
    if (rc == 0)
        rc = matrix_back(b, first, in->h2, hidden, in->d_gate_up, width, in->d_h, false, err);
    if (rc == 0 && first == TP_ROLE_GATE)
        rc = matrix_back(b, TP_ROLE_UP, in->h2, hidden, in->d_gate_up + a->inter, width, in->d_h,
                         true, err);
    return rc;
}

/* --- Attention --- */

/* From the gradient G of its output to D_H, that of its input. */
static int attention_back(const struct back *b, const struct tp_window *windows, uint32_t n,
                          const float *g, struct tp_error *err)
{
    struct tp_inside *in = b->in;
    size_t hidden = in->arch->hidden, width = in->places.width;
    const float *d = in->d_qkv;
    int rc;

    if (in->arch->sandwich_norms) {
        norm_back(b, TP_NORM_ATTENTION_OUT, in->o, g, in->d_h);
        g = in->d_h;
    }
    rc = matrix_back(b, TP_ROLE_O, in->values, in->queries, g, hidden, in->d_values, false, err);
    if (rc == 0)
        rc = tp_attention_back(in, b->rt, b->layer, windows, n, err);
    if (rc == 0 && in->arch->qkv != TP_QKV_APART)
        return matrix_back(b, TP_ROLE_QKV, in->h, hidden, d, width, in->d_h, false, err);
    if (rc == 0)
        rc = matrix_back(b, TP_ROLE_Q, in->h, hidden, d + in->places.q, width, in->d_h, false, err);
    if (rc == 0)
        rc = matrix_back(b, TP_ROLE_K, in->h, hidden, d + in->places.k, width, in->d_h, true, err);
    if (rc == 0)
        rc = matrix_back(b, TP_ROLE_V, in->h, hidden, d + in->places.v, width, in->d_h, true, err);
    return rc;
}

int tp_layer_back(struct tp_inside *in, struct tp_runtime *rt, const struct tp_layer *layer,
                  const struct tp_window *windows, uint32_t n, float *g, float *space,
                  const struct tp_gradient_watch *watch, struct tp_error *err)
{
    struct back b = {in, rt, layer, watch, space};
    bool parallel = in->arch->parallel_residual;
    int rc = tp_inside_compute(in, rt, layer, windows, n, err);
    size_t elements = in->rows * in->arch->hidden;

    if (rc == 0)
        rc = mlp_back(&b, g, err);
    if (rc < 0)
        return rc;
    norm_back(&b, TP_NORM_MLP, parallel ? in->x : in->middle, in->d_h, in->d_h);
    /* Side by side, attention has the gradient of the output; otherwise with what MLP adds. */
    memcpy(in->d_a, g, elements * sizeof *g);
    tp_add_all(rt->team, g, in->d_h, elements);
    rc = attention_back(&b, windows, n, parallel ? in->d_a : g, err);
    if (rc < 0)
        return rc;
    norm_back(&b, TP_NORM_INPUT, in->x, in->d_h, in->d_h);
    tp_add_all(rt->team, g, in->d_h, elements);
    return 0;
}
