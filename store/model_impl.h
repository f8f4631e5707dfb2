/* SPDX-License-Identifier: MIT */
/* What the parts of the model reader share: opening (model.c) and reading (model_read.c). */
#ifndef TP_STORE_MODEL_IMPL_H
#define TP_STORE_MODEL_IMPL_H

#include <pthread.h>

#include "store/model.h"
#include "tensor/safetensors.h"

/* Files of a plain model that stay open. Further files are opened for one read. */
enum { TP_MODEL_OPEN_FILES = 8 };

struct tp_model_slot {
    int fd; /* -1: none */
    uint32_t file;
    unsigned users;
    uint64_t used; /* clock at the last use */
};

struct tp_decoder;

struct tp_model_impl {
    pthread_mutex_t lock; /* protects slots, clock, decoders and readers */
    /* For a directory. */
    char *path;
    struct tp_modeldir dir;
    struct tp_safetensors *headers; /* of the files that have headers */
    uint32_t header_n;
    char **problems; /* of each file */
    int dirfd;
    struct tp_model_slot slots[TP_MODEL_OPEN_FILES];
    uint64_t clock;
    /* For a pack. */
    struct tp_pack *pack;
    struct tp_engine *engine;
    struct tp_reader **readers;  /* with an engine: for each file, opened by its first read */
    struct tp_decoder *decoders; /* without an engine: those that no thread uses */
    const atomic_int *cancel;
    uint64_t decoded_most;
    atomic_ullong decoded;
};

/* --- model.c --- */

/* The pack of a model, or NULL; the path of the directory of one that has none. */
struct tp_pack *tp_model_pack(const struct tp_model *model);
const char *tp_model_path(const struct tp_model *model);

/* --- model_read.c --- */

/* Get a descriptor of the plain FILE, for reading until tp_model_fd_put with *SLOT. */
int tp_model_fd_get(struct tp_model *model, uint32_t file, int *fd, struct tp_model_slot **slot,
                    struct tp_error *err);
void tp_model_fd_put(struct tp_model *model, int fd, struct tp_model_slot *slot);
/* Close the readers, decoders and descriptors of a model that no thread uses. */
void tp_model_close_files(struct tp_model *model);

#endif
