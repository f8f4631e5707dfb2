/* SPDX-License-Identifier: MIT */
/*
 * Products of bf16 with AMX. The tiles 0 to 3 are sums, 4 and 5 the halves of W, 6 and 7 those of
 * the vectors.
 *
 * In assembly: gcc 12 lets the writing of a configuration sink below its loading
 * (_tile_loadconfig). No compiler uses tiles unasked, so they keep their contents between the
 * statements, which are in order because they are volatile.
 */
#include <config.h>

#include "optimizer/kernel/bf16.h"

#if TP_HAVE_AVX512

/* Rows of 64 bytes at AT. */
#define MOVE(WORDS, AT) __asm__ volatile(WORDS : : "r"(AT), "r"((size_t)64) : "memory")
#define LOAD(TILE, FROM) MOVE("tileloadd (%0,%1,1), %%tmm" #TILE, FROM)
#define STORE(TILE, TO) MOVE("tilestored %%tmm" #TILE ", (%0,%1,1)", TO)
#define ZERO(TILE) __asm__ volatile("tilezero %%tmm" #TILE : : :)
/* SUM += W x X */
#define ADD(SUM, W, X) __asm__ volatile("tdpbf16ps %%tmm" #X ", %%tmm" #W ", %%tmm" #SUM : : :)

/* Whole tiles: 16 rows of 64 bytes. */
static void configure(void)
{
    static const struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config = {
        .palette = 1,
        .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {16, 16, 16, 16, 16, 16, 16, 16},
    };

    _Static_assert(sizeof config == 64, "as LDTILECFG reads it");
    __asm__ volatile("ldtilecfg %0" : : "m"(config) : "memory");
}

void tp_bf16_tiles_amx(const uint16_t *w, const uint16_t *x, size_t x_stride, size_t n,
                       size_t steps, float *sums, bool fresh)
{
    configure();
    for (; n > 0; n--, x += x_stride, sums += TP_BF16_SUMS) {
        const uint16_t *u = w, *v = x;

        if (fresh) {
            ZERO(0);
            ZERO(1);
            ZERO(2);
            ZERO(3);
        } else {
            LOAD(0, sums);
            LOAD(1, sums + 256);
            LOAD(2, sums + 512);
            LOAD(3, sums + 768);
        }
        for (size_t s = 0; s < steps; s++, u += 2 * TP_BF16_SQUARE, v += 2 * TP_BF16_SQUARE) {
            LOAD(4, u);
            LOAD(6, v);
            ADD(0, 4, 6);
            LOAD(7, v + TP_BF16_SQUARE);
            ADD(1, 4, 7);
            LOAD(5, u + TP_BF16_SQUARE);
            ADD(2, 5, 6);
            ADD(3, 5, 7);
        }
        STORE(0, sums);
        STORE(1, sums + 256);
        STORE(2, sums + 512);
        STORE(3, sums + 768);
    }
    /* Without tiles in use, the kernel has less to save. */
    __asm__ volatile("tilerelease" : : :);
}

#endif
