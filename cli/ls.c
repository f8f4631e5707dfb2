/* SPDX-License-Identifier: MIT */
/* tenpak ls: lists the models of a directory, and what packing saves. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/mounted_path.h"
#include "cli/options.h"
#include "cli/report.h"
#include "store/names.h"
#include "store/place.h"
#include "store/store.h"
#include "tensor/modeldir.h"

struct row {
    const char *name;
    enum tp_model_kind kind;
    bool lossy;
    char base[256]; /* "" if none */
    bool base_absent;
    uint64_t logical, stored;
    struct tp_error err; /* code 0: it could be read */
};

/* The name of the base here or, if it is absent, its name when this was packed, in brackets. */
static void name_base(struct tp_pack *pack, struct row *row)
{
    const struct tp_index *index = tp_pack_index(pack);
    struct tp_pack *base = tp_pack_base(pack);
    if (!index->has_base)
        return;
    if (base) {
        const char *file = tp_path_name(tp_pack_path(base));
        snprintf(row->base, sizeof row->base, "%.*s", (int)tp_place_name_len(file), file);
    } else {
        snprintf(row->base, sizeof row->base, "%.255s",
                 index->base_name[0] ? index->base_name : "?");
        row->base_absent = true;
        tp_fail(&row->err, ENOLINK, "%s", tp_pack_base_error(pack));
    }
}

static void fill_row(struct tp_store *store, const struct tp_store_model *model, struct row *row)
{
    *row = (struct row){.name = model->name, .kind = model->kind};
    if (model->kind == TP_MODEL_PACK) {
        tp_autopack struct tp_pack *pack = NULL;
        if (tp_store_open_pack(store, model->name, &pack, &row->err))
            return;
        row->logical = tp_pack_index(pack)->logical_bytes;
        row->stored = tp_pack_stored_bytes(pack);
        row->lossy = tp_pack_index(pack)->lossy;
        name_base(pack, row);
        return;
    }
    tp_auto(tp_modeldir_clear) struct tp_modeldir dir = {0};
    tp_autofree char *path = tp_path_join(tp_store_dir(store), model->name, "");
    if (path && !tp_modeldir_scan(path, &dir, &row->err))
        row->logical = row->stored = dir.total_bytes;
}

static const char *kind_name(const struct row *row)
{
    return row->kind == TP_MODEL_PLAIN ? "plain" : row->lossy ? "lossy" : "pack";
}

static void print_rows(const struct row *rows, size_t n)
{
    uint64_t logical = 0, stored = 0;
    int width = 5;
    for (size_t i = 0; i < n; i++)
        width = (int)strlen(rows[i].name) > width ? (int)strlen(rows[i].name) : width;
    if (n)
        printf("%-*s  kind   %10s  %10s  %6s  base\n", width, "model", "size", "stored", "ratio");
    for (size_t i = 0; i < n; i++) {
        const struct row *row = &rows[i];
        if (row->err.code && !row->stored) {
            printf("%-*s  %-5s  cannot be read\n", width, tp_report_name(row->name),
                   kind_name(row));
            continue;
        }
        printf("%-*s  %-5s  %10s  %10s  %5.2fx  %s%s\n", width, tp_report_name(row->name),
               kind_name(row), tp_report_size(row->logical), tp_report_size(row->stored),
               tp_report_ratio(row->logical, row->stored),
               row->base[0] ? tp_report_name(row->base) : "-", row->base_absent ? " (absent)" : "");
        logical += row->logical;
        stored += row->stored;
    }
    printf("%zu model%s, %s stored in %s, %s\n", n, n == 1 ? "" : "s", tp_report_size(logical),
           tp_report_size(stored), tp_report_saving(logical, stored));
}

static int print_json(const char *dir, const struct row *rows, size_t n)
{
    struct tp_document doc;
    uint64_t logical = 0, stored = 0;
    tp_document_begin(&doc);
    tp_json_put_string(&doc.json, "directory", dir);
    tp_json_begin_array(&doc.json, "models");
    for (size_t i = 0; i < n; i++) {
        const struct row *row = &rows[i];
        tp_json_begin_object(&doc.json, NULL);
        tp_json_put_string(&doc.json, "name", row->name);
        tp_json_put_string(&doc.json, "kind", row->kind == TP_MODEL_PLAIN ? "plain" : "pack");
        tp_json_put_string(&doc.json, "base", row->base[0] ? row->base : NULL);
        tp_json_put_bool(&doc.json, "base_absent", row->base_absent);
        tp_json_put_u64(&doc.json, "logical_bytes", row->logical);
        tp_json_put_u64(&doc.json, "stored_bytes", row->stored);
        tp_json_put_double(&doc.json, "ratio", tp_report_ratio(row->logical, row->stored));
        tp_json_put_bool(&doc.json, "exact", !row->lossy);
        tp_json_put_string(&doc.json, "error", row->err.code ? row->err.message : NULL);
        tp_json_end_object(&doc.json);
        logical += row->logical;
        stored += row->stored;
    }
    tp_json_end_array(&doc.json);
    tp_json_put_u64(&doc.json, "logical_bytes", logical);
    tp_json_put_u64(&doc.json, "stored_bytes", stored);
    tp_json_put_double(&doc.json, "ratio", tp_report_ratio(logical, stored));
    return tp_document_end(&doc);
}

static void print_nested(void *arg, const char *name, size_t packs)
{
    const char *dir = arg;
    fprintf(stderr, "hint: '%s/%s' holds %zu pack%s, no model%s here: look at it by itself\n", dir,
            name, packs, packs == 1 ? "" : "s", packs == 1 ? "" : "s");
}

static int run_ls(struct tp_options *o)
{
    tp_autostore struct tp_store *store = NULL;
    struct tp_store_model *models = NULL;
    struct tp_error err = {0};
    struct row *rows = NULL;
    char *dir = NULL;
    size_t n = 0;
    int code;

    if (tp_options_next(o) < 0)
        return o->exit;
    int rc = tp_mounted_path_resolve(o->argc ? o->argv[0] : ".", &dir, &err);
    if (!rc)
        rc = tp_store_open(dir, &store, &err);
    if (!rc)
        rc = tp_store_models(store, &models, &n, &err);
    if (!rc && !(rows = calloc(n + 1, sizeof *rows)))
        rc = tp_oom(&err);
    if (rc) {
        code = tp_report_failed(o, &err);
    } else {
        for (size_t i = 0; i < n; i++)
            fill_row(store, &models[i], &rows[i]);
        if (o->json)
            code = print_json(tp_store_dir(store), rows, n);
        else
            print_rows(rows, n), code = tp_report_flush();
        tp_store_find_nested(store, print_nested, dir, NULL);
        for (size_t i = 0; i < n; i++)
            if (rows[i].err.code)
                code = tp_report_error(&rows[i].err);
    }
    free(dir);
    free(rows);
    tp_store_models_free(models, n);
    return code;
}

const struct tp_command tp_command_ls = {
    .name = "ls",
    .args = "[OPTION...] [DIR]",
    .summary = "List the models of a directory with their sizes, bases and savings.",
    .examples = "  tenpak ls models\n"
                "  tenpak ls --json models | jq '.models[] | select(.kind == \"plain\") | .name'\n",
    .with = TP_WITH_JSON,
    .min_args = 0,
    .max_args = 1,
    .run = run_ls,
};
