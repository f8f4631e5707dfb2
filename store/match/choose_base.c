/* SPDX-License-Identifier: MIT */
/* Which base a model is packed against, and how it becomes a pack when it is none yet. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/hash.h"
#include "store/lock.h"
#include "store/match/choose_base.h"
#include "store/names.h"
#include "store/original/original.h"
#include "store/pack/pack_internal.h"
#include "store/place.h"
#include "tensor/modeldir.h"

static void note(const struct tp_compress_options *options, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void note(const struct tp_compress_options *options, const char *fmt, ...)
{
    char line[TP_ERROR_MAX];
    va_list args;

    if (!options->note)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    options->note(options->note_arg, line);
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Until no other works on the base at PATH. */
static int wait_for_others(const char *path, const struct tp_compress_options *options,
                           struct tp_error *err)
{
    const struct timespec moment = {.tv_nsec = 100000000};
    const struct tp_progress *progress = options->progress;
    struct tp_model_lock lock;
    bool told = false;

    while (tp_model_lock(path, &lock, NULL) == -EBUSY) {
        if (progress && progress->cancel && atomic_load(progress->cancel))
            return tp_fail(err, ECANCELED, "cancelled");
        if (!told)
            note(options, "waiting for another who works on the base '%s'", tp_path_name(path));
        told = true;
        nanosleep(&moment, NULL);
    }
    tp_model_unlock(&lock);
    return 0;
}

/* Packing the base, which another may begin, too, at any time; a base that goes on changing is
 * -EBUSY in the end. 1: the other has done it. */
static int compress_base(const char *plain, const struct tp_compress_options *options, bool wait,
                         struct tp_compress_report *report, struct tp_error *err)
{
    int rc = -EBUSY;

    for (int i = 0; i < 3 && rc == -EBUSY; i++) {
        rc = wait ? wait_for_others(plain, options, err) : 0;
        if (rc == 0 && wait && !is_dir(plain) && !tp_original_is_half_removed(AT_FDCWD, plain))
            return 1;
        if (rc == 0)
            rc = tp_compress(plain, options, report, err);
        if (!wait)
            break;
    }
    return rc;
}

/* The plain directory DIR/NAME as a pack beside it, for the one of MODEL, against what suits it
 * best itself; the directory goes as the model's own would. */
static int pack_base(const char *plain, const char *model,
                     const struct tp_compress_options *options, struct tp_compress_report *report,
                     struct tp_error *err)
{
    const struct tp_waiting waiting = {.name = tp_path_name(model), .next = options->waiting};
    struct tp_compress_options o = {.base = "auto",
                                    .waiting = &waiting,
                                    .keep = options->keep || options->out,
                                    .no_lease = options->no_lease,
                                    .threads = options->threads,
                                    .zstd_level = options->zstd_level,
                                    .progress = options->progress,
                                    .note = options->note,
                                    .note_arg = options->note_arg};
    struct tp_compress_report *base = calloc(1, sizeof *base);
    int rc;

    if (!base)
        return tp_fail(err, ENOMEM, "out of memory for packing the base");
    if (is_dir(plain))
        note(options, "the base '%s' is a plain directory: it is packed first",
             tp_path_name(plain));
    rc = compress_base(plain, &o, options->wait_for_base, base, err);
    if (rc < 0)
        tp_error_prefix(err, "packing the base '%s'", tp_path_name(plain));
    free(base);
    report->base_packed = rc == 0;
    return rc < 0 ? rc : 0;
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
 * Packing a base replaces its directory: it must be a model, and neither the one at hand (MODEL),
 * nor around it, nor within it. Where MODEL is replaced, too, its readers look for the base in its
 * directory, so no other one is touched. That the base is gone is no error: another may have packed
 * it.
 */
static int check_plain(const char *plain, const char *model, bool replaced, struct tp_error *err)
{
    char *a = realpath(plain, NULL), *b = realpath(model, NULL);
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
    free(a);
    free(b);
    return rc;
}

/*
 * Open the pack of model NAME in DIR, packing it first where there is only its directory. MODEL is
 * to be packed.
 */
static int open_model(const char *dir, const char *name, const char *model, struct tp_store *store,
                      const struct tp_compress_options *options, struct tp_compress_report *report,
                      struct tp_pack **out, struct tp_error *err)
{
    char *plain = tp_path_join(dir, name, ""), *pack = tp_path_join(dir, name, TP_PACK_SUFFIX);
    int rc = 0;

    if (!plain || !pack)
        rc = tp_fail(err, ENOMEM, "out of memory for a name");
    else if (is_dir(plain))
        rc = check_plain(plain, model, !options->out, err);
    if (rc == 0 && (is_dir(plain) || tp_original_is_half_removed(AT_FDCWD, plain)))
        rc = pack_base(plain, model, options, report, err);
    if (rc == 0) {
        tp_temporaries_sweep(plain); /* what a run that died had removed nearly */
        rc = tp_store_open_path(store, pack, out, err);
    }
    free(plain);
    free(pack);
    return rc;
}

/* What the store has, in one number: another when a directory and its pack have changed places. */
static uint64_t fingerprint(struct tp_store *store)
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
 * While others pack, a base may go from under the search, which then finds none, or a worse one:
 * search again.
 */
static int match(const char *path, struct tp_store *store,
                 const struct tp_compress_options *options, bool packs_only, struct tp_match *out,
                 struct tp_error *err)
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
        before = others ? fingerprint(store) : 0;
        rc = tp_match_base(store, path, &query, out, err);
        after = others ? fingerprint(store) : 0;
        if (before == after || i == 9)
            return rc;
    }
}

/* The best of all candidates, or of the packs among them. */
static int by_best_match(const char *path, struct tp_store *store, bool packs_only,
                         const struct tp_compress_options *options,
                         struct tp_compress_report *report, struct tp_pack **out,
                         struct tp_error *err)
{
    struct tp_error why = {0};
    struct tp_match found;
    int rc = match(path, store, options, packs_only, &found, &why);

    if (rc == -ENOENT) {
        snprintf(report->why, sizeof report->why, "%.255s", why.message);
        note(options, "no base%s%s: %s", options->waiting ? " for " : "",
             options->waiting ? tp_path_name(path) : "", why.message);
        return 0;
    }
    if (rc < 0)
        return tp_fail(err, -rc, "%s", why.message);
    snprintf(report->base, sizeof report->base, "%s", found.name);
    snprintf(report->why, sizeof report->why, "%s", found.why);
    note(options, "base%s%s: %s (%s)", options->waiting ? " of " : "",
         options->waiting ? tp_path_name(path) : "", found.name, found.why);
    return open_model(tp_store_dir(store), found.name, path, store, options, report, out, err);
}

/* Where this model is to be a base itself, it is so in any case: what stops its own base from being
 * packed first, such as another process at work on it, leaves it the packs that there are. */
static int by_match(const char *path, struct tp_store *store,
                    const struct tp_compress_options *options, struct tp_compress_report *report,
                    struct tp_pack **out, struct tp_error *err)
{
    struct tp_error why = {0};
    int rc = by_best_match(path, store, false, options, report, out, &why);

    if (rc >= 0)
        return rc;
    if (!options->waiting || rc == -ECANCELED || rc == -ENOMEM)
        return tp_fail(err, -rc, "%s", why.message);
    note(options, "%s", why.message);
    report->base[0] = report->why[0] = '\0';
    report->base_packed = false;
    return by_best_match(path, store, true, options, report, out, err);
}

/* NAME without ".tnpk", given or not. */
static void set_bare(char out[256], const char *name)
{
    size_t len = tp_place_name_len(name);

    snprintf(out, 256, "%.*s", len < 256 ? (int)len : 255, name);
}

/* The pack's file PATH, whose ".tnpk" may be left out. */
static int open_file(const char *path, struct tp_pack **out, struct tp_error *err)
{
    struct stat st;
    char *longer;
    int rc;

    if (asprintf(&longer, "%s%s", path, TP_PACK_SUFFIX) < 0)
        return tp_fail(err, ENOMEM, "out of memory for a name");
    rc = tp_store_open_path(NULL, stat(path, &st) < 0 && stat(longer, &st) == 0 ? longer : path,
                            out, err);
    free(longer);
    return rc;
}

/* A pack's file, or a model's directory, anywhere. */
static int by_path(const char *path, const char *spec, const struct tp_compress_options *options,
                   struct tp_compress_report *report, struct tp_pack **out, struct tp_error *err)
{
    char *clean = strdup(spec), *parent = NULL;
    size_t len;
    int rc;

    if (!clean)
        return tp_fail(err, ENOMEM, "out of memory for a name");
    for (len = strlen(clean); len > 1 && clean[len - 1] == '/'; len--)
        clean[len - 1] = '\0';
    if (is_dir(clean)) {
        snprintf(report->base, sizeof report->base, "%.255s", tp_path_name(clean));
        parent = tp_path_parent(clean);
        rc = parent ? open_model(parent, tp_path_name(clean), path, NULL, options, report, out, err)
                    : tp_fail(err, ENOMEM, "out of memory for a name");
    } else {
        const char *name = tp_path_name(clean);

        set_bare(report->base, name);
        rc = open_file(clean, out, err);
    }
    free(parent);
    free(clean);
    return rc;
}

static int by_name(const char *path, const char *spec, struct tp_store *store,
                   const struct tp_compress_options *options, struct tp_compress_report *report,
                   struct tp_pack **out, struct tp_error *err)
{
    char name[256];
    int rc;

    set_bare(name, spec);
    if (strcmp(name, tp_path_name(path)) == 0)
        return tp_fail(err, EINVAL, "'%s' cannot be its own base", name);
    if (!name[0] || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return tp_fail(err, EINVAL, "'%s' names no model that could be the base", name);
    snprintf(report->base, sizeof report->base, "%s", name);
    rc = open_model(tp_store_dir(store), name, path, store, options, report, out, err);
    if (rc == -ENOENT)
        return tp_fail(err, ENOENT, "there is no model '%s' in '%s' to be the base", name,
                       tp_store_dir(store));
    return rc;
}

static int check_usable(struct tp_pack *base, struct tp_error *err)
{
    if (tp_pack_base_error(base)[0])
        return tp_fail(err, ENOLINK, "the base '%s' cannot be read: %s", tp_pack_path(base),
                       tp_pack_base_error(base));
    if (tp_pack_depth(base) >= TP_BASE_DEPTH_MAX)
        return tp_fail(err, EINVAL, "the base '%s' stands on %d others already", tp_pack_path(base),
                       TP_BASE_DEPTH_MAX);
    return 0;
}

int tp_choose_base(const char *path, const struct tp_compress_options *options,
                   struct tp_compress_report *report, struct tp_pack **out, struct tp_error *err)
{
    const char *spec = options->base ? options->base : "auto";
    char *dir = tp_path_parent(path);
    struct tp_store *store = NULL;
    int rc = dir ? 0 : tp_fail(err, ENOMEM, "out of memory for a name");

    *out = NULL;
    if (rc == 0)
        rc = tp_store_open(dir, &store, err);
    if (rc < 0)
        goto out;
    if (strcmp(spec, "none") == 0)
        snprintf(report->why, sizeof report->why, "asked for none");
    else if (strcmp(spec, "auto") == 0)
        rc = by_match(path, store, options, report, out, err);
    else if (strchr(spec, '/'))
        rc = by_path(path, spec, options, report, out, err);
    else
        rc = by_name(path, spec, store, options, report, out, err);
    if (rc == 0 && *out && !report->why[0])
        snprintf(report->why, sizeof report->why, "asked for");
    if (rc == 0 && *out)
        rc = check_usable(*out, err);
    if (rc < 0) {
        tp_pack_close(*out);
        *out = NULL;
    }
out:
    tp_store_close(store);
    free(dir);
    return rc;
}
