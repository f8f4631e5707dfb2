/* SPDX-License-Identifier: MIT */
/*
 * libtenpak: read models from a directory of packs and plain model directories, without a mount.
 *
 *     struct tp_lib *lib;
 *     struct tp_lib_model *model;
 *     struct tp_lib_error error;
 *     if (tp_lib_open("/models", NULL, &lib, &error) < 0)
 *         errx(1, "%s", error.message);
 *     if (tp_lib_model_open(lib, "my-finetune", &model, &error) == 0) { ... }
 *
 * Link with `pkg-config --cflags --libs tenpak`. The library exports the functions of this header
 * and nothing else. Within one soname they keep their meaning, and structures grow at their end
 * only: set struct_size to the size of the structure that you were compiled with.
 *
 * A function that can fail returns a negative errno, and writes the reason to the struct
 * tp_lib_error, which may be NULL:
 *
 *     -ENOENT           no such model, file or tensor
 *     -EBADMSG          damaged, or breaks the rules of its format
 *     -ENOLINK          the base that a pack needs is absent
 *     -EPROTONOSUPPORT  written by a newer version
 *
 * Many threads may use a handle at a time; one thread opens and closes it. Close models before
 * their library.
 */
#ifndef TENPAK_H
#define TENPAK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TP_LIB_INTERFACE 1

/*
 * The version of the library that runs, "0.1.0", and of its interface, which must be at least the
 * TP_LIB_INTERFACE that you were compiled with.
 */
const char *tp_lib_version(void);
unsigned tp_lib_interface(void);

struct tp_lib_error {
    int code;           /* negative errno */
    char message[1024]; /* one line, no full stop */
};

/* --- A directory of models --- */

struct tp_lib;

struct tp_lib_options {
    size_t struct_size;
    uint64_t cache_bytes; /* decoded blocks kept in memory for all models together; 0: 256 MiB */
    unsigned threads;     /* for decoding; 0: one for each CPU */
};

/* OPTIONS NULL means the defaults. */
int tp_lib_open(const char *dir, const struct tp_lib_options *options, struct tp_lib **out,
                struct tp_lib_error *error);
void tp_lib_close(struct tp_lib *lib);

/*
 * The name of a model, in byte order from number 0, as it was when the library was opened; NULL
 * past the last.
 */
const char *tp_lib_model_name(const struct tp_lib *lib, size_t number);

/* --- A model --- */

struct tp_lib_model;

int tp_lib_model_open(struct tp_lib *lib, const char *name, struct tp_lib_model **out,
                      struct tp_lib_error *error);
void tp_lib_model_close(struct tp_lib_model *model);

struct tp_lib_file {
    size_t struct_size;
    const char *path;        /* relative to the model, '/'-separated; lives as long as the model */
    const char *link_target; /* of a symbolic link, else NULL */
    uint64_t size;           /* 0 for a link */
    uint32_t mode;           /* permission bits */
    int64_t mtime;           /* seconds since 1970 */
    const uint8_t *sha256;   /* 32 bytes; NULL for a plain directory or a link */
};

/* A file or symbolic link, from number 0; directories are not counted. -ENOENT past the last. */
int tp_lib_file_get(const struct tp_lib_model *model, size_t number, struct tp_lib_file *out);
/* The number of the file with this path, or -ENOENT. */
ssize_t tp_lib_file_find(const struct tp_lib_model *model, const char *path);

/*
 * Copy up to LEN bytes of file NUMBER from OFFSET on. Returns the number of bytes, which is less
 * than LEN at the end of the file only, or a negative errno. Bytes of a pack are verified.
 */
ssize_t tp_lib_pread(struct tp_lib_model *model, size_t number, void *buf, size_t len,
                     uint64_t offset, struct tp_lib_error *error);

struct tp_lib_tensor {
    size_t struct_size;
    const char *name;
    const char *dtype;     /* as safetensors writes it: "BF16" */
    const uint64_t *shape; /* rank numbers */
    unsigned rank;
    size_t file;     /* the number of its file */
    uint64_t offset; /* of its first byte in the file */
    uint64_t size;   /* bytes, little-endian, row by row */
};

/*
 * A tensor of any of the safetensors files, in byte order of the names, from number 0. -ENOENT past
 * the last.
 */
int tp_lib_tensor_get(const struct tp_lib_model *model, size_t number, struct tp_lib_tensor *out);
/* The number of the tensor with this name, or -ENOENT. */
ssize_t tp_lib_tensor_find(const struct tp_lib_model *model, const char *name);

#ifdef __cplusplus
}
#endif

#endif
