/* SPDX-License-Identifier: MIT */
/* A map from the content of chunks to their numbers, in a base or in the pack being written. */
#ifndef TP_STORE_WRITE_CHUNKMAP_H
#define TP_STORE_WRITE_CHUNKMAP_H

#include <stdint.h>

struct tp_chunkmap;
struct tp_chunkmap *tp_chunkmap_create(uint64_t capacity); /* NULL: out of memory */
void tp_chunkmap_destroy(struct tp_chunkmap *map);
/* The first chunk with this hash and length, or TP_NONE. Thread-safe. */
uint32_t tp_chunkmap_find(struct tp_chunkmap *map, uint64_t hash, uint32_t len);
void tp_chunkmap_put(struct tp_chunkmap *map, uint64_t hash, uint32_t len, uint32_t chunk);

#endif
