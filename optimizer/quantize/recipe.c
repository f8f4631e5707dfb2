/* SPDX-License-Identifier: MIT */
/* The table of recipes, and their sizes. */
#include <config.h>

#include "optimizer/quantize/recipe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "optimizer/runtime/runtime_impl.h"

const struct tp_recipe tp_recipes[] = {
    {.name = "fp16", .summary = "16 bits: all weights in bf16, nothing quantized"},
    {.name = "int4_residual",
     .summary = "4 bits in groups of 16, then 2 bits of the residual",
     .method = "int4_residual_v1"},
    {.name = "int4_g8",
     .summary = "4 bits in groups of 8, refined scale and offset",
     .method = "int4_g8_fp16_v1"},
    {.name = "int4_g16",
     .summary = "4 bits in groups of 16, refined scale and offset",
     .method = "int4_g16"},
    {.name = "awq_g128",
     .summary = "AWQ, 4 bits in groups of 128",
     .method = "awq",
     .attention_group = 128,
     .mlp_group = 128},
    {.name = "awq_g256",
     .summary = "AWQ, 4 bits in groups of 256",
     .method = "awq",
     .attention_group = 256,
     .mlp_group = 256},
    {.name = "awq_g512",
     .summary = "AWQ, 4 bits in groups of 512",
     .method = "awq",
     .attention_group = 512,
     .mlp_group = 512},
    {.name = "tenpak_x",
     .summary = "low rank, a codebook, and 4 bits of what remains",
     .method = "tenpak_x_v1"},
    {.name = "gptq_quality",
     .summary = "GPTQ, 4 bits in groups of 128, large inputs first",
     .method = "gptq",
     .attention_group = 128,
     .mlp_group = 128},
    {.name = "awq_balanced",
     .summary = "AWQ, 4 bits in groups of 256 in attention, 2048 in the MLP",
     .method = "awq",
     .attention_group = 256,
     .mlp_group = 2048},
    {.name = "bnb_nf4", .summary = "bitsandbytes' NF4, blocks of 64", .method = "nf4"},
    {.name = "bnb_int8",
     .summary = "8 bits by row, columns of large inputs in fp16",
     .method = "bnb_int8"},

    {.name = "quality",
     .summary = "AWQ's scales, GPTQ, 4 bits in groups of 128 in attention, 512 in the MLP",
     .method = "awq_gptq",
     .attention_group = 128,
     .mlp_group = 512,
     .target = true},
    {.name = "balanced",
     .summary = "AWQ's scales, GPTQ, 4 bits in groups of 256 in attention, 2048 in the MLP",
     .method = "awq_gptq",
     .attention_group = 256,
     .mlp_group = 2048,
     .target = true},
    {.name = "size",
     .summary = "AWQ's scales, GPTQ, 4 bits in groups of 512 in attention, 4096 in the MLP",
     .method = "awq_gptq",
     .attention_group = 512,
     .mlp_group = 4096,
     .target = true},
    {.name = NULL},
};

const struct tp_recipe *tp_recipe_find(const char *name, bool target)
{
    for (const struct tp_recipe *r = tp_recipes; r->name; r++)
        if (r->target == target && strcmp(r->name, name) == 0)
            return r;
    return NULL;
}

static struct tp_recipe recipe_of(const struct tp_quant_method *m)
{
    return (struct tp_recipe){
        .name = m->name, .summary = m->summary, .method = m->name, .of_method = true};
}

bool tp_recipe_get(size_t i, struct tp_recipe *out)
{
    for (const struct tp_recipe *r = tp_recipes; r->name; r++)
        if (!r->target && i-- == 0) {
            *out = *r;
            return true;
        }
    for (const struct tp_quant_method *m = tp_quant_methods; m->name; m++)
        if (!tp_recipe_find(m->name, false) && i-- == 0) {
            *out = recipe_of(m);
            return true;
        }
    return false;
}

/* A number after ':', up to MOST, and what follows; 0: there is none. */
static uint32_t parse_number(const char **at, uint32_t most)
{
    uint32_t n = 0;

    if (**at != ':')
        return 0;
    for (++*at; **at >= '0' && **at <= '9' && n <= most; ++*at)
        n = 10 * n + (uint32_t)(**at - '0');
    return n <= most ? n : 0;
}

/* METHOD[:GROUP[:BITS]] */
static int parse_method(const char *text, struct tp_recipe *out, struct tp_error *err)
{
    const char *at = strchr(text, ':'), *colon = at;
    size_t len = at ? (size_t)(at - text) : strlen(text);
    const struct tp_quant_method *m = tp_quant_methods;

    while (m->name && (strlen(m->name) != len || strncmp(m->name, text, len) != 0))
        m++;
    if (!m->name)
        return tp_fail(err, ENOENT, "there is no target, candidate or method '%s'", text);
    *out = recipe_of(m);
    if (!at)
        return 0;
    if (!tp_quant_kind_has_groups(m->settings.kind))
        return tp_fail(err, EDOM, "the method '%s' has no groups to choose", m->name);
    out->attention_group = out->mlp_group = parse_number(&at, TP_QUANT_DIMENSION_MAX);
    if (out->mlp_group == 0)
        return tp_fail(err, EINVAL, "'%s' is no group", colon + 1);
    colon = at;
    out->bits = parse_number(&at, 8);
    if (*at || (*colon && out->bits != 2 && out->bits != 3 && out->bits != 4 && out->bits != 8))
        return tp_fail(err, EINVAL, "'%s' is no number of bits: 2, 3, 4 or 8",
                       *colon == ':' ? colon + 1 : colon);
    return 0;
}

int tp_recipe_parse(const char *text, struct tp_recipe *out, struct tp_error *err)
{
    const struct tp_recipe *found = tp_recipe_find(text, true);

    if (!found)
        found = tp_recipe_find(text, false);
    if (!found)
        return parse_method(text, out, err);
    *out = *found;
    return 0;
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

bool tp_calibration_is_short(const struct tp_arch *arch, unsigned needs, uint64_t tokens,
                             char *line, size_t size)
{
    uint32_t widest = 0, rows, cols;

    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        if (tp_role_shape(arch, i, &rows, &cols) && cols > widest)
            widest = cols;
    *line = 0;
    if (!(needs & TP_QUANT_NEEDS_HESSIAN) || tokens >= widest)
        return false;
    snprintf(line, size,
             "the calibration has %" PRIu64 " tokens, and a matrix has %" PRIu32
             " inputs: with fewer tokens than inputs, GPTQ and AWQ may be no better than "
             "rounding to nearest",
             tokens, widest);
    return true;
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
    if (recipe->bits)
        s.bits = recipe->bits;
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

uint64_t tp_layer_vectors(const struct tp_arch *a)
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
    out->others = 2 * a->layer_n * tp_layer_vectors(a);
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
