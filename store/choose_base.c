/* SPDX-License-Identifier: MIT */
/* Determining the base of a model: by name, by path, or by a search of the store. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "store/choose_base.h"
#include "store/names.h"
#include "store/original/original.h"
#include "store/place.h"
#include "tensor/modeldir.h"
#include "tensor/is_model.h"

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool lies_within(const char *inner, const char *outer)
{
    size_t len = strlen(outer);

    return strncmp(inner, outer, len) == 0 && (inner[len] == '/' || strcmp(outer, "/") == 0);
}

static bool lie_in_one_directory(const char *a, const char *b)
{
    size_t len = (size_t)(tp_path_name(a) - a);

    return len == (size_t)(tp_path_name(b) - b) && strncmp(a, b, len) == 0;
}

/*
 * Check that a base that is packed first may be replaced: it must be a model, and must not be,
 * contain, or be within MODEL. If MODEL is replaced too, its readers search for the base in its
 * directory, so a base in another directory is left alone. An absent base is not an error: another
 * process may have packed it.
 */
static int check_plain(const char *plain, const char *model, bool replaced, struct tp_error *err)
{
    tp_autofree char *a = realpath(plain, NULL), *b = realpath(model, NULL);
    int rc = 0;

    if (!a || !b)
        rc = errno == ENOENT ? 0 : tp_fail_errno(err, "cannot resolve '%s'", a ? model : plain);
    else if (strcmp(a, b) == 0)
        rc = tp_fail(err, EINVAL, "'%s' cannot be its own base", model);
    else if (!tp_modeldir_is_model(plain) && is_dir(plain))
        rc = tp_fail(err, EINVAL, "'%s' holds no model that could be the base", plain);
    else if (lies_within(a, b) || lies_within(b, a))
        rc = tp_fail(err, EINVAL, "'%s' cannot be the base of '%s': one lies within the other",
                     plain, model);
    else if (replaced && !lie_in_one_directory(a, b))
        rc = tp_fail(
            err, EINVAL,
            "the base '%s' does not lie beside '%s': copy it there, or write elsewhere with -o",
            plain, model);
    return rc;
}

/* Choose model NAME in DIR: a pack, or a directory that will be packed. */
static int choose_model(const char *dir, const char *name, const char *model,
                        const struct tp_compress_options *options, struct tp_base_choice *out,
                        struct tp_error *err)
{
    int rc = 0;

    out->plain = tp_path_join(dir, name, "");
    out->pack = tp_path_join(dir, name, TP_PACK_SUFFIX);
    if (!out->plain || !out->pack)
        rc = tp_oom(err);
    else if (is_dir(out->plain))
        rc = check_plain(out->plain, model, !options->out, err);
    if (rc == 0)
        out->unpacked = is_dir(out->plain) || tp_original_is_half_removed(AT_FDCWD, out->plain);
    return rc;
}

/*
 * A hash of the models of the store. It changes when a directory is replaced by its pack or the
 * reverse.
 */
static uint64_t fingerprint_store(struct tp_store *store)
{
    struct tp_store_model *models = NULL;
    uint64_t sum = 0;
    size_t n = 0;

    if (tp_store_models(store, &models, &n, NULL) < 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + tp_xxh3(models[i].name, strlen(models[i].name)) +
              (models[i].kind == TP_MODEL_PACK);
    tp_store_models_free(models, n);
    return sum;
}

/*
 * Search the store. While other processes pack, a base may be replaced during the search, which
 * then finds none or a worse one. In this case the search is repeated.
 */
static int search_base(const char *path, struct tp_store *store,
                       const struct tp_compress_options *options, bool packs_only,
                       struct tp_match *out, struct tp_error *err)
{
    const struct tp_match_query query = {.self = tp_path_name(path),
                                         .links = options->links,
                                         .waiting = options->waiting,
                                         .packs_only = packs_only,
                                         .cancel =
                                             options->progress ? options->progress->cancel : NULL};
    bool others = options->wait_for_base || options->waiting;
    uint64_t before, after;
    int rc;

    for (int i = 0;; i++) {
        before = others ? fingerprint_store(store) : 0;
        rc = tp_match_base(store, path, &query, out, err);
        after = others ? fingerprint_store(store) : 0;
        if (before == after || i == 9)
            return rc;
    }
}

/* Choose the best of all candidates, or of the packs among them. */
static int by_search(const char *path, struct tp_store *store, bool packs_only,
                     const struct tp_compress_options *options, struct tp_base_choice *out,
                     struct tp_error *err)
{
    struct tp_error why = {0};
    struct tp_match found;
    int rc = search_base(path, store, options, packs_only, &found, &why);

    out->searched = true;
    if (rc == -ENOENT) {
        snprintf(out->why, sizeof out->why, "%.255s", why.message);
        return 0;
    }
    if (rc < 0)
        return tp_fail(err, -rc, "%s", why.message);
    snprintf(out->name, sizeof out->name, "%s", found.name);
    snprintf(out->why, sizeof out->why, "%s", found.why);
    return choose_model(tp_store_dir(store), found.name, path, options, out, err);
}

/* Copy NAME without ".tnpk", if it has this suffix. */
static void copy_without_suffix(char out[256], const char *name)
{
    size_t len = tp_place_name_len(name);

    snprintf(out, 256, "%.*s", len < 256 ? (int)len : 255, name);
}

/* SPEC is the path of a pack, with or without ".tnpk", or of a model directory. */
static int by_path(const char *path, const char *spec, const struct tp_compress_options *options,
                   struct tp_base_choice *out, struct tp_error *err)
{
    tp_autofree char *clean = strdup(spec), *parent = NULL;
    const char *name;
    struct stat st;
    size_t len;
    int rc = 0;

    if (!clean)
        return tp_oom(err);
    for (len = strlen(clean); len > 1 && clean[len - 1] == '/'; len--)
        clean[len - 1] = '\0';
    name = tp_path_name(clean);
    copy_without_suffix(out->name, name);
    if (is_dir(clean)) {
        snprintf(out->name, sizeof out->name, "%.255s", name);
        parent = tp_path_parent(clean);
        rc = parent ? choose_model(parent, name, path, options, out, err) : tp_oom(err);
    } else if (asprintf(&out->pack, "%s%s", clean, TP_PACK_SUFFIX) < 0) {
        out->pack = NULL;
        rc = tp_oom(err);
    } else if (stat(clean, &st) == 0 || stat(out->pack, &st) < 0) {
        out->pack[len] = '\0';
    }
    return rc;
}

static int by_name(const char *path, const char *spec, const char *dir,
                   const struct tp_compress_options *options, struct tp_base_choice *out,
                   struct tp_error *err)
{
    struct stat st;
    int rc;

    copy_without_suffix(out->name, spec);
    if (strcmp(out->name, tp_path_name(path)) == 0)
        return tp_fail(err, EINVAL, "'%s' cannot be its own base", out->name);
    if (!out->name[0] || strcmp(out->name, ".") == 0 || strcmp(out->name, "..") == 0)
        return tp_fail(err, EINVAL, "'%s' names no model that could be the base", out->name);
    rc = choose_model(dir, out->name, path, options, out, err);
    if (rc == 0 && !out->unpacked && stat(out->pack, &st) < 0 && errno == ENOENT)
        return tp_fail(err, ENOENT, "there is no model '%s' in '%s' to be the base", out->name,
                       dir);
    return rc;
}

int tp_base_resolve(const char *path, const struct tp_compress_options *options, bool packs_only,
                    struct tp_base_choice *out, struct tp_error *err)
{
    const char *spec = options->base ? options->base : "auto";
    tp_autofree char *dir = tp_path_parent(path);
    tp_autostore struct tp_store *store = NULL;
    int rc = dir ? tp_store_open(dir, &store, err) : tp_oom(err);

    *out = (struct tp_base_choice){0};
    if (rc < 0)
        return rc;
    if (strcmp(spec, "none") == 0)
        snprintf(out->why, sizeof out->why, "asked for none");
    else if (strcmp(spec, "auto") == 0)
        rc = by_search(path, store, packs_only, options, out, err);
    else if (strchr(spec, '/'))
        rc = by_path(path, spec, options, out, err);
    else
        rc = by_name(path, spec, dir, options, out, err);
    if (rc == 0 && out->pack && !out->why[0])
        snprintf(out->why, sizeof out->why, "asked for");
    if (rc < 0)
        tp_base_choice_clear(out);
    return rc;
}

void tp_base_choice_clear(struct tp_base_choice *choice)
{
    free(choice->plain);
    free(choice->pack);
    *choice = (struct tp_base_choice){0};
}
