/* SPDX-License-Identifier: MIT */
/*
 * A hostile model and what is said of it: the first byte says whether the model is packed, the
 * second how many bytes name it; then come its name, the header of its safetensors file, and behind
 * a NUL its config.json. Every document about the directory is made: it is JSON or metrics,
 * bounded, UTF-8, and has no character that may not be printed.
 */
#include <config.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/le.h"
#include "base/printable.h"
#include "control/documents/documents.h"
#include "store/ops.h"
#include "tests/fuzz/fuzz.h"

#define DATA_BYTES 4096u /* of tensors, behind any header */
#define DOCUMENT_MAX ((size_t)64 << 20)

static char root[64];

static void remove_root(void)
{
    tp_file_remove_tree(AT_FDCWD, root, NULL);
}

/* Of a model that a directory can have: no '/', no NUL, not hidden. */
static void make_name(const uint8_t *data, size_t len, char name[64])
{
    size_t n = 0;

    name[n++] = 'm';
    for (size_t i = 0; i < len && n < 60; i++)
        name[n++] = data[i] && data[i] != '/' ? (char)data[i] : '_';
    name[n] = '\0';
}

static void put(const char *model, const char *file, const struct tp_buffer *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s/%s", root, model, file);
    FUZZ_CHECK(tp_file_replace(path, text->data ? (void *)text->data : "", text->len, 0600, NULL) ==
               0);
}

static void make_model(const char *name, const uint8_t *data, size_t len)
{
    const uint8_t *config = len ? memchr(data, 0, len) : NULL;
    size_t header = config ? (size_t)(config - data) : len;
    static const uint8_t zeros[DATA_BYTES];
    struct tp_buffer text = {0};
    uint8_t length[8];
    char path[256];

    snprintf(path, sizeof path, "%s/%s", root, name);
    FUZZ_CHECK(mkdir(path, 0700) == 0);
    tp_put_le64(length, header);
    FUZZ_CHECK(tp_buffer_append(&text, length, 8) == 0 &&
               tp_buffer_append(&text, data, header) == 0 &&
               tp_buffer_append(&text, zeros, sizeof zeros) == 0);
    put(name, "model.safetensors", &text);
    text.len = 0;
    if (config)
        FUZZ_CHECK(tp_buffer_append(&text, config + 1, len - header - 1) == 0);
    put(name, "config.json", &text);
    tp_buffer_clear(&text);
}

/* Pages and lists have newlines, and nothing else. */
static void check_text(const struct tp_buffer *text)
{
    const uint8_t *p = text->data, *end = p + text->len;

    FUZZ_CHECK(text->len <= DOCUMENT_MAX);
    while (p < end) {
        uint32_t code;
        size_t n;

        FUZZ_CHECK(!tp_char_is_unsafe(p, end, &code, &n) || code == '\n');
        p += n;
    }
}

static void check_json(int rc, struct tp_buffer *text)
{
    struct tp_json *json = NULL;

    FUZZ_CHECK(rc == 0);
    check_text(text);
    FUZZ_CHECK(tp_json_parse(text->data, text->len, &json, NULL) == 0);
    FUZZ_CHECK(tp_json_string(tp_json_get(json, "schema")));
    tp_json_free(json);
    text->len = 0;
}

static void check_documents(const char *name)
{
    struct tp_inventory *inventory = NULL;
    struct tp_store *store = NULL;
    struct tp_buffer text = {0};
    struct tp_policy policy;
    struct tp_error err = {0};

    tp_policy_default(&policy);
    FUZZ_CHECK(tp_store_open(root, &store, &err) == 0 &&
               tp_inventory_create(store, NULL, &inventory, &err) == 0);
    check_json(tp_document_status(inventory, &policy, NULL, &text, &err), &text);
    check_json(tp_document_models(inventory, &text, &err), &text);
    check_json(tp_document_model(inventory, name, &text, &err), &text);
    FUZZ_CHECK(tp_document_metrics(inventory, NULL, &text, &err) == 0);
    check_text(&text);
    text.len = 0;
    FUZZ_CHECK(tp_document_dashboard(inventory, &policy, NULL, &text, &err) == 0);
    check_text(&text);
    tp_buffer_clear(&text);
    tp_inventory_destroy(inventory);
    tp_store_close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct tp_compress_options pack = {.base = "none", .threads = 1};
    static struct tp_compress_report report;
    struct tp_error err = {0};
    char name[64], path[256];
    static bool begun;
    size_t name_len;

    if (!begun) {
        /* In memory where that can be: each input is files that are synced. */
        snprintf(root, sizeof root, "%s/tenpak-fuzz-document.XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : P_tmpdir);
        FUZZ_CHECK(mkdtemp(root) != NULL);
        atexit(remove_root);
        begun = true;
    }
    if (len < 2)
        return 0;
    name_len = data[1] < len - 2 ? data[1] : len - 2;
    make_name(data + 2, name_len, name);
    make_model(name, data + 2 + name_len, len - 2 - name_len);
    snprintf(path, sizeof path, "%s/%s", root, name);
    if (data[0] & 1)
        FUZZ_CHECK(tp_compress(path, &pack, &report, &err) == 0);
    check_documents(name);
    FUZZ_CHECK(tp_file_remove_tree(AT_FDCWD, root, NULL) == 0 && mkdir(root, 0700) == 0);
    return 0;
}
