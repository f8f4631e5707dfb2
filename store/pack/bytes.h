/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a pack, wherever they are. A source has a fixed size and a fixed content: it either
 * gives the bytes that it had when it was opened, or fails. Any number of threads use one source at
 * once. bytes_file.h opens a local file; mirrors.h puts other sources of the same bytes behind one.
 *
 * A source that is far away fits behind the same operations: its identity is the ETag, `advise`
 * tells its own threads which ranges to fetch, several chunks in one request, and `read` waits
 * until they are there, or fails when its deadline has passed.
 */
#ifndef TP_STORE_BYTES_H
#define TP_STORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Which object the bytes come from: the same one where identities are equal. Opaque. */
struct tp_identity {
    uint8_t bytes[32];
};

enum tp_advice {
    TP_ADVICE_SEQUENTIAL, /* the range will be read from its start to its end, more or less */
    TP_ADVICE_WILL_NEED,  /* it will be read soon: a source may fetch it now */
    TP_ADVICE_DONE        /* it will not be read again: a source may drop what it keeps of it */
};

struct tp_owner {
    uid_t uid;
    gid_t gid;
};

struct tp_bytes;

/* Where a line says "optional" the pointer may be NULL. */
struct tp_bytes_operations {
    /*
     * Read up to LEN bytes at OFF, which lie within the size; how many, 0 only where the source
     * ends there, or a negative errno. Less than LEN is no error.
     */
    ssize_t (*read)(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off);
    /*
     * Optional. The LEN bytes at OFF could not be read, or were not those with this XXH3-64: find
     * such bytes elsewhere. False: there are none, and DST is undefined.
     */
    bool (*recover)(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off, uint64_t hash);
    void (*advise)(struct tp_bytes *bytes, uint64_t off, uint64_t len, enum tp_advice advice);
    /* Optional. Bring what was written to stable storage; a negative errno. */
    int (*sync)(struct tp_bytes *bytes);
    /* Optional. Whose the bytes are; a negative errno. Without it: the caller's. */
    int (*owner)(struct tp_bytes *bytes, struct tp_owner *owner);
    void (*close)(struct tp_bytes *bytes);
};

/* What every source begins with. */
struct tp_bytes {
    const struct tp_bytes_operations *operations;
    char *name; /* for messages: a path or a URL */
    uint64_t size;
    struct tp_identity identity;
};

bool tp_identity_equal(const struct tp_identity *a, const struct tp_identity *b);

/* Read exactly LEN bytes at OFF. -EBADMSG: the source ends sooner. */
int tp_bytes_read(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off,
                  struct tp_error *err);
/*
 * The same, and they have this XXH3-64. 1: bytes were read that do not, and none that do are to be
 * had. The caller says what is damaged.
 */
int tp_bytes_read_checked(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off,
                          uint64_t hash, struct tp_error *err);
void tp_bytes_advise(struct tp_bytes *bytes, uint64_t off, uint64_t len, enum tp_advice advice);
int tp_bytes_sync(struct tp_bytes *bytes, struct tp_error *err);
int tp_bytes_owner(struct tp_bytes *bytes, struct tp_owner *owner, struct tp_error *err);
void tp_bytes_close(struct tp_bytes *bytes); /* NULL is allowed */

#endif
