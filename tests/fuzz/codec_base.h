/* SPDX-License-Identifier: MIT */
/* The base that inputs of the codecs' fuzz target are decoded against. */
#ifndef TP_TESTS_FUZZ_CODEC_BASE_H
#define TP_TESTS_FUZZ_CODEC_BASE_H

#include <stddef.h>
#include <stdint.h>

/* A few exponents are common and every bit pattern occurs. */
static inline void codec_base_fill(uint8_t *p, size_t len)
{
    uint32_t x = 12345;

    for (size_t i = 0; i < len; i++) {
        x = x * 1103515245 + 12345;
        p[i] = (uint8_t)(i & 1 && x >> 28 ? 0x3c + (x >> 24 & 0x81) : x >> 16);
    }
}

#endif
