/* SPDX-License-Identifier: MIT */
/* Activations that are kept from the way forward for the way back. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/file.h"
#include "optimizer/gradient/gradient_impl.h"

uint64_t tp_kept_bytes(uint64_t slots, uint64_t windows, uint64_t window)
{
    uint64_t bytes;

    return tp_mul_u64(slots, windows, &bytes) &&
                   tp_mul_u64(bytes, window * sizeof(float), &bytes) && bytes < INT64_MAX
               ? bytes
               : UINT64_MAX;
}

int tp_kept_create(struct tp_kept *kept, uint64_t slots, uint64_t windows, size_t window,
                   bool in_memory, const char *directory, struct tp_error *err)
{
    uint64_t bytes = tp_kept_bytes(slots, windows, window);

    *kept = (struct tp_kept){.window = window, .windows = windows, .fd = -1};
    if (bytes == UINT64_MAX)
        return tp_fail(err, ENOMEM, "the text has too many tokens for the way back");
    if (in_memory) {
        kept->memory = malloc(bytes);
        return kept->memory ? 0 : tp_fail(err, ENOMEM, "out of memory for the activations");
    }
    kept->fd = tp_file_unnamed(AT_FDCWD, directory, 0600);
    return kept->fd < 0
               ? tp_fail_errno(err, "cannot create a file for activations in '%s'", directory)
               : 0;
}

void tp_kept_clear(struct tp_kept *kept)
{
    free(kept->memory);
    kept->memory = NULL;
    if (kept->fd >= 0)
        close(kept->fd);
    kept->fd = -1;
}

int tp_kept_read(const struct tp_kept *kept, uint64_t slot, uint64_t first, uint64_t n, float *to,
                 struct tp_error *err)
{
    uint64_t at = (slot * kept->windows + first) * kept->window, bytes = n * kept->window * 4;

    if (!kept->memory)
        return tp_file_pread(kept->fd, to, bytes, at * sizeof *to, "the activations", err);
    memcpy(to, kept->memory + at, bytes);
    return 0;
}

int tp_kept_write(const struct tp_kept *kept, uint64_t slot, uint64_t first, uint64_t n,
                  const float *from, struct tp_error *err)
{
    uint64_t at = (slot * kept->windows + first) * kept->window, bytes = n * kept->window * 4;

    if (!kept->memory)
        return tp_file_pwrite(kept->fd, from, bytes, at * sizeof *from, "the activations", err);
    memcpy(kept->memory + at, from, bytes);
    return 0;
}
