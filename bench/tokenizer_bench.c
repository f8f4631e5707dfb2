/* SPDX-License-Identifier: MIT */
/*
 * How fast a text is encoded by the tokenizer of a file tokenizer.json, in one thread, as JSON:
 * seconds of processor time, the least of ROUNDS, for the text as a whole and in pieces of PIECE
 * bytes, with the number of ids. bench/tokenizer compares it with the library tokenizers.
 */
#include <config.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "bench/measure.h"
#include "optimizer/tokenizer/tokenizer.h"

static struct tp_error err;

static _Noreturn void fail(void)
{
    fprintf(stderr, "tokenizer_bench: %s\n", err.message);
    exit(1);
}

static struct tp_buffer read_file(const char *path, size_t most)
{
    struct tp_buffer buf = {0};

    if (tp_file_read_all(AT_FDCWD, path, most, &buf, &err) < 0)
        fail();
    return buf;
}

/* The ids of the text in pieces, which end between characters. */
static size_t encode(const struct tp_tokenizer *t, const struct tp_buffer *text, size_t piece,
                     struct tp_ids *ids)
{
    const uint8_t *p = text->data;
    size_t n = 0;

    for (size_t at = 0, next; at < text->len; at = next) {
        next = text->len - at > piece ? at + piece : text->len;
        while (next < text->len && (p[next] & 0xc0) == 0x80)
            next++;
        ids->n = 0;
        if (tp_tokenizer_encode(t, p + at, next - at, false, NULL, ids, &err) < 0)
            fail();
        n += ids->n;
    }
    return n;
}

static void measure(const struct tp_tokenizer *t, const struct tp_buffer *text, size_t piece,
                    unsigned long rounds)
{
    struct tp_ids ids = {0};
    double best = 0;
    size_t n = 0;

    for (unsigned long i = 0; i < rounds; i++) {
        double began = thread_seconds(), seconds;

        n = encode(t, text, piece, &ids);
        seconds = thread_seconds() - began;
        best = i == 0 || seconds < best ? seconds : best;
    }
    printf("{\"ids\": %zu, \"seconds\": %.6f}", n, best);
    free(ids.items);
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc == 5 ? strtoul(argv[3], NULL, 10) : 0;
    unsigned long piece = argc == 5 ? strtoul(argv[4], NULL, 10) : 0;
    struct tp_tokenizer_files files = {0};
    struct tp_buffer file, text;
    struct tp_tokenizer *t;

    if (rounds < 1 || piece < 1) {
        fputs("usage: tokenizer_bench TOKENIZER.JSON TEXT ROUNDS PIECE\n", stderr);
        return 2;
    }
    file = read_file(argv[1], TP_TOKENIZER_FILE_MAX);
    text = read_file(argv[2], (size_t)1 << 30);
    files.tokenizer = (struct tp_file_bytes){.data = file.data, .len = file.len};
    if (tp_tokenizer_open(&files, &t, &err) < 0)
        fail();
    printf("{\"whole\": ");
    measure(t, &text, text.len, rounds);
    printf(", \"pieces\": ");
    measure(t, &text, piece, rounds);
    printf("}\n");
    tp_tokenizer_close(t);
    tp_buffer_clear(&file);
    tp_buffer_clear(&text);
    return 0;
}
