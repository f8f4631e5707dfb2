/* SPDX-License-Identifier: MIT */
/*
 * A model reader: gives a plain directory or a pack, with or without a base, as files and tensors
 * that are found by name, and reads any range of their bytes.
 *
 * Opening reads headers only. The content of struct tp_model does not change until tp_model_close,
 * and belongs to the model. Any number of threads may look up and read at once, but tp_model_limit
 * must not run at the same time as other calls.
 */
#ifndef TP_STORE_MODEL_H
#define TP_STORE_MODEL_H

#include <stdatomic.h>

#include "store/reader.h"
#include "store/store.h"
#include "tensor/modeldir.h"

struct tp_model_tensor {
    const char *name;
    enum tp_dtype dtype;
    unsigned rank;
    const uint64_t *shape;
    uint64_t len;  /* bytes */
    uint32_t file; /* number in files */
    uint64_t off;  /* offset in the file */
};

struct tp_model_file {
    const char *path;
    const char *title; /* PATH, or the path of a link to it in the model; for a file in the hub's
                          cache without the directory of the snapshot */
    uint64_t size;
    uint64_t tensor_bytes; /* part of SIZE; 0: not a safetensors file */
    size_t tensor_first;   /* its tensors are TENSOR_N elements of by_place from this one on */
    size_t tensor_n;
    uint32_t entry;      /* number in the listing of the directory, or in the index of the pack */
    const char *problem; /* why a plain file NAME.safetensors is not read as safetensors, or NULL */
};

struct tp_model_impl;

struct tp_model {
    struct tp_model_file *files; /* regular files, each once */
    uint32_t file_n;
    /*
     * NAME_N tensors sorted by name, one for each name: that of the first file. Further tensors of
     * these names follow after NAME_N, also sorted by name.
     */
    struct tp_model_tensor *tensors;
    size_t name_n;
    size_t tensor_n;                         /* number of all tensors */
    const struct tp_model_tensor **by_place; /* all tensors by file, in the order of each file */
    uint64_t logical_bytes, tensor_bytes;
    int64_t weights_sec; /* the latest modification time of a file with tensors */
    uint32_t weights_nsec;
    unsigned depth; /* number of packs below this one; 0: a directory, or a pack without a base */
    bool lossy;     /* this pack, or one below it, has quantized matrices */
    struct tp_model_impl *impl;
};

struct tp_model_options {
    enum tp_links links; /* how the links of a directory are treated */
    struct tp_store
        *store; /* finds the bases of a pack; NULL: they are in the pack's own directory */
    /*
     * Decodes, caches and prefetches the chunks of a pack; it must outlive the model. NULL: the
     * calling thread decodes, and the model keeps one chunk for each thread. This suits callers
     * that read at few places.
     */
    struct tp_engine *engine;
};

/* Open the directory or the pack PATH. OPTIONS may be NULL: all defaults. */
int tp_model_open(const char *path, const struct tp_model_options *options, struct tp_model **out,
                  struct tp_error *err);
/* Open the model of an open pack, and take a reference on the pack. ENGINE: as in the options. */
int tp_model_open_pack(struct tp_pack *pack, struct tp_engine *engine, struct tp_model **out,
                       struct tp_error *err);
void tp_model_close(struct tp_model *model); /* NULL is allowed */

/* The listing of a plain directory, or NULL. */
const struct tp_modeldir *tp_model_dir(const struct tp_model *model);
/* -EBUSY: something in the directory has changed since it was opened. A pack does not change. */
int tp_model_recheck(const struct tp_model *model, struct tp_error *err);
/* The tensor with this name in the first file that has one, or NULL. */
const struct tp_model_tensor *tp_model_find(const struct tp_model *model, const char *name);
/*
 * Iterate over the tensors with one name. BEFORE is NULL to get the one of the first file, then the
 * last one returned. NULL: there are no more.
 */
const struct tp_model_tensor *tp_model_find_next(const struct tp_model *model, const char *name,
                                                 const struct tp_model_tensor *before);
/* The number of the file with this path; false: there is none. */
bool tp_model_find_file(const struct tp_model *model, const char *path, uint32_t *out);
/*
 * The path of a symbolic link, which is no file of the model: the one that is called ENDING or, if
 * that begins with a dot, ends with it. NULL: there is none.
 */
const char *tp_model_find_link(const struct tp_model *model, const char *ending);
/*
 * The number of bytes of FILE before its tensors: its header, or the whole file if it has no
 * tensors.
 */
uint64_t tp_model_opaque(const struct tp_model *model, uint32_t file);

/* --- model_read.c --- */

/*
 * Read exactly LEN bytes of FILE. -EINVAL: the range is not within the file. -EBADMSG: the pack is
 * damaged, or the plain file has become shorter. Holes of a plain file are not read.
 */
int tp_model_read(struct tp_model *model, uint32_t file, uint64_t off, void *dst, size_t len,
                  struct tp_error *err);
/* As tp_model_read, for tensor T at offset OFF of its bytes. */
int tp_model_read_tensor(struct tp_model *model, const struct tp_model_tensor *t, uint64_t off,
                         void *dst, size_t len, struct tp_error *err);

/* --- model_packed.c --- */

/*
 * Whether T is a quantized matrix of a lossy pack (codec/quant/quant.h): the size of its packed
 * bytes, and whether the tensor shows the matrix by columns. The tables of the matrix are read.
 */
bool tp_model_packed(const struct tp_model *model, const struct tp_model_tensor *t, uint64_t *bytes,
                     bool *transposed);
/*
 * Read the packed bytes of T, all LEN of them, as tp_quant_open takes them. -EBADMSG: damaged;
 * -EINVAL: T is not quantized; -ECANCELED.
 */
int tp_model_read_packed(struct tp_model *model, const struct tp_model_tensor *t, void *dst,
                         size_t len, struct tp_error *err);

/* --- model_read.c --- */

/*
 * Announce that these bytes of FILE will be read soon. An engine decodes them in the background,
 * within its budget; without an engine, the coded bytes of the pack or the bytes of the plain file
 * are fetched. This never waits, and ignores bytes beyond the file.
 */
void tp_model_prefetch(struct tp_model *model, uint32_t file, uint64_t off, uint64_t len);

/*
 * Limit reads of a pack without an engine. They fail with -ECANCELED once CANCEL (may be NULL) is
 * non-zero, and with -E2BIG when they have decoded more than DECODED_MOST bytes (0: no limit),
 * including those of bases.
 */
void tp_model_limit(struct tp_model *model, const atomic_int *cancel, uint64_t decoded_most);

#endif
