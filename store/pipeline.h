/* SPDX-License-Identifier: MIT */
/*
 * Numbered items worked on by many threads and consumed in their order by the caller's, within a
 * bounded window: what makes output independent of the number of threads and memory of the size of
 * a model.
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
    void *(*worker_create)(void *arg); /* NULL result: out of memory */
    void (*worker_destroy)(void *worker);
    void *(*slot_create)(void *arg); /* the memory of an item between work and consume */
    void (*slot_destroy)(void *slot);
    /*
     * On a worker's thread, or the caller's where there is one thread only. Items start in order,
     * so one may wait for what a lower one does.
     */
    int (*work)(void *arg, void *worker, uint64_t item, void *slot, struct tp_error *err);
    /* On the caller's thread, in order. */
    int (*consume)(void *arg, uint64_t item, void *slot, struct tp_error *err);
};

#define TP_PIPELINE_THREADS_MAX 64u

/* The number of threads that such a pipeline runs with. */
unsigned tp_pipeline_threads(unsigned threads);

/* 0, or what the first failing item in order said. Everything is joined and freed on return. */
int tp_pipeline_run(const struct tp_pipeline *pipeline, struct tp_error *err);

#endif
