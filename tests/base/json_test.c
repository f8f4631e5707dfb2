/* SPDX-License-Identifier: MIT */
/* JSON: what is refused, what is kept exactly, and reading of what the writer writes. */
#include <config.h>

#include "base/json.h"
#include "base/json_write.h"

#include <errno.h>
#include <math.h>

#include "base/lex.h"
#include "tests/tap.h"

#define TEXT(s) s, sizeof(s) - 1

static const struct {
    const char *text;
    size_t len;
    const char *why;
} refused[] = {
    {TEXT(""), "ends too soon"},
    {TEXT("{"), "ends too soon"},
    {TEXT("{}x"), "more than one value"},
    {TEXT("{} {}"), "more than one value"},
    {TEXT("[1,]"), "value is missing"},
    {TEXT("{\"a\":1,}"), "key is missing"},
    {TEXT("{\"a\" 1}"), "colon"},
    {TEXT("{\"a\":1 \"b\":2}"), "comma"},
    {TEXT("{a:1}"), "key is missing"},
    {TEXT("[1}"), "comma"},
    {TEXT("01"), "number"},
    {TEXT("1."), "number"},
    {TEXT("-"), "number"},
    {TEXT("1e"), "number"},
    {TEXT("+1"), "value is missing"},
    {TEXT("NaN"), "value is missing"},
    {TEXT("nul"), "word"},
    {TEXT("\"a"), "without an end"},
    {TEXT("\"\x01\""), "control"},
    {TEXT("\"\\x\""), "escape"},
    {TEXT("\"\\u12g4\""), "escape"},
    {TEXT("\"\\ud800\""), "surrogate"},
    {TEXT("\"\\udc00\\ud800\""), "surrogate"},
    {TEXT("\"\xff\""), "UTF-8"},
    {TEXT("\"\xc0\x80\""), "UTF-8"},
    {TEXT("\"\xed\xa0\x80\""), "UTF-8"},
    {TEXT("\"\xf4\x90\x80\x80\""), "UTF-8"},
    {TEXT("\"\xe2\x82"), "UTF-8"},
    {TEXT("\"a\\u0000b\""), "NUL"},
    {TEXT("{\"a\":1,\"b\":{\"c\":1,\"d\":2,\"c\":3}}"), "duplicate key 'c'"},
    {TEXT("{\"a\":1,\"\\u0061\":2}"), "duplicate key 'a'"},
    {TEXT("\0"), "value is missing"},
    {TEXT("[0.12345678901234567890123456789012345678901234567890123456789012]"), "more than 63"},
};

static void test_refused(void)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct tp_json *root = NULL;
        struct tp_error err = {0};
        int rc = tp_json_parse(refused[i].text, refused[i].len, &root, &err);
        bool good = rc == -EBADMSG && !root && strstr(err.message, refused[i].why);
        if (!ok(good, "refused: %s", refused[i].why))
            diag("rc %d, '%s'", rc, err.message);
        tp_json_free(root);
    }
    char deep[2 * TP_LEX_DEPTH_MAX + 2];
    struct tp_json *root;
    memset(deep, '[', TP_LEX_DEPTH_MAX);
    memset(deep + TP_LEX_DEPTH_MAX, ']', TP_LEX_DEPTH_MAX);
    is_int(tp_json_parse(deep, 2 * TP_LEX_DEPTH_MAX, &root, NULL), 0, "as deep as allowed");
    tp_json_free(root);
    memset(deep, '[', TP_LEX_DEPTH_MAX + 1);
    memset(deep + TP_LEX_DEPTH_MAX + 1, ']', TP_LEX_DEPTH_MAX + 1);
    is_int(tp_json_parse(deep, sizeof deep, &root, NULL), -EBADMSG, "and one deeper");
    is_int(tp_json_parse("", (size_t)TP_JSON_MAX + 1, &root, NULL), -EFBIG, "and too long");
}

static void test_read(void)
{
    static const char text[] =
        " {\"name\": \"t\\u00e9\\ud83d\\ude00\\\\u0000\", \"n\": 9007199254740992,\n"
        " \"x\": -1.5e2, \"half\": 0.5, \"yes\": true, \"none\": null, \"list\": [1, \"b\", []]} ";
    struct tp_json *root;
    struct tp_error err = {0};
    uint64_t n = 0;
    double x = 0;
    bool yes = false;
    if (!ok(tp_json_parse(TEXT(text), &root, &err) == 0, "a document: %s", err.message))
        return;
    is_str(tp_json_string(tp_json_get(root, "name")), "t\xc3\xa9\xf0\x9f\x98\x80\\u0000",
           "escapes");
    ok(tp_json_u64(tp_json_get(root, "n"), &n) && n == UINT64_C(1) << 53, "2^53");
    ok(!tp_json_u64(tp_json_get(root, "half"), &n) && !tp_json_u64(tp_json_get(root, "x"), &n),
       "fractions and negatives are no unsigned integers");
    ok(tp_json_double(tp_json_get(root, "x"), &x) && x == -150, "a number");
    ok(tp_json_bool(tp_json_get(root, "yes"), &yes) && yes, "a truth value");
    ok(tp_json_is_null(tp_json_get(root, "none")) && !tp_json_get(root, "NAME"),
       "null, and keys have case");
    const struct tp_json *list = tp_json_get(root, "list");
    is_int(tp_json_count(list), 3, "three elements");
    is_str(tp_json_string(tp_json_next(tp_json_first(list))), "b", "in order");
    is_str(tp_json_key(tp_json_first(root)), "name", "members have keys");
    ok(!tp_json_get(NULL, "a") && !tp_json_string(NULL) && !tp_json_first(NULL) &&
           !tp_json_u64(list, &n),
       "what is not there has nothing");
    tp_json_free(root);
}

static void write_report(struct tp_json_writer *w)
{
    tp_json_begin_object(w, NULL);
    tp_json_put_string(w, "name", "a\"b\\c\nd\te\x7f\xc3\xa9\xff");
    tp_json_put_u64(w, "big", UINT64_MAX);
    tp_json_put_i64(w, "small", INT64_MIN);
    tp_json_put_double(w, "ratio", 0.125);
    tp_json_put_double(w, "nan", NAN);
    tp_json_begin_array(w, "list");
    tp_json_put_bool(w, NULL, true);
    tp_json_begin_object(w, NULL);
    tp_json_end_object(w);
    tp_json_end_array(w);
    tp_json_begin_array(w, "none");
    tp_json_end_array(w);
    tp_json_put_time(w, "when", 0, 0);
    tp_json_put_time(w, "then", 951782400, 5000000);
    tp_json_put_time(w, "before", -62135596800, 0);
    tp_json_put_time(w, "never", INT64_MAX, 0);
    tp_json_put_hex(w, "id", (const uint8_t *)"\x01\xfe", 2);
    tp_json_put_string(w, "absent", NULL);
    tp_json_put_string(w, "un\xc2\x85safe",
                       "\xc2\x9b\xe2\x80\xae\xe2\x81\xa9\xd8\x9c\x9b\xe2\x80\x8d");
    tp_json_end_object(w);
}

static void test_write(void)
{
    struct tp_buffer buf = {0};
    struct tp_json_writer w;
    tp_json_writer_init(&w, &buf, false);
    write_report(&w);
    is_int(tp_json_writer_finish(&w), 0, "a report");
    is_str(
        (char *)buf.data,
        "{\"name\": \"a\\\"b\\\\c\\nd\\u0009e\\u007f\xc3\xa9\xef\xbf\xbd\", \"big\": "
        "18446744073709551615, "
        "\"small\": -9223372036854775808, \"ratio\": 0.125, \"nan\": null, \"list\": [true, {}], "
        "\"none\": [], \"when\": \"1970-01-01T00:00:00Z\", \"then\": "
        "\"2000-02-29T00:00:00.005000000Z\", "
        "\"before\": \"0001-01-01T00:00:00Z\", \"never\": null, \"id\": \"01fe\", \"absent\": "
        "null, "
        "\"un\\u0085safe\": \"\\u009b\\u202e\\u2069\\u061c\xef\xbf\xbd\xe2\x80\x8d\"}",
        "is exact");

    struct tp_json *root = NULL;
    is_int(tp_json_parse(buf.data, buf.len, &root, NULL), 0, "and can be read");
    tp_json_free(root);
    buf.len = 0;
    tp_json_writer_init(&w, &buf, true);
    write_report(&w);
    is_int(tp_json_writer_finish(&w), 0, "pretty as well");
    is_int(tp_json_parse(buf.data, buf.len, &root, NULL), 0, "and can be read");
    has((char *)buf.data, "{\n  \"name\"", "with indentation");
    ok(buf.data[buf.len - 1] == '\n', "and a newline at the end");
    tp_json_free(root);

    buf.len = 0;
    tp_json_writer_init(&w, &buf, false);
    tp_json_begin_object(&w, NULL);
    tp_json_put_u64(&w, NULL, 1);
    tp_json_end_object(&w);
    is_int(tp_json_writer_finish(&w), -EINVAL, "a member without a key is an error");
    tp_json_writer_init(&w, &buf, false);
    tp_json_begin_object(&w, NULL);
    is_int(tp_json_writer_finish(&w), -EINVAL, "so is a level left open");
    tp_buffer_clear(&buf);
}

/* Whatever bytes come: an answer, and a tree only for what the lexer accepts. */
static void test_noise(void)
{
    static const char alphabet[] = "{}[]\",:\\u0a1e-+. tfn\xc3\xa9\xff";
    uint64_t state = tap_seed();
    int accepted = 0;
    for (int i = 0; i < 200000; i++) {
        char text[24];
        size_t len = tap_random(&state) % sizeof text;
        for (size_t k = 0; k < len; k++)
            text[k] = alphabet[tap_random(&state) % (sizeof alphabet - 1)];
        struct tp_json *root;
        accepted += tp_json_parse(text, len, &root, NULL) == 0;
        tp_json_free(root);
    }
    ok(accepted > 0, "noise: %d of 200000 accepted", accepted);
}

static void test_nul(void)
{
    static const char text[] =
        "{\"a\": \"\\u0000\", \"b\": [\"x\\u0000\\u0000y\", \"z\"], \"c\": \"\"}";
    static const char key[] = "{\"a\\u0000b\": 1}";
    struct tp_json *root;
    const struct tp_json *list;
    const char *got;
    size_t len = 9;

    is_int(tp_json_parse(text, sizeof text - 1, &root, NULL), -EBADMSG, "no NUL by default");
    is_int(tp_json_parse_nul(key, sizeof key - 1, &root, NULL), -EBADMSG, "and never in a key");
    if (tp_json_parse_nul(text, sizeof text - 1, &root, NULL) < 0)
        bail_out("strings with NUL");
    got = tp_json_text(tp_json_get(root, "a"), &len);
    ok(got && len == 1 && memcmp(got, "\0", 2) == 0, "a NUL alone");
    ok(!tp_json_string(tp_json_get(root, "a")), "is no C string");
    list = tp_json_first(tp_json_get(root, "b"));
    got = tp_json_text(list, &len);
    ok(got && len == 4 && memcmp(got, "x\0\0y", 5) == 0, "two of them");
    got = tp_json_text(tp_json_next(list), &len);
    ok(got && len == 1 && strcmp(got, "z") == 0, "the string after it");
    got = tp_json_text(tp_json_get(root, "c"), &len);
    ok(got && len == 0 && !tp_json_text(tp_json_get(root, "b"), &len), "an empty one, and none");
    tp_json_free(root);
}

int main(void)
{
    test_refused();
    test_read();
    test_write();
    test_noise();
    test_nul();
    return tap_done();
}
