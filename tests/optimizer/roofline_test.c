/* SPDX-License-Identifier: MIT */
/* The model of the time of a step: what it is fitted to, its error, and estimates. */
#include <config.h>

#include <errno.h>
#include <math.h>

#include "optimizer/search/roofline.h"
#include "tests/tap.h"

enum { CANDIDATES = 6 };

static const struct tp_rates rates = {1e10, 1e11};

static bool near(double got, double want)
{
    bool good = fabs(got - want) <= 1e-9 * fmax(1, fabs(want));

    if (!good)
        diag("got %.17g, want %.17g", got, want);
    return good;
}

static double cost(double a, double b, double c, const struct tp_step *s)
{
    return a * s->bytes / rates.read_bandwidth + b * s->operations / rates.operations_rate + c;
}

/* Candidates of different sizes with BATCHES batches, whose times follow a, b and c. */
static void make_steps(struct tp_steps *steps, unsigned batches, double a, double b, double c)
{
    for (unsigned i = 0; i < CANDIDATES; i++) {
        steps[i] = (struct tp_steps){.n = batches};
        for (unsigned r = 0; r < batches; r++) {
            struct tp_step_row *row = &steps[i].rows[r];

            row->batch = 1u << r;
            row->token = (struct tp_step){.bytes = 1e8 * (i + 1) + 1e6 * row->batch,
                                          .operations = 3e8 * row->batch};
            row->token.seconds = cost(a, b, c, &row->token);
            row->prompt = row->token;
            row->prompt.operations *= 100;
            row->prompt.seconds = cost(2 * a, 3 * b, c, &row->prompt);
        }
    }
}

static struct tp_roofline fit(const struct tp_steps *steps, size_t n)
{
    struct tp_roofline r = {.rates = rates};

    is_int(tp_roofline_fit(&r, steps, n, NULL), 0, "a fit");
    return r;
}

static void test_exact(void)
{
    struct tp_steps steps[CANDIDATES];
    struct tp_roofline r;

    make_steps(steps, 4, 1.5, 2.5, 0.003);
    r = fit(steps, CANDIDATES);
    ok(near(r.token.bytes, 1.5) && near(r.token.operations, 2.5) && near(r.token.seconds, 0.003),
       "the coefficients of tokens");
    ok(near(r.prompt.bytes, 3) && near(r.prompt.operations, 7.5) && near(r.prompt.seconds, 0.003),
       "those of prompts");
    is_u64(r.token.n, 4 * CANDIDATES, "by all steps");
    ok(r.token.mean_error < 1e-9 && r.token.largest_error < 1e-9, "without an error");
    ok(near(tp_roofline_seconds(&r.token, &rates, &steps[2].rows[1].token),
            steps[2].rows[1].token.seconds),
       "which gives the time of a step");
}

/* One batch: the operations are the same in all steps, and cannot be told from a constant. */
static void test_one_batch(void)
{
    struct tp_steps steps[CANDIDATES];
    struct tp_roofline r;

    make_steps(steps, 1, 1.5, 2.5, 0.003);
    r = fit(steps, CANDIDATES);
    ok(near(r.token.bytes, 1.5) && r.token.seconds == 0, "what is the same in all is operations");
    ok(near(r.token.operations, 2.5 + 0.003 / (3e8 / 1e11)), "all operations are counted");
    ok(r.token.largest_error < 1e-9, "no candidate's time is known the worse for it");
}

/* Times that no model with positive coefficients gives. */
static void test_bounds(void)
{
    struct tp_steps steps[CANDIDATES];
    struct tp_roofline r;

    make_steps(steps, 1, 0, 1, 0);
    for (unsigned i = 0; i < CANDIDATES; i++)
        steps[i].rows[0].token.seconds = 0.01 / (i + 1);
    r = fit(steps, CANDIDATES);
    ok(r.token.bytes >= 0 && r.token.operations >= 0 && r.token.seconds >= 0,
       "no coefficient is negative");
    ok(r.token.mean_error > 0.2 && r.token.largest_error > r.token.mean_error,
       "the error of a poor fit is large");
}

/* One candidate takes twice the time that the others' model gives: its error is half of its time.
 */
static void test_left_out(void)
{
    struct tp_steps steps[CANDIDATES];
    struct tp_roofline r;

    make_steps(steps, 3, 1, 1, 0.001);
    for (unsigned i = 0; i < 3; i++)
        steps[CANDIDATES - 1].rows[i].token.seconds *= 2;
    r = fit(steps, CANDIDATES);
    ok(near(r.token.largest_error, 0.5) || r.token.largest_error > 0.5,
       "left out, it is half known");
    ok(r.token.mean_error < r.token.largest_error, "the others are known better");
}

static void test_few(void)
{
    struct tp_steps steps[CANDIDATES];
    struct tp_roofline r = fit(NULL, 0);

    ok(r.token.bytes == 1 && r.token.operations == 1 && r.token.seconds == 0 && r.token.n == 0,
       "without steps the machine is taken to do what it can");
    ok(isnan(r.token.mean_error) && isnan(r.token.largest_error), "with an unknown error");
    make_steps(steps, 1, 2, 0, 0);
    r = fit(steps, 1);
    ok(near(r.token.bytes, 2) && isnan(r.token.mean_error), "one candidate has no error");
    steps[0].rows[0].token.seconds = NAN;
    r = fit(steps, 1);
    is_u64(r.token.n, 0, "a step without a time is none");
}

static void test_hardware(void)
{
    struct tp_hardware gpu = {"x", "gpu", "test", 3.6, 1, 1e12, 1e13};
    struct tp_hardware local = {"local", "cpu", "measured", 3.6, 1, 0, 0};
    struct tp_steps steps[CANDIDATES];
    struct tp_figures f;
    struct tp_roofline r;

    make_steps(steps, 2, 1, 1, 0.001);
    r = fit(steps, CANDIDATES);
    tp_figures_init(&f, "c");
    f.throughput_tps = 12.3456789;
    f.latency_ms = 3;
    tp_figures_apply_hardware(&f, &local, NULL, NULL);
    ok(f.throughput_tps == 12.3457 && f.latency_ms == 3 && !f.estimated, "what is measured stays");
    ok(f.cost_per_1m_tokens == 80.9999, "1000 dollars by 12.3457, in six digits");
    tp_figures_apply_hardware(&f, &gpu, &r, &steps[0]);
    /* 1.02e8 bytes and 6e8 operations for 2 tokens */
    ok(f.estimated && f.latency_ms == 1.162 && f.latency_p99_ms == 1.162, "an estimate");
    ok(f.throughput_tps == 1721.17 && f.cost_per_1m_tokens == 0.581, "its throughput and cost");
    steps[0].n = 0;
    tp_figures_apply_hardware(&f, &gpu, &r, &steps[0]);
    ok(f.estimated && isnan(f.latency_ms) && isnan(f.cost_per_1m_tokens),
       "without steps there is none");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void test_rates(void)
{
    struct tp_error err = {0};
    struct tp_team *team;
    struct tp_rates got;

    is_int(tp_team_create(2, &team, &err), 0, "a team");
    is_int(tp_rates_measure(team, 0, &got, &err), 0, "rates of this machine");
    ok(isfinite(got.read_bandwidth) && got.read_bandwidth > 1e7, "reading: %.3g bytes/s",
       got.read_bandwidth);
    ok(isfinite(got.operations_rate) && got.operations_rate > 1e7, "products: %.3g operations/s",
       got.operations_rate);
    is_int(tp_rates_measure(team, 1, &got, &err), -ENOMEM, "in no memory at all");
    tp_team_destroy(team);
}
#endif

int main(void)
{
    test_exact();
    test_one_batch();
    test_bounds();
    test_left_out();
    test_few();
    test_hardware();
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    test_rates(); /* the shadow of a sanitizer counts as memory in use: none is left */
#endif
    return tap_done();
}
