/* SPDX-License-Identifier: MIT */
/*
 * Makes a lossy pack of a model directory or a pack, for tests: matrices named "...proj..." (and
 * those of GPT-2, by columns) are quantized by a method that needs no calibration. With a text, the
 * pack says it of itself.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "codec/convert.h"
#include "codec/quant/method.h"
#include "store/write/lossy.h"

static void check(int rc, const struct tp_error *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "mklossy: %s\n", err->message);
    exit(1);
}

static void *allocate(size_t size)
{
    void *p = calloc(1, size + !size);

    if (!p) {
        fputs("mklossy: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static bool is_conv1d(const char *name)
{
    return strstr(name, "c_attn.weight") || strstr(name, "c_proj.weight") ||
           strstr(name, "c_fc.weight");
}

/* The elements of T as fp32. */
static float *read_values(struct tp_model *model, const struct tp_model_tensor *t, uint64_t *n)
{
    tp_autofree uint8_t *bytes = allocate(t->len);
    struct tp_error err = {0};
    float *values;

    *n = t->len * 8 / tp_dtype_bits(t->dtype);
    check(tp_model_read_tensor(model, t, 0, bytes, t->len, &err), &err);
    values = allocate(*n * sizeof *values);
    tp_convert(TP_DTYPE_F32, values, t->dtype, bytes, *n);
    return values;
}

static void transpose(float *values, uint64_t rows, uint64_t cols)
{
    tp_autofree float *copy = allocate(rows * cols * sizeof *copy);

    memcpy(copy, values, rows * cols * sizeof *copy);
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c++)
            values[c * rows + r] = copy[r * cols + c];
}

static void put_quantized(struct tp_lossy *w, struct tp_model *model,
                          const struct tp_model_tensor *t, const struct tp_quant_method *method,
                          bool transposed)
{
    uint64_t n;
    tp_autofree float *values = read_values(model, t, &n);
    struct tp_quant_task task = {.settings = method->settings, .count = 1};
    struct tp_quant_job *job;
    struct tp_quant_matrix m;
    struct tp_error err = {0};
    const uint8_t *packed;
    size_t len;

    if (transposed)
        transpose(values, t->shape[0], t->shape[1]);
    task.cols = (uint32_t)t->shape[transposed ? 0 : 1];
    task.source[0] = (struct tp_quant_source){
        .w = values, .stride = task.cols, .rows = (uint32_t)t->shape[transposed ? 1 : 0]};
    check(tp_quant_job_create(&task, &job, &err), &err);
    check(tp_quant_run(job, &err), &err);
    packed = tp_quant_packed(job, 0, &len);
    check(tp_quant_open(packed, len, &m, &err), &err);
    check(tp_lossy_put_matrix(w, &m, &err), &err);
    tp_quant_job_destroy(job);
}

static void put_plain(struct tp_lossy *w, struct tp_model *model, const struct tp_model_tensor *t)
{
    uint64_t n;
    tp_autofree float *values = read_values(model, t, &n);
    tp_autofree uint16_t *rounded = allocate(n * sizeof *rounded);
    struct tp_error err = {0};

    tp_convert(TP_DTYPE_BF16, rounded, TP_DTYPE_F32, values, n);
    check(tp_lossy_put_values(w, rounded, n, &err), &err);
}

static void write_pack(struct tp_model *model, const char *out,
                       const struct tp_quant_method *method)
{
    size_t n = model->tensor_n;
    tp_autofree struct tp_lossy_tensor *tensors = allocate(n * sizeof *tensors);
    struct tp_error err = {0};
    struct tp_lossy *w;

    for (size_t i = 0; i < n; i++) {
        const struct tp_model_tensor *t = model->by_place[i];

        tensors[i] = (struct tp_lossy_tensor){
            .name = t->name,
            .rank = t->rank,
            .shape = t->shape,
            .transposed = is_conv1d(t->name),
            .quantized = t->rank == 2 && (strstr(t->name, "proj") || is_conv1d(t->name))};
    }
    check(tp_lossy_create(model, out, tensors, n, 0, &w, &err), &err);
    for (size_t i = 0; i < n; i++) {
        if (tensors[i].quantized)
            put_quantized(w, model, model->by_place[i], method, tensors[i].transposed);
        else
            put_plain(w, model, model->by_place[i]);
    }
    check(tp_lossy_finish(w, NULL, &err), &err);
    tp_lossy_destroy(w);
}

int main(int argc, char **argv)
{
    const struct tp_quant_method *method = argc > 3 ? tp_quant_method_find(argv[3]) : NULL;
    struct tp_error err = {0};
    struct tp_model *model;
    char *unnamed;

    if (argc < 4 || argc > 5 || !method) {
        fputs("usage: mklossy MODEL OUT METHOD [JSON]\n", stderr);
        return 2;
    }
    check(tp_model_open(argv[1], NULL, &model, &err), &err);
    if (argc == 4) {
        write_pack(model, argv[2], method);
    } else {
        if (asprintf(&unnamed, "%s.unnamed", argv[2]) < 0)
            return 1;
        write_pack(model, unnamed, method);
        check(tp_lossy_publish(unnamed, argv[2], argv[4], &err), &err);
        unlink(unnamed);
        free(unnamed);
    }
    tp_model_close(model);
    return 0;
}
