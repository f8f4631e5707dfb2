/* SPDX-License-Identifier: MIT */
/* GPTQ: the error of each column is made up for by those that are quantized after it. */
#ifndef TP_CODEC_QUANT_GPTQ_H
#define TP_CODEC_QUANT_GPTQ_H

#include "codec/quant/factor.h"
#include "codec/quant/grid.h"

/* A block of rows, each of COLS columns in their order, GROUPS groups. */
struct tp_quant_rows {
    uint32_t count, cols, group, groups;
    float *x;             /* the values that codes are wanted for */
    struct tp_grid *grid; /* [count][groups] */
    uint8_t *codes;
    uint8_t *outlier; /* 1: kept in fp16 beside the codes; NULL: none */
    float *kept;      /* what is added to the value of an outlier's code */
};

/* The codes of ROWS, and what is kept. 0 or -ENOMEM. */
int tp_gptq_rows(const struct tp_factor *f, const struct tp_quant_rows *rows);

/* The codes of ROWS, each the nearest by itself. */
void tp_nearest_rows(const struct tp_quant_rows *rows);

#endif
