/* SPDX-License-Identifier: MIT */
/*
 * How fast the runtime computes a model, as JSON: tokens a second of a prompt and of single tokens
 * after it, with the weights as they are and quantized, and the read bandwidth of the memory.
 *
 * The prompt and the first of the single tokens come each to an empty cache, as in llama-bench.
 * With "cpu" a second is one of this process's processor time, which is right for one thread only,
 * and depends less on what else the machine does. A form is quantized from the one before it, which
 * its speed does not depend on.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/isa.h"
#include "codec/quant/method.h"
#include "optimizer/evaluate/subject.h"
#include "optimizer/kernel/kernel.h"
#include "optimizer/runtime/runtime.h"
#include "optimizer/search/rates.h"

static struct tp_error err;
static clockid_t used_clock = CLOCK_MONOTONIC;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "runtime_bench: %s\n", what);
    exit(1);
}

static void check(int rc)
{
    if (rc < 0)
        fail(err.message);
}

static void *allocate(size_t size)
{
    void *p = NULL;

    if (posix_memalign(&p, 64, size))
        fail("out of memory");
    return p;
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(used_clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double bandwidth(struct tp_team *team)
{
    struct tp_rates rates;

    if (tp_rates_measure(team, 0, &rates, &err) < 0)
        fail(err.message);
    return rates.read_bandwidth;
}

/* --- Quantization --- */

static void quantize_linear(struct tp_linear *l, const struct tp_quant_method *method,
                            uint32_t group)
{
    const struct tp_matrix *w = &l->matrix;
    float *values = allocate(w->rows * w->cols * sizeof *values);
    struct tp_quant_task task = {
        .settings = method->settings,
        .cols = (uint32_t)w->cols,
        .count = 1,
        .source = {{.w = values, .stride = w->cols, .rows = (uint32_t)w->rows}}};
    struct tp_linear packed = {.bias = l->bias};
    struct tp_quant_job *job;
    const uint8_t *bytes;
    uint8_t *to;
    size_t len;

    for (size_t r = 0; r < w->rows; r++)
        tp_matrix_read(w, r, 0, w->cols, values + r * w->cols);
    if (group)
        task.settings.group = group;
    check(tp_quant_job_create(&task, &job, &err));
    check(tp_quant_run(job, &err));
    bytes = tp_quant_packed(job, 0, &len);
    to = tp_linear_reserve_packed(&packed, len);
    if (!to)
        fail("out of memory");
    memcpy(to, bytes, len);
    check(tp_linear_open_packed(&packed, len, &err));
    tp_quant_job_destroy(job);
    free(values);
    l->bias = NULL;
    tp_linear_clear(l);
    *l = packed;
}

static const struct tp_quant_method *find_method(const char *name, size_t len)
{
    char *copy = strndup(name, len);
    const struct tp_quant_method *method = copy ? tp_quant_method_find(copy) : NULL;

    if (!method || method->needs)
        fail("a form is not the name of a method that needs no calibration");
    free(copy);
    return method;
}

/*
 * FORM: "NAME" or "NAME:GROUP" of a method that needs no calibration, for the layers; "/NAME" after
 * it for the head.
 */
static void quantize(struct tp_runtime *rt, const char *form)
{
    size_t len = strcspn(form, ":/");
    const struct tp_quant_method *method = find_method(form, len);
    uint32_t group = form[len] == ':' ? (uint32_t)strtoul(form + len + 1, NULL, 10) : 0;
    const char *head = strchr(form, '/');

    for (uint32_t i = 0; i < tp_runtime_arch(rt)->layer_n; i++)
        for (int role = 0; role < TP_ROLE_COUNT; role++) {
            struct tp_linear *l = &tp_runtime_loaded_layer(rt, i)->linears[role];

            if (l->matrix.form)
                quantize_linear(l, method, group);
        }
    if (head) /* it stays so for the forms that follow */
        quantize_linear((struct tp_linear *)tp_runtime_head(rt),
                        find_method(head + 1, strlen(head + 1)), 0);
}

/* --- Timing --- */

/* What a token reads: all matrices of the layers, and the head. */
static uint64_t token_bytes(struct tp_runtime *rt)
{
    uint64_t sum = tp_runtime_head(rt)->bytes;

    for (uint32_t i = 0; i < tp_runtime_arch(rt)->layer_n; i++)
        for (int role = 0; role < TP_ROLE_COUNT; role++)
            sum += tp_runtime_loaded_layer(rt, i)->linears[role].bytes;
    return sum;
}

static int ignore_logits(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    (void)window, (void)at;
    *(volatile float *)arg = logits[0];
    return 0;
}

/* Tokens a second of N tokens to an empty cache, STEP at a time. */
static double rate(struct tp_runtime *rt, struct tp_cache *cache, const uint32_t *tokens,
                   uint32_t n, uint32_t step)
{
    double began = seconds();
    float sink;

    tp_cache_truncate(cache, 0, 0);
    for (uint32_t i = 0; i < n; i += step) {
        struct tp_window w = {.tokens = tokens + i, .n = step, .logits_at = step - 1};

        check(tp_runtime_forward(rt, &w, 1, cache, ignore_logits, &sink, &err));
    }
    return n / (seconds() - began);
}

static void print_rates(const char *name, struct tp_runtime *rt, uint32_t prompt, uint32_t fresh,
                        int runs, uint64_t bytes)
{
    uint32_t most = prompt > fresh ? prompt : fresh, *tokens = allocate(most * sizeof *tokens);
    struct tp_cache *cache;
    double best[2] = {0};

    for (uint32_t i = 0; i < most; i++)
        tokens[i] = i * 2654435761u % tp_runtime_arch(rt)->vocab;
    check(tp_cache_create(rt, 1, most, &cache, &err));
    rate(rt, cache, tokens, 4, 1);
    for (int i = 0; i < runs; i++) {
        double p = rate(rt, cache, tokens, prompt, prompt);
        double d = rate(rt, cache, tokens, fresh, 1);

        best[0] = p > best[0] ? p : best[0];
        best[1] = d > best[1] ? d : best[1];
    }
    printf(",\n {\"form\": \"%s\", \"prefill\": %.2f, \"decode\": %.3f, \"bytes\": %llu}", name,
           best[0], best[1], (unsigned long long)bytes);
    fflush(stdout);
    tp_cache_destroy(cache);
    free(tokens);
}

int main(int argc, char **argv)
{
    struct tp_runtime_options options = {0};
    struct tp_model *model;
    struct tp_runtime *rt;
    uint32_t prompt, fresh;
    int runs;

    if (argc < 8) {
        fprintf(
            stderr,
            "usage: runtime_bench MODEL fp32|bf16|fp16|int8 wall|cpu THREADS PROMPT TOKENS RUNS "
            "[METHOD[:GROUP][/METHOD]]...\n");
        return 2;
    }
    options.compute = tp_compute_find(argv[2]);
    options.threads = (unsigned)strtoul(argv[4], NULL, 10);
    if (strcmp(argv[3], "cpu") == 0)
        used_clock = CLOCK_PROCESS_CPUTIME_ID;
    prompt = (uint32_t)strtoul(argv[5], NULL, 10);
    fresh = (uint32_t)strtoul(argv[6], NULL, 10);
    runs = (int)strtol(argv[7], NULL, 10);
    if (prompt < 4 || fresh < 4 || runs < 1)
        fail("PROMPT and TOKENS are at least 4, RUNS at least 1");
    check(tp_model_open(argv[1], NULL, &model, &err));
    check(tp_runtime_open(model, &options, &rt, &err));
    check(tp_runtime_load(rt, &err));
    printf("[{\"isa\": \"%s\", \"threads\": %u, \"bandwidth\": %.0f}", tp_isa_name(tp_isa_get()),
           tp_runtime_threads(rt), bandwidth(tp_runtime_team(rt)));
    print_rates("plain", rt, prompt, fresh, runs, token_bytes(rt));
    for (int i = 8; i < argc; i++) {
        quantize(rt, argv[i]);
        print_rates(argv[i], rt, prompt, fresh, runs, token_bytes(rt));
    }
    puts("]");
    tp_runtime_close(rt);
    tp_model_close(model);
    return 0;
}
