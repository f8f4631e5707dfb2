/* SPDX-License-Identifier: MIT */
/* A model that is measured, or that generates. */
#include <config.h>

#include "optimizer/evaluate/subject.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/size.h"

#define OTHER_FILE_MAX ((uint64_t)16 << 20) /* bytes of a file beside tokenizer.json */

/* --- Words --- */

const char *const tp_add_bos_words[] = {
    [TP_ADD_BOS_AUTO] = "auto", [TP_ADD_BOS_YES] = "yes", [TP_ADD_BOS_NO] = "no", NULL};
const char *const tp_compute_words[] = {[TP_COMPUTE_F32] = "fp32",
                                        [TP_COMPUTE_BF16] = "bf16",
                                        [TP_COMPUTE_F16] = "fp16",
                                        [TP_COMPUTE_INT8] = "int8",
                                        NULL};

static unsigned find_word(const char *const words[], const char *word)
{
    unsigned i = 0;

    while (words[i + 1] && strcmp(words[i], word) != 0)
        i++;
    return i;
}

enum tp_add_bos tp_add_bos_find(const char *word)
{
    return (enum tp_add_bos)find_word(tp_add_bos_words, word);
}

enum tp_compute tp_compute_find(const char *word)
{
    return (enum tp_compute)find_word(tp_compute_words, word);
}

/* --- The tokenizer --- */

/* A whole file of the model; *OUT is empty where there is none. */
static int read_file(struct tp_model *model, const char *path, uint64_t most, struct tp_buffer *out,
                     struct tp_error *err)
{
    uint32_t file;
    uint64_t size;
    int rc;

    if (!tp_model_find_file(model, path, &file))
        return 0;
    size = model->files[file].size;
    if (size > most)
        return tp_fail(err, EFBIG, "'%s' has %" PRIu64 " bytes, more than %" PRIu64, path, size,
                       most);
    /* A file without bytes is there, too. */
    rc = tp_buffer_reserve(out, (size_t)size + 1);
    if (rc < 0)
        return tp_oom(err);
    out->len = (size_t)size;
    return tp_model_read(model, file, 0, out->data, (size_t)size, err);
}

static int open_tokenizer(struct tp_subject *s, struct tp_error *err)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json", "generation_config.json",
                                        "config.json"};
    struct tp_buffer texts[5] = {0};
    struct tp_tokenizer_files files = {0};
    struct tp_file_bytes *const parts[] = {&files.tokenizer, &files.tokenizer_config,
                                           &files.special_tokens_map, &files.generation_config,
                                           &files.config};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < 5; i++) {
        rc = read_file(s->model, names[i], i == 0 ? TP_TOKENIZER_FILE_MAX : OTHER_FILE_MAX,
                       &texts[i], err);
        *parts[i] = (struct tp_file_bytes){texts[i].data, texts[i].len};
    }
    if (rc == 0 && files.tokenizer.data)
        rc = tp_tokenizer_open(&files, &s->tokenizer, err);
    for (size_t i = 0; i < 5; i++)
        tp_buffer_clear(&texts[i]);
    return rc;
}

/* --- Opening --- */

int tp_subject_open(const char *path, const char *name, const struct tp_runtime_options *options,
                    struct tp_subject *out, struct tp_error *err)
{
    int rc;

    *out = (struct tp_subject){.name = strdup(name)};
    rc = out->name ? tp_model_open(path, NULL, &out->model, err) : tp_oom(err);
    if (rc == 0)
        rc = tp_runtime_open(out->model, options, &out->runtime, err);
    if (rc == 0)
        rc = open_tokenizer(out, err);
    if (rc < 0) {
        tp_subject_close(out);
        tp_error_prefix(err, "'%s'", name);
    }
    return rc;
}

void tp_subject_close(struct tp_subject *s)
{
    tp_tokenizer_close(s->tokenizer);
    tp_runtime_close(s->runtime);
    tp_model_close(s->model);
    free(s->name);
    *s = (struct tp_subject){0};
}

int tp_subject_load(struct tp_subject *s, const struct tp_progress *progress, struct tp_error *err)
{
    uint64_t bytes = tp_runtime_weight_bytes(s->runtime);
    double began = tp_seconds();
    int rc;

    tp_progress_update(progress, "load", 0, bytes);
    rc = tp_runtime_load(s->runtime, err);
    if (rc < 0) {
        tp_error_prefix(err, "'%s'", s->name);
        return rc;
    }
    if (s->load_seconds == 0)
        s->load_seconds = tp_seconds() - began;
    tp_progress_update(progress, "load", bytes, bytes);
    return 0;
}

/* --- Tokens --- */

static int check_tokens(const struct tp_subject *s, const struct tp_ids *ids, size_t first,
                        struct tp_error *err)
{
    uint32_t vocab = tp_runtime_arch(s->runtime)->vocab;
    size_t i = first;

    while (i < ids->n && ids->items[i] < vocab)
        i++;
    if (i == ids->n)
        return 0;
    return tp_fail(err, EINVAL,
                   "the tokenizer of '%s' does not match the model: it gives the token %" PRIu32
                   ", and the vocabulary has %" PRIu32,
                   s->name, ids->items[i], vocab);
}

static int put_bos(const struct tp_subject *s, struct tp_ids *out, struct tp_error *err)
{
    uint32_t bos = tp_tokenizer_bos(s->tokenizer);

    if (bos == TP_TOKEN_NONE)
        return tp_fail(err, EINVAL,
                       "the tokenizer of '%s' has no token of the beginning: "
                       "add_bos=yes is not possible",
                       s->name);
    return tp_ids_add(out, bos) < 0 ? tp_oom(err) : 0;
}

int tp_subject_encode(const struct tp_subject *s, const void *text, size_t len, enum tp_add_bos bos,
                      const struct tp_progress *progress, struct tp_ids *out, struct tp_error *err)
{
    size_t first = out->n;
    int rc = 0;

    if (!s->tokenizer && tp_model_find_link(s->model, "tokenizer.json"))
        return tp_fail(err, ENOENT,
                       "'%s': tokenizer.json is a symbolic link, which is not followed", s->name);
    if (!s->tokenizer)
        return tp_fail(err, ENOENT, "'%s' has no tokenizer.json", s->name);
    if (bos == TP_ADD_BOS_YES)
        rc = put_bos(s, out, err);
    if (rc < 0)
        return rc;
    rc = tp_tokenizer_encode(s->tokenizer, text, len, bos == TP_ADD_BOS_AUTO, progress, out, err);
    if (rc < 0 && rc != -ECANCELED)
        tp_error_prefix(err, "the tokenizer of '%s'", s->name);
    if (rc < 0)
        return rc;
    return check_tokens(s, out, first, err);
}

/*
 * The tokens at a cut may be others than those of the whole text: there must be EXTRA more than are
 * wanted.
 */
#define EXTRA 1024u
#define BYTES_FIRST ((uint64_t)256 << 10) /* of the text that are read first */

/* The text itself, and its tokens in an array that grows to twice its size. */
static int check_memory(const struct tp_corpus *corpus, uint64_t bytes, uint64_t memory,
                        struct tp_error *err)
{
    char size[TP_SIZE_TEXT], left[TP_SIZE_TEXT];
    uint64_t have = tp_memory_left(memory) + corpus->bytes.len;

    if (bytes > corpus->size)
        bytes = corpus->size;
    if (bytes <= have / 4)
        return 0;
    return tp_fail(err, ENOMEM,
                   "%s of the text '%s' do not fit into the memory that is left, %s: fewer "
                   "'samples' need less",
                   tp_size_print(bytes, size), corpus->path, tp_size_print(have, left));
}

int tp_subject_encode_corpus(const struct tp_subject *s, struct tp_corpus *corpus,
                             enum tp_add_bos bos, uint64_t wanted, uint64_t memory,
                             const struct tp_progress *progress, struct tp_ids *out,
                             struct tp_error *err)
{
    uint64_t bytes = wanted ? BYTES_FIRST : corpus->size;
    int rc;

    if (wanted > UINT64_MAX / 8)
        wanted = UINT64_MAX / 8;
    if (wanted && bytes < 6 * wanted)
        bytes = 6 * wanted;
    if (bytes < corpus->bytes.len)
        bytes = corpus->bytes.len;
    for (;; bytes *= 2) {
        out->n = 0;
        rc = check_memory(corpus, bytes, memory, err);
        tp_progress_update(progress, "tokenize", 0, bytes);
        if (rc == 0)
            rc = tp_corpus_read(corpus, bytes, err);
        if (rc == 0)
            rc = tp_subject_encode(s, corpus->bytes.data, corpus->bytes.len, bos, progress, out,
                                   err);
        if (rc < 0 || tp_corpus_is_whole(corpus) || (wanted && out->n >= wanted + EXTRA))
            return rc;
    }
}

uint32_t tp_subject_bos(const struct tp_subject *s, enum tp_add_bos add_bos)
{
    uint32_t bos = s->tokenizer ? tp_tokenizer_bos(s->tokenizer) : TP_TOKEN_NONE;
    struct tp_ids ids = {0};

    if (add_bos == TP_ADD_BOS_NO)
        return TP_TOKEN_NONE;
    /* What it puts before any text. */
    if (add_bos == TP_ADD_BOS_AUTO && bos != TP_TOKEN_NONE &&
        (tp_tokenizer_encode(s->tokenizer, "a", 1, true, NULL, &ids, NULL) < 0 || ids.n == 0 ||
         ids.items[0] != bos))
        bos = TP_TOKEN_NONE;
    free(ids.items);
    return bos;
}

/* --- Doubts --- */

bool tp_subject_is_beyond(const struct tp_subject *subject, uint64_t positions, char *line,
                          size_t size)
{
    uint64_t reach = tp_arch_reach(tp_runtime_arch(subject->runtime));

    if (reach == 0 || positions <= reach)
        return false;
    snprintf(line, size,
             "%" PRIu64 " positions are more than the %" PRIu64
             " that '%s' was made for: what it computes beyond them may be of no use",
             positions, reach, subject->name);
    return true;
}

/* A tokenizer that knows few of the model's tokens. */
static bool is_foreign(const struct tp_subject *subject, char *line, size_t size)
{
    uint64_t vocab = tp_runtime_arch(subject->runtime)->vocab;
    uint64_t n = subject->tokenizer ? tp_tokenizer_vocab_size(subject->tokenizer) : vocab;

    if (n + n / 8 >= vocab)
        return false;
    snprintf(line, size,
             "the tokenizer of '%s' has %" PRIu64 " tokens, and the model %" PRIu64
             ": they may not belong together",
             subject->name, n, vocab);
    return true;
}

void tp_subject_note_doubts(const struct tp_subject *subject, uint64_t positions,
                            void (*note)(void *arg, const char *line), void *arg)
{
    char line[TP_ERROR_MAX];

    if (note && is_foreign(subject, line, sizeof line))
        note(arg, line);
    if (note && tp_subject_is_beyond(subject, positions, line, sizeof line))
        note(arg, line);
}
