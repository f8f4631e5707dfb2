/* SPDX-License-Identifier: MIT */
/* The loss, and the way back through head and final norm, some rows at a time. */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "optimizer/gradient/gradient_impl.h"

#define LOGIT_BYTES ((size_t)64 << 20)
enum { ROWS_LEAST = 8, ROWS_MOST = 256 };

struct job {
    const struct tp_arch *arch;
    const uint32_t *labels; /* of the rows */
    float *d;               /* [rows][vocab] */
    double *nll;            /* [rows] */
};

static size_t piece_rows(const struct tp_arch *a)
{
    size_t rows = LOGIT_BYTES / sizeof(float) / a->vocab;

    return rows < ROWS_LEAST ? ROWS_LEAST : rows > ROWS_MOST ? ROWS_MOST : rows;
}

uint64_t tp_loss_bytes(const struct tp_runtime *rt)
{
    struct tp_matrix head = {.rows = rt->arch.vocab, .cols = rt->arch.hidden};
    size_t rows = piece_rows(&rt->arch);

    return (rows * (rt->arch.vocab + (uint64_t)rt->arch.hidden) +
            tp_linear_back_space(&head, rows)) *
           sizeof(float);
}

/* softmax less the label, through the soft cap. */
static int take_logits(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    const struct job *job = arg;
    size_t n = job->arch->vocab;
    float *d = job->d + at * n, cap = job->arch->logit_cap;
    uint32_t label = job->labels[at];

    (void)window;
    job->nll[at] = tp_log_sum_exp(logits, n) - (double)logits[label];
    tp_softmax(logits, n, d);
    d[label] -= 1;
    for (size_t i = 0; cap != 0 && i < n; i++)
        d[i] *= 1 - (logits[i] / cap) * (logits[i] / cap);
    return 0;
}

/* N rows: HIDDEN to G. */
static int do_rows(struct tp_runtime *rt, struct job *job, size_t n, const float *hidden, float *g,
                   float *space, struct tp_error *err)
{
    struct tp_window window = {.tokens = job->labels, .n = (uint32_t)n};
    size_t width = rt->arch.hidden;
    int rc = tp_runtime_logits(rt, &window, 1, hidden, take_logits, job, err);

    if (rc < 0)
        return rc;

    struct tp_linear_back head = {
        &tp_runtime_head(rt)->matrix, job->d, rt->arch.vocab, n, g, false};
    struct tp_norm_back norm = {&rt->arch, &rt->final_norm, hidden, g, g, width, n};

    tp_linear_back(rt->team, &head, space);
    tp_norm_back(rt->team, &norm);
    return 0;
}

int tp_loss_back(struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                 const float *hidden, float *g, double *nll, uint64_t *tokens, struct tp_error *err)
{
    struct tp_matrix head = {.rows = rt->arch.vocab, .cols = rt->arch.hidden};
    size_t most = piece_rows(&rt->arch), width = rt->arch.hidden;
    tp_autofree float *d = malloc(most * rt->arch.vocab * sizeof *d);
    tp_autofree float *space = malloc(tp_linear_back_space(&head, most) * sizeof *space);
    double losses[ROWS_MOST];
    int rc = d && space ? 0 : tp_oom(err);

    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        const struct tp_window *w = &windows[i];

        for (size_t at = 0; rc == 0 && at + 1 < w->n; at += most) {
            size_t rows = w->n - 1 - at < most ? w->n - 1 - at : most;
            struct job job = {&rt->arch, w->tokens + at + 1, d, losses};

            rc = do_rows(rt, &job, rows, hidden + at * width, g + at * width, space, err);
            for (size_t r = 0; rc == 0 && r < rows; r++)
                *nll += losses[r];
            *tokens += rows;
        }
        hidden += w->n * width;
        g += w->n * width;
        memset(g - width, 0, width * sizeof *g); /* what follows the last token is not known */
    }
    if (rc == 0 && !isfinite(*nll))
        rc = tp_fail(err, EDOM,
                     "the text computes a logit that is not a finite number: the weights are "
                     "damaged");
    return rc;
}
