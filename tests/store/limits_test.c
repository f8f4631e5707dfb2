/* SPDX-License-Identifier: MIT */
/* Limits of an index: strings that records share, and the depth of directories. */
#include <config.h>

#include <errno.h>

#include "base/le.h"
#include "store/pack/layout.h"
#include "tensor/safetensors.h"
#include "tests/tap.h"

enum { SEGMENTS = 200, DEPTH = (TP_PATH_BYTES_MAX + 1) / 2 };

static int decode(const struct tp_buffer *b, struct tp_error *err)
{
    struct tp_index x;
    int rc = tp_index_decode(TP_PACK_VERSION, b->data, b->len, 0, &x, err);

    if (rc == 0)
        tp_index_clear(&x);
    return rc;
}

static void encode(const struct tp_index *x, struct tp_buffer *b)
{
    struct tp_error err = {0};

    if (tp_index_encode(x, b, &err) < 0)
        bail_out("%s", err.message);
}

/* SEGMENTS empty tensors, the first of which has this NAME, and SHARE more the same one. */
static int decode_shared(const char *name, unsigned share, struct tp_error *err)
{
    static const uint64_t none[1];
    struct tp_segment segments[SEGMENTS];
    struct tp_pack_file file = {
        .path = "m", .type = TP_ENTRY_FILE, .mode = 0644, .link = TP_NONE, .segment_n = SEGMENTS};
    struct tp_index x = {.chunk_size = 4096,
                         .base_name = "",
                         .writer = "",
                         .files = &file,
                         .file_n = 1,
                         .segments = segments,
                         .segment_n = SEGMENTS,
                         .dim_n = SEGMENTS};
    const size_t at = TP_INDEX_HEADER_LEN + TP_FILE_RECORD_LEN;
    struct tp_buffer b = {0};
    int rc;

    for (unsigned i = 0; i < SEGMENTS; i++)
        segments[i] = (struct tp_segment){
            .name = i ? "" : name, .dtype = TP_DTYPE_U8, .rank = 1, .shape = none};
    encode(&x, &b);
    for (unsigned i = 1; i <= share; i++)
        tp_put_le32(b.data + at + (size_t)i * TP_SEGMENT_RECORD_LEN, tp_get_le32(b.data + at));
    rc = decode(&b, err);
    tp_buffer_clear(&b);
    return rc;
}

static void test_names(void)
{
    char *name = malloc(TP_TENSOR_NAME_MAX + 2);
    struct tp_error err = {0};
    uint64_t most;

    memset(name, 'n', TP_TENSOR_NAME_MAX + 1);
    name[TP_TENSOR_NAME_MAX + 1] = '\0';
    is_int(decode_shared(name, 0, &err), -EBADMSG, "a tensor's name that is too long");
    has(err.message, "more than 65535 bytes", "which is what is said of it");
    name[TP_TENSOR_NAME_MAX] = '\0';
    is_int(decode_shared(name, 0, &err), 0, "one byte less");
    /* Path and names beside it are two bytes and three zeros. */
    most = TP_STRINGS_ANY_INDEX +
           TP_STRINGS_OF_INDEX *
               (TP_INDEX_HEADER_LEN + TP_FILE_RECORD_LEN +
                SEGMENTS * (TP_SEGMENT_RECORD_LEN + TP_DIM_RECORD_LEN) + TP_TENSOR_NAME_MAX + 4);
    is_int(decode_shared(name, (unsigned)((most - 1) / TP_TENSOR_NAME_MAX) - 1, &err), 0,
           "as many of one name as may be");
    is_int(decode_shared(name, (unsigned)((most - 1) / TP_TENSOR_NAME_MAX), &err), -EBADMSG,
           "and one more");
    has(err.message, "more strings", "which is what is said of it");
    free(name);
}

/* A link's target, what the base was called, and what wrote the pack. */
static void test_other_strings(void)
{
    struct tp_pack_file file = {.path = "l", .type = TP_ENTRY_SYMLINK, .link = TP_NONE};
    struct tp_index x = {
        .chunk_size = 4096, .base_name = "", .writer = "", .files = &file, .file_n = 1};
    char *text = malloc(TP_PATH_BYTES_MAX + 2);
    struct tp_buffer b = {0};
    struct tp_error err = {0};

    memset(text, 't', TP_PATH_BYTES_MAX + 1);
    text[TP_PATH_BYTES_MAX + 1] = '\0';
    for (int i = 0; i < 3; i++) {
        file.target = i == 0 ? text : "t";
        x.base_name = i == 1 ? text : "";
        x.writer = i == 2 ? text + TP_PATH_BYTES_MAX - TP_NAME_BYTES_MAX : "";
        b.len = 0;
        encode(&x, &b);
        ok(decode(&b, &err) == -EBADMSG && strstr(err.message, "more than"),
           "string %d is too long", i);
        file.target = i == 0 ? text + 1 : file.target;
        x.base_name = i == 1 ? text + 1 : "";
        x.writer = i == 2 ? text + TP_PATH_BYTES_MAX - TP_NAME_BYTES_MAX + 1 : "";
        b.len = 0;
        encode(&x, &b);
        ok(decode(&b, &err) == 0, "with one byte less it is not");
    }
    tp_buffer_clear(&b);
    free(text);
}

/* Directories within each other, as deep as a path can say; then one beside the second. */
static void test_depth(void)
{
    struct tp_pack_file *files = calloc(DEPTH + 2, sizeof *files);
    struct tp_index x = {
        .chunk_size = 4096, .base_name = "", .writer = "", .files = files, .file_n = DEPTH + 2};
    char *paths = malloc((size_t)DEPTH * (TP_PATH_BYTES_MAX + 1));
    struct tp_buffer b = {0};
    struct tp_error err = {0};

    for (uint32_t i = 0; i < DEPTH; i++) {
        char *path = paths + (size_t)i * (TP_PATH_BYTES_MAX + 1);

        for (uint32_t k = 0; k <= i; k++) {
            path[2 * k] = 'd';
            path[2 * k + 1] = '/';
        }
        path[2 * i + 1] = '\0';
        files[i] = (struct tp_pack_file){.path = path, .type = TP_ENTRY_DIR, .link = TP_NONE};
    }
    files[DEPTH] = (struct tp_pack_file){.path = "d/e", .type = TP_ENTRY_DIR, .link = TP_NONE};
    files[DEPTH + 1] =
        (struct tp_pack_file){.path = "d/e/f", .type = TP_ENTRY_DIR, .link = TP_NONE};
    encode(&x, &b);
    if (!ok(decode(&b, &err) == 0, "directories of %d levels", (int)DEPTH))
        diag("%s", err.message);
    files[DEPTH + 1].path = "d/f/f";
    b.len = 0;
    encode(&x, &b);
    is_int(decode(&b, &err), -EBADMSG, "a parent that is not there, after another of its length");
    files[DEPTH + 1].path = "e/f";
    b.len = 0;
    encode(&x, &b);
    is_int(decode(&b, &err), -EBADMSG, "one at the top that is not there");
    files[DEPTH].type = TP_ENTRY_SYMLINK;
    files[DEPTH].target = "/";
    files[DEPTH + 1].path = "d/e/f";
    b.len = 0;
    encode(&x, &b);
    is_int(decode(&b, &err), -EBADMSG, "a path that leads through a link");
    has(err.message, "not a directory", "is called that");
    tp_buffer_clear(&b);
    free(paths);
    free(files);
}

int main(void)
{
    test_names();
    test_other_strings();
    test_depth();
    return tap_done();
}
