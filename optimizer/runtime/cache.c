/* SPDX-License-Identifier: MIT */
/* Keys and values of sequences. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/memory.h"
#include "optimizer/runtime/runtime_impl.h"

/* Positions that layer LAYER has space for, where sequences have POSITIONS. */
static uint64_t space_of(const struct tp_arch *a, uint32_t layer, uint64_t positions)
{
    const uint64_t block = TP_ATTENTION_BLOCK;
    /* A pass stores the keys of a group before it computes the first query of the group. */
    uint64_t ring = ((uint64_t)a->window + TP_GROUP_ROWS + block - 1) / block * block;

    return a->spans[layer] == TP_SPAN_SLIDING && ring < positions ? ring : positions;
}

bool tp_cache_bytes(const struct tp_runtime *rt, uint64_t sequences, uint64_t positions,
                    uint64_t *out)
{
    const struct tp_arch *a = &rt->arch;
    /* Below 2 * 2^24 * 4. */
    uint64_t one = 2 * (uint64_t)a->kv_head_n * a->head_dim * (tp_dtype_bits(rt->dtype) / 8), all;

    if (!tp_mul_u64(positions, sizeof(uint32_t), &all))
        return false;
    for (uint32_t i = 0; i < a->layer_n; i++) {
        uint64_t layer;

        if (!tp_mul_u64(space_of(a, i, positions), one, &layer) || !tp_add_u64(all, layer, &all))
            return false;
    }
    return tp_mul_u64(sequences, all, out);
}

/* Where the layers begin; returns the bytes of all of them. */
static size_t place_layers(struct tp_cache *c, const struct tp_arch *a)
{
    size_t position = (size_t)c->sequence_n * 2 * c->kv_head_n * c->head_dim * c->element, at = 0;

    for (uint32_t i = 0; i < a->layer_n; i++) {
        c->layers[i] = (struct tp_cache_layer){at, (uint32_t)space_of(a, i, c->position_n)};
        at += c->layers[i].position_n * position;
    }
    return at;
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
    c->sequence_n = sequences;
    c->position_n = positions;
    c->window = a->window;
    c->kv_head_n = a->kv_head_n;
    c->head_dim = a->head_dim;
    c->lengths = calloc(sequences, sizeof *c->lengths);
    c->ends = calloc(sequences, sizeof *c->ends);
    c->tokens = calloc((size_t)sequences * positions, sizeof *c->tokens);
    c->layers = calloc(a->layer_n, sizeof *c->layers);
    c->data = c->layers ? malloc(place_layers(c, a)) : NULL;
    for (uint32_t i = 0; c->layers && i < a->layer_n; i++)
        if (c->layers[i].position_n < positions)
            c->ring = c->layers[i].position_n;
    if (!c->lengths || !c->ends || !c->tokens || !c->data) {
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
    free(cache->ends);
    free(cache->tokens);
    free(cache->layers);
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

bool tp_cache_is_whole(const struct tp_cache *cache, uint32_t sequence)
{
    uint64_t length = cache->lengths[sequence];
    /* What the next token sees, before itself. */
    uint64_t first = length + 1 > cache->window ? length + 1 - cache->window : 0;

    return !cache->ring || length == 0 || first + cache->ring >= cache->ends[sequence];
}

void *tp_cache_head(const struct tp_cache *cache, uint32_t layer, bool values, uint32_t sequence,
                    uint32_t kv_head)
{
    const struct tp_cache_layer *l = &cache->layers[layer];
    size_t head = ((size_t)values * cache->sequence_n + sequence) * cache->kv_head_n + kv_head;

    return cache->data + l->at + head * l->position_n * cache->head_dim * cache->element;
}
