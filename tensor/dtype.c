/* SPDX-License-Identifier: MIT */
/* The table of element types. */
#include <config.h>

#include "tensor/dtype.h"

#include <string.h>

static const struct {
    const char *name;
    unsigned bits;
} dtypes[TP_DTYPE_COUNT] = {
    [TP_DTYPE_BYTES] = {"bytes", 8},
    [TP_DTYPE_BOOL] = {"BOOL", 8},
    [TP_DTYPE_U8] = {"U8", 8},
    [TP_DTYPE_I8] = {"I8", 8},
    [TP_DTYPE_U16] = {"U16", 16},
    [TP_DTYPE_I16] = {"I16", 16},
    [TP_DTYPE_F16] = {"F16", 16},
    [TP_DTYPE_BF16] = {"BF16", 16},
    [TP_DTYPE_U32] = {"U32", 32},
    [TP_DTYPE_I32] = {"I32", 32},
    [TP_DTYPE_F32] = {"F32", 32},
    [TP_DTYPE_U64] = {"U64", 64},
    [TP_DTYPE_I64] = {"I64", 64},
    [TP_DTYPE_F64] = {"F64", 64},
    [TP_DTYPE_C64] = {"C64", 64},
    [TP_DTYPE_F8_E4M3] = {"F8_E4M3", 8},
    [TP_DTYPE_F8_E5M2] = {"F8_E5M2", 8},
    [TP_DTYPE_F8_E8M0] = {"F8_E8M0", 8},
    [TP_DTYPE_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [TP_DTYPE_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [TP_DTYPE_F4] = {"F4", 4},
    [TP_DTYPE_F6_E2M3] = {"F6_E2M3", 6},
    [TP_DTYPE_F6_E3M2] = {"F6_E3M2", 6},
};

unsigned tp_dtype_bits(unsigned dtype)
{
    return dtype < TP_DTYPE_COUNT ? dtypes[dtype].bits : 0;
}

const char *tp_dtype_name(unsigned dtype)
{
    return dtype < TP_DTYPE_COUNT ? dtypes[dtype].name : NULL;
}

bool tp_dtype_find(const char *name, size_t len, enum tp_dtype *out)
{
    /* BYTES is not a name of safetensors: the search begins after it. */
    for (unsigned i = TP_DTYPE_BYTES + 1; i < TP_DTYPE_COUNT; i++) {
        if (strlen(dtypes[i].name) == len && memcmp(dtypes[i].name, name, len) == 0) {
            *out = (enum tp_dtype)i;
            return true;
        }
    }
    return false;
}
