/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the pack writer share: learning (learn.c), coding (encode.c), output
 * (output.c).
 */
#ifndef TP_STORE_WRITER_INTERNAL_H
#define TP_STORE_WRITER_INTERNAL_H

#include <pthread.h>

#include "store/write/plan.h"
#include "store/verify.h"
#include "store/pack/window.h"

/* Tensor codecs, the cheapest to decode first: on equal size the first wins. */
#define TP_TENSOR_CODEC_N 3
extern const enum tp_codec_id tp_tensor_codecs[TP_TENSOR_CODEC_N];

/* A codec that may code chunks of a segment, with what was learned for it. */
struct tp_candidate {
    const struct tp_codec *codec;
    struct tp_tables *tables;
    struct tp_buffer blob;
};

struct tp_learned {
    bool done;
    bool try_zstd; /* a sample of the segment was smaller by zstd than by what was learned */
    unsigned n;
    struct tp_candidate candidates[TP_TENSOR_CODEC_N];
};

struct tp_writer {
    struct tp_plan plan;
    const struct tp_pack_options *options;
    int zstd_level;
    bool allowed[TP_CODEC_COUNT];
    struct tp_chunkmap *in_base; /* NULL without a base */
    struct tp_chunkmap *in_pack;
    struct tp_learned *learned; /* of each segment */
    pthread_mutex_t lock;       /* over learned[].done and learning */
    pthread_cond_t learned_one;
    unsigned learning;            /* segments being learned now: each takes memory */
    struct tp_file_print *prints; /* of each file, once it is read: what its pack must decode to */
};

/* The memory of a worker. */
struct tp_coder {
    struct tp_work *work;
    uint8_t *spare; /* a second place for coded bytes */
    uint8_t *src;   /* samples */
};

/* A chunk on its way from a worker to the file. */
struct tp_coded {
    uint8_t *src;
    uint8_t *bytes; /* coded, unless RAW or SAME */
    uint32_t len, stored_len;
    uint32_t cost; /* stored_len, and the tables that this chunk alone would need */
    uint8_t codec;
    bool ref_base;
    uint32_t ref;
    uint64_t content_hash, stored_hash; /* as in struct tp_chunk */
};

#define TP_CODED_CAP (TP_CHUNK_MAX + TP_SLACK)

/* Read LEN bytes at OFF of file FILE of the model directory. */
int tp_writer_read(struct tp_writer *w, uint32_t file, void *dst, size_t len, uint64_t off,
                   struct tp_error *err);

/* The predictor's bytes for chunk number NTH of segment S, which has one. */
int tp_writer_window(struct tp_writer *w, const struct tp_segment *s, uint32_t nth, uint32_t len,
                     struct tp_work *work, struct tp_window_view *view, struct tp_error *err);

/* Decide which codecs chunks of SEGMENT may use; always marks it as done. */
int tp_learn_segment(struct tp_writer *w, uint32_t segment, struct tp_coder *coder,
                     struct tp_error *err);
void tp_learned_clear(struct tp_learned *learned);

/*
 * Whether a chunk of S may be the same as CHUNK of this pack: what predicts others is not predicted
 * itself.
 */
bool tp_writer_may_refer(const struct tp_writer *w, const struct tp_segment *s, uint32_t chunk);
/* C is what CHUNK of this pack holds or, with one, of BASE. */
void tp_coded_set_same(struct tp_coded *c, uint32_t chunk, const struct tp_pack *base);

/* Read and code chunk CHUNK into OUT; waits until its segment is learned. */
int tp_encode_chunk(struct tp_writer *w, uint32_t chunk, struct tp_coder *coder,
                    struct tp_coded *out, struct tp_error *err);
/* zstd's size of these bytes in DST of CAP, 0: not smaller than CAP. */
size_t tp_encode_zstd(const struct tp_writer *w, struct tp_work *work, const void *src, size_t len,
                      void *dst, size_t cap);

/* Write the data area, the index and the footer to FD, and fill what the index still lacks. */
int tp_output_write(struct tp_writer *w, int fd, const char *path, struct tp_pack_report *report,
                    struct tp_error *err);

#endif
