/* SPDX-License-Identifier: MIT */
/* The methods by name. Their ratios are measured by bench/quant_bench, not promised here. */
#include <config.h>

#include "codec/quant/method.h"

#include <string.h>

#define HESSIAN TP_QUANT_NEEDS_HESSIAN
#define DIAGONAL TP_QUANT_NEEDS_DIAGONAL
#define MEAN TP_QUANT_NEEDS_MEAN

const struct tp_quant_method tp_quant_methods[] = {
    {"int8", "8 bits, a scale for each row", 0, false, {.kind = TP_QUANT_INT8}},
    {"bnb_int8",
     "8 bits, a scale for each row; columns whose inputs exceed 6 in fp16",
     TP_QUANT_NEEDS_MAX,
     false,
     {.kind = TP_QUANT_INT8, .column_limit = 6}},
    {"nf4", "bitsandbytes' NF4, blocks of 64", 0, false, {.kind = TP_QUANT_NF4}},
    {"nf4_double",
     "bitsandbytes' NF4, blocks of 64, coded scales",
     0,
     false,
     {.kind = TP_QUANT_NF4_DOUBLE}},
    {"nearest",
     "round to nearest, 4 bits, groups of 128, scale and zero",
     0,
     false,
     {.kind = TP_QUANT_ASYM, .bits = 4, .group = 128}},
    {"nearest_sym",
     "round to nearest, 4 bits, groups of 128, scale",
     0,
     false,
     {.kind = TP_QUANT_SYM, .bits = 4, .group = 128}},
    {"gptq",
     "GPTQ, 4 bits, groups of 128, large inputs first",
     HESSIAN,
     false,
     {.kind = TP_QUANT_SYM, .bits = 4, .group = 128, .gptq = true, .damp = 0.05}},
    {"awq",
     "AWQ, 4 bits, groups of 128, search of scales and ranges",
     HESSIAN | MEAN,
     false,
     {.kind = TP_QUANT_ASYM, .bits = 4, .group = 128, .fold = TP_QUANT_FOLD_SEARCH, .clip = true}},
    {"int4_awq_v1",
     "4 bits, groups of 256, square roots of inputs as scales, 0.5 % outliers",
     DIAGONAL | MEAN,
     false,
     {.kind = TP_QUANT_SYM,
      .bits = 4,
      .group = 256,
      .rounds = 5,
      .fold = TP_QUANT_FOLD_SQRT,
      .outliers = 0.005}},
    {"int4_residual_v1",
     "4 bits, groups of 16, then 2 bits of the residual, groups of 64",
     DIAGONAL,
     false,
     {.kind = TP_QUANT_SYM,
      .bits = 4,
      .group = 16,
      .rounds = 5,
      .second_bits = 2,
      .second_group = 64}},
    {"int4_opt_llama_v1",
     "4 bits, groups of 32, refined scale and offset",
     DIAGONAL,
     false,
     {.kind = TP_QUANT_AFFINE, .bits = 4, .group = 32, .rounds = 5}},
    {"int4_g8_fp16_v1",
     "4 bits, groups of 8, refined scale and offset",
     DIAGONAL,
     false,
     {.kind = TP_QUANT_AFFINE, .bits = 4, .group = 8, .rounds = 5}},
    {"int4_g16",
     "4 bits, groups of 16, refined scale and offset",
     DIAGONAL,
     false,
     {.kind = TP_QUANT_AFFINE, .bits = 4, .group = 16, .rounds = 5}},
    {"tenpak_x_v1",
     "low rank, a codebook of the residual, 4 bits of what remains",
     DIAGONAL,
     false,
     {.kind = TP_QUANT_SYM,
      .bits = 4,
      .group = 256,
      .rounds = 5,
      .rank = 16,
      .book_bits = 8,
      .book_group = 8}},
    {NULL, NULL, 0, false, {TP_QUANT_NONE}},
};

const struct tp_quant_method *tp_quant_method_find(const char *name)
{
    for (const struct tp_quant_method *m = tp_quant_methods; m->name; m++)
        if (!strcmp(m->name, name))
            return m;
    return NULL;
}
