/* SPDX-License-Identifier: MIT */
/*
 * A tokenizer in memory. Each component of tokenizer.json is a list of steps: sequences are
 * flattened, and components that do several things are several steps.
 */
#ifndef TP_OPTIMIZER_TOKENIZER_TOKENIZER_IMPL_H
#define TP_OPTIMIZER_TOKENIZER_TOKENIZER_IMPL_H

#include <pthread.h>

#include "optimizer/tokenizer/added.h"
#include "optimizer/tokenizer/bpe.h"
#include "optimizer/tokenizer/regex.h"
#include "optimizer/tokenizer/tokenizer.h"
#include "optimizer/tokenizer/unicode.h"

#define TP_STEPS_MAX 32 /* of one component */

struct tp_json;

/* A string of the file; TEXT is never NULL where one is needed. */
struct tp_name {
    char *text;
    size_t len;
};

enum tp_normal_kind {
    TP_NORMAL_FORM,
    TP_NORMAL_PREPEND,
    TP_NORMAL_REPLACE,
    TP_NORMAL_LOWERCASE,
    TP_NORMAL_STRIP,
    TP_NORMAL_STRIP_MARKS,            /* all of them */
    TP_NORMAL_STRIP_NONSPACING_MARKS, /* after NFD, as BERT does it */
    TP_NORMAL_NMT,
    TP_NORMAL_CLEAN,   /* BERT: no control characters, any white space is ' ' */
    TP_NORMAL_CHINESE, /* BERT: blanks around Chinese characters */
    TP_NORMAL_BYTES,   /* bytes to GPT-2's alphabet */
};

struct tp_normal_step {
    enum tp_normal_kind kind;
    enum tp_normal_form form;
    bool left, right;       /* STRIP */
    struct tp_name content; /* PREPEND, REPLACE */
    struct tp_regex *regex; /* REPLACE */
};

enum tp_split_kind {
    TP_SPLIT_PATTERN,
    TP_SPLIT_META,  /* ' ' to another character, which is also put before the text */
    TP_SPLIT_SPACE, /* a ' ' before text that does not begin with one */
    TP_SPLIT_BYTES, /* bytes to GPT-2's alphabet */
};

/* What becomes of the matches. */
enum tp_split_behavior {
    TP_SPLIT_REMOVED,
    TP_SPLIT_ISOLATED,
    TP_SPLIT_CONTIGUOUS,
    TP_SPLIT_MERGED_WITH_PREVIOUS,
    TP_SPLIT_MERGED_WITH_NEXT,
};

enum tp_prepend {
    TP_PREPEND_ALWAYS,
    TP_PREPEND_FIRST, /* before what stands for the first character of the whole text */
    TP_PREPEND_NEVER,
};

struct tp_split_step {
    enum tp_split_kind kind;
    struct tp_regex *regex; /* PATTERN */
    enum tp_split_behavior behavior;
    bool invert;         /* what is not matched counts as match */
    struct tp_name meta; /* META: the character */
    enum tp_prepend prepend;
};

enum tp_decode_kind {
    TP_DECODE_BYTES,    /* all tokens from GPT-2's alphabet to bytes, as one */
    TP_DECODE_FALLBACK, /* tokens "<0x..>" to bytes */
    TP_DECODE_FUSE,
    TP_DECODE_REPLACE,
    TP_DECODE_STRIP,
    TP_DECODE_META,
    TP_DECODE_SUFFIX,
};

struct tp_decode_step {
    enum tp_decode_kind kind;
    struct tp_regex *regex; /* REPLACE, SUFFIX */
    struct tp_name content; /* REPLACE, STRIP, META: a character */
    size_t start, stop;     /* STRIP: how many at most */
    bool keeps_first;       /* META: also at the beginning it becomes a blank */
};

struct tp_tokenizer {
    struct tp_bpe bpe;
    struct tp_added added;

    struct tp_normal_step normal[TP_STEPS_MAX];
    unsigned normal_n;
    /*
     * Whether the text can be normalized in pieces, and where: before these characters, which no
     * step changes or looks at together with others.
     */
    bool cut_ascii[128];
    bool cut_chinese;

    struct tp_split_step split[TP_STEPS_MAX];
    unsigned split_n;
    unsigned split_first; /* the steps before it only change the text: as it comes */
    bool windowed;        /* the text can be divided before all of it is there */

    struct tp_decode_step decode[TP_STEPS_MAX];
    unsigned decode_n;
    bool has_decoder; /* otherwise tokens are separated by blanks */

    struct tp_ids before, after; /* what the post-processor adds */
    bool has_processor;
    bool templated; /* a template added ids, which the library then takes for further texts */

    uint32_t bos;
    struct tp_ids eos;

    /* A list of encoders that no thread uses now. */
    pthread_mutex_t lock;
    struct tp_encoder *idle;
};

/* --- components.c: the components of tokenizer.json; NULL or null is none --- */

int tp_read_normalizer(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err);
int tp_read_splitter(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err);

/* --- components_out.c --- */

int tp_read_decoder(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err);
int tp_read_processor(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err);

/* --- values.c: values of the components --- */

#define TP_SEQUENCE_DEPTH_MAX 8 /* sequences within each other */

struct tp_component {
    const char *name; /* "normalizer" and the like */
    const char *list; /* the members of a sequence */
    int (*read_one)(struct tp_tokenizer *t, const struct tp_json *json, const char *type,
                    struct tp_error *err);
};

/* Read one of this kind, or all of a sequence; JSON may be NULL or null. */
int tp_read_component(struct tp_tokenizer *t, const struct tp_json *json,
                      const struct tp_component *component, struct tp_error *err);
int tp_read_unknown(const char *component, const char *type, struct tp_error *err);
int tp_read_name(const struct tp_json *json, const char *key, struct tp_name *out,
                 struct tp_error *err);
/* A string of one character. */
int tp_read_char(const struct tp_json *json, const char *key, struct tp_name *out,
                 struct tp_error *err);
/* A missing key is FALLBACK: 0 or 1; -1: it is an error. */
int tp_read_bool(const struct tp_json *json, const char *key, int fallback, bool *out,
                 struct tp_error *err);
int tp_read_count(const struct tp_json *json, const char *key, size_t *out, struct tp_error *err);
/* {"String": ...} or {"Regex": ...} */
int tp_read_pattern(const struct tp_json *json, const char *key, struct tp_regex **out,
                    struct tp_error *err);

/* --- tokenizer.c --- */

/*
 * Add a token, under its id in the vocabulary or the next free one. Its name belongs to the
 * tokenizer, also after an error.
 */
int tp_tokenizer_add(struct tp_tokenizer *t, struct tp_added_token token, uint32_t *next_id,
                     struct tp_error *err);

/* --- settings.c: the other files --- */

int tp_read_settings(struct tp_tokenizer *t, const struct tp_tokenizer_files *files,
                     struct tp_error *err);

/* --- normalize.c --- */

/*
 * Normalize valid text. FIRST, LAST: whether it is the first and the last piece. The result is in
 * one of the two buffers, *OUT. *BEGIN: how many bytes at the beginning stand for the first
 * character of the whole text, before and after; may be NULL. -EFBIG: it is far larger than the
 * text.
 */
int tp_normalize(const struct tp_tokenizer *t, struct tp_matcher *matcher, const char *text,
                 size_t len, bool first, bool last, struct tp_buffer buffers[2],
                 struct tp_buffer **out, size_t *begin, struct tp_error *err);
/* Find out where text can be cut; after the normalizer and the added tokens are there. */
void tp_normalize_prepare(struct tp_tokenizer *t);
/* The last place in TEXT where it can be cut, or 0. */
size_t tp_normalize_cut(const struct tp_tokenizer *t, const char *text, size_t len);
/* Append bytes in GPT-2's alphabet. */
int tp_append_alphabet(struct tp_buffer *out, const char *bytes, size_t len);
/* Append LEN bytes of valid TEXT with every match replaced. -EFBIG: OUT gets more than MOST bytes.
 */
int tp_replace_all(const struct tp_regex *regex, struct tp_matcher *matcher, const char *text,
                   size_t len, const struct tp_name *content, size_t most, struct tp_buffer *out,
                   struct tp_error *err);

/* What one thread encodes with. */
struct tp_encoder {
    struct tp_encoder *next;
    struct tp_matcher *matcher;
    struct tp_bpe_work *work;
    struct tp_buffer normal[2], valid, window;
    struct tp_buffer steps[TP_STEPS_MAX];
    struct tp_ids *out;
    const struct tp_progress *progress;
    size_t text_len;   /* the whole text */
    size_t at, len;    /* of the text, the piece that is encoded now */
    size_t words;      /* bytes of the words of that piece, so far */
    size_t unreported; /* of them and of those before it, bytes since the last report */
    size_t wanted;     /* bytes of the window at which dividing it is worth the time */
    bool started;      /* the window, or what was dropped from it, has text of this part */
    size_t begin;   /* bytes of the window that stand for the first character of the whole text */
    bool continued; /* a part of the word at the beginning of the window is encoded */
};

/* --- encode.c --- */

/* One for the calling thread; NULL: out of memory. */
struct tp_encoder *tp_encoder_get(const struct tp_tokenizer *t, struct tp_error *err);
/* BYTES of words are encoded: now and then, report it. -ECANCELED. */
int tp_encoder_advance(struct tp_encoder *e, size_t bytes, struct tp_error *err);
void tp_encoder_put(const struct tp_tokenizer *t, struct tp_encoder *e);
void tp_encoders_destroy(struct tp_encoder *list);

/* --- split.c: words --- */

/* After the pre-tokenizer is there. */
void tp_split_prepare(struct tp_tokenizer *t);
/* Text for the splitter; LAST: the part ends here. The text may be kept until then. */
int tp_split_push(const struct tp_tokenizer *t, struct tp_encoder *e, const char *text, size_t len,
                  bool last, struct tp_error *err);

#endif
