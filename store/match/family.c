/* SPDX-License-Identifier: MIT */
/*
 * How a model and the candidates are related: which of them are merges of others, and which is
 * rather the base than a fine-tune.
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
 * Two models lie so far apart in directions, seen from a third, that this lies between them. A
 * merge of six is so, too.
 */
#define BETWEEN (-0.19)
/*
 * Models nearer to one of two than this part of their distance say nothing about which of them is
 * the base.
 */
#define COPY 0.25
/* Models in directions that are as near as this went the same way. */
#define BRANCH 0.4

/* Whether NAME has the word "base" in it, as in "llama-base" or "Base_v2". */
bool tp_family_says_base(const char *name)
{
    for (const char *p = name; (p = strcasestr(p, "base")) != NULL; p += 4)
        if ((p == name || !isalpha((unsigned char)p[-1])) && !isalpha((unsigned char)p[4]))
            return true;
    return false;
}

/* Whether NAME is LONGER without its end: "llama" of "llama-chat". */
static bool name_begins_with(const char *longer, const char *name)
{
    size_t len = strlen(name);
    return strlen(longer) > len && !strncasecmp(longer, name, len);
}

/* The dtype that most of the weights have. */
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
 * More than 0 where the candidate has the dtype of the family, or the narrower one, and the model
 * at hand has another.
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
 * The number of a checkpoint by its name, as in "checkpoint-500" or "run_step20"; -1: it is none.
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
 * Which of two related models was made from the other, by their looks: more than 0 for the
 * candidate as the base, less for the model at hand. A model that names a base is none; nor is one
 * that was saved again in another dtype than its family's; then the names.
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

/* The same by which weights are older. */
static int compare_ages(const struct tp_base_search *s, const struct tp_base_candidate *c)
{
    const struct tp_model *a = s->model, *b = c->model;
    int sum = (b->weights_sec < a->weights_sec) - (b->weights_sec > a->weights_sec);
    return sum ? sum : (b->weights_nsec < a->weights_nsec) - (b->weights_nsec > a->weights_nsec);
}

/*
 * Which models are merges of others: these lie between them. All that are near count, the model at
 * hand too.
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

/* Whether OTHER is nearer to candidate C, which is more than 0, or to the model at hand. */
static int vote_for_family(struct tp_base_search *s, struct tp_base_candidate *other,
                           struct tp_base_candidate *c, int *out, struct tp_error *err)
{
    struct tp_distance to_model = other->distance, to_candidate;
    double apart = COPY * c->distance.with_base;
    tp_model_limit(other->model, s->cancel, TP_MATCH_SAMPLE_MOST);
    int rc = distance_between(other->model, c->model, &to_candidate, err);
    *out = 0;
    /* A distance is the same both ways, if not from one dtype to another. */
    if (!rc && tp_family_dtype(other->model) != tp_family_dtype(s->model))
        rc = distance_between(other->model, s->model, &to_model, err);
    if (rc || to_candidate.with_base < apart || to_model.with_base < apart)
        return rc;
    *out = (to_candidate.with_base < to_model.with_base * 0.995) -
           (to_candidate.with_base > to_model.with_base * 1.005);
    return 0;
}

/*
 * Between two plain models the delta costs the same either way, so which is the base must show
 * elsewhere. A base lies between its fine-tunes: if most others are nearer to the model at hand
 * than to the candidate, the model is the base itself, and packing it against the candidate would
 * turn the family upside down. Those that went the same way, as checkpoints of one run, count once;
 * where that leaves one more here than there, looks tell more. A merge is nearer to its parents
 * than their base is, but no base.
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

/* How far the others of the family are from C: the least, about, for the base. */
long tp_family_remoteness(const struct tp_base_search *s, const struct tp_base_candidate *c)
{
    double sum = 0;
    for (size_t i = 0; i < s->listed; i++)
        if (tp_base_candidate_saves(&s->all[i]))
            sum += tp_kin_distance(&c->sight, &s->all[i].sight);
    return sum > 0 ? (long)floor(8 * log2(sum)) : LONG_MIN;
}
