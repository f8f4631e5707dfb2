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
    char name[256];          /* name of the base in the store */
    enum tp_model_kind kind; /* TP_MODEL_PLAIN: it must be packed first */
    double shared;           /* part of the model's tensor bytes that the base predicts */
    double distance; /* sampled: bits that the delta of a weight needs, relative to its raw bits (0
                        to 1) */
    bool named;      /* the model's own files name this base */
    char why[256];   /* the reason, one line for the user */
};

/* A model that waits for the given one to be packed as its base. NEXT waits for this model. */
struct tp_waiting {
    const char *name; /* in the store */
    const struct tp_waiting *next;
};

/* At most so many models wait. The last of them is packed against a pack or without a base. */
enum { TP_WAITING_MAX = 3 };

struct tp_match_query {
    const char *self;    /* name of the model in the store; NULL: it is not in the store */
    enum tp_links links; /* how links in the model are treated */
    const struct tp_waiting *waiting; /* NULL: none */
    bool packs_only;                  /* choose only packs */
    const atomic_int *cancel;         /* non-zero: end with -ECANCELED; may be NULL */
};

/*
 * Find the best base for the model directory DIR. The model itself, models that wait for it, and
 * packs based on any of these are not chosen. -ENOENT: no model of the store would save enough; ERR
 * names those examined.
 */
int tp_match_base(struct tp_store *store, const char *dir, const struct tp_match_query *query,
                  struct tp_match *out, struct tp_error *err);

struct tp_estimate {
    uint64_t logical_bytes;
    uint64_t stored_bytes, stored_low,
        stored_high; /* the expected value, and a 95 % interval from the spread of the samples */
    uint64_t sampled_bytes;
    uint64_t matched_bytes; /* tensor bytes that the base predicts */
    double changed;         /* part of the sampled weights that differ in any bit */
    double seconds;
};

/* --- estimate.c --- */

/*
 * Estimate what packing MODEL against BASE would store. Each is a model directory or a pack; BASE
 * may be NULL. LINKS: how links in MODEL are treated.
 */
int tp_estimate(const char *base, const char *model, enum tp_links links, struct tp_store *store,
                struct tp_estimate *out, struct tp_error *err);

#endif
