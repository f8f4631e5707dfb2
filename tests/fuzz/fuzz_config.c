/* SPDX-License-Identifier: MIT */
/* Any bytes as config.json. Dimensions that are accepted are within their bounds. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "tensor/config.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tp_error err = {0};
    struct tp_config c;
    int rc = tp_config_parse(data, len, &c, &err);

    FUZZ_CHECK(rc == 0 || (err.message[0] && !c.hidden_size && !c.layer_n && !c.head_n));
    FUZZ_CHECK(rc == 0 || rc == -EBADMSG || rc == -ERANGE || rc == -EFBIG);
    FUZZ_CHECK(c.root || (!c.architecture && !c.model_type && !c.name && !c.base_model));
    if (rc == 0) {
        FUZZ_CHECK(c.hidden_size <= 1u << 24 && c.layer_n <= 1u << 16 && c.vocab_size <= 1u << 28);
        FUZZ_CHECK(!c.head_n || (c.kv_head_n <= c.head_n && c.head_n % c.kv_head_n == 0));
        FUZZ_CHECK((unsigned)c.dtype < TP_DTYPE_COUNT);
    }
    tp_config_clear(&c);
    return 0;
}
