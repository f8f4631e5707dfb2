/* SPDX-License-Identifier: MIT */
/* A hash table of chunks by content. */
#include <config.h>

#include <pthread.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "store/write/plan.h"
#include "store/write/chunkmap.h"

struct tp_chunkmap {
    pthread_mutex_t lock;
    uint64_t mask;
    struct chunkmap_cell {
        uint64_t hash;
        uint32_t len; /* 0: an empty slot; no chunk is empty */
        uint32_t chunk;
    } cells[];
};

struct tp_chunkmap *tp_chunkmap_create(uint64_t capacity)
{
    struct tp_chunkmap *map;
    uint64_t n = 16;

    while (n < capacity + capacity / 2)
        n *= 2;
    map = calloc(1, sizeof *map + n * sizeof map->cells[0]);
    if (!map)
        return NULL;
    map->mask = n - 1;
    pthread_mutex_init(&map->lock, NULL);
    return map;
}

void tp_chunkmap_destroy(struct tp_chunkmap *map)
{
    if (map)
        pthread_mutex_destroy(&map->lock);
    free(map);
}

static struct chunkmap_cell *cell_of(struct tp_chunkmap *map, uint64_t hash, uint32_t len)
{
    uint64_t i = hash & map->mask;

    while (map->cells[i].len && (map->cells[i].hash != hash || map->cells[i].len != len))
        i = (i + 1) & map->mask;
    return &map->cells[i];
}

uint32_t tp_chunkmap_find(struct tp_chunkmap *map, uint64_t hash, uint32_t len)
{
    TP_LOCK_SCOPE(&map->lock);
    const struct chunkmap_cell *cell = cell_of(map, hash, len);

    return cell->len ? cell->chunk : TP_NONE;
}

void tp_chunkmap_put(struct tp_chunkmap *map, uint64_t hash, uint32_t len, uint32_t chunk)
{
    TP_LOCK_SCOPE(&map->lock);
    struct chunkmap_cell *cell = cell_of(map, hash, len);

    if (!cell->len)
        *cell = (struct chunkmap_cell){.hash = hash, .len = len, .chunk = chunk};
}
