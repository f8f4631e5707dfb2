/* SPDX-License-Identifier: MIT */
/* The two hashes of the project: XXH3-64 for every chunk, SHA-256 (libcrypto) for files and pack ids. */
#ifndef TP_BASE_HASH_H
#define TP_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TP_SHA256_LEN 32
#define TP_SHA256_HEX (2 * TP_SHA256_LEN + 1)

uint64_t tp_xxh3(const void *data, size_t len);

struct tp_sha256; /* incremental state */

struct tp_sha256 *tp_sha256_create(void); /* NULL: out of memory */
void tp_sha256_update(struct tp_sha256 *sha, const void *data, size_t len);
/* Write the digest and start over for the next message. */
void tp_sha256_final(struct tp_sha256 *sha, uint8_t digest[TP_SHA256_LEN]);
void tp_sha256_destroy(struct tp_sha256 *sha);

int tp_sha256(const void *data, size_t len, uint8_t digest[TP_SHA256_LEN]);

/* Lower-case hexadecimal with a terminating NUL: OUT holds 2 * LEN + 1 bytes. */
void tp_hex(const uint8_t *bytes, size_t len, char *out);

#endif
