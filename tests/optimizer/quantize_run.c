/* SPDX-License-Identifier: MIT */
/*
 * Quantizes a model by recipes, for tests and for measuring.
 *
 *     quantize_run MODEL f32|bf16 THREADS CALIBRATION RECIPE...
 *
 * reads windows from the standard input, a line of token ids each. The first CALIBRATION windows
 * calibrate, all others measure. Recipes are candidates, targets, or methods, written METHOD or
 * METHOD:ATTENTION_GROUP:MLP_GROUP. It writes a line for each recipe:
 *
 *     NAME BYTES PLANNED HASH ERROR KL LOSS SECONDS
 *
 * BYTES of packed matrices, and what was planned; a hash of all that was made; the error of the
 * logits, as a share of their deviation; the mean divergence from the model and the mean loss; the
 * seconds of quantizing. The first line is the model's own, of which only the loss is not 0.
 */
#include <config.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/vector.h"
#include "optimizer/quantize/quantize.h"

struct subject {
    struct tp_recipe recipe; /* name NULL: the model itself */
    uint64_t bytes, planned, hash;
    double seconds;
    float *hidden;
    double square, divergence, loss;
};

static struct tp_error err;

static void check(int rc)
{
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

static void *must(void *p)
{
    if (!p)
        exit(1);
    return p;
}

static struct tp_window *read_windows(uint32_t *n)
{
    struct tp_window *windows = NULL;
    static char line[1 << 20];
    size_t window_n = 0, window_cap = 0;

    while (fgets(line, sizeof line, stdin)) {
        uint32_t *tokens = NULL;
        size_t count = 0, cap = 0;
        char *at = line, *end;

        for (;; at = end) {
            unsigned long token = strtoul(at, &end, 10);
            if (end == at)
                break;
            if (TP_VECTOR_GROW(tokens, count, cap) < 0)
                exit(1);
            tokens[count++] = (uint32_t)token;
        }
        if (TP_VECTOR_GROW(windows, window_n, window_cap) < 0)
            exit(1);
        windows[window_n++] = (struct tp_window){.tokens = tokens, .n = (uint32_t)count};
    }
    *n = (uint32_t)window_n;
    return windows;
}

static size_t rows_of(const struct tp_window *windows, uint32_t n)
{
    size_t rows = 0;

    for (uint32_t i = 0; i < n; i++)
        rows += windows[i].n;
    return rows;
}

/* A candidate, a target, or a method with groups; its strings stay. */
static struct tp_recipe recipe_of(const char *text)
{
    const struct tp_recipe *found = tp_recipe_find(text, false);
    char *method = must(strdup(text)), *at = strchr(method, ':');
    struct tp_recipe recipe = {.name = text, .summary = "", .method = method};

    if (!found)
        found = tp_recipe_find(text, true);
    if (found)
        return *found;
    if (at) {
        *at++ = 0;
        recipe.attention_group = (uint32_t)strtoul(at, &at, 10);
        recipe.mlp_group = *at ? (uint32_t)strtoul(at + 1, NULL, 10) : recipe.attention_group;
    }
    if (!tp_quant_method_find(method)) {
        fprintf(stderr, "no recipe or method '%s'\n", method);
        exit(1);
    }
    return recipe;
}

static void hash_more(struct subject *s, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < len; i++)
        s->hash = (s->hash ^ bytes[i]) * 0x100000001b3;
}

/* Count and hash what was made of a layer. */
static void add_layer(struct tp_runtime *rt, struct subject *s, const struct tp_layer *layer)
{
    for (unsigned i = 0; i < TP_ROLE_COUNT; i++) {
        const struct tp_linear *l = &layer->linears[i];
        const struct tp_quant_matrix *m = tp_linear_packed(l);

        if (!l->matrix.form)
            continue;
        s->bytes += l->bytes;
        hash_more(s, m ? m->data : l->matrix.data, l->bytes);
        if (l->bias)
            hash_more(s, l->bias, l->matrix.rows * sizeof *l->bias);
    }
    for (unsigned i = 0; i < TP_NORM_ROLE_COUNT; i++)
        if (layer->norms[i].weight)
            hash_more(s, layer->norms[i].weight,
                      (i == TP_NORM_Q || i == TP_NORM_K ? tp_runtime_arch(rt)->head_dim
                                                        : tp_runtime_arch(rt)->hidden) *
                          sizeof(float));
}

struct logits {
    uint32_t vocab;
    float *values;
};

static int store(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    const struct logits *l = arg;

    (void)window;
    memcpy(l->values + (size_t)at * l->vocab, logits, l->vocab * sizeof *logits);
    return 0;
}

/* A window's logits against those of the model. */
static void compare(struct subject *s, const struct tp_window *w, const struct logits *got,
                    const struct logits *want, double *spread)
{
    size_t n = got->vocab;

    for (uint32_t i = 0; i < w->n; i++) {
        const float *a = got->values + i * n, *b = want->values + i * n;
        double mean = 0, la = tp_log_sum_exp(a, n), lb = tp_log_sum_exp(b, n);

        for (size_t k = 0; k < n; k++) {
            s->square += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
            mean += b[k] / (double)n;
        }
        for (size_t k = 0; k < n; k++)
            *spread += (b[k] - mean) * (b[k] - mean);
        s->divergence += tp_kl_divergence(b, lb, a, la, n);
        if (i + 1 < w->n)
            s->loss += la - (double)a[w->tokens[i + 1]];
    }
}

static void measure(struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                    struct subject *subjects, int subject_n, size_t row)
{
    uint32_t vocab = tp_runtime_arch(rt)->vocab, hidden = tp_runtime_arch(rt)->hidden;
    size_t first = row;

    for (int k = subject_n - 1; k >= 0; k--) {
        struct subject *s = &subjects[k];
        double spread = 0;
        size_t scored = 0, rows = 0;

        row = first;
        for (uint32_t i = 0; i < n; i++) {
            struct logits got = {vocab, must(malloc((size_t)windows[i].n * vocab * 4))};
            struct logits want = {vocab, must(malloc((size_t)windows[i].n * vocab * 4))};

            check(tp_runtime_logits(rt, &windows[i], 1, subjects[0].hidden + row * hidden, store,
                                    &want, &err));
            check(
                tp_runtime_logits(rt, &windows[i], 1, s->hidden + row * hidden, store, &got, &err));
            compare(s, &windows[i], &got, &want, &spread);
            row += windows[i].n;
            rows += windows[i].n;
            scored += windows[i].n - 1;
            free(got.values);
            free(want.values);
        }
        s->square = sqrt(s->square / spread);
        s->divergence /= (double)rows;
        s->loss /= (double)scored;
    }
}

/* One layer of the model, calibrating, and of all recipes. */
static void run_layer(struct tp_runtime *rt, uint32_t number, struct tp_calibration *c,
                      const struct tp_window *windows, uint32_t n, uint32_t calibrating,
                      struct subject *subjects, int subject_n)
{
    size_t skipped = rows_of(windows, calibrating) * tp_runtime_arch(rt)->hidden;
    struct tp_layer layer, own;

    check(tp_runtime_read_layer(rt, number, &layer, &err));
    tp_calibration_begin(c);
    check(tp_runtime_layer(rt, &layer, windows, calibrating, subjects[0].hidden,
                           tp_calibration_watch(c), &err));
    check(tp_calibration_end(c, &err));
    check(tp_runtime_layer(rt, &layer, windows + calibrating, n - calibrating,
                           subjects[0].hidden + skipped, NULL, &err));
    for (int k = 1; k < subject_n; k++) {
        struct subject *s = &subjects[k];
        double began = tp_seconds();

        check(tp_quantize_layer(rt, &layer, &s->recipe, c, &own, &err));
        s->seconds += tp_seconds() - began;
        add_layer(rt, s, &own);
        check(tp_runtime_layer(rt, &own, windows + calibrating, n - calibrating,
                               s->hidden + skipped, NULL, &err));
        tp_layer_clear(&own);
    }
    tp_layer_clear(&layer);
}

int main(int argc, char **argv)
{
    uint32_t n, calibrating;
    struct tp_window *windows;
    struct subject *subjects;
    struct tp_calibration *c;
    struct tp_model *model;
    struct tp_runtime *rt;
    unsigned needs = 0;
    double began;

    if (argc < 6) {
        fprintf(stderr,
                "usage: quantize_run MODEL f32|bf16 THREADS CALIBRATION RECIPE... < WINDOWS\n");
        return 2;
    }
    struct tp_runtime_options options = {
        .compute = strcmp(argv[2], "bf16") == 0 ? TP_COMPUTE_BF16 : TP_COMPUTE_F32,
        .threads = (unsigned)strtoul(argv[3], NULL, 10),
    };
    calibrating = (uint32_t)strtoul(argv[4], NULL, 10);
    argc -= 4;
    argv += 4;
    windows = read_windows(&n);
    if (calibrating == 0 || calibrating >= n) {
        fprintf(stderr, "%u windows are too few\n", n);
        return 1;
    }
    check(tp_model_open(argv[-3], NULL, &model, &err));
    check(tp_runtime_open(model, &options, &rt, &err));
    check(tp_runtime_load_ends(rt, &err));
    subjects = must(calloc((size_t)argc, sizeof *subjects));
    for (int k = 0; k < argc; k++) {
        struct subject *s = &subjects[k];
        struct tp_recipe_bytes planned;

        s->hidden =
            must(malloc(rows_of(windows, n) * tp_runtime_arch(rt)->hidden * sizeof *s->hidden));
        check(tp_runtime_embed(rt, windows, n, s->hidden, &err));
        if (k == 0)
            continue;
        s->recipe = recipe_of(argv[k]);
        s->hash = 0xcbf29ce484222325;
        check(tp_recipe_bytes(&s->recipe, rt, false, &planned, &err));
        s->planned = planned.matrices;
        needs |= tp_recipe_needs(&s->recipe);
    }
    check(tp_calibration_create(rt, needs, &c, &err));
    began = tp_seconds();
    for (uint32_t i = 0; i < tp_runtime_arch(rt)->layer_n; i++)
        run_layer(rt, i, c, windows, n, calibrating, subjects, argc);
    subjects[0].seconds = tp_seconds() - began;
    measure(rt, windows + calibrating, n - calibrating, subjects, argc,
            rows_of(windows, calibrating));
    for (int k = 0; k < argc; k++) {
        const struct subject *s = &subjects[k];

        printf("%s %llu %llu %016llx %.6f %.6f %.6f %.2f\n", k ? s->recipe.name : "model",
               (unsigned long long)s->bytes, (unsigned long long)s->planned,
               (unsigned long long)s->hash, s->square, s->divergence, s->loss, s->seconds);
        free(s->hidden);
    }
    tp_calibration_destroy(c);
    tp_runtime_close(rt);
    tp_model_close(model);
    free(subjects);
    for (uint32_t i = 0; i < n; i++)
        free((void *)windows[i].tokens);
    free(windows);
    return 0;
}
