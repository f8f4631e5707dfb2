/* SPDX-License-Identifier: MIT */
/*
 * The matrices of a model in each of several formats, with their packed bytes and what each is
 * expected to cost: the forms that an allocation chooses from.
 *
 * They are made by one way forward and back through the model (optimizer/gradient/gradient.h). On
 * the way forward a layer is calibrated and quantized by each format, and the packed bytes go to a
 * file without a name. On the way back the Fisher information F of its matrices is known, and an
 * error dW of a form is expected to add to the mean of -log p of a token
 *
 *     1/2  sum over rows o of  c_o  sum over columns i of  F[o][i] dW[o][i]^2
 *
 * where c_o = (dW H dW^T)[o][o] / sum of H[i][i] dW[o][i]^2 is the part of the error of a row that
 * is left because its elements make up for each other, as GPTQ has it; H is the mean of x x^T.
 */
#ifndef TP_OPTIMIZER_QUANTIZE_FORMS_H
#define TP_OPTIMIZER_QUANTIZE_FORMS_H

#include "optimizer/evaluate/passage.h"
#include "optimizer/quantize/calibration_file.h"
#include "optimizer/quantize/quantize.h"

/* The formats, from the smallest on; none folds scales into other matrices. Ends with NULL. */
enum { TP_FORM_RECIPES_MAX = 8 };
extern const struct tp_recipe tp_form_recipes[TP_FORM_RECIPES_MAX];

struct tp_form {
    uint64_t offset, bytes; /* 0 bytes: the family has no such matrix */
    float *shares;          /* c_o of each row */
    double loss;
};

struct tp_forms {
    struct tp_runtime *rt;
    uint32_t layers;
    size_t recipes;
    struct tp_form *items; /* [layers][TP_ROLE_COUNT][recipes] */
    int fd;                /* of the packed bytes */
    uint64_t end;          /* of what is written */
};

struct tp_forms_options {
    const struct tp_passage *text;
    struct tp_calibration_place place; /* of the statistics of TEXT */
    uint64_t back;                     /* windows that take the way back */
    const char *directory;             /* for files without a name */
    uint64_t memory;
    const struct tp_progress *progress;
    void (*note)(void *arg, const char *line); /* called with messages; may be NULL */
    void *arg;
};

/* What the forms took. */
struct tp_forms_cost {
    double calibrate, quantize, back; /* seconds */
    uint64_t layers_cached;           /* whose statistics an earlier calibration has kept */
};

/*
 * Make all forms. OUT is for tp_forms_clear in any case. Errors as of tp_gradient_pass
 * and tp_quantize_layer.
 */
int tp_forms_make(struct tp_subject *subject, const struct tp_forms_options *options,
                  struct tp_forms *out, struct tp_forms_cost *cost, struct tp_error *err);
void tp_forms_clear(struct tp_forms *forms);

struct tp_form *tp_form_at(const struct tp_forms *forms, uint32_t layer, enum tp_role role,
                           size_t recipe);
/* The matrix of a form. OUT, zeroed before, is for tp_linear_clear in any case. */
int tp_form_read(const struct tp_forms *forms, const struct tp_form *form, struct tp_linear *out,
                 struct tp_error *err);

#endif
