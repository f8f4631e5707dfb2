/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the search for a base share: candidates (candidates.c), relations between
 * models (family.c) and the choice (match.c). "The given model" is the model that a base is
 * searched for.
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
/* Costs within this part of the best count as equally near; then the shorter chain wins. */
#define TP_MATCH_NEAR 0.03
/* Bytes that sampling a pack may decode at most: a hostile pack may be slow to decode. */
#define TP_MATCH_SAMPLE_MOST ((uint64_t)4 << 30)
/* Whether an error is not about the candidate. */
#define TP_MATCH_IS_FINAL(rc) ((rc) == -ENOMEM || (rc) == -ECANCELED)

struct tp_base_candidate {
    char *name;
    enum tp_model_kind kind;
    unsigned depth;
    const struct tp_hint *named; /* the hint in the given model's files at this one; NULL: none */
    bool derived;                /* this model's own files name a base */
    bool merged;                 /* this model lies between others */
    bool parent;                 /* the given model lies between this one and another */
    bool refused;
    double promise; /* expected cost, from a glance: less is better */
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
    unsigned level; /* how many models wait */
    bool merged;    /* the given model lies between others */
    bool packs_only;
    const atomic_int *cancel;
    size_t n;                                   /* how many other models there are */
    struct tp_base_candidate all[TP_SHORTLIST]; /* the most promising, in order */
    size_t listed;
};

/* --- candidates.c --- */

void tp_base_candidate_clear(struct tp_base_candidate *c);
/* Examine all models of the store, each once. The most promising stay open on the list. */
int tp_candidates_list(struct tp_base_search *s, struct tp_error *err);
/* Sample the candidates on the list. A candidate that cannot be read is dropped. */
int tp_candidates_sample(struct tp_base_search *s, struct tp_error *err);
/* Whether packing against C saves enough. */
bool tp_base_candidate_saves(const struct tp_base_candidate *c);

/* --- family.c --- */

/* Whether NAME has the word "base" in it, as in "llama-base" or "Base_v2". */
bool tp_family_says_base(const char *name);
/* The dtype that most of the weights have. */
enum tp_dtype tp_family_dtype(const struct tp_model *model);
/*
 * Find the models that are merges: those that lie between others. All models that are near count,
 * including the given one.
 */
void tp_family_find_merges(struct tp_base_search *s);
/* Whether the given model is the base of candidate C rather than the reverse. */
int tp_family_model_is_base(struct tp_base_search *s, struct tp_base_candidate *c, bool *out,
                            struct tp_error *err);
/* The sum of the distances of the other models from C. It is smallest, about, for the base. */
long tp_family_remoteness(const struct tp_base_search *s, const struct tp_base_candidate *c);

#endif
