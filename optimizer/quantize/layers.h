/* SPDX-License-Identifier: MIT */
/*
 * A file with the quantized layers of a model, from the first on, in the form in which a pack has
 * them. A pass over the layers appends to it. It becomes a pack when all layers are there; a pass
 * that was interrupted continues with the layer after the last whole one. Every tensor has a hash,
 * which is checked when it is read; nothing is synced.
 *
 *   for each layer: a header of 64 bytes
 *     u32 magic, u32 number of the layer, u64 bytes of its tensors, f64 seconds, xxh3 of these
 *   and for each tensor of it: a header of 64 bytes
 *     u32 kind, u32 0, u64 bytes, u64 xxh3 of the bytes, xxh3 of these
 *   and its bytes, a packed matrix or bf16 numbers, with zeros up to a multiple of 64
 */
#ifndef TP_OPTIMIZER_QUANTIZE_LAYERS_H
#define TP_OPTIMIZER_QUANTIZE_LAYERS_H

#include "optimizer/quantize/tensors.h"

struct tp_layer_file {
    char *path;
    int fd;
    uint32_t n; /* whole layers */
    struct tp_layer_place {
        uint64_t begin;
        double seconds; /* that quantizing it took */
    } * places;         /* of these, and of the one that is appended */
    size_t cap;
    uint64_t at; /* of its next tensor */
};

/*
 * Open or create the file PATH; UNNAMED: a file in PATH's directory that has no name. MOST: the
 * layers of the model. OUT is for tp_layer_file_close in any case.
 */
int tp_layer_file_open(const char *path, bool unnamed, uint32_t most, struct tp_layer_file *out,
                       struct tp_error *err);
void tp_layer_file_close(struct tp_layer_file *file);
/* That quantizing the whole layers took. */
double tp_layer_file_seconds(const struct tp_layer_file *file);

/*
 * Append a layer: tp_layer_file_begin, tensors into the output, tp_layer_file_end. A layer that is
 * not ended is not there. SECONDS: how long quantizing it took.
 */
int tp_layer_file_begin(struct tp_layer_file *file, struct tp_error *err);
struct tp_tensor_output tp_layer_file_output(struct tp_layer_file *file);
int tp_layer_file_end(struct tp_layer_file *file, double seconds, struct tp_error *err);

/*
 * Put the tensors of whole layer LAYER, in the order of tp_quantized_put_layer. -EBADMSG: it is
 * damaged; it and those after it are removed, so that a pass can append them again.
 */
int tp_layer_file_put(struct tp_layer_file *file, uint32_t layer, const struct tp_tensor_output *to,
                      struct tp_error *err);

#endif
