/* SPDX-License-Identifier: MIT */
/* The normalizer and the pre-tokenizer of tokenizer.json, as lists of steps. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "optimizer/tokenizer/tokenizer_impl.h"

#define BYTE_LEVEL_MAX 4 /* steps that can make two bytes of each byte */

/* The words that GPT-2 divides text into. */
#define GPT2_WORDS                                                                                 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
/* As the library: ASCII symbols count as punctuation, and what Unicode 8 has. */
#define PUNCTUATION                                                                                \
    "[!-/:-@\\[-`{-~\\p{P}\\x{166d}\\x{111c9}&&[^"                                                 \
    "\\x{61d}\\x{9fd}\\x{a76}\\x{c77}\\x{c84}\\x{1b4e}-\\x{1b4f}\\x{1b7d}-\\x{1b7f}"               \
    "\\x{2e43}-\\x{2e4f}\\x{2e52}-\\x{2e5d}\\x{10d6e}\\x{10ead}\\x{10f55}-\\x{10f59}"              \
    "\\x{10f86}-\\x{10f89}\\x{113d4}-\\x{113d5}\\x{113d7}-\\x{113d8}\\x{1144b}-\\x{1144f}"         \
    "\\x{1145a}-\\x{1145b}\\x{1145d}\\x{11660}-\\x{1166c}\\x{116b9}\\x{1183b}"                     \
    "\\x{11944}-\\x{11946}\\x{119e2}\\x{11a3f}-\\x{11a46}\\x{11a9a}-\\x{11a9c}"                    \
    "\\x{11a9e}-\\x{11aa2}\\x{11b00}-\\x{11b09}\\x{11be1}\\x{11c41}-\\x{11c45}"                    \
    "\\x{11c70}-\\x{11c71}\\x{11ef7}-\\x{11ef8}\\x{11f43}-\\x{11f4f}\\x{11fff}"                    \
    "\\x{12ff1}-\\x{12ff2}\\x{16d6d}-\\x{16d6f}\\x{16e97}-\\x{16e9a}\\x{16fe2}"                    \
    "\\x{1e5ff}\\x{1e95e}-\\x{1e95f}"                                                              \
    "]]"
/* Rust's \w has what joins characters, Oniguruma's has not. */
#define RUST_WORD "\\w\\x{200c}\\x{200d}"

static int too_many(const char *component, struct tp_error *err)
{
    return tp_fail(err, ENOTSUP, "the %s has more than %d steps", component, TP_STEPS_MAX);
}

/* --- Normalizers --- */

static int add_normal(struct tp_tokenizer *t, enum tp_normal_kind kind, struct tp_normal_step **out,
                      struct tp_error *err)
{
    struct tp_normal_step *step = &t->normal[t->normal_n];

    if (out)
        *out = step;
    if (t->normal_n == TP_STEPS_MAX)
        return too_many("normalizer", err);
    t->normal_n++;
    *step = (struct tp_normal_step){.kind = kind};
    return 0;
}

static int add_form(struct tp_tokenizer *t, enum tp_normal_form form, struct tp_error *err)
{
    struct tp_normal_step *step;
    int rc = add_normal(t, TP_NORMAL_FORM, &step, err);

    if (rc == 0)
        step->form = form;
    return rc;
}

static int read_bert(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    bool clean, chinese, lowercase, accents;
    int rc = tp_read_bool(json, "clean_text", -1, &clean, err);

    if (rc == 0)
        rc = tp_read_bool(json, "handle_chinese_chars", -1, &chinese, err);
    if (rc == 0)
        rc = tp_read_bool(json, "lowercase", -1, &lowercase, err);
    if (rc == 0)
        rc = tp_read_bool(json, "strip_accents", lowercase, &accents, err);
    if (rc == 0 && clean)
        rc = add_normal(t, TP_NORMAL_CLEAN, NULL, err);
    if (rc == 0 && chinese)
        rc = add_normal(t, TP_NORMAL_CHINESE, NULL, err);
    if (rc == 0 && accents)
        rc = add_form(t, TP_NFD, err);
    if (rc == 0 && accents)
        rc = add_normal(t, TP_NORMAL_STRIP_NONSPACING_MARKS, NULL, err);
    if (rc == 0 && lowercase)
        rc = add_normal(t, TP_NORMAL_LOWERCASE, NULL, err);
    return rc;
}

/* The normalizers that have no values. */
static const struct {
    const char *type;
    enum tp_normal_kind kind;
    enum tp_normal_form form;
} plain_normals[] = {
    {"NFC", TP_NORMAL_FORM, TP_NFC},
    {"NFD", TP_NORMAL_FORM, TP_NFD},
    {"NFKC", TP_NORMAL_FORM, TP_NFKC},
    {"NFKD", TP_NORMAL_FORM, TP_NFKD},
    {"Lowercase", TP_NORMAL_LOWERCASE, 0},
    {"StripAccents", TP_NORMAL_STRIP_MARKS, 0},
    {"Nmt", TP_NORMAL_NMT, 0},
    {"ByteLevel", TP_NORMAL_BYTES, 0},
};

static int read_one_normalizer(struct tp_tokenizer *t, const struct tp_json *json, const char *type,
                               struct tp_error *err)
{
    struct tp_normal_step *step;
    int rc;

    for (size_t i = 0; i < sizeof plain_normals / sizeof *plain_normals; i++) {
        if (strcmp(type, plain_normals[i].type) != 0)
            continue;
        rc = add_normal(t, plain_normals[i].kind, &step, err);
        if (rc == 0)
            step->form = plain_normals[i].form;
        return rc;
    }
    if (strcmp(type, "BertNormalizer") == 0 || strcmp(type, "Bert") == 0)
        return read_bert(t, json, err);
    if (strcmp(type, "Prepend") == 0) {
        rc = add_normal(t, TP_NORMAL_PREPEND, &step, err);
        return rc < 0 ? rc : tp_read_name(json, "prepend", &step->content, err);
    }
    if (strcmp(type, "Replace") == 0) {
        rc = add_normal(t, TP_NORMAL_REPLACE, &step, err);
        if (rc == 0)
            rc = tp_read_pattern(json, "pattern", &step->regex, err);
        return rc < 0 ? rc : tp_read_name(json, "content", &step->content, err);
    }
    if (strcmp(type, "Strip") == 0) {
        rc = add_normal(t, TP_NORMAL_STRIP, &step, err);
        if (rc == 0)
            rc = tp_read_bool(json, "strip_left", -1, &step->left, err);
        return rc < 0 ? rc : tp_read_bool(json, "strip_right", -1, &step->right, err);
    }
    return tp_read_unknown("normalizer", type, err);
}

int tp_read_normalizer(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    static const struct tp_component normalizer = {"normalizer", "normalizers",
                                                   read_one_normalizer};

    return tp_read_component(t, json, &normalizer, err);
}

/* --- Pre-tokenizers --- */

static int add_split(struct tp_tokenizer *t, enum tp_split_kind kind, struct tp_split_step **out,
                     struct tp_error *err)
{
    struct tp_split_step *step = &t->split[t->split_n];

    if (out)
        *out = step;
    if (t->split_n == TP_STEPS_MAX)
        return too_many("pre-tokenizer", err);
    t->split_n++;
    *step = (struct tp_split_step){.kind = kind};
    return 0;
}

static int add_pattern(struct tp_tokenizer *t, const char *pattern, size_t len, bool literal,
                       enum tp_split_behavior behavior, bool invert, struct tp_error *err)
{
    struct tp_split_step *step;
    int rc = add_split(t, TP_SPLIT_PATTERN, &step, err);

    if (rc < 0)
        return rc;
    step->behavior = behavior;
    step->invert = invert;
    return tp_regex_compile(pattern, len, literal, &step->regex, err);
}

static int add_regex(struct tp_tokenizer *t, const char *regex, enum tp_split_behavior behavior,
                     bool invert, struct tp_error *err)
{
    return add_pattern(t, regex, strlen(regex), false, behavior, invert, err);
}

static int read_behavior(const struct tp_json *json, enum tp_split_behavior *out,
                         struct tp_error *err)
{
    static const char *const names[] = {"Removed", "Isolated", "Contiguous", "MergedWithPrevious",
                                        "MergedWithNext"};
    const char *name = tp_json_string(tp_json_get(json, "behavior"));

    for (unsigned i = 0; name && i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum tp_split_behavior)i;
            return 0;
        }
    }
    return tp_fail(err, EBADMSG, "\"behavior\" is none that exists");
}

static int read_byte_level(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    bool prefix, words;
    unsigned n = 0;
    int rc = tp_read_bool(json, "add_prefix_space", -1, &prefix, err);

    if (rc == 0)
        rc = tp_read_bool(json, "use_regex", 1, &words, err);
    if (rc == 0 && prefix)
        rc = add_split(t, TP_SPLIT_SPACE, NULL, err);
    for (unsigned i = 0; i < t->split_n; i++)
        n += t->split[i].kind == TP_SPLIT_BYTES;
    if (rc == 0 && n == BYTE_LEVEL_MAX)
        rc = tp_fail(err, ENOTSUP, "more than %d pre-tokenizers 'ByteLevel' are not supported",
                     BYTE_LEVEL_MAX);
    if (rc == 0 && words)
        rc = add_regex(t, GPT2_WORDS, TP_SPLIT_ISOLATED, false, err);
    return rc < 0 ? rc : add_split(t, TP_SPLIT_BYTES, NULL, err);
}

/* "prepend_scheme", or "add_prefix_space" in older files. */
static int read_prepend(const struct tp_json *json, enum tp_prepend *out, struct tp_error *err)
{
    static const char *const names[] = {"always", "first", "never"};
    const struct tp_json *value = tp_json_get(json, "prepend_scheme");
    const char *name = tp_json_string(value);
    bool space = true;
    int rc = tp_read_bool(json, "add_prefix_space", 1, &space, err);

    if (rc < 0)
        return rc;
    *out = TP_PREPEND_ALWAYS;
    for (unsigned i = 0; name && i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum tp_prepend)i;
            value = NULL;
        }
    }
    if (value || (!space && *out != TP_PREPEND_NEVER))
        return tp_fail(err, EBADMSG,
                       "\"prepend_scheme\" is none that exists, or contradicts "
                       "\"add_prefix_space\"");
    return 0;
}

static int read_metaspace(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    struct tp_split_step *step;
    bool split = true;
    int rc = add_split(t, TP_SPLIT_META, &step, err);

    if (rc == 0)
        rc = tp_read_char(json, "replacement", &step->meta, err);
    if (rc == 0)
        rc = read_prepend(json, &step->prepend, err);
    if (rc == 0)
        rc = tp_read_bool(json, "split", 1, &split, err);
    if (rc == 0 && split)
        rc = add_pattern(t, step->meta.text, step->meta.len, true, TP_SPLIT_MERGED_WITH_NEXT, false,
                         err);
    return rc;
}

static int read_split(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    struct tp_split_step *step;
    int rc = add_split(t, TP_SPLIT_PATTERN, &step, err);

    if (rc == 0)
        rc = tp_read_pattern(json, "pattern", &step->regex, err);
    if (rc == 0)
        rc = read_behavior(json, &step->behavior, err);
    return rc < 0 ? rc : tp_read_bool(json, "invert", -1, &step->invert, err);
}

static int read_delimiter(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    struct tp_name delimiter = {0};
    int rc = tp_read_char(json, "delimiter", &delimiter, err);

    if (rc == 0)
        rc = add_pattern(t, delimiter.text, delimiter.len, true, TP_SPLIT_REMOVED, false, err);
    free(delimiter.text);
    return rc;
}

static int read_punctuation(struct tp_tokenizer *t, const struct tp_json *json,
                            struct tp_error *err)
{
    enum tp_split_behavior behavior = TP_SPLIT_ISOLATED;
    int rc = tp_json_get(json, "behavior") ? read_behavior(json, &behavior, err) : 0;

    return rc < 0 ? rc : add_regex(t, PUNCTUATION, behavior, false, err);
}

static int read_digits(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    bool individual;
    int rc = tp_read_bool(json, "individual_digits", -1, &individual, err);

    return rc < 0 ? rc
                  : add_regex(t, "\\p{N}", individual ? TP_SPLIT_ISOLATED : TP_SPLIT_CONTIGUOUS,
                              false, err);
}

static int read_one_splitter(struct tp_tokenizer *t, const struct tp_json *json, const char *type,
                             struct tp_error *err)
{
    int rc;

    if (strcmp(type, "ByteLevel") == 0)
        return read_byte_level(t, json, err);
    if (strcmp(type, "Metaspace") == 0)
        return read_metaspace(t, json, err);
    if (strcmp(type, "Split") == 0)
        return read_split(t, json, err);
    if (strcmp(type, "Digits") == 0)
        return read_digits(t, json, err);
    if (strcmp(type, "Punctuation") == 0)
        return read_punctuation(t, json, err);
    if (strcmp(type, "CharDelimiterSplit") == 0)
        return read_delimiter(t, json, err);
    if (strcmp(type, "Whitespace") == 0)
        return add_regex(t, "[" RUST_WORD "]+|[^" RUST_WORD "\\s]+", TP_SPLIT_REMOVED, true, err);
    if (strcmp(type, "WhitespaceSplit") == 0)
        return add_regex(t, "\\s", TP_SPLIT_REMOVED, false, err);
    if (strcmp(type, "BertPreTokenizer") == 0) {
        rc = add_regex(t, "\\s", TP_SPLIT_REMOVED, false, err);
        return rc < 0 ? rc : add_regex(t, PUNCTUATION, TP_SPLIT_ISOLATED, false, err);
    }
    return tp_read_unknown("pre-tokenizer", type, err);
}

int tp_read_splitter(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    static const struct tp_component splitter = {"pre-tokenizer", "pretokenizers",
                                                 read_one_splitter};

    return tp_read_component(t, json, &splitter, err);
}
