/* SPDX-License-Identifier: MIT */
/*
 * Hashes: XXH3-64 for chunks, SHA-256 (libcrypto) for files and pack ids, XXH3-128 to compare two
 * reads of a file.
 */
#ifndef TP_BASE_HASH_H
#define TP_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TP_SHA256_LEN 32
#define TP_SHA256_HEX (2 * TP_SHA256_LEN + 1)

uint64_t tp_xxh3(const void *data, size_t len);

#define TP_XXH128_LEN 16

/*
 * XXH3-128, incremental. It detects accidents only, and is far faster than SHA-256. Never on disk.
 */
struct tp_xxh128; /* incremental state */

struct tp_xxh128 *tp_xxh128_create(void); /* NULL: out of memory */
void tp_xxh128_update(struct tp_xxh128 *xxh, const void *data, size_t len);
/* Write the digest and start over for the next message. */
void tp_xxh128_final(struct tp_xxh128 *xxh, uint8_t digest[TP_XXH128_LEN]);
void tp_xxh128_destroy(struct tp_xxh128 *xxh);

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
