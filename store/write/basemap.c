/* SPDX-License-Identifier: MIT */
/* Finding in a base what predicts a tensor: by name and shape; and chunks by what they hold. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/match/fit.h"
#include "store/write/plan.h"

struct tp_basemap {
    const struct tp_index *base;
    size_t n;
    struct tp_basetensor *tensors; /* by name, then in the base's order */
};

static int by_name(const void *a, const void *b)
{
    const struct tp_basetensor *x = a, *y = b;
    int c = strcmp(x->name, y->name);

    if (c)
        return c;
    return x->segment_first < y->segment_first ? -1 : x->segment_first > y->segment_first;
}

/* Whether segment B carries on the tensor that segment A is a part of. */
static bool continues(const struct tp_segment *a, const struct tp_segment *b)
{
    return a->file == b->file && a->dtype == b->dtype &&
           b->elem_first == a->elem_first + a->len * 8 / tp_dtype_bits(a->dtype) && b->elem_first > 0 &&
           strcmp(a->name, b->name) == 0;
}

int tp_basemap_create(const struct tp_index *base, struct tp_basemap **out, struct tp_error *err)
{
    struct tp_basemap *map = calloc(1, sizeof *map);

    *out = NULL;
    if (map)
        map->tensors = calloc(base->segment_n ? base->segment_n : 1, sizeof *map->tensors);
    if (!map || !map->tensors) {
        tp_basemap_destroy(map);
        return tp_fail(err, ENOMEM, "out of memory for the tensors of the base");
    }
    map->base = base;
    for (uint32_t i = 0; i < base->segment_n; i++) {
        const struct tp_segment *s = &base->segments[i];
        struct tp_basetensor *last = map->n ? &map->tensors[map->n - 1] : NULL;

        if (s->dtype == TP_DTYPE_BYTES)
            continue;
        if (last && last->segment_first + last->segment_n == i && continues(s - 1, s)) {
            last->segment_n++;
        } else if (s->elem_first == 0) {
            map->tensors[map->n++] = (struct tp_basetensor){
                .name = s->name, .path = base->files[s->file].path, .segment_first = i, .segment_n = 1};
        }
    }
    qsort(map->tensors, map->n, sizeof *map->tensors, by_name);
    *out = map;
    return 0;
}

void tp_basemap_destroy(struct tp_basemap *map)
{
    if (map)
        free(map->tensors);
    free(map);
}

/* Elements smaller than a byte follow one segment only: the next may begin in the middle of a byte. */
static unsigned fit(const struct tp_basemap *map, const struct tp_basetensor *b, const struct tp_fit *t)
{
    const struct tp_segment *s = &map->base->segments[b->segment_first];

    if (tp_dtype_bits(t->dtype) < 8 && b->segment_n > 1)
        return 0;
    return tp_fit(&(struct tp_fit){.path = b->path, .dtype = s->dtype, .rank = s->rank, .shape = s->shape}, t);
}

const struct tp_basetensor *tp_basemap_find(const struct tp_basemap *map, const char *path,
                                            const char *name, enum tp_dtype dtype, unsigned rank,
                                            const uint64_t *shape)
{
    const struct tp_fit t = {.path = path, .dtype = dtype, .rank = rank, .shape = shape};
    const struct tp_basetensor *best = NULL;
    unsigned best_fit = 0;
    size_t lo = 0, hi = map->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (strcmp(map->tensors[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < map->n && strcmp(map->tensors[lo].name, name) == 0; lo++) {
        unsigned f = fit(map, &map->tensors[lo], &t);

        if (f > best_fit) {
            best_fit = f;
            best = &map->tensors[lo];
        }
    }
    return best;
}

struct tp_chunkmap {
    pthread_mutex_t lock;
    uint64_t mask;
    struct chunkmap_cell {
        uint64_t hash;
        uint32_t len; /* 0: empty, no chunk is */
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
    const struct chunkmap_cell *cell;
    uint32_t chunk;

    pthread_mutex_lock(&map->lock);
    cell = cell_of(map, hash, len);
    chunk = cell->len ? cell->chunk : TP_NONE;
    pthread_mutex_unlock(&map->lock);
    return chunk;
}

void tp_chunkmap_put(struct tp_chunkmap *map, uint64_t hash, uint32_t len, uint32_t chunk)
{
    struct chunkmap_cell *cell;

    pthread_mutex_lock(&map->lock);
    cell = cell_of(map, hash, len);
    if (!cell->len)
        *cell = (struct chunkmap_cell){.hash = hash, .len = len, .chunk = chunk};
    pthread_mutex_unlock(&map->lock);
}
