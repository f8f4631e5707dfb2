/* SPDX-License-Identifier: MIT */
/*
 * Requests: what a directory can be asked to do. A request is a verb, a model, and a typed value
 * for each key of the verb. It is read from words ("MODEL key=value ...", quoted as in a shell) or
 * from an object of JSON. A text may hold several requests, one on each line; all of them are
 * valid, or none is accepted.
 */
#ifndef TP_CONTROL_REQUEST_H
#define TP_CONTROL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_write.h"

#define TP_REQUEST_TEXT_MAX (64u << 10) /* bytes of one write */
#define TP_REQUEST_MAX 256u             /* requests in one write */
#define TP_REQUEST_KEYS_MAX 32u         /* keys of a verb: bits of GIVEN */
#define TP_RETRY_KEY_MAX 64u            /* characters of id= */
#define TP_NAME_MAX 255u                /* bytes of a model's name */
#define TP_TEXT_MAX 1024u               /* bytes of a TP_KEY_TEXT */

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

/* --- Keys --- */

/* The kind of a value, and the type of the member that holds it. */
enum tp_key_kind {
    TP_KEY_NAME,    /* a model of the directory: no '/', no "..", not hidden; char[] */
    TP_KEY_WORD,    /* one of WORDS; const char *, a pointer from WORDS */
    TP_KEY_BASE,    /* auto, none or a model's name; char[] */
    TP_KEY_BOOL,    /* yes or no; true and false in JSON; bool */
    TP_KEY_NUMBER,  /* a whole number from LOW to HIGH; unsigned or uint64_t */
    TP_KEY_SIZE,    /* bytes with a unit (base/size.h), from LOW to HIGH; uint64_t */
    TP_KEY_DECIMAL, /* a number with a fraction, from LOW to HIGH; double */
    TP_KEY_TEXT     /* up to TP_TEXT_MAX bytes of UTF-8 without control characters; char[] */
};

struct tp_key {
    const char *name;
    enum tp_key_kind kind;
    const char *standard; /* the default, as text; NULL: none */
    uint64_t low, high;
    const char *const *words; /* ends with NULL */
    const char *help;         /* one line */
    size_t offset, width;     /* of the member that holds the value */
};

/* OFFSET and WIDTH of a key. */
#define TP_KEY_AT(type, member) offsetof(type, member), sizeof(((type *)0)->member)

/* --- Requests --- */

/* What each job may use. */
struct tp_limits {
    unsigned threads; /* 0: one for each CPU */
    uint64_t memory;
    unsigned niceness;
    const char *io; /* "normal" or "idle" */
};

/* Holds no memory of its own: copied by assignment, and freed with nothing. */
struct tp_request {
    enum tp_verb verb;
    unsigned line;                    /* of the text that it was read from, from 1; 0: none */
    char subject[TP_NAME_MAX + 1];    /* the model's name, or the job's id */
    char retry[TP_RETRY_KEY_MAX + 1]; /* id=KEY: a repeated request is the same job; "" */
    uint32_t given;                   /* bit I: the verb's key I was given */
    uint32_t set;                     /* bit I: it has a value, given or by default */
    struct tp_limits limits;
    union {
        struct {
            char base[TP_NAME_MAX + 1];
            bool dereference;
        } estimate;
        struct {
            char base[TP_NAME_MAX + 1];
            const char *codec;
            unsigned zstd_level;
            bool keep, dereference, lease;
        } compress;
        struct {
            bool keep;
        } restore;
        struct {
            char text[TP_TEXT_MAX + 1], reference[TP_NAME_MAX + 1];
            const char *convention; /* NULL: by the stride */
            const char *add_bos, *dtype;
            unsigned context, stride; /* 0: by default */
            uint64_t samples;         /* 0: all */
            bool timing;
            unsigned batch, prompt_tokens, new_tokens;
        } evaluate;
        struct {
            char dataset[TP_TEXT_MAX + 1], candidates[TP_TEXT_MAX + 1], hardware[TP_TEXT_MAX + 1];
            double max_perplexity, max_loss, max_latency_ms, min_tokens_per_second;
            uint64_t max_memory;
        } optimize;
    };
};

/* Where a text is wrong: both from 1; 0 where that does not apply. */
struct tp_request_spot {
    unsigned line, column;
    bool conflict; /* set by tp_jobs_submit: the text is valid, but its id= belongs to another
                      request */
};

/*
 * Reads TEXT, LEN bytes. *OUT has *N requests; free() it. Does not look at the directory. -E2BIG:
 * too long or too many. -EINVAL: syntax, an unknown or repeated key, a subject that cannot be a
 * name in the directory. -ERANGE: a value out of bounds. -ENOMEM. SPOT says where; it may be NULL.
 */
int tp_requests_parse(enum tp_verb verb, const char *text, size_t len, struct tp_request **out,
                      size_t *n, struct tp_request_spot *spot, struct tp_error *err);

/* Reads a request from arguments: the model's name, and N words KEY=VALUE. Errors are the same. */
int tp_request_from_words(enum tp_verb verb, const char *model, char *const *words, int n,
                          struct tp_request *out, struct tp_error *err);

/* --- json.c --- */

/*
 * Reads a request from a tree. VERB is its verb; TP_VERB_COUNT: its member "verb" names it. STRICT
 * accepts only what the schema of the HTTP interface describes: each value has JSON's own type (no
 * "4" for 4), texts are shorter, and a name that no model can have is -ENOENT.
 */
int tp_request_from_json(enum tp_verb verb, const struct tp_json *object, bool strict,
                         struct tp_request *out, struct tp_error *err);
/*
 * Writes an object that tp_request_from_json and tp_requests_parse read: the values that were
 * given, and with DEFAULTS those that hold by default.
 */
void tp_request_to_json(const struct tp_request *request, bool defaults,
                        struct tp_json_writer *json, const char *key);

/* --- request.c --- */

/* Whether both are the same request: a value that only one of them gives is a difference. */
bool tp_request_is_same(const struct tp_request *a, const struct tp_request *b);

#endif
