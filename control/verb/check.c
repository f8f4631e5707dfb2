/* SPDX-License-Identifier: MIT */
/* Whether a request fits the directory as it is now, and whether two fit each other. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/jobs/impl.h"
#include "store/names.h"
#include "store/original/original.h"
#include "store/place.h"
#include "store/store.h"
#include "tensor/modeldir.h"

/* What DIR has under a model's name; no link is followed. */
struct place {
    bool link, plain, file, pack, half_removed;
};

static bool is(int dirfd, const char *name, mode_t type)
{
    struct stat st;

    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == type;
}

static void look(int dirfd, const char *name, struct place *out)
{
    char pack[256 + sizeof TP_PACK_SUFFIX];
    struct stat st;

    snprintf(pack, sizeof pack, "%s%s", name, TP_PACK_SUFFIX);
    *out = (struct place){.link = is(dirfd, name, S_IFLNK),
                          .plain = is(dirfd, name, S_IFDIR),
                          .file = is(dirfd, name, S_IFREG),
                          .pack = tp_place_is_pack(dirfd, pack, &st),
                          .half_removed = tp_original_is_half_removed(dirfd, name)};
}

static int no_model(const char *name, const struct place *at, struct tp_error *err)
{
    if (at->file)
        return tp_fail(
            err, EINVAL,
            "'%s' is a single file: a model is a directory, so move it into one of its own", name);
    return tp_fail(err, ENOENT, "there is no model '%s'", name);
}

static int check_compress(const char *dir, const struct tp_request *r, const struct place *at,
                          struct tp_error *err)
{
    char *path;
    bool model;
    int snapshot, rc;

    if (!at->plain && at->pack)
        return at->half_removed ? 0 : tp_fail(err, EEXIST, "'%s' is a pack already", r->subject);
    if (!at->plain)
        return no_model(r->subject, at, err);
    if (at->pack && tp_request_bool(r, "keep"))
        return tp_fail(err, EEXIST, "'%s' has a pack beside it already", r->subject);
    path = tp_path_join(dir, r->subject, "");
    if (!path)
        return tp_fail(err, ENOMEM, "out of memory for a name");
    snapshot = tp_modeldir_is_snapshot(path, err);
    model = tp_modeldir_is_model(path);
    free(path);
    if (snapshot < 0)
        return snapshot;
    if (snapshot)
        return tp_fail(
            err, EINVAL,
            "'%s' is a snapshot of the hub's cache: 'tenpak pack -o' packs it to elsewhere",
            r->subject);
    if (tp_request_bool(r, "dereference") && !tp_request_bool(r, "keep"))
        return tp_fail(err, EINVAL,
                       "dereference=yes needs keep=yes: what links lead to stays where it is");
    if (!tp_request_bool(r, "keep") && (rc = tp_check_level(dir, err)) < 0)
        return rc;
    return model ? 0
                 : tp_fail(err, EINVAL,
                           "'%s' holds no model: no config.json, no safetensors or GGUF file in it",
                           r->subject);
}

static int check_restore(const struct tp_request *r, const struct place *at, struct tp_error *err)
{
    if (at->pack && at->plain && tp_request_bool(r, "keep"))
        return tp_fail(err, EEXIST, "'%s' has a plain directory beside its pack already",
                       r->subject);
    if (at->pack)
        return 0;
    return at->plain ? tp_fail(err, EEXIST, "'%s' is a plain directory already", r->subject)
                     : no_model(r->subject, at, err);
}

static int check_verify(const struct tp_request *r, const struct place *at, struct tp_error *err)
{
    if (at->pack || strcmp(r->subject, "all") == 0)
        return 0;
    return at->plain ? tp_fail(err, EINVAL,
                               "'%s' is a plain directory: there are no hashes to compare with",
                               r->subject)
                     : no_model(r->subject, at, err);
}

static int check_base(int dirfd, const struct tp_request *r, struct tp_error *err)
{
    const char *base = tp_request_text(r, "base");
    struct place at;

    if (!base || strcmp(base, "auto") == 0 || strcmp(base, "none") == 0)
        return 0;
    if (strcmp(base, r->subject) == 0)
        return tp_fail(err, EINVAL, "'%s' cannot be its own base", base);
    look(dirfd, base, &at);
    if (at.plain || at.pack)
        return 0;
    if (at.file)
        return no_model(base, &at, err);
    return at.link ? tp_fail(err, EINVAL, "the base '%s' is a symbolic link", base)
                   : tp_fail(err, ENOENT, "there is no model '%s' to be the base", base);
}

int tp_request_check(int dirfd, const char *dir, const struct tp_request *r, struct tp_error *err)
{
    struct place at;
    int rc;

    look(dirfd, r->subject, &at);
    if (at.link && !at.pack)
        return tp_fail(err, EINVAL, "'%s' is a symbolic link: name what it points to", r->subject);
    switch (r->verb) {
    case TP_VERB_COMPRESS:
        rc = check_compress(dir, r, &at, err);
        break;
    case TP_VERB_RESTORE:
        rc = check_restore(r, &at, err);
        break;
    case TP_VERB_VERIFY:
        rc = check_verify(r, &at, err);
        break;
    default:
        rc = at.plain || at.pack ? 0 : no_model(r->subject, &at, err);
    }
    if (rc == 0)
        rc = check_base(dirfd, r, err);
    if (rc == 0 && (r->verb == TP_VERB_COMPRESS || r->verb == TP_VERB_RESTORE) &&
        faccessat(dirfd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        rc = tp_fail_errno(err, "cannot write to '%s'", dir);
    return rc;
}

/* Reads a model, and leaves it as it is. */
static bool only_reads(enum tp_verb verb)
{
    return verb != TP_VERB_COMPRESS && verb != TP_VERB_RESTORE;
}

bool tp_request_excludes(enum tp_verb a, const char *a_subject, enum tp_verb b,
                         const char *b_subject)
{
    return strcmp(a_subject, b_subject) == 0 && !(only_reads(a) && only_reads(b));
}

static void sweep_one(const char *dir, const char *name)
{
    char *plain = tp_path_join(dir, name, ""), *pack = tp_path_join(dir, name, TP_PACK_SUFFIX);

    if (plain && pack) {
        tp_temporaries_sweep(plain);
        tp_temporaries_sweep(pack);
    }
    free(plain);
    free(pack);
}

void tp_job_sweep(const char *dir, enum tp_verb verb, const char *subject)
{
    struct tp_store *store = NULL;
    struct tp_store_model *models = NULL;
    size_t n = 0;

    if (only_reads(verb))
        return;
    sweep_one(dir, subject);
    /* A base that was plain has been packed first, whichever it was. */
    if (verb != TP_VERB_COMPRESS || tp_store_open(dir, &store, NULL) < 0)
        return;
    tp_store_models(store, &models, &n, NULL);
    for (size_t i = 0; i < n; i++)
        if (models[i].kind == TP_MODEL_PLAIN && strcmp(models[i].name, subject) != 0)
            sweep_one(dir, models[i].name);
    tp_store_models_free(models, n);
    tp_store_close(store);
}
