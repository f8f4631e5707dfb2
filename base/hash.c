/* SPDX-License-Identifier: MIT */
/* XXH3 from libxxhash, SHA-256 from libcrypto, which uses the processor's instructions. */
#include <config.h>

#include "base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
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

struct tp_xxh128 {
    XXH3_state_t *state;
};

struct tp_xxh128 *tp_xxh128_create(void)
{
    struct tp_xxh128 *xxh = malloc(sizeof *xxh);
    if (!xxh)
        return NULL;
    xxh->state = XXH3_createState();
    if (!xxh->state) {
        free(xxh);
        return NULL;
    }
    XXH3_128bits_reset(xxh->state);
    return xxh;
}

void tp_xxh128_update(struct tp_xxh128 *xxh, const void *data, size_t len)
{
    XXH3_128bits_update(xxh->state, data, len);
}

void tp_xxh128_final(struct tp_xxh128 *xxh, uint8_t digest[TP_XXH128_LEN])
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(xxh->state));
    memcpy(digest, canonical.digest, TP_XXH128_LEN);
    XXH3_128bits_reset(xxh->state);
}

void tp_xxh128_destroy(struct tp_xxh128 *xxh)
{
    if (!xxh)
        return;
    XXH3_freeState(xxh->state);
    free(xxh);
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

/*
 * With a context that create has initialised, libcrypto's SHA-256 cannot fail in these two
 * functions.
 */
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
