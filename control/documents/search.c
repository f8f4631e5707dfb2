/* SPDX-License-Identifier: MIT */
/* candidates.json and hardware.json: what a search may try, and what machines cost. */
#include <config.h>

#include "control/documents/internal.h"
#include "optimizer/quantize/recipe.h"

static void put_candidate(struct tp_json_writer *json, const struct tp_recipe *recipe)
{
    const struct tp_quant_method *method = tp_recipe_method(recipe);
    struct tp_quant_settings attention = {0}, mlp = {0};

    if (method) {
        attention = tp_recipe_settings(recipe, TP_ROLE_Q);
        mlp = tp_recipe_settings(recipe, TP_ROLE_UP);
    }
    tp_json_begin_object(json, NULL);
    tp_json_put_string(json, "codec", recipe->name);
    tp_json_put_string(json, "about", recipe->summary);
    tp_json_put_string(json, "method", recipe->method);
    tp_json_put_u64(json, "bits", method ? attention.bits : 16);
    tp_json_put_u64(json, "attention_group", attention.group);
    tp_json_put_u64(json, "mlp_group", mlp.group);
    tp_json_put_bool(json, "calibrated", tp_recipe_needs(recipe) != 0);
    tp_json_put_bool(json, "experimental", method && method->experimental);
    tp_json_end_object(json);
}

int tp_document_candidates(struct tp_buffer *out, struct tp_error *err)
{
    struct tp_json_writer json;

    tp_json_writer_init(&json, out, true);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "schema", "tenpak.candidates/1");
    tp_json_begin_array(&json, "candidates");
    for (const struct tp_recipe *r = tp_recipes; r->name; r++)
        if (!r->target)
            put_candidate(&json, r);
    tp_json_end_array(&json);
    tp_json_end_object(&json);
    return tp_document_finish(&json, err);
}

int tp_document_hardware(const struct tp_policy *policy, struct tp_buffer *out,
                         struct tp_error *err)
{
    struct tp_json_writer json;
    struct tp_hardware machine;

    tp_json_writer_init(&json, out, true);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "schema", "tenpak.hardware/1");
    tp_json_begin_array(&json, "machines");
    for (size_t i = 0; tp_policy_get_hardware(policy, i, &machine); i++)
        tp_hardware_put(&json, NULL, &machine);
    tp_json_end_array(&json);
    tp_json_end_object(&json);
    return tp_document_finish(&json, err);
}
