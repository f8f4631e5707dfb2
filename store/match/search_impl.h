/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the search for a base share: the candidates (candidates.c), how they are
 * related to the model (family.c), and the choice (match.c).
 */
#ifndef TP_STORE_SEARCH_IMPL_H
#define TP_STORE_SEARCH_IMPL_H

#include <errno.h>

#include "store/match/distance.h"
#include "store/match/glance.h"
#include "store/match/hints.h"
#include "store/match/match.h"

enum { TP_SHORTLIST = 12 };

/* A base must save at least this part of what the model would take alone. */
#define TP_MATCH_GAIN_MIN 0.02
/* Costs within this part of the best count as equally near: then the shorter chain wins. */
#define TP_MATCH_NEAR 0.03
/* Bytes that a comparison of samples may decode of a pack, which may be made to be slow. */
#define TP_MATCH_SAMPLE_MOST ((uint64_t)4 << 30)
/* Whether an error says nothing about a candidate. */
#define TP_MATCH_IS_FINAL(rc) ((rc) == -ENOMEM || (rc) == -ECANCELED)

struct tp_base_candidate {
    char *name;
    enum tp_model_kind kind;
    unsigned depth;
    const struct tp_hint *named; /* the model's own files name this one */
    bool derived;                /* this one's own files name a base */
    bool merged;                 /* it lies between others */
    bool parent;                 /* the model at hand is one of those */
    bool refused;
    double promise; /* what a glance lets expect: the less the better */
    struct tp_model *model;
    struct tp_pairs pairs;
    struct tp_sight sight;
    struct tp_distance distance;
};

struct tp_base_search {
    struct tp_store *store;
    struct tp_model *model;
    struct tp_glance *glance;
    struct tp_hints hints;
    const char *self;
    const struct tp_waiting *waiting;
    unsigned level; /* how many wait */
    bool merged;    /* the model at hand lies between others */
    bool packs_only;
    const atomic_int *cancel;
    size_t n;                                   /* how many other models there are */
    struct tp_base_candidate all[TP_SHORTLIST]; /* the most promising, these first */
    size_t listed;
};

/* --- candidates.c --- */

void tp_base_candidate_clear(struct tp_base_candidate *c);
/* Examine all models of the store, each once; the most promising stay open on the list. */
int tp_candidates_list(struct tp_base_search *s, struct tp_error *err);
/* Compare samples with those on the list; one that cannot be read is dropped from it. */
int tp_candidates_sample(struct tp_base_search *s, struct tp_error *err);
/* Whether packing against C saves enough. */
bool tp_base_candidate_saves(const struct tp_base_candidate *c);

/* --- family.c --- */

/* Whether NAME has the word "base" in it, as in "llama-base" or "Base_v2". */
bool tp_family_says_base(const char *name);
/* The dtype that most of the weights have. */
enum tp_dtype tp_family_dtype(const struct tp_model *model);
/*
 * Which models are merges of others: these lie between them. All that are near count, the model at
 * hand too.
 */
void tp_family_find_merges(struct tp_base_search *s);
/* Whether the model is rather the base of candidate C than the other way round. */
int tp_family_model_is_base(struct tp_base_search *s, struct tp_base_candidate *c, bool *out,
                            struct tp_error *err);
/* How far the others of the family are from C: the least, about, for the base. */
long tp_family_remoteness(const struct tp_base_search *s, const struct tp_base_candidate *c);

#endif
