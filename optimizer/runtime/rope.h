/* SPDX-License-Identifier: MIT */
/*
 * Rotary position embeddings: the frequencies of a model, by the scaling of its config.
 *
 * All arithmetic is in fp32 and in the order of transformers, since at a large position an angle
 * shows each rounding of its frequency.
 */
#ifndef TP_OPTIMIZER_RUNTIME_ROPE_H
#define TP_OPTIMIZER_RUNTIME_ROPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct tp_json;

enum tp_rope_kind {
    TP_ROPE_DEFAULT,
    TP_ROPE_LINEAR,
    TP_ROPE_DYNAMIC, /* the base grows with the length of the sequence */
    TP_ROPE_YARN,
    TP_ROPE_LLAMA3,
    TP_ROPE_LONG, /* two lists of factors: for sequences of the original length, and longer */
};

#define TP_ROPE_DIM_MAX 1024

struct tp_rope {
    enum tp_rope_kind kind;
    uint32_t dim; /* elements of a head that are rotated, its first ones; even; 0: none */
    double theta, factor;
    float scale;         /* of cosines and sines */
    uint64_t position_n; /* max_position_embeddings */
    uint64_t original_n; /* original_max_position_embeddings */
    uint32_t divisor;    /* of the exponents: DIM before it was made even */
    float *frequencies;  /* DIM / 2, in radians for each position */
    float *longer;       /* TP_ROPE_LONG: those of sequences longer than ORIGINAL_N */
};

/* What tp_rope_init needs beside the parameters themselves. */
struct tp_rope_model {
    const char *key;    /* the parameters' own key in config.json, for messages */
    double theta;       /* where PARAMETERS has none */
    double partial;     /* likewise: the part of a head that is rotated */
    bool partial_known; /* the family can rotate a part */
    bool only_long;     /* the kinds are "default" and "longrope", also called "su" and "yarn" */
    uint32_t head_dim;
    uint64_t position_n; /* max_position_embeddings */
    uint64_t original_n; /* the config's own original_max_position_embeddings; 0: none */
};

/*
 * By PARAMETERS, an object as "rope_parameters" or "rope_scaling", or NULL: the defaults.
 * -EOPNOTSUPP: a kind or a key that is not implemented; -EINVAL: a value that makes no sense.
 */
int tp_rope_init(struct tp_rope *rope, const struct tp_json *parameters,
                 const struct tp_rope_model *model, struct tp_error *err);
void tp_rope_clear(struct tp_rope *rope);

/*
 * The DIM / 2 frequencies of a sequence of LENGTH positions. SPACE has TP_ROPE_DIM_MAX / 2
 * elements; the result lies in it or in ROPE.
 */
const float *tp_rope_frequencies(const struct tp_rope *rope, uint64_t length, float *space);
/* COS and SIN, DIM / 2 of each, of POSITION. */
void tp_rope_angles(const struct tp_rope *rope, const float *frequencies, uint64_t position,
                    float *cos, float *sin);
/*
 * Whether keys that were rotated in a sequence of BEFORE positions must be computed anew once it
 * has AFTER: the factors of TP_ROPE_LONG change. The older keys of TP_ROPE_DYNAMIC stay as they
 * are, as in transformers.
 */
bool tp_rope_changes(const struct tp_rope *rope, uint64_t before, uint64_t after);

#endif
