/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as config.json of a model that is to be run. An architecture that is taken has
 * dimensions that agree, and numbers with which the forward pass can work.
 */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "optimizer/runtime/arch.h"
#include "tensor/config.h"
#include "tests/fuzz/fuzz.h"

static void check_rope(const struct tp_rope *rope, const struct tp_arch *arch)
{
    float space[TP_ROPE_DIM_MAX / 2], cos[TP_ROPE_DIM_MAX / 2], sin[TP_ROPE_DIM_MAX / 2];
    static const uint64_t lengths[] = {1, 4096, UINT32_MAX};

    FUZZ_CHECK(rope->dim % 2 == 0 && rope->dim <= arch->head_dim && rope->dim <= TP_ROPE_DIM_MAX);
    for (unsigned i = 0; rope->dim && i < sizeof lengths / sizeof *lengths; i++) {
        const float *f = tp_rope_frequencies(rope, lengths[i], space);
        for (uint32_t j = 0; j < rope->dim / 2; j++)
            FUZZ_CHECK(f[j] >= 0 && isfinite(f[j]));
        tp_rope_angles(rope, f, lengths[i] - 1, cos, sin);
        for (uint32_t j = 0; j < rope->dim / 2; j++)
            FUZZ_CHECK(!isnan(cos[j]) && !isnan(sin[j]));
    }
}

static void check_arch(const struct tp_arch *a)
{
    uint32_t sliding = 0;

    FUZZ_CHECK(a->family && a->name);
    FUZZ_CHECK(a->hidden && a->inter && a->layer_n && a->head_n && a->kv_head_n && a->head_dim);
    FUZZ_CHECK(a->vocab && a->head_n % a->kv_head_n == 0);
    FUZZ_CHECK((uint64_t)a->head_n * a->head_dim <= 1u << 24);
    FUZZ_CHECK(isfinite(a->attention_scale) && a->attention_scale > 0);
    FUZZ_CHECK(a->attention_cap >= 0 && isfinite(a->attention_cap));
    FUZZ_CHECK(a->logit_cap >= 0 && isfinite(a->logit_cap) && a->norm_epsilon >= 0);
    for (uint32_t i = 0; i < a->layer_n; i++)
        sliding += a->spans[i] == TP_SPAN_SLIDING;
    FUZZ_CHECK((sliding > 0) == (a->window > 0));
    check_rope(&a->ropes[TP_SPAN_FULL], a);
    check_rope(&a->ropes[TP_SPAN_SLIDING], a);
    /* A layer's rotation is that of its kind: there is none only if the family has learned
     * positions. */
    FUZZ_CHECK(a->learned_positions || a->ropes[TP_SPAN_FULL].dim);
    FUZZ_CHECK(a->learned_positions || !sliding || a->ropes[TP_SPAN_SLIDING].dim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tp_error err = {0};
    struct tp_config config;
    struct tp_arch arch = {0};

    if (tp_config_parse(data, len, &config, &err) == 0) {
        int rc = tp_arch_init(&arch, &config, &err);
        FUZZ_CHECK(rc == 0 || rc == -EOPNOTSUPP || rc == -EINVAL);
        FUZZ_CHECK(rc == 0 || (err.message[0] && !strchr(err.message, '\n')));
        if (rc == 0)
            check_arch(&arch);
        else
            FUZZ_CHECK(!arch.spans && !arch.ropes[0].frequencies);
        tp_arch_clear(&arch);
    }
    tp_config_clear(&config);
    return 0;
}
