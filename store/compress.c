/* SPDX-License-Identifier: MIT */
/*
 * Replacing a model directory by its pack. Whatever process dies at whatever moment, one of the two
 * is whole.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "store/choose_base.h"
#include "store/compare.h"
#include "store/lock.h"
#include "store/names.h"
#include "store/ops.h"
#include "store/original/original.h"
#include "store/pack/pack_internal.h"
#include "store/verify.h"

struct job {
    char *model; /* the directory, without trailing '/' */
    char *pack;  /* MODEL.tnpk */
    const struct tp_compress_options *options;
    struct tp_progress
        progress; /* the caller's; a program that writes to the model also cancels it */
    struct tp_compress_report *report;
    struct tp_error *err;
};

static bool path_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static void log_note(const struct job *j, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void log_note(const struct job *j, const char *fmt, ...)
{
    char line[TP_ERROR_MAX];
    va_list args;

    if (!j->options->note)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    j->options->note(j->options->note_arg, line);
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int init_job(struct job *j, const char *path)
{
    const char *name;
    struct stat st;
    char *parent;
    size_t len;
    int rc;

    j->model = strdup(path);
    if (!j->model)
        return tp_oom(j->err);
    for (len = strlen(j->model); len > 1 && j->model[len - 1] == '/'; len--)
        j->model[len - 1] = '\0';
    name = tp_path_name(j->model);
    if (!name[0] || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        free(j->model);
        j->model = realpath(path, NULL);
        if (!j->model)
            return tp_fail_errno(j->err, "cannot resolve '%s'", path);
    }
    if (lstat(j->model, &st) == 0 && S_ISLNK(st.st_mode) && !j->options->out)
        return tp_fail(j->err, EINVAL, "'%s' is a symbolic link: pack what it points to", j->model);
    if (tp_path_name(j->model)[0] == '.' && !j->options->out)
        return tp_fail(j->err, EINVAL,
                       "'%s' is hidden, and its pack would show nowhere: rename it, or write "
                       "elsewhere with -o",
                       j->model);
    rc = j->options->out ? 0 : tp_modeldir_is_snapshot(j->model, j->err);
    if (rc < 0)
        return rc;
    if (rc > 0)
        return tp_fail(j->err, EINVAL,
                       "'%s' is a snapshot of the hub's cache, whose files are links into its "
                       "blobs: write its pack "
                       "elsewhere with -o, or pack the whole directory of the model in the cache",
                       j->model);
    if (!j->options->out && !j->options->keep && j->options->links == TP_LINKS_FOLLOW)
        return tp_fail(j->err, EINVAL,
                       "'%s' is not removed for a pack of what its links lead to: keep it",
                       j->model);
    parent = tp_path_parent(j->model);
    j->pack = parent ? tp_path_join(parent, tp_path_name(j->model), TP_PACK_SUFFIX) : NULL;
    free(parent);
    if (j->pack && !j->options->out && strlen(tp_path_name(j->pack)) > NAME_MAX)
        return tp_fail(j->err, ENAMETOOLONG,
                       "'%s' has too long a name for a pack beside it: write elsewhere with -o",
                       j->model);
    return j->pack ? 0 : tp_oom(j->err);
}

static void report_existing(const struct job *j, const struct tp_pack *pack)
{
    const struct tp_index *x = tp_pack_index(pack);
    struct tp_pack_report *r = &j->report->pack;

    memset(r, 0, sizeof *r);
    tp_pack_report_fill(r, x);
    r->stored_bytes = tp_pack_stored_bytes(pack);
    memcpy(r->id, tp_pack_get_id(pack), sizeof r->id);
    if (x->has_base)
        snprintf(j->report->base, sizeof j->report->base, "%.255s", x->base_name);
    snprintf(j->report->why, sizeof j->report->why, "packed before");
}

/* Sync the pack, then read it back from the disk. */
static int verify_existing(const struct job *j, struct tp_pack *pack)
{
    struct tp_bytes *bytes = tp_pack_bytes(pack);
    struct tp_verify_report report;
    int rc = tp_bytes_sync(bytes, j->err);

    tp_bytes_advise(bytes, 0, bytes->size, TP_ADVICE_DONE);
    if (rc == 0)
        rc = tp_file_sync_parent(j->pack, j->err);
    if (rc < 0)
        return rc;
    return tp_pack_verify(pack, j->options->threads, &j->progress, NULL, NULL, &report, j->err);
}

static enum tp_original_use original_use(const struct job *j)
{
    if (j->options->keep)
        return TP_ORIGINAL_READ;
    return j->options->no_lease ? TP_ORIGINAL_REPLACE_UNLEASED : TP_ORIGINAL_REPLACE;
}

/* Record the state of the directory before anything in it is read. */
static int open_original(struct job *j, struct tp_original **out)
{
    const struct tp_progress *theirs = j->options->progress;
    int rc =
        tp_original_open(j->model, original_use(j), theirs ? theirs->cancel : NULL, out, j->err);

    if (rc == 0)
        j->progress.cancel = tp_original_cancel(*out);
    return rc;
}

/* If the directory has changed, that is the cause of any failure to read it. */
static int explain_failure(const struct job *j, struct tp_original *original, int rc)
{
    struct tp_error why = {0};

    if (rc == 0 || tp_progress_check(j->options->progress, NULL) < 0 ||
        tp_original_check(original, &why) == 0)
        return rc;
    return tp_fail(j->err, -why.code, "%s", why.message);
}

/* Both the pack and the directory exist, after a crash or after KEEP. */
static int replace_existing(struct job *j, struct tp_pack *pack)
{
    struct tp_original *original;
    int rc = open_original(j, &original);

    if (rc < 0)
        return rc;
    rc = tp_compare_dir(pack, j->model, true, &j->progress, j->err);
    if (rc == 0)
        rc = verify_existing(j, pack);
    rc = explain_failure(j, original, rc);
    if (rc == 0 && !j->options->keep)
        rc = tp_original_remove(original, pack, j->err);
    tp_original_close(original);
    return rc;
}

/* The pack must be a file of that directory: a file elsewhere could be removed unnoticed. */
static int check_pack_name(const struct job *j)
{
    struct stat st;

    if (lstat(j->pack, &st) < 0)
        return 0;
    if (S_ISREG(st.st_mode))
        return j->options->links == TP_LINKS_FOLLOW
                   ? tp_fail(j->err, EEXIST, "'%s' exists", j->pack)
                   : 0;
    return tp_fail(j->err, EINVAL,
                   S_ISLNK(st.st_mode) ? "'%s' is a symbolic link: the pack must lie there itself"
                                       : "'%s' is no regular file, so no pack can be there",
                   j->pack);
}

/* 0: the work is done. */
static int finish_existing(struct job *j)
{
    bool removing = tp_original_is_half_removed(AT_FDCWD, j->model), plain = path_exists(j->model);
    tp_autopack struct tp_pack *pack = NULL;
    int rc = tp_store_open_path(NULL, j->pack, &pack, j->err);

    if (rc < 0)
        return rc;
    if (removing) {
        rc = verify_existing(j, pack);
        if (rc == 0)
            rc = tp_original_finish(j->model, pack, j->options->no_lease, &j->progress, j->err);
    }
    if (rc == 0 && plain)
        rc = replace_existing(j, pack);
    if (rc == 0) {
        report_existing(j, pack);
        log_note(j, "%s",
                 removing || plain ? "the pack was there already and is whole"
                                   : "it is packed already");
    }
    return rc;
}

/*
 * For packing in place, readers search for the base in the pack's directory: the base, or a pack
 * with the same content, must be there.
 */
static int check_beside(const struct job *j, const struct tp_pack *base)
{
    struct tp_base_query query = {.id = tp_pack_get_id(base), .content = tp_pack_content_id(base)};
    tp_autofree char *dir = tp_path_parent(j->model);
    tp_autostore struct tp_store *store = NULL;
    tp_autopack struct tp_pack *found = NULL;
    int rc = dir ? tp_store_open(dir, &store, j->err) : tp_oom(j->err);

    if (rc == 0 && tp_store_open_base(store, &query, &found, NULL) < 0)
        rc = tp_fail(j->err, EINVAL,
                     "the base '%s' is not in '%s': copy it there, or write elsewhere with -o",
                     tp_pack_path(base), dir);
    return rc;
}

/* A model that was removed or changed meanwhile must not appear again as its pack. */
static int check_original(void *original, struct tp_error *err)
{
    return tp_original_check(original, err);
}

/* Wait until no other process works on the base at PATH. */
static int wait_for_others(const struct job *j, const char *path)
{
    const struct timespec moment = {.tv_nsec = 100000000};
    struct tp_model_lock lock;
    bool noted = false;

    while (tp_model_lock(path, &lock, NULL) == -EBUSY) {
        int rc = tp_progress_check(j->options->progress, j->err);

        if (rc < 0)
            return rc;
        if (!noted)
            log_note(j, "waiting for another process that works on the base '%s'",
                     tp_path_name(path));
        noted = true;
        nanosleep(&moment, NULL);
    }
    tp_model_unlock(&lock);
    return 0;
}

/*
 * Pack the base at PLAIN. Another process may do the same at any time. -EBUSY: the base keeps
 * changing. 1: the other process has packed it.
 */
static int compress_base(const struct job *j, const char *plain,
                         const struct tp_compress_options *options,
                         struct tp_compress_report *report)
{
    bool wait = j->options->wait_for_base;
    int rc = -EBUSY;

    for (int i = 0; i < 3 && rc == -EBUSY; i++) {
        rc = wait ? wait_for_others(j, plain) : 0;
        if (rc == 0 && wait && !is_dir(plain) && !tp_original_is_half_removed(AT_FDCWD, plain))
            return 1;
        if (rc == 0)
            rc = tp_compress(plain, options, report, j->err);
        if (!wait)
            break;
    }
    return rc;
}

/*
 * Pack the directory PLAIN of the base in place, against the best base for it. The directory is
 * removed in the same way as the model's own.
 */
static int pack_base(const struct job *j, const char *plain)
{
    const struct tp_compress_options *options = j->options;
    const struct tp_waiting waiting = {.name = tp_path_name(j->model), .next = options->waiting};
    const struct tp_compress_options o = {.base = "auto",
                                          .waiting = &waiting,
                                          .keep = options->keep || options->out,
                                          .no_lease = options->no_lease,
                                          .threads = options->threads,
                                          .zstd_level = options->zstd_level,
                                          .progress = options->progress,
                                          .note = options->note,
                                          .note_arg = options->note_arg};
    tp_auto(tp_compress_report_clear) struct tp_compress_report report = {0};
    int rc;

    if (is_dir(plain))
        log_note(j, "the base '%s' is a plain directory: it is packed first", tp_path_name(plain));
    rc = compress_base(j, plain, &o, &report);
    if (rc < 0)
        tp_error_prefix(j->err, "packing the base '%s'", tp_path_name(plain));
    j->report->base_packed = rc == 0;
    return rc < 0 ? rc : 0;
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

/* Open the pack of the chosen base. If there is only a directory, it is packed first. */
static int open_choice(const struct job *j, const struct tp_base_choice *choice,
                       struct tp_pack **out)
{
    const char *of = j->options->waiting ? tp_path_name(j->model) : "";
    int rc = 0;

    if (choice->searched && !choice->pack)
        log_note(j, "no base%s%s: %s", *of ? " for " : "", of, choice->why);
    else if (choice->searched)
        log_note(j, "base%s%s: %s (%s)", *of ? " of " : "", of, choice->name, choice->why);
    snprintf(j->report->base, sizeof j->report->base, "%s", choice->name);
    snprintf(j->report->why, sizeof j->report->why, "%s", choice->why);
    if (!choice->pack)
        return 0;
    if (choice->unpacked)
        rc = pack_base(j, choice->plain);
    if (rc == 0 && choice->plain)
        tp_temporaries_sweep(choice->plain); /* what a crash left while the directory was removed */
    if (rc == 0)
        rc = tp_store_open_path(NULL, choice->pack, out, j->err);
    if (rc == 0)
        rc = check_usable(*out, j->err);
    return rc;
}

/* Open the base; *OUT is NULL if there is none. */
static int open_base(const struct job *j, bool packs_only, struct tp_pack **out)
{
    struct tp_base_choice choice;
    int rc = tp_base_resolve(j->model, j->options, packs_only, &choice, j->err);

    *out = NULL;
    if (rc == 0)
        rc = open_choice(j, &choice, out);
    if (rc < 0) {
        tp_pack_close(*out);
        *out = NULL;
    }
    /*
     * A model that will be a base is packed in any case. If its own base cannot be packed first,
     * for example because another process works on it, the base is searched for among packs.
     */
    if (rc < 0 && rc != -ECANCELED && rc != -ENOMEM && choice.searched && !packs_only &&
        j->options->waiting) {
        log_note(j, "%s", j->err ? j->err->message : "");
        j->report->base[0] = j->report->why[0] = '\0';
        j->report->base_packed = false;
        rc = open_base(j, true, out);
    }
    tp_base_choice_clear(&choice);
    return rc;
}

/* ORIGINAL: when packing in place; otherwise NULL. */
static int write_pack(const struct job *j, const char *out, struct tp_original *original)
{
    struct tp_pack *base;
    int hold = -1, rc = open_base(j, false, &base);
    struct tp_pack_options o = {.threads = j->options->threads,
                                .links = j->options->links,
                                .base = base,
                                .base_name = j->report->base,
                                .codec = j->options->codec,
                                .zstd_level = j->options->zstd_level,
                                .replaces = !j->options->out && !j->options->keep,
                                .check_source = original ? check_original : NULL,
                                .check_source_arg = original,
                                .progress = &j->progress};

    if (rc == 0)
        rc = tp_modeldir_is_snapshot(j->model, j->err);
    if (rc > 0) {
        log_note(j, "a snapshot of the hub's cache: the files that its links lead to are packed");
        rc = 0;
    }
    if (rc == 0 && base)
        rc = tp_pack_hold(base, &hold, j->err);
    if (rc == 0 && base && !j->options->out)
        rc = check_beside(j, base);
    if (rc == 0)
        rc = tp_pack_write(j->model, out, &o, &j->report->pack, j->err);
    if (hold >= 0)
        close(hold);
    tp_pack_close(base);
    return rc;
}

/*
 * Remove the pack that was just written, unless another pack depends on it already. In that case
 * both pack and directory stay.
 */
static void withdraw_pack(const struct job *j, const struct tp_pack *pack)
{
    char *dir = tp_path_parent(j->pack), **names = NULL;
    tp_autostore struct tp_store *store = NULL;
    size_t n = 0;
    tp_autoclose int claim = -1;

    if (dir && tp_pack_claim(pack, &claim, NULL) == 0 && tp_store_open(dir, &store, NULL) == 0 &&
        tp_store_dependents(store, pack, &names, &n, NULL) == 0 && n == 0)
        unlink(j->pack);
    tp_store_names_free(names, n);
    free(dir);
}

/* Remove the directory if it is unchanged. The pack is written. */
static int replace_original(const struct job *j, struct tp_original *original)
{
    tp_autopack struct tp_pack *pack = NULL;
    int rc = tp_store_open_path(NULL, j->pack, &pack, j->err);

    if (rc < 0)
        return rc;
    if (tp_pack_base_error(pack)[0])
        return tp_fail(j->err, ENOLINK, "'%s' is left in its place: %s", j->model,
                       tp_pack_base_error(pack));
    /* If links were followed, the pack differs from the directory. */
    if (j->options->links == TP_LINKS_FOLLOW)
        rc = tp_original_check(original, j->err);
    else if (j->options->keep)
        rc = tp_original_compare(original, pack, j->err);
    else
        rc = tp_original_remove(original, pack, j->err);
    if (rc < 0 && tp_original_is_in_place(original))
        withdraw_pack(j, pack);
    return rc;
}

static int compress_new(struct job *j)
{
    struct tp_original *original;
    int rc = open_original(j, &original);

    if (rc < 0)
        return rc;
    rc = explain_failure(j, original, write_pack(j, j->pack, original));
    if (rc == 0) {
        /*
         * The pack has its name. This open must not be cancelled, because the pack must be kept or
         * removed.
         */
        const atomic_int *watched = tp_cancel_watch(NULL);

        rc = replace_original(j, original);
        tp_cancel_watch(watched);
    }
    tp_original_close(original);
    return rc;
}

static int compress_in_place(struct job *j)
{
    int rc = check_pack_name(j);

    if (rc < 0)
        return rc;
    tp_temporaries_sweep(j->pack);
    tp_temporaries_sweep(j->model);
    if (path_exists(j->pack))
        return finish_existing(j);
    if (tp_original_is_half_removed(AT_FDCWD, j->model))
        return tp_fail(j->err, EEXIST,
                       "the pack '%s' is gone, and what an interrupted removal left of '%s' is "
                       "hidden beside it",
                       j->pack, j->model);
    if (!path_exists(j->model))
        return tp_fail(j->err, ENOENT, "there is no model '%s'", j->model);
    return compress_new(j);
}

static int compress_locked(struct job *j)
{
    struct tp_model_lock lock;
    int rc = tp_model_lock(j->model, &lock, j->err);

    if (rc < 0)
        return rc;
    rc = compress_in_place(j);
    tp_model_unlock(&lock);
    return rc;
}

int tp_compress(const char *path, const struct tp_compress_options *options,
                struct tp_compress_report *report, struct tp_error *err)
{
    struct job j = {.options = options, .report = report, .err = err};
    int rc;

    if (options->progress)
        j.progress = *options->progress;
    tp_compress_report_clear(report);
    rc = init_job(&j, path);
    if (rc == 0 && options->out)
        rc = tp_check_new(options->out, err);
    if (rc == 0 && !(report->out = strdup(options->out ? options->out : j.pack)))
        rc = tp_oom(err);
    if (rc == 0)
        rc = options->out ? write_pack(&j, options->out, NULL) : compress_locked(&j);
    free(j.model);
    free(j.pack);
    return rc;
}

void tp_compress_report_clear(struct tp_compress_report *report)
{
    free(report->out);
    *report = (struct tp_compress_report){0};
}

int tp_compress_check(const char *path, const struct tp_compress_options *options,
                      struct tp_error *err)
{
    struct job j = {.options = options, .err = err};
    struct tp_original *original = NULL;
    int rc = init_job(&j, path);

    if (rc == 0)
        rc = options->out ? tp_check_new(options->out, err) : check_pack_name(&j);
    if (rc == 0 && !options->out)
        rc = open_original(&j, &original);
    tp_original_close(original);
    free(j.model);
    free(j.pack);
    return rc;
}
