/* SPDX-License-Identifier: MIT */
/* estimate: samples what compressing a model would save. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "control/verb/impl.h"
#include "store/match/match.h"
#include "store/place.h"

struct choice {
    char name[256];    /* "" if none */
    char path[4096];   /* of the directory or pack */
    char parent[4096]; /* for a base given by its path: the directory with its own bases */
    char why[TP_ERROR_MAX];
};

/* --- Choosing the base --- */

/* Find model NAME in DIR: its directory, or its pack. */
static int choose_name(const char *dir, const char *name, struct choice *choice,
                       struct tp_error *err)
{
    struct stat st;
    tp_autofree char *path = tp_place_path(dir, name);

    if (!path)
        return tp_oom(err);
    if ((size_t)snprintf(choice->path, sizeof choice->path, "%s", path) >= sizeof choice->path)
        return tp_fail(err, ENAMETOOLONG, "'%s/%s' is too long", dir, name);
    if (stat(choice->path, &st) < 0)
        return tp_fail(err, ENOENT, "there is no model '%s' in '%s' to be the base", name, dir);
    snprintf(choice->name, sizeof choice->name, "%s", name);
    return 0;
}

static int choose_match(struct tp_store *store, const char *name, const char *path,
                        enum tp_links links, struct choice *choice, struct tp_error *err)
{
    struct tp_error why = {0};
    struct tp_match match;
    int rc = tp_match_base(store, path, &(struct tp_match_query){.self = name, .links = links},
                           &match, &why);

    snprintf(choice->why, sizeof choice->why, "%s", rc ? why.message : match.why);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return tp_fail(err, -rc, "%s", why.message);
    return choose_name(tp_store_dir(store), match.name, choice, err);
}

/* SPEC is a directory or pack in DIR, with or without ".tnpk". */
static int choose_spec(const char *dir, const char *spec, struct choice *choice,
                       struct tp_error *err)
{
    tp_autofree char *name = tp_path_model(spec);

    return name ? choose_name(dir, name, choice, err) : tp_oom(err);
}

/* SPEC is another model of the store. */
static int choose_other(const char *dir, const char *self, const char *spec, struct choice *choice,
                        struct tp_error *err)
{
    int rc = choose_spec(dir, spec, choice, err);

    return rc == 0 && strcmp(choice->name, self) == 0
               ? tp_fail(err, EINVAL, "'%s' cannot be its own base", self)
               : rc;
}

/* SPEC is the path of a directory or pack. */
static int choose_path(const char *spec, struct choice *choice, struct tp_error *err)
{
    size_t len = strlen(spec);
    tp_autofree char *clean = NULL, *parent = NULL;
    struct stat st;
    int rc;

    while (len > 1 && spec[len - 1] == '/')
        len--;
    clean = strndup(spec, len);
    parent = clean ? tp_path_parent(clean) : NULL;
    rc = parent ? choose_spec(parent, clean, choice, err) : tp_oom(err);
    if (rc == 0 && stat(choice->path, &st) == 0 && S_ISREG(st.st_mode))
        snprintf(choice->parent, sizeof choice->parent, "%s", parent);
    return rc;
}

static int choose_base(struct tp_store *store, const struct tp_work *work, const char *path,
                       enum tp_links links, const char *base, struct choice *choice,
                       struct tp_error *err)
{
    if (strcmp(base, "auto") == 0)
        return choose_match(store, work->name, path, links, choice, err);
    if (strcmp(base, "none") == 0) {
        snprintf(choice->why, sizeof choice->why, "asked for none");
        return 0;
    }
    snprintf(choice->why, sizeof choice->why, "asked for");
    return strchr(base, '/') ? choose_path(base, choice, err)
                             : choose_other(tp_store_dir(store), work->name, base, choice, err);
}

/* --- The work --- */

static void put_result(struct tp_json_writer *json, const struct choice *choice,
                       const struct tp_estimate *e)
{
    tp_json_put_string(json, "base", choice->name[0] ? choice->name : NULL);
    tp_json_put_string(json, "base_reason", choice->why);
    tp_json_put_u64(json, "logical_bytes", e->logical_bytes);
    tp_json_put_u64(json, "stored_bytes", e->stored_bytes);
    tp_json_put_u64(json, "stored_bytes_low", e->stored_low);
    tp_json_put_u64(json, "stored_bytes_high", e->stored_high);
    tp_json_put_double(json, "ratio", tp_saving_ratio(e->logical_bytes, e->stored_bytes));
    tp_json_put_u64(json, "sampled_bytes", e->sampled_bytes);
    tp_json_put_u64(json, "matched_bytes", e->matched_bytes);
    tp_json_put_double(json, "changed_fraction", e->changed);
    tp_json_put_double(json, "seconds", e->seconds);
    tp_json_end_object(json);
}

static int estimate_model(const struct tp_request *request, const struct tp_work *work,
                          const char *path, struct choice *choice, struct tp_estimate *out,
                          struct tp_error *err)
{
    enum tp_links links = request->estimate.dereference ? TP_LINKS_FOLLOW : TP_LINKS_AUTO;
    const char *base = work->base ? work->base : request->estimate.base;
    struct tp_store *store = NULL;
    int rc = tp_store_open(work->dir, &store, err);

    if (rc == 0)
        rc = choose_base(store, work, path, links, base, choice, err);
    /* The bases of a pack are in its directory. */
    if (rc == 0 && choice->parent[0]) {
        tp_store_close(store);
        store = NULL;
        rc = tp_store_open(choice->parent, &store, err);
    }
    if (rc == 0)
        rc = tp_estimate(choice->path[0] ? choice->path : NULL, path, links, store, out, err);
    tp_store_close(store);
    return rc;
}

static int run_estimate(const struct tp_request *request, struct tp_work *work,
                        struct tp_error *err)
{
    tp_autofree struct choice *choice = calloc(1, sizeof *choice);
    tp_autofree char *path = work->path ? strdup(work->path) : tp_place_path(work->dir, work->name);
    struct tp_estimate result;
    int rc = 0;

    if (!path || !choice)
        rc = tp_oom(err);
    if (rc == 0)
        tp_progress_update(work->progress, "estimate", 0, 0);
    if (rc == 0)
        rc = estimate_model(request, work, path, choice, &result, err);
    if (rc == 0)
        put_result(work->begin(work->arg), choice, &result);
    return rc;
}

static int check_estimate(const struct tp_target *target, const struct tp_request *request,
                          struct tp_error *err)
{
    if (!target->plain && !target->pack)
        return tp_target_fail(target, request->subject, err);
    return tp_target_check_base(target, request->subject, request->estimate.base, err);
}

static void print_estimate(const struct tp_json *result, const char *model, struct tp_buffer *out)
{
    uint64_t logical = tp_result_number(result, "logical_bytes"),
             stored = tp_result_number(result, "stored_bytes");
    char a[TP_SIZE_TEXT], b[TP_SIZE_TEXT], c[TP_SIZE_TEXT], saving[TP_SAVING_TEXT];

    tp_buffer_appendf(out, "%s: would take %s of %s, %s", model, tp_size_print(stored, a),
                      tp_size_print(logical, b), tp_saving_print(logical, stored, saving));
    tp_buffer_appendf(out, " (%s to %s with 95 %% confidence, from %s in %.1f s)\n",
                      tp_size_print(tp_result_number(result, "stored_bytes_low"), a),
                      tp_size_print(tp_result_number(result, "stored_bytes_high"), b),
                      tp_size_print(tp_result_number(result, "sampled_bytes"), c),
                      tp_result_decimal(result, "seconds"));
    tp_print_base(out, result);
    if (*tp_result_text(result, "base"))
        tp_buffer_appendf(out, "  %.1f %% of the weights that it predicts (%s) differ\n",
                          100 * tp_result_decimal(result, "changed_fraction"),
                          tp_size_print(tp_result_number(result, "matched_bytes"), a));
}

static const struct tp_key keys[] = {
    {"base", TP_KEY_BASE, "auto", 0, 0, NULL,
     "the base to compare with; auto finds one, none uses none", TP_REQUEST_AT(estimate.base)},
    {"dereference", TP_KEY_BOOL, NULL, 0, 0, NULL, "count the files that symbolic links lead to",
     TP_REQUEST_AT(estimate.dereference)},
    TP_JOB_KEYS,
};

const struct tp_verb_ops tp_verb_estimate = {
    .name = "estimate",
    .subject = "MODEL",
    .summary = "estimate from samples what compressing a model would save, with an interval",
    .keys = keys,
    .example = "my-finetune\n"
               "my-finetune base=llama-3.2-1b\n",
    .reads_only = true,
    .check = check_estimate,
    .run = run_estimate,
    .print = print_estimate,
};
