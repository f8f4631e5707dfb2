/* SPDX-License-Identifier: MIT */
/* Hashes against published values, whole and in pieces. */
#include <config.h>

#include "base/hash.h"

#include "tests/tap.h"

static void is_sha(const uint8_t digest[TP_SHA256_LEN], const char *want, const char *name)
{
    char hex[TP_SHA256_HEX];
    tp_hex(digest, TP_SHA256_LEN, hex);
    is_str(hex, want, name);
}

int main(void)
{
    static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    static const char a1m[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    uint8_t digest[TP_SHA256_LEN];

    is_int(tp_sha256("", 0, digest), 0, "SHA-256 of nothing");
    is_sha(digest, empty, "is as FIPS 180 has it");
    tp_sha256("abc", 3, digest);
    is_sha(digest, abc, "SHA-256 of abc");

    struct tp_sha256 *sha = tp_sha256_create();
    if (!sha)
        bail_out("memory");
    char a[1000];
    memset(a, 'a', sizeof a);
    for (int i = 0; i < 1000; i++)
        tp_sha256_update(sha, a, sizeof a);
    tp_sha256_final(sha, digest);
    is_sha(digest, a1m, "a million a's in pieces");
    tp_sha256_update(sha, "ab", 2);
    tp_sha256_update(sha, "c", 1);
    tp_sha256_final(sha, digest);
    is_sha(digest, abc, "final starts over");
    tp_sha256_final(sha, digest);
    is_sha(digest, empty, "twice");
    tp_sha256_destroy(sha);
    tp_sha256_destroy(NULL);

    is_u64(tp_xxh3("", 0), UINT64_C(0x2d06800538d394c2), "XXH3-64 of nothing");
    ok(tp_xxh3("abc", 3) != tp_xxh3("abd", 3), "and not the same for all");

    struct tp_xxh128 *xxh = tp_xxh128_create();
    uint8_t whole[TP_XXH128_LEN], pieces[TP_XXH128_LEN];
    char hex[2 * TP_XXH128_LEN + 1];
    if (!xxh)
        bail_out("memory");
    tp_xxh128_final(xxh, whole);
    tp_hex(whole, sizeof whole, hex);
    is_str(hex, "99aa06d3014798d86001c324468d497f", "XXH3-128 of nothing");
    tp_xxh128_update(xxh, a, sizeof a);
    tp_xxh128_final(xxh, whole);
    tp_xxh128_update(xxh, a, 300);
    tp_xxh128_update(xxh, a, 700);
    tp_xxh128_final(xxh, pieces);
    ok(memcmp(whole, pieces, sizeof whole) == 0, "in pieces as in one");
    a[999] = 'b';
    tp_xxh128_update(xxh, a, sizeof a);
    tp_xxh128_final(xxh, pieces);
    ok(memcmp(whole, pieces, sizeof whole) != 0, "and another for other bytes");
    tp_xxh128_destroy(xxh);
    tp_xxh128_destroy(NULL);
    return tap_done();
}
