/* SPDX-License-Identifier: MIT */
/*
 * Requests: words and JSON mean the same, every value is checked, errors have a position, and
 * random input is refused.
 */
#include <config.h>

#include <errno.h>

#include "codec/codec.h"
#include "control/request/request.h"
#include "control/verb/verb.h"
#include "tests/tap.h"

static uint64_t seed;

static char *json_of(const struct tp_request *request)
{
    struct tp_buffer text = {0};
    struct tp_json_writer json;

    tp_json_writer_init(&json, &text, false);
    tp_request_to_json(request, true, &json, NULL);
    if (tp_json_writer_finish(&json) < 0 || tp_buffer_append(&text, "", 1) < 0)
        bail_out("memory");
    return (char *)text.data;
}

/* TEXT is one good request, which is WANT as JSON, there and back. */
static void is_request(enum tp_verb verb, const char *text, const char *want)
{
    struct tp_request *list, back;
    struct tp_request_position position;
    struct tp_error err = {0};
    struct tp_json *tree = NULL;
    size_t n;
    int rc = tp_requests_parse(verb, text, strlen(text), &list, &n, &position, &err);
    char *json, *again;

    if (!ok(rc == 0 && n == 1, "%.*s", (int)strcspn(text, "\n"), text)) {
        diag("%d at %u:%u: %s", rc, position.line, position.column, err.message);
        return;
    }
    json = json_of(&list[0]);
    is_str(json, want, "its values");
    if (tp_json_parse(json, strlen(json), &tree, &err) < 0 ||
        tp_request_from_json(TP_VERB_COUNT, tree, false, &back, &err) < 0) {
        ok(false, "it is read back: %s", err.message);
    } else {
        again = json_of(&back);
        is_str(again, json, "it is the same when it is read back");
        free(again);
    }
    tp_json_free(tree);
    free(json);
    free(list);
}

#define DEFAULTS "\"memory\": 4294967296, \"nice\": 10, \"io\": \"normal\"}"
#define COMPRESS(model, before, after)                                                             \
    "{\"verb\": \"compress\", \"model\": \"" model "\", " before                                   \
    "\"codec\": \"auto\", \"zstd_level\": 3, " after "\"lease\": true, " DEFAULTS

#define OPTIMIZE(model, hardware, limits, text)                                                    \
    "{\"verb\": \"optimize\", \"model\": \"" model "\", " hardware limits text                     \
    "\"calibration\": \"calibration\", \"batch\": 1, \"keep\": \"winner\", \"embeddings\": "       \
    "\"keep\", " DEFAULTS

static void test_forms(void)
{
    is_request(TP_VERB_COMPRESS, "m", COMPRESS("m", "\"base\": \"auto\", ", "\"keep\": false, "));
    is_request(TP_VERB_COMPRESS, "  m\tbase=b  keep=yes \r\n\n",
               COMPRESS("m", "\"base\": \"b\", ", "\"keep\": true, "));
    is_request(TP_VERB_COMPRESS, "'a b' base=\"c d\" keep=no",
               COMPRESS("a b", "\"base\": \"c d\", ", "\"keep\": false, "));
    is_request(TP_VERB_COMPRESS, "a\\ b 'base'=c\\'d",
               COMPRESS("a b", "\"base\": \"c'd\", ", "\"keep\": false, "));
    is_request(TP_VERB_COMPRESS, "\"a\\\"b\\$c\\d\"",
               COMPRESS("a\\\"b$c\\\\d", "\"base\": \"auto\", ", "\"keep\": false, "));
    is_request(TP_VERB_COMPRESS, "{\"model\": \"m\", \"keep\": true, \"base\": \"b\"}",
               COMPRESS("m", "\"base\": \"b\", ", "\"keep\": true, "));
    is_request(TP_VERB_COMPRESS,
               "{\n  \"model\": \"m\",\n  \"keep\": \"yes\",\n  \"base\": null\n}\n",
               COMPRESS("m", "\"base\": \"auto\", ", "\"keep\": true, "));
    is_request(
        TP_VERB_COMPRESS, "m id=k-1",
        "{\"verb\": \"compress\", \"model\": \"m\", \"id\": \"k-1\", \"base\": \"auto\", "
        "\"codec\": \"auto\", \"zstd_level\": 3, \"keep\": false, \"lease\": true, " DEFAULTS);
    is_request(TP_VERB_VERIFY, "all memory=1.5GiB nice=0 io=idle threads=3",
               "{\"verb\": \"verify\", \"model\": \"all\", \"threads\": 3, \"memory\": 1610612736, "
               "\"nice\": 0, \"io\": \"idle\"}");
    is_request(TP_VERB_VERIFY,
               "{\"verb\": \"verify\", \"model\": \"m\", \"memory\": 1073741824, \"threads\": 2}",
               "{\"verb\": \"verify\", \"model\": \"m\", \"threads\": 2, \"memory\": 1073741824, "
               "\"nice\": 10, \"io\": \"normal\"}");
    is_request(TP_VERB_OPTIMIZE, "m max_ppl_delta=9.25 min_compression=0.5",
               OPTIMIZE("m", "\"hardware\": \"local\", ",
                        "\"max_ppl_delta\": 9.25, \"min_compression\": 0.5, ",
                        "\"text\": \"evaluation\", "));
    is_request(TP_VERB_OPTIMIZE,
               "{\"model\": \"m\", \"max_latency_ms\": 5e-1, \"text\": \"w \\u00e9\", "
               "\"hardware\": \"t4\"}",
               OPTIMIZE("m", "\"hardware\": \"t4\", ", "\"max_latency_ms\": 0.5, ",
                        "\"text\": \"w \xc3\xa9\", "));
    is_request(TP_VERB_OPTIMIZE,
               "{\"model\": \"m\", \"candidates\": [\"fp16\", \"awq\\u005fg128\"]}",
               OPTIMIZE("m", "\"hardware\": \"local\", ", "\"candidates\": \"fp16,awq_g128\", ",
                        "\"text\": \"evaluation\", "));
    is_request(TP_VERB_EVALUATE, "a/b reference=org/Name-1.5B",
               "{\"verb\": \"evaluate\", \"model\": \"models--a--b\", \"text\": \"evaluation\", "
               "\"reference\": \"models--org--Name-1.5B\", \"add_bos\": \"auto\", \"dtype\": "
               "\"fp32\", \"batch\": 1, \"prompt_tokens\": 128, \"new_tokens\": 64, " DEFAULTS);
    is_request(TP_VERB_OPTIMIZE, "org/Name-1.5B",
               OPTIMIZE("models--org--Name-1.5B", "\"hardware\": \"local\", ", "",
                        "\"text\": \"evaluation\", "));
    is_request(TP_VERB_CANCEL, "20260203-040506-1",
               "{\"verb\": \"cancel\", \"job_id\": \"20260203-040506-1\"}");
}

/* What is refused: errno, place, a part of the message. */
static const struct {
    enum tp_verb verb;
    const char *text;
    int rc;
    unsigned line, column;
    const char *message;
} wrong[] = {
    {TP_VERB_COMPRESS, "", -EINVAL, 1, 1, "no command"},
    {TP_VERB_COMPRESS, " \n\n", -EINVAL, 3, 1, "no command"},
    {TP_VERB_COMPRESS, "''", -EINVAL, 1, 1, "the model is not named"},
    {TP_VERB_COMPRESS, "../m", -EINVAL, 1, 1, "not a valid name of a model"},
    {TP_VERB_COMPRESS, "/etc", -EINVAL, 1, 1, "not a valid name of a model"},
    {TP_VERB_COMPRESS, "a/b", -EINVAL, 1, 1, "not a valid name of a model"},
    {TP_VERB_COMPRESS, "..", -EINVAL, 1, 1, "not a valid name of a model"},
    {TP_VERB_COMPRESS, ".tenpak", -EINVAL, 1, 1, "not a valid name of a model"},
    {TP_VERB_COMPRESS, "m\x01", -EINVAL, 1, 1, "not a valid name of a model"},
    {TP_VERB_COMPRESS, "m\xff", -EINVAL, 1, 1, "not a valid name of a model"},
    {TP_VERB_COMPRESS, "m base=../b", -EINVAL, 1, 3, "'base' must be the name of a model"},
    {TP_VERB_COMPRESS, "m base=.b", -EINVAL, 1, 3, "'base' must be the name of a model"},
    {TP_VERB_COMPRESS, "m base=", -EINVAL, 1, 3, "'base' has no value"},
    {TP_VERB_COMPRESS, "m bas=b", -EINVAL, 1, 3, "no key 'bas'"},
    {TP_VERB_COMPRESS, "m keep=yes keep=yes", -EINVAL, 1, 12, "given twice"},
    {TP_VERB_COMPRESS, "m keep=perhaps", -EINVAL, 1, 3, "yes or no"},
    {TP_VERB_COMPRESS, "m codec=lz4", -EINVAL, 1, 3, "one of auto, delta"},
    {TP_VERB_COMPRESS, "m zstd_level=20", -ERANGE, 1, 3, "'zstd_level' must be from 1 to 19"},
    {TP_VERB_COMPRESS, "m zstd_level=-1", -ERANGE, 1, 3, "'zstd_level' must be from 1 to 19"},
    {TP_VERB_COMPRESS, "m zstd_level=99999999999999999999999", -ERANGE, 1, 3, "'zstd_level'"},
    {TP_VERB_COMPRESS, "m zstd_level=3x", -EINVAL, 1, 3, "whole number"},
    {TP_VERB_COMPRESS, "m memory=1M", -ERANGE, 1, 3, "'memory' must be from"},
    {TP_VERB_COMPRESS, "m memory=much", -EINVAL, 1, 3, "'memory' must be a size"},
    {TP_VERB_COMPRESS, "m nice=-5", -ERANGE, 1, 3, "'nice'"},
    {TP_VERB_COMPRESS, "m other", -EINVAL, 1, 3, "KEY=VALUE"},
    {TP_VERB_COMPRESS, "m =x", -EINVAL, 1, 3, "KEY=VALUE"},
    {TP_VERB_COMPRESS, "m 'base=b'", -EINVAL, 1, 3, "KEY=VALUE"},
    {TP_VERB_COMPRESS, "m base='b", -EINVAL, 1, 8, "quote is not closed"},
    {TP_VERB_COMPRESS, "m base=\"b\nn", -EINVAL, 1, 8, "quote is not closed"},
    {TP_VERB_COMPRESS, "m base=b\\", -EINVAL, 1, 9, "backslash"},
    {TP_VERB_COMPRESS, "a\nb\n\xc3\xa9\xc3\xa9 x=1", -EINVAL, 3, 4, "no key 'x'"},
    {TP_VERB_COMPRESS, "{\"model\": \"m\"} x", -EINVAL, 1, 16, "unexpected text after the object"},
    {TP_VERB_COMPRESS, "{\"model\": \"m\", \"keep\": [1]}", -EINVAL, 1, 16,
     "must be true or false"},
    {TP_VERB_COMPRESS, "{\"model\": \"m\", \"keep\": 1}", -EINVAL, 1, 16, "true or false"},
    {TP_VERB_COMPRESS, "{\"model\": \"m\", \"memory\": true}", -EINVAL, 1, 16, "whole number"},
    {TP_VERB_COMPRESS, "{\"model\": 1}", -EINVAL, 1, 2, "'model' must be a name"},
    {TP_VERB_COMPRESS, "{\"model\": \"m\", \"model\": \"n\"}", -EINVAL, 1, 16, "named twice"},
    {TP_VERB_COMPRESS, "{\"base\": \"m\"}", -EINVAL, 1, 1, "the model is not named"},
    {TP_VERB_COMPRESS, "{\"model\": \"m\", \"base\": \"a\\u0000b\"}", -EINVAL, 1, 16, "'base'"},
    {TP_VERB_COMPRESS, "{\"model\": \"m\", \"verb\": \"restore\"}", -EINVAL, 1, 16, "'verb'"},
    {TP_VERB_COMPRESS, "{\"model\": \"m\",}", -EINVAL, 1, 15, "invalid JSON"},
    {TP_VERB_COMPRESS, "{\"model\": \"m\"", -EINVAL, 1, 14, "invalid JSON"},
    {TP_VERB_OPTIMIZE, "m max_ppl_delta=nan", -EINVAL, 1, 3, "must be a number"},
    {TP_VERB_OPTIMIZE, "m max_ppl_delta=-1", -ERANGE, 1, 3, "from 0"},
    {TP_VERB_OPTIMIZE, "m max_ppl_delta=1e999", -ERANGE, 1, 3, "from 0"},
    {TP_VERB_OPTIMIZE, "{\"model\": \"m\", \"candidates\": []}", -EINVAL, 1, 16, "array of names"},
    {TP_VERB_OPTIMIZE, "{\"model\": \"m\", \"candidates\": [\"a\", 1]}", -EINVAL, 1, 16,
     "array of names"},
    {TP_VERB_OPTIMIZE, "{\"model\": \"m\", \"candidates\": [[\"a\"]]}", -EINVAL, 1, 16,
     "array of names"},
    {TP_VERB_OPTIMIZE, "{\"model\": \"m\", \"candidates\": [\"a,b\"]}", -EINVAL, 1, 16, "comma"},
    {TP_VERB_OPTIMIZE, "{\"model\": \"m\", \"candidates\": [\"\"]}", -EINVAL, 1, 16, "empty"},
    {TP_VERB_OPTIMIZE, "{\"model\": \"m\", \"candidates\": [\"a\"", -EINVAL, 1, 16, "invalid JSON"},
    {TP_VERB_OPTIMIZE, "{\"model\": \"m\", \"candidates\": {}}", -EINVAL, 1, 16, "array of names"},
    {TP_VERB_OPTIMIZE, "{\"model\": [\"m\"]}", -EINVAL, 1, 2, "'model' must be a name"},
    {TP_VERB_OPTIMIZE, "{\"model\": \"m\", \"candidates\": {\"a\": 1}}", -EINVAL, 1, 16,
     "'candidates' must be a string, or an array of names"},
    {TP_VERB_OPTIMIZE, "m max_ppl_delta=", -EINVAL, 1, 3, "'max_ppl_delta' has no value"},
    {TP_VERB_OPTIMIZE, "m keep=\x01", -EINVAL, 1, 3,
     "'keep' is not UTF-8, or has control characters"},
    {TP_VERB_OPTIMIZE, "{\"model\": \"m\", \"text\": [\"a\"]}", -EINVAL, 1, 16, "a string"},
    {TP_VERB_EVALUATE, "m reference=a/b/c", -EINVAL, 1, 3, "id ORG/NAME"},
    {TP_VERB_EVALUATE, "m reference=../b", -EINVAL, 1, 3, "id ORG/NAME"},
    {TP_VERB_EVALUATE, "m reference=.b", -EINVAL, 1, 3, "id ORG/NAME"},
    {TP_VERB_CANCEL, "20260203-040506-1 id=x", -EINVAL, 1, 19, "takes no key"},
    {TP_VERB_CANCEL, "", -EINVAL, 1, 1, "no command"},
};

static void test_wrong(void)
{
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct tp_request *list = (void *)1;
        struct tp_request_position position;
        struct tp_error err = {0};
        size_t n = 1;
        int rc = tp_requests_parse(wrong[i].verb, wrong[i].text, strlen(wrong[i].text), &list, &n,
                                   &position, &err);

        if (!ok(rc == wrong[i].rc && position.line == wrong[i].line &&
                    position.column == wrong[i].column && !list && n == 0,
                "refused: %zu", i))
            diag("'%s': %d at %u:%u", wrong[i].text, rc, position.line, position.column);
        has(err.message, wrong[i].message, "its message");
    }
}

static void test_many(void)
{
    struct tp_request *list;
    struct tp_request_position position;
    struct tp_error err = {0};
    struct tp_buffer text = {0};
    const char *several = "a\n\n{\"model\":\n\"b\"}\nc keep=yes";
    size_t n;

    is_int(
        tp_requests_parse(TP_VERB_COMPRESS, several, strlen(several), &list, &n, &position, &err),
        0, "several lines");
    if (!is_u64(n, 3, "are several requests"))
        return;
    is_str(list[1].subject, "b", "in their order");
    ok(list[0].line == 1 && list[1].line == 3 && list[2].line == 5, "each knows its line");
    free(list);
    is_int(tp_requests_parse(TP_VERB_COMPRESS, "a\nb\nc=1 d", 9, &list, &n, &position, &err),
           -EINVAL, "one that is wrong refuses all");
    ok(!list && n == 0 && position.line == 3, "and is reported with its line");
    for (unsigned i = 0; i < TP_REQUEST_MAX; i++)
        tp_buffer_appendf(&text, "m%u\n", i);
    is_int(
        tp_requests_parse(TP_VERB_VERIFY, (char *)text.data, text.len, &list, &n, &position, &err),
        0, "as many as there may be");
    is_u64(n, TP_REQUEST_MAX, "are taken");
    free(list);
    tp_buffer_appendf(&text, "m");
    is_int(
        tp_requests_parse(TP_VERB_VERIFY, (char *)text.data, text.len, &list, &n, &position, &err),
        -E2BIG, "one more is too many");
    tp_buffer_clear(&text);
}

/* --- Whatever a value is, each way to write it gives it back --- */

static void append_char(struct tp_buffer *out, char c)
{
    tp_buffer_append(out, &c, 1);
}

static void quote(struct tp_buffer *out, const char *value, unsigned how)
{
    if (how == 1)
        append_char(out, '\'');
    if (how == 2)
        append_char(out, '"');
    for (; *value; value++) {
        bool special = strchr(" \\'\"$`=", *value) != NULL;

        if (how == 0 && special)
            append_char(out, '\\');
        if (how == 2 && strchr("\"\\$`", *value))
            append_char(out, '\\');
        if (how == 1 && *value == '\'')
            tp_buffer_appendf(out, "'\\''");
        else
            append_char(out, *value);
    }
    if (how == 1)
        append_char(out, '\'');
    if (how == 2)
        append_char(out, '"');
}

static void random_value(char *out, size_t max)
{
    size_t len = 1 + tap_random(&seed) % (max - 1);

    for (size_t i = 0; i < len; i++)
        out[i] = (char)(0x20 + tap_random(&seed) % 0x5f);
    out[len] = '\0';
}

static void test_quoting(void)
{
    unsigned bad = 0;

    for (unsigned round = 0; round < 3000; round++) {
        char dataset[64], name[32];
        struct tp_buffer text = {0};
        struct tp_request *list;
        struct tp_request_position position;
        struct tp_error err = {0};
        size_t n = 0;

        random_value(dataset, sizeof dataset);
        do
            random_value(name, sizeof name);
        while (name[0] == '.' || strchr(name, '/') || name[0] == '{');
        if (round % 4 == 3) {
            struct tp_json_writer json;

            tp_json_writer_init(&json, &text, round & 4);
            tp_json_begin_object(&json, NULL);
            tp_json_put_string(&json, "text", dataset);
            tp_json_put_string(&json, "model", name);
            tp_json_end_object(&json);
        } else {
            quote(&text, name, round % 4);
            tp_buffer_appendf(&text, " text=");
            quote(&text, dataset, (unsigned)(tap_random(&seed) % 3));
        }
        if (tp_requests_parse(TP_VERB_EVALUATE, (char *)text.data, text.len, &list, &n, &position,
                              &err) < 0 ||
            n != 1 || strcmp(list[0].subject, name) != 0 ||
            strcmp(list[0].evaluate.text, dataset) != 0) {
            if (bad++ < 3)
                diag("%.*s: %s", (int)text.len, (char *)text.data, err.message);
        }
        free(list);
        tp_buffer_clear(&text);
    }
    is_u64(bad, 0, "words in each quoting and JSON give their values");
}

static void test_noise(void)
{
    size_t len = 1 << 20;
    char *noise = malloc(len);
    unsigned taken = 0;
    struct tp_request *list;
    struct tp_request_position position;
    size_t n;

    if (!noise)
        bail_out("memory");
    for (size_t i = 0; i < len; i++)
        noise[i] = (char)tap_random(&seed);
    is_int(tp_requests_parse(TP_VERB_COMPRESS, noise, len, &list, &n, &position, NULL), -E2BIG,
           "1 MiB of noise");
    for (unsigned i = 0; i < 200; i++) {
        size_t at = tap_random(&seed) % (len / 2),
               size = tap_random(&seed) % (TP_REQUEST_TEXT_MAX + 1);
        enum tp_verb verb = (enum tp_verb)(i % TP_VERB_COUNT);

        if (i & 1)
            noise[at] = '{';
        if (tp_requests_parse(verb, noise + at, size, &list, &n, &position, NULL) == 0) {
            taken++;
            free(list);
        }
    }
    ok(taken < 3, "noise is refused (%u of 200 texts were taken)", taken);
    free(noise);
}

static void test_table(void)
{
    const struct tp_key *codec = tp_verb_get(TP_VERB_COMPRESS)->keys;

    for (unsigned v = 0; v < TP_VERB_COUNT; v++) {
        const struct tp_verb_ops *info = tp_verb_get((enum tp_verb)v);
        struct tp_buffer help = {0};
        unsigned keys = 0, told = 0;
        struct tp_request *list;
        size_t n;

        is_int(tp_verb_find(info->name), v, info->name);
        if (tp_verb_help((enum tp_verb)v, &help) < 0 || tp_buffer_append(&help, "", 1) < 0)
            bail_out("memory");
        for (const struct tp_key *key = info->keys; key->name; key++, keys++) {
            char line[64];

            snprintf(line, sizeof line, "\n  %s=%s\n", key->name,
                     key->standard ? key->standard : "");
            told += strstr((char *)help.data, line) != NULL;
        }
        ok(keys == told && keys < TP_REQUEST_KEYS_MAX,
           "%s: help lists all %u keys with their defaults", info->name, keys);
        is_int(tp_requests_parse((enum tp_verb)v, info->example, strlen(info->example), &list, &n,
                                 NULL, NULL),
               0, "and its examples are good");
        free(list);
        tp_buffer_clear(&help);
    }
    is_int(tp_verb_find("frobnicate"), TP_VERB_COUNT, "no such verb");
    while (strcmp(codec->name, "codec") != 0)
        codec++;
    for (unsigned id = 0, i = 0; id < TP_CODEC_COUNT; id++) {
        if (!tp_codec_get(id) || !tp_codec_get(id)->encode)
            continue;
        for (i = 0; codec->words[i] && strcmp(codec->words[i], tp_codec_get(id)->name) != 0; i++)
            ;
        ok(codec->words[i] != NULL, "codec=%s is accepted", tp_codec_get(id)->name);
    }
}

int main(void)
{
    seed = tap_seed();
    test_forms();
    test_wrong();
    test_many();
    test_quoting();
    test_noise();
    test_table();
    return tap_done();
}
