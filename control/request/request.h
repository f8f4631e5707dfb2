/* SPDX-License-Identifier: MIT */
/*
 * What can be asked of a directory: verbs with their keys, and requests read from words ("MODEL
 * key=value ...", with a shell's quoting) or from the same as a JSON object. One text may hold
 * several, a line each; all are good or none is taken.
 */
#ifndef TP_CONTROL_REQUEST_H
#define TP_CONTROL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"

#define TP_REQUEST_TEXT_MAX (64u << 10) /* bytes of one write */
#define TP_REQUEST_MAX 256u             /* requests in one write */
#define TP_REQUEST_KEYS_MAX 24u
#define TP_RETRY_KEY_MAX 64u /* characters of id= */

enum tp_verb {
    TP_VERB_ESTIMATE,
    TP_VERB_COMPRESS,
    TP_VERB_RESTORE,
    TP_VERB_VERIFY,
    TP_VERB_EVALUATE,
    TP_VERB_OPTIMIZE,
    TP_VERB_CANCEL,
    TP_VERB_COUNT
};

enum tp_key_kind {
    TP_KEY_NAME,    /* a model of the directory: no '/', no "..", not hidden */
    TP_KEY_WORD,    /* one of WORDS */
    TP_KEY_BASE,    /* auto, none or a model's name */
    TP_KEY_BOOL,    /* yes or no; true and false in JSON */
    TP_KEY_NUMBER,  /* whole, within LOW and HIGH */
    TP_KEY_SIZE,    /* bytes with a unit (base/size.h), within LOW and HIGH */
    TP_KEY_DECIMAL, /* a number with a fraction, within LOW and HIGH */
    TP_KEY_TEXT     /* up to 1024 characters of UTF-8 without control characters */
};

struct tp_key {
    const char *name;
    enum tp_key_kind kind;
    const char *standard; /* what holds when it is not given, as a text; NULL: nothing */
    uint64_t low, high;
    const char *const *words; /* ends with NULL */
    const char *help;         /* one line */
};

struct tp_verb_info {
    const char *name;
    const char *subject;       /* "MODEL" or "JOB" */
    const char *summary;       /* one line */
    const char *unavailable;   /* why requests are answered with EOPNOTSUPP; NULL: they are not */
    const struct tp_key *keys; /* ends with a NULL name */
    const char *example;       /* lines, as they are typed */
};

const struct tp_verb_info *tp_verb_get(enum tp_verb verb);
/* TP_VERB_COUNT: there is none of that name. */
enum tp_verb tp_verb_find(const char *name);
/* What reading the verb's control file gives: what it does, each key with its default, examples. */
int tp_verb_help(enum tp_verb verb, struct tp_buffer *out);

struct tp_request {
    enum tp_verb verb;
    unsigned line;                    /* of the text that it was read from, from 1; 0: of none */
    char subject[256];                /* the model's name, or the job's id */
    char retry[TP_RETRY_KEY_MAX + 1]; /* id=KEY: the same again is the same job; "" */
    struct {
        bool given;
        uint64_t number; /* of BOOL, NUMBER, SIZE; the index of the word of WORD */
        double decimal;  /* of DECIMAL */
        char *text;      /* of all kinds, as it was given or as the default says; NULL: nothing */
    } values[TP_REQUEST_KEYS_MAX]; /* in the order of the verb's keys, defaults filled in */
};

/* Where a text is wrong: both from 1; 0 where that does not apply. */
struct tp_request_spot {
    unsigned line, column;
    bool conflict; /* set by tp_jobs_submit: nothing is wrong with the text, but its id= is another
                      command's */
};

/*
 * Read TEXT, LEN bytes. *OUT has *N requests and is freed with tp_requests_free. Nothing of DIR is
 * looked at here. -E2BIG: too long or too many. -EINVAL: syntax, an unknown or repeated key, a
 * subject that cannot be a name in DIR. -ERANGE: a value outside its bounds. -ENOMEM. SPOT says
 * where.
 */
int tp_requests_parse(enum tp_verb verb, const char *text, size_t len, struct tp_request **out,
                      size_t *n, struct tp_request_spot *spot, struct tp_error *err);
void tp_requests_free(struct tp_request *requests, size_t n);

/* The value of a key of the request's verb; NULL, 0 or false for a key that the verb has not. */
const char *tp_request_text(const struct tp_request *request, const char *key);
uint64_t tp_request_number(const struct tp_request *request, const char *key);
bool tp_request_bool(const struct tp_request *request, const char *key);
double tp_request_decimal(const struct tp_request *request, const char *key);
/* Another default for a key that was not given; a key that the verb has not, or that was given, is
 * left alone. Errors are those of reading such a value. */
int tp_request_fill(struct tp_request *request, const char *key, const char *text,
                    struct tp_error *err);

/*
 * Whether both are the same command: what one says and the other leaves open is no less than a
 * difference.
 */
bool tp_request_is_same(const struct tp_request *a, const struct tp_request *b);

/* As an object that tp_request_from_json reads: what was given, and the defaults that hold. */
void tp_request_to_json(const struct tp_request *request, struct tp_json_writer *json,
                        const char *key);
int tp_request_from_json(const struct tp_json *object, struct tp_request *out,
                         struct tp_error *err);
void tp_request_clear(struct tp_request *request);

#endif
