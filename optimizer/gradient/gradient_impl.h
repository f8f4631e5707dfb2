/* SPDX-License-Identifier: MIT */
/* What the files of the way back share. */
#ifndef TP_OPTIMIZER_GRADIENT_GRADIENT_IMPL_H
#define TP_OPTIMIZER_GRADIENT_GRADIENT_IMPL_H

#include "optimizer/gradient/gradient.h"
#include "optimizer/runtime/runtime_impl.h"

enum { TP_GRADIENT_ROWS = 16 }; /* of a part of a job */

/* --- inside.c: a layer, computed anew --- */

/* All steps of a layer for some windows: [rows][width] each. */
struct tp_inside {
    const struct tp_arch *arch;
    size_t rows, most; /* in use; there is space for */
    float *memory;
    /* What the layer computes. */
    float *x, *h, *qkv, *heads, *values, *o, *middle, *h2, *gate_up, *act, *down;
    size_t at[TP_STAGE_DOWN + 1], input_at[TP_ROLE_COUNT]; /* rows that are there, of a pass */
    /* Gradients. */
    float *d_h, *d_act, *d_gate_up, *d_qkv, *d_values, *d_keys_of, *d_values_of, *d_a;
    struct tp_places places;
    size_t gate_up_width, queries;
};
uint64_t tp_inside_bytes(const struct tp_arch *arch, uint64_t rows);
int tp_inside_create(const struct tp_arch *arch, size_t rows, struct tp_inside *out,
                     struct tp_error *err);
void tp_inside_clear(struct tp_inside *inside);
/* Compute the layer for the N windows whose inputs are IN->X. */
int tp_inside_compute(struct tp_inside *in, struct tp_runtime *rt, const struct tp_layer *layer,
                      const struct tp_window *windows, uint32_t n, struct tp_error *err);

/* --- steps.c --- */

/* DX[i] = W^T DY[i], or added to DX, for M vectors, with SPACE as tp_linear_back_space says. */
struct tp_linear_back {
    const struct tp_matrix *w;
    const float *dy;
    size_t dy_stride, m;
    float *dx; /* M x columns of W */
    bool add;
};
size_t tp_linear_back_space(const struct tp_matrix *w, size_t m); /* elements */
void tp_linear_back(struct tp_team *team, const struct tp_linear_back *b, float *space);

/* DX = the way back through NORM, which has the inputs X; DX may be DY. */
struct tp_norm_back {
    const struct tp_arch *arch;
    const struct tp_norm *norm;
    const float *x, *dy;
    float *dx;
    size_t width, rows;
};
void tp_norm_back_row(const struct tp_arch *arch, const struct tp_norm *norm, const float *x,
                      const float *dy, size_t width, float *dx);
void tp_norm_back(struct tp_team *team, const struct tp_norm_back *b);
/* X[i] += Y[i] for N elements. */
void tp_add_all(struct tp_team *team, float *x, const float *y, size_t n);

/* --- attention.c --- */

/* What each thread takes in tp_attention_back, for windows of so many TOKENS. */
uint64_t tp_attention_back_bytes(const struct tp_arch *arch, uint32_t tokens);
/* IN->D_QKV, the gradient of IN->QKV, from IN->D_VALUES. */
int tp_attention_back(struct tp_inside *in, struct tp_runtime *rt, const struct tp_layer *layer,
                      const struct tp_window *windows, uint32_t n, struct tp_error *err);

/* --- layer.c --- */

/*
 * G, the gradient of the outputs of LAYER, becomes that of its inputs, which are IN->X. SPACE has
 * tp_layer_back_space elements.
 */
size_t tp_layer_back_space(const struct tp_arch *arch, size_t rows);
int tp_layer_back(struct tp_inside *in, struct tp_runtime *rt, const struct tp_layer *layer,
                  const struct tp_window *windows, uint32_t n, float *g, float *space,
                  const struct tp_gradient_watch *watch, struct tp_error *err);

/* --- loss.c --- */

/*
 * G, the gradient of the loss of N windows by the outputs of the last layer, HIDDEN. NLL and TOKENS
 * are added to.
 */
uint64_t tp_loss_bytes(const struct tp_runtime *rt);
int tp_loss_back(struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                 const float *hidden, float *g, double *nll, uint64_t *tokens,
                 struct tp_error *err);

/* --- kept.c --- */

/* Activations of SLOTS places in the model: in memory, or in a file without a name. */
struct tp_kept {
    size_t window; /* elements */
    uint64_t windows;
    float *memory; /* NULL: in the file */
    int fd;        /* -1: none */
};
uint64_t tp_kept_bytes(uint64_t slots, uint64_t windows, uint64_t window);
/* IN_MEMORY: in memory; otherwise in a file in DIRECTORY. */
int tp_kept_create(struct tp_kept *kept, uint64_t slots, uint64_t windows, size_t window,
                   bool in_memory, const char *directory, struct tp_error *err);
void tp_kept_clear(struct tp_kept *kept);
int tp_kept_read(const struct tp_kept *kept, uint64_t slot, uint64_t first, uint64_t n, float *to,
                 struct tp_error *err);
int tp_kept_write(const struct tp_kept *kept, uint64_t slot, uint64_t first, uint64_t n,
                  const float *from, struct tp_error *err);

#endif
