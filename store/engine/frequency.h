/* SPDX-License-Identifier: MIT */
/*
 * Approximate frequencies of recent keys, with 4 bits for each counter: a count-min sketch whose
 * counts are halved from time to time (TinyLFU: Einziger, Friedman, Manes 2017). It decides which
 * blocks are worth keeping.
 */
#ifndef TP_STORE_FREQUENCY_H
#define TP_STORE_FREQUENCY_H

#include <stddef.h>
#include <stdint.h>

struct tp_frequency {
    uint64_t *table; /* 16 counters in each word */
    size_t mask;
    uint64_t seen, period;
};

/* For about N different keys. -ENOMEM. */
int tp_frequency_init(struct tp_frequency *frequency, size_t n);
void tp_frequency_clear(struct tp_frequency *frequency);
void tp_frequency_add(struct tp_frequency *frequency, uint64_t hash);
/* 0 to 15, not less than the true count since the counts were last halved. */
unsigned tp_frequency_get(const struct tp_frequency *frequency, uint64_t hash);

#endif
