/* SPDX-License-Identifier: MIT */
/* Adding up the sizes of a model's files. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/size.h"
#include "store/extract_space.h"

/* The bytes of chunks that are all zeros, which a sparse file leaves out. ZEROS is such a chunk. */
static uint64_t zero_bytes(const struct tp_index *x, const struct tp_pack_file *f,
                           const uint8_t *zeros, uint64_t whole)
{
    uint64_t bytes = 0;

    for (uint32_t s = f->segment_first; s < f->segment_first + f->segment_n; s++)
        for (uint32_t c = x->segments[s].chunk_first;
             c < x->segments[s].chunk_first + x->segments[s].chunk_n; c++) {
            uint32_t len = tp_index_chunk_len(x, c);

            if (x->chunks[c].content_hash == (len == x->chunk_size ? whole : tp_xxh3(zeros, len)))
                bytes += len;
        }
    return bytes;
}

uint64_t tp_extract_bytes(const struct tp_index *x, uint64_t block)
{
    uint8_t *zeros = calloc(1, x->chunk_size);
    uint64_t whole = zeros ? tp_xxh3(zeros, x->chunk_size) : 0, bytes = block;

    for (uint32_t i = 0; i < x->file_n; i++) {
        const struct tp_pack_file *f = &x->files[i];
        uint64_t own = f->type == TP_ENTRY_DIR ? block : f->link == TP_NONE ? f->size : 0;

        if (f->sparse && f->link == TP_NONE && zeros)
            own -= zero_bytes(x, f, zeros, whole);
        bytes += (own + block - 1) / block * block;
    }
    free(zeros);
    return bytes;
}

int tp_extract_check_space(const struct tp_index *x, int dirfd, const char *path,
                           struct tp_error *err)
{
    struct statvfs vfs;
    char needed[32], missing[32];

    if (fstatvfs(dirfd, &vfs) < 0 || vfs.f_frsize == 0 || vfs.f_blocks == 0)
        return 0; /* the file system does not report its size */
    uint64_t blocks = geteuid() == 0 ? vfs.f_bfree : vfs.f_bavail,
             bytes = tp_extract_bytes(x, vfs.f_frsize);
    if (bytes / vfs.f_frsize > blocks)
        return tp_fail(
            err, ENOSPC,
            "cannot write '%s': No space left on device: it takes %s, and %s are missing", path,
            tp_size_print(bytes, needed), tp_size_print(bytes - blocks * vfs.f_frsize, missing));
    if (vfs.f_files > 0 && vfs.f_favail < x->file_n)
        return tp_fail(err, ENOSPC,
                       "cannot write '%s': No space left on device: it has %" PRIu32
                       " files, and there is space for %" PRIu64,
                       path, x->file_n, (uint64_t)vfs.f_favail);
    return 0;
}
