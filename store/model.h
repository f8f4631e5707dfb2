/* SPDX-License-Identifier: MIT */
/*
 * A model reader: a plain directory or a pack, a delta pack too, as files, tensors by name, and any
 * range of their bytes.
 *
 * Opening reads headers only. What struct tp_model shows does not change until tp_model_close, and
 * belongs to the model. Any number of threads may look up and read at once; tp_model_limit is for
 * the thread that has the model alone.
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
    uint64_t off;  /* first byte, from the start of the file */
};

struct tp_model_file {
    const char *path;
    const char *title; /* PATH, or the path of a link to it in the model; of a file in the hub's
                          cache without the directory of the snapshot */
    uint64_t size;
    uint64_t tensor_bytes; /* of SIZE; 0: not a safetensors file */
    size_t tensor_first;   /* its tensors are TENSOR_N of by_place, from this one on */
    size_t tensor_n;
    uint32_t entry;      /* number in the listing of the directory, or in the index of the pack */
    const char *problem; /* why a plain file NAME.safetensors is not read as one, or NULL */
};

struct tp_model_impl;

struct tp_model {
    struct tp_model_file *files; /* regular files, each once */
    uint32_t file_n;
    /*
     * By name; of tensors of one name only that of the first file. The others follow after NAME_N,
     * by name too.
     */
    struct tp_model_tensor *tensors;
    size_t name_n;
    size_t tensor_n;                         /* all of them */
    const struct tp_model_tensor **by_place; /* the same by file, and in the order of the file */
    uint64_t logical_bytes, tensor_bytes;
    int64_t weights_sec; /* the latest time at which a file with tensors was written */
    uint32_t weights_nsec;
    unsigned depth; /* the number of packs below this one; 0: a directory, or a pack without base */
    struct tp_model_impl *impl;
};

struct tp_model_options {
    enum tp_links links;    /* what becomes of the links of a directory */
    struct tp_store *store; /* finds the bases of a pack; NULL: the pack's own directory */
    /*
     * Decodes a pack's chunks, keeps them and reads ahead; it must outlive the model. NULL: the
     * calling thread decodes, and the model keeps one chunk for each thread. That suits callers
     * that read few places.
     */
    struct tp_engine *engine;
};

/* Open the directory or the pack PATH. OPTIONS may be NULL: all defaults. */
int tp_model_open(const char *path, const struct tp_model_options *options, struct tp_model **out,
                  struct tp_error *err);
/* The model of an open pack, of which it takes a reference. ENGINE as in the options. */
int tp_model_open_pack(struct tp_pack *pack, struct tp_engine *engine, struct tp_model **out,
                       struct tp_error *err);
void tp_model_close(struct tp_model *model); /* NULL is allowed; no view may be held */

/* The listing of a plain directory, or NULL. */
const struct tp_modeldir *tp_model_dir(const struct tp_model *model);
/* The first file's tensor of this name, or NULL. */
const struct tp_model_tensor *tp_model_find(const struct tp_model *model, const char *name);
/*
 * The tensors of one name, one at a time: BEFORE is NULL for that of the first file, then the last
 * one returned. NULL: there are no more.
 */
const struct tp_model_tensor *tp_model_find_next(const struct tp_model *model, const char *name,
                                                 const struct tp_model_tensor *before);
/* The file of this path; false: there is none. */
bool tp_model_find_file(const struct tp_model *model, const char *path, uint32_t *out);
/* Bytes of FILE before its tensors: its header, or the whole file where it has no tensors. */
uint64_t tp_model_opaque(const struct tp_model *model, uint32_t file);

/* --- model_read.c --- */

/*
 * Read exactly LEN bytes of FILE, which must lie within it: -EINVAL. -EBADMSG: the pack is damaged,
 * or the plain file has become shorter. Holes of a plain file are not read.
 */
int tp_model_read(struct tp_model *model, uint32_t file, uint64_t off, void *dst, size_t len,
                  struct tp_error *err);
/* The same of tensor T, OFF bytes into it. */
int tp_model_read_tensor(struct tp_model *model, const struct tp_model_tensor *t, uint64_t off,
                         void *dst, size_t len, struct tp_error *err);

/*
 * A range of a model's bytes, in pieces. With an engine the pieces are its decoded blocks, without
 * a copy: shared and immutable, pinned in the engine's cache while the view is held. Otherwise they
 * are one buffer of the view's own. A plain file is read rather than mapped, since a file that is
 * cut short under a mapping kills the reader.
 */
struct tp_model_view {
    struct tp_span span; /* LEN bytes in the N pieces of IOV */
    void *buffer;        /* the view's own, or NULL */
};
enum { TP_MODEL_VIEW_MAX = 16 << 20 };
/*
 * View LEN bytes of FILE, which must lie within it. The view may be shorter than asked, but not
 * empty: it has at most TP_MODEL_VIEW_MAX bytes and TP_SPAN_MAX pieces. Call again for the rest,
 * but release this one first: views that are held count against the engine's cache.
 */
int tp_model_view(struct tp_model *model, uint32_t file, uint64_t off, size_t len,
                  struct tp_model_view *out, struct tp_error *err);
void tp_model_release(struct tp_model_view *view);

/*
 * Announce that these bytes of FILE will be read soon. An engine decodes them in the background, as
 * far as its budget for this goes; without one the pack's coded bytes are fetched, or the bytes of
 * the plain file. It never waits, and ignores what lies beyond the file.
 */
void tp_model_prefetch(struct tp_model *model, uint32_t file, uint64_t off, uint64_t len);

/*
 * From now on reads of a pack without an engine fail: -ECANCELED once CANCEL, which may be NULL, is
 * non-zero; -E2BIG when they have decoded more than DECODED_MOST bytes (0: no limit), those of its
 * bases counted.
 */
void tp_model_limit(struct tp_model *model, const atomic_int *cancel, uint64_t decoded_most);

#endif
