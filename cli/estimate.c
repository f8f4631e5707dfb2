/* SPDX-License-Identifier: MIT */
/* tenpak delta estimate: what a model would take against a base; and the same for a dry run of pack. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/estimate.h"
#include "cli/options.h"
#include "cli/report.h"
#include "store/names.h"

/* Where model NAME lies in DIR: its directory, or its pack. */
static int path_of(const char *dir, const char *name, struct tp_base_choice *choice, struct tp_error *err)
{
    struct stat st;
    int n = snprintf(choice->path, sizeof choice->path, "%s/%s", dir, name);
    if (n > 0 && stat(choice->path, &st) < 0)
        n = snprintf(choice->path, sizeof choice->path, "%s/%s%s", dir, name, TP_PACK_SUFFIX);
    if (n < 0 || (size_t)n >= sizeof choice->path)
        return tp_fail(err, ENAMETOOLONG, "'%s/%s' is too long", dir, name);
    if (stat(choice->path, &st) < 0)
        return tp_fail(err, ENOENT, "there is no model '%s' in '%s' to be the base", name, dir);
    snprintf(choice->name, sizeof choice->name, "%s", name);
    return 0;
}

static int choose(const struct tp_place *model, struct tp_store *store, const char *base,
                  struct tp_base_choice *choice, struct tp_error *err)
{
    struct tp_error why = {0};
    struct tp_match match;
    struct tp_place place;
    int rc;

    if (!base || !strcmp(base, "auto")) {
        rc = tp_match_base(store, model->path, model->name, &match, &why);
        snprintf(choice->why, sizeof choice->why, "%s", rc ? why.message : match.why);
        if (rc == -ENOENT)
            return 0;
        if (rc)
            return tp_fail(err, -rc, "%s", why.message);
        return path_of(model->parent, match.name, choice, err);
    }
    if (!strcmp(base, "none"))
        return snprintf(choice->why, sizeof choice->why, "asked for none"), 0;
    snprintf(choice->why, sizeof choice->why, "asked for");
    if (!strchr(base, '/'))
        return path_of(model->parent, base, choice, err);
    rc = tp_place_find(base, &place, err);
    if (rc)
        return rc;
    snprintf(choice->name, sizeof choice->name, "%s", place.name);
    snprintf(choice->path, sizeof choice->path, "%s", place.path);
    tp_place_clear(&place);
    return 0;
}

int tp_estimate_against(const struct tp_place *model, const char *base, struct tp_base_choice *choice,
                        struct tp_estimate *estimate, struct tp_error *err)
{
    struct tp_store *store = NULL;
    *choice = (struct tp_base_choice){0};
    int rc = tp_store_open(model->parent, &store, err);
    if (!rc)
        rc = choose(model, store, base, choice, err);
    if (!rc)
        rc = tp_estimate(choice->path[0] ? choice->path : NULL, model->path, store, estimate, err);
    if (store)
        tp_store_close(store);
    return rc;
}

void tp_estimate_json(struct tp_json_writer *json, const struct tp_base_choice *choice,
                      const struct tp_estimate *e)
{
    tp_json_put_string(json, "base", choice->name[0] ? choice->name : NULL);
    tp_json_put_string(json, "base_reason", choice->why);
    tp_json_put_u64(json, "logical_bytes", e->logical_bytes);
    tp_json_put_u64(json, "stored_bytes", e->stored_bytes);
    tp_json_put_u64(json, "stored_bytes_low", e->stored_low);
    tp_json_put_u64(json, "stored_bytes_high", e->stored_high);
    tp_json_put_double(json, "ratio", tp_report_ratio(e->logical_bytes, e->stored_bytes));
    tp_json_put_u64(json, "sampled_bytes", e->sampled_bytes);
    tp_json_put_u64(json, "matched_bytes", e->matched_bytes);
    tp_json_put_double(json, "changed_fraction", e->changed);
    tp_json_put_double(json, "seconds", e->seconds);
}

void tp_estimate_print(const struct tp_base_choice *choice, const struct tp_estimate *e)
{
    printf("%s of %s, %s (%s to %s with 95 %% confidence, from %s in %.1f s)\n",
           tp_report_size(e->stored_bytes), tp_report_size(e->logical_bytes),
           tp_report_saving(e->logical_bytes, e->stored_bytes), tp_report_size(e->stored_low),
           tp_report_size(e->stored_high), tp_report_size(e->sampled_bytes), e->seconds);
    if (!choice->name[0]) {
        printf("  base: none (%s)\n", choice->why);
        return;
    }
    printf("  base: %s (%s)\n  of the weights that it predicts (%s), %.1f %% differ\n", choice->name,
           choice->why, tp_report_size(e->matched_bytes), 100 * e->changed);
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
        rc = tp_store_open(base_place.kind == TP_PLACE_PACK ? base_place.parent : place->parent, &store, err);
    if (!rc)
        rc = tp_estimate(base_place.path, place->path, store, out, err);
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
        code = tp_report_error(&err);
    } else if (o->json) {
        struct tp_document doc;
        tp_document_begin(&doc);
        tp_json_put_string(&doc.json, "model", place.path);
        tp_estimate_json(&doc.json, &choice, &e);
        code = tp_document_end(&doc);
    } else {
        printf("%s: ", place.name);
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
    .about = "BASE and MODEL are model directories or packs. Chunks drawn evenly from the model are really\n"
             "coded; the interval is that of their spread. Nothing is written.",
    .examples = "  tenpak delta estimate models/llama-3.2-1b models/my-finetune\n"
                "  tenpak delta estimate --json llama.tnpk my-finetune | jq .ratio\n",
    .with = TP_WITH_JSON,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
