/* SPDX-License-Identifier: MIT */
/*
 * A source of bytes: where a pack is read from. The size and the content of a source are fixed: a
 * read gives the bytes that the source had when it was opened, or fails. Any number of threads can
 * use a source at once. bytes_file.h opens a local file; mirrors.h joins several sources of the
 * same bytes.
 *
 * Remote sources fit these operations. The identity is an ETag. `advise` announces ranges to the
 * source's own threads, which fetch several chunks with one request. `read` waits for the bytes, or
 * fails after a time limit.
 */
#ifndef TP_STORE_BYTES_H
#define TP_STORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* The identity of an object: equal for sources of the same object. Opaque. */
struct tp_identity {
    uint8_t bytes[32];
};

enum tp_advice {
    TP_ADVICE_SEQUENTIAL, /* the range will be read roughly from start to end */
    TP_ADVICE_WILL_NEED,  /* the range will be read soon: the source may fetch it now */
    TP_ADVICE_DONE        /* the range will not be read again: the source may drop its copy */
};

struct tp_owner {
    uid_t uid;
    gid_t gid;
};

struct tp_bytes;

/* Operations marked "optional" may be NULL. */
struct tp_bytes_operations {
    /*
     * Read up to LEN bytes at OFF; the range is within the size. Returns the number of bytes, 0
     * only if the source ends at OFF, or a negative errno. A short read is not an error.
     */
    ssize_t (*read)(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off);
    /*
     * Optional. Called if the LEN bytes at OFF could not be read or do not have this XXH3-64. Fill
     * DST with such bytes from elsewhere. False: there are none, and DST is undefined.
     */
    bool (*recover)(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off, uint64_t hash);
    void (*advise)(struct tp_bytes *bytes, uint64_t off, uint64_t len, enum tp_advice advice);
    /* Optional. Bring written bytes to stable storage. 0 or a negative errno. */
    int (*sync)(struct tp_bytes *bytes);
    /* Optional. The owner of the bytes. 0 or a negative errno. NULL: this process's user. */
    int (*owner)(struct tp_bytes *bytes, struct tp_owner *owner);
    void (*close)(struct tp_bytes *bytes);
};

/* The first member of every source. */
struct tp_bytes {
    const struct tp_bytes_operations *operations;
    char *name; /* a path or a URL, for messages */
    uint64_t size;
    struct tp_identity identity;
};

bool tp_identity_equal(const struct tp_identity *a, const struct tp_identity *b);

/* Read exactly LEN bytes at OFF. -EBADMSG: the source ends sooner. */
int tp_bytes_read(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off,
                  struct tp_error *err);
/*
 * As tp_bytes_read, and check the XXH3-64 of the bytes. 1: the bytes were read but have another
 * hash, and no other copy could be found. The caller makes the message.
 */
int tp_bytes_read_checked(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off,
                          uint64_t hash, struct tp_error *err);
void tp_bytes_advise(struct tp_bytes *bytes, uint64_t off, uint64_t len, enum tp_advice advice);
int tp_bytes_sync(struct tp_bytes *bytes, struct tp_error *err);
int tp_bytes_owner(struct tp_bytes *bytes, struct tp_owner *owner, struct tp_error *err);
void tp_bytes_close(struct tp_bytes *bytes); /* NULL is allowed */

#endif
