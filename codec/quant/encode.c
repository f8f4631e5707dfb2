/* SPDX-License-Identifier: MIT */
/* Packing codes; INT8 and NF4, whose codes and scales follow from the values alone. */
#include <config.h>

#include "codec/quant/encode.h"

#include <math.h>
#include <string.h>

#include "base/le.h"
#include "codec/quant/grid.h"

void tp_pack_codes(uint8_t *dst, const uint8_t *codes, size_t n, unsigned bits)
{
    uint32_t held = 0;
    unsigned count = 0;

    if (bits == 8) {
        memcpy(dst, codes, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        held |= (uint32_t)codes[i] << count;
        count += bits;
        if (count >= 8) {
            *dst++ = (uint8_t)held;
            held >>= 8;
            count -= 8;
        }
    }
    if (count > 0)
        *dst = (uint8_t)held;
}

void tp_encode_int8(const struct tp_packing *p, unsigned part, uint32_t r, const float *x)
{
    int8_t *codes = (int8_t *)tp_packing_at(p, part, TP_QUANT_CODES, r);
    float absmax = 0, factor;

    for (uint32_t c = 0; c < p->spec.cols; c++)
        absmax = fabsf(x[c]) > absmax ? fabsf(x[c]) : absmax;
    memcpy(tp_packing_at(p, part, TP_QUANT_SCALES, r), &absmax, 4);
    /* In the order of bitsandbytes; the factor of a row near zero would be infinite. */
    factor = absmax > 0x1p-118f ? 1.0f / absmax * 127.0f : 0;
    for (uint32_t c = 0; c < p->spec.cols; c++)
        codes[c] = (int8_t)tp_round(tp_clamp(x[c] * factor, -127, 127));
}

/* The middles between neighbouring values of NF4. */
static void nf4_bounds(float bounds[15])
{
    for (unsigned i = 0; i < 15; i++)
        bounds[i] = (tp_quant_nf4[i] + tp_quant_nf4[i + 1]) / 2;
}

/* The number of bounds below X. */
static uint8_t nf4_code(const float bounds[15], float x)
{
    unsigned code = 0;

    for (unsigned i = 0; i < 15; i++)
        code += x > bounds[i];
    return (uint8_t)code;
}

/*
 * Codes of one block of N values. As bitsandbytes does it: a whole block is multiplied by the
 * reciprocal of its absolute maximum, the last block, if it is shorter, is divided by it.
 */
static float nf4_block(const float bounds[15], const float *x, unsigned n, uint8_t *codes)
{
    const float least = 1e-38f;
    float absmax = 0, divisor;

    for (unsigned j = 0; j < n; j++)
        absmax = fabsf(x[j]) > absmax ? fabsf(x[j]) : absmax;
    divisor = absmax < least ? least : absmax;
    for (unsigned j = 0; j < n; j++) {
        float scaled = n == TP_QUANT_BLOCK ? x[j] * (1.0f / divisor) : x[j] / divisor;

        codes[j] = nf4_code(bounds, tp_clamp(scaled, -1, 1));
    }
    return n == TP_QUANT_BLOCK ? absmax : divisor;
}

void tp_encode_nf4(const struct tp_packing *p, const struct tp_quant_source *source, uint32_t first,
                   uint32_t end, float *absmax)
{
    uint32_t cols = p->spec.cols;
    uint64_t total = (uint64_t)p->spec.rows * cols;
    uint64_t block = ((uint64_t)first * cols + TP_QUANT_BLOCK - 1) / TP_QUANT_BLOCK;
    float bounds[15];

    nf4_bounds(bounds);
    for (; block * TP_QUANT_BLOCK < (uint64_t)end * cols; block++) {
        uint64_t e = block * TP_QUANT_BLOCK;
        unsigned n = (unsigned)(total - e < TP_QUANT_BLOCK ? total - e : TP_QUANT_BLOCK);
        uint8_t *dst = tp_packing_at(p, 0, TP_QUANT_CODES, 0) + e / 2;
        uint8_t codes[TP_QUANT_BLOCK + 1];
        float x[TP_QUANT_BLOCK];

        for (unsigned j = 0; j < n; j++)
            x[j] = source->w[(e + j) / cols * source->stride + (e + j) % cols];
        absmax[block] = nf4_block(bounds, x, n, codes);
        codes[n] = nf4_code(bounds, 0); /* beside the last of an odd number */
        for (unsigned j = 0; j < n; j += 2)
            dst[j / 2] = (uint8_t)(codes[j] << 4 | codes[j + 1]);
    }
}

/*
 * The code of X, from -1 to 1. As bitsandbytes does it: X is rounded to a grid of 65536 numbers,
 * then the nearest of the coded scales is taken; of two, the lower one.
 */
static uint8_t dynamic_code(float x)
{
    double on_grid = (int)((x + 1.0f) * 32767.5f + 0.5f) * (2.0 / 65535) - 1;
    unsigned low = 0, high = 255;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        double bound = ((double)tp_quant_dynamic[middle] + tp_quant_dynamic[middle + 1]) / 2;

        if (bound < on_grid)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint8_t)low;
}

void tp_encode_nf4_scales(const struct tp_packing *p, float *absmax)
{
    uint64_t blocks = p->layout.section[0][TP_QUANT_SCALES].bytes;
    uint8_t *scales = tp_packing_at(p, 0, TP_QUANT_SCALES, 0);
    double sum = 0;
    float offset;

    if (p->spec.part[0].kind == TP_QUANT_NF4) {
        memcpy(scales, absmax, blocks);
        return;
    }
    for (uint64_t b = 0; b < blocks; b++)
        sum += absmax[b];
    offset = (float)(sum / (double)blocks);
    memcpy(tp_packing_at(p, 0, TP_QUANT_TABLE, 0), &offset, 4);
    for (uint64_t b = 0; b < blocks; b += TP_QUANT_SCALE_BLOCK) {
        uint64_t end = blocks - b < TP_QUANT_SCALE_BLOCK ? blocks : b + TP_QUANT_SCALE_BLOCK;
        float largest = 0, factor;

        for (uint64_t k = b; k < end; k++) {
            absmax[k] = absmax[k] - offset;
            largest = fabsf(absmax[k]) > largest ? fabsf(absmax[k]) : largest;
        }
        memcpy(tp_packing_at(p, 0, TP_QUANT_ZEROS, 0) + b / TP_QUANT_SCALE_BLOCK * 4, &largest, 4);
        factor = largest > 0x1p-126f ? 1.0f / largest : 0;
        for (uint64_t k = b; k < end; k++)
            scales[k] = dynamic_code(tp_clamp(absmax[k] * factor, -1, 1));
    }
}
