/* SPDX-License-Identifier: MIT */
/*
 * A model to look at, whether it is a plain directory or a pack: its files, its tensors by name,
 * and any range of their bytes. For matching and estimating, which read little of much; one thread
 * at a time.
 */
#ifndef TP_STORE_SOURCE_H
#define TP_STORE_SOURCE_H

#include <stdatomic.h>

#include "store/store.h"
#include "tensor/modeldir.h"

struct tp_source_tensor {
    const char *name;
    enum tp_dtype dtype;
    unsigned rank;
    const uint64_t *shape;
    uint64_t len;  /* bytes */
    uint32_t file; /* number in files */
    uint64_t off;  /* first byte, from the start of the file */
};

struct tp_source_file {
    const char *path;
    const char *title; /* PATH, or what a link to it in the model is called; of the hub's cache
                          without the snapshot */
    uint64_t size;
    uint64_t tensor_bytes; /* of size: 0 for what is no safetensors file */
};

struct tp_source_impl;

struct tp_source {
    struct tp_source_file *files; /* regular files only */
    uint32_t file_n;
    struct tp_source_tensor
        *tensors;      /* by name, of equal names the first file's; then all others, by name */
    size_t tensor_n;   /* how many names there are */
    size_t tensor_all; /* how many tensors */
    uint64_t logical_bytes, tensor_bytes;
    int64_t weights_sec; /* when the latest of the files with tensors was written */
    uint32_t weights_nsec;
    unsigned depth; /* packs that have to be read below this one: 0 for a directory or a pack
                       without a base */
    struct tp_source_impl *impl;
};

/*
 * Open a model directory or a pack, reading headers only. STORE finds a pack's base, may be NULL.
 */
int tp_source_open(const char *path, struct tp_store *store, struct tp_source **out,
                   struct tp_error *err);
/* The same, where LINKS says what becomes of those in a directory. */
int tp_source_open_links(const char *path, enum tp_links links, struct tp_store *store,
                         struct tp_source **out, struct tp_error *err);
/* The same of an open pack, of which it takes a reference. */
int tp_source_open_pack(struct tp_pack *pack, struct tp_source **out, struct tp_error *err);
void tp_source_close(struct tp_source *source);

/* From now on reads of a pack fail: -ECANCELED once CANCEL, which may be NULL, is non-zero, -E2BIG
 * when they have decoded more than DECODED_MOST bytes, those of its bases too. */
void tp_source_bound(struct tp_source *source, const atomic_int *cancel, uint64_t decoded_most);
/* Read exactly LEN bytes, which must lie within the file. */
int tp_source_read(struct tp_source *source, uint32_t file, uint64_t off, void *dst, size_t len,
                   struct tp_error *err);
/* What the pack that SOURCE is of calls FILE. */
uint32_t tp_source_pack_file(const struct tp_source *source, uint32_t file);
/* The first file's tensor of this name, or NULL. */
const struct tp_source_tensor *tp_source_find(const struct tp_source *source, const char *name);
/*
 * The tensors of this name one by one: the first file's, with BEFORE NULL, then the one after
 * BEFORE. NULL: no more.
 */
const struct tp_source_tensor *tp_source_next(const struct tp_source *source, const char *name,
                                              const struct tp_source_tensor *before);
/* The one of this name in the file PATH, or NULL. */
const struct tp_source_tensor *tp_source_at(const struct tp_source *source, const char *path,
                                            const char *name);
/* How well B can predict T, by what their headers say (fit.h). */
unsigned tp_source_fit(const struct tp_source_tensor *t, const struct tp_source_tensor *b);
/* Whether BASE has a tensor of T's name that can predict it. */
bool tp_source_has(const struct tp_source *base, const struct tp_source_tensor *t);
/* The file with this path; false: there is none. */
bool tp_source_find_file(const struct tp_source *source, const char *path, uint32_t *out);

/* Bytes of FILE before its tensors: its header, or all of it where it has none. */
uint64_t tp_source_opaque(const struct tp_source *source, uint32_t file);

/* Bytes at the start of tensor T that B, a tensor of the same name in another model, can predict:
 * all of them where the shapes are equal, the common rows where only the first dimension differs; 0
 * where B does not fit. */
uint64_t tp_source_common(const struct tp_source_tensor *t, const struct tp_source_tensor *b);

#endif
