/* SPDX-License-Identifier: MIT */
/* A model directory as its files: what a pack holds, listed in a fixed order. */
#ifndef TP_TENSOR_MODELDIR_H
#define TP_TENSOR_MODELDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum tp_entry_type { TP_ENTRY_FILE = 0, TP_ENTRY_DIR = 1, TP_ENTRY_SYMLINK = 2 };

struct tp_entry {
    char *path;   /* relative to the model directory, '/'-separated, any bytes but NUL; the root is absent */
    enum tp_entry_type type;
    uint32_t mode; /* permission bits only: mode & 07777 */
    int64_t mtime_sec;
    uint32_t mtime_nsec;
    uint64_t size; /* bytes of a file, 0 else */
    char *target;  /* of a symbolic link, else NULL */
};

struct tp_modeldir {
    size_t entry_n;
    struct tp_entry *entries; /* parents before children, siblings in byte order of their names */
    uint32_t root_mode;
    int64_t root_mtime_sec;
    uint32_t root_mtime_nsec;
    uint64_t total_bytes;     /* of all files */
};

/* List DIR. Sockets, devices and fifos are -EINVAL, naming the file; links are kept, never followed. */
int tp_modeldir_scan(const char *dir, struct tp_modeldir *out, struct tp_error *err);
void tp_modeldir_clear(struct tp_modeldir *dir);

/* Whether DIR looks like a model: config.json, adapter_config.json, model_index.json (a pipeline of diffusers),
 * modules.json (of sentence-transformers), a *.safetensors or *.gguf in it, or the blobs and snapshots of a model in
 * the hub's cache. */
bool tp_modeldir_is_model(const char *dir);

/* Whether this file of a model may be in the safetensors format: its name says so, or it is one of the hub's blobs,
 * which are named by their hashes alone. */
bool tp_modeldir_may_hold_tensors(const char *path);

#endif
