/* SPDX-License-Identifier: MIT */
/*
 * Methods: the same bytes for every division and kernel, errors by the Hessian, GPTQ against the
 * textbook's formulation, and inputs that cannot be quantized.
 */
#include <config.h>

#include "base/isa.h"
#include "codec/quant/hessian.h"
#include "codec/quant/method.h"
#include "tests/codec/quant_check.h"

/* A layer: weights, and inputs that are correlated, a few of them large. */
struct layer {
    uint32_t rows, cols;
    float *w, *hessian, *mean, *max, *diagonal;
};

#define INPUTS 512u

/* COUNT inputs of COLS elements; for free(). */
static float *draw_inputs(uint64_t *seed, uint32_t count, uint32_t cols)
{
    float *x = check_alloc((size_t)count * cols * sizeof *x);

    for (uint32_t t = 0; t < count; t++) {
        float common = check_normal(seed);

        for (uint32_t c = 0; c < cols; c++)
            x[(size_t)t * cols + c] = (c % 29 == 3 ? 12 : 1) * (check_normal(seed) + 0.7f * common);
    }
    return x;
}

/* tp_hessian_add for COUNT rows of inputs. */
static void add_inputs(float *h, uint32_t cols, const float *x, size_t count, uint32_t first,
                       uint32_t end)
{
    size_t stride = count * TP_PANEL, panel_n = (cols + TP_PANEL - 1) / TP_PANEL;
    float *panels = check_alloc(panel_n * stride * sizeof *panels);

    for (size_t t = 0; t < count; t++)
        tp_panels_put(panels, stride, t, x + t * cols, cols);
    tp_hessian_add(h, cols, panels, stride, count, first, end);
    free(panels);
}

static struct layer make_layer(uint64_t *seed, uint32_t rows, uint32_t cols)
{
    struct layer l = {.rows = rows, .cols = cols};
    float *x;
    double *sums = check_alloc(2 * cols * sizeof *sums);
    struct tp_activations activations = {sums, sums + cols, NULL};

    l.w = check_alloc((size_t)rows * cols * sizeof *l.w);
    l.hessian = check_alloc((size_t)cols * cols * sizeof *l.hessian);
    l.mean = check_alloc(cols * sizeof *l.mean);
    l.max = check_alloc(cols * sizeof *l.max);
    l.diagonal = check_alloc(cols * sizeof *l.diagonal);
    for (size_t i = 0; i < (size_t)rows * cols; i++)
        l.w[i] = 0.05f * check_normal(seed);
    x = draw_inputs(seed, INPUTS, cols);
    memset(l.hessian, 0, (size_t)cols * cols * sizeof *l.hessian);
    memset(sums, 0, 2 * cols * sizeof *sums);
    memset(l.max, 0, cols * sizeof *l.max);
    activations.max = l.max;
    add_inputs(l.hessian, cols, x, INPUTS, 0, cols);
    tp_hessian_mirror(l.hessian, cols);
    tp_activations_add(&activations, cols, x, cols, INPUTS);
    for (uint32_t c = 0; c < cols; c++) {
        l.mean[c] = (float)(sums[c] / INPUTS);
        l.diagonal[c] = (float)sums[cols + c];
    }
    free(sums);
    free(x);
    return l;
}

static void free_layer(struct layer *l)
{
    free(l->w);
    free(l->hessian);
    free(l->mean);
    free(l->max);
    free(l->diagonal);
}

/* The layer's weights as two matrices of one input, if it has two rows. */
static struct tp_quant_task task_of(const struct layer *l, const struct tp_quant_settings *s)
{
    uint32_t half = l->rows > 1 ? l->rows / 2 : l->rows;
    struct tp_quant_task task = {.settings = *s,
                                 .inputs = {l->hessian, l->diagonal, l->mean, l->max},
                                 .cols = l->cols,
                                 .count = l->rows > 1 ? 2 : 1,
                                 .source = {{l->w, l->cols, half, false}}};

    if (l->rows > 1)
        task.source[1] =
            (struct tp_quant_source){l->w + (size_t)half * l->cols, l->cols, l->rows - half, true};
    return task;
}

/* All steps, in ranges of STEP rows from the last on. */
static struct tp_quant_job *quantize(const struct tp_quant_task *task, uint32_t step)
{
    struct tp_quant_job *job;
    struct tp_error err = {0};
    uint32_t n;

    if (tp_quant_job_create(task, &job, &err))
        bail_out("%s", err.message);
    while ((n = tp_quant_step_rows(job)) > 0) {
        for (uint32_t end = n, first; end > 0; end = first) {
            first = end < step ? 0 : end - step;
            if (tp_quant_step(job, first, end, &err))
                bail_out("%s", err.message);
        }
        if (tp_quant_step_end(job, &err))
            bail_out("%s", err.message);
    }
    return job;
}

/* What the packed matrices stand for: weights as they were before the fold. */
static float *values_of(const struct tp_quant_job *job, const struct tp_quant_task *task)
{
    const float *fold = tp_quant_folded(job);
    uint32_t rows = task->source[0].rows + (task->count > 1 ? task->source[1].rows : 0), at = 0;
    float *w = check_alloc((size_t)rows * task->cols * sizeof *w);

    for (unsigned i = 0; i < task->count; i++) {
        struct tp_quant_matrix m;
        struct tp_error err = {0};
        size_t len;
        const uint8_t *data = tp_quant_packed(job, i, &len);

        if (tp_quant_open(data, len, &m, &err))
            bail_out("%s", err.message);
        tp_quant_dequantize(&m, 0, m.spec.rows, w + (size_t)at * task->cols, task->cols);
        at += m.spec.rows;
    }
    for (size_t k = 0; fold && k < (size_t)rows * task->cols; k++)
        w[k] = w[k] / fold[k % task->cols];
    return w;
}

/* tr(dW H dW^T) / tr(W H W^T). */
static double error_of(const struct layer *l, const float *values)
{
    double error = 0, whole = 0;

    for (uint32_t r = 0; r < l->rows; r++)
        for (uint32_t i = 0; i < l->cols; i++) {
            const float *h = l->hessian + (size_t)i * l->cols;
            const float *w = l->w + (size_t)r * l->cols, *v = values + (size_t)r * l->cols;
            double e = 0, s = 0;

            for (uint32_t j = 0; j < l->cols; j++) {
                e += (double)h[j] * ((double)v[j] - w[j]);
                s += (double)h[j] * w[j];
            }
            error += ((double)v[i] - w[i]) * e;
            whole += (double)w[i] * s;
        }
    return error / whole;
}

static double method_error(const struct layer *l, const struct tp_quant_settings *s)
{
    struct tp_quant_task task = task_of(l, s);
    struct tp_quant_job *job = quantize(&task, 1000);
    float *values = values_of(job, &task);
    double error = error_of(l, values);

    free(values);
    tp_quant_job_destroy(job);
    return error;
}

static bool same_packed(const struct tp_quant_job *a, const struct tp_quant_job *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        size_t a_len, b_len;
        const uint8_t *x = tp_quant_packed(a, i, &a_len), *y = tp_quant_packed(b, i, &b_len);

        if (a_len != b_len || memcmp(x, y, a_len))
            return false;
    }
    return true;
}

/* The largest error that a method may have on the layers here, by the Hessian. */
static double error_limit(const struct tp_quant_settings *s)
{
    if (s->kind == TP_QUANT_INT8)
        return 2e-4;
    return s->second_bits || (s->kind == TP_QUANT_AFFINE && s->group <= 16) ? 4e-3 : 4e-2;
}

static void check_method(uint64_t *seed, const struct tp_quant_method *method)
{
    static const uint32_t shapes[][2] = {{1, 1}, {3, 63}, {40, 192}, {1, 576}, {37, 130}};
    bool same = true, near = true;

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct layer l = make_layer(seed, shapes[i][0], shapes[i][1]);
        struct tp_quant_task task = task_of(&l, &method->settings);
        struct tp_quant_job *want;
        float *values;

        tp_isa_set(TP_ISA_SCALAR);
        want = quantize(&task, 7);
        for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best(); isa++) {
            struct tp_quant_job *got;

            tp_isa_set((enum tp_isa)isa);
            got = quantize(&task, isa == TP_ISA_SCALAR ? 1000 : 3);
            same = same && same_packed(want, got, task.count);
            tp_quant_job_destroy(got);
        }
        values = values_of(want, &task);
        if (l.cols > 1 && error_of(&l, values) > error_limit(&method->settings)) {
            near = false;
            diag("%u x %u: error %g", l.rows, l.cols, error_of(&l, values));
        }
        free(values);
        tp_quant_job_destroy(want);
        free_layer(&l);
    }
    ok(same, "%s: the same bytes for every division and kernel", method->name);
    ok(near, "%s: near the weights", method->name);
}

/* What calibration is for: each method does better than one that does without. */
static void check_gains(uint64_t *seed)
{
    struct layer l = make_layer(seed, 64, 256);
    struct tp_quant_settings nearest = {.kind = TP_QUANT_SYM, .bits = 4, .group = 64}, s = nearest;
    double plain = method_error(&l, &nearest), better;

    for (unsigned bits = 2; bits <= 8; bits += bits == 4 ? 4 : 1) {
        nearest.bits = bits;
        s = nearest;
        s.gptq = true;
        s.damp = 0.01;
        better = method_error(&l, &s);
        plain = method_error(&l, &nearest);
        ok(better < 0.7 * plain, "%u bits: GPTQ %g, nearest %g", bits, better, plain);
        s = nearest;
        s.rounds = 5;
        better = method_error(&l, &s);
        ok(better < plain, "%u bits: refined %g, nearest %g", bits, better, plain);
    }
    nearest.bits = 4;
    nearest.kind = TP_QUANT_ASYM;
    plain = method_error(&l, &nearest);
    s = nearest;
    s.fold = TP_QUANT_FOLD_SEARCH;
    better = method_error(&l, &s);
    ok(better < 0.8 * plain, "AWQ, scales: %g, nearest %g", better, plain);
    s.clip = true;
    ok(method_error(&l, &s) < better, "AWQ, ranges as well: %g", method_error(&l, &s));
    s.fold = TP_QUANT_FOLD_SQRT;
    s.clip = false;
    better = method_error(&l, &s);
    ok(better < plain, "square roots as scales: %g", better);
    s = nearest;
    s.outliers = 0.01;
    better = method_error(&l, &s);
    ok(better < plain, "outliers: %g", better);
    s = nearest;
    s.gptq = true;
    s.outliers = 0.01;
    s.fold = TP_QUANT_FOLD_SEARCH;
    s.damp = 0.01;
    ok(method_error(&l, &s) < 0.7 * plain, "GPTQ with scales and outliers: %g",
       method_error(&l, &s));
    free_layer(&l);
}

/* The inverse of a positive definite matrix, in place, by Gauss and Jordan. */
static void invert(double *a, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        double pivot = a[k * n + k];

        for (size_t j = 0; j < n; j++)
            a[k * n + j] = j == k ? 1 / pivot : a[k * n + j] / pivot;
        for (size_t i = 0; i < n; i++) {
            double factor = a[i * n + k];

            if (i == k)
                continue;
            for (size_t j = 0; j < n; j++)
                a[i * n + j] = j == k ? -factor / pivot : a[i * n + j] - factor * a[k * n + j];
        }
    }
}

/* The upper Cholesky factor: A = U^T U. */
static void factor_upper(double *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++) {
            double v = a[i * n + j];

            for (size_t k = 0; k < i; k++)
                v -= a[k * n + i] * a[k * n + j];
            a[i * n + j] = i == j ? sqrt(v) : v / a[i * n + i];
        }
}

/*
 * GPTQ as it was published: columns in the order ORDER, the inverse of the damped Hessian, its
 * Cholesky factor, and after each column an update of all that follow. Scales are those of the
 * packed matrix.
 */
static unsigned published_codes(const struct layer *l, const uint32_t *order, double damp,
                                const struct tp_quant_matrix *m)
{
    size_t n = l->cols;
    double *u = check_alloc(n * n * sizeof *u), *w = check_alloc(n * sizeof *w), mean = 0;
    unsigned different = 0;

    for (size_t i = 0; i < n; i++)
        mean += (double)l->hessian[i * n + i] / (double)n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            u[i * n + j] = (double)l->hessian[order[i] * n + order[j]] + (i == j ? damp * mean : 0);
    invert(u, n);
    factor_upper(u, n);
    for (uint32_t r = 0; r < l->rows; r++) {
        const uint8_t *codes =
            m->view[0].section[TP_QUANT_CODES] + r * m->view[0].stride[TP_QUANT_CODES];
        const uint8_t *scales =
            m->view[0].section[TP_QUANT_SCALES] + r * m->view[0].stride[TP_QUANT_SCALES];

        for (size_t i = 0; i < n; i++)
            w[i] = (double)l->w[r * n + order[i]];
        for (size_t i = 0; i < n; i++) {
            double scale = (double)tp_float_from_f16(
                tp_get_le16(scales + 2 * (size_t)(order[i] / m->view[0].part.group)));
            double q = fmax(-8, fmin(7, nearbyint(w[i] / scale)));
            double e = (w[i] - q * scale) / u[i * n + i];

            different += (int)q + 8 != (int)tp_quant_code(codes, order[i], 4);
            for (size_t j = i; j < n; j++)
                w[j] -= e * u[i * n + j];
        }
    }
    free(w);
    free(u);
    return different;
}

static void check_published(uint64_t *seed, bool in_order)
{
    struct layer l = make_layer(seed, 24, 192);
    struct tp_quant_settings s = {.kind = TP_QUANT_SYM,
                                  .bits = 4,
                                  .group = 32,
                                  .gptq = true,
                                  .in_order = in_order,
                                  .damp = 0.02};
    struct tp_quant_task task = task_of(&l, &s);
    struct tp_quant_matrix m;
    struct tp_quant_job *job;
    uint32_t order[192];
    unsigned different;
    size_t len;
    const uint8_t *data;

    task.count = 1;
    task.source[0].rows = l.rows;
    job = quantize(&task, 5);
    data = tp_quant_packed(job, 0, &len);
    if (tp_quant_open(data, len, &m, NULL))
        bail_out("a packed matrix is not valid");
    for (uint32_t i = 0; i < l.cols; i++) {
        uint32_t k = i;

        /* By insertion; equal ones keep their order. */
        for (; !in_order && k > 0 &&
               l.hessian[(size_t)order[k - 1] * 193] < l.hessian[(size_t)i * 193];
             k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    different = published_codes(&l, order, tp_quant_damped(job), &m);
    /* A value halfway between two codes may go either way, and changes those after it. */
    ok(different <= l.rows * l.cols / 100,
       "GPTQ %s: %u of %u codes differ from the published algorithm",
       in_order ? "from left to right" : "large inputs first", different, l.rows * l.cols);
    tp_quant_job_destroy(job);
    free_layer(&l);
}

/* The error of the layer's outputs with other inputs than those that TASK knows. */
static double error_with(const struct layer *l, const struct tp_quant_task *task, double *damping)
{
    struct tp_quant_job *job = quantize(task, 100);
    float *values = values_of(job, task);
    double error = error_of(l, values);

    *damping = tp_quant_damped(job);
    free(values);
    tp_quant_job_destroy(job);
    return error;
}

/* From fewer inputs than columns GPTQ is not worse than rounding to nearest, since it damps more.
 */
static void check_few_inputs(uint64_t *seed)
{
    enum { COLS = 96, FEW = 24 };
    struct layer l = make_layer(seed, 64, COLS);
    struct tp_quant_settings s = {
        .kind = TP_QUANT_SYM, .bits = 4, .group = 32, .gptq = true, .damp = 0.01};
    struct tp_quant_task task = task_of(&l, &s);
    float *x = draw_inputs(seed, FEW, COLS), *h = check_alloc(sizeof *h * COLS * COLS);
    double many, few, nearest, damping;

    memset(h, 0, sizeof *h * COLS * COLS);
    add_inputs(h, COLS, x, FEW, 0, COLS);
    tp_hessian_mirror(h, COLS);
    task.inputs.hessian = h;
    many = error_with(&l, &task, &damping);
    ok(damping == 0.01, "the Hessian of many inputs: damping %g", damping);
    task.inputs.count = FEW;
    few = error_with(&l, &task, &damping);
    ok(damping > 0.5 && damping <= 1, "of %d inputs of %d: damping %g", FEW, COLS, damping);
    task.inputs.count = COLS * 1000;
    error_with(&l, &task, &damping);
    ok(damping < 0.011, "of %d: damping %g", COLS * 1000, damping);
    task.settings.gptq = false;
    nearest = error_with(&l, &task, &damping);
    ok(few <= nearest && few < many, "GPTQ of few inputs: error %g, %g of nearest, %g undamped",
       few, nearest, many);
    free(x);
    free(h);
    free_layer(&l);
}

/* A Hessian of rank 1 has a factor only with damping; without any, some is found. */
static void check_damping(uint64_t *seed)
{
    struct layer l = make_layer(seed, 4, 32);
    struct tp_quant_settings s = {.kind = TP_QUANT_SYM, .bits = 4, .group = 32, .gptq = true};
    struct tp_quant_task task = task_of(&l, &s);
    struct tp_quant_job *job, *equal;
    const uint8_t *packed;
    size_t len;

    for (uint32_t i = 0; i < 32; i++)
        for (uint32_t j = 0; j < 32; j++)
            l.hessian[i * 32 + j] = (float)((i % 5) * (j % 5));
    job = quantize(&task, 100);
    ok(tp_quant_damped(job) > 0, "a singular Hessian: damping %g", tp_quant_damped(job));
    tp_quant_job_destroy(job);
    memset(l.hessian, 0, 32 * 32 * sizeof *l.hessian);
    job = quantize(&task, 100);
    for (uint32_t i = 0; i < 32; i++)
        l.hessian[i * 33] = 1;
    equal = quantize(&task, 100);
    packed = tp_quant_packed(job, 0, &len);
    ok(memcmp(packed, tp_quant_packed(equal, 0, &len), len) == 0,
       "inputs that are all zero count as inputs that do not depend on each other");
    tp_quant_job_destroy(job);
    tp_quant_job_destroy(equal);
    free_layer(&l);
}

static int run_rc(const struct tp_quant_task *task, struct tp_error *err)
{
    struct tp_quant_job *job;
    int rc = tp_quant_job_create(task, &job, err);

    if (rc == 0)
        rc = tp_quant_run(job, err);
    tp_quant_job_destroy(rc == 0 || err->code == -EDOM ? job : NULL);
    return rc;
}

static void check_refused(uint64_t *seed)
{
    struct layer l = make_layer(seed, 4, 64);

    for (const struct tp_quant_method *m = tp_quant_methods; m->name; m++) {
        struct tp_quant_task task = task_of(&l, &m->settings);
        struct tp_error err = {0};
        float before = l.w[70];

        l.w[70] = m->name[0] & 1 ? NAN : -INFINITY;
        ok(run_rc(&task, &err) == -EDOM && strstr(err.message, "row 1, column 6"),
           "%s: a weight that is no number: %s", m->name, err.message);
        l.w[70] = before;
        l.hessian[65] = NAN;
        l.diagonal[3] = INFINITY;
        err = (struct tp_error){0};
        is_int(run_rc(&task, &err), -EDOM, "calibration that is no number");
        l.hessian[65] = l.hessian[64];
        l.diagonal[3] = 1;
        task.inputs = (struct tp_quant_inputs){0};
        err = (struct tp_error){0};
        if (m->needs & (TP_QUANT_NEEDS_HESSIAN | TP_QUANT_NEEDS_MEAN | TP_QUANT_NEEDS_MAX))
            is_int(run_rc(&task, &err), -EINVAL, "without what the method needs");
        else
            is_int(run_rc(&task, &err), 0, "without calibration");
    }
    free_layer(&l);
}

/* Zero rows, huge and tiny values: finite values that are near. */
static void check_extremes(uint64_t *seed)
{
    for (const struct tp_quant_method *m = tp_quant_methods; m->name; m++) {
        struct layer l = make_layer(seed, 4, 64);
        struct tp_quant_task task = task_of(&l, &m->settings);
        struct tp_quant_job *job;
        bool zero = true, finite = true;
        float *values;

        memset(l.w, 0, 64 * sizeof *l.w);
        for (uint32_t c = 0; c < 64; c++) {
            l.w[64 + c] = c % 2 ? 3e38f : -3e38f;
            l.w[128 + c] = 1e-40f * (float)c;
        }
        job = quantize(&task, 1);
        values = values_of(job, &task);
        for (uint32_t c = 0; c < 64; c++)
            zero = zero && fabsf(values[c]) < (m->settings.rank ? 1e30f : 1e-30f);
        for (uint32_t i = 0; i < 4 * 64; i++)
            finite = finite && isfinite(values[i]);
        ok(zero && finite, "%s: rows of zeros, huge and tiny values", m->name);
        free(values);
        tp_quant_job_destroy(job);
        free_layer(&l);
    }
}

static void check_hessian(uint64_t *seed)
{
    enum { COLS = 70, COUNT = 300 };
    float *x = check_alloc(COLS * COUNT * sizeof *x);
    float *a = calloc(2 * COLS * COLS, sizeof *a), *b = a + COLS * COLS;
    double worst = 0;

    if (!a)
        bail_out("out of memory");
    for (int i = 0; i < COLS * COUNT; i++)
        x[i] = check_normal(seed);
    tp_isa_set(TP_ISA_SCALAR);
    add_inputs(a, COLS, x, COUNT, 0, COLS);
    tp_hessian_mirror(a, COLS);
    tp_isa_set(tp_isa_best());
    for (uint32_t i = 0; i < COLS; i += 9) {
        uint32_t end = i + 9 < COLS ? i + 9 : COLS;

        add_inputs(b, COLS, x, 256, i, end);
        add_inputs(b, COLS, x + 256 * COLS, COUNT - 256, i, end);
    }
    tp_hessian_mirror(b, COLS);
    ok(!memcmp(a, b, COLS * COLS * sizeof *a), "the Hessian by ranges, calls and kernels");
    for (int i = 0; i < COLS; i++)
        for (int j = 0; j < COLS; j++) {
            double sum = 0;

            for (int t = 0; t < COUNT; t++)
                sum += (double)x[t * COLS + i] * x[t * COLS + j];
            worst = fmax(worst, fabs(sum - (double)a[i * COLS + j]));
        }
    ok(worst < 1e-3, "its elements: off by %g at most", worst);
    free(a);
    free(x);
}

/* Rounding to symmetric codes: the largest magnitude of a group gets the outer code if it is
 * negative, and the inner one otherwise. */
static void check_symmetric(uint64_t *seed)
{
    enum { COLS = 96, GROUP = 32 };
    struct layer l = make_layer(seed, 64, COLS);
    struct tp_quant_settings s = {.kind = TP_QUANT_SYM, .bits = 4, .group = GROUP};
    struct tp_quant_task task = task_of(&l, &s);
    struct tp_quant_job *job = quantize(&task, 100);
    float *values = values_of(job, &task);
    unsigned wrong = 0, negative = 0;

    for (size_t at = 0; at < (size_t)l.rows * COLS; at += GROUP) {
        size_t k = at;

        for (size_t i = at; i < at + GROUP; i++)
            k = fabsf(l.w[i]) > fabsf(l.w[k]) ? i : k;
        negative += l.w[k] < 0;
        wrong += values[k] >= l.w[k]; /* outside of a negative one, inside of a positive one */
    }
    ok(negative > 0 && wrong == 0,
       "symmetric codes: %u groups have a negative extreme, %u extremes the other code", negative,
       wrong);
    free(values);
    tp_quant_job_destroy(job);
    free_layer(&l);
}

int main(void)
{
    uint64_t seed = tap_seed();

    check_hessian(&seed);
    for (const struct tp_quant_method *m = tp_quant_methods; m->name; m++)
        check_method(&seed, m);
    check_gains(&seed);
    check_published(&seed, true);
    check_published(&seed, false);
    check_damping(&seed);
    check_few_inputs(&seed);
    check_symmetric(&seed);
    check_refused(&seed);
    check_extremes(&seed);
    return tap_done();
}
