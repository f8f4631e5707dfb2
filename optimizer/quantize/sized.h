/* SPDX-License-Identifier: MIT */
/*
 * A quantized pack of at most a given size: formats are allocated to the matrices of a model by
 * what each is expected to cost (forms.h, allocation.h).
 *
 * The budget is for the whole pack: matrices, everything else of the model in bf16 as the pack's
 * exact codecs store it, the other files, and the index. What is beside the matrices is measured
 * first, by writing it.
 *
 * What the forms are expected to cost is kept (sensitivity.h), as the statistics are. From both, a
 * pack of another size is made without the ways through the model, and of the forms only the chosen
 * ones.
 */
#ifndef TP_OPTIMIZER_QUANTIZE_SIZED_H
#define TP_OPTIMIZER_QUANTIZE_SIZED_H

#include "optimizer/quantize/forms.h"

struct tp_sized_options {
    const struct tp_passage *text;      /* to calibrate, and to measure sensitivities */
    struct tp_calibration_place place;  /* of the statistics of TEXT */
    uint64_t target;                    /* bytes of the pack, */
    uint64_t extra;                     /* of which so many are for what the caller adds to it */
    uint64_t memory;                    /* bytes that this process may use; 0: what there is */
    const struct tp_progress *progress; /* may be NULL */
    void (*note)(void *arg, const char *line); /* called with messages; may be NULL */
    void *arg;
};

struct tp_sized_result {
    uint64_t bytes;  /* of the pack */
    uint64_t others; /* of them, not of matrices */
    double loss;     /* what is expected to be added to the mean of -log p */
    uint32_t layers;
    uint8_t *choice; /* [layers][TP_ROLE_COUNT]: of tp_form_recipes; UINT8_MAX: no such matrix */
    uint64_t bytes_of[TP_FORM_RECIPES_MAX]; /* of the matrices of each format */
    uint64_t back;                          /* windows of the text that sensitivities come from */
    struct tp_forms_cost cost;
    double write_seconds;
};

/*
 * Write the pack PATH, which must not exist. -EFBIG: even the smallest formats need more, the
 * message says how much; else errors as of tp_forms_make. RESULT is for tp_sized_clear in any case.
 */
int tp_quantize_to_size(struct tp_subject *subject, const struct tp_sized_options *options,
                        const char *path, struct tp_sized_result *result, struct tp_error *err);
void tp_sized_clear(struct tp_sized_result *result);

#endif
