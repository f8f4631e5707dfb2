/* SPDX-License-Identifier: MIT */
/*
 * The runtime: it computes the logits of a language model from tokens.
 *
 * A runtime belongs to one model. Its forward pass can be called in two ways. With all weights in
 * memory (tp_runtime_load) tp_runtime_forward does everything, with a cache or without. For a model
 * that is larger than memory the caller makes the same steps itself, and holds the activations:
 *
 *     tp_runtime_embed(...);
 *     for each layer: tp_runtime_read_layer(...); tp_runtime_layer(...); tp_layer_clear(...);
 *     tp_runtime_logits(...);
 *
 * Activations are fp32, [rows][hidden], where the rows are the tokens of all windows in order.
 * Results do not depend on the number of threads. A NaN in the weights gives NaN in the logits.
 *
 * A runtime is for one thread at a time.
 */
#ifndef TP_OPTIMIZER_RUNTIME_RUNTIME_H
#define TP_OPTIMIZER_RUNTIME_RUNTIME_H

#include <stdatomic.h>

#include "optimizer/runtime/arch.h"
#include "optimizer/runtime/layer.h"
#include "store/model.h"

struct tp_runtime;
struct tp_cache;

/*
 * BF16, F16: activations are rounded to this dtype where transformers rounds them when it computes
 * in it: the outputs of norms, matrices, activations, additions, attention; so are weights of
 * another dtype. What is above 65504 is infinite in fp16. In BF16, products of many tokens depend
 * on the instruction set, within a tolerance (tp_bf16_multiply), and round quantized weights to
 * bf16. INT8: what is multiplied with quantized matrices is rounded to 8 bits in blocks, where
 * their codes are integers (tp_int8_has); all else is as in F32.
 */
enum tp_compute { TP_COMPUTE_F32, TP_COMPUTE_BF16, TP_COMPUTE_F16, TP_COMPUTE_INT8 };

struct tp_runtime_options {
    enum tp_compute compute;
    unsigned threads;         /* 0: one for each CPU that this process may use */
    const atomic_int *cancel; /* once non-zero, calls return -ECANCELED; may be NULL */
    /*
     * Another runtime, whose threads and buffers this one uses instead of its own. It outlives this
     * one, and the two are for one thread at a time. THREADS does not count then. May be NULL.
     */
    struct tp_runtime *share;
};

/*
 * Open MODEL, which must outlive the runtime. It reads config.json and compares the names and
 * shapes of all tensors with it, but no weights. OPTIONS may be NULL. -EOPNOTSUPP: see
 * tp_arch_init, or a dtype of weights that is not BF16, F16 or F32; -ENOENT: no config.json, or a
 * tensor is missing; -EBADMSG: config.json is damaged, a tensor has another shape than the config
 * says, or two files have it.
 */
int tp_runtime_open(struct tp_model *model, const struct tp_runtime_options *options,
                    struct tp_runtime **out, struct tp_error *err);
void tp_runtime_close(struct tp_runtime *rt); /* NULL is allowed */

const struct tp_arch *tp_runtime_arch(const struct tp_runtime *rt);
unsigned tp_runtime_threads(const struct tp_runtime *rt);
struct tp_team *tp_runtime_team(struct tp_runtime *rt); /* its threads */
/* Of all multiplications by matrices so far the share of those of integers: with INT8, where codes
 * are integers. NAN: there were none. */
double tp_runtime_integer_share(const struct tp_runtime *rt);

/* --- weights_files.c --- */

/* The bytes of all tensors in the files that have the model's weights, whether it uses them or not.
 */
uint64_t tp_runtime_tensor_bytes(const struct tp_runtime *rt);

/* --- weights.c --- */

/* The bytes of all weights of the model as its files have them, tied ones once. */
uint64_t tp_runtime_weight_bytes(const struct tp_runtime *rt);
/* Announce that layer NUMBER will be read soon (tp_model_prefetch). It may be any number. */
void tp_runtime_prefetch_layer(const struct tp_runtime *rt, uint32_t number);

/* --- Memory: what a call will need, in bytes. UINT64_MAX: more than 64 bits can say. --- */

struct tp_runtime_need {
    uint64_t all_weights;   /* tp_runtime_load */
    uint64_t largest_layer; /* the most that tp_runtime_read_layer allocates */
    uint64_t embedding;     /* with the learned positions */
    uint64_t head;          /* with the final norm; a tied one is the embedding */
    uint64_t ends;          /* both */
    uint64_t cache;         /* of SEQUENCES sequences of POSITIONS positions each */
    uint64_t scratch;       /* a forward pass over windows of at most POSITIONS tokens, beside the
                               activations */
    uint64_t activations;   /* of all SEQUENCES * POSITIONS rows */
};

/* --- runtime.c --- */

void tp_runtime_need(const struct tp_runtime *rt, uint64_t sequences, uint64_t positions,
                     struct tp_runtime_need *out);
/* Generating: WEIGHTS bytes, with cache, scratch and activations. */
uint64_t tp_runtime_generating_bytes(const struct tp_runtime *rt, uint64_t weights,
                                     uint64_t sequences, uint64_t positions);

/* --- weights_read.c: weights --- */

/* Read all weights into memory, once. It may be called again, and then does nothing. */
int tp_runtime_load(struct tp_runtime *rt, struct tp_error *err);
/*
 * Read layer NUMBER into OUT, which is the caller's to clear. The pack's chunks are decoded, and
 * matrices keep the dtype of the file.
 */
int tp_runtime_read_layer(struct tp_runtime *rt, uint32_t number, struct tp_layer *out,
                          struct tp_error *err);
/*
 * The first and the last step of a pass need the embedding, and the head with the final norm. They
 * read these unless they are there; tp_runtime_drop_ends frees the memory in between. Not with all
 * weights loaded.
 */
int tp_runtime_load_ends(struct tp_runtime *rt, struct tp_error *err);
void tp_runtime_drop_ends(struct tp_runtime *rt);

/* --- runtime.c --- */

/* A loaded layer, whose linears may be replaced while no pass is running; NULL: not loaded. */
struct tp_layer *tp_runtime_loaded_layer(struct tp_runtime *rt, uint32_t number);
/* The matrix of the logits: a tied embedding, or the head. Embedding and head must be loaded. */
const struct tp_linear *tp_runtime_head(const struct tp_runtime *rt);
/*
 * The tensor that holds the matrix of ROLE; NULL: the family has none. Its shape is that of the
 * file, [in][out] with struct tp_arch's TRANSPOSED.
 */
const struct tp_model_tensor *tp_runtime_tensor(const struct tp_runtime *rt, uint32_t layer,
                                                enum tp_role role);

/* --- runtime.c: the forward pass --- */

/*
 * Tokens that follow each other. Without a cache the first one is at position 0; with a cache they
 * follow what its sequence SEQUENCE has, and are appended to it.
 */
struct tp_window {
    const uint32_t *tokens;
    uint32_t n;         /* tokens; at least 1 */
    uint32_t logits_at; /* logits are wanted of the tokens from this one on; N: of none */
    uint32_t sequence;  /* of the cache; each at most once in a pass */
};

/*
 * The VOCAB logits that follow token AT of window WINDOW (counted from 0 in the window). They are
 * the callback's until it returns. It is called once for each wanted token, in any order, from
 * several threads at once. A negative result ends the pass, and is its result.
 */
typedef int (*tp_logits_fn)(void *arg, uint32_t window, uint32_t at, const float *logits);

/*
 * Compute the logits of N windows. All weights must be loaded. CACHE may be NULL. -EINVAL: a token
 * that the vocabulary does not have, no tokens, or more than the cache or the model has positions
 * for; then nothing was appended. After another failure each sequence is as it was, or empty.
 */
int tp_runtime_forward(struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                       struct tp_cache *cache, tp_logits_fn fn, void *arg, struct tp_error *err);

/* --- cache.c --- */

/*
 * The keys and values of SEQUENCES sequences with space for POSITIONS tokens each: fp32, or
 * the dtype that the runtime computes in. Layers that see a window only keep little more than that.
 */
int tp_cache_create(const struct tp_runtime *rt, uint32_t sequences, uint32_t positions,
                    struct tp_cache **out, struct tp_error *err);
void tp_cache_destroy(struct tp_cache *cache); /* NULL is allowed */
uint32_t tp_cache_length(const struct tp_cache *cache, uint32_t sequence);
/* Forget the tokens from position LENGTH on. */
void tp_cache_truncate(struct tp_cache *cache, uint32_t sequence, uint32_t length);

/* --- The same in steps, without a cache --- */

/* What a layer computes between its steps. */
enum tp_stage {
    TP_STAGE_QKV,     /* queries, keys and values, as the matrices give them */
    TP_STAGE_HEADS,   /* the same with norms and rotations */
    TP_STAGE_O,       /* the output of o */
    TP_STAGE_GATE_UP, /* the outputs of gate and up in a row, or that of up */
    TP_STAGE_DOWN,    /* the output of down */
};

/* What a layer's matrices read, and what comes between: called in the caller's thread, for all
 * rows, in pieces. Either function may be NULL. */
struct tp_watch {
    void (*input)(void *arg, enum tp_role role, const float *x, size_t rows, size_t stride,
                  size_t width);
    void *arg;
    void (*state)(void *arg, enum tp_stage stage, const float *x, size_t rows, size_t width);
};

/* --- runtime.c --- */

/* The embeddings of all windows' tokens: HIDDEN has a row for each. */
int tp_runtime_embed(struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                     float *hidden, struct tp_error *err);
/* One layer, in place. WATCH may be NULL. Matrices that read the same input are reported once,
 * by the first role. */
int tp_runtime_layer(struct tp_runtime *rt, const struct tp_layer *layer,
                     const struct tp_window *windows, uint32_t n, float *hidden,
                     const struct tp_watch *watch, struct tp_error *err);
/*
 * Final norm and head. HIDDEN is not changed. LOGITS may be asked of a part of the windows: HIDDEN
 * then has the rows of these.
 */
int tp_runtime_logits(struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                      const float *hidden, tp_logits_fn fn, void *arg, struct tp_error *err);

#endif
