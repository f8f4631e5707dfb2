/* SPDX-License-Identifier: MIT */
/* The sums of a calibration against sums in double, whole and in parts, and by several threads. */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer/quantize/calibration.h"
#include "tests/tap.h"

enum { WINDOWS = 5, CONTEXT = 31, ROWS = WINDOWS * CONTEXT, WIDEST = 512 };

/* What the layer's inputs amount to, by their definition. */
struct sums {
    uint64_t rows;
    double hessian[WIDEST * WIDEST], mean[WIDEST], max[WIDEST];
};

static struct sums *sums; /* of each input */
static uint32_t tokens[ROWS];
static struct tp_window windows[WINDOWS];

static void add(void *arg, enum tp_role role, const float *x, size_t rows, size_t stride,
                size_t width)
{
    struct sums *s = &sums[tp_input_of(role)];

    (void)arg;
    for (size_t r = 0; r < rows; r++, x += stride, s->rows++)
        for (size_t i = 0; i < width; i++) {
            s->mean[i] += fabs((double)x[i]);
            s->max[i] = fmax(s->max[i], fabs((double)x[i]));
            for (size_t j = 0; j < width; j++)
                s->hessian[i * width + j] += (double)x[i] * (double)x[j];
        }
}

static void must(int rc, const struct tp_error *err)
{
    if (rc < 0)
        bail_out("%s", err->message);
}

/* The first layer of all windows, in calls of PART windows. */
static void run(struct tp_runtime *rt, const struct tp_watch *watch, uint32_t part)
{
    size_t hidden = tp_runtime_arch(rt)->hidden;
    float *x = malloc(ROWS * hidden * sizeof *x);
    struct tp_error err = {0};
    struct tp_layer layer;

    if (!x)
        bail_out("memory");
    must(tp_runtime_embed(rt, windows, WINDOWS, x, &err), &err);
    must(tp_runtime_read_layer(rt, 0, &layer, &err), &err);
    for (uint32_t i = 0; i < WINDOWS; i += part)
        must(tp_runtime_layer(rt, &layer, windows + i, WINDOWS - i < part ? WINDOWS - i : part,
                              x + (size_t)i * CONTEXT * hidden, watch, &err),
             &err);
    tp_layer_clear(&layer);
    free(x);
}

static struct tp_calibration *calibrate(struct tp_runtime *rt, unsigned needs, uint32_t part)
{
    struct tp_calibration *c;
    struct tp_error err = {0};

    must(tp_calibration_create(rt, needs, &c, &err), &err);
    for (unsigned again = 0; again < 2; again++) { /* begin starts anew */
        tp_calibration_begin(c);
        run(rt, tp_calibration_watch(c), part);
        must(tp_calibration_end(c, &err), &err);
    }
    return c;
}

static bool is_near(double got, double want)
{
    return fabs(got - want) <= 1e-5 * (fabs(want) + 1e-3);
}

static void check_input(const struct tp_input_statistics *got, const struct sums *want, unsigned i)
{
    double rows = (double)want->rows;
    size_t n = got->cols;
    unsigned wrong = 0;

    is_u64(got->rows, want->rows, "vectors");
    for (size_t k = 0; k < n; k++)
        wrong += !is_near(got->mean[k], want->mean[k] / rows) || got->max[k] != want->max[k] ||
                 !is_near(got->diagonal[k], want->hessian[k * n + k] / rows);
    ok(wrong == 0, "input %u: mean, largest and mean square", i);
    wrong = 0;
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j < n; j++) {
            double scale = sqrt(want->hessian[k * n + k] * want->hessian[j * n + j]) / rows;

            wrong += fabs(got->hessian[k * n + j] - want->hessian[k * n + j] / rows) > 1e-5 * scale;
            wrong += got->hessian[k * n + j] != got->hessian[j * n + k];
        }
    ok(wrong == 0, "input %u: the Hessian, which is symmetric", i);
}

static bool is_same(const struct tp_calibration *a, const struct tp_calibration *b)
{
    bool same = true;

    for (unsigned i = 0; i < TP_INPUT_COUNT; i++) {
        const struct tp_input_statistics *s = &a->inputs[i], *t = &b->inputs[i];
        size_t n = s->cols * sizeof(float);

        same &= s->rows == t->rows && memcmp(s->diagonal, t->diagonal, n) == 0 &&
                memcmp(s->mean, t->mean, n) == 0 && memcmp(s->max, t->max, n) == 0;
        if (s->hessian && t->hessian)
            same &= memcmp(s->hessian, t->hessian, n * s->cols) == 0;
    }
    return same;
}

static struct tp_runtime *open_runtime(struct tp_model *model, unsigned threads)
{
    struct tp_runtime_options options = {.threads = threads};
    struct tp_runtime *rt;
    struct tp_error err = {0};

    must(tp_runtime_open(model, &options, &rt, &err), &err);
    return rt;
}

static void test_sums(struct tp_model *model)
{
    struct tp_runtime *one = open_runtime(model, 1), *three = open_runtime(model, 3);
    struct tp_calibration *whole = calibrate(one, TP_QUANT_NEEDS_HESSIAN, WINDOWS), *other;
    struct tp_watch watch = {.input = add};

    run(one, &watch, WINDOWS);
    for (unsigned i = 0; i < TP_INPUT_COUNT; i++)
        check_input(&whole->inputs[i], &sums[i], i);
    other = calibrate(one, TP_QUANT_NEEDS_HESSIAN, 2);
    ok(is_same(whole, other), "windows in parts give the same bits");
    tp_calibration_destroy(other);
    other = calibrate(three, TP_QUANT_NEEDS_HESSIAN, WINDOWS);
    ok(is_same(whole, other), "so do more threads");
    tp_calibration_destroy(other);
    other = calibrate(three, 0, WINDOWS);
    ok(!other->inputs[0].hessian && is_same(whole, other), "so do other needs");
    tp_calibration_begin(other);
    is_int(tp_calibration_end(other, NULL), -EINVAL, "an input that has seen nothing");
    tp_calibration_destroy(other);
    tp_calibration_destroy(whole);
    tp_runtime_close(one);
    tp_runtime_close(three);
}

int main(void)
{
    const char *top = getenv("top_srcdir");
    struct tp_model *model;
    struct tp_error err = {0};
    char path[4096];

    snprintf(path, sizeof path, "%s/demo/models/base", top ? top : ".");
    must(tp_model_open(path, NULL, &model, &err), &err);
    sums = calloc(TP_INPUT_COUNT, sizeof *sums);
    if (!sums)
        bail_out("memory");
    for (unsigned i = 0; i < ROWS; i++)
        tokens[i] = (i * 37 + i / 7) % 512;
    for (unsigned i = 0; i < WINDOWS; i++)
        windows[i] = (struct tp_window){
            .tokens = tokens + (size_t)i * CONTEXT, .n = CONTEXT, .logits_at = CONTEXT};
    test_sums(model);
    free(sums);
    tp_model_close(model);
    return tap_done();
}
