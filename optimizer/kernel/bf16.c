/* SPDX-License-Identifier: MIT */
/* Products of bf16: blocks of W are expanded once for all vectors; the reference of the tiles. */
#include <config.h>

#include "optimizer/kernel/bf16.h"

#include <string.h>

#include "codec/convert.h"
#include "optimizer/kernel/impl.h"

enum {
    FEW_VECTORS = 8,  /* from here on, expanding W pays */
    BLOCK_COLS = 576, /* a tile of rows of these stays in the first cache */
    BLOCK_TILES = 16, /* of vectors, whose sums are kept between two blocks of columns */
};
_Static_assert(BLOCK_COLS % TP_BF16_STEP == 0, "whole steps");
_Static_assert(sizeof(float) * (BLOCK_TILES * TP_BF16_SUMS + BLOCK_COLS) +
                       sizeof(uint16_t) * (TP_BF16_SIDE + 1) * BLOCK_COLS <=
                   TP_KERNEL_SCRATCH,
               "a block and its sums fit into the scratch memory");

static size_t steps_of(size_t cols)
{
    return (cols + TP_BF16_STEP - 1) / TP_BF16_STEP;
}

/* Elements of a packed tile of vectors. */
static size_t tile_size(size_t cols)
{
    return 2 * TP_BF16_SQUARE * steps_of(cols);
}

static void pack_scalar(const float *x, size_t stride, size_t vectors, size_t cols, uint16_t *dst)
{
    memset(dst, 0, TP_BF16_SQUARE * sizeof *dst);
    for (size_t i = 0; i < vectors; i++)
        for (size_t c = 0; c < cols; c++)
            tp_convert(TP_DTYPE_BF16, &dst[c / 2 * 2 * TP_BF16_HALF + 2 * i + c % 2], TP_DTYPE_F32,
                       &x[i * stride + c], 1);
}

static float value(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float x;

    memcpy(&x, &wide, sizeof x);
    return x;
}

/* One half with one half. */
static void add_products(const uint16_t *w, const uint16_t *x, float *sums)
{
    for (size_t r = 0; r < TP_BF16_HALF; r++)
        for (size_t i = 0; i < TP_BF16_HALF; i++)
            for (size_t c = 0; c < TP_BF16_STEP; c++)
                sums[r * TP_BF16_HALF + i] += value(w[r * TP_BF16_STEP + c]) *
                                              value(x[c / 2 * 2 * TP_BF16_HALF + 2 * i + c % 2]);
}

static void tiles_scalar(const uint16_t *w, const uint16_t *x, size_t x_stride, size_t n,
                         size_t steps, float *sums, bool fresh)
{
    if (fresh)
        memset(sums, 0, n * TP_BF16_SUMS * sizeof *sums);
    for (; n > 0; n--, x += x_stride, sums += TP_BF16_SUMS)
        for (size_t s = 0; s < 2 * steps; s += 2)
            for (size_t half = 0; half < 4; half++)
                add_products(w + (s + half / 2) * TP_BF16_SQUARE,
                             x + (s + half % 2) * TP_BF16_SQUARE, sums + half * TP_BF16_SUMS / 4);
}

static void store_scalar(const float *sums, size_t rows, size_t vectors, float *y, size_t stride)
{
    const size_t half = TP_BF16_HALF;

    for (size_t i = 0; i < vectors; i++)
        for (size_t r = 0; r < rows; r++)
            y[i * stride + r] =
                sums[((r / half * 2 + i / half) * half + r % half) * half + i % half];
}

#if TP_HAVE_AVX512
#define BY_ISA(SCALAR, AVX512, AMX)                                                                \
    {                                                                                              \
        [TP_ISA_SCALAR] = SCALAR, [TP_ISA_AVX2] = SCALAR, [TP_ISA_AVX512] = SCALAR,                \
        [TP_ISA_AVX512_BF16] = AVX512, [TP_ISA_AMX] = AMX                                          \
    }
#else
#define BY_ISA(SCALAR, AVX512, AMX)                                                                \
    {                                                                                              \
        [TP_ISA_SCALAR] = SCALAR, [TP_ISA_AVX2] = SCALAR                                           \
    }
#endif
static tp_bf16_pack_fn *const pack_by_isa[TP_ISA_COUNT] =
    BY_ISA(pack_scalar, tp_bf16_pack_avx512, tp_bf16_pack_avx512);
static tp_bf16_tiles_fn *const tiles_by_isa[TP_ISA_COUNT] =
    BY_ISA(tiles_scalar, tp_bf16_tiles_avx512, tp_bf16_tiles_amx);
static tp_bf16_store_fn *const store_by_isa[TP_ISA_COUNT] =
    BY_ISA(store_scalar, tp_bf16_store_avx512, tp_bf16_store_avx512);

bool tp_bf16_pays(size_t m)
{
    return m >= FEW_VECTORS && tp_isa_get() >= TP_ISA_AVX512_BF16;
}

size_t tp_bf16_bytes(size_t m, size_t cols)
{
    return (m + TP_BF16_SIDE - 1) / TP_BF16_SIDE * tile_size(cols) * sizeof(uint16_t);
}

void tp_bf16_pack(const float *x, size_t stride, size_t m, size_t cols, size_t first, size_t end,
                  void *packed)
{
    tp_bf16_pack_fn *pack = pack_by_isa[tp_isa_get()];

    for (size_t i = first; i < end; i += TP_BF16_SIDE) {
        uint16_t *dst = (uint16_t *)packed + i / TP_BF16_SIDE * tile_size(cols);

        for (size_t c = 0; c < cols; c += TP_BF16_STEP)
            for (size_t j = i; j < i + TP_BF16_SIDE; j += TP_BF16_HALF, dst += TP_BF16_SQUARE)
                pack(j < m ? x + j * stride + c : x, stride,
                     j >= m                 ? 0
                     : m - j < TP_BF16_HALF ? m - j
                                            : TP_BF16_HALF,
                     cols - c < TP_BF16_STEP ? cols - c : TP_BF16_STEP, dst);
    }
}

/* The elements C to C + COLS - 1 of ROWS rows of W from R on, in BF16, as tiles want them. */
static void expand_block(const struct tp_matrix *w, size_t r, size_t rows, size_t c, size_t cols,
                         enum tp_isa isa, uint16_t *dst, float *wide, uint16_t *narrow)
{
    const bool is_bf16 = w->form == tp_matrix_float_form(TP_DTYPE_BF16);
    const size_t steps = steps_of(cols);

    if (rows < TP_BF16_SIDE || cols % TP_BF16_STEP)
        memset(dst, 0, 2 * TP_BF16_SQUARE * steps * sizeof *dst);
    for (size_t i = 0; i < rows; i++) {
        const void *row = narrow;
        uint16_t *to = dst + i / TP_BF16_HALF * TP_BF16_SQUARE + i % TP_BF16_HALF * TP_BF16_STEP;

        if (is_bf16) {
            row = (const uint8_t *)w->data + (r + i) * w->stride + 2 * c;
        } else {
            w->form->expand[isa](w, r + i, c, cols, wide, 8);
            tp_convert(TP_DTYPE_BF16, narrow, TP_DTYPE_F32, wide, cols);
        }
        for (size_t s = 0; s < steps; s++, to += 2 * TP_BF16_SQUARE) {
            size_t left = cols - s * TP_BF16_STEP;
            const uint8_t *from = (const uint8_t *)row + 2 * s * TP_BF16_STEP;

            if (left >= TP_BF16_STEP)
                memcpy(to, from, TP_BF16_STEP * sizeof *to);
            else
                memcpy(to, from, left * sizeof *to);
        }
    }
}

void tp_bf16_multiply(const struct tp_matrix *w, size_t first, size_t end, const void *packed,
                      size_t m, float *y, size_t y_stride, void *scratch)
{
    const enum tp_isa isa = tp_isa_get();
    const size_t tiles = (m + TP_BF16_SIDE - 1) / TP_BF16_SIDE, size = tile_size(w->cols);
    /* Blocks of columns of about the same size. */
    const size_t blocks = (w->cols + BLOCK_COLS - 1) / BLOCK_COLS;
    const size_t width = steps_of((w->cols + blocks - 1) / blocks) * TP_BF16_STEP;
    float *sums = scratch, *wide = sums + BLOCK_TILES * TP_BF16_SUMS;
    uint16_t *block = (uint16_t *)(wide + BLOCK_COLS);
    uint16_t *narrow = block + TP_BF16_SIDE * BLOCK_COLS;

    for (size_t r = first; r < end; r += TP_BF16_SIDE)
        for (size_t t = 0; t < tiles; t += BLOCK_TILES) {
            size_t rows = end - r < TP_BF16_SIDE ? end - r : TP_BF16_SIDE;
            size_t n = tiles - t < BLOCK_TILES ? tiles - t : BLOCK_TILES;

            for (size_t c = 0; c < w->cols; c += width) {
                size_t cols = w->cols - c < width ? w->cols - c : width;

                expand_block(w, r, rows, c, cols, isa, block, wide, narrow);
                tiles_by_isa[isa](block,
                                  (const uint16_t *)packed + t * size +
                                      c / TP_BF16_STEP * 2 * TP_BF16_SQUARE,
                                  size, n, steps_of(cols), sums, c == 0);
            }
            for (size_t i = 0; i < n; i++) {
                size_t at = (t + i) * TP_BF16_SIDE;

                store_by_isa[isa](sums + i * TP_BF16_SUMS, rows,
                                  m - at < TP_BF16_SIDE ? m - at : TP_BF16_SIDE,
                                  y + at * y_stride + r, y_stride);
            }
        }
}
