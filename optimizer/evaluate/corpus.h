/* SPDX-License-Identifier: MIT */
/* A text to calibrate or evaluate on: one that is installed with tenpak, or a file. */
#ifndef TP_OPTIMIZER_EVALUATE_CORPUS_H
#define TP_OPTIMIZER_EVALUATE_CORPUS_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"

struct tp_corpus {
    char *path;
    int fd;
    uint64_t size;          /* of the file */
    struct tp_buffer bytes; /* its beginning, or all of it: UTF-8 without NUL */
};

/*
 * Open SPEC: "evaluation" or "calibration", which are installed, or a path. A relative path starts
 * at DIR; NULL: at the working directory. The installed texts are looked for in the directory of
 * the environment variable TENPAK_TEXT_DIR, then by the place of the program, then where make
 * install puts them. Nothing is read yet.
 *
 * -EINVAL: empty, or not a regular file; -ENOENT. In any case OUT is for tp_corpus_close.
 */
int tp_corpus_open(const char *spec, const char *dir, struct tp_corpus *out, struct tp_error *err);
void tp_corpus_close(struct tp_corpus *corpus);

/*
 * Read on until BYTES has about LEN bytes, or the whole file: whole characters, and whole lines
 * unless they are long. -EINVAL: not UTF-8, or with NUL bytes; -ENOMEM.
 */
int tp_corpus_read(struct tp_corpus *corpus, uint64_t len, struct tp_error *err);
bool tp_corpus_is_whole(const struct tp_corpus *corpus);

/* Whether SPEC is the name of an installed text. */
bool tp_corpus_is_installed(const char *spec);

#endif
