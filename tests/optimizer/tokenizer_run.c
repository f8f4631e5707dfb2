/* SPDX-License-Identifier: MIT */
/*
 * tokenizer_run encode|encode-special|decode|decode-skip|stream|settings DIR: a tokenizer at work,
 * for tests in other languages. Input and output are records: a 32-bit length, little-endian, and
 * so many bytes of text, or so many ids of 32 bits. A record of length 0xffffffff is followed by a
 * record with the message of an error. "stream" decodes one id at a time. "settings" reads nothing
 * and writes the tokens of the beginning and the end.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/le.h"
#include "optimizer/tokenizer/tokenizer.h"

#define FAILED 0xffffffffu

static void die(const char *what)
{
    fprintf(stderr, "tokenizer_run: %s\n", what);
    exit(1);
}

static void read_optional(int dir, const char *name, struct tp_file_bytes *out)
{
    struct tp_buffer buf = {0};
    struct tp_error err;
    int rc = tp_file_read_all(dir, name, TP_TOKENIZER_FILE_MAX, &buf, &err);

    if (rc < 0 && rc != -ENOENT)
        die(err.message);
    if (rc == 0)
        *out = (struct tp_file_bytes){.data = buf.data ? buf.data : (void *)"", .len = buf.len};
}

static struct tp_tokenizer *open_model(const char *path)
{
    struct tp_tokenizer_files files = {0};
    struct tp_tokenizer *tokenizer;
    struct tp_error err;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        die("cannot open the directory");
    read_optional(dir, "tokenizer.json", &files.tokenizer);
    read_optional(dir, "tokenizer_config.json", &files.tokenizer_config);
    read_optional(dir, "special_tokens_map.json", &files.special_tokens_map);
    read_optional(dir, "generation_config.json", &files.generation_config);
    read_optional(dir, "config.json", &files.config);
    if (tp_tokenizer_open(&files, &tokenizer, &err) < 0)
        die(err.message);
    return tokenizer;
}

static void write_all(const void *data, size_t size, size_t n)
{
    if (n && fwrite(data, size, n, stdout) != n)
        die("cannot write");
}

static void write_record(uint32_t n, const void *data, size_t size)
{
    uint8_t head[4];

    tp_put_le32(head, n);
    write_all(head, 1, sizeof head);
    if (n != FAILED)
        write_all(data, size, n);
}

/* The next record of items of SIZE bytes; false: there is none. */
static bool read_record(size_t size, struct tp_buffer *out, uint32_t *n)
{
    uint8_t head[4];

    out->len = 0;
    if (fread(head, 1, 4, stdin) != 4)
        return false;
    *n = tp_get_le32(head);
    if (tp_buffer_reserve(out, *n * size + 1) < 0 || fread(out->data, size, *n, stdin) != *n)
        die("a record is too short");
    return true;
}

static int stream(const struct tp_tokenizer *t, const uint32_t *ids, size_t n,
                  struct tp_buffer *out, struct tp_error *err)
{
    struct tp_detokenizer *d;
    int rc = tp_detokenizer_create(t, false, &d, err);

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = tp_detokenizer_push(d, ids[i], out, err);
    if (rc == 0)
        rc = tp_detokenizer_finish(d, out, err);
    tp_detokenizer_destroy(d);
    return rc;
}

static void write_result(int rc, uint32_t n, const void *data, size_t size,
                         const struct tp_error *err)
{
    if (rc == 0) {
        write_record(n, data, size);
        return;
    }
    write_record(FAILED, NULL, 0);
    write_record((uint32_t)strlen(err->message), err->message, 1);
}

static void encode_records(const struct tp_tokenizer *t, bool special)
{
    struct tp_buffer in = {0};
    struct tp_ids ids = {0};
    uint32_t n;

    while (read_record(1, &in, &n)) {
        struct tp_error err;
        int rc;

        ids.n = 0;
        rc = tp_tokenizer_encode(t, in.data, n, special, NULL, &ids, &err);
        write_result(rc, (uint32_t)ids.n, ids.items, sizeof *ids.items, &err);
    }
    free(ids.items);
    tp_buffer_clear(&in);
}

static void decode_records(const struct tp_tokenizer *t, bool skip, bool streamed)
{
    struct tp_buffer in = {0}, out = {0};
    uint32_t n;

    while (read_record(4, &in, &n)) {
        const uint32_t *ids = (const uint32_t *)(const void *)in.data;
        struct tp_error err;
        int rc;

        out.len = 0;
        rc = streamed ? stream(t, ids, n, &out, &err)
                      : tp_tokenizer_decode(t, ids, n, skip, &out, &err);
        write_result(rc, (uint32_t)out.len, out.data, 1, &err);
    }
    tp_buffer_clear(&in);
    tp_buffer_clear(&out);
}

static void write_settings(const struct tp_tokenizer *t)
{
    uint32_t bos = tp_tokenizer_bos(t), size = (uint32_t)tp_tokenizer_vocab_size(t);
    const uint32_t *eos;
    size_t n = tp_tokenizer_eos(t, &eos);

    write_record(bos != TP_TOKEN_NONE, &bos, sizeof bos);
    write_record((uint32_t)n, eos, sizeof *eos);
    write_record(1, &size, sizeof size);
}

int main(int argc, char **argv)
{
    struct tp_tokenizer *t;

    if (argc != 3)
        die("an action and a directory are needed");
    t = open_model(argv[2]);
    if (strncmp(argv[1], "encode", 6) == 0)
        encode_records(t, strcmp(argv[1], "encode-special") == 0);
    else if (strcmp(argv[1], "settings") == 0)
        write_settings(t);
    else
        decode_records(t, strcmp(argv[1], "decode-skip") == 0, strcmp(argv[1], "stream") == 0);
    tp_tokenizer_close(t);
    return fflush(stdout) == 0 ? 0 : 1;
}
