/* SPDX-License-Identifier: MIT */
/*
 * A tokenizer.json, and after a NUL a text. What opens encodes the text the same way twice, and
 * decodes ids to the same valid text at once and one by one.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer/tokenizer/tokenizer.h"
#include "optimizer/tokenizer/unicode.h"
#include "tests/fuzz/fuzz.h"

#define TEXT_MAX 4096 /* bytes: patterns of a hostile file are slow */

static void check_decoding(const struct tp_tokenizer *t, const struct tp_ids *ids)
{
    struct tp_buffer whole = {0}, pieces = {0};
    struct tp_detokenizer *d;
    struct tp_error err;
    int rc;

    rc = tp_tokenizer_decode(t, ids->items, ids->n, false, &whole, &err);
    FUZZ_CHECK(tp_detokenizer_create(t, false, &d, &err) == 0);
    for (size_t i = 0; i < ids->n && rc == 0; i++)
        rc = tp_detokenizer_push(d, ids->items[i], &pieces, &err);
    if (rc == 0)
        rc = tp_detokenizer_finish(d, &pieces, &err);
    FUZZ_CHECK(rc == 0 || rc == -E2BIG || rc == -EFBIG);
    FUZZ_CHECK(rc < 0 || (whole.len == pieces.len &&
                          (whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0)));
    FUZZ_CHECK(rc < 0 || tp_text_is_valid(whole.data, whole.len));
    tp_detokenizer_destroy(d);
    tp_buffer_clear(&whole);
    tp_buffer_clear(&pieces);
}

static void check_text(const struct tp_tokenizer *t, const uint8_t *text, size_t len)
{
    struct tp_ids once = {0}, twice = {0};
    struct tp_error err;
    int rc = tp_tokenizer_encode(t, text, len, true, NULL, &once, &err);

    FUZZ_CHECK(rc == 0 || rc == -E2BIG || rc == -EFBIG || rc == -EBADMSG);
    if (rc == 0) {
        FUZZ_CHECK(tp_tokenizer_encode(t, text, len, true, NULL, &twice, &err) == 0);
        FUZZ_CHECK(once.n == twice.n && (once.n == 0 || memcmp(once.items, twice.items,
                                                               once.n * sizeof *once.items) == 0));
        check_decoding(t, &once);
    }
    for (uint32_t id = 0; id < 300; id++) {
        size_t name_len;
        const char *name = tp_tokenizer_name(t, id, &name_len);

        FUZZ_CHECK(!name || tp_tokenizer_id(t, name, name_len) != TP_TOKEN_NONE);
    }
    free(once.items);
    free(twice.items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *end = len ? memchr(data, 0, len) : NULL;
    struct tp_tokenizer_files files = {.tokenizer.data = data};
    struct tp_tokenizer *t;
    struct tp_error err = {0};
    size_t text_len;

    if (!end)
        return 0;
    files.tokenizer.len = (size_t)(end - data);
    text_len = len - files.tokenizer.len - 1;
    if (tp_tokenizer_open(&files, &t, &err) < 0) {
        FUZZ_CHECK(!t && err.code < 0 && err.message[0] && !strchr(err.message, '\n'));
        return 0;
    }
    check_text(t, end + 1, text_len > TEXT_MAX ? TEXT_MAX : text_len);
    tp_tokenizer_close(t);
    return 0;
}
