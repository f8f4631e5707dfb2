/* SPDX-License-Identifier: MIT */
/*
 * Verbs: what can be done with a model. Each has a file of its own in this folder with its keys,
 * its checks, its work, its result as JSON, and its result for people. The control files, HTTP and
 * the command line use the same table.
 */
#ifndef TP_CONTROL_VERB_H
#define TP_CONTROL_VERB_H

#include "base/json.h"
#include "base/json_write.h"
#include "base/progress.h"
#include "control/request/request.h"
#include "store/verify.h"

/* What a directory has under the model's name; no link is followed. */
struct tp_target {
    int dirfd;
    const char *dir;
    bool link, plain, file, pack, half_removed;
};

/*
 * Where a verb works, and what it reports to. A job gives DIR and NAME. A command in the
 * foreground also gives paths, which need not lie in DIR.
 */
struct tp_work {
    const char *dir;  /* the store */
    const char *name; /* the model in it */
    const char *path; /* the model's directory or pack; NULL: by its name in DIR */
    const char *base; /* path of a base or reference, in place of the request's; NULL: none */
    const char *out;  /* what to write, leaving the model as it is; NULL: DIR is changed */
    bool foreground;  /* results have paths, not names; busy bases are not waited for */
    const struct tp_progress *progress;
    void (*note)(void *arg, const char *line); /* messages on the way; may be NULL */
    /* Opens the object that the members of the result are written to. Called at most once. */
    struct tp_json_writer *(*begin)(void *arg);
    void *arg;
};

struct tp_verb_ops {
    const char *name;
    const char *subject;       /* "MODEL" or "JOB" */
    const char *summary;       /* one line */
    const char *unavailable;   /* why requests fail with EOPNOTSUPP; NULL: they do not */
    const struct tp_key *keys; /* ends with a NULL name */
    const char *example;       /* lines, as they are typed */
    bool reads_only;           /* leaves the model as it is */
    /* Whether the request can be carried out in the directory as it is now. */
    int (*check)(const struct tp_target *target, const struct tp_request *request,
                 struct tp_error *err);
    /* Does it, and writes the members of the result between WORK->begin and tp_json_end_object. */
    int (*run)(const struct tp_request *request, struct tp_work *work, struct tp_error *err);
    /* Appends lines for people; RESULT is what RUN wrote, MODEL the printable name. */
    void (*print)(const struct tp_json *result, const char *model, struct tp_buffer *out);
    /* Removes what a process left in DIR that died while it ran this verb; may be NULL. */
    void (*sweep)(const char *dir, const char *name);
};

/* --- verbs.c --- */

const struct tp_verb_ops *tp_verb_get(enum tp_verb verb);
/* TP_VERB_COUNT: there is none of that name. */
enum tp_verb tp_verb_find(const char *name);
/* The text of the verb's control file: what it does, each key with its default, examples. */
int tp_verb_help(enum tp_verb verb, struct tp_buffer *out);

/* --- check.c --- */

int tp_request_check(int dirfd, const char *dir, const struct tp_request *request,
                     struct tp_error *err);
/* Whether two requests cannot run at the same time. */
bool tp_request_excludes(enum tp_verb a, const char *a_subject, enum tp_verb b,
                         const char *b_subject);

/* --- level.c --- */

/* Before a pack takes the place of a model of DIR: -EBUSY where DIR lies within a directory that is
 * mounted, and is not mounted by itself. There the pack would be shown as a file, not a model. */
int tp_check_level(const char *dir, struct tp_error *err);

/* --- verify.c: for commands that verify several packs --- */

struct tp_store;

struct tp_verifying {
    struct tp_work *work;
    struct tp_json_writer *json; /* an array is open */
    unsigned threads;
    uint64_t packs, bad;
    /* After each pack, which the result calls NAME; RC and ERR are its outcome. May be NULL. */
    void (*ended)(void *arg, const char *name, int rc, struct tp_error *err,
                  const struct tp_verify_report *report);
};

/* --- verify.c --- */

int tp_verify_one(struct tp_verifying *v, struct tp_store *store, const char *path,
                  struct tp_error *err);
/* Every pack of DIR. ERR has the first error. */
int tp_verify_all(struct tp_verifying *v, const char *dir, struct tp_error *err);
/* The line of one pack; WHY NULL: it is whole. */
void tp_verify_print_pack(const char *name, const struct tp_verify_report *report, const char *why,
                          struct tp_buffer *out);

/* --- print.c --- */

/* "3.10x smaller", "0.2 % larger", "the same size". */
#define TP_SAVING_TEXT 64
const char *tp_saving_print(uint64_t logical, uint64_t stored, char out[TP_SAVING_TEXT]);
double tp_saving_ratio(uint64_t logical, uint64_t stored);

#endif
