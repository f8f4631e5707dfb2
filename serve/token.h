/* SPDX-License-Identifier: MIT */
/* The bearer token: a file that its owner alone may read. */
#ifndef TP_SERVE_TOKEN_H
#define TP_SERVE_TOKEN_H

#include <stdbool.h>

#include "base/error.h"
#include "base/hash.h"

#define TP_TOKEN_MIN 16u
#define TP_TOKEN_MAX 1024u

/* Only its hash is kept. */
struct tp_token {
    uint8_t hash[TP_SHA256_LEN];
};

/*
 * -EPERM: others may read it, or it belongs to somebody else. -EINVAL: too short, too long, or more
 * than a word.
 */
int tp_token_read(const char *path, struct tp_token *out, struct tp_error *err);
/* Make PATH with a token of 256 random bits, mode 0600, where there is none; then read it. */
int tp_token_make(const char *path, struct tp_token *out, struct tp_error *err);
/*
 * Whether an "Authorization" header (may be NULL) has it, in a time that does not depend on how
 * much is right.
 */
bool tp_token_fits(const struct tp_token *token, const char *header);

#endif
