/* SPDX-License-Identifier: MIT */
/* Deciding from a part of a chunk whether to try the sparse codec, because coding in vain takes
 * long. */
#include <config.h>

#include <string.h>

#include "base/le.h"
#include "codec/delta/delta.h"
#include "codec/sparse/tables.h"

/* The number of N elements of BYTES bytes that differ. */
static size_t count_changes(const uint8_t *src, const uint8_t *base, size_t n, size_t bytes)
{
    size_t changed = 0;

    for (size_t i = 0; i < n; i++)
        changed += bytes == 2   ? tp_get_le16(src + 2 * i) != tp_get_le16(base + 2 * i)
                   : bytes == 4 ? tp_get_le32(src + 4 * i) != tp_get_le32(base + 4 * i)
                                : memcmp(src + bytes * i, base + bytes * i, bytes) != 0;
    return changed;
}

/* One cache line in so many is examined, which shows whether changes are few or next to each other.
 */
#define LINE 64u
#define LINE_STEP 8u

bool tp_sparse_worth(enum tp_dtype dtype, const void *src_bytes, const void *base_bytes, size_t len)
{
    const uint8_t *src = src_bytes, *base = base_bytes;
    unsigned bits = tp_dtype_bits(dtype);
    size_t bytes = bits < 8 ? 1 : bits / 8, line = LINE / bytes * bytes;
    size_t elems = 0, changed = 0, lines = 0, untouched = 0;

    if (!tp_codec_delta.fits(dtype))
        return true;
    for (size_t i = 0; i < len; i += line * LINE_STEP, lines++) {
        size_t n = (len - i < line ? len - i : line) / bytes, differ = 0;

        if (memcmp(src + i, base + i, n * bytes) == 0)
            untouched++;
        else
            differ = count_changes(src + i, base + i, n, bytes);
        elems += n;
        changed += differ;
    }
    return changed <= elems / 8 || (changed <= elems / 2 && untouched >= lines / 8);
}
