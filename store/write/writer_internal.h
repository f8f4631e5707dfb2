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

/* A segment and what training found for it. */
struct tp_writer_segment {
    bool done; /* training has ended */
    struct tp_trained trained;
};

struct tp_writer {
    struct tp_plan plan;
    const struct tp_pack_options *options;
    struct tp_code_options code;
    struct tp_chunkmap *in_base; /* NULL: no base */
    struct tp_chunkmap *in_pack;
    struct tp_writer_segment *segments; /* of the index */
    pthread_mutex_t lock;               /* protects segments[].done and training_n */
    pthread_cond_t segment_trained;
    unsigned training_n;          /* segments that are being trained now */
    struct tp_file_print *prints; /* of each file that was read: what the pack must decode to */
};

/* The memory of a thread. */
struct tp_writer_memory {
    struct tp_work *work;
    struct tp_coder coder;
};

/* A coded chunk on its way to the file. */
struct tp_coded {
    uint8_t *src;
    uint32_t len;
    struct tp_coding coding; /* without bytes if it is RAW or SAME */
    bool ref_base;
    uint32_t ref;
    uint64_t content_hash, stored_hash; /* as in struct tp_chunk */
};

/* --- encode.c --- */

/* Train the coder for SEGMENT, and mark it as done even after an error. */
int tp_train_segment(struct tp_writer *w, uint32_t segment, struct tp_writer_memory *memory,
                     struct tp_error *err);

/*
 * Whether a chunk of S may refer to CHUNK of this pack: a file that predicts others must not depend
 * on other files.
 */
bool tp_writer_may_refer(const struct tp_writer *w, const struct tp_segment *s, uint32_t chunk);
/* Make C a reference to CHUNK of BASE or, if BASE is NULL, of this pack. */
void tp_coded_set_same(struct tp_coded *c, uint32_t chunk, const struct tp_pack *base);

/* Read and code chunk CHUNK into OUT. Waits until the coder is trained for its segment. */
int tp_encode_chunk(struct tp_writer *w, uint32_t chunk, struct tp_writer_memory *memory,
                    struct tp_coded *out, struct tp_error *err);

/* --- output.c --- */

/* Write the data area, the index and the footer to FD, and complete the index. */
int tp_output_write(struct tp_writer *w, int fd, const char *path, struct tp_pack_report *report,
                    struct tp_error *err);

#endif
