/* SPDX-License-Identifier: MIT */
/*
 * Kernels of the forward pass: products with matrices, attention, norms, rotations, activations
 * and softmax.
 *
 * They neither allocate nor fail, know no threads, and read no configuration: the caller checks
 * everything and divides the work. Each function does a part (rows of a matrix, rows of
 * activations, heads), and the result of an element does not depend on the part that it is in: any
 * division gives the same bits.
 *
 * All arithmetic is IEEE fp32 unless stated, in a fixed order, without flushing denormals. Every
 * instruction set gives the same bits as the scalar C kernels (base/isa.h), but for the products of
 * bf16. A sum over elements has LANES partial sums: partial sum l adds elements l, l + LANES,
 * l + 2 * LANES and so on, in this order. Then the partial sums are added as
 *
 *     ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
 *
 * Where an exponential is needed, it is a polynomial with an error below 2 units in the last place.
 * NaN in gives NaN out; which NaN is not defined.
 */
#ifndef TP_OPTIMIZER_KERNEL_KERNEL_H
#define TP_OPTIMIZER_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/dtype.h"

enum { TP_KERNEL_LANES = 8 };

/*
 * Memory that a thread lends to the functions that ask for it; it is not shared and not kept.
 * Aligned to 64 bytes.
 */
#define TP_KERNEL_SCRATCH ((size_t)512 << 10)

/* --- matrix.c --- */

struct tp_matrix_form;
struct tp_quant_matrix;

/*
 * W has ROWS rows of COLS elements, at least one of each. Row r of a matrix of a floating-point
 * form starts at DATA + r * STRIDE, at any alignment of its elements; DATA of a quantized one is
 * its struct tp_quant_matrix.
 */
struct tp_matrix {
    const struct tp_matrix_form *form;
    const void *data;
    size_t rows, cols;
    size_t stride; /* bytes */
};

/* The form of elements of F32, BF16 or F16; NULL for another dtype. */
const struct tp_matrix_form *tp_matrix_float_form(enum tp_dtype dtype);

/* COUNT elements of row ROW from column COL on, as fp32: exact. */
void tp_matrix_read(const struct tp_matrix *w, size_t row, size_t col, size_t count, float *dst);

/*
 * The products of M vectors with the rows FIRST to END - 1 of W:
 *
 *     Y[i * Y_STRIDE + r] = sum over c of X[i * X_STRIDE + c] * W[r][c]
 *
 * Each step of a partial sum is a fused multiplication and addition. Y has the index r, not
 * r - FIRST; strides are in elements; X and Y do not overlap. Few vectors are bound by the reading
 * of W, which is read from memory once; for many, W is expanded in SCRATCH, so that parts
 * of at least 64 rows are better than smaller ones. SCRATCH has TP_KERNEL_SCRATCH bytes.
 */
void tp_matrix_multiply(const struct tp_matrix *w, size_t first, size_t end, const float *x,
                        size_t x_stride, size_t m, float *y, size_t y_stride, void *scratch);
/* What FIRST and END, but for the last END, should be multiples of. */
enum { TP_MATRIX_ROWS = 8 };

/*
 * DST[c][r] = SRC[r][c] for elements of SIZE bytes, 2 or 4, of the rows FIRST to END - 1 of SRC,
 * which has ROWS rows of COLS elements: a Conv1D weight is transposed once, when it is read.
 */
void tp_transpose(unsigned size, const void *src, size_t rows, size_t cols, size_t first,
                  size_t end, void *dst);

/* --- bf16.c --- */

/*
 * Products of many vectors whose elements are values of BF16 with a matrix whose elements are
 * rounded to BF16: for callers that compute in BF16, on processors that multiply pairs of bf16.
 * Unlike all other results these depend on the instruction set. With S, the sum over c of
 * |X[i][c] * W[r][c]|, below FLT_MAX, they differ from the exact sum by at most
 *
 *     (COLS + 1) * 2^-24 * S + COLS * 2^-126
 *
 * where the second term is that of denormals, which count as zero. An element depends on its vector
 * and its row only, not on M or on the part that it is in.
 */

/* Whether the instruction set in use has such products, and they pay for M vectors. */
bool tp_bf16_pays(size_t m);
/*
 * Vectors are packed once for all products with them. PACKED has tp_bf16_bytes(M, COLS), aligned to
 * 64 bytes. The vectors FIRST to END - 1 of the M are done; FIRST and END, but for the last END,
 * are multiples of TP_BF16_VECTORS.
 */
enum { TP_BF16_VECTORS = 32, TP_BF16_ROWS = TP_BF16_VECTORS };
size_t tp_bf16_bytes(size_t m, size_t cols);
void tp_bf16_pack(const float *x, size_t x_stride, size_t m, size_t cols, size_t first, size_t end,
                  void *packed);
/*
 * As tp_matrix_multiply; FIRST and END, but for the last END, should be multiples of TP_BF16_ROWS.
 */
void tp_bf16_multiply(const struct tp_matrix *w, size_t first, size_t end, const void *packed,
                      size_t m, float *y, size_t y_stride, void *scratch);

/* --- quantized.c --- */

/*
 * A quantized matrix. M must outlive it. Weights are expanded in registers, or block by block, to
 * the values of tp_quant_read.
 *
 * Parts of LOW_RANK are not expanded in products, if their ranks are at most TP_RANK_MOST, and the
 * first other part, if there is one, has a value for each element. The product is that of the sum
 * of the other parts, or 0, and to it is added for each of them, in their order
 *
 *     sum over k of t[k] * left[r][k], where t[k] = sum over c of X[i][c] * right[k][c]
 *
 * Both are sums as above.
 */
enum { TP_RANK_MOST = 512 };
struct tp_matrix tp_matrix_quantized(const struct tp_quant_matrix *m);

/* --- int8.c --- */

/*
 * Products of integers, for callers that round activations to 8 bits. Codes do not become numbers
 * of fp32. The results have the same bits by every instruction set, for any M, and for any division
 * of the rows.
 *
 * The columns of a vector are divided into blocks of 32. With MOST, the greatest |x| of a block,
 *
 *     d = MOST / 127;  i = x * (127 / MOST), to the nearest integer, ties to even
 *
 * A block with MOST below 2^-100 has d = 0, one with a NaN or an infinity has d = NaN, and both
 * have i = 0. Columns beyond the last count as zeros.
 *
 * A part of W has codes q and factors a and b of each group, so that an element is q * a + b
 * (codec/quant/quant.h): SYM and ASYM have b = -(zero * a), AFFINE has its offset, INT8 has none.
 * Of 8 bits in groups the codes are q - 128, and b is b + 128 * a, fused. Codes of 2 and 3 bits are
 * widened to 4 bits. A lane is 4 bytes of codes: 8 columns of 4 bits, or 4 columns of 8 bits. All
 * columns of a lane are in one block and in one group. Lane j of a row adds to the partial sum
 * s[j % 16], in the order of lanes
 *
 *     s = fma(a, d * (the sum of i * q, an integer), s)
 *
 * up to the lanes that are begun by 32 bytes of codes, where the factor of lanes beyond the last is
 * that of the last group. Offsets add to partial sums of their own: group g to o[g % 8]
 *
 *     o = fma(b, the sum of d * (the sum of i of 8 columns), in their order, o)
 *
 * The product is the sum of (s[l] + s[l + 8]) + o[l] in the order that is at the beginning of this
 * file. Further parts of W are added in their order: y + the product of a part with codes;
 * fma(x, w, y) with the x of fp32 for each element of OUTLIERS and COLUMNS, in their order.
 */

/*
 * Whether W has such products: its first part has integers as codes, INT8 or groups of a multiple
 * of 8 columns; its others have, too, or are OUTLIERS or COLUMNS; and it has at most
 * TP_INT8_COLS columns.
 */
enum { TP_INT8_COLS = 1 << 15 };
bool tp_int8_has(const struct tp_quant_matrix *w);
/*
 * Vectors are packed once for all products with them. PACKED has tp_int8_bytes(M, COLS), aligned to
 * 64 bytes. The vectors FIRST to END - 1 of the M are done.
 */
size_t tp_int8_bytes(size_t m, size_t cols);
void tp_int8_pack(const float *x, size_t x_stride, size_t cols, size_t first, size_t end,
                  void *packed);
/* As tp_matrix_multiply. PACKED NULL: vectors are packed one at a time in SCRATCH. */
void tp_int8_multiply(const struct tp_quant_matrix *w, size_t first, size_t end, const float *x,
                      size_t x_stride, const void *packed, size_t m, float *y, size_t y_stride,
                      void *scratch);

/* --- attention.c --- */

/*
 * One head of keys and values and the HEADS heads of queries that share it. Position p of the keys
 * starts at element p * KEY_STRIDE of KEYS, and likewise for the values; with RING at element
 * p % RING * KEY_STRIDE. A query at position p sees the positions up to p, at most the last WINDOW
 * of them if WINDOW is not 0.
 *
 *     score = SCALE * (q . k);  score = CAP * tanh(score / CAP), if CAP is not 0
 */
struct tp_attention {
    size_t head_dim; /* at most TP_ATTENTION_DIM_MAX */
    size_t heads;
    enum tp_dtype dtype; /* of keys and values: F32, BF16 or F16 */
    const void *keys, *values;
    size_t key_stride, value_stride; /* elements */
    float scale, cap;
    size_t window;
    size_t ring; /* positions, a multiple of TP_ATTENTION_BLOCK; 0: each has its own place */
};

enum { TP_ATTENTION_DIM_MAX = 1024, TP_ATTENTION_BLOCK = 64 };

/*
 * The outputs of N queries at the positions FIRST to FIRST + N - 1. Head h of query i starts at Q +
 * i * Q_STRIDE + h * HEAD_DIM, and its output at OUT + i * OUT_STRIDE + h * HEAD_DIM. The keys and
 * values of all positions that the queries see are there. OUT and Q may be the same.
 */
void tp_attend(const struct tp_attention *a, size_t first, size_t n, const float *q,
               size_t q_stride, float *out, size_t out_stride, void *scratch);

/* --- rows.c --- */

/* Rows of activations; DST may be X. */

/* x / sqrt(mean of squares + EPSILON), times WEIGHT, or times 1 + WEIGHT with PLUS_ONE. */
void tp_rms_norm(const float *x, const float *weight, size_t n, float epsilon, bool plus_one,
                 float *dst);
/* The same, where x / sqrt(...) is rounded to DTYPE, BF16 or F16, before it is multiplied. */
void tp_rms_norm_rounded(enum tp_dtype dtype, const float *x, const float *weight, size_t n,
                         float epsilon, float *dst);
/* (x - mean) / sqrt(variance + EPSILON) * WEIGHT + BIAS; BIAS may be NULL. */
void tp_layer_norm(const float *x, const float *weight, const float *bias, size_t n, float epsilon,
                   float *dst);

/*
 * Rotate the first DIM elements of X, in place, by DIM / 2 angles: element i belongs to element
 * i + DIM / 2.
 */
void tp_rotate_halves(float *x, size_t dim, const float *cos, const float *sin);

/* activation(x) * up; UP NULL: activation(x). */
void tp_silu(const float *x, const float *up, size_t n, float *dst);
void tp_gelu(const float *x, const float *up, size_t n, float *dst);      /* by erf */
void tp_gelu_tanh(const float *x, const float *up, size_t n, float *dst); /* by tanh */
/* C * tanh(x / C) */
void tp_soft_cap(const float *x, float c, size_t n, float *dst);

void tp_add(const float *x, const float *y, size_t n, float *dst);
void tp_scale(const float *x, float factor, size_t n, float *dst);

/*
 * Round to the values of BF16 or F16, to nearest even; F32: copy. DST may be X. Conversions are in
 * codec/convert.h.
 */
void tp_round_to(enum tp_dtype dtype, const float *x, size_t n, float *dst);

/* --- backward.c --- */

/*
 * The way back through the functions above: X are their inputs, DY is the gradient of a sum of
 * their outputs, DX that of their inputs. DX may be DY. They are for sensitivities: their results
 * are close to the derivatives, and those of two instruction sets close to each other.
 */
void tp_rms_norm_back(const float *x, const float *weight, const float *dy, size_t n, float epsilon,
                      bool plus_one, float *dx);
void tp_layer_norm_back(const float *x, const float *weight, const float *dy, size_t n,
                        float epsilon, float *dx);
/* UP NULL: there is no DUP. */
void tp_silu_back(const float *x, const float *up, const float *dy, size_t n, float *dx,
                  float *dup);
void tp_gelu_back(const float *x, const float *up, const float *dy, size_t n, float *dx,
                  float *dup);
void tp_gelu_tanh_back(const float *x, const float *up, const float *dy, size_t n, float *dx,
                       float *dup);
/*
 * The scores of a query: S are its products with the keys, and become the weights; D is the
 * gradient of the weights, and becomes that of the products. SCALE and CAP as of tp_attend.
 */
void tp_attend_back(float scale, float cap, float *s, float *d, size_t n);

/* --- logits.c --- */

/* Sums are in fp64, of fp32 exponentials. */

/* log of the sum of exp(x). -infinity where all elements are. */
double tp_log_sum_exp(const float *x, size_t n);
/* exp(x - max) / sum; DST may be X. */
void tp_softmax(const float *x, size_t n, float *dst);
/*
 * The Kullback-Leibler divergence of softmax(Q) from softmax(P), sum of p * (log p - log q), with
 * the log-sum-exp of both. Where p is 0, it adds nothing.
 */
double tp_kl_divergence(const float *p, double p_log_sum_exp, const float *q, double q_log_sum_exp,
                        size_t n);
/* The index of the largest element, the first of equal ones; a NaN is never it. 0 if N is 0. */
size_t tp_arg_max(const float *x, size_t n);

#endif
