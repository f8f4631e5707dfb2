/* SPDX-License-Identifier: MIT */
/*
 * Coding tensors. Tables are trained on samples of a tensor (train.c), the codecs that could pay
 * become candidates (candidates.c), and each chunk is coded by the one that makes it smallest
 * (encode.c). Writing a pack, estimating one and measuring how far two models are apart all do this
 * by these functions; none of them names a codec.
 */
#ifndef TP_STORE_CODE_H
#define TP_STORE_CODE_H

#include "codec/codec.h"
#include "codec/scratch.h"

/* The tensor, or the run of other bytes, that is coded: where its chunks come from. */
struct tp_code_source {
    enum tp_dtype dtype; /* TP_DTYPE_BYTES: no tensor, which only the general codec takes */
    uint64_t len;
    uint32_t chunk_size; /* of all chunks but the last */
    bool predicted;      /* PREDICT gives bytes for every chunk */
    /* Read chunk number CHUNK, LEN bytes, with TP_SLACK bytes after them. */
    int (*read)(void *arg, uint32_t chunk, void *dst, size_t len, struct tp_error *err);
    /*
     * The bytes that predict the chunk, valid until the next call. *WHOLE: a chunk that equals them
     * will not be coded but refer to them.
     */
    int (*predict)(void *arg, uint32_t chunk, size_t len, const uint8_t **out, bool *whole,
                   struct tp_error *err);
    void *arg;
};

/* --- encode.c --- */

uint32_t tp_code_chunk_n(const struct tp_code_source *source);
uint32_t tp_code_chunk_len(const struct tp_code_source *source, uint32_t chunk);

/* Which codecs may be used, and the effort of those that take one. */
struct tp_code_options {
    bool allowed[TP_CODEC_COUNT];
    int level;
};

/* --- candidates.c --- */

/*
 * From the name of a codec, NULL or "auto" for all of them; the general codec is allowed with any
 * but "raw". LEVEL 0 is the default. -EINVAL: there is no such codec, or it needs a base and
 * HAS_BASE is false; -ERANGE: there is no such level.
 */
int tp_code_options_set(struct tp_code_options *out, const char *codec, int level, bool has_base,
                        struct tp_error *err);

/* The memory of a thread that codes. */
#define TP_CODED_CAP (TP_CHUNK_MAX + TP_SLACK)
struct tp_coder {
    struct tp_scratch *scratch;
    uint8_t *src;   /* of TP_CODED_CAP: samples */
    uint8_t *spare; /* likewise: a second place for coded bytes */
};

/* --- encode.c --- */

int tp_coder_init(struct tp_coder *coder, struct tp_error *err);
void tp_coder_clear(struct tp_coder *coder);

/* Statistics of the codecs that are trained on one tensor. */
struct tp_trainer {
    enum tp_dtype dtype;
    struct tp_stats *stats[TP_CODEC_COUNT]; /* NULL: the codec was shown nothing */
};

/* --- train.c --- */

/* Whether CODEC, which may be NULL, can be trained for tensors of this dtype. */
bool tp_trainer_accepts(const struct tp_codec *codec, enum tp_dtype dtype);
/* Show LEN bytes, and BASE those that predict them, which only some codecs look at. -ENOMEM. */
int tp_trainer_add(struct tp_trainer *trainer, const struct tp_codec *codec, const void *src,
                   const void *base, size_t len, struct tp_error *err);
/*
 * Append the tables of a codec that was shown something; BITS is the coded size of an element that
 * they promise. -ENOMEM.
 */
int tp_trainer_finish(struct tp_trainer *trainer, const struct tp_codec *codec,
                      struct tp_buffer *tables, double *bits, struct tp_error *err);
void tp_trainer_clear(struct tp_trainer *trainer);

/* A codec that may code chunks of a tensor, with its tables. */
struct tp_candidate {
    const struct tp_codec *codec;
    struct tp_tables *tables;
    struct tp_buffer blob;
};

/* What the samples of a tensor promise of a codec. */
struct tp_promise {
    struct tp_candidate candidate; /* without a codec: none */
    double bits;                   /* for an element */
    bool partial;                  /* it was shown only the samples that are worth it */
};

/* What training has found; in the order of the codecs' numbers, the first of equals wins. */
struct tp_trained {
    bool try_general; /* a sample was smaller by the general codec than by the candidates */
    unsigned n;
    struct tp_candidate candidates[TP_CODEC_COUNT];
};
/*
 * Train on SAMPLE_MOST chunks of SOURCE, or on as many as a writer takes (0). The same chunks are
 * samples whatever the number of threads. OUT is for tp_trained_clear in any case.
 */
int tp_train(const struct tp_code_source *source, const struct tp_code_options *options,
             uint32_t sample_most, struct tp_coder *coder, struct tp_trained *out,
             struct tp_error *err);

/* --- candidates.c --- */

/*
 * Move the PROMISES, one for each codec, that are near enough to the best to be candidates to OUT,
 * and clear the others. Returns the bytes that SOURCE takes by the best, tables included.
 */
double tp_candidates_choose(const struct tp_code_source *source, struct tp_promise *promises,
                            struct tp_trained *out);
void tp_candidate_clear(struct tp_candidate *candidate);
void tp_trained_clear(struct tp_trained *trained);

/* A coded chunk. */
struct tp_coding {
    uint8_t codec; /* TP_CODEC_RAW: nothing made it smaller */
    uint32_t len;
    uint32_t cost;  /* LEN, and the tables that this chunk alone needs */
    uint8_t *bytes; /* of TP_CODED_CAP, the caller's; may be exchanged with the coder's spare */
};

/* --- encode.c --- */

/*
 * Code chunk number CHUNK, whose bytes are SRC, into OUT. TRAINED is NULL for what is no tensor.
 * The source is asked only for what predicts the chunk.
 */
int tp_code_chunk(const struct tp_code_source *source, uint32_t chunk, const uint8_t *src,
                  const struct tp_trained *trained, const struct tp_code_options *options,
                  struct tp_coder *coder, struct tp_coding *out, struct tp_error *err);
/* The general codec's size of LEN bytes in DST of CAP; 0: not smaller than CAP. */
size_t tp_code_general(const struct tp_code_options *options, struct tp_coder *coder,
                       const void *src, size_t len, void *dst, size_t cap);

#endif
