/* SPDX-License-Identifier: MIT */
/* Keys and values of sequences. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/memory.h"
#include "optimizer/runtime/runtime_impl.h"

bool tp_cache_bytes(const struct tp_runtime *rt, uint64_t sequences, uint64_t positions,
                    uint64_t *out)
{
    const struct tp_arch *a = &rt->arch;
    /* Below 2^16 * 2^24 * 2 * 4. */
    uint64_t one =
        (uint64_t)a->layer_n * 2 * a->kv_head_n * a->head_dim * (tp_dtype_bits(rt->dtype) / 8);

    return tp_mul_u64(sequences, positions, out) && tp_mul_u64(*out, one + sizeof(uint32_t), out);
}

int tp_cache_create(const struct tp_runtime *rt, uint32_t sequences, uint32_t positions,
                    struct tp_cache **out, struct tp_error *err)
{
    const struct tp_arch *a = &rt->arch;
    struct tp_cache *c;
    uint64_t bytes;

    *out = NULL;
    if (sequences == 0 || positions == 0 || positions > a->position_limit)
        return tp_fail(err, EINVAL, "%s cannot have %u positions", a->name, positions);
    if (!tp_cache_bytes(rt, sequences, positions, &bytes) || bytes > SIZE_MAX / 2 ||
        tp_memory_check(bytes) < 0)
        return tp_fail(err, ENOMEM, "out of memory for a cache of %u x %u positions", sequences,
                       positions);
    c = calloc(1, sizeof *c);
    if (!c)
        return tp_oom(err);
    c->dtype = rt->dtype;
    c->element = tp_dtype_bits(rt->dtype) / 8;
    c->layer_n = a->layer_n;
    c->sequence_n = sequences;
    c->position_n = positions;
    c->kv_head_n = a->kv_head_n;
    c->head_dim = a->head_dim;
    c->lengths = calloc(sequences, sizeof *c->lengths);
    c->tokens = calloc((size_t)sequences * positions, sizeof *c->tokens);
    c->data = malloc((size_t)sequences * positions * c->layer_n * 2 * c->kv_head_n * c->head_dim *
                     c->element);
    if (!c->lengths || !c->tokens || !c->data) {
        tp_cache_destroy(c);
        return tp_fail(err, ENOMEM, "out of memory for a cache of %u x %u positions", sequences,
                       positions);
    }
    *out = c;
    return 0;
}

void tp_cache_destroy(struct tp_cache *cache)
{
    if (!cache)
        return;
    free(cache->lengths);
    free(cache->tokens);
    free(cache->data);
    free(cache);
}

uint32_t tp_cache_length(const struct tp_cache *cache, uint32_t sequence)
{
    return cache->lengths[sequence];
}

void tp_cache_truncate(struct tp_cache *cache, uint32_t sequence, uint32_t length)
{
    if (length < cache->lengths[sequence])
        cache->lengths[sequence] = length;
}

uint32_t *tp_cache_tokens(const struct tp_cache *cache, uint32_t sequence)
{
    return cache->tokens + (size_t)sequence * cache->position_n;
}

void *tp_cache_head(const struct tp_cache *cache, uint32_t layer, bool values, uint32_t sequence,
                    uint32_t kv_head)
{
    size_t head =
        (((size_t)layer * 2 + values) * cache->sequence_n + sequence) * cache->kv_head_n + kv_head;

    return cache->data + head * cache->position_n * cache->head_dim * cache->element;
}
