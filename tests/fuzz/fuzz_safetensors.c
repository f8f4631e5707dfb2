/* SPDX-License-Identifier: MIT */
/* Any bytes as the beginning of a safetensors file: refused, or tensors that tile the file. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "tensor/safetensors.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    /* The first byte says how much longer than its beginning the file is. */
    if (len < 1)
        return 0;
    uint64_t file_size = (len - 1) + (uint64_t)data[0];
    struct tp_safetensors st;
    struct tp_error err;
    if (tp_safetensors_parse(data + 1, len - 1, file_size, &st, &err) < 0) {
        FUZZ_CHECK(st.tensors == NULL && err.message[0]);
        return 0;
    }
    uint64_t at = st.data_off;
    for (size_t i = 0; i < st.tensor_n; i++) {
        const struct tp_tensor *t = &st.tensors[i];
        FUZZ_CHECK(t->off == at && tp_dtype_bits(t->dtype) && strlen(t->name) < len);
        at += t->len;
    }
    FUZZ_CHECK(at == file_size);
    tp_safetensors_clear(&st);
    return 0;
}
