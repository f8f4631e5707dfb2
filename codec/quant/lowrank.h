/* SPDX-License-Identifier: MIT */
/* What is taken off a matrix before its codes: a product of thin matrices, vectors of a codebook.
 */
#ifndef TP_CODEC_QUANT_LOWRANK_H
#define TP_CODEC_QUANT_LOWRANK_H

#include <stddef.h>
#include <stdint.h>

/* A matrix by its rows: row R into X. */
struct tp_row_source {
    void (*get)(const void *context, uint32_t r, float *x);
    const void *context;
    uint32_t rows, cols;
};

/*
 * LEFT [rows][rank] and RIGHT [rank][cols], fp16 numbers, with the product of rank RANK that comes
 * near to the least sum of WEIGHT[column] * error^2 (NULL: all 1). By subspace iteration from a
 * fixed start. 0 or -ENOMEM.
 */
int tp_low_rank(const struct tp_row_source *source, const float *weight, uint32_t rank, float *left,
                float *right);

/* --- codebook.c --- */

/* CENTROIDS [2^bits][group], fp16 numbers. */
struct tp_codebook {
    unsigned bits;
    uint32_t group;
    float *centroid;
    float *transposed; /* [group][2^bits] */
};

/* The scale of a row of N values that its vectors are divided by: an fp16 number, not 0. */
float tp_codebook_scale(const float *x, uint32_t n);
/* Centroids by k-means over a sample of the rows. 0 or -ENOMEM. */
int tp_codebook_train(const struct tp_row_source *source, const float *weight,
                      struct tp_codebook *book);
/* The code of a vector X of book->group values, weighted by H (NULL: all 1). */
unsigned tp_codebook_code(const struct tp_codebook *book, const float *x, const float *h);

#endif
