/* SPDX-License-Identifier: MIT */
/* What all sources of bytes share: complete reads, checksums, messages. */
#include <config.h>

#include "store/pack/bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/hash.h"

bool tp_identity_equal(const struct tp_identity *a, const struct tp_identity *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Return RC, a negative errno, with a message. */
static int fail_read(const struct tp_bytes *bytes, int rc, const char *what, struct tp_error *err)
{
    return tp_fail(err, -rc, "cannot %s '%s': %s", what, bytes->name, strerror(-rc));
}

static int fail_short(const struct tp_bytes *bytes, uint64_t end, uint64_t missing,
                      struct tp_error *err)
{
    return tp_fail(err, EBADMSG, "'%s' ends at byte %" PRIu64 ", %" PRIu64 " bytes too soon",
                   bytes->name, end, missing);
}

int tp_bytes_read(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off, struct tp_error *err)
{
    uint8_t *to = dst;
    size_t done = 0;

    if (!tp_range_within(off, len, bytes->size))
        return fail_short(bytes, bytes->size, off + len - bytes->size, err);
    while (done < len) {
        ssize_t n = bytes->operations->read(bytes, to + done, len - done, off + done);

        if (n < 0)
            return tp_fail(err, (int)-n, "cannot read '%s' at byte %" PRIu64 ": %s", bytes->name,
                           off + done, strerror((int)-n));
        if (n == 0)
            return fail_short(bytes, off + done, len - done, err);
        done += (size_t)n;
    }
    return 0;
}

int tp_bytes_read_checked(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off,
                          uint64_t hash, struct tp_error *err)
{
    int rc = tp_bytes_read(bytes, dst, len, off, err);

    if (rc == 0 && tp_xxh3(dst, len) == hash)
        return 0;
    if (rc != -ENOMEM && bytes->operations->recover &&
        bytes->operations->recover(bytes, dst, len, off, hash))
        return 0;
    return rc < 0 ? rc : 1;
}

void tp_bytes_advise(struct tp_bytes *bytes, uint64_t off, uint64_t len, enum tp_advice advice)
{
    bytes->operations->advise(bytes, off, len, advice);
}

int tp_bytes_sync(struct tp_bytes *bytes, struct tp_error *err)
{
    int rc = bytes->operations->sync ? bytes->operations->sync(bytes) : 0;

    return rc < 0 ? fail_read(bytes, rc, "sync", err) : 0;
}

int tp_bytes_owner(struct tp_bytes *bytes, struct tp_owner *owner, struct tp_error *err)
{
    int rc = 0;

    *owner = (struct tp_owner){geteuid(), getegid()};
    if (bytes->operations->owner)
        rc = bytes->operations->owner(bytes, owner);
    return rc < 0 ? fail_read(bytes, rc, "stat", err) : 0;
}

void tp_bytes_close(struct tp_bytes *bytes)
{
    if (bytes)
        bytes->operations->close(bytes);
}
