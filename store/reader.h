/* SPDX-License-Identifier: MIT */
/*
 * Reading a file of a pack as if it were a file: any range, from decoded blocks, with read-ahead by
 * tensor. One reader stands for one file of one pack and is shared by all that have it open.
 */
#ifndef TP_STORE_READER_H
#define TP_STORE_READER_H

#include <sys/types.h>
#include <sys/uio.h>

#include "store/engine/engine.h"

struct tp_reader;

/* FILE is a number in the index and must be a regular file. Holds a reference on PACK. */
int tp_reader_open(struct tp_engine *engine, struct tp_pack *pack, uint32_t file,
                   struct tp_reader **out, struct tp_error *err);
void tp_reader_close(struct tp_reader *reader);
uint64_t tp_reader_size(const struct tp_reader *reader);

/* Start decoding these bytes, which lie within the file, in the background, as far as the engine's
 * budget for this goes. */
void tp_reader_prefetch(struct tp_reader *reader, uint64_t off, uint64_t len);

/* A range of the file as pieces of decoded blocks, held until tp_span_release: what a reply is
 * written from without a copy. At the end of the file the span is shorter. */
#define TP_SPAN_MAX 64
struct tp_span {
    size_t len;
    int n;
    struct iovec iov[TP_SPAN_MAX];
    struct tp_block *blocks[TP_SPAN_MAX];
};
/*
 * At most TP_SPAN_MAX pieces, and no more than take the decoding of TP_EFFORT_MAX bytes, but one at
 * least; a longer range is cut short there and the caller asks again.
 */
int tp_reader_span(struct tp_reader *reader, uint64_t off, size_t len, struct tp_span *out,
                   struct tp_error *err);
/* Copy the bytes of SPAN to DST. */
void tp_span_copy(const struct tp_span *span, void *dst);
void tp_span_release(struct tp_span *span);
/*
 * The same, of a span that went to a reader that keeps its bytes: the kernel, in its page cache, or
 * a copy of the file.
 */
void tp_span_release_given(struct tp_span *span);

/*
 * Copy up to LEN bytes at OFF; the number copied (less only at the end of the file), or a negative
 * errno.
 */
ssize_t tp_reader_pread(struct tp_reader *reader, void *dst, size_t len, uint64_t off,
                        struct tp_error *err);

#endif
