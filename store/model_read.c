/* SPDX-License-Identifier: MIT */
/* Reading bytes of a model: from plain files, or from a pack with or without the decode engine. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "store/model_impl.h"
#include "store/pack/bytes.h"
#include "store/pack/decode.h"
#include "store/pack/pack_internal.h"

/* The memory that a thread decodes with, and the last chunk that it decoded. */
struct tp_decoder {
    struct tp_decoder *next;
    struct tp_work *work;
    uint8_t *block;
    uint32_t chunk; /* the chunk in BLOCK; TP_NONE: none */
};

/* The slot of FILE, or else the least recently used one that is free; NULL: all are in use. */
static struct tp_model_slot *find_slot(struct tp_model_impl *impl, uint32_t file)
{
    struct tp_model_slot *oldest = NULL;

    for (unsigned i = 0; i < TP_MODEL_OPEN_FILES; i++) {
        struct tp_model_slot *slot = &impl->slots[i];

        if (slot->fd >= 0 && slot->file == file)
            return slot;
        if (!slot->users && (!oldest || slot->used < oldest->used))
            oldest = slot;
    }
    return oldest;
}

int tp_model_fd_get(struct tp_model *model, uint32_t file, int *fd, struct tp_model_slot **slot,
                    struct tp_error *err)
{
    struct tp_model_impl *impl = model->impl;
    int rc = 0;

    TP_LOCK_SCOPE(&impl->lock);
    *slot = find_slot(impl, file);
    *fd = *slot && (*slot)->fd >= 0 && (*slot)->file == file ? (*slot)->fd : -1;
    if (*fd < 0) {
        *fd = tp_modeldir_open(&impl->dir, impl->dirfd, model->files[file].path);
        if (*fd < 0)
            rc = tp_fail_errno(err, "cannot open '%s'", model->files[file].path);
        else if (*slot && (*slot)->fd >= 0)
            close((*slot)->fd);
    }
    if (rc == 0 && *slot) {
        (*slot)->fd = *fd;
        (*slot)->file = file;
        (*slot)->users++;
        (*slot)->used = ++impl->clock;
    }
    return rc;
}

void tp_model_fd_put(struct tp_model *model, int fd, struct tp_model_slot *slot)
{
    if (!slot) {
        close(fd);
        return;
    }
    TP_LOCK_SCOPE(&model->impl->lock);
    slot->users--;
}

/* Whether the range is a hole, which need not be read. */
static bool is_hole(int fd, uint64_t off, size_t len)
{
    off_t data = lseek(fd, (off_t)off, SEEK_DATA);

    return data < 0 ? errno == ENXIO : (uint64_t)data >= off + len;
}

static int read_plain(struct tp_model *model, uint32_t number, uint64_t off, void *dst, size_t len,
                      struct tp_error *err)
{
    const struct tp_model_file *file = &model->files[number];
    struct tp_model_slot *slot;
    int fd, rc = tp_model_fd_get(model, number, &fd, &slot, err);

    if (rc < 0)
        return rc;
    if (model->impl->dir.entries[file->entry].sparse && is_hole(fd, off, len))
        memset(dst, 0, len);
    else
        rc = tp_file_pread(fd, dst, len, off, file->path, err);
    tp_model_fd_put(model, fd, slot);
    return rc;
}

static void decoder_destroy(struct tp_decoder *decoder)
{
    tp_work_destroy(decoder->work);
    free(decoder->block);
    free(decoder);
}

static struct tp_decoder *decoder_create(const struct tp_model_impl *impl)
{
    struct tp_decoder *decoder = calloc(1, sizeof *decoder);

    if (!decoder)
        return NULL;
    decoder->chunk = TP_NONE;
    decoder->work = tp_work_create(NULL);
    decoder->block = malloc((size_t)tp_pack_index(impl->pack)->chunk_size + TP_SLACK);
    if (decoder->work && decoder->block)
        return decoder;
    decoder_destroy(decoder);
    return NULL;
}

/* Get the decoder that was used last, or a new one. */
static struct tp_decoder *decoder_get(struct tp_model_impl *impl)
{
    struct tp_decoder *decoder;

    pthread_mutex_lock(&impl->lock);
    decoder = impl->decoders;
    if (decoder)
        impl->decoders = decoder->next;
    pthread_mutex_unlock(&impl->lock);
    if (!decoder)
        decoder = decoder_create(impl);
    if (decoder)
        decoder->work->cancel = impl->cancel;
    return decoder;
}

static void decoder_put(struct tp_model_impl *impl, struct tp_decoder *decoder)
{
    TP_LOCK_SCOPE(&impl->lock);
    decoder->next = impl->decoders;
    impl->decoders = decoder;
}

static int decode_chunk(struct tp_model_impl *impl, struct tp_decoder *decoder, uint32_t chunk,
                        struct tp_error *err)
{
    uint64_t before = decoder->work->decoded, decoded;
    int rc;

    if (decoder->chunk == chunk)
        return 0;
    decoder->chunk = TP_NONE;
    rc = tp_pack_decode_chunk(impl->pack, chunk, decoder->block, decoder->work, err);
    if (rc < 0)
        return rc;
    decoded = decoder->work->decoded - before;
    decoded += atomic_fetch_add(&impl->decoded, decoded);
    if (impl->decoded_most && decoded > impl->decoded_most)
        return tp_fail(err, E2BIG, "reading samples of it takes too much decoding");
    decoder->chunk = chunk;
    return 0;
}

/* The range must be within the file. */
static int decode_range(struct tp_model *model, uint32_t number, uint64_t off, uint8_t *dst,
                        size_t len, struct tp_error *err)
{
    struct tp_model_impl *impl = model->impl;
    const struct tp_index *index = tp_pack_index(impl->pack);
    const struct tp_pack_file *file = &index->files[model->files[number].entry];
    struct tp_decoder *decoder = len ? decoder_get(impl) : NULL;
    int rc = 0;

    if (len && !decoder)
        return tp_oom(err);
    while (rc == 0 && len) {
        const struct tp_segment *s = &index->segments[tp_index_segment_at(index, file, off)];
        uint64_t inner = off - s->file_off;
        uint32_t chunk = s->chunk_first + (uint32_t)(inner / index->chunk_size);
        size_t from = (size_t)(inner % index->chunk_size);
        size_t n = tp_index_chunk_len(index, chunk) - from;

        n = n < len ? n : len;
        rc = decode_chunk(impl, decoder, chunk, err);
        if (rc == 0)
            memcpy(dst, decoder->block + from, n);
        dst += n;
        off += n;
        len -= n;
    }
    if (decoder)
        decoder_put(impl, decoder);
    return rc;
}

/* Get the reader of FILE, with an engine. */
static int get_reader(struct tp_model *model, uint32_t file, struct tp_reader **out,
                      struct tp_error *err)
{
    struct tp_model_impl *impl = model->impl;
    int rc = 0;

    TP_LOCK_SCOPE(&impl->lock);
    if (!impl->readers[file])
        rc = tp_reader_open(impl->engine, impl->pack, model->files[file].entry,
                            &impl->readers[file], err);
    *out = impl->readers[file];
    return rc;
}

static int check_range(const struct tp_model *model, uint32_t file, uint64_t off, size_t len,
                       struct tp_error *err)
{
    return tp_range_within(off, len, model->files[file].size)
               ? 0
               : tp_fail(err, EINVAL, "range beyond the end of '%s'", model->files[file].path);
}

int tp_model_read(struct tp_model *model, uint32_t file, uint64_t off, void *dst, size_t len,
                  struct tp_error *err)
{
    struct tp_reader *reader;
    int rc = check_range(model, file, off, len, err);
    ssize_t n;

    if (rc < 0)
        return rc;
    if (!model->impl->pack)
        return read_plain(model, file, off, dst, len, err);
    if (!model->impl->engine)
        return decode_range(model, file, off, dst, len, err);
    rc = get_reader(model, file, &reader, err);
    if (rc < 0)
        return rc;
    n = tp_reader_pread(reader, dst, len, off, err);
    return n < 0 ? (int)n : 0;
}

int tp_model_read_tensor(struct tp_model *model, const struct tp_model_tensor *t, uint64_t off,
                         void *dst, size_t len, struct tp_error *err)
{
    if (!tp_range_within(off, len, t->len))
        return tp_fail(err, EINVAL, "range beyond the end of tensor '%s'", t->name);
    return tp_model_read(model, t->file, t->off + off, dst, len, err);
}

/* Announce the coded bytes of a range, which is not empty, to the source of the pack. */
static void advise_stored(struct tp_model *model, uint32_t number, uint64_t off, uint64_t len)
{
    const struct tp_index *index = tp_pack_index(model->impl->pack);
    const struct tp_pack_file *file = &index->files[model->files[number].entry];
    uint64_t from = UINT64_MAX, to = 0;

    for (uint64_t end = off + len; off < end;) {
        const struct tp_segment *s = &index->segments[tp_index_segment_at(index, file, off)];
        uint32_t nth = (uint32_t)((off - s->file_off) / index->chunk_size);
        const struct tp_chunk *c = &index->chunks[s->chunk_first + nth];

        if (c->stored_len && c->stored_off < from)
            from = c->stored_off;
        if (c->stored_len && c->stored_off + c->stored_len > to)
            to = c->stored_off + c->stored_len;
        off = s->file_off + (uint64_t)nth * index->chunk_size +
              tp_index_chunk_len(index, s->chunk_first + nth);
    }
    if (from < to)
        tp_bytes_advise(tp_pack_bytes(model->impl->pack), from, to - from, TP_ADVICE_WILL_NEED);
}

void tp_model_prefetch(struct tp_model *model, uint32_t file, uint64_t off, uint64_t len)
{
    uint64_t size = model->files[file].size;
    struct tp_model_slot *slot;
    struct tp_reader *reader;
    int fd;

    if (off >= size || len == 0)
        return;
    len = len < size - off ? len : size - off;
    if (model->impl->engine) {
        if (get_reader(model, file, &reader, NULL) == 0)
            tp_reader_prefetch(reader, off, len);
    } else if (model->impl->pack) {
        advise_stored(model, file, off, len);
    } else if (tp_model_fd_get(model, file, &fd, &slot, NULL) == 0) {
        posix_fadvise(fd, (off_t)off, (off_t)len, POSIX_FADV_WILLNEED);
        tp_model_fd_put(model, fd, slot);
    }
}

void tp_model_limit(struct tp_model *model, const atomic_int *cancel, uint64_t decoded_most)
{
    model->impl->cancel = cancel;
    model->impl->decoded_most = decoded_most;
    atomic_store(&model->impl->decoded, 0);
}

void tp_model_close_files(struct tp_model *model)
{
    struct tp_model_impl *impl = model->impl;

    for (unsigned i = 0; i < TP_MODEL_OPEN_FILES; i++)
        if (impl->slots[i].fd >= 0)
            close(impl->slots[i].fd);
    for (uint32_t i = 0; impl->readers && i < model->file_n; i++)
        tp_reader_close(impl->readers[i]);
    while (impl->decoders) {
        struct tp_decoder *next = impl->decoders->next;

        decoder_destroy(impl->decoders);
        impl->decoders = next;
    }
}
