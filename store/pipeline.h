/* SPDX-License-Identifier: MIT */
/*
 * A pipeline: many threads work on numbered items, and the caller's thread consumes them in order.
 * A limited number of items is in progress. So the output does not depend on the number of threads,
 * and memory does not depend on the size of a model.
 */
#ifndef TP_STORE_PIPELINE_H
#define TP_STORE_PIPELINE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"

struct tp_pipeline {
    unsigned threads; /* 0: one for each CPU */
    uint64_t item_n;
    const atomic_int *cancel; /* non-zero: ends with -ECANCELED; may be NULL */
    void *arg;
    void *(*worker_create)(void *arg); /* NULL: out of memory */
    void (*worker_destroy)(void *worker);
    void *(*slot_create)(void *arg); /* the memory of an item from work to consume */
    void (*slot_destroy)(void *slot);
    /*
     * Called in a worker's thread or, with one thread, in the caller's. Items start in order, so an
     * item may wait for lower items.
     */
    int (*work)(void *arg, void *worker, uint64_t item, void *slot, struct tp_error *err);
    /* Called in the caller's thread, in order. */
    int (*consume)(void *arg, uint64_t item, void *slot, struct tp_error *err);
};

#define TP_PIPELINE_THREADS_MAX 64u

/* The number of threads of a pipeline with this setting. */
unsigned tp_pipeline_threads(unsigned threads);

/* 0, or the error of the first failed item in order. All threads have ended on return. */
int tp_pipeline_run(const struct tp_pipeline *pipeline, struct tp_error *err);

#endif
