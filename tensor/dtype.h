/* SPDX-License-Identifier: MIT */
/* Element types of tensors. The numbers are on disk (doc/FORMAT.md): never renumber. */
#ifndef TP_TENSOR_DTYPE_H
#define TP_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tp_dtype {
    TP_DTYPE_BYTES = 0, /* opaque: not a tensor */
    TP_DTYPE_BOOL = 1,
    TP_DTYPE_U8 = 2,
    TP_DTYPE_I8 = 3,
    TP_DTYPE_U16 = 4,
    TP_DTYPE_I16 = 5,
    TP_DTYPE_F16 = 6,
    TP_DTYPE_BF16 = 7,
    TP_DTYPE_U32 = 8,
    TP_DTYPE_I32 = 9,
    TP_DTYPE_F32 = 10,
    TP_DTYPE_U64 = 11,
    TP_DTYPE_I64 = 12,
    TP_DTYPE_F64 = 13,
    TP_DTYPE_C64 = 14,
    TP_DTYPE_F8_E4M3 = 15,
    TP_DTYPE_F8_E5M2 = 16,
    TP_DTYPE_F8_E8M0 = 17,
    TP_DTYPE_F8_E4M3FNUZ = 18,
    TP_DTYPE_F8_E5M2FNUZ = 19,
    TP_DTYPE_F4 = 20,      /* 4 bits */
    TP_DTYPE_F6_E2M3 = 21, /* 6 bits */
    TP_DTYPE_F6_E3M2 = 22, /* 6 bits */
    TP_DTYPE_COUNT
};

/* Bits of an element: 4, 6, 8, 16, 32 or 64; 8 for BYTES; 0 for a number that is no dtype. */
unsigned tp_dtype_bits(unsigned dtype);
/*
 * The name that safetensors uses ("BF16"), "bytes" for BYTES, NULL for a number that is no dtype.
 */
const char *tp_dtype_name(unsigned dtype);
/* Find by safetensors' name (NAME need not end in NUL); false when unknown. */
bool tp_dtype_find(const char *name, size_t len, enum tp_dtype *out);

#endif
