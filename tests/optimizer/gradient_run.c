/* SPDX-License-Identifier: MIT */
/*
 * Computes gradients for tests that compare them.
 *
 *     gradient_run MODEL THREADS MEMORY
 *
 * reads windows from the standard input, a line of token ids each, all of one length, and writes
 * the mean of -log p as fp64, and the diagonals of Fisher information in fp32: of the layers in
 * reverse order, of their matrices in the order of enum tp_role. MEMORY is in bytes, 0: what there
 * is. An error is a line on the standard error.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "optimizer/gradient/fisher.h"
#include "optimizer/runtime/runtime_impl.h"

struct output {
    struct tp_fisher fisher;
    uint64_t tokens;
    struct tp_buffer bytes;
};

static struct tp_error err;

static void check(int rc)
{
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

static void read_passage(struct tp_passage *p)
{
    static char line[1 << 20];
    static uint32_t tokens[1 << 20];
    uint64_t n = 0;

    *p = (struct tp_passage){.bos = TP_TOKEN_NONE};
    while (fgets(line, sizeof line, stdin)) {
        char *at = line, *end;

        for (;; at = end) {
            unsigned long token = strtoul(at, &end, 10);

            if (end == at)
                break;
            tokens[n++] = (uint32_t)token;
        }
        p->windows.n++;
    }
    p->ids.items = tokens;
    p->ids.n = n;
    p->windows.context = p->windows.stride = (uint32_t)(n / p->windows.n);
    p->windows.tokens = n;
}

static int begin_layer(void *arg, const struct tp_layer *layer, struct tp_error *e)
{
    struct output *o = arg;

    (void)layer;
    (void)e;
    tp_fisher_begin(&o->fisher);
    return 0;
}

static int add_rows(void *arg, const struct tp_layer *layer, const struct tp_gradient_rows *rows,
                    struct tp_error *e)
{
    struct output *o = arg;

    (void)layer;
    (void)e;
    tp_fisher_add(&o->fisher, rows);
    return 0;
}

static int end_layer(void *arg, const struct tp_layer *layer, struct tp_error *e)
{
    struct output *o = arg;

    (void)e;
    for (unsigned i = 0; i < TP_ROLE_COUNT; i++) {
        const struct tp_matrix *m = &layer->linears[i].matrix;

        for (size_t k = 0; m->form && k < m->rows * m->cols; k++) {
            float mean = (float)((double)o->fisher.sums[i][k] / (double)o->tokens);

            tp_buffer_append(&o->bytes, &mean, sizeof mean);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct output o = {0};
    struct tp_gradient_watch watch = {
        .begin = begin_layer, .end = end_layer, .rows = add_rows, .arg = &o};
    struct tp_runtime_options options = {0};
    struct tp_gradient_options gradient = {.directory = "."};
    struct tp_gradient_result result;
    struct tp_passage passage;
    struct tp_model *model;
    struct tp_runtime *rt;

    if (argc != 4)
        return 2;
    options.threads = (unsigned)strtoul(argv[2], NULL, 10);
    gradient.memory = strtoull(argv[3], NULL, 10);
    read_passage(&passage);
    gradient.text = &passage;
    check(tp_model_open(argv[1], NULL, &model, &err));
    check(tp_runtime_open(model, &options, &rt, &err));
    check(tp_fisher_create(rt, &o.fisher, &err));
    o.tokens = passage.windows.n * (passage.windows.context - 1);
    check(tp_gradient_pass(rt, &gradient, &watch, &result, &err));
    if (result.tokens != o.tokens)
        return 3;
    fwrite(&result.nll, sizeof result.nll, 1, stdout);
    fwrite(o.bytes.data, 1, o.bytes.len, stdout);
    tp_fisher_clear(&o.fisher);
    tp_buffer_clear(&o.bytes);
    tp_runtime_close(rt);
    tp_model_close(model);
    return 0;
}
