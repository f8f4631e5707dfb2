/* SPDX-License-Identifier: MIT */
/*
 * Gradients: how the log-likelihood of a text depends on the outputs of each matrix of a model.
 *
 * The loss of a window is the sum of -log p(token) over its tokens but the first, with the text's
 * own tokens as labels. For each matrix, y = W x, of a layer, and each row (token position) t, the
 * pass gives x_t and g_t, the derivative of the window's loss by y_t. From these:
 *
 *     gradient of W over a window      sum of g_t x_t^T
 *     diagonal of Fisher information   mean of g_t^2 x_t^2 (tp_fisher, fisher.h)
 *
 * The model is streamed: the way forward reads the layers in order and keeps the input of each; the
 * way back reads them in reverse order, and computes the inside of each anew. What is kept is in
 * memory if it fits, and otherwise in a file without a name.
 */
#ifndef TP_OPTIMIZER_GRADIENT_GRADIENT_H
#define TP_OPTIMIZER_GRADIENT_GRADIENT_H

#include "optimizer/evaluate/passage.h"

/* Some rows of a matrix: what it reads, and the gradients of what it gives. */
struct tp_gradient_rows {
    enum tp_role role;
    const float *x, *g;
    size_t x_stride, g_stride; /* elements */
    size_t n;
};

/* Called in the caller's thread. A negative result ends the pass, and is its result. All but ROWS
 * may be NULL. */
struct tp_gradient_watch {
    /* The way forward: before a layer, what shall see its inputs; and after it. */
    int (*forward)(void *arg, const struct tp_layer *layer, const struct tp_watch **watch,
                   struct tp_error *err);
    int (*forward_end)(void *arg, const struct tp_layer *layer, struct tp_error *err);
    /* The way back: before and after the matrices of a layer. */
    int (*begin)(void *arg, const struct tp_layer *layer, struct tp_error *err);
    int (*end)(void *arg, const struct tp_layer *layer, struct tp_error *err);
    /* All rows, in pieces. */
    int (*rows)(void *arg, const struct tp_layer *layer, const struct tp_gradient_rows *rows,
                struct tp_error *err);
    void *arg;
};

struct tp_gradient_options {
    const struct tp_passage *text;
    uint64_t windows;      /* of it, the first ones; 0: all */
    uint64_t back;         /* of these, the first ones, that take the way back; 0: all */
    const char *directory; /* where a file for activations may be */
    uint64_t memory;       /* bytes that this process may use; 0: what there is */
    uint64_t reserved;     /* of them for the caller's watch */
    const struct tp_progress *progress; /* may be NULL */
};

struct tp_gradient_result {
    uint64_t tokens; /* scored: all but the first of each window that takes the way back */
    double nll;      /* the mean of -log p(token) */
    double seconds;
};

/*
 * The way forward and back over the windows of the text. The runtime computes in fp32. -EDOM: an
 * activation or a gradient is not a finite number; -ENOMEM: MEMORY does not suffice for a layer;
 * -ENOSPC; -ECANCELED.
 */
int tp_gradient_pass(struct tp_runtime *rt, const struct tp_gradient_options *options,
                     const struct tp_gradient_watch *watch, struct tp_gradient_result *out,
                     struct tp_error *err);

#endif
