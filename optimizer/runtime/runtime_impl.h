/* SPDX-License-Identifier: MIT */
/* What the files of the runtime share. */
#ifndef TP_OPTIMIZER_RUNTIME_RUNTIME_IMPL_H
#define TP_OPTIMIZER_RUNTIME_RUNTIME_IMPL_H

#include "optimizer/runtime/families.h"
#include "optimizer/runtime/runtime.h"
#include "optimizer/runtime/team.h"

/* Space for the longest name that a family gives to a tensor. */
#define TP_TENSOR_NAME_MAX 128
typedef char tp_tensor_name[TP_TENSOR_NAME_MAX];

/*
 * Rows of activations that go through a layer together. More rows use a matrix that was expanded
 * more often, but the buffers leave the caches.
 */
#define TP_GROUP_ROWS 512

struct tp_runtime {
    struct tp_arch arch;
    struct tp_model *model;
    struct tp_runtime *owner; /* of the threads and of buffers: this one, or another */
    struct tp_team *team;
    const atomic_int *cancel;
    enum tp_dtype dtype;    /* activations are rounded to it: F32, BF16 or F16 */
    enum tp_dtype products; /* the same, or I8: of tp_linear_multiply */
    uint64_t multiplied,
        multiplied_integers; /* by matrices: multiplications, and those of integers */

    bool *has_weights;  /* by the number of a file of the model: its tensors count */
    bool weights_named; /* the files are those of a fixed name, or of an index */

    /* Names: which of the family's prefixes, or "", and of the head's names the file has. */
    const char *prefix;
    const char *head_name; /* NULL: the file has no head of its own */
    bool no_embedding;     /* the head's tensor is the embedding */

    /* The first and the last step, once they are loaded. */
    bool embedding_loaded, head_loaded;
    struct tp_linear embedding, positions;
    struct tp_linear head; /* form NULL: the embedding */
    struct tp_norm final_norm;

    struct tp_layer *layers; /* LAYER_N; NULL: not loaded */

    float *buffer; /* of pass.c, the owner's; BUFFER_N elements */
    size_t buffer_n;
    float *logits; /* of the last step, likewise: a new one would be filled with zeros each time */
    size_t logits_n;
};

/* --- weights_files.c --- */

/*
 * Find the files whose tensors count, as transformers does: model.safetensors; without it those
 * that model.safetensors.index.json names; without both all safetensors files of the top folder.
 * -ENOENT: a named file is not there; -EBADMSG: the index makes no sense.
 */
int tp_weights_find(struct tp_runtime *rt, struct tp_error *err);

/* --- weights.c: names, shapes and sizes --- */

/* Compare the model's tensors with the architecture; find out which names it uses. */
int tp_weights_check(struct tp_runtime *rt, struct tp_error *err);
/* The members of weights. */
void tp_weights_need(const struct tp_runtime *rt, struct tp_runtime_need *out);

/* The dimensions of a layer's matrix; false: the family has no such matrix. */
bool tp_role_shape(const struct tp_arch *arch, enum tp_role role, uint32_t *out, uint32_t *in);
bool tp_role_has_bias(const struct tp_arch *arch, enum tp_role role);
uint32_t tp_norm_width(const struct tp_arch *arch, enum tp_norm_role role);

/* Names of tensors: NAME is that of the family's table, SUFFIX "weight" or "bias". */
void tp_layer_tensor_name(const struct tp_runtime *rt, uint32_t layer, const char *name,
                          const char *suffix, tp_tensor_name out);
void tp_end_tensor_name(const struct tp_runtime *rt, const char *name, const char *suffix,
                        tp_tensor_name out);
void tp_head_tensor_name(const struct tp_runtime *rt, tp_tensor_name out);
/* *OUT is NULL where there is no such tensor. -EBADMSG: two files have it. */
int tp_tensor_find(const struct tp_runtime *rt, const char *name,
                   const struct tp_model_tensor **out, struct tp_error *err);

/* --- weights_read.c --- */

int tp_embedding_load(struct tp_runtime *rt, struct tp_error *err);
int tp_head_load(struct tp_runtime *rt, struct tp_error *err);
void tp_layers_clear(struct tp_runtime *rt);

/* --- runtime.c --- */

/* -ECANCELED, once the caller asked to stop. */
int tp_runtime_check_cancel(const struct tp_runtime *rt, struct tp_error *err);

/* --- cache.c --- */

/*
 * A layer that sees a window only has space for the window and for a group of rows, where position
 * p is at p % POSITION_N: its older keys and values make place for new ones.
 */
struct tp_cache_layer {
    size_t at; /* of its data */
    uint32_t position_n;
};

struct tp_cache {
    enum tp_dtype dtype;
    unsigned element; /* bytes */
    uint32_t sequence_n, position_n, kv_head_n, head_dim;
    uint32_t window, ring; /* of the layers with fewer than POSITION_N positions; RING 0: none */
    uint32_t *lengths;     /* SEQUENCE_N */
    uint64_t *ends;        /* SEQUENCE_N: positions that were written to, of truncated tokens too */
    uint32_t *tokens;      /* [sequence][position] */
    struct tp_cache_layer *layers;
    uint8_t *data; /* [layer][keys, values][sequence][kv head][its positions][head_dim] */
};

/* Bytes of a cache; false: more than 64 bits. */
bool tp_cache_bytes(const struct tp_runtime *rt, uint64_t sequences, uint64_t positions,
                    uint64_t *out);
uint32_t *tp_cache_tokens(const struct tp_cache *cache, uint32_t sequence);
/* False: a token after those of SEQUENCE sees keys that others have replaced. */
bool tp_cache_is_whole(const struct tp_cache *cache, uint32_t sequence);
/* The keys (or values) of one head. */
void *tp_cache_head(const struct tp_cache *cache, uint32_t layer, bool values, uint32_t sequence,
                    uint32_t kv_head);

/* --- pass.c --- */

/* Where heads of queries, keys and values are in a row of TP_STAGE_QKV, in elements. */
struct tp_places {
    size_t width;
    size_t q, k, v;         /* of the first head of keys, and its first head of queries */
    size_t q_step, kv_step; /* to those of the next head of keys */
    uint32_t share;         /* heads of queries for each head of keys */
};
void tp_pass_places(const struct tp_arch *arch, struct tp_places *out);
/* The attention of a layer, without keys and values. */
struct tp_attention tp_pass_attention(const struct tp_arch *arch, uint32_t layer);

/* Bytes of its buffers for windows of at most POSITIONS tokens; false: more than 64 bits. */
bool tp_pass_bytes(const struct tp_runtime *rt, uint64_t positions, bool cached, uint64_t *out);
/* One layer. CACHE may be NULL; its lengths are those before the pass. */
int tp_pass_layer(struct tp_runtime *rt, const struct tp_layer *layer,
                  const struct tp_window *windows, uint32_t n, struct tp_cache *cache,
                  float *hidden, const struct tp_watch *watch, struct tp_error *err);
/* tp_linear_multiply as RT computes, and count the multiplications. */
void tp_pass_multiply(struct tp_runtime *rt, const struct tp_product *products, unsigned n,
                      const float *x, size_t x_stride, size_t rows);
/* Apply NORM to rows, in the kind of the architecture, and round. X may be DST. */
void tp_pass_norm(struct tp_runtime *rt, const struct tp_norm *norm, size_t width, size_t rows,
                  const float *x, float *dst);

#endif
