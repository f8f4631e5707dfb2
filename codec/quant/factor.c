/* SPDX-License-Identifier: MIT */
/* The Cholesky factor of a damped Hessian, in double precision, by panels of columns. */
#include <config.h>

#include "codec/quant/factor.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/quant/product.h"

#define PANEL 64u
#define DAMP_MAX 100.0

struct rank {
    float diagonal;
    uint32_t column;
};

/* By diagonal, of equal ones the right column first: so that the last is quantized first. */
static int compare_ranks(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;

    if (x->diagonal != y->diagonal)
        return x->diagonal < y->diagonal ? -1 : 1;
    return x->column < y->column ? 1 : -1;
}

static int choose_order(struct tp_factor *f, bool in_order)
{
    struct rank *ranks;

    for (uint32_t i = 0; i < f->n; i++)
        f->order[i] = f->n - 1 - i;
    if (in_order)
        return 0;
    ranks = malloc(f->n * sizeof *ranks);
    if (!ranks)
        return -ENOMEM;
    for (uint32_t i = 0; i < f->n; i++)
        ranks[i] = (struct rank){f->hessian[(size_t)i * f->n + i], i};
    qsort(ranks, f->n, sizeof *ranks, compare_ranks);
    for (uint32_t i = 0; i < f->n; i++)
        f->order[i] = ranks[i].column;
    free(ranks);
    return 0;
}

/* The damped Hessian in the order of positions. */
static void fill_lower(struct tp_factor *f)
{
    double sum = 0;

    for (uint32_t i = 0; i < f->n; i++)
        sum += f->hessian[(size_t)i * f->n + i];
    for (uint32_t i = 0; i < f->n; i++) {
        const float *row = f->hessian + (size_t)f->order[i] * f->n;
        double *dst = f->lower + (size_t)i * f->n;

        for (uint32_t j = 0; j <= i; j++)
            dst[j] = row[f->order[j]];
        /* If all inputs are zero no error matters, and none is made up for. */
        dst[i] += sum > 0 ? f->damp * sum / f->n : 1;
    }
    f->panel = 0;
}

int tp_factor_begin(struct tp_factor *f, const float *hessian, uint32_t n, bool in_order,
                    double damp, struct tp_error *err)
{
    memset(f, 0, sizeof *f);
    f->n = n;
    f->damp = damp;
    f->hessian = hessian;
    f->order = malloc(n * sizeof *f->order);
    f->lower = malloc((size_t)n * n * sizeof *f->lower);
    if (!f->order || !f->lower || choose_order(f, in_order)) {
        tp_factor_clear(f);
        return tp_oom(err);
    }
    fill_lower(f);
    return 0;
}

void tp_factor_clear(struct tp_factor *f)
{
    free(f->order);
    free(f->lower);
    free(f->feedback);
    memset(f, 0, sizeof *f);
}

static uint32_t panel_end(const struct tp_factor *f)
{
    return f->n - f->panel < PANEL ? f->n : f->panel + PANEL;
}

void tp_factor_rows(const struct tp_factor *f, uint32_t first, uint32_t end)
{
    uint32_t a = f->panel, width = panel_end(f) - a;
    size_t n = f->n;
    double other[PANEL * PANEL]; /* the rows of the panel, transposed, with the other sign */

    if (first < a)
        first = a;
    if (first >= end)
        return;
    for (uint32_t k = 0; k < a; k += PANEL) {
        struct tp_product_f64 p = {f->lower + first * n + k, n, 1,           other, PANEL,
                                   f->lower + first * n + a, n, end - first, width, PANEL};

        for (uint32_t j = 0; j < width; j++)
            for (uint32_t l = 0; l < PANEL; l++)
                other[l * PANEL + j] = -f->lower[(a + j) * n + k + l];
        tp_product_f64(&p);
    }
}

/* Row I of the panel that begins at A, up to column END, by the rows above; row I itself too. */
static bool solve_row(double *lower, size_t n, uint32_t a, uint32_t i, uint32_t end)
{
    double *row = lower + i * n;

    for (uint32_t j = a; j < end; j++) {
        const double *above = lower + j * n;
        double v = row[j];

        for (uint32_t k = a; k < j; k++)
            v -= row[k] * above[k];
        if (j < i)
            row[j] = v / above[j];
        else if (!(v > 0) || !isfinite(v))
            return false;
        else
            row[j] = sqrt(v);
    }
    return true;
}

static int make_feedback(struct tp_factor *f, struct tp_error *err)
{
    size_t n = f->n;

    f->feedback = malloc(n * n * sizeof *f->feedback);
    if (!f->feedback)
        return tp_oom(err);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            f->feedback[i * n + j] = (float)(f->lower[i * n + j] / f->lower[j * n + j]);
    free(f->lower);
    f->lower = NULL;
    return 0;
}

int tp_factor_panel(struct tp_factor *f, struct tp_error *err)
{
    uint32_t a = f->panel, b = panel_end(f);

    for (uint32_t i = a; i < f->n; i++) {
        if (solve_row(f->lower, f->n, a, i, i < b ? i + 1 : b))
            continue;
        if (f->damp >= DAMP_MAX)
            return tp_fail(err, EDOM, "quantizing: the Hessian has no factor");
        f->damp = f->damp > 0 ? 10 * f->damp : 1e-4;
        fill_lower(f);
        return 1;
    }
    f->panel = b;
    return b < f->n ? 1 : make_feedback(f, err);
}
