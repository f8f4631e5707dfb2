/* SPDX-License-Identifier: MIT */
/* Products with matrices: the forms of floating-point elements, and the scalar reference. */
#include <config.h>

#include "codec/convert.h"
#include "optimizer/kernel/impl.h"
#include "optimizer/kernel/math.h"

static const uint8_t *element(const struct tp_matrix *w, size_t row, size_t col, size_t size)
{
    return (const uint8_t *)w->data + row * w->stride + col * size;
}

void tp_read_f32_scalar(const struct tp_matrix *w, size_t row, size_t col, size_t count, float *dst)
{
    memcpy(dst, element(w, row, col, 4), 4 * count);
}

void tp_read_bf16_scalar(const struct tp_matrix *w, size_t row, size_t col, size_t count,
                         float *dst)
{
    tp_convert(TP_DTYPE_F32, dst, TP_DTYPE_BF16, element(w, row, col, 2), count);
}

void tp_read_f16_scalar(const struct tp_matrix *w, size_t row, size_t col, size_t count, float *dst)
{
    tp_convert(TP_DTYPE_F32, dst, TP_DTYPE_F16, element(w, row, col, 2), count);
}

static const struct tp_matrix_form float_forms[] = {
    {.name = "f32",
     .read = {tp_read_f32_scalar, tp_read_f32_scalar, tp_read_f32_scalar},
     .few = {tp_matrix_few_scalar, tp_matrix_few_scalar, tp_matrix_few_scalar}},
    {.name = "bf16",
     .read = {tp_read_bf16_scalar, tp_read_bf16_scalar, tp_read_bf16_scalar},
     .few = {tp_matrix_few_scalar, tp_matrix_few_scalar, tp_matrix_few_scalar}},
    {.name = "f16",
     .read = {tp_read_f16_scalar, tp_read_f16_scalar, tp_read_f16_scalar},
     .few = {tp_matrix_few_scalar, tp_matrix_few_scalar, tp_matrix_few_scalar}},
};

const struct tp_matrix_form *tp_matrix_float_form(enum tp_dtype dtype)
{
    switch (dtype) {
    case TP_DTYPE_F32:
        return &float_forms[0];
    case TP_DTYPE_BF16:
        return &float_forms[1];
    case TP_DTYPE_F16:
        return &float_forms[2];
    default:
        return NULL;
    }
}

const char *tp_matrix_form_name(const struct tp_matrix_form *form)
{
    return form->name;
}

void tp_matrix_read(const struct tp_matrix *w, size_t row, size_t col, size_t count, float *dst)
{
    w->form->read[tp_isa_get()](w, row, col, count, dst);
}

/* COUNT products, at most 64, added to the partial sums. The last lanes may get zeros. */
static void add_products(const float *x, const float *w, size_t count, float *sums)
{
    for (size_t i = 0; i < count; i += TP_KERNEL_LANES)
        for (size_t l = 0; l < TP_KERNEL_LANES; l++) {
            bool inside = i + l < count;

            sums[l] = tp_fma(inside ? x[i + l] : 0, inside ? w[i + l] : 0, sums[l]);
        }
}

void tp_matrix_few_scalar(const struct tp_matrix *w, size_t first, size_t end, const float *x,
                          size_t x_stride, size_t m, float *y, size_t y_stride)
{
    for (size_t r = first; r < end; r++)
        for (size_t i = 0; i < m; i++) {
            float sums[TP_KERNEL_LANES] = {0}, part[64];

            for (size_t c = 0; c < w->cols; c += 64) {
                size_t count = w->cols - c < 64 ? w->cols - c : 64;

                w->form->read[TP_ISA_SCALAR](w, r, c, count, part);
                add_products(x + i * x_stride + c, part, count, sums);
            }
            y[i * y_stride + r] = tp_sum_lanes(sums);
        }
}

void tp_matrix_multiply(const struct tp_matrix *w, size_t first, size_t end, const float *x,
                        size_t x_stride, size_t m, float *y, size_t y_stride, void *scratch)
{
    (void)scratch;
    w->form->few[tp_isa_get()](w, first, end, x, x_stride, m, y, y_stride);
}

/* Blocks of 16 by 16 elements keep both sides in the cache. */
#define TRANSPOSE(TYPE)                                                                            \
    do {                                                                                           \
        const TYPE *from = src;                                                                    \
        TYPE *to = dst;                                                                            \
                                                                                                   \
        for (size_t r = first; r < end; r += 16)                                                   \
            for (size_t c = 0; c < cols; c += 16)                                                  \
                for (size_t i = r; i < r + 16 && i < end; i++)                                     \
                    for (size_t j = c; j < c + 16 && j < cols; j++)                                \
                        to[j * rows + i] = from[i * cols + j];                                     \
    } while (0)

void tp_transpose(unsigned size, const void *src, size_t rows, size_t cols, size_t first,
                  size_t end, void *dst)
{
    if (size == 2)
        TRANSPOSE(uint16_t);
    else
        TRANSPOSE(uint32_t);
}
