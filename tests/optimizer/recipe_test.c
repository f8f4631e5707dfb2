/* SPDX-License-Identifier: MIT */
/* Recipes by their names: the table, what is parsed, and what is refused. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "optimizer/quantize/recipe.h"
#include "tests/tap.h"

static const struct {
    const char *text;
    int rc;
    const char *method;
    uint32_t attention, mlp; /* groups that the recipe asks for */
    unsigned bits;
} cases[] = {
    {"gptq:16", 0, "gptq", 16, 16, 0},
    {"gptq:16:3", 0, "gptq", 16, 16, 3},
    {"nearest:48:8", 0, "nearest", 48, 48, 8},
    {"gptq", 0, "gptq", 0, 0, 0},
    {"", -ENOENT, NULL, 0, 0, 0},
    {":", -ENOENT, NULL, 0, 0, 0},
    {"gpt", -ENOENT, NULL, 0, 0, 0},
    {"gptqq", -ENOENT, NULL, 0, 0, 0},
    {"GPTQ", -ENOENT, NULL, 0, 0, 0},
    {" gptq", -ENOENT, NULL, 0, 0, 0},
    {"best", -ENOENT, NULL, 0, 0, 0},
    {"gptq:", -EINVAL, NULL, 0, 0, 0},
    {"gptq:0", -EINVAL, NULL, 0, 0, 0},
    {"gptq:-1", -EINVAL, NULL, 0, 0, 0},
    {"gptq:16 ", -EINVAL, NULL, 0, 0, 0},
    {"gptq:x", -EINVAL, NULL, 0, 0, 0},
    {"gptq:16:", -EINVAL, NULL, 0, 0, 0},
    {"gptq:16:0", -EINVAL, NULL, 0, 0, 0},
    {"gptq:16:5", -EINVAL, NULL, 0, 0, 0},
    {"gptq:16:16", -EINVAL, NULL, 0, 0, 0},
    {"gptq:16:4:4", -EINVAL, NULL, 0, 0, 0},
    {"gptq:99999999999999999999", -EINVAL, NULL, 0, 0, 0},
    {"gptq:18446744073709551632", -EINVAL, NULL, 0, 0, 0}, /* 2^64 + 16 */
    {"nf4:64", -EDOM, NULL, 0, 0, 0},
};

static void test_parse(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tp_recipe r = {0};
        struct tp_error err = {0};

        int rc = tp_recipe_parse(cases[i].text, &r, &err);

        if (!ok(rc == cases[i].rc, "'%s'", cases[i].text))
            diag("%d: %s", rc, err.message);
        if (cases[i].rc < 0) {
            ok(err.message[0] && !strchr(err.message, '\n'), "one line says why");
            continue;
        }
        is_str(r.method, cases[i].method, "its method");
        ok(r.attention_group == cases[i].attention && r.mlp_group == cases[i].mlp &&
               r.bits == cases[i].bits,
           "its group and bits");
    }
}

/* Every row of the table is found by its name, and its method exists. */
static void test_table(void)
{
    size_t candidates = 0, targets = 0;

    for (const struct tp_recipe *r = tp_recipes; r->name; r++) {
        struct tp_recipe parsed;

        candidates += !r->target;
        targets += r->target;
        ok(tp_recipe_find(r->name, r->target) == r, "%s is found", r->name);
        ok(tp_recipe_parse(r->name, &parsed, NULL) == 0 && parsed.method == r->method &&
               parsed.mlp_group == r->mlp_group,
           "%s is parsed", r->name);
        ok(!r->method || tp_recipe_method(r), "%s has its method", r->name);
    }
    is_int(candidates, 12, "candidates");
    is_int(targets, 3, "targets");
    ok(!tp_recipe_find("balanced", false) && !tp_recipe_find("fp16", true),
       "a target is no candidate, nor the reverse");
}

static void test_settings(void)
{
    const struct tp_recipe *balanced = tp_recipe_find("balanced", true);
    struct tp_quant_settings s = tp_recipe_settings(balanced, TP_ROLE_Q);

    is_int(s.group, 256, "the group of attention");
    s = tp_recipe_settings(balanced, TP_ROLE_DOWN);
    is_int(s.group, 2048, "the group of MLP");
    is_int(s.bits, 4, "bits of the method");
    is_int(tp_recipe_needs(tp_recipe_find("fp16", false)), 0, "bf16 needs no calibration");
    ok(tp_recipe_needs(tp_recipe_find("gptq_quality", false)) & TP_QUANT_NEEDS_HESSIAN,
       "GPTQ needs the Hessian");
}

int main(void)
{
    test_parse();
    test_table();
    test_settings();
    return tap_done();
}
