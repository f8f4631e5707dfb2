/* SPDX-License-Identifier: MIT */
/* Tokenizing a long text: its progress, and cancelling it wherever it is. */
#include <config.h>

#include "optimizer/tokenizer/tokenizer.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tap.h"

#define LETTERS "\"a\": 0, \"b\": 1, \"c\": 2, \" \": 3"

/* MEMBERS of the file besides the model; MODEL: members of the model besides its type. */
static struct tp_tokenizer *open_or_bail(const char *members, const char *model)
{
    struct tp_tokenizer_files files = {0};
    struct tp_tokenizer *t;
    struct tp_error err;
    char *text;
    int len = asprintf(&text, "{\"version\": \"1.0\", %s \"model\": {\"type\": \"BPE\", %s}}",
                       members, model);

    if (len < 0)
        bail_out("memory");
    files.tokenizer = (struct tp_file_bytes){.data = text, .len = (size_t)len};
    if (tp_tokenizer_open(&files, &t, &err) < 0)
        bail_out("%s", err.message);
    free(text);
    return t;
}

struct reports {
    atomic_int cancel;
    unsigned n, cancel_at; /* CANCEL_AT 0: never */
    uint64_t done;
    bool good;
};

static void on_report(void *arg, const char *stage, uint64_t done, uint64_t total)
{
    struct reports *r = arg;

    r->good = r->good && strcmp(stage, "tokenize") == 0 && done >= r->done && done <= total;
    r->done = done;
    r->n++;
    if (r->n == r->cancel_at)
        atomic_store(&r->cancel, 1);
}

#define LONG ((size_t)20 << 20) /* bytes */

/* Encode LEN bytes; what is watched, or PROGRESS, cancels it. */
static int encode_long(const struct tp_tokenizer *t, const char *text, size_t len,
                       struct reports *reports, size_t *n)
{
    struct tp_progress progress = {.update = on_report, .arg = reports};
    struct tp_ids ids = {0};
    struct tp_error err;
    int rc;

    *reports = (struct reports){.good = true, .cancel_at = reports->cancel_at};
    progress.cancel = &reports->cancel;
    rc = tp_tokenizer_encode(t, text, len, false, &progress, &ids, &err);
    *n = ids.n;
    free(ids.items);
    return rc;
}

static void test_reports(char *text)
{
    static const char *const members[] = {
        "",
        "\"normalizer\": {\"type\": \"NFC\"},",
        "\"pre_tokenizer\": {\"type\": \"WhitespaceSplit\"},",
        "\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"b+\"}, "
        "\"content\": \"\"},",
    };
    size_t n;

    for (size_t i = 0; i < LONG; i++)
        text[i] = "abc "[i % 4];
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct tp_tokenizer *t =
            open_or_bail(members[i], "\"vocab\": {" LETTERS "}, \"merges\": []");
        struct reports r = {.cancel_at = 0};

        is_int(encode_long(t, text, LONG, &r, &n), 0, "20 MiB");
        ok(r.good && r.n >= 10 && r.done > LONG / 2, "its progress");
        r.cancel_at = 3;
        is_int(encode_long(t, text, LONG, &r, &n), -ECANCELED, "cancelled at a report");
        ok(r.n == 3 && n < LONG / 4, "at once");
        tp_tokenizer_close(t);
    }
}

/* Everything that can take long without a word that is encoded. */
static void test_watched(char *text)
{
    static const struct {
        const char *name, *members;
        char fill;
    } cases[] = {
        {"a search without a match",
         "\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"b+c\"}, "
         "\"behavior\": \"Isolated\", \"invert\": false},",
         'a'},
        {"matches that are removed",
         "\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"}, "
         "\"behavior\": \"Removed\", \"invert\": false},",
         'a'},
        {"replacing",
         "\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, "
         "\"content\": \"\"},",
         'a'},
        {"lower case", "\"normalizer\": {\"type\": \"Lowercase\"},", ' '},
        {"a normal form", "\"normalizer\": {\"type\": \"NFKD\"},", ' '},
        {"a word that can be divided", "", 'a'},
        {"a word with merges", "", 'b'},
    };
    static atomic_int cancel = 1;

    tp_cancel_watch(&cancel);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tp_tokenizer *t = open_or_bail(
            cases[i].members, "\"vocab\": {" LETTERS ", \"bb\": 4}, \"merges\": [\"b b\"]");
        struct tp_ids ids = {0};
        struct tp_error err = {0};

        memset(text, cases[i].fill, LONG);
        /* Shorter than a word may be at most. */
        is_int(tp_tokenizer_encode(t, text, LONG / 2, false, NULL, &ids, &err), -ECANCELED,
               cases[i].name);
        is_int(err.code, -ECANCELED, "the error says so");
        ok(ids.n < LONG / 8, "at once");
        free(ids.items);
        tp_tokenizer_close(t);
    }
    tp_cancel_watch(NULL);
}

int main(void)
{
    char *text = malloc(LONG);

    if (!text)
        bail_out("memory");
    test_reports(text);
    test_watched(text);
    free(text);
    return tap_done();
}
