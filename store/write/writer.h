/* SPDX-License-Identifier: MIT */
/*
 * Writing packs. The same input, base, options and version give the same bytes with any number of
 * threads. Memory is bounded for any size of the model.
 */
#ifndef TP_STORE_WRITER_H
#define TP_STORE_WRITER_H

#include "base/progress.h"
#include "store/attrs.h"
#include "store/store.h"
#include "tensor/modeldir.h"

struct tp_model_tensor;

/* Bytes of another file of the model that predict a tensor, with as many elements. */
struct tp_sibling {
    const char *path; /* in the model directory; the file comes before the tensor's file in the
                         order of an index */
    uint64_t off;
    enum tp_dtype dtype;
};

struct tp_pack_options {
    unsigned threads;      /* 0: one for each CPU */
    struct tp_pack *base;  /* NULL: without a base */
    const char *base_name; /* stored in the pack, for messages */
    const char
        *codec;     /* NULL or "auto": all; otherwise the only tensor codec besides zstd and raw */
    int zstd_level; /* 0: the default, 3 */
    enum tp_links links; /* how symbolic links in the directory are treated */
    bool replaces; /* the pack replaces the directory, so the directory's owner must be able to read
                      it */
    const struct tp_progress *progress;
    /*
     * Called for each tensor of the file PATH while the plan is made: whether a file of the model
     * predicts it better than the base does. A file with a tensor that is predicted in this way
     * must not predict another: -EINVAL. NULL: tp_siblings_find decides.
     */
    bool (*sibling)(void *arg, const char *path, const struct tp_model_tensor *t,
                    struct tp_sibling *out);
    void *sibling_arg;
    /* Called directly before the pack gets its name. After an error it gets none. May be NULL. */
    int (*check_source)(void *arg, struct tp_error *err);
    void *check_source_arg;
};

struct tp_pack_report {
    uint64_t logical_bytes, stored_bytes;
    uint64_t file_n, tensor_n, chunk_n;
    uint64_t tensor_bytes; /* logical bytes of tensors */
    uint64_t tensor_stored_bytes;
    uint64_t codec_chunks[TP_CODEC_COUNT];
    uint64_t codec_logical[TP_CODEC_COUNT];
    uint64_t codec_stored[TP_CODEC_COUNT];
    uint8_t id[TP_SHA256_LEN];
    struct tp_lost lost; /* what the pack does not keep */
    double write_seconds, verify_seconds;
};

/* The numbers that an index tells. */
void tp_pack_report_fill(struct tp_pack_report *report, const struct tp_index *index);

/*
 * Pack the model directory DIR into the new file OUT. The pack is written under a temporary name in
 * the same directory, synced, read back from the disk, decoded and compared with the hashes of
 * every chunk and file as they were read, and renamed; the directory is synced. -EBUSY: a source
 * file changed meanwhile. After an error or a cancellation no file is left. An exception: if
 * syncing the directory fails, OUT is left and is whole.
 */
int tp_pack_write(const char *dir, const char *out, const struct tp_pack_options *options,
                  struct tp_pack_report *report, struct tp_error *err);

#endif
