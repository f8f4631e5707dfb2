/* SPDX-License-Identifier: MIT */
/*
 * tenpak delta estimate: what a model would take against a base; and the same for a dry run of
 * pack.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/estimate.h"
#include "cli/options.h"
#include "cli/place.h"
#include "cli/report.h"
#include "store/names.h"

void tp_estimate_print(const struct tp_base_choice *choice, const struct tp_estimate *e)
{
    printf("%s of %s, %s (%s to %s with 95 %% confidence, from %s in %.1f s)\n",
           tp_report_size(e->stored_bytes), tp_report_size(e->logical_bytes),
           tp_report_saving(e->logical_bytes, e->stored_bytes), tp_report_size(e->stored_low),
           tp_report_size(e->stored_high), tp_report_size(e->sampled_bytes), e->seconds);
    if (!choice->name[0]) {
        printf("  base: none (%s)\n", tp_report_name(choice->why));
        return;
    }
    printf("  base: %s (%s)\n  of the weights that it predicts (%s), %.1f %% differ\n",
           tp_report_name(choice->name), tp_report_name(choice->why),
           tp_report_size(e->matched_bytes), 100 * e->changed);
}

static int estimate(const char *base, const char *model, struct tp_place *place,
                    struct tp_base_choice *choice, struct tp_estimate *out, struct tp_error *err)
{
    struct tp_place base_place = {0};
    struct tp_store *store = NULL;
    *choice = (struct tp_base_choice){.why = "asked for"};
    int rc = tp_place_find(base, &base_place, err);
    if (rc)
        return rc;
    if (base_place.kind == TP_PLACE_STORE)
        rc = tp_fail(err, EINVAL, "'%s' holds no model", base_place.path);
    snprintf(choice->name, sizeof choice->name, "%s", base_place.name);
    if (!rc)
        rc = tp_place_find(model, place, err);
    if (!rc && place->kind == TP_PLACE_STORE)
        rc = tp_fail(err, EINVAL, "'%s' holds no model", place->path);
    /* Bases of a pack lie beside it. */
    if (!rc)
        rc = tp_store_open(base_place.kind == TP_PLACE_PACK ? base_place.parent : place->parent,
                           &store, err);
    if (!rc)
        rc = tp_estimate(base_place.path, place->path, TP_LINKS_AUTO, store, out, err);
    if (store)
        tp_store_close(store);
    tp_place_clear(&base_place);
    return rc;
}

static int run(struct tp_options *o)
{
    struct tp_base_choice choice;
    struct tp_place place = {0};
    struct tp_estimate e;
    struct tp_error err = {0};
    int code = TP_EXIT_OK;

    if (tp_options_next(o) < 0)
        return o->exit;
    if (estimate(o->argv[0], o->argv[1], &place, &choice, &e, &err)) {
        code = tp_report_failed(o, &err);
    } else if (o->json) {
        struct tp_document doc;
        tp_document_begin(&doc);
        tp_json_put_string(&doc.json, "model", place.path);
        tp_result_estimate(&doc.json, &choice, &e);
        code = tp_document_end(&doc);
    } else {
        printf("%s: ", tp_report_name(place.name));
        tp_estimate_print(&choice, &e);
        code = tp_report_flush();
    }
    tp_place_clear(&place);
    return code;
}

const struct tp_command tp_command_delta_estimate = {
    .name = "delta estimate",
    .args = "[OPTION...] BASE MODEL",
    .summary = "Estimate, from samples, what a model would take against a base.",
    .about = "BASE and MODEL are model directories or packs. Chunks drawn evenly from the model "
             "are really\n"
             "coded; the interval is that of their spread. Nothing is written.",
    .examples = "  tenpak delta estimate models/llama-3.2-1b models/my-finetune\n"
                "  tenpak delta estimate --json llama.tnpk my-finetune | jq .ratio\n",
    .with = TP_WITH_JSON,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
