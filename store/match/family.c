/* SPDX-License-Identifier: MIT */
/*
 * Relations between a model and the candidates: which models are merges of others, and which of two
 * related models is the base.
 */
#include <config.h>

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/convert.h"
#include "store/match/kin.h"
#include "store/match/search_impl.h"

enum { JURY = 4 };

/*
 * If two models lie in directions with a smaller cosine than this, as seen from a third, the third
 * lies between them. This includes merges of six models.
 */
#define BETWEEN (-0.19)
/*
 * If the distance of two models is less than this part of their distances to the others, they are
 * copies: they do not show which one is the base.
 */
#define COPY 0.25
/* If the cosine of two directions is greater than this, both models belong to one branch. */
#define BRANCH 0.4

/* Whether NAME has the word "base" in it, as in "llama-base" or "Base_v2". */
bool tp_family_says_base(const char *name)
{
    for (const char *p = name; (p = strcasestr(p, "base")) != NULL; p += 4)
        if ((p == name || !isalpha((unsigned char)p[-1])) && !isalpha((unsigned char)p[4]))
            return true;
    return false;
}

/* Whether NAME is LONGER without its end, as "llama" is of "llama-chat". */
static bool name_begins_with(const char *longer, const char *name)
{
    size_t len = strlen(name);
    return strlen(longer) > len && !strncasecmp(longer, name, len);
}

/* The dtype of most weights. */
enum tp_dtype tp_family_dtype(const struct tp_model *model)
{
    uint64_t bytes[TP_DTYPE_COUNT] = {0};
    enum tp_dtype most = TP_DTYPE_BYTES;
    for (size_t i = 0; i < model->tensor_n; i++)
        bytes[model->tensors[i].dtype] += model->tensors[i].len;
    for (unsigned d = 0; d < TP_DTYPE_COUNT; d++)
        if (bytes[d] > bytes[most])
            most = (enum tp_dtype)d;
    return most;
}

/*
 * Positive if the candidate has the dtype of the family, or the narrower one, and the given model
 * does not.
 */
static int compare_dtypes(const struct tp_base_search *s, const struct tp_base_candidate *c)
{
    enum tp_dtype a = tp_family_dtype(s->model), b = tp_family_dtype(c->model);
    int sum = 0;
    if (a == b || !tp_convert_possible(a, b))
        return 0;
    for (size_t i = 0; i < s->listed; i++)
        if (&s->all[i] != c && tp_base_candidate_saves(&s->all[i]))
            sum +=
                (tp_family_dtype(s->all[i].model) == b) - (tp_family_dtype(s->all[i].model) == a);
    return sum ? sum : (int)tp_dtype_bits(a) - (int)tp_dtype_bits(b);
}

/*
 * The step number in the name of a checkpoint, such as "checkpoint-500" or "run_step20"; -1: none.
 */
static long step_of(const char *name)
{
    static const char *const words[] = {"checkpoint", "ckpt", "step", "epoch", "iter"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const char *at = strcasestr(name, words[i]);
        if (!at)
            continue;
        at += strlen(words[i]);
        at += strspn(at, "-_.=");
        if (isdigit((unsigned char)*at))
            return strtol(at, NULL, 10);
    }
    return -1;
}

/*
 * Which of two related models is the base, by appearance: positive for the candidate, negative for
 * the given model. A model that names a base is not one. A model that was converted from the dtype
 * of its family is not one either. After that the names decide.
 */
static int compare_looks(const struct tp_base_search *s, const struct tp_base_candidate *c)
{
    const char *self = s->self ? s->self : "";
    long a = step_of(self), b = step_of(c->name);
    int sum = (s->hints.n > 0) - c->derived;
    if (!sum)
        sum = compare_dtypes(s, c);
    if (!sum)
        sum = tp_family_says_base(c->name) - tp_family_says_base(self);
    if (!sum && *self)
        sum = name_begins_with(self, c->name) - name_begins_with(c->name, self);
    return sum ? sum : (b < a) - (b > a);
}

/* The same by the ages of the weights files. */
static int compare_ages(const struct tp_base_search *s, const struct tp_base_candidate *c)
{
    const struct tp_model *a = s->model, *b = c->model;
    int sum = (b->weights_sec < a->weights_sec) - (b->weights_sec > a->weights_sec);
    return sum ? sum : (b->weights_nsec < a->weights_nsec) - (b->weights_nsec > a->weights_nsec);
}

/*
 * Find the models that are merges: those that lie between others. All models that are near count,
 * including the given one.
 */
void tp_family_find_merges(struct tp_base_search *s)
{
    const struct tp_sight *family[TP_SHORTLIST + 1] = {tp_glance_of_model(s->glance)};
    struct tp_base_candidate *of[TP_SHORTLIST + 1] = {NULL};
    unsigned n = 1;
    for (size_t i = 0; i < s->listed; i++)
        if (tp_base_candidate_saves(&s->all[i])) {
            of[n] = &s->all[i];
            family[n++] = &s->all[i].sight;
        }
    for (unsigned at = 0; at < n; at++)
        for (unsigned a = 0; a < n; a++)
            for (unsigned b = a + 1; b < n; b++) {
                if (a == at || b == at || tp_kin_cosine(family[at], family[a], family[b]) > BETWEEN)
                    continue;
                if (of[at]) {
                    of[at]->merged = true;
                    of[at]->parent |= a == 0;
                } else {
                    s->merged = true;
                }
            }
}

static int distance_between(struct tp_model *model, struct tp_model *base, struct tp_distance *out,
                            struct tp_error *err)
{
    struct tp_pairs pairs;
    int rc = tp_pairs_find(model, base, &pairs, err);
    if (!rc)
        rc = tp_distance_sample(model, base, &pairs, out, err);
    tp_pairs_clear(&pairs);
    return rc;
}

/* Whether OTHER is nearer to candidate C (positive) or to the given model (negative). */
static int vote_for_family(struct tp_base_search *s, struct tp_base_candidate *other,
                           struct tp_base_candidate *c, int *out, struct tp_error *err)
{
    struct tp_distance to_model = other->distance, to_candidate;
    double apart = COPY * c->distance.with_base;
    tp_model_limit(other->model, s->cancel, TP_MATCH_SAMPLE_MOST);
    int rc = distance_between(other->model, c->model, &to_candidate, err);
    *out = 0;
    /* Distances are symmetric only between models of one dtype. */
    if (!rc && tp_family_dtype(other->model) != tp_family_dtype(s->model))
        rc = distance_between(other->model, s->model, &to_model, err);
    if (rc || to_candidate.with_base < apart || to_model.with_base < apart)
        return rc;
    *out = (to_candidate.with_base < to_model.with_base * 0.995) -
           (to_candidate.with_base > to_model.with_base * 1.005);
    return 0;
}

/*
 * A delta between two plain models has the same cost in both directions, so other signs must show
 * which one is the base. A base lies between its fine-tunes. If most other models are nearer to the
 * given model than to the candidate, the given model is the base, and packing it against the
 * candidate would be the wrong way round. Models of one branch, such as checkpoints of one run,
 * count once. If the difference is one, appearance decides. A merge is nearer to its parents than
 * their base is, but it is not a base.
 */
int tp_family_model_is_base(struct tp_base_search *s, struct tp_base_candidate *c, bool *out,
                            struct tp_error *err)
{
    struct side {
        const struct tp_sight *at, *branches[JURY];
        int n;
    } sides[2] = {{.at = tp_glance_of_model(s->glance)}, {.at = &c->sight}};
    int sum, looks = compare_looks(s, c);
    unsigned jury = 0;
    *out = c->merged && !c->parent && !s->merged;
    if (*out || (s->merged && !c->merged))
        return 0;
    for (size_t i = 0; i < s->listed && jury < JURY; i++) {
        struct tp_base_candidate *other = &s->all[i];
        int one;
        if (other == c || !tp_base_candidate_saves(other) || (other->merged && !c->merged))
            continue;
        int rc = vote_for_family(s, other, c, &one, err);
        if (TP_MATCH_IS_FINAL(rc))
            return rc;
        if (rc)
            continue;
        jury++;
        struct side *side = &sides[one > 0];
        bool known = !one;
        for (int k = 0; !known && k < side->n; k++)
            known = tp_kin_cosine(side->at, side->branches[k], &other->sight) > BRANCH;
        if (!known)
            side->branches[side->n++] = &other->sight;
    }
    sum = sides[1].n - sides[0].n;
    if (looks && abs(sum) < 2)
        *out = looks < 0;
    else
        *out = sum < 0 || (!sum && compare_ages(s, c) < 0);
    return 0;
}

/* The sum of the distances of the other models from C. It is smallest, about, for the base. */
long tp_family_remoteness(const struct tp_base_search *s, const struct tp_base_candidate *c)
{
    double sum = 0;
    for (size_t i = 0; i < s->listed; i++)
        if (tp_base_candidate_saves(&s->all[i]))
            sum += tp_kin_distance(&c->sight, &s->all[i].sight);
    return sum > 0 ? (long)floor(8 * log2(sum)) : LONG_MIN;
}
