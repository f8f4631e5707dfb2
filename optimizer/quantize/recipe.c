/* SPDX-License-Identifier: MIT */
/* The table of recipes, and their sizes. */
#include <config.h>

#include "optimizer/quantize/recipe.h"

#include <string.h>

#include "optimizer/runtime/runtime_impl.h"

const struct tp_recipe tp_recipes[] = {
    {"fp16", "16 bits: all weights in bf16, nothing quantized", NULL, 0, 0, false},
    {"int4_residual", "4 bits in groups of 16, then 2 bits of the residual", "int4_residual_v1", 0,
     0, false},
    {"int4_g8", "4 bits in groups of 8, refined scale and offset", "int4_g8_fp16_v1", 0, 0, false},
    {"int4_g16", "4 bits in groups of 16, refined scale and offset", "int4_g16", 0, 0, false},
    {"awq_g128", "AWQ, 4 bits in groups of 128", "awq", 128, 128, false},
    {"awq_g256", "AWQ, 4 bits in groups of 256", "awq", 256, 256, false},
    {"awq_g512", "AWQ, 4 bits in groups of 512", "awq", 512, 512, false},
    {"tenpak_x", "low rank, a codebook, and 4 bits of what remains", "tenpak_x_v1", 0, 0, false},
    {"gptq_quality", "GPTQ, 4 bits in groups of 128, large inputs first", "gptq", 128, 128, false},
    {"awq_balanced", "AWQ, 4 bits in groups of 256 in attention, 2048 in the MLP", "awq", 256, 2048,
     false},
    {"bnb_nf4", "bitsandbytes' NF4, blocks of 64", "nf4", 0, 0, false},
    {"bnb_int8", "8 bits by row, columns of large inputs in fp16", "bnb_int8", 0, 0, false},

    {"quality", "4 bits in groups of 128 in attention, 512 in the MLP", "awq", 128, 512, true},
    {"balanced", "4 bits in groups of 256 in attention, 2048 in the MLP", "awq", 256, 2048, true},
    {"size", "4 bits in groups of 512 in attention, 4096 in the MLP", "awq", 512, 4096, true},
    {NULL, NULL, NULL, 0, 0, false},
};

const struct tp_recipe *tp_recipe_find(const char *name, bool target)
{
    for (const struct tp_recipe *r = tp_recipes; r->name; r++)
        if (r->target == target && strcmp(r->name, name) == 0)
            return r;
    return NULL;
}

const struct tp_quant_method *tp_recipe_method(const struct tp_recipe *recipe)
{
    return recipe->method ? tp_quant_method_find(recipe->method) : NULL;
}

unsigned tp_recipe_needs(const struct tp_recipe *recipe)
{
    const struct tp_quant_method *method = tp_recipe_method(recipe);

    return method ? method->needs : 0;
}

static bool is_attention(enum tp_role role)
{
    return role == TP_ROLE_Q || role == TP_ROLE_K || role == TP_ROLE_V || role == TP_ROLE_QKV ||
           role == TP_ROLE_O;
}

struct tp_quant_settings tp_recipe_settings(const struct tp_recipe *recipe, enum tp_role role)
{
    struct tp_quant_settings s = tp_recipe_method(recipe)->settings;
    uint32_t group = is_attention(role) ? recipe->attention_group : recipe->mlp_group;

    if (group)
        s.group = group;
    return s;
}

bool tp_recipe_group(const struct tp_recipe *recipe, const struct tp_arch *arch, enum tp_role role,
                     uint32_t *wanted, uint32_t *used)
{
    struct tp_quant_settings s;
    uint32_t out, in;

    if (!recipe->method || !tp_role_shape(arch, role, &out, &in))
        return false;
    s = tp_recipe_settings(recipe, role);
    *wanted = s.group;
    *used = tp_quant_group(in, s.group);
    return s.group > 0;
}

/* --- Sizes --- */

/* Added to OUT: of one matrix, without columns that are kept. */
static int matrix_bytes(const struct tp_quant_settings *settings, uint32_t rows, uint32_t cols,
                        uint64_t *out, struct tp_error *err)
{
    /* Calibration is not read for a plan, but it must be there. */
    static const float none[1];
    struct tp_quant_task task = {.settings = *settings,
                                 .inputs = {none, none, none, none},
                                 .cols = cols,
                                 .count = 1,
                                 .source = {{.rows = rows}}};
    struct tp_quant_layout layout;
    struct tp_quant_spec spec;
    int rc;

    task.settings.column_limit = 0;
    rc = tp_quant_plan(&task, 0, &spec, err);
    if (rc == 0)
        rc = tp_quant_layout(&spec, &layout, err);
    if (rc == 0)
        *out += layout.bytes;
    return rc;
}

int tp_recipe_layer_bytes(const struct tp_recipe *recipe, const struct tp_arch *arch, uint64_t *out,
                          struct tp_error *err)
{
    uint32_t rows, cols;
    int rc = 0;

    *out = 0;
    for (unsigned i = 0; rc == 0 && i < TP_ROLE_COUNT; i++) {
        if (!tp_role_shape(arch, i, &rows, &cols))
            continue;
        if (recipe->method) {
            struct tp_quant_settings s = tp_recipe_settings(recipe, i);

            rc = matrix_bytes(&s, rows, cols, out, err);
        } else {
            *out += 2 * (uint64_t)rows * cols;
        }
    }
    return rc;
}

/* Elements of everything in a layer that is not a matrix. */
static uint64_t layer_vectors(const struct tp_arch *a)
{
    uint64_t n = 0;
    uint32_t rows, cols;

    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        if (tp_role_shape(a, i, &rows, &cols) && tp_role_has_bias(a, i))
            n += rows;
    for (unsigned i = 0; i < TP_NORM_ROLE_COUNT; i++)
        if (a->family->norms[i])
            n += tp_norm_width(a, i) * (a->norm == TP_NORM_LAYER ? 2 : 1);
    return n;
}

int tp_recipe_bytes(const struct tp_recipe *recipe, const struct tp_runtime *rt,
                    bool embeddings_int8, struct tp_recipe_bytes *out, struct tp_error *err)
{
    static const struct tp_quant_settings int8 = {.kind = TP_QUANT_INT8};
    const struct tp_arch *a = &rt->arch;
    unsigned tables = rt->head_name && !rt->no_embedding ? 2 : 1;
    uint64_t layer;
    int rc = tp_recipe_layer_bytes(recipe, a, &layer, err);

    *out = (struct tp_recipe_bytes){0};
    if (rc < 0)
        return rc;
    out->others = 2 * a->layer_n * layer_vectors(a);
    out->others += 2 * (uint64_t)a->hidden * (a->norm == TP_NORM_LAYER ? 2 : 1);
    if (a->learned_positions)
        out->others += 2 * a->position_n * a->hidden;
    *(recipe->method ? &out->matrices : &out->others) += layer * a->layer_n;
    for (unsigned i = 0; rc == 0 && i < tables; i++)
        if (embeddings_int8)
            rc = matrix_bytes(&int8, a->vocab, a->hidden, &out->matrices, err);
        else
            out->others += 2 * (uint64_t)a->vocab * a->hidden;
    return rc;
}
