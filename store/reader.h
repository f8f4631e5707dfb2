/* SPDX-License-Identifier: MIT */
/*
 * Reading a file of a pack: any range, from decoded blocks, with prefetching for each tensor. One
 * reader represents one file of one pack, and all opens of the file share it.
 */
#ifndef TP_STORE_READER_H
#define TP_STORE_READER_H

#include <sys/types.h>
#include <sys/uio.h>

#include "store/engine/engine.h"

struct tp_reader;

/* FILE is the number of a regular file in the index. The reader holds a reference on PACK. */
int tp_reader_open(struct tp_engine *engine, struct tp_pack *pack, uint32_t file,
                   struct tp_reader **out, struct tp_error *err);
void tp_reader_close(struct tp_reader *reader);
uint64_t tp_reader_size(const struct tp_reader *reader);

/* Start decoding these bytes of the file in the background, within the engine's budget. */
void tp_reader_prefetch(struct tp_reader *reader, uint64_t off, uint64_t len);

/*
 * A span: a range of the file as pieces of decoded blocks, held until tp_span_release. A reply can
 * be written from it without a copy. At the end of the file a span is shorter.
 */
#define TP_SPAN_MAX 64
struct tp_span {
    size_t len;
    int n;
    struct iovec iov[TP_SPAN_MAX];
    struct tp_block *blocks[TP_SPAN_MAX];
};
/*
 * Get a span of at most TP_SPAN_MAX pieces, and at most TP_EFFORT_MAX of effort, but at least one
 * piece. A longer range is cut; the caller requests the rest.
 */
int tp_reader_span(struct tp_reader *reader, uint64_t off, size_t len, struct tp_span *out,
                   struct tp_error *err);
/* Copy the bytes of SPAN to DST. */
void tp_span_copy(const struct tp_span *span, void *dst);
void tp_span_release(struct tp_span *span);
/*
 * Release a span whose bytes went to a reader that keeps them: the kernel, in its page cache, or a
 * copy of the file.
 */
void tp_span_release_given(struct tp_span *span);

/*
 * Copy up to LEN bytes at OFF. Returns the number of bytes, less than LEN only at the end of the
 * file, or a negative errno.
 */
ssize_t tp_reader_pread(struct tp_reader *reader, void *dst, size_t len, uint64_t off,
                        struct tp_error *err);

#endif
