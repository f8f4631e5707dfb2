/* SPDX-License-Identifier: MIT */
/*
 * What each recipe makes of a layer that is always the same, as a hash. Searches and statistics
 * that were kept are of a revision (TP_QUANTIZE_REVISION): whoever changes a result raises it, and
 * writes the hashes anew.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/isa.h"
#include "optimizer/quantize/quantize.h"
#include "optimizer/runtime/runtime_impl.h"
#include "tests/tap.h"

/* Of this revision are the hashes. */
enum { REVISION = 2 };

static const struct {
    const char *recipe;
    uint64_t hash;
} known[] = {
    {"fp16", UINT64_C(0x190b60c0105a646c)},
    {"int4_residual", UINT64_C(0x6d12bf56ce9ebea9)},
    {"int4_g8", UINT64_C(0xdec7d03ab29fc265)},
    {"int4_g16", UINT64_C(0xa9dcad9db1940677)},
    {"awq_g128", UINT64_C(0xf9b15e98bd1c88e8)},
    {"awq_g256", UINT64_C(0xe6cbdea2809cada3)},
    {"awq_g512", UINT64_C(0xe6cbdea2809cada3)},
    {"tenpak_x", UINT64_C(0xe7f9185e287f1740)},
    {"gptq_quality", UINT64_C(0xf14ea8cd76fc0ee3)},
    {"awq_balanced", UINT64_C(0xe6cbdea2809cada3)},
    {"bnb_nf4", UINT64_C(0xb85d343a5bf6de09)},
    {"bnb_int8", UINT64_C(0x56f069b7fbbf1504)},
    {"int8", UINT64_C(0x2c98e75768446a20)},
    {"nf4", UINT64_C(0xb85d343a5bf6de09)},
    {"nf4_double", UINT64_C(0x6296212fa45004e0)},
    {"nearest", UINT64_C(0xd89b0e10982e4784)},
    {"nearest_sym", UINT64_C(0xf38f2eb29d41409e)},
    {"gptq", UINT64_C(0xf14ea8cd76fc0ee3)},
    {"awq", UINT64_C(0xf9b15e98bd1c88e8)},
    {"awq_gptq", UINT64_C(0x4052afec13d8f852)},
    {"int4_awq_v1", UINT64_C(0x967646baa52ec72d)},
    {"int4_residual_v1", UINT64_C(0x6d12bf56ce9ebea9)},
    {"int4_opt_llama_v1", UINT64_C(0x8734fb074ecb5082)},
    {"int4_g8_fp16_v1", UINT64_C(0xdec7d03ab29fc265)},
    {"tenpak_x_v1", UINT64_C(0xe7f9185e287f1740)},
    {"calibrated_vq_v1", UINT64_C(0xfd9c0021fe5c6e9e)},
    {"int4_ultimate_v1", UINT64_C(0xcf45d030df553021)},
    {"int4_hybrid_v2", UINT64_C(0xa342bdacd0c2f384)},
    {"quality", UINT64_C(0x33862e5d4a9068bb)},
    {"balanced", UINT64_C(0x33862e5d4a9068bb)},
    {"size", UINT64_C(0x33862e5d4a9068bb)},
};

enum { HIDDEN = 128, INTER = 192, HEADS = 4, KV_HEADS = 2, HEAD_DIM = 32, ROWS = 160 };

static float *numbers(size_t n, uint64_t seed, float scale)
{
    float *x = malloc(n * sizeof *x);

    if (!x)
        bail_out("memory");
    for (size_t i = 0; i < n; i++)
        x[i] = scale * ((float)(tap_random(&seed) >> 40) * 0x1p-23f - 1);
    return x;
}

static struct tp_layer make_layer(const struct tp_arch *arch)
{
    struct tp_layer layer = {0};
    uint32_t out, in;

    for (unsigned i = 0; i < TP_ROLE_COUNT; i++) {
        struct tp_linear *l = &layer.linears[i];

        if (!tp_role_shape(arch, i, &out, &in))
            continue;
        l->data = numbers((size_t)out * in, 100 + i, 0.5f);
        l->matrix = (struct tp_matrix){.form = tp_matrix_float_form(TP_DTYPE_F32),
                                       .data = l->data,
                                       .rows = out,
                                       .cols = in,
                                       .stride = in * sizeof(float)};
    }
    layer.norms[TP_NORM_INPUT].weight = numbers(HIDDEN, 200, 1);
    layer.norms[TP_NORM_MLP].weight = numbers(HIDDEN, 201, 1);
    return layer;
}

/* Inputs of which some columns are far larger than others. */
static struct tp_calibration *calibrate(struct tp_runtime *rt)
{
    static const enum tp_role roles[TP_INPUT_COUNT] = {TP_ROLE_Q, TP_ROLE_O, TP_ROLE_GATE,
                                                       TP_ROLE_DOWN};
    struct tp_calibration *c;
    struct tp_error err = {0};

    if (tp_calibration_create(rt, TP_QUANT_NEEDS_HESSIAN, &c, &err) < 0)
        bail_out("%s", err.message);
    for (unsigned i = 0; i < TP_INPUT_COUNT; i++) {
        const struct tp_watch *watch = tp_calibration_watch(c);
        size_t cols = tp_input_width(&rt->arch, i);
        float *x = numbers(ROWS * cols, 300 + i, 1);

        for (size_t k = 0; k < ROWS * cols; k += 7)
            x[k - k % cols % 9] *= 8;
        watch->input(watch->arg, roles[i], x, ROWS, cols, cols);
        free(x);
    }
    if (tp_calibration_end(c, &err) < 0)
        bail_out("%s", err.message);
    return c;
}

/* Of everything that a pack gets of the layer. */
static uint64_t hash_layer(const struct tp_layer *layer)
{
    uint64_t all[TP_ROLE_COUNT + TP_NORM_ROLE_COUNT] = {0};

    for (unsigned i = 0; i < TP_ROLE_COUNT; i++) {
        const struct tp_linear *l = &layer->linears[i];
        const struct tp_quant_matrix *packed = tp_linear_packed(l);

        if (l->matrix.form)
            all[i] = tp_xxh3(packed ? packed->data : l->data, l->bytes);
    }
    for (unsigned i = 0; i < TP_NORM_ROLE_COUNT; i++)
        if (layer->norms[i].weight)
            all[TP_ROLE_COUNT + i] = tp_xxh3(layer->norms[i].weight, HIDDEN * sizeof(float));
    return tp_xxh3(all, sizeof all);
}

static uint64_t known_hash(const char *recipe)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].recipe, recipe) == 0)
            return known[i].hash;
    return 0;
}

static void check_recipe(struct tp_runtime *rt, const struct tp_layer *layer,
                         const struct tp_calibration *c, const struct tp_recipe *recipe)
{
    struct tp_layer out;
    struct tp_error err = {0};
    uint64_t got = 0;

    if (tp_quantize_layer(rt, layer, recipe, c, &out, &err) < 0)
        diag("%s", err.message);
    else
        got = hash_layer(&out);
    tp_layer_clear(&out);
    if (!ok(got == known_hash(recipe->name), "%s has the bytes of revision %d, with %s",
            recipe->name, REVISION, tp_isa_name(tp_isa_get())))
        diag("    {\"%s\", UINT64_C(0x%016" PRIx64 ")},", recipe->name, got);
}

int main(void)
{
    struct tp_runtime rt = {.arch = {.family = tp_family_find("LlamaForCausalLM", false),
                                     .hidden = HIDDEN,
                                     .inter = INTER,
                                     .head_n = HEADS,
                                     .kv_head_n = KV_HEADS,
                                     .head_dim = HEAD_DIM,
                                     .gated = true}};
    struct tp_layer layer = make_layer(&rt.arch);
    struct tp_recipe recipe;
    struct tp_error err = {0};

    if (tp_team_create(2, &rt.team, &err) < 0)
        bail_out("%s", err.message);
    is_int(REVISION, TP_QUANTIZE_REVISION, "the hashes are of the program's revision");
    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        struct tp_calibration *c;

        tp_isa_set(isa);
        c = calibrate(&rt);
        for (size_t i = 0; tp_recipe_get(i, &recipe); i++)
            check_recipe(&rt, &layer, c, &recipe);
        for (const struct tp_recipe *r = tp_recipes; r->name; r++)
            if (r->target)
                check_recipe(&rt, &layer, c, r);
        tp_calibration_destroy(c);
    }
    tp_layer_clear(&layer);
    tp_team_destroy(rt.team);
    return tap_done();
}
