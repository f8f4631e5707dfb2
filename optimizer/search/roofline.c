/* SPDX-License-Identifier: MIT */
/* The model of the time of a step: fitting, its error, estimates. */
#include <config.h>

#include "optimizer/search/roofline.h"

#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"

enum { TERMS = 3 };

/* A step of candidate OWNER: what each coefficient is multiplied with, as parts of the time. */
struct point {
    size_t owner;
    double x[TERMS];
};

/* --- Least squares --- */

/*
 * The coefficients K that minimize the sum of (sum of K[t] * x[t] - 1)^2, where only those of the
 * terms in the set TERMS_IN are not 0. False: the points do not determine them.
 */
static bool solve(const struct point *points, size_t n, size_t left_out, unsigned terms_in,
                  double k[TERMS])
{
    double m[TERMS][TERMS + 1] = {{0}};
    unsigned at[TERMS], order = 0;

    for (unsigned t = 0; t < TERMS; t++) {
        k[t] = 0;
        if (terms_in >> t & 1)
            at[order++] = t;
    }
    for (size_t i = 0; i < n; i++)
        for (unsigned r = 0; points[i].owner != left_out && r < order; r++) {
            double x = points[i].x[at[r]];

            for (unsigned c = 0; c < order; c++)
                m[r][c] += x * points[i].x[at[c]];
            m[r][order] += x;
        }
    /* The matrix is symmetric and not negative: no pivots are exchanged. */
    for (unsigned p = 0; p < order; p++) {
        double whole = 0;

        for (size_t i = 0; i < n; i++)
            whole += points[i].owner != left_out ? points[i].x[at[p]] * points[i].x[at[p]] : 0;
        if (!(m[p][p] > 1e-6 * whole))
            return false; /* nearly the same as the terms before it */
        for (unsigned r = 0; r < order; r++) {
            double f = m[r][p] / m[p][p];

            for (unsigned c = p; r != p && c <= order; c++)
                m[r][c] -= f * m[p][c];
        }
    }
    for (unsigned p = 0; p < order; p++)
        k[at[p]] = m[p][order] / m[p][p];
    return true;
}

static double predict(const double k[TERMS], const struct point *p)
{
    double sum = 0;

    for (unsigned t = 0; t < TERMS; t++)
        sum += k[t] * p->x[t];
    return sum;
}

/*
 * The best coefficients of which none is negative, without the points of LEFT_OUT: of all sets of
 * terms, the one with the least squares, and of those that differ by less than a thousandth the
 * first. False: there are no points.
 */
static bool fit_points(const struct point *points, size_t n, size_t left_out, double best[TERMS])
{
    /* Bits: 1 bytes, 2 operations, 4 constant. Few terms first, and the constant last. */
    static const unsigned sets[] = {1, 2, 3, 4, 5, 6, 7};
    double least = INFINITY, k[TERMS];

    for (size_t s = 0; s < sizeof sets / sizeof sets[0]; s++) {
        double squares = 0;

        if (!solve(points, n, left_out, sets[s], k) || k[0] < 0 || k[1] < 0 || k[2] < 0)
            continue;
        for (size_t i = 0; i < n; i++)
            if (points[i].owner != left_out)
                squares += (predict(k, &points[i]) - 1) * (predict(k, &points[i]) - 1);
        if (squares < 0.999 * least - 1e-12) {
            least = squares;
            for (unsigned t = 0; t < TERMS; t++)
                best[t] = k[t];
        }
    }
    return isfinite(least);
}

/* --- The model --- */

static const struct tp_step *step_of(const struct tp_step_row *row, bool prompt)
{
    return prompt ? &row->prompt : &row->token;
}

static size_t collect(const struct tp_rates *rates, const struct tp_steps *steps, size_t n,
                      bool prompt, struct point *points)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++)
        for (unsigned r = 0; r < steps[i].n; r++) {
            const struct tp_step *s = step_of(&steps[i].rows[r], prompt);

            if (s->seconds > 0)
                points[found++] = (struct point){
                    i,
                    {s->bytes / rates->read_bandwidth / s->seconds,
                     s->operations / rates->operations_rate / s->seconds, 1 / s->seconds}};
        }
    return found;
}

/* Each candidate's steps by the others'. */
static void find_error(struct tp_roofline_fit *fit, const struct point *points, size_t n,
                       size_t owners)
{
    struct tp_mean mean = {0};
    double k[TERMS];

    fit->largest_error = 0;
    for (size_t owner = 0; owner < owners; owner++) {
        if (!fit_points(points, n, owner, k))
            continue;
        for (size_t i = 0; i < n; i++)
            if (points[i].owner == owner) {
                double error = fabs(predict(k, &points[i]) - 1);

                tp_mean_add(&mean, error);
                fit->largest_error = fmax(fit->largest_error, error);
            }
    }
    fit->mean_error = mean.mean;
    if (mean.n < 2)
        fit->mean_error = fit->largest_error = NAN;
}

static void fit_kind(const struct tp_rates *rates, const struct tp_steps *steps, size_t n,
                     bool prompt, struct point *points, struct tp_roofline_fit *out)
{
    size_t found = collect(rates, steps, n, prompt, points);
    double k[TERMS] = {1, 1, 0};

    *out = (struct tp_roofline_fit){.n = (unsigned)found};
    fit_points(points, found, SIZE_MAX, k);
    out->bytes = k[0];
    out->operations = k[1];
    out->seconds = k[2];
    find_error(out, points, found, n);
}

int tp_roofline_fit(struct tp_roofline *roofline, const struct tp_steps *steps, size_t n,
                    struct tp_error *err)
{
    tp_autofree struct point *points = calloc(n * TP_TIMING_ROWS_MAX + 1, sizeof *points);

    if (!points)
        return tp_oom(err);
    fit_kind(&roofline->rates, steps, n, true, points, &roofline->prompt);
    fit_kind(&roofline->rates, steps, n, false, points, &roofline->token);
    return 0;
}

double tp_roofline_seconds(const struct tp_roofline_fit *fit, const struct tp_rates *rates,
                           const struct tp_step *step)
{
    return fit->bytes * step->bytes / rates->read_bandwidth +
           fit->operations * step->operations / rates->operations_rate + fit->seconds;
}

static void estimate(struct tp_figures *f, const struct tp_hardware *hw,
                     const struct tp_roofline *roofline, const struct tp_steps *steps)
{
    struct tp_rates rates = {hw->read_bandwidth, hw->operations_rate};
    const struct tp_step_row *row = steps->n ? &steps->rows[steps->n - 1] : NULL;
    double prompt = row ? tp_roofline_seconds(&roofline->prompt, &rates, &row->prompt) : NAN;
    double token = row ? tp_roofline_seconds(&roofline->token, &rates, &row->token) : NAN;

    f->estimated = true;
    f->first_token_ms = 1000 * prompt;
    f->latency_ms = f->latency_p95_ms = f->latency_p99_ms = 1000 * token;
    f->throughput_tps = row ? row->batch / token : NAN;
}

void tp_figures_apply_hardware(struct tp_figures *f, const struct tp_hardware *hw,
                               const struct tp_roofline *roofline, const struct tp_steps *steps)
{
    if (!tp_hardware_is_local(hw))
        estimate(f, hw, roofline, steps);
    /* The cost is that of the throughput as it is reported. */
    tp_figures_round(f);
    f->cost_per_1m_tokens = tp_cost_per_1m_tokens(hw->dollars_per_hour, f->throughput_tps);
    tp_figures_round(f);
}

static void put_fit(struct tp_json_writer *json, const char *key, const struct tp_roofline_fit *fit)
{
    tp_json_begin_object(json, key);
    tp_json_put_u64(json, "steps", fit->n);
    tp_json_put_double(json, "bytes_factor", fit->bytes);
    tp_json_put_double(json, "operations_factor", fit->operations);
    tp_json_put_double(json, "constant_seconds", fit->seconds);
    tp_json_put_double(json, "mean_error", fit->mean_error);
    tp_json_put_double(json, "largest_error", fit->largest_error);
    tp_json_end_object(json);
}

void tp_roofline_put(struct tp_json_writer *json, const char *key,
                     const struct tp_roofline *roofline)
{
    tp_json_begin_object(json, key);
    tp_json_put_double(json, "read_bandwidth", roofline->rates.read_bandwidth);
    tp_json_put_double(json, "operations_rate", roofline->rates.operations_rate);
    put_fit(json, "token", &roofline->token);
    put_fit(json, "first_token", &roofline->prompt);
    tp_json_end_object(json);
}
