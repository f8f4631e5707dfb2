/* SPDX-License-Identifier: MIT */
/*
 * Choosing a base: candidates by their headers, the best few by their weights, one by cost and
 * kinship.
 */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/log.h"
#include "codec/convert.h"
#include "store/match/distance.h"
#include "store/match/glance.h"
#include "store/match/hints.h"
#include "store/match/kin.h"
#include "store/match/match.h"
#include "store/names.h"
#include "store/place.h"
#include "tensor/modeldir.h"

enum { SHORTLIST = 12, JURY = 4 };

/* Fewer shared bytes than this part of the model, and a candidate is not looked at. */
#define SHARED_MIN 0.05
/* A base must save at least this part of what the model would take alone. */
#define GAIN_MIN 0.02
/* Costs within this part of the best count as equally near: then the shorter chain wins. */
#define NEAR 0.03
/* What a merge of models may cost less than another base, and is not taken nevertheless. */
#define MERGE_GAIN 0.15
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
/*
 * Bytes that a glance at a pack, which may be made to be slow, may decode, and each comparison of
 * samples after it.
 */
#define GLANCE_MOST ((uint64_t)1 << 30)
#define SAMPLE_MOST ((uint64_t)4 << 30)
/* Whether an error says nothing about a candidate. */
#define IS_FINAL(rc) ((rc) == -ENOMEM || (rc) == -ECANCELED)

struct candidate {
    char *name;
    enum tp_model_kind kind;
    unsigned depth;
    const struct tp_hint *named; /* the model's own files name this one */
    bool derived;                /* this one's own files name a base */
    bool merged;                 /* it lies between others */
    bool parent;                 /* the model at hand is one of those */
    bool refused;
    double promise; /* what a glance lets expect: the less the better */
    struct tp_model *source;
    struct tp_pairs pairs;
    struct tp_sight sight;
    struct tp_distance distance;
};

struct search {
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
    size_t n;                        /* how many other models there are */
    struct candidate all[SHORTLIST]; /* the most promising, these first */
    size_t listed;
};

static void forget(struct candidate *c)
{
    tp_sight_clear(&c->sight);
    tp_pairs_clear(&c->pairs);
    tp_model_close(c->source);
    free(c->name);
    *c = (struct candidate){0};
}

static int open_candidate(struct search *s, const struct candidate *c, struct tp_model **out,
                          struct tp_error *err)
{
    struct tp_pack *pack = NULL;
    char *path = NULL;
    int rc = s->cancel && atomic_load(s->cancel) ? tp_fail(err, ECANCELED, "cancelled") : 0;
    if (rc)
        return rc;
    if (c->kind == TP_MODEL_PLAIN) {
        if (asprintf(&path, "%s/%s", tp_store_dir(s->store), c->name) < 0)
            return tp_fail(err, ENOMEM, "out of memory");
        rc = tp_model_open(path, NULL, out, err);
        free(path);
        return rc;
    }
    rc = tp_store_open_pack(s->store, c->name, &pack, err);
    if (!rc && tp_pack_base_error(pack)[0])
        rc = tp_fail(err, ENOLINK, "%s", tp_pack_base_error(pack));
    if (!rc)
        rc = tp_model_open_pack(pack, NULL, out, err);
    tp_pack_close(pack);
    return rc;
}

static bool is_self(const struct search *s, const char *name)
{
    return s->self && !strcmp(name, s->self);
}

/* Whether model NAME waits for the one at hand. */
static bool is_waiting(const struct search *s, const char *name)
{
    for (const struct tp_waiting *w = s->waiting; w; w = w->next)
        if (!strcmp(name, w->name))
            return true;
    return false;
}

/*
 * Whether pack NAME is, or is coded against, the pack of the model at hand, or of one that waits
 * for it.
 */
static bool rests_on_these(struct search *s, const struct candidate *c)
{
    struct tp_pack *pack = NULL;
    bool found = false;
    if (c->kind != TP_MODEL_PACK || tp_store_open_pack(s->store, c->name, &pack, NULL))
        return false;
    for (struct tp_pack *p = pack; p && !found; p = tp_pack_base(p)) {
        const char *file = tp_path_name(tp_pack_path(p));
        char *name = strndup(file, tp_place_name_len(file));

        found = name && (is_self(s, name) || is_waiting(s, name));
        free(name);
    }
    tp_pack_close(pack);
    return found;
}

/* Whether NAME has the word "base" in it, as in "llama-base" or "Base_v2". */
static bool says_base(const char *name)
{
    for (const char *p = name; (p = strcasestr(p, "base")) != NULL; p += 4)
        if ((p == name || !isalpha((unsigned char)p[-1])) && !isalpha((unsigned char)p[4]))
            return true;
    return false;
}

/*
 * Of models that are equally near, one that looks like a base comes first: many may be, and few are
 * looked at closely.
 */
static double promise_of(const struct candidate *c)
{
    return c->sight.cost * (1 + NEAR * ((c->depth > 0) + c->derived - 0.5 * says_base(c->name)));
}

/* One look: what the candidate shares, how deep its chain is, and a glance at its weights. Where it
 * can be no base it is forgotten again, which is no failure. */
static int look_at(struct search *s, struct candidate *c, struct tp_error *err)
{
    struct tp_hints hints;
    struct tp_error why = {0};
    int rc = open_candidate(s, c, &c->source, &why);
    if (!rc) {
        tp_model_limit(c->source, s->cancel, GLANCE_MOST);
        rc = tp_pairs_find(s->model, c->source, &c->pairs, &why);
    }
    if (!rc && (!c->pairs.matched_bytes ||
                (double)c->pairs.matched_bytes < SHARED_MIN * (double)s->model->tensor_bytes ||
                c->source->depth + 1 + s->level >= TP_BASE_DEPTH_MAX || rests_on_these(s, c))) {
        forget(c);
        return 0;
    }
    if (!rc)
        rc = tp_glance_look(s->glance, c->source, &c->pairs, &c->sight, &why);
    if (rc) {
        if (!IS_FINAL(rc))
            tp_log(TP_LOG_WARNING, "'%s' cannot serve as a base: %s", c->name, why.message);
        forget(c);
        return IS_FINAL(rc) ? tp_fail(err, -rc, "%s", why.message) : 0;
    }
    tp_hints_read(c->source, &hints);
    c->derived = hints.n > 0;
    c->depth = c->source->depth;
    c->named = tp_hints_find(&s->hints, c->name);
    /* One that waits is no base, but says which of the others is one. */
    c->refused = is_waiting(s, c->name) || (s->self && tp_hints_find(&hints, s->self) && !c->named);
    c->promise = promise_of(c);
    return 0;
}

/* A directory that is no model, such as one with models in it, is none of the candidates, nor is a
 * link to one: that is another candidate, if not the model at hand, or lies elsewhere, and is not
 * packed from here. */
static bool is_candidate(const struct search *s, const struct tp_store_model *model)
{
    struct stat st;
    if (is_self(s, model->name))
        return false;
    if (model->kind != TP_MODEL_PLAIN)
        return true;
    char *path = tp_path_join(tp_store_dir(s->store), model->name, "");
    bool is = path && !lstat(path, &st) && !S_ISLNK(st.st_mode) && tp_modeldir_is_model(path);
    free(path);
    return is;
}

/* Those named, the most promising, short chains. */
static bool goes_before(const struct candidate *a, const struct candidate *b)
{
    if (!a->named != !b->named)
        return a->named != NULL;
    if (a->promise != b->promise)
        return a->promise < b->promise;
    if (a->depth != b->depth)
        return a->depth < b->depth;
    if (a->kind != b->kind)
        return a->kind == TP_MODEL_PACK;
    return strcmp(a->name, b->name) < 0;
}

/* C gets its place on the list, from which the last goes where it is full. */
static void put_on_list(struct search *s, struct candidate *c)
{
    size_t at = s->listed;
    while (at > 0 && goes_before(c, &s->all[at - 1]))
        at--;
    if (at == SHORTLIST) {
        forget(c);
        return;
    }
    if (s->listed == SHORTLIST)
        forget(&s->all[--s->listed]);
    memmove(&s->all[at + 1], &s->all[at], (s->listed - at) * sizeof *s->all);
    s->all[at] = *c;
    s->listed++;
}

/* All models are looked at, each once; those on the list stay open. */
static int list_candidates(struct search *s, struct tp_error *err)
{
    struct tp_store_model *models = NULL;
    size_t n = 0;
    int rc = tp_store_models(s->store, &models, &n, err);
    for (size_t i = 0; !rc && i < n; i++) {
        struct candidate c = {.kind = models[i].kind};
        if (!is_candidate(s, &models[i]))
            continue;
        s->n++;
        if (s->packs_only && c.kind != TP_MODEL_PACK && !is_waiting(s, models[i].name))
            continue;
        c.name = strdup(models[i].name);
        rc = c.name ? look_at(s, &c, err) : tp_fail(err, ENOMEM, "out of memory");
        if (rc || !c.source)
            continue;
        put_on_list(s, &c);
    }
    tp_store_models_free(models, n);
    return rc;
}

/* Weigh those on the list; what cannot be read is dropped from it. */
static int sample_shortlist(struct search *s, struct tp_error *err)
{
    for (size_t i = 0; i < s->listed;) {
        struct candidate *c = &s->all[i];
        struct tp_error why = {0};
        tp_model_limit(c->source, s->cancel, SAMPLE_MOST);
        int rc = tp_distance_sample(s->model, c->source, &c->pairs, &c->distance, &why);
        if (IS_FINAL(rc))
            return tp_fail(err, -rc, "%s", why.message);
        if (!rc) {
            i++;
            continue;
        }
        tp_log(TP_LOG_WARNING, "'%s' cannot serve as a base: %s", c->name, why.message);
        forget(c);
        memmove(c, c + 1, (--s->listed - i) * sizeof *c);
        s->all[s->listed] = (struct candidate){0};
    }
    return 0;
}

static bool saves(const struct candidate *c)
{
    return c->distance.cost < (1 - GAIN_MIN) * c->distance.alone;
}

/* Whether NAME is LONGER without its end: "llama" of "llama-chat". */
static bool begins(const char *longer, const char *name)
{
    size_t len = strlen(name);
    return strlen(longer) > len && !strncasecmp(longer, name, len);
}

/* The dtype that most of the weights have. */
static enum tp_dtype main_dtype(const struct tp_model *source)
{
    uint64_t bytes[TP_DTYPE_COUNT] = {0};
    enum tp_dtype most = TP_DTYPE_BYTES;
    for (size_t i = 0; i < source->tensor_n; i++)
        bytes[source->tensors[i].dtype] += source->tensors[i].len;
    for (unsigned d = 0; d < TP_DTYPE_COUNT; d++)
        if (bytes[d] > bytes[most])
            most = (enum tp_dtype)d;
    return most;
}

/*
 * More than 0 where the candidate has the dtype of the family, or the narrower one, and the model
 * at hand has another.
 */
static int compare_dtypes(const struct search *s, const struct candidate *c)
{
    enum tp_dtype a = main_dtype(s->model), b = main_dtype(c->source);
    int sum = 0;
    if (a == b || !tp_convert_possible(a, b))
        return 0;
    for (size_t i = 0; i < s->listed; i++)
        if (&s->all[i] != c && saves(&s->all[i]))
            sum += (main_dtype(s->all[i].source) == b) - (main_dtype(s->all[i].source) == a);
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
static int compare_looks(const struct search *s, const struct candidate *c)
{
    const char *self = s->self ? s->self : "";
    long a = step_of(self), b = step_of(c->name);
    int sum = (s->hints.n > 0) - c->derived;
    if (!sum)
        sum = compare_dtypes(s, c);
    if (!sum)
        sum = says_base(c->name) - says_base(self);
    if (!sum && *self)
        sum = begins(self, c->name) - begins(c->name, self);
    return sum ? sum : (b < a) - (b > a);
}

/* The same by which weights are older. */
static int compare_ages(const struct search *s, const struct candidate *c)
{
    const struct tp_model *a = s->model, *b = c->source;
    int sum = (b->weights_sec < a->weights_sec) - (b->weights_sec > a->weights_sec);
    return sum ? sum : (b->weights_nsec < a->weights_nsec) - (b->weights_nsec > a->weights_nsec);
}

/*
 * Which models are merges of others: these lie between them. All that are near count, the model at
 * hand too.
 */
static void find_merges(struct search *s)
{
    const struct tp_sight *family[SHORTLIST + 1] = {tp_glance_own(s->glance)};
    struct candidate *of[SHORTLIST + 1] = {NULL};
    unsigned n = 1;
    for (size_t i = 0; i < s->listed; i++)
        if (saves(&s->all[i])) {
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
static int vote(struct search *s, struct candidate *other, struct candidate *c, int *out,
                struct tp_error *err)
{
    struct tp_distance to_model = other->distance, to_candidate;
    double apart = COPY * c->distance.with_base;
    tp_model_limit(other->source, s->cancel, SAMPLE_MOST);
    int rc = distance_between(other->source, c->source, &to_candidate, err);
    *out = 0;
    /* A distance is the same both ways, if not from one dtype to another. */
    if (!rc && main_dtype(other->source) != main_dtype(s->model))
        rc = distance_between(other->source, s->model, &to_model, err);
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
static int is_rather_base(struct search *s, struct candidate *c, bool *out, struct tp_error *err)
{
    struct side {
        const struct tp_sight *at, *branches[JURY];
        int n;
    } sides[2] = {{.at = tp_glance_own(s->glance)}, {.at = &c->sight}};
    int sum, looks = compare_looks(s, c);
    unsigned jury = 0;
    *out = c->merged && !c->parent && !s->merged;
    if (*out || (s->merged && !c->merged))
        return 0;
    for (size_t i = 0; i < s->listed && jury < JURY; i++) {
        struct candidate *other = &s->all[i];
        int one;
        if (other == c || !saves(other) || (other->merged && !c->merged))
            continue;
        int rc = vote(s, other, c, &one, err);
        if (IS_FINAL(rc))
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
static long remoteness(const struct search *s, const struct candidate *c)
{
    double sum = 0;
    for (size_t i = 0; i < s->listed; i++)
        if (saves(&s->all[i]))
            sum += tp_kin_distance(&c->sight, &s->all[i].sight);
    return sum > 0 ? (long)floor(8 * log2(sum)) : LONG_MIN;
}

/* Of two that are equally near: a shorter chain, the one that is named, that has the model's dtype,
 * that the others are nearer to, the nearer, a pack, by name. */
static bool preferred(const struct search *s, const struct candidate *a, const struct candidate *b)
{
    enum tp_dtype dtype = main_dtype(s->model);
    bool a_same = main_dtype(a->source) == dtype, b_same = main_dtype(b->source) == dtype;
    long a_cost = (long)(a->distance.cost * 500), b_cost = (long)(b->distance.cost * 500);
    long a_remote = remoteness(s, a), b_remote = remoteness(s, b);
    if (a->depth != b->depth)
        return a->depth < b->depth;
    if (!a->named != !b->named)
        return a->named != NULL;
    if (a_same != b_same)
        return a_same;
    if (a_remote != b_remote)
        return a_remote < b_remote;
    if (a_cost != b_cost)
        return a_cost < b_cost;
    if (a->kind != b->kind)
        return a->kind == TP_MODEL_PACK;
    return strcmp(a->name, b->name) < 0;
}

/* The cost that counts. */
static double price(const struct search *s, const struct candidate *c)
{
    return c->distance.cost * (c->merged && !s->merged && !c->named ? 1 + MERGE_GAIN : 1);
}

static struct candidate *nearest(struct search *s)
{
    struct candidate *near = NULL, *best = NULL;
    for (size_t i = 0; i < s->listed; i++) {
        struct candidate *c = &s->all[i];
        if (!c->refused && saves(c) && (!near || price(s, c) < price(s, near)))
            near = c;
    }
    for (size_t i = 0; near && i < s->listed; i++) {
        struct candidate *c = &s->all[i];
        if (!c->refused && saves(c) && price(s, c) <= price(s, near) * (1 + NEAR) &&
            (!best || preferred(s, c, best)))
            best = c;
    }
    return best;
}

static int choose(struct search *s, struct candidate **out, struct tp_error *err)
{
    for (;;) {
        struct candidate *best = nearest(s);
        bool rather = false;
        if (best && best->kind == TP_MODEL_PLAIN && !best->named) {
            int rc = is_rather_base(s, best, &rather, err);
            if (rc)
                return rc;
        }
        *out = best;
        if (!rather)
            return 0;
        best->refused = true;
    }
}

static int describe(const struct search *s, const struct candidate *c, struct tp_match *out,
                    struct tp_error *err)
{
    if (!c) {
        const struct candidate *first = s->listed ? &s->all[0] : NULL;
        if (!s->n)
            return tp_fail(err, ENOENT, "there is no other model");
        if (!first)
            return tp_fail(err, ENOENT, "none of %zu other models has tensors like these", s->n);
        if (first->refused)
            return tp_fail(err, ENOENT,
                           "'%s' is related, but rather made from this model than its base",
                           first->name);
        return tp_fail(err, ENOENT,
                       "'%s' has tensors like these, but as their base it would save nothing",
                       first->name);
    }
    const struct tp_distance *d = &c->distance;
    double total = s->model->tensor_bytes ? (double)s->model->tensor_bytes : 1;
    *out = (struct tp_match){.kind = c->kind,
                             .shared = (double)c->pairs.matched_bytes / total,
                             .distance = d->with_base,
                             .named = c->named != NULL};
    snprintf(out->name, sizeof out->name, "%s", c->name);
    snprintf(
        out->why, sizeof out->why,
        "%s%s%sshares %.0f %% of the tensors' bytes, which take %.0f %% of their size against it, "
        "%.0f %% alone",
        c->named ? "named in " : "", c->named ? c->named->origin : "", c->named ? ", " : "",
        100 * out->shared, 100 * d->with_base, 100 * d->alone);
    return 0;
}

int tp_match_base(struct tp_store *store, const char *dir, const struct tp_match_query *query,
                  struct tp_match *out, struct tp_error *err)
{
    struct search *s = calloc(1, sizeof *s);
    struct candidate *best = NULL;
    int rc;
    if (!s)
        return tp_fail(err, ENOMEM, "out of memory");
    *s = (struct search){
        .store = store, .self = query->self, .waiting = query->waiting, .cancel = query->cancel};
    for (const struct tp_waiting *w = query->waiting; w; w = w->next)
        s->level++;
    s->packs_only = query->packs_only || s->level >= TP_WAITING_MAX;
    rc = tp_model_open(dir, &(struct tp_model_options){.links = query->links, .store = store},
                       &s->model, err);
    if (!rc) {
        tp_hints_read(s->model, &s->hints);
        rc = tp_glance_create(s->model, &s->glance, err);
    }
    if (!rc)
        rc = list_candidates(s, err);
    if (!rc)
        rc = sample_shortlist(s, err);
    if (!rc) {
        find_merges(s);
        rc = choose(s, &best, err);
    }
    if (!rc)
        rc = describe(s, best, out, err);
    for (size_t i = 0; i < s->listed; i++)
        forget(&s->all[i]);
    tp_glance_destroy(s->glance);
    tp_model_close(s->model);
    free(s);
    return rc;
}
