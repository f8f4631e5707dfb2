/* SPDX-License-Identifier: MIT */
/* The file of the quantized layers of a pack that is being made. */
#include <config.h>

#include "optimizer/quantize/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/le.h"
#include "base/vector.h"
#include "store/names.h"

#define MAGIC 0x314c5154u /* "TQL1" */
#define ALIGN 64u         /* of headers and bytes; a packed matrix needs it */
enum { HEADER = 64, HASHED = 24 };
enum kind { KIND_MATRIX = 1, KIND_VALUES = 2 };

struct header {
    uint32_t first, second; /* magic and number, or kind and 0 */
    uint64_t bytes, extra;
};

static void encode_header(const struct header *h, uint8_t out[HEADER])
{
    memset(out, 0, HEADER);
    tp_put_le32(out, h->first);
    tp_put_le32(out + 4, h->second);
    tp_put_le64(out + 8, h->bytes);
    tp_put_le64(out + 16, h->extra);
    tp_put_le64(out + HASHED, tp_xxh3(out, HASHED));
}

/* Read the header at AT. False: it is not whole, or what follows it is not before END. */
static bool read_header(const struct tp_layer_file *file, uint64_t at, uint64_t end,
                        struct header *out)
{
    uint8_t data[HEADER];

    if (at > end || end - at < HEADER ||
        tp_file_pread(file->fd, data, HEADER, at, file->path, NULL) < 0 ||
        tp_get_le64(data + HASHED) != tp_xxh3(data, HASHED))
        return false;
    *out = (struct header){tp_get_le32(data), tp_get_le32(data + 4), tp_get_le64(data + 8),
                           tp_get_le64(data + 16)};
    return out->bytes <= end - at - HEADER;
}

static double seconds_of(const struct header *h)
{
    double seconds;

    memcpy(&seconds, &h->extra, sizeof seconds);
    return isfinite(seconds) && seconds > 0 ? seconds : 0;
}

/* The header of layer NUMBER, which has a place. */
static bool read_layer_header(const struct tp_layer_file *file, uint32_t number, uint64_t end,
                              struct header *out)
{
    return read_header(file, file->places[number].begin, end, out) && out->first == MAGIC &&
           out->second == number && out->bytes % ALIGN == 0;
}

/* --- The file --- */

/* Make the place of the layer after the whole ones. */
static int add_place(struct tp_layer_file *file, uint64_t begin, struct tp_error *err)
{
    size_t n = file->n;

    if (TP_VECTOR_GROW(file->places, n, file->cap) < 0)
        return tp_oom(err);
    file->places[n] = (struct tp_layer_place){.begin = begin};
    return 0;
}

/* Find the whole layers, at most MOST. */
static int find_layers(struct tp_layer_file *file, uint32_t most, struct tp_error *err)
{
    struct header h;
    struct stat st;
    int rc = add_place(file, 0, err);

    if (rc == 0 && fstat(file->fd, &st) < 0)
        rc = tp_fail_errno(err, "cannot stat '%s'", file->path);
    while (rc == 0 && file->n < most &&
           read_layer_header(file, file->n, (uint64_t)st.st_size, &h)) {
        file->places[file->n].seconds = seconds_of(&h);
        file->n++;
        rc = add_place(file, file->places[file->n - 1].begin + HEADER + h.bytes, err);
    }
    return rc;
}

int tp_layer_file_open(const char *path, bool unnamed, uint32_t most, struct tp_layer_file *out,
                       struct tp_error *err)
{
    tp_autofree char *parent = tp_path_parent(path);

    *out = (struct tp_layer_file){.path = strdup(path), .fd = -1};
    if (!parent || !out->path)
        return tp_oom(err);
    out->fd = unnamed ? tp_file_unnamed(AT_FDCWD, parent, 0600)
                      : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out->fd < 0)
        return tp_fail_errno(err, "cannot create '%s'", unnamed ? parent : path);
    return find_layers(out, most, err);
}

void tp_layer_file_close(struct tp_layer_file *file)
{
    if (file->path && file->fd >= 0)
        close(file->fd);
    free(file->path);
    free(file->places);
    *file = (struct tp_layer_file){.fd = -1};
}

double tp_layer_file_seconds(const struct tp_layer_file *file)
{
    double sum = 0;

    for (uint32_t i = 0; i < file->n; i++)
        sum += file->places[i].seconds;
    return sum;
}

/* --- Appending --- */

static int write_at(const struct tp_layer_file *file, const void *data, size_t len, uint64_t at,
                    struct tp_error *err)
{
    return tp_file_pwrite(file->fd, data, len, at, file->path, err);
}

static int put_tensor(struct tp_layer_file *file, enum kind kind, const void *data, uint64_t len,
                      struct tp_error *err)
{
    static const uint8_t zeros[ALIGN];
    struct header h = {kind, 0, len, tp_xxh3(data, len)};
    size_t padding = (size_t)(-len % ALIGN);
    uint8_t bytes[HEADER];
    int rc;

    encode_header(&h, bytes);
    rc = write_at(file, bytes, HEADER, file->at, err);
    if (rc == 0)
        rc = write_at(file, data, len, file->at + HEADER, err);
    if (rc == 0)
        rc = write_at(file, zeros, padding, file->at + HEADER + len, err);
    file->at += HEADER + len + padding;
    return rc;
}

static int put_matrix(void *arg, const struct tp_quant_matrix *m, struct tp_error *err)
{
    return put_tensor(arg, KIND_MATRIX, m->data, m->layout.bytes, err);
}

static int put_values(void *arg, const uint16_t *bf16, uint64_t n, struct tp_error *err)
{
    return put_tensor(arg, KIND_VALUES, bf16, n * sizeof *bf16, err);
}

struct tp_tensor_output tp_layer_file_output(struct tp_layer_file *file)
{
    return (struct tp_tensor_output){put_matrix, put_values, file};
}

/* The end of the whole layers. */
static uint64_t end_of(const struct tp_layer_file *file)
{
    return file->places[file->n].begin;
}

static int cut_rest(const struct tp_layer_file *file, struct tp_error *err)
{
    return ftruncate(file->fd, (off_t)end_of(file)) < 0
               ? tp_fail_errno(err, "cannot truncate '%s'", file->path)
               : 0;
}

int tp_layer_file_begin(struct tp_layer_file *file, struct tp_error *err)
{
    file->at = end_of(file) + HEADER;
    return cut_rest(file, err); /* which an interrupted pass has left */
}

int tp_layer_file_end(struct tp_layer_file *file, double seconds, struct tp_error *err)
{
    struct header h = {MAGIC, file->n, file->at - end_of(file) - HEADER, 0};
    uint8_t bytes[HEADER];
    int rc;

    memcpy(&h.extra, &seconds, sizeof seconds);
    encode_header(&h, bytes);
    rc = write_at(file, bytes, HEADER, end_of(file), err);
    if (rc < 0)
        return rc;
    file->places[file->n++].seconds = seconds;
    return add_place(file, file->at, err);
}

/* --- Reading --- */

static int is_damaged(const struct tp_layer_file *file, uint32_t layer, struct tp_error *err)
{
    return tp_fail(err, EBADMSG, "layer %" PRIu32 " in '%s' is damaged", layer, file->path);
}

/* Put the tensor at *AT, which becomes its end. */
static int put_next(struct tp_layer_file *file, uint32_t layer, uint64_t *at, uint64_t end,
                    const struct tp_tensor_output *to, struct tp_error *err)
{
    tp_autofree uint8_t *data = NULL;
    struct tp_quant_matrix m;
    struct header h;
    uint64_t space;
    int rc;

    if (!read_header(file, *at, end, &h) || !tp_add_u64(h.bytes, -h.bytes % ALIGN, &space))
        return is_damaged(file, layer, err);
    data = aligned_alloc(ALIGN, space ? space : ALIGN);
    if (!data)
        return tp_oom(err);
    rc = tp_file_pread(file->fd, data, h.bytes, *at + HEADER, file->path, err);
    if (rc < 0)
        return rc;
    *at += HEADER + space;
    if (tp_xxh3(data, h.bytes) != h.extra)
        return is_damaged(file, layer, err);
    if (h.first == KIND_VALUES && h.bytes % sizeof(uint16_t) == 0)
        return to->put_values(to->arg, (uint16_t *)(void *)data, h.bytes / sizeof(uint16_t), err);
    if (h.first == KIND_MATRIX && tp_quant_open(data, h.bytes, &m, NULL) == 0)
        return to->put_matrix(to->arg, &m, err);
    return is_damaged(file, layer, err);
}

static int put_layer(struct tp_layer_file *file, uint32_t layer, const struct tp_tensor_output *to,
                     struct tp_error *err)
{
    uint64_t at = file->places[layer].begin + HEADER, end = file->places[layer + 1].begin;
    struct header h;
    int rc = 0;

    if (!read_layer_header(file, layer, end, &h) || h.bytes != end - at)
        return is_damaged(file, layer, err);
    while (rc == 0 && at < end)
        rc = put_next(file, layer, &at, end, to, err);
    return rc;
}

int tp_layer_file_put(struct tp_layer_file *file, uint32_t layer, const struct tp_tensor_output *to,
                      struct tp_error *err)
{
    int rc = put_layer(file, layer, to, err);

    if (rc != -EBADMSG)
        return rc;
    file->n = layer;
    cut_rest(file, NULL); /* if this fails, the next pass finds the damage again */
    return rc;
}
