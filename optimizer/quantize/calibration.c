/* SPDX-License-Identifier: MIT */
/* Sums over the inputs of a layer, on all threads. */
#include <config.h>

#include "optimizer/quantize/calibration.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "codec/quant/hessian.h"
#include "optimizer/runtime/runtime_impl.h"

#define KEPT_ROWS (4 * TP_HESSIAN_BLOCK) /* rows that are added together */
#define PANEL_STRIDE (KEPT_ROWS * TP_PANEL)
#define HESSIAN_ROWS 32u /* of a part */

struct sums {
    float *kept; /* rows that were not added yet, in panels: sums do not depend on pieces */
    size_t kept_n;
    double *abs, *square;
};

struct tp_calibration_impl {
    struct tp_runtime *rt;
    struct tp_watch watch;
    struct sums sums[TP_INPUT_COUNT];
};

enum tp_input tp_input_of(enum tp_role role)
{
    switch (role) {
    case TP_ROLE_O:
        return TP_INPUT_O;
    case TP_ROLE_GATE:
    case TP_ROLE_UP:
    case TP_ROLE_GATE_UP:
        return TP_INPUT_MLP;
    case TP_ROLE_DOWN:
        return TP_INPUT_DOWN;
    default:
        return TP_INPUT_ATTENTION;
    }
}

uint32_t tp_input_width(const struct tp_arch *arch, enum tp_input input)
{
    return input == TP_INPUT_O      ? arch->head_n * arch->head_dim
           : input == TP_INPUT_DOWN ? arch->inter
                                    : arch->hidden;
}

/* --- Adding --- */

struct add_job {
    struct tp_input_statistics *s;
    struct sums *sums;
    size_t hessian_parts;
};

static void add_part(void *arg, size_t part, void *scratch)
{
    const struct add_job *job = arg;
    const struct tp_input_statistics *s = job->s;
    const struct sums *sums = job->sums;
    uint32_t first, end;

    (void)scratch;
    if (part < job->hessian_parts) {
        first = (uint32_t)part * HESSIAN_ROWS;
        end = s->cols - first < HESSIAN_ROWS ? s->cols : first + HESSIAN_ROWS;
        tp_hessian_add(s->hessian, s->cols, sums->kept, PANEL_STRIDE, sums->kept_n, first, end);
        return;
    }
    part -= job->hessian_parts;
    first = (uint32_t)part * TP_PANEL;
    end = s->cols - first < TP_PANEL ? s->cols : first + TP_PANEL;

    struct tp_activations columns = {sums->abs + first, sums->square + first, s->max + first};
    tp_activations_add(&columns, end - first, sums->kept + part * PANEL_STRIDE, TP_PANEL,
                       sums->kept_n);
}

/* Add the rows that were kept. */
static void add_kept(struct tp_calibration *c, enum tp_input input)
{
    struct tp_input_statistics *s = &c->inputs[input];
    struct sums *sums = &c->impl->sums[input];
    struct add_job job = {s, sums, 0};

    if (sums->kept_n == 0)
        return;
    if (s->hessian)
        job.hessian_parts = (s->cols + HESSIAN_ROWS - 1) / HESSIAN_ROWS;
    tp_team_run(tp_runtime_team(c->impl->rt),
                job.hessian_parts + (s->cols + TP_PANEL - 1) / TP_PANEL, add_part, &job);
    sums->kept_n = 0;
}

static void add_input(void *arg, enum tp_role role, const float *x, size_t rows, size_t stride,
                      size_t width)
{
    struct tp_calibration *c = arg;
    enum tp_input input = tp_input_of(role);
    struct tp_input_statistics *s = &c->inputs[input];
    struct sums *sums = &c->impl->sums[input];

    s->rows += rows;
    for (size_t i = 0; i < rows; i++) {
        tp_panels_put(sums->kept, PANEL_STRIDE, sums->kept_n, x + i * stride, (uint32_t)width);
        if (++sums->kept_n == KEPT_ROWS)
            add_kept(c, input);
    }
}

/* --- The whole --- */

uint64_t tp_calibration_bytes(const struct tp_arch *arch, unsigned needs)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < TP_INPUT_COUNT; i++) {
        uint64_t cols = tp_input_width(arch, i) + (uint64_t)TP_PANEL; /* of whole panels at most */
        uint64_t rows = KEPT_ROWS + 7, bytes;                         /* 7: the vectors */

        if (needs & TP_QUANT_NEEDS_HESSIAN)
            rows += cols;
        if (!tp_mul_u64(rows, cols * sizeof(float), &bytes) || !tp_add_u64(sum, bytes, &sum))
            return UINT64_MAX;
    }
    return sum;
}

static int create_input(struct tp_input_statistics *s, struct sums *sums, bool hessian,
                        struct tp_error *err)
{
    size_t cols = s->cols;

    sums->kept =
        tp_memory_alloc_huge((cols + TP_PANEL - 1) / TP_PANEL * PANEL_STRIDE * sizeof *sums->kept);
    sums->abs = calloc(cols, sizeof *sums->abs);
    sums->square = calloc(cols, sizeof *sums->square);
    s->diagonal = malloc(cols * sizeof *s->diagonal);
    s->mean = malloc(cols * sizeof *s->mean);
    s->max = calloc(cols, sizeof *s->max);
    if (hessian && tp_memory_check((uint64_t)cols * cols * sizeof *s->hessian) == 0)
        s->hessian = malloc(cols * cols * sizeof *s->hessian);
    return sums->kept && sums->abs && sums->square && s->diagonal && s->mean && s->max &&
                   (s->hessian || !hessian)
               ? 0
               : tp_fail(err, ENOMEM, "out of memory for the statistics of %u inputs", s->cols);
}

int tp_calibration_create(struct tp_runtime *rt, unsigned needs, struct tp_calibration **out,
                          struct tp_error *err)
{
    struct tp_calibration *c = calloc(1, sizeof *c);
    int rc = 0;

    *out = NULL;
    if (c)
        c->impl = calloc(1, sizeof *c->impl);
    if (!c || !c->impl) {
        free(c);
        return tp_oom(err);
    }
    c->impl->rt = rt;
    c->impl->watch = (struct tp_watch){.input = add_input, .arg = c};
    for (unsigned i = 0; rc == 0 && i < TP_INPUT_COUNT; i++) {
        c->inputs[i].cols = tp_input_width(&rt->arch, i);
        rc = create_input(&c->inputs[i], &c->impl->sums[i], needs & TP_QUANT_NEEDS_HESSIAN, err);
    }
    if (rc < 0) {
        tp_calibration_destroy(c);
        return rc;
    }
    tp_calibration_begin(c);
    *out = c;
    return 0;
}

void tp_calibration_destroy(struct tp_calibration *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < TP_INPUT_COUNT; i++) {
        struct sums *sums = &c->impl->sums[i];

        free(sums->kept);
        free(sums->abs);
        free(sums->square);
        free(c->inputs[i].hessian);
        free(c->inputs[i].diagonal);
        free(c->inputs[i].mean);
        free(c->inputs[i].max);
    }
    free(c->impl);
    free(c);
}

void tp_calibration_begin(struct tp_calibration *c)
{
    for (unsigned i = 0; i < TP_INPUT_COUNT; i++) {
        struct tp_input_statistics *s = &c->inputs[i];
        struct sums *sums = &c->impl->sums[i];
        size_t cols = s->cols;

        s->rows = 0;
        sums->kept_n = 0;
        memset(sums->abs, 0, cols * sizeof *sums->abs);
        memset(sums->square, 0, cols * sizeof *sums->square);
        memset(s->max, 0, cols * sizeof *s->max);
        if (s->hessian)
            memset(s->hessian, 0, cols * cols * sizeof *s->hessian);
    }
}

const struct tp_watch *tp_calibration_watch(const struct tp_calibration *c)
{
    return &c->impl->watch;
}

struct scale_job {
    float *hessian;
    uint32_t cols;
    float factor;
};

static void scale_part(void *arg, size_t part, void *scratch)
{
    const struct scale_job *job = arg;

    (void)scratch;
    for (size_t j = part; j < job->cols; j++)
        job->hessian[part * job->cols + j] *= job->factor;
}

int tp_calibration_end(struct tp_calibration *c, struct tp_error *err)
{
    for (unsigned i = 0; i < TP_INPUT_COUNT; i++) {
        struct tp_input_statistics *s = &c->inputs[i];
        const struct sums *sums = &c->impl->sums[i];
        struct scale_job job = {s->hessian, s->cols, 1 / (float)s->rows};

        if (s->rows == 0)
            return tp_fail(err, EINVAL, "the calibration has no tokens");
        add_kept(c, i);
        for (uint32_t k = 0; k < s->cols; k++) {
            s->diagonal[k] = (float)(sums->square[k] / (double)s->rows);
            s->mean[k] = (float)(sums->abs[k] / (double)s->rows);
            if (!isfinite(s->diagonal[k]) || !isfinite(s->mean[k]))
                return tp_fail(err, EDOM,
                               "the calibration computes an activation that is not a finite "
                               "number: the weights are damaged");
        }
        if (!s->hessian)
            continue;
        tp_team_run(tp_runtime_team(c->impl->rt), s->cols, scale_part, &job);
        tp_hessian_mirror(s->hessian, s->cols);
    }
    return 0;
}
