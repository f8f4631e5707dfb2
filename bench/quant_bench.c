/* SPDX-License-Identifier: MIT */
/*
 * The methods of quantization in memory, on one thread. For each method: the compression of its
 * packed bytes against fp16 in the shapes of Llama-3.1-8B, beside the published figure if there is
 * one; and, on a generated matrix, the error weighted by the Hessian, the speed of quantizing, and
 * the speed of dequantizing with each instruction set. Times are thread CPU time, the best of
 * several runs.
 */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/isa.h"
#include "bench/measure.h"
#include "codec/quant/hessian.h"
#include "codec/quant/method.h"

#define INPUTS 1024u

struct options {
    uint32_t rows, cols;
    int runs;
    bool json;
    bool any; /* a row was printed */
};

/* A layer: its weights, and the statistics of its inputs. */
struct layer {
    uint32_t rows, cols;
    float *w, *hessian, *mean, *max;
    double *sums;
};

struct result {
    double ratio, bits, error;
    double quantize; /* GB/s of fp32 weights */
};

/* Normal weights. The inputs have 16 common directions; every 97th input is ten times as large.
 */
static struct layer make_layer(const struct options *opt)
{
    struct layer l = {.rows = opt->rows, .cols = opt->cols};
    size_t cols = opt->cols, n = (size_t)opt->rows * cols;
    float *x = must(malloc(INPUTS * cols * sizeof *x)),
          *mix = must(malloc(16 * cols * sizeof *mix)),
          *panels = must(malloc(INPUTS * (cols + TP_PANEL) * sizeof *panels));
    struct tp_activations activations;
    uint64_t seed = 1;

    l.w = must(malloc(n * sizeof *l.w));
    l.hessian = must(calloc(cols * cols, sizeof *l.hessian));
    l.mean = must(malloc(cols * sizeof *l.mean));
    l.max = must(calloc(cols, sizeof *l.max));
    l.sums = must(calloc(2 * cols, sizeof *l.sums));
    for (size_t i = 0; i < n; i++)
        l.w[i] = 0.02f * random_normal(&seed);
    for (size_t i = 0; i < 16 * cols; i++)
        mix[i] = 0.3f * random_normal(&seed);
    for (size_t t = 0; t < INPUTS; t++) {
        float common[16];

        for (unsigned k = 0; k < 16; k++)
            common[k] = random_normal(&seed);
        for (size_t c = 0; c < cols; c++) {
            float v = 0.3f * random_normal(&seed);

            for (unsigned k = 0; k < 16; k++)
                v += common[k] * mix[k * cols + c];
            x[t * cols + c] = c % 97 == 5 ? 10 * v : v;
        }
    }
    activations = (struct tp_activations){l.sums, l.sums + cols, l.max};
    for (size_t t = 0; t < INPUTS; t++)
        tp_panels_put(panels, INPUTS * TP_PANEL, t, x + t * cols, l.cols);
    tp_hessian_add(l.hessian, l.cols, panels, INPUTS * TP_PANEL, INPUTS, 0, l.cols);
    tp_hessian_mirror(l.hessian, l.cols);
    tp_activations_add(&activations, l.cols, x, cols, INPUTS);
    for (size_t c = 0; c < cols; c++)
        l.mean[c] = (float)(l.sums[c] / INPUTS);
    free(panels);
    free(mix);
    free(x);
    return l;
}

/* tr(dW H dW^T) / tr(W H W^T) over some of the rows. */
static double error_of(const struct layer *l, const float *values)
{
    double error = 0, whole = 0;

    for (uint32_t r = 0; r < l->rows; r += l->rows < 32 ? 1 : l->rows / 32)
        for (size_t i = 0; i < l->cols; i++) {
            const float *h = l->hessian + i * l->cols;
            const float *w = l->w + (size_t)r * l->cols, *v = values + (size_t)r * l->cols;
            double e = 0, s = 0;

            for (size_t j = 0; j < l->cols; j++) {
                e += (double)h[j] * ((double)v[j] - w[j]);
                s += (double)h[j] * w[j];
            }
            error += ((double)v[i] - w[i]) * e;
            whole += (double)w[i] * s;
        }
    return error / whole;
}

/* Compression against fp16 of the linear layers of a block of Llama-3.1-8B. */
static double llama_ratio(const struct tp_quant_settings *settings)
{
    static const uint32_t shapes[][2] = {{4096, 4096},  {1024, 4096},  {1024, 4096}, {4096, 4096},
                                         {14336, 4096}, {14336, 4096}, {4096, 14336}};
    static float max[14336]; /* no column is kept */
    double weights = 0, bytes = 0;

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct tp_quant_task task = {.settings = *settings,
                                     .inputs = {max, max, max, max},
                                     .cols = shapes[i][1],
                                     .count = 1,
                                     .source = {{NULL, 0, shapes[i][0], false}}};
        struct tp_quant_layout layout;
        struct tp_quant_spec spec;

        if (tp_quant_plan(&task, 0, &spec, NULL) || tp_quant_layout(&spec, &layout, NULL))
            must(NULL);
        bytes += (double)layout.bytes;
        weights += (double)shapes[i][0] * shapes[i][1];
    }
    return 2 * weights / bytes;
}

/* Quantize once, and dequantize with each instruction set, in GB/s. */
static struct result measure(const struct tp_quant_method *method, const struct layer *l, int runs,
                             double dequantize[TP_ISA_COUNT])
{
    struct tp_quant_task task = {.settings = method->settings,
                                 .inputs = {l->hessian, NULL, l->mean, l->max},
                                 .cols = l->cols,
                                 .count = 1,
                                 .source = {{l->w, l->cols, l->rows, false}}};
    size_t n = (size_t)l->rows * l->cols, len;
    float *values = must(malloc(n * sizeof *values));
    struct result res = {.ratio = llama_ratio(&method->settings)};
    struct tp_quant_job *job;
    struct tp_quant_matrix m;
    struct tp_error err = {0};
    double start = thread_seconds();
    const float *fold;
    const uint8_t *data;

    tp_isa_set(tp_isa_best());
    if (tp_quant_job_create(&task, &job, &err) || tp_quant_run(job, &err)) {
        fprintf(stderr, "quant_bench: %s\n", err.message);
        exit(1);
    }
    res.quantize = 4 * (double)n / (thread_seconds() - start) * 1e-9;
    data = tp_quant_packed(job, 0, &len);
    if (tp_quant_open(data, len, &m, &err))
        must(NULL);
    res.bits = tp_quant_bits(&m.spec, &m.layout);
    for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best(); isa++) {
        tp_isa_set((enum tp_isa)isa);
        dequantize[isa] = 0;
        for (int i = 0; i < runs; i++) {
            start = thread_seconds();
            tp_quant_dequantize(&m, 0, l->rows, values, l->cols);
            dequantize[isa] =
                fmax(dequantize[isa], 4 * (double)n / (thread_seconds() - start) * 1e-9);
        }
    }
    fold = tp_quant_folded(job);
    for (size_t i = 0; fold && i < n; i++)
        values[i] = values[i] / fold[i % l->cols];
    res.error = error_of(l, values);
    free(values);
    tp_quant_job_destroy(job);
    return res;
}

/* Published compression, for comparison with the measured one. */
static double claim_of(const char *name)
{
    static const struct {
        const char *name;
        double ratio;
    } claims[] = {{"int4_awq_v1", 7.42},    {"int4_residual_v1", 5.3}, {"int4_opt_llama_v1", 4.0},
                  {"int4_g8_fp16_v1", 4.0}, {"int4_g16", 5.3},         {"tenpak_x_v1", 4.36}};

    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++)
        if (!strcmp(claims[i].name, name))
            return claims[i].ratio;
    return 0;
}

static void print_row(struct options *opt, const char *name, const struct result *res,
                      const double *dequantize)
{
    double claim = claim_of(name);

    if (opt->json) {
        printf("%s\n  {\"method\": \"%s\", \"ratio\": %.4f, ", opt->any ? "," : "[", name,
               res->ratio);
        if (claim > 0)
            printf("\"claimed\": %.2f, ", claim);
        printf("\"bits\": %.4f, \"error\": %.6g, \"quantize\": %.4f", res->bits, res->error,
               res->quantize);
        for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best(); isa++)
            printf(", \"dequantize_%s\": %.3f", tp_isa_name((enum tp_isa)isa), dequantize[isa]);
        printf("}");
    } else {
        if (!opt->any) {
            printf("%-18s %6s %7s %7s %10s %9s", "method", "ratio", "claimed", "bits", "error",
                   "quantize");
            for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best(); isa++)
                printf(" %8s", tp_isa_name((enum tp_isa)isa));
            printf("\n");
        }
        printf("%-18s %6.3f ", name, res->ratio);
        if (claim > 0)
            printf("%7.2f", claim);
        else
            printf("%7s", "-");
        printf(" %7.4f %10.3g %9.4f", res->bits, res->error, res->quantize);
        for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best(); isa++)
            printf(" %8.2f", dequantize[isa]);
        printf("\n");
    }
    opt->any = true;
    fflush(stdout);
}

static int usage(FILE *to)
{
    fputs("usage: quant_bench [--json] [--runs N] [--rows N] [--cols N] [METHOD...]\n"
          "ratio: fp16 bytes of Llama-3.1-8B's linear layers by packed bytes. bits, error: of the\n"
          "matrix made here. quantize, and dequantize by instruction set: 10^9 bytes of fp32 a "
          "second.\n",
          to);
    return to == stdout ? 0 : 2;
}

static bool wanted(const char *name, char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return true;
    return count == 0;
}

int main(int argc, char **argv)
{
    struct options opt = {.rows = 1024, .cols = 2048, .runs = 5};
    struct layer l;
    int i = 1;

    for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
        if (!strcmp(argv[i], "--help"))
            return usage(stdout);
        if (!strcmp(argv[i], "--json"))
            opt.json = true;
        else if (!strcmp(argv[i], "--runs") && i + 1 < argc)
            opt.runs = (int)strtol(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--rows") && i + 1 < argc)
            opt.rows = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--cols") && i + 1 < argc)
            opt.cols = (uint32_t)strtoul(argv[++i], NULL, 10);
        else
            return usage(stderr);
    }
    if (opt.runs < 1 || opt.rows < 1 || opt.cols < 1 || opt.rows > 65536 || opt.cols > 65536)
        return usage(stderr);
    for (int k = i; k < argc; k++)
        if (!tp_quant_method_find(argv[k])) {
            fprintf(stderr, "quant_bench: '%s' is no method\n", argv[k]);
            return 2;
        }
    l = make_layer(&opt);
    for (const struct tp_quant_method *m = tp_quant_methods; m->name; m++) {
        double dequantize[TP_ISA_COUNT];
        struct result res;

        if (!wanted(m->name, argv + i, argc - i))
            continue;
        res = measure(m, &l, opt.runs, dequantize);
        print_row(&opt, m->name, &res, dequantize);
    }
    if (opt.json)
        puts("\n]");
    free(l.w);
    free(l.hessian);
    free(l.mean);
    free(l.max);
    free(l.sums);
    return 0;
}
