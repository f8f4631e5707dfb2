/* SPDX-License-Identifier: MIT */
/* What the parts of the writer of lossy packs share. */
#ifndef TP_STORE_LOSSY_IMPL_H
#define TP_STORE_LOSSY_IMPL_H

#include "store/code/code.h"
#include "store/write/lossy.h"
#include "store/write/plan.h"
#include "store/write/rights.h"
#include "store/write/sink.h"

/* A file of the pack, and where its content is. */
struct tp_lossy_file {
    char *path;
    enum tp_entry_type type;
    uint32_t source; /* number in the original; TP_NONE: a directory, or the weights */
};

/* A tensor and what follows from its place. */
struct tp_lossy_slot {
    struct tp_lossy_tensor tensor; /* name and shape belong to the writer */
    enum tp_dtype dtype;
    uint64_t elements, bytes;
    size_t given; /* number in the caller's list */
};

struct tp_lossy {
    char *out, *temporary;
    int fd;
    struct tp_sink *sink;
    struct tp_model *original;
    struct tp_plan plan; /* of an original that is a directory: its rights */
    struct tp_rights rights;
    unsigned threads;
    struct tp_lossy_slot *slots;
    size_t slot_n, next; /* tensors, and how many of them are there */
    struct tp_lossy_file *files;
    uint32_t weights; /* number of the file of weights */
    struct tp_index x;
    size_t segment_cap, chunk_cap, tables_cap;
    uint64_t off;          /* bytes of the pack so far */
    struct tp_sha256 *sha; /* of the file that is written */
    struct tp_code_options code;
    bool broken; /* an error has left it incomplete */
};

/* --- lossy_files.c --- */

/* Find the files of the pack, in their order, and make their records. */
int tp_lossy_list_files(struct tp_lossy *w, struct tp_error *err);
/* Write the files of the original from number FIRST to END - 1. */
int tp_lossy_put_files(struct tp_lossy *w, uint32_t first, uint32_t end, struct tp_error *err);
/* Write the header of the file of weights, which begins with it. */
int tp_lossy_put_header(struct tp_lossy *w, struct tp_error *err);

/* --- lossy_put.c --- */

/* Copy the next tensors, as long as they are to be kept. */
int tp_lossy_copy_kept(struct tp_lossy *w, struct tp_error *err);
/* Write a segment of opaque bytes of FILE, LEN bytes that READ gives. */
int tp_lossy_put_opaque(struct tp_lossy *w, uint32_t file, uint64_t len,
                        int (*read)(void *arg, uint64_t off, void *dst, size_t len,
                                    struct tp_error *err),
                        void *arg, struct tp_error *err);
/* End the content of FILE. */
void tp_lossy_end_file(struct tp_lossy *w, uint32_t file);

#endif
