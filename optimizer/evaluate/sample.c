/* SPDX-License-Identifier: MIT */
/* The choice of the next token. */
#include <config.h>

#include "optimizer/evaluate/sample.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "optimizer/kernel/kernel.h"

struct choice {
    double weight;
    float logit;
    uint32_t token;
};

struct tp_sampler {
    struct tp_sampling sampling;
    uint32_t vocab;
    uint64_t state;
    struct choice *choices; /* VOCAB of them; NULL: not needed */
};

/* SplitMix64: each state gives one number. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

int tp_sampler_create(const struct tp_sampling *sampling, uint32_t vocab, struct tp_sampler **out,
                      struct tp_error *err)
{
    struct tp_sampler *s = calloc(1, sizeof *s);

    *out = NULL;
    if (s && sampling->temperature > 0)
        s->choices = calloc(vocab, sizeof *s->choices);
    if (!s || (sampling->temperature > 0 && !s->choices)) {
        free(s);
        return tp_fail(err, ENOMEM, "out of memory for %" PRIu32 " probabilities", vocab);
    }
    s->sampling = *sampling;
    s->vocab = vocab;
    s->state = sampling->seed;
    *out = s;
    return 0;
}

void tp_sampler_destroy(struct tp_sampler *s)
{
    if (s)
        free(s->choices);
    free(s);
}

/* The most probable first; of equal ones the lower number. */
static int compare_choices(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;

    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return (x->token > y->token) - (x->token < y->token);
}

/* How many of the N sorted choices, with weights of the sum SUM, reach top_p. */
static uint32_t count_top_p(const struct tp_sampler *s, uint32_t n, double sum)
{
    double reached = 0;
    uint32_t i = 0;

    while (i < n && reached < s->sampling.top_p * sum)
        reached += s->choices[i++].weight;
    return i > 0 ? i : 1;
}

static double sum_weights(const struct tp_sampler *s, uint32_t n)
{
    double sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += s->choices[i].weight;
    return sum;
}

static uint32_t choose(struct tp_sampler *s, const float *logits, float top)
{
    const struct tp_sampling *want = &s->sampling;
    uint32_t n = s->vocab, i = 0;
    double at, sum;

    for (i = 0; i < n; i++)
        s->choices[i] =
            (struct choice){exp(((double)logits[i] - top) / want->temperature), logits[i], i};
    if (want->top_k > 0 || want->top_p < 1)
        qsort(s->choices, n, sizeof *s->choices, compare_choices);
    if (want->top_k > 0 && want->top_k < n)
        n = want->top_k;
    sum = sum_weights(s, n);
    if (want->top_p < 1) {
        n = count_top_p(s, n, sum);
        sum = sum_weights(s, n);
    }
    at = (double)(next_random(&s->state) >> 11) * 0x1p-53 * sum;
    for (i = 0; i + 1 < n && at >= s->choices[i].weight; i++)
        at -= s->choices[i].weight;
    return s->choices[i].token;
}

int tp_sampler_choose(struct tp_sampler *s, const float *logits, uint32_t *out,
                      struct tp_error *err)
{
    size_t top = tp_arg_max(logits, s->vocab);

    if (!isfinite(tp_log_sum_exp(logits, s->vocab)))
        return tp_fail(err, EDOM, "the model computes a logit that is not a finite number");
    *out = s->sampling.temperature > 0 ? choose(s, logits, logits[top]) : (uint32_t)top;
    return 0;
}
