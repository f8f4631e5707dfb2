/* SPDX-License-Identifier: MIT */
/* Tokenizers made by hand: what each component does, what is refused, decoding in pieces, threads.
 */
#include <config.h>

#include "optimizer/tokenizer/tokenizer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "tests/tap.h"

static struct tp_file_bytes bytes_of(const char *text)
{
    return (struct tp_file_bytes){.data = text, .len = text ? strlen(text) : 0};
}

/* Members of the file besides the model; MODEL: members of the model besides its type. */
static int try_open(const char *members, const char *model, struct tp_tokenizer **out,
                    struct tp_error *err)
{
    struct tp_tokenizer_files files = {0};
    char *text;
    int rc;

    if (asprintf(&text, "{\"version\": \"1.0\", %s \"model\": {\"type\": \"BPE\", %s}}", members,
                 model) < 0)
        bail_out("memory");
    files.tokenizer = bytes_of(text);
    rc = tp_tokenizer_open(&files, out, err);
    free(text);
    return rc;
}

static struct tp_tokenizer *open_or_bail(const char *members, const char *model)
{
    struct tp_tokenizer *t;
    struct tp_error err;

    if (try_open(members, model, &t, &err) < 0)
        bail_out("%s", err.message);
    return t;
}

static char shown[4096];

static const char *show_ids(const uint32_t *ids, size_t n)
{
    size_t at = 0;

    shown[0] = 0;
    for (size_t i = 0; i < n && at + 12 < sizeof shown; i++)
        at += (size_t)snprintf(shown + at, sizeof shown - at, "%s%u", i ? " " : "", ids[i]);
    return shown;
}

static const char *encode_bytes(const struct tp_tokenizer *t, const void *text, size_t len,
                                bool special)
{
    struct tp_ids ids = {0};
    struct tp_error err;

    if (tp_tokenizer_encode(t, text, len, special, NULL, &ids, &err) < 0)
        snprintf(shown, sizeof shown, "%s", err.message);
    else
        show_ids(ids.items, ids.n);
    free(ids.items);
    return shown;
}

static const char *encode(const struct tp_tokenizer *t, const char *text)
{
    return encode_bytes(t, text, strlen(text), false);
}

static const char *decode(const struct tp_tokenizer *t, const uint32_t *ids, size_t n)
{
    struct tp_buffer out = {0};
    struct tp_error err;

    if (tp_tokenizer_decode(t, ids, n, false, &out, &err) < 0)
        bail_out("%s", err.message);
    snprintf(shown, sizeof shown, "%.*s", (int)out.len, out.len ? (char *)out.data : "");
    tp_buffer_clear(&out);
    return shown;
}

#define DECODE(t, ...)                                                                             \
    decode(t, (uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

#define LETTERS "\"a\": 0, \"b\": 1, \"c\": 2, \" \": 3"

static void test_merges(void)
{
    struct tp_tokenizer *t =
        open_or_bail("", "\"vocab\": {" LETTERS ", \"ab\": 4, \"bc\": 5, \"abc\": 6, \"aa\": 7},"
                         "\"merges\": [\"b c\", [\"a\", \"b\"], [\"a\", \"bc\"], \"a a\"]");

    is_str(encode(t, "abc"), "6", "the first merge of the list first");
    is_str(encode(t, "ab"), "4", "both forms of merges");
    is_str(encode(t, "aaa"), "7 0", "the left one of two equal pairs");
    is_str(encode(t, "aaaa aaa"), "7 7 3 7 0", "equal pairs of two words");
    is_str(encode(t, "xaxbcx"), "6", "without a token for it, a character is left out");
    is_str(encode(t, ""), "", "an empty text has no ids");
    is_str(DECODE(t, 6, 3, 0), "abc   a", "without a decoder tokens are separated");
    is_u64(tp_tokenizer_vocab_size(t), 8, "size of the vocabulary");
    is_u64(tp_tokenizer_id(t, "bc", 2), 5, "the id of a name");
    is_u64(tp_tokenizer_id(t, "cb", 2), TP_TOKEN_NONE, "none for another");
    tp_tokenizer_close(t);
}

/* A long word goes through the heap: the same ids as its parts, which a scan merges. */
static void test_long_words(void)
{
    struct tp_tokenizer *t = open_or_bail(
        "", "\"vocab\": {" LETTERS ", \"ab\": 4, \"ba\": 5, \"aa\": 6, \"aaaa\": 7, \"bab\": 8},"
            "\"merges\": [\"b a\", \"a a\", \"aa aa\", \"ba b\", \"a b\"]");
    struct tp_ids ids = {0};
    struct tp_error err;
    char word[100001];
    bool good = true;

    memset(word, 'a', sizeof word - 1);
    is_int(tp_tokenizer_encode(t, word, sizeof word - 1, false, NULL, &ids, &err), 0,
           "100000 letters");
    is_u64(ids.n, 25000, "are merged by fours");
    for (size_t i = 0; i < ids.n; i++)
        good = good && ids.items[i] == 7;
    ok(good, "each of them");
    ids.n = 0;
    for (size_t i = 0; i + 1 < sizeof word; i++)
        word[i] = "bac"[i % 3];
    tp_tokenizer_encode(t, word, 99999, false, NULL, &ids, &err);
    is_u64(ids.n, 2 * 33333, "a word that can be divided");
    good = true;
    for (size_t i = 0; i < ids.n; i++)
        good = good && ids.items[i] == (i % 2 ? 2u : 5u);
    ok(good, "has the merges of its parts");
    free(ids.items);
    tp_tokenizer_close(t);
}

static void test_fallback(void)
{
    struct tp_tokenizer *t = open_or_bail(
        "\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"ByteFallback\"},"
        "{\"type\": \"Fuse\"}]},",
        "\"vocab\": {\"<unk>\": 9, \"<0xC3>\": 10, \"<0xA9>\": 11, " LETTERS "}, \"merges\": [],"
        "\"unk_token\": \"<unk>\", \"byte_fallback\": true, \"fuse_unk\": true");

    is_str(encode(t, "a\xc3\xa9"), "0 10 11", "bytes of a character without a token");
    is_str(encode(t, "xyzaxyz"), "9 0 9", "unknown ones are one where not all bytes have tokens");
    is_str(DECODE(t, 10, 11, 0),
           "\xc3\xa9"
           "a",
           "bytes are a character again");
    is_str(DECODE(t, 10, 0),
           "\xef\xbf\xbd"
           "a",
           "bytes that are no character are U+FFFD");
    is_str(DECODE(t, 10, 11, 10), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
           "one such byte makes all U+FFFD");
    tp_tokenizer_close(t);
    t = open_or_bail("", "\"vocab\": {" LETTERS "}, \"merges\": [], \"unk_token\": \"<unk>\"");
    has(encode(t, "ax"), "unknown", "a token for what is unknown that does not exist");
    tp_tokenizer_close(t);
}

#define BYTE_LEVEL                                                                                 \
    "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false,"                    \
    "\"trim_offsets\": true}, \"decoder\": {\"type\": \"ByteLevel\"},"
/* U+00E9 and U+FFFD as bytes. */
#define BYTES                                                                                      \
    "\"vocab\": {\"a\": 0, \"b\": 1, \"\u0120\": 2, \"\u00c3\": 3, \"\u00a9\": 4, \"\u00ef\": 5,"  \
    "\"\u00bf\": 6, \"\u00bd\": 7, \"\u0120a\": 8, \"\u010a\": 9}, \"merges\": [\"\u0120 a\"]"

static void test_bytes(void)
{
    struct tp_tokenizer *t = open_or_bail(BYTE_LEVEL, BYTES);

    is_str(encode(t, "a a  a\n"), "0 8 2 8 9", "words of GPT-2");
    is_str(encode(t, "\xc3\xa9"), "3 4", "bytes of a character");
    is_str(encode(t, "\xc3"
                     "a\xff\xe2\x82"),
           "5 6 7 0 5 6 7 5 6 7", "U+FFFD for each ill-formed part");
    is_str(DECODE(t, 3, 4, 8), "\xc3\xa9 a", "bytes to text");
    is_str(DECODE(t, 3, 8, 99), "\xef\xbf\xbd a", "U+FFFD for a part of a character");
    tp_tokenizer_close(t);
}

static void test_pieces(void)
{
    struct tp_tokenizer *t = open_or_bail(BYTE_LEVEL, BYTES);
    struct tp_detokenizer *d;
    struct tp_buffer out = {0};
    struct tp_error err;

    is_int(tp_detokenizer_create(t, false, &d, &err), 0, "decoding one id at a time");
    tp_detokenizer_push(d, 3, &out, &err);
    is_u64(out.len, 0, "a part of a character is held");
    tp_detokenizer_push(d, 4, &out, &err);
    is_u64(out.len, 2, "a complete character is given");
    tp_detokenizer_push(d, 3, &out, &err);
    tp_detokenizer_finish(d, &out, &err);
    is_u64(out.len, 5, "at the end what is held is given");
    tp_detokenizer_push(d, 4, &out, &err);
    tp_detokenizer_finish(d, &out, &err);
    is_u64(out.len, 8, "the next text begins anew");
    tp_detokenizer_destroy(d);
    tp_buffer_clear(&out);
    tp_tokenizer_close(t);
}

#define ADDED(content, id, flags) "{\"id\": " id ", \"content\": \"" content "\", " flags "}"
#define PLAIN                                                                                      \
    "\"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false,"         \
    "\"special\": true"
#define LONELY                                                                                     \
    "\"single_word\": true, \"lstrip\": false, \"rstrip\": false, \"normalized\": false,"          \
    "\"special\": false"
#define STRIPS                                                                                     \
    "\"single_word\": false, \"lstrip\": true, \"rstrip\": true, \"normalized\": false,"           \
    "\"special\": false"
#define LOWER                                                                                      \
    "\"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": true,"          \
    "\"special\": false"

static void test_added(void)
{
    struct tp_tokenizer *t = open_or_bail(
        "\"normalizer\": {\"type\": \"Lowercase\"}, \"added_tokens\": "
        "[" ADDED("<s>", "4", PLAIN) "," ADDED("<s>>", "5", PLAIN) "," ADDED(
            "cab", "6", LONELY) "," ADDED("<m>", "7",
                                          STRIPS) "," ADDED("CCC", "8",
                                                            LOWER) "],"
                                                                   "\"post_processor\": "
                                                                   "{\"type\": "
                                                                   "\"TemplateProcessing"
                                                                   "\", \"single\": ["
                                                                   "{\"SpecialToken\": "
                                                                   "{\"id\": \"<s>\", "
                                                                   "\"type_id\": 0}},"
                                                                   "{\"Sequence\": "
                                                                   "{\"id\": \"A\", "
                                                                   "\"type_id\": 0}}], "
                                                                   "\"pair\": [], "
                                                                   "\"special_tokens\":"
                                                                   "{\"<s>\": {\"id\": "
                                                                   "\"<s>\", \"ids\": "
                                                                   "[4], \"tokens\": "
                                                                   "[\"<s>\"]}}},",
        "\"vocab\": {" LETTERS "}, \"merges\": []");
    struct tp_buffer out = {0};
    struct tp_error err;
    uint32_t ids[] = {4, 0, 7, 8};

    is_str(encode(t, "a<s>b"), "0 4 1", "a token in the text");
    is_str(encode(t, "a<s>>b"), "0 5 1", "the longest one");
    is_str(encode(t, "cab cabb cab"), "6 3 2 0 1 1 3 6", "a word by itself");
    is_str(encode(t, "a <m>  b"), "0 7 1", "blanks on both sides");
    is_str(encode(t, "accCa"), "0 8 0", "found after normalization");
    is_str(encode_bytes(t, "a", 1, true), "4 0", "what the post-processor adds");
    is_u64(tp_tokenizer_vocab_size(t), 9, "added tokens count");
    ok(tp_tokenizer_is_special(t, 4) && !tp_tokenizer_is_special(t, 7), "which ones are special");
    tp_tokenizer_decode(t, ids, 4, true, &out, &err);
    is_mem(out.data, "a <m> ccc", 9, "special ones can be skipped");
    tp_buffer_clear(&out);
    tp_tokenizer_close(t);
}

static void test_stripped_spaces(void)
{
    struct tp_tokenizer *t = open_or_bail("\"added_tokens\": [" ADDED("<m>", "4", STRIPS) "," ADDED(
                                              "  ", "5", STRIPS) "," ADDED("   ", "6", PLAIN) "],",
                                          "\"vocab\": {" LETTERS "}, \"merges\": []");

    is_str(encode(t, "a  b"), "0 5 1", "a token of blanks");
    is_str(encode(t, "a<m>  b"), "0 4 1", "nothing is left of one that another stripped");
    is_str(encode(t, "a<m>   b"), "0 4 6 1", "one that does not strip is there nevertheless");
    tp_tokenizer_close(t);
}

static void test_metaspace(void)
{
    static const char vocab[] = "\"vocab\": {\"a\": 0, \"\u2581\": 1, \"\u2581a\": 2, \"b\": 3},"
                                "\"merges\": [\"\u2581 a\"]";
    struct tp_tokenizer *t = open_or_bail(
        "\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"\u2581\","
        "\"prepend_scheme\": \"first\", \"split\": false}, \"decoder\": {\"type\": \"Sequence\","
        "\"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\": \"\u2581\"},"
        "\"content\": \" \"}, {\"type\": \"Fuse\"}, {\"type\": \"Strip\", \"content\": \" \","
        "\"start\": 1, \"stop\": 0}]}, \"added_tokens\": [" ADDED("<x>", "9", PLAIN) "],",
        vocab);

    is_str(encode(t, "a a"), "2 2", "a blank is put before the text");
    is_str(encode(t, " a"), "2", "not where there is one");
    is_str(encode(t, "a<x>a"), "2 4 0", "the first part only");
    is_str(DECODE(t, 2, 2), "a a", "the blank before the text is taken away");
    tp_tokenizer_close(t);
}

#define REPLACED(pattern, content)                                                                 \
    "{\"type\": \"Replace\", \"pattern\": {\"String\": \"" pattern "\"}, \"content\": \"" content  \
    "\"}"
#define STRIPPED "{\"type\": \"Strip\", \"strip_left\": true, \"strip_right\": false}"

/* "first" is what stands for the first character of the text, also after a normalizer. */
static void test_first(void)
{
    static const struct {
        const char *name, *normalizer;
        char text[8];
        size_t len;
        const char *ids;
    } cases[] = {
        {"nothing is stripped", STRIPPED, "ab", 2, "0 1 2"},
        {"a blank is stripped", STRIPPED, " ab", 3, "1 2"},
        {"the first character is deleted", REPLACED("b", ""), "ba", 2, "1"},
        {"another one is deleted", REPLACED("b", ""), "ab", 2, "0 1"},
        {"it is replaced", REPLACED("b", "a"), "ba", 2, "0 1 1"},
        {"two are replaced: the last counts", REPLACED("bb", "a"), "bba", 3, "1 1"},
        {"something is put before what remains",
         "{\"type\": \"Sequence\", \"normalizers\": [" STRIPPED
         ", {\"type\": \"Prepend\", \"prepend\": \"b\"}]}",
         " a", 2, "2 1"},
        {"a token, and the rest of the first character", "{\"type\": \"NFKD\"}",
         "\xc2\xbd"
         "a",
         3, "4 0 6 5 1"},
        {"NUL is replaced", REPLACED("\\u0000", "b"), "\0a\0", 3, "0 2 1 2"},
        {"by NUL", REPLACED("a", "\\u0000b"), "ab", 2, "0 3 2 2"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tp_tokenizer *t;
        char *members;

        if (asprintf(&members,
                     "\"normalizer\": %s, \"pre_tokenizer\": {\"type\": \"Metaspace\", "
                     "\"replacement\": \"\u2581\", \"prepend_scheme\": \"first\", \"split\": true},"
                     "\"added_tokens\": [" ADDED(
                         "1", "4",
                         "\"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                         "\"normalized\": true, \"special\": false") "],",
                     cases[i].normalizer) < 0)
            bail_out("memory");
        t = open_or_bail(members, "\"vocab\": {\"\u2581\": 0, \"a\": 1, \"b\": 2, \"\\u0000\": 3, "
                                  "\"1\": 4, \"2\": 5, \"\u2044\": 6}, \"merges\": []");
        is_str(encode_bytes(t, cases[i].text, cases[i].len, false), cases[i].ids, cases[i].name);
        tp_tokenizer_close(t);
        free(members);
    }
}

/* A member of the file, members of the model, the code, a word of the message. */
static const struct {
    const char *members, *model;
    int code;
    const char *word;
} refused[] = {
    {"", "\"vocab\": [[\"a\", 0.5]], \"merges\": []", -ENOTSUP, "Unigram"},
    {"", "\"vocab\": {\"a\": 0}", -ENOTSUP, "merges"},
    {"\"post_processor\": {\"type\": \"Sequence\", \"processors\": ["
     "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"a\"}}, "
     "{\"Sequence\": {\"id\": \"A\"}}], \"special_tokens\": {\"a\": {\"ids\": [0]}}}, "
     "{\"type\": \"BertProcessing\", \"cls\": [\"a\", 0], \"sep\": [\"a\", 0]}]},",
     "\"vocab\": {\"a\": 0}, \"merges\": []", -ENOTSUP, "BertProcessing after a template"},
    {"", "\"vocab\": {\"a\": 0}, \"merges\": [], \"dropout\": 0.1", -ENOTSUP, "dropout"},
    {"", "\"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []", -EBADMSG, "twice"},
    {"", "\"vocab\": {\"a\": 0, \"a\": 1}, \"merges\": []", -EBADMSG, "twice"},
    {"", "\"vocab\": {\"a\": -1}, \"merges\": []", -EBADMSG, "whole number"},
    {"", "\"vocab\": {\"a\": 4294967296}, \"merges\": []", -EFBIG, "not below"},
    {"", "\"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]", -EBADMSG, "merge 0"},
    {"", "\"vocab\": {\"a\": 0}, \"merges\": [\"a\"]", -EBADMSG, "two tokens"},
    {"", "\"vocab\": {\"a\": 0}, \"merges\": [[\"a\"]]", -EBADMSG, "two"},
    {"", "\"vocab\": {\"a\": 0}, \"merges\": {}", -EBADMSG, "list"},
    {"\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"\"},",
     "\"vocab\": {}, \"merges\": []", -ENOTSUP, "Precompiled"},
    {"\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"(a\"}, \"content\": "
     "\"\"},",
     "\"vocab\": {}, \"merges\": []", -EBADMSG, "without )"},
    {"\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"\\\\p{Klingon}\"},"
     "\"content\": \"\"},",
     "\"vocab\": {}, \"merges\": []", -ENOTSUP, "Klingon"},
    {"\"pre_tokenizer\": {\"type\": \"UnicodeScripts\"},", "\"vocab\": {}, \"merges\": []",
     -ENOTSUP, "UnicodeScripts"},
    {"\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(a)\\\\1\"},"
     "\"behavior\": \"Isolated\", \"invert\": false},",
     "\"vocab\": {}, \"merges\": []", -ENOTSUP, "back reference"},
    {"\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"},"
     "\"behavior\": \"Thrown\", \"invert\": false},",
     "\"vocab\": {}, \"merges\": []", -EBADMSG, "behavior"},
    {"\"decoder\": {\"type\": \"CTC\"},", "\"vocab\": {}, \"merges\": []", -ENOTSUP, "CTC"},
    {"\"post_processor\": {\"kind\": 1},", "\"vocab\": {}, \"merges\": []", -EBADMSG, "type"},
    {"\"added_tokens\": [{\"id\": 1}],", "\"vocab\": {}, \"merges\": []", -EBADMSG, "single_word"},
    {"\"model\": {},", "\"vocab\": {}, \"merges\": []", -EBADMSG, "duplicate"},
};

static void test_refusals(void)
{
    struct tp_tokenizer_files files = {0};
    struct tp_tokenizer *t;
    struct tp_error err;

    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        is_int(try_open(refused[i].members, refused[i].model, &t, &err), refused[i].code,
               refused[i].word);
        has(err.message, refused[i].word, "the message names it");
        ok(!t && !strchr(err.message, '\n'), "the message is one line: %s", err.message);
    }
    is_int(tp_tokenizer_open(&files, &t, &err), -ENOENT, "no file");
    files.tokenizer = bytes_of("{\"model\": {\"type\": \"WordPiece\", \"vocab\": {}}}");
    is_int(tp_tokenizer_open(&files, &t, &err), -ENOTSUP, "another model");
    has(err.message, "WordPiece", "by name");
    files.tokenizer = bytes_of("{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0");
    is_int(tp_tokenizer_open(&files, &t, &err), -EBADMSG, "a file that was cut off");
}

/* Patterns whose search takes too long end. */
static void test_limits(void)
{
    static const char *const patterns[] = {"(a*)*b", "(a|a)*b", "(?:a+)+$|b", "(?:(?:a*)*)*c"};
    char text[5000], members[400];

    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'x';
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct tp_tokenizer *t;

        snprintf(members, sizeof members,
                 "\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"%s\"},"
                 "\"behavior\": \"Isolated\", \"invert\": false},",
                 patterns[i]);
        t = open_or_bail(members, "\"vocab\": {\"a\": 0}, \"merges\": []");
        encode_bytes(t, text, sizeof text, false);
        ok(strstr(shown, "limit") || shown[0] == '0', "'%s' ends", patterns[i]);
        tp_tokenizer_close(t);
    }
}

/* Steps of a file that make much of little: I of them, in JSON. */
static char *many_steps(const char *step, unsigned n)
{
    struct tp_buffer all = {0};

    for (unsigned i = 0; i < n; i++)
        tp_buffer_appendf(&all, "%s%s", i ? "," : "", step);
    tp_buffer_append_u8(&all, 0);
    return (char *)all.data;
}

#define TENFOLD                                                                                    \
    "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, \"content\": \"aaaaaaaaaa\"}"

static void test_growth(void)
{
    static const struct {
        const char *member, *list, *step;
        unsigned n;
        int code;
    } cases[] = {
        {"normalizer", "normalizers", TENFOLD, 30, 0},
        {"decoder", "decoders", TENFOLD, 30, 0},
        {"normalizer", "normalizers", "{\"type\": \"ByteLevel\"}", 30, 0},
        {"pre_tokenizer", "pretokenizers",
         "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}", 5,
         -ENOTSUP},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *steps = many_steps(cases[i].step, cases[i].n), *members;
        struct tp_tokenizer *t = NULL;
        struct tp_buffer out = {0};
        struct tp_ids ids = {0};
        struct tp_error err;

        if (asprintf(&members, "\"%s\": {\"type\": \"Sequence\", \"%s\": [%s]},", cases[i].member,
                     cases[i].list, steps) < 0)
            bail_out("memory");
        is_int(try_open(members, "\"vocab\": {\"a\": 0}, \"merges\": []", &t, &err), cases[i].code,
               cases[i].member);
        if (t && i == 1)
            is_int(tp_tokenizer_decode(t, &(uint32_t){0}, 1, false, &out, &err), -EFBIG,
                   "a decoder ends");
        else if (t)
            is_int(tp_tokenizer_encode(t, "a\xc3\xa9", 3, false, NULL, &ids, &err), -EFBIG,
                   "a normalizer ends");
        tp_tokenizer_close(t);
        tp_buffer_clear(&out);
        free(ids.items);
        free(members);
        free(steps);
    }
    is_int(try_open("\"normalizer\": " TENFOLD ", \"added_tokens\": [" ADDED(
                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                        "aaaaaaaaaa"
                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                        "1", LOWER) "],",
                    "\"vocab\": {\"a\": 0}, \"merges\": []", &(struct tp_tokenizer *){0},
                    &(struct tp_error){0}),
           -EFBIG, "the name of an added token grows too large");
}

static void test_settings(void)
{
    static const char json[] = "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"<s>\": 1, "
                               "\"</s>\": 2, \"<e>\": 3},"
                               "\"merges\": []}}";
    struct tp_tokenizer_files files = {
        .tokenizer = bytes_of(json),
        .tokenizer_config = bytes_of("{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\":"
                                     "\"</s>\", \"add_bos_token\": true}"),
        .generation_config = bytes_of("{\"eos_token_id\": [3, 2, 77]}"),
        .config = bytes_of("{\"bos_token_id\": 0, \"eos_token_id\": 0}"),
    };
    struct tp_tokenizer *t;
    struct tp_error err;
    const uint32_t *eos;
    size_t n;

    if (tp_tokenizer_open(&files, &t, &err) < 0)
        bail_out("%s", err.message);
    is_u64(tp_tokenizer_bos(t), 1, "the beginning, of tokenizer_config.json");
    n = tp_tokenizer_eos(t, &eos);
    is_str(show_ids(eos, n), "3 2", "the ends, of generation_config.json; no id without a token");
    is_str(encode_bytes(t, "a", 1, true), "1 0", "add_bos_token");
    tp_tokenizer_close(t);
    files.generation_config = files.tokenizer_config = bytes_of(NULL);
    if (tp_tokenizer_open(&files, &t, &err) < 0)
        bail_out("%s", err.message);
    is_u64(tp_tokenizer_bos(t), 0, "the beginning, of config.json");
    is_u64(tp_tokenizer_eos(t, &eos), 1, "the end, of config.json");
    is_str(encode_bytes(t, "a", 1, true), "0", "nothing is added");
    tp_tokenizer_close(t);
    files.config = bytes_of("[1]");
    is_int(tp_tokenizer_open(&files, &t, &err), -EBADMSG, "a file that is no object");
    has(err.message, "config.json", "is named");
}

static void *encode_often(void *arg)
{
    struct tp_ids ids = {0};
    struct tp_error err;
    bool good = true;

    for (unsigned i = 0; i < 300 && good; i++) {
        ids.n = 0;
        good = tp_tokenizer_encode(arg, "a a  a\xc3\xa9", 8, false, NULL, &ids, &err) == 0 &&
               ids.n == 6 && ids.items[4] == 3;
    }
    free(ids.items);
    return good ? arg : NULL;
}

static void test_threads(void)
{
    struct tp_tokenizer *t = open_or_bail(BYTE_LEVEL, BYTES);
    pthread_t threads[4];
    bool good = true;
    void *result;

    for (unsigned i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, encode_often, t) != 0)
            bail_out("no thread");
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        good = good && result;
    }
    ok(good, "threads share a tokenizer");
    tp_tokenizer_close(t);
}

int main(void)
{
    test_merges();
    test_long_words();
    test_fallback();
    test_bytes();
    test_pieces();
    test_added();
    test_stripped_spaces();
    test_metaspace();
    test_first();
    test_refusals();
    test_limits();
    test_growth();
    test_settings();
    test_threads();
    return tap_done();
}
