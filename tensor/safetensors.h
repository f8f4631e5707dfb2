/* SPDX-License-Identifier: MIT */
/*
 * The header of a safetensors file: u64 length, that many bytes of JSON, then the bytes of the
 * tensors. As strict as the reference implementation: a file that it refuses is -EBADMSG here, and
 * the caller keeps such a file as opaque bytes.
 */
#ifndef TP_TENSOR_SAFETENSORS_H
#define TP_TENSOR_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tensor/dtype.h"

#define TP_SAFETENSORS_HEADER_MAX 100000000u
#define TP_SAFETENSORS_MIN 10u /* bytes of the shortest file: a length and "{}" */
#define TP_TENSOR_RANK_MAX 32
#define TP_TENSOR_NAME_MAX                                                                         \
    65535u /* bytes of a tensor's name; a file with a longer one is kept as plain bytes */

struct tp_tensor {
    char *name; /* UTF-8, NUL-terminated, unescaped; owned by the header */
    enum tp_dtype dtype;
    unsigned rank;
    uint64_t *shape; /* rank dims, owned by the header */
    uint64_t off;    /* first byte, from the start of the file */
    uint64_t len;    /* bytes */
};

struct tp_safetensors {
    uint64_t data_off; /* 8 + N: where the tensors begin */
    uint64_t file_size;
    size_t tensor_n;
    struct tp_tensor
        *tensors; /* by offset (empty ones first, then by name); they tile [data_off, file_size) */
};

/* Whether an open file of FILE_SIZE bytes begins as one of this format; reads 9 bytes at most. */
bool tp_safetensors_likely(int fd, uint64_t file_size);
/*
 * Parse from an open file of FILE_SIZE bytes. -EBADMSG: not a valid safetensors file; the message
 * gives the reason. For nearly all files of other formats, a read of 9 bytes shows it.
 */
int tp_safetensors_open(int fd, uint64_t file_size, const char *path, struct tp_safetensors *out,
                        struct tp_error *err);
/*
 * The same from memory: the first LEN bytes of a file (at least 8 + N, else -EBADMSG) of FILE_SIZE
 * bytes.
 */
int tp_safetensors_parse(const void *data, size_t len, uint64_t file_size,
                         struct tp_safetensors *out, struct tp_error *err);
void tp_safetensors_clear(struct tp_safetensors *st);

#endif
