/* SPDX-License-Identifier: MIT */
/* The bearer token, a file that only its owner may read. */
#ifndef TP_SERVE_TOKEN_H
#define TP_SERVE_TOKEN_H

#include <stdbool.h>

#include "base/error.h"
#include "base/hash.h"

#define TP_TOKEN_MIN 16u
#define TP_TOKEN_MAX 1024u

/* Only the hash of the token is kept. */
struct tp_token {
    uint8_t hash[TP_SHA256_LEN];
};

/*
 * -EPERM: other users may read it, or another user owns it. -EINVAL: too short, too long, or more
 * than one word.
 */
int tp_token_read(const char *path, struct tp_token *out, struct tp_error *err);
/* Create PATH with a token of 256 random bits and mode 0600 if it is absent, then read it. */
int tp_token_make(const char *path, struct tp_token *out, struct tp_error *err);
/*
 * Whether an "Authorization" header (may be NULL) has the token. The time does not depend on how
 * much of it is correct.
 */
bool tp_token_fits(const struct tp_token *token, const char *header);

#endif
