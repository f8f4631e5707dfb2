/* SPDX-License-Identifier: MIT */
/* A text to calibrate or evaluate on: one that is installed with tenpak, or a file. */
#ifndef TP_OPTIMIZER_EVALUATE_CORPUS_H
#define TP_OPTIMIZER_EVALUATE_CORPUS_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"

#define TP_CORPUS_MAX ((size_t)64 << 20) /* bytes */

struct tp_corpus {
    struct tp_buffer bytes; /* UTF-8 without NUL */
    uint8_t sha256[TP_SHA256_LEN];
};

/*
 * Read SPEC: "evaluation" or "calibration", which are installed, or a path. A relative path starts
 * at DIR; NULL: at the working directory. The installed texts are looked for in the directory of
 * the environment variable TENPAK_TEXT_DIR, then by the place of the program, then where make
 * install puts them.
 *
 * -EFBIG: more than TP_CORPUS_MAX; -EINVAL: empty, not a file, not UTF-8, or with NUL bytes;
 * -ENOENT. In any case OUT is for tp_corpus_clear.
 */
int tp_corpus_read(const char *spec, const char *dir, struct tp_corpus *out, struct tp_error *err);
void tp_corpus_clear(struct tp_corpus *corpus);
/* Whether SPEC is the name of an installed text. */
bool tp_corpus_is_installed(const char *spec);

#endif
