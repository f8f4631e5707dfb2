/* SPDX-License-Identifier: MIT */
/* What the parts of the pack writer share: chunks for the coder (encode.c) and output (output.c).
 */
#ifndef TP_STORE_WRITER_INTERNAL_H
#define TP_STORE_WRITER_INTERNAL_H

#include <pthread.h>

#include "store/code/code.h"
#include "store/write/plan.h"
#include "store/write/chunkmap.h"
#include "store/verify.h"
#include "store/pack/decode.h"

/* A segment, and what the coder was trained to for it. */
struct tp_writer_segment {
    bool done; /* training has ended */
    struct tp_trained trained;
};

struct tp_writer {
    struct tp_plan plan;
    const struct tp_pack_options *options;
    struct tp_code_options code;
    struct tp_chunkmap *in_base; /* NULL without a base */
    struct tp_chunkmap *in_pack;
    struct tp_writer_segment *segments; /* of the index */
    pthread_mutex_t lock;               /* over segments[].done and training_n */
    pthread_cond_t segment_trained;
    unsigned training_n;          /* segments that are being trained now */
    struct tp_file_print *prints; /* of each file, once it is read: what its pack must decode to */
};

/* The memory of a thread. */
struct tp_writer_memory {
    struct tp_work *work;
    struct tp_coder coder;
};

/* A chunk on its way from a worker to the file. */
struct tp_coded {
    uint8_t *src;
    uint32_t len;
    struct tp_coding coding; /* without bytes where it is RAW or SAME */
    bool ref_base;
    uint32_t ref;
    uint64_t content_hash, stored_hash; /* as in struct tp_chunk */
};

/* --- encode.c --- */

/* Train the coder for SEGMENT; always marks it as done. */
int tp_train_segment(struct tp_writer *w, uint32_t segment, struct tp_writer_memory *memory,
                     struct tp_error *err);

/*
 * Whether a chunk of S may be the same as CHUNK of this pack: what predicts others is not predicted
 * itself.
 */
bool tp_writer_may_refer(const struct tp_writer *w, const struct tp_segment *s, uint32_t chunk);
/* C is what CHUNK of this pack holds or, with one, of BASE. */
void tp_coded_set_same(struct tp_coded *c, uint32_t chunk, const struct tp_pack *base);

/* Read and code chunk CHUNK into OUT; waits until the coder is trained for its segment. */
int tp_encode_chunk(struct tp_writer *w, uint32_t chunk, struct tp_writer_memory *memory,
                    struct tp_coded *out, struct tp_error *err);

/* --- output.c --- */

/* Write the data area, the index and the footer to FD, and fill what the index still lacks. */
int tp_output_write(struct tp_writer *w, int fd, const char *path, struct tp_pack_report *report,
                    struct tp_error *err);

#endif
