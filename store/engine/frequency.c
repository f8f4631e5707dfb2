/* SPDX-License-Identifier: MIT */
/* The sketch: each key has four counters in four words; its count is the least of them. */
#include <config.h>

#include "store/engine/frequency.h"

#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"

enum { ROWS = 4, COUNT_MAX = 15 };

/* Counts are halved when the cache could have been filled this many times. */
enum { PERIODS = 16 };

int tp_frequency_init(struct tp_frequency *frequency, size_t n)
{
    size_t words = 16;

    while (words < n)
        words *= 2;
    frequency->table = tp_memory_alloc_cleared(words, sizeof *frequency->table);
    if (!frequency->table)
        return -ENOMEM;
    frequency->mask = words - 1;
    frequency->seen = 0;
    frequency->period = PERIODS * words;
    return 0;
}

void tp_frequency_clear(struct tp_frequency *frequency)
{
    free(frequency->table);
    frequency->table = NULL;
}

/* The word, and the counter in it, of a key in one row. */
static size_t counter_place(const struct tp_frequency *frequency, uint64_t hash, unsigned row,
                            unsigned *shift)
{
    static const uint64_t odd[ROWS] = {0x9e3779b97f4a7c15u, 0xc2b2ae3d27d4eb4fu,
                                       0x165667b19e3779f9u, 0xd6e8feb86659fd93u};
    uint64_t mixed = (hash ^ (hash >> 32)) * odd[row];

    *shift = 4 * (unsigned)(mixed >> 60);
    return (size_t)(mixed >> 20) & frequency->mask;
}

static void halve_counters(struct tp_frequency *frequency)
{
    for (size_t i = 0; i <= frequency->mask; i++)
        frequency->table[i] = (frequency->table[i] >> 1) & 0x7777777777777777u;
    frequency->seen /= 2;
}

void tp_frequency_add(struct tp_frequency *frequency, uint64_t hash)
{
    for (unsigned row = 0; row < ROWS; row++) {
        unsigned shift;
        uint64_t *word = &frequency->table[counter_place(frequency, hash, row, &shift)];
        if (((*word >> shift) & COUNT_MAX) != COUNT_MAX)
            *word += (uint64_t)1 << shift;
    }
    if (++frequency->seen >= frequency->period)
        halve_counters(frequency);
}

unsigned tp_frequency_get(const struct tp_frequency *frequency, uint64_t hash)
{
    unsigned least = COUNT_MAX;

    for (unsigned row = 0; row < ROWS; row++) {
        unsigned shift;
        uint64_t word = frequency->table[counter_place(frequency, hash, row, &shift)];
        unsigned count = (unsigned)(word >> shift) & COUNT_MAX;
        if (count < least)
            least = count;
    }
    return least;
}
