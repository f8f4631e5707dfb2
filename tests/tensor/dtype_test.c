/* SPDX-License-Identifier: MIT */
/* The dtype table compared with safetensors, and the numbers on disk. */
#include <config.h>

#include "tensor/dtype.h"

#include "tests/tap.h"

static const struct {
    unsigned number;
    const char *name;
    unsigned bits;
} want[] = {
    {1, "BOOL", 8},     {2, "U8", 8},           {3, "I8", 8},           {4, "U16", 16},
    {5, "I16", 16},     {6, "F16", 16},         {7, "BF16", 16},        {8, "U32", 32},
    {9, "I32", 32},     {10, "F32", 32},        {11, "U64", 64},        {12, "I64", 64},
    {13, "F64", 64},    {14, "C64", 64},        {15, "F8_E4M3", 8},     {16, "F8_E5M2", 8},
    {17, "F8_E8M0", 8}, {18, "F8_E4M3FNUZ", 8}, {19, "F8_E5M2FNUZ", 8}, {20, "F4", 4},
    {21, "F6_E2M3", 6}, {22, "F6_E3M2", 6},
};

int main(void)
{
    enum tp_dtype d;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        bool good = tp_dtype_find(want[i].name, strlen(want[i].name), &d) && d == want[i].number;
        ok(good && tp_dtype_bits(d) == want[i].bits && strcmp(tp_dtype_name(d), want[i].name) == 0,
           "%s is number %u, %u bits", want[i].name, want[i].number, want[i].bits);
    }
    is_int(TP_DTYPE_COUNT, sizeof want / sizeof *want + 1, "these and bytes are all");
    is_int(tp_dtype_bits(TP_DTYPE_BYTES), 8, "bytes are bytes");
    ok(!tp_dtype_find("bytes", 5, &d) && !tp_dtype_find("bf16", 4, &d) &&
           !tp_dtype_find("BF16x", 5, &d) && !tp_dtype_find("BF1", 3, &d) &&
           !tp_dtype_find("", 0, &d),
       "other names are not found");
    ok(tp_dtype_find("BF16\xff", 4, &d) && d == TP_DTYPE_BF16, "a name need not end in NUL");
    ok(!tp_dtype_name(TP_DTYPE_COUNT) && !tp_dtype_bits(TP_DTYPE_COUNT) && !tp_dtype_bits(~0u),
       "other numbers are none");
    return tap_done();
}
