/* SPDX-License-Identifier: MIT */
/*
 * Requests: a verb, a model, and a typed value for each key of the verb. A request is read from
 * words ("MODEL key=value ...", quoted as in a shell) or from a JSON object. A text may contain
 * several requests, one on each line; if one is invalid, none is accepted.
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

#define TP_REQUEST_TEXT_MAX (64u << 10) /* maximal bytes of one write */
#define TP_REQUEST_MAX 256u             /* maximal number of requests in one write */
#define TP_REQUEST_KEYS_MAX 32u         /* maximal number of keys of a verb: bits of GIVEN */
#define TP_RETRY_KEY_MAX 64u            /* maximal characters of id= */
#define TP_NAME_MAX 255u                /* maximal bytes of a model's name */
#define TP_TEXT_MAX 1024u               /* maximal bytes of a TP_KEY_TEXT */

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
    TP_KEY_MODEL,   /* the same, or an id ORG/NAME of the hub, which becomes the name of its
                       folder; char[TP_NAME_MAX + 1] */
    TP_KEY_WORD,    /* one of WORDS; const char *, a pointer from WORDS */
    TP_KEY_BASE,    /* auto, none or a model's name; char[] */
    TP_KEY_BOOL,    /* yes or no; true and false in JSON; bool */
    TP_KEY_NUMBER,  /* a whole number from LOW to HIGH; unsigned or uint64_t */
    TP_KEY_SIZE,    /* bytes with a unit (base/size.h), from LOW to HIGH; uint64_t */
    TP_KEY_DECIMAL, /* a number with a fraction, from LOW to HIGH; double */
    TP_KEY_TEXT,    /* up to TP_TEXT_MAX bytes of UTF-8 without control characters; char[] */
    TP_KEY_LIST /* a text of names with commas between; in JSON an array of names, too; char[] */
};

struct tp_key {
    const char *name;
    enum tp_key_kind kind;
    const char *standard; /* the default, as text; NULL: none */
    uint64_t low, high;
    const char *const *words; /* ends with NULL */
    const char *help;         /* one line */
    size_t offset, width;     /* of the member for the value */
};

/* OFFSET and WIDTH of a key. */
#define TP_KEY_AT(type, member) offsetof(type, member), sizeof(((type *)0)->member)

/* --- Requests --- */

/* Resources that a job may use. */
struct tp_job_limits {
    unsigned threads; /* 0: one for each CPU */
    uint64_t memory;
    unsigned niceness;
    const char *io; /* "normal" or "idle" */
};

/* Has no allocated memory: it can be assigned, and need not be freed. */
struct tp_request {
    enum tp_verb verb;
    unsigned line;                 /* line of the text, from 1; 0: none */
    char subject[TP_NAME_MAX + 1]; /* the model's name, or the job's id */
    bool by_hub_id;                /* it was named as "org/name" */
    char retry[TP_RETRY_KEY_MAX +
               1];  /* id=KEY: repeated requests with the same key are one job; "" */
    uint32_t given; /* bit I: key I of the verb was given */
    uint32_t set;   /* bit I: key I has a value, given or by default */
    struct tp_job_limits limits;
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
            /* Quantizing: a recipe, or bytes of the pack, and what calibrates it; TARGET "" and
             * TARGET_SIZE 0: the pack is exact. */
            char target[TP_TEXT_MAX + 1], calibration[TP_TEXT_MAX + 1];
            uint64_t target_size, samples;
            unsigned context;
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
            char hardware[TP_TEXT_MAX + 1], candidates[TP_TEXT_MAX + 1];
            char text[TP_TEXT_MAX + 1], calibration[TP_TEXT_MAX + 1];
            double max_ppl_delta, max_latency_ms, max_latency_p99_ms, min_throughput_tps,
                min_compression;
            uint64_t max_memory;
            uint64_t eval_samples;   /* 0: by default */
            unsigned context, batch; /* 0: by default */
            const char *keep, *embeddings;
        } optimize;
    };
};

/* The position of an error in a text: both from 1, or 0 if that does not apply. */
struct tp_request_position {
    unsigned line, column;
    bool conflict; /* set by tp_jobs_submit: the text is valid, but its id= belongs to another
                      request */
};

/*
 * Parse TEXT of LEN bytes. *OUT has *N requests; free it with free(). The directory is not
 * examined. -E2BIG: too long or too many. -EINVAL: a syntax error, an unknown or repeated key, or
 * an invalid subject. -ERANGE: a value is out of bounds. -ENOMEM. POSITION: the position of the
 * error; may be NULL.
 */
int tp_requests_parse(enum tp_verb verb, const char *text, size_t len, struct tp_request **out,
                      size_t *n, struct tp_request_position *position, struct tp_error *err);

/*
 * Make a request from arguments: the name of the model, and N words KEY=VALUE. Errors are the same.
 */
int tp_request_from_words(enum tp_verb verb, const char *model, char *const *words, int n,
                          struct tp_request *out, struct tp_error *err);

/* --- json.c --- */

/*
 * Make a request from a JSON object. VERB: its verb; with TP_VERB_COUNT the member "verb" names it.
 * STRICT: accept only what the schema of the HTTP interface describes. Each value must have JSON's
 * own type (no "4" for 4), texts are shorter, and a name that no model can have is -ENOENT. Verbs
 * that take ids of the hub have "model_id" as another name of "model".
 */
int tp_request_from_json(enum tp_verb verb, const struct tp_json *object, bool strict,
                         struct tp_request *out, struct tp_error *err);
/*
 * Write an object that tp_request_from_json and tp_requests_parse can read: the given values and,
 * with DEFAULTS, the default values.
 */
void tp_request_to_json(const struct tp_request *request, bool defaults,
                        struct tp_json_writer *json, const char *key);

/* --- request.c --- */

/* Whether the key NAME has a value, given or by default. */
bool tp_request_has(const struct tp_request *request, const char *name);
/* Whether both are the same request. A value that only one of them gives is a difference. */
bool tp_request_is_same(const struct tp_request *a, const struct tp_request *b);

#endif
