/* SPDX-License-Identifier: MIT */
/*
 * Verbs: operations on a model. Each has a file in this folder with its keys, its check, its run,
 * and the output of its result as JSON and for people. The control files, HTTP and the command line
 * use the same table.
 */
#ifndef TP_CONTROL_VERB_H
#define TP_CONTROL_VERB_H

#include "base/json.h"
#include "base/json_write.h"
#include "base/progress.h"
#include "control/request/request.h"
#include "store/verify.h"

/* What a directory has under the name of a model. Links are not followed. */
struct tp_target {
    int dirfd;
    const char *dir;
    bool link, plain, file, pack, half_removed;
};

/*
 * Where a verb works and where it reports. A job sets DIR and NAME. A command in the foreground
 * also sets paths, which need not be in DIR.
 */
struct tp_work {
    const char *dir;  /* the store */
    const char *name; /* name of the model in DIR */
    const char *path; /* path of the model's directory or pack; NULL: NAME in DIR */
    const char *base; /* path of a base or reference, instead of the request's; NULL: none */
    const char *out;  /* output path, leaving the model unchanged; NULL: DIR is changed */
    bool foreground;  /* results have paths instead of names, and the verb does not wait for a busy
                         base */
    const struct tp_progress *progress;
    void (*note)(void *arg, const char *line); /* called with messages; may be NULL */
    /* A search has EVALUATED of TOTAL candidates; may be NULL. */
    void (*evaluated)(void *arg, unsigned evaluated, unsigned total);
    /* What came out, in one line, which stands for "completed"; may be NULL. */
    void (*conclude)(void *arg, const char *line);
    /* Opens the object for the members of the result. Called at most once. */
    struct tp_json_writer *(*begin)(void *arg);
    void *arg;
};

struct tp_verb_ops {
    const char *name;
    const char *subject;       /* "MODEL" or "JOB" */
    const char *summary;       /* one line */
    const struct tp_key *keys; /* ends with a NULL name */
    const char *example;       /* lines as they are typed */
    bool reads_only;           /* does not change the model */
    bool hub;                  /* the model may be the id "org/name" of one in the hub's cache */
    bool (*hub_needs)(const struct tp_request *request); /* only if this is true; may be NULL */
    /*
     * Check what is wrong with the values themselves, whatever models DIR has: names that are of no
     * table, values that exclude each other. -ENOENT, -EINVAL, -EDOM. May be NULL.
     */
    int (*check_values)(const char *dir, const struct tp_request *request, struct tp_error *err);
    /* Check whether the request can be executed in the directory now. */
    int (*check)(const struct tp_target *target, const struct tp_request *request,
                 struct tp_error *err);
    /*
     * Execute it, and write the members of the result between WORK->begin and tp_json_end_object.
     */
    int (*run)(const struct tp_request *request, struct tp_work *work, struct tp_error *err);
    /* Append lines for people. RESULT: what RUN wrote. MODEL: the printable name. */
    void (*print)(const struct tp_json *result, const char *model, struct tp_buffer *out);
    /* Whether RESULT has what the request looks for; NULL: always. */
    bool (*found)(const struct tp_json *result);
    /* Remove what an interrupted run of this verb left in DIR; may be NULL. */
    void (*sweep)(const char *dir, const char *name);
};

/* --- verbs.c --- */

const struct tp_verb_ops *tp_verb_get(enum tp_verb verb);
/* TP_VERB_COUNT: there is no verb of this name. */
enum tp_verb tp_verb_find(const char *name);
/* The text of the verb's control file: its purpose, each key with its default, examples. */
int tp_verb_help(enum tp_verb verb, struct tp_buffer *out);

/* --- check.c --- */

/* The values alone. -ENOENT, -EINVAL, -EDOM: the request is wrong in any state of DIR's models. */
int tp_request_check_values(const char *dir, const struct tp_request *request,
                            struct tp_error *err);
/* The values, and whether the request can be executed now. */
int tp_request_check(int dirfd, const char *dir, const struct tp_request *request,
                     struct tp_error *err);
/* Whether two requests must not run at the same time. */
bool tp_request_excludes(enum tp_verb a, const char *a_subject, enum tp_verb b,
                         const char *b_subject);

/* --- level.c --- */

/*
 * Check before a pack replaces a model of DIR. -EBUSY: DIR is within a mounted directory and is not
 * mounted itself, so the pack would be shown as a file and not as a model.
 */
int tp_check_level(const char *dir, struct tp_error *err);

/* --- verify.c: for commands that verify several packs --- */

struct tp_store;

struct tp_verifying {
    struct tp_work *work;
    struct tp_json_writer *json; /* an open array */
    unsigned threads;
    uint64_t packs, bad;
    /*
     * Called after each pack with its NAME in the result; RC and ERR are its outcome. May be NULL.
     */
    void (*ended)(void *arg, const char *name, int rc, struct tp_error *err,
                  const struct tp_verify_report *report);
};

/* --- verify.c --- */

int tp_verify_one(struct tp_verifying *v, struct tp_store *store, const char *path,
                  struct tp_error *err);
/* Verify every pack of DIR. ERR: the first error. */
int tp_verify_all(struct tp_verifying *v, const char *dir, struct tp_error *err);
/* Append the line of one pack. WHY NULL: it is intact. */
void tp_verify_print_pack(const char *name, const struct tp_verify_report *report, const char *why,
                          struct tp_buffer *out);

/* --- print.c --- */

/* "3.10x smaller", "0.2 % larger", "the same size". */
#define TP_SAVING_TEXT 64
const char *tp_saving_print(uint64_t logical, uint64_t stored, char out[TP_SAVING_TEXT]);
double tp_saving_ratio(uint64_t logical, uint64_t stored);

#endif
