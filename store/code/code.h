/* SPDX-License-Identifier: MIT */
/*
 * Coding tensors. train.c trains the codecs on samples of a tensor, candidates.c chooses those that
 * could pay, and encode.c codes each chunk with the one that makes it smallest. Writing a pack,
 * estimating one and measuring the distance of two models all use these functions. None of them
 * names a codec.
 */
#ifndef TP_STORE_CODE_H
#define TP_STORE_CODE_H

#include "codec/codec.h"
#include "codec/scratch.h"

/* What is coded: a tensor, or a run of other bytes, in chunks. */
struct tp_code_source {
    enum tp_dtype dtype; /* TP_DTYPE_BYTES: not a tensor; only the general codec codes it */
    uint64_t len;
    uint32_t chunk_size; /* of all chunks but the last */
    bool predicted;      /* PREDICT gives bytes for every chunk */
    /* Read chunk number CHUNK, LEN bytes, with TP_SLACK bytes after them. */
    int (*read)(void *arg, uint32_t chunk, void *dst, size_t len, struct tp_error *err);
    /*
     * Gives the bytes that predict chunk number CHUNK, valid until the next call. Sets *WHOLE if a
     * chunk that equals these bytes is not coded but becomes a reference to them.
     */
    int (*predict)(void *arg, uint32_t chunk, size_t len, const uint8_t **out, bool *whole,
                   struct tp_error *err);
    void *arg;
};

/* --- encode.c --- */

uint32_t tp_code_chunk_n(const struct tp_code_source *source);
uint32_t tp_code_chunk_len(const struct tp_code_source *source, uint32_t chunk);

/* The codecs that may be used, and the level of those that have levels. */
struct tp_code_options {
    bool allowed[TP_CODEC_COUNT];
    int level;
};

/* --- candidates.c --- */

/*
 * Set options from the name of a codec; NULL or "auto" allows all. The general codec is allowed
 * too, except with "raw". LEVEL 0 is the default level. -EINVAL: there is no such codec, or it
 * needs a base and HAS_BASE is false. -ERANGE: there is no such level.
 */
int tp_code_options_set(struct tp_code_options *out, const char *codec, int level, bool has_base,
                        struct tp_error *err);

/* The memory of a thread that codes. */
#define TP_CODED_CAP (TP_CHUNK_MAX + TP_SLACK)
struct tp_coder {
    struct tp_scratch *scratch;
    uint8_t *src;   /* of TP_CODED_CAP bytes: samples */
    uint8_t *spare; /* of TP_CODED_CAP bytes: a second buffer for coded bytes */
};

/* --- encode.c --- */

int tp_coder_init(struct tp_coder *coder, struct tp_error *err);
void tp_coder_clear(struct tp_coder *coder);

/* Statistics of the codecs that are trained on one tensor. */
struct tp_trainer {
    enum tp_dtype dtype;
    struct tp_stats *stats[TP_CODEC_COUNT]; /* NULL: no samples were added for this codec */
};

/* --- train.c --- */

/* Whether CODEC, which may be NULL, can be trained for tensors of this dtype. */
bool tp_trainer_accepts(const struct tp_codec *codec, enum tp_dtype dtype);
/*
 * Add a sample of LEN bytes. BASE has the bytes that predict it; only some codecs use them.
 * -ENOMEM.
 */
int tp_trainer_add(struct tp_trainer *trainer, const struct tp_codec *codec, const void *src,
                   const void *base, size_t len, struct tp_error *err);
/*
 * Append the tables of a codec that has samples. BITS: the coded size of an element that these
 * tables promise. -ENOMEM.
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

/* What the samples of a tensor promise for a codec. */
struct tp_promise {
    struct tp_candidate candidate; /* codec NULL: none */
    double bits;                   /* coded bits for each element */
    bool partial;                  /* trained only on the samples that suit the codec */
};

/*
 * The result of training. Candidates are in the order of the codecs' numbers; of equal codings the
 * first one wins.
 */
struct tp_trained {
    bool try_general; /* a sample was smaller with the general codec than with the candidates */
    unsigned n;
    struct tp_candidate candidates[TP_CODEC_COUNT];
};
/*
 * Train on at most SAMPLE_MOST chunks of SOURCE; 0: as many as the writer uses. The same chunks are
 * sampled with any number of threads. Clear OUT with tp_trained_clear, also after an error.
 */
int tp_train(const struct tp_code_source *source, const struct tp_code_options *options,
             uint32_t sample_most, struct tp_coder *coder, struct tp_trained *out,
             struct tp_error *err);

/* --- candidates.c --- */

/*
 * Move the promises that are near enough to the best to OUT as candidates, and clear the others.
 * PROMISES has one for each codec. Returns the bytes that SOURCE takes with the best candidate,
 * tables included.
 */
double tp_candidates_choose(const struct tp_code_source *source, struct tp_promise *promises,
                            struct tp_trained *out);
void tp_candidate_clear(struct tp_candidate *candidate);
void tp_trained_clear(struct tp_trained *trained);

/* A coded chunk. */
struct tp_coding {
    uint8_t codec; /* TP_CODEC_RAW: nothing made it smaller */
    uint32_t len;
    uint32_t cost;  /* LEN, plus the tables if only this chunk needs them */
    uint8_t *bytes; /* of TP_CODED_CAP bytes, owned by the caller; may be exchanged with the coder's
                       spare buffer */
};

/* --- encode.c --- */

/*
 * Code chunk number CHUNK with bytes SRC into OUT. TRAINED is NULL for bytes that are not a tensor.
 * SOURCE is asked only for the bytes that predict the chunk.
 */
int tp_code_chunk(const struct tp_code_source *source, uint32_t chunk, const uint8_t *src,
                  const struct tp_trained *trained, const struct tp_code_options *options,
                  struct tp_coder *coder, struct tp_coding *out, struct tp_error *err);
/*
 * Code LEN bytes into DST with the general codec. Returns the coded size, or 0 if it is not smaller
 * than CAP.
 */
size_t tp_code_general(const struct tp_code_options *options, struct tp_coder *coder,
                       const void *src, size_t len, void *dst, size_t cap);

#endif
