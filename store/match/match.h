/* SPDX-License-Identifier: MIT */
/*
 * Finding the base of a model among the models of a store: by the names and shapes of its tensors,
 * by what config.json, adapter_config.json and the model card say, and by a sampled distance of the
 * weights; and what a model would save against a base, from samples.
 */
#ifndef TP_STORE_MATCH_H
#define TP_STORE_MATCH_H

#include <stdatomic.h>

#include "store/store.h"
#include "tensor/modeldir.h"

struct tp_match {
    char name[256];          /* the base's name in the store */
    enum tp_model_kind kind; /* PLAIN: pack it first */
    double shared; /* part of the model's tensor bytes that the base has, by name and shape, renamed
                      or not */
    double distance; /* sampled: bits a weight that the delta needs, relative to its raw bits (0 ..
                        1) */
    bool named;      /* the model's own files name this base */
    char why[256];   /* one line for people */
};

/* A model that waits for the one at hand to be packed as its base; NEXT waits for it in turn. */
struct tp_waiting {
    const char *name; /* in the store */
    const struct tp_waiting *next;
};

/* So many models may wait; the last of them is packed against a pack or alone. */
enum { TP_WAITING_MAX = 3 };

struct tp_match_query {
    const char *self;                 /* the model's own name in the store; NULL: it is not of it */
    enum tp_links links;              /* what becomes of those in its directory */
    const struct tp_waiting *waiting; /* NULL: none */
    bool packs_only;                  /* no plain directory */
    const atomic_int *cancel;         /* non-zero: the search ends, -ECANCELED; NULL: it does not */
};

/* The best base for the model directory DIR. Neither the model itself nor one that waits for it is
 * chosen, nor a pack that stands on one. -ENOENT: no model of the store would save enough; err says
 * what was tried. */
int tp_match_base(struct tp_store *store, const char *dir, const struct tp_match_query *query,
                  struct tp_match *out, struct tp_error *err);

struct tp_estimate {
    uint64_t logical_bytes;
    uint64_t stored_bytes, stored_low,
        stored_high; /* expected, and a 95 % interval from the samples' spread */
    uint64_t sampled_bytes;
    uint64_t matched_bytes; /* tensor bytes that the base predicts */
    double changed;         /* sampled part of the matched weights whose bits differ */
    double seconds;
};

/* --- estimate.c --- */

/*
 * What packing MODEL against BASE would store. Each is a model directory or a pack file; BASE may
 * be NULL. LINKS: of MODEL.
 */
int tp_estimate(const char *base, const char *model, enum tp_links links, struct tp_store *store,
                struct tp_estimate *out, struct tp_error *err);

#endif
