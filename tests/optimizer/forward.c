/* SPDX-License-Identifier: MIT */
/*
 * Runs a model for tests that compare its logits.
 *
 *     forward MODE MODEL f32|bf16|f16|int8 THREADS [N]
 *
 * reads windows from the standard input, a line of token ids each, and writes the fp32 logits of
 * all tokens in order. MODE says how they are computed: "prefill" at once, "steps" layer by layer
 * with weights that are dropped, "decode" with a cache: a half of each window, then token by token,
 * all windows together. "greedy" writes N further tokens of each window instead, and "open" only
 * opens the model and writes "ok". An error is a line on the standard error.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vector.h"
#include "optimizer/runtime/runtime.h"

struct windows {
    struct tp_window *items;
    size_t n, cap;
    size_t *rows; /* the first row of each in the result */
    size_t row_n;
};

struct output {
    float *logits;
    uint32_t vocab;
    const size_t *rows; /* of the windows of a call: where their token 0 is */
};

static struct tp_error err;

static void check(int rc)
{
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

static void read_windows(struct windows *w)
{
    static char line[1 << 20];

    while (fgets(line, sizeof line, stdin)) {
        uint32_t *tokens = NULL;
        size_t n = 0, cap = 0;
        char *at = line, *end;

        for (;; at = end) {
            unsigned long token = strtoul(at, &end, 10);
            if (end == at)
                break;
            if (TP_VECTOR_GROW(tokens, n, cap) < 0)
                exit(1);
            tokens[n++] = (uint32_t)token;
        }
        if (TP_VECTOR_GROW(w->items, w->n, w->cap) < 0)
            exit(1);
        w->items[w->n] =
            (struct tp_window){.tokens = tokens, .n = (uint32_t)n, .sequence = (uint32_t)w->n};
        w->n++;
    }
    w->rows = calloc(w->n + 1, sizeof *w->rows);
    for (size_t i = 0; i < w->n; i++) {
        w->rows[i] = w->row_n;
        w->row_n += w->items[i].n;
    }
}

static int store(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    struct output *o = arg;

    memcpy(o->logits + (o->rows[window] + at) * o->vocab, logits, o->vocab * sizeof *logits);
    return 0;
}

static void run_steps(struct tp_runtime *rt, const struct windows *w, struct output *o)
{
    uint32_t n = (uint32_t)w->n, layer_n = tp_runtime_arch(rt)->layer_n;
    float *hidden = malloc(w->row_n * tp_runtime_arch(rt)->hidden * sizeof *hidden);
    struct tp_layer layer;

    check(tp_runtime_embed(rt, w->items, n, hidden, &err));
    for (uint32_t i = 0; i < layer_n; i++) {
        check(tp_runtime_read_layer(rt, i, &layer, &err));
        check(tp_runtime_layer(rt, &layer, w->items, n, hidden, NULL, &err));
        tp_layer_clear(&layer);
    }
    check(tp_runtime_logits(rt, w->items, n, hidden, store, o, &err));
    free(hidden);
}

static uint32_t longest(const struct windows *w)
{
    uint32_t most = 0;

    for (size_t i = 0; i < w->n; i++)
        most = w->items[i].n > most ? w->items[i].n : most;
    return most;
}

static void run_decode(struct tp_runtime *rt, const struct windows *w, struct output *o)
{
    struct tp_window *some = calloc(w->n, sizeof *some);
    size_t *rows = calloc(w->n, sizeof *rows);
    uint32_t most = longest(w);
    struct tp_cache *cache;

    check(tp_cache_create(rt, (uint32_t)w->n, most, &cache, &err));
    for (uint32_t at = 0; at < most; at++) {
        uint32_t n = 0;
        for (size_t i = 0; i < w->n; i++) {
            const struct tp_window *all = &w->items[i];
            uint32_t half = (all->n + 1) / 2;
            if (at >= all->n || (at > 0 && at < half))
                continue;
            some[n] = *all;
            some[n].tokens = all->tokens + at;
            some[n].n = at == 0 ? half : 1;
            rows[n++] = w->rows[i] + at;
        }
        o->rows = rows;
        if (n)
            check(tp_runtime_forward(rt, some, n, cache, store, o, &err));
    }
    tp_cache_destroy(cache);
    free(some);
    free(rows);
}

struct choice {
    uint32_t vocab;
    uint32_t *tokens;
};

static int choose(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    struct choice *c = arg;

    (void)at;
    c->tokens[window] = (uint32_t)tp_arg_max(logits, c->vocab);
    return 0;
}

static void run_greedy(struct tp_runtime *rt, struct windows *w, uint32_t steps)
{
    struct choice choice = {tp_runtime_arch(rt)->vocab, calloc(w->n, sizeof(uint32_t))};
    uint32_t *written = calloc(w->n * steps, sizeof *written);
    struct tp_cache *cache;

    check(tp_cache_create(rt, (uint32_t)w->n, longest(w) + steps, &cache, &err));
    for (uint32_t step = 0; step < steps; step++) {
        for (size_t i = 0; i < w->n; i++)
            w->items[i].logits_at = w->items[i].n - 1;
        check(tp_runtime_forward(rt, w->items, (uint32_t)w->n, cache, choose, &choice, &err));
        for (size_t i = 0; i < w->n; i++) {
            written[i * steps + step] = choice.tokens[i];
            if (step == 0)
                free((void *)w->items[i].tokens);
            w->items[i].tokens = &choice.tokens[i];
            w->items[i].n = 1;
        }
    }
    for (size_t i = 0; i < w->n; i++) {
        for (uint32_t step = 0; step < steps; step++)
            printf("%u ", written[i * steps + step]);
        putchar('\n');
        w->items[i].tokens = NULL;
    }
    tp_cache_destroy(cache);
    free(choice.tokens);
    free(written);
}

int main(int argc, char **argv)
{
    struct windows w = {0};
    struct output o = {0};
    struct tp_model *model;
    struct tp_runtime *rt;

    if (argc < 5) {
        fprintf(stderr, "usage: forward MODE MODEL f32|bf16|f16 THREADS [N]\n");
        return 2;
    }
    struct tp_runtime_options options = {
        .compute = strcmp(argv[3], "bf16") == 0   ? TP_COMPUTE_BF16
                   : strcmp(argv[3], "f16") == 0  ? TP_COMPUTE_F16
                   : strcmp(argv[3], "int8") == 0 ? TP_COMPUTE_INT8
                                                  : TP_COMPUTE_F32,
        .threads = (unsigned)strtoul(argv[4], NULL, 10),
    };
    check(tp_model_open(argv[2], NULL, &model, &err));
    check(tp_runtime_open(model, &options, &rt, &err));
    if (strcmp(argv[1], "open") == 0) {
        puts("ok");
    } else {
        read_windows(&w);
        o = (struct output){.vocab = tp_runtime_arch(rt)->vocab, .rows = w.rows};
        o.logits = calloc(w.row_n * o.vocab + 1, sizeof *o.logits);
        if (strcmp(argv[1], "steps") != 0)
            check(tp_runtime_load(rt, &err));
        if (strcmp(argv[1], "prefill") == 0)
            check(tp_runtime_forward(rt, w.items, (uint32_t)w.n, NULL, store, &o, &err));
        else if (strcmp(argv[1], "steps") == 0)
            run_steps(rt, &w, &o);
        else if (strcmp(argv[1], "decode") == 0)
            run_decode(rt, &w, &o);
        else
            run_greedy(rt, &w, argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 1);
        if (strcmp(argv[1], "greedy") != 0)
            fwrite(o.logits, sizeof *o.logits, w.row_n * o.vocab, stdout);
    }
    for (size_t i = 0; i < w.n; i++)
        free((void *)w.items[i].tokens);
    free(w.items);
    free(w.rows);
    free(o.logits);
    tp_runtime_close(rt);
    tp_model_close(model);
    return 0;
}
