/* SPDX-License-Identifier: MIT */
/* XXH3-64 from libxxhash, SHA-256 from libcrypto (which uses the processor's own instructions). */
#include <config.h>

#include "base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <xxhash.h>
#ifdef HAVE_XXH_DISPATCH
#include <xxh_x86dispatch.h> /* XXH3_64bits is the one for this processor from here on */
#endif

struct tp_sha256 {
    EVP_MD_CTX *ctx;
};

uint64_t tp_xxh3(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

struct tp_sha256 *tp_sha256_create(void)
{
    struct tp_sha256 *sha = malloc(sizeof *sha);
    if (!sha)
        return NULL;
    sha->ctx = EVP_MD_CTX_new();
    if (!sha->ctx || EVP_DigestInit_ex(sha->ctx, EVP_sha256(), NULL) != 1) {
        tp_sha256_destroy(sha);
        return NULL;
    }
    return sha;
}

/* With a context that create has initialised, libcrypto's SHA-256 has no way to fail in these two. */
void tp_sha256_update(struct tp_sha256 *sha, const void *data, size_t len)
{
    EVP_DigestUpdate(sha->ctx, data, len);
}

void tp_sha256_final(struct tp_sha256 *sha, uint8_t digest[TP_SHA256_LEN])
{
    EVP_DigestFinal_ex(sha->ctx, digest, NULL);
    EVP_DigestInit_ex(sha->ctx, NULL, NULL);
}

void tp_sha256_destroy(struct tp_sha256 *sha)
{
    if (!sha)
        return;
    EVP_MD_CTX_free(sha->ctx);
    free(sha);
}

int tp_sha256(const void *data, size_t len, uint8_t digest[TP_SHA256_LEN])
{
    return EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

void tp_hex(const uint8_t *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}
