/* SPDX-License-Identifier: MIT */
/* Mapping byte ranges of a file to chunks, and prefetching. */
#include <config.h>

#include "store/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/cursor.h"
#include "store/pack/pack_internal.h"

/*
 * The window for prefetching at one position, in chunks: the least, and the greatest after
 * doubling.
 */
enum { WINDOW_MIN = 2, WINDOW_MAX = 64 };

struct tp_reader {
    struct tp_engine *engine;
    struct tp_pack *pack;
    const struct tp_index *index;
    const struct tp_pack_file *file;
    unsigned span_max;
    pthread_mutex_t lock; /* protects the cursors */
    struct tp_cursors cursors;
};

int tp_reader_open(struct tp_engine *engine, struct tp_pack *pack, uint32_t file,
                   struct tp_reader **out, struct tp_error *err)
{
    const struct tp_index *index = tp_pack_index(pack);
    struct tp_engine_stats stats;
    struct tp_reader *reader;

    *out = NULL;
    if (file >= index->file_n || index->files[file].type != TP_ENTRY_FILE)
        return tp_fail(err, EINVAL, "entry %" PRIu32 " of '%s' is not a regular file", file,
                       tp_pack_path(pack));
    reader = calloc(1, sizeof *reader);
    if (!reader)
        return tp_oom(err);
    reader->engine = engine;
    reader->pack = tp_pack_ref(pack);
    reader->index = index;
    reader->file = &index->files[file];
    reader->span_max = tp_engine_get_max(engine);
    if (reader->span_max > TP_SPAN_MAX)
        reader->span_max = TP_SPAN_MAX;
    /*
     * If the effort of a chunk is great, a span has few chunks, so that between spans a cancelled
     * reader ends and other readers get their turn.
     */
    uint64_t effort = tp_pack_effort(pack);
    if (effort * reader->span_max > TP_EFFORT_MAX)
        reader->span_max = (unsigned)(TP_EFFORT_MAX / effort);
    pthread_mutex_init(&reader->lock, NULL);

    /* Prefetched blocks of one file take at most a sixteenth of the cache. */
    tp_engine_get_stats(engine, &stats);
    uint64_t window_max = stats.cached_bytes_max / 16;
    if (window_max > (uint64_t)WINDOW_MAX * index->chunk_size)
        window_max = (uint64_t)WINDOW_MAX * index->chunk_size;
    tp_cursors_init(&reader->cursors, (uint64_t)WINDOW_MIN * index->chunk_size, window_max);
    *out = reader;
    return 0;
}

void tp_reader_close(struct tp_reader *reader)
{
    if (!reader)
        return;
    tp_pack_close(reader->pack);
    pthread_mutex_destroy(&reader->lock);
    free(reader);
}

uint64_t tp_reader_size(const struct tp_reader *reader)
{
    return reader->file->size;
}

/* A piece of a chunk. */
struct piece {
    uint32_t chunk;
    uint32_t off, len;
};

/*
 * Cut [off, off + len), which is within the file, into pieces. Returns their number, at most MAX.
 */
static unsigned cut_range(const struct tp_reader *reader, uint64_t off, uint64_t len,
                          struct piece *pieces, unsigned max)
{
    uint32_t chunk_size = reader->index->chunk_size;
    unsigned n = 0;

    for (uint32_t s = tp_index_segment_at(reader->index, reader->file, off); len > 0 && n < max;
         s++) {
        const struct tp_segment *segment = &reader->index->segments[s];
        uint64_t within = off - segment->file_off;
        while (within < segment->len && len > 0 && n < max) {
            uint32_t at = (uint32_t)(within % chunk_size);
            uint64_t left = segment->len - within;
            uint32_t part = chunk_size - at;
            if (part > left)
                part = (uint32_t)left;
            if (part > len)
                part = (uint32_t)len;
            pieces[n++] =
                (struct piece){segment->chunk_first + (uint32_t)(within / chunk_size), at, part};
            within += part;
            off += part;
            len -= part;
        }
    }
    return n;
}

/*
 * Queue the chunks of [from, to), and the rest of the tensor if it is short. Returns the end of
 * what was queued.
 */
static uint64_t prefetch_range(struct tp_reader *reader, uint64_t from, uint64_t to)
{
    uint32_t chunk_size = reader->index->chunk_size;
    uint32_t end = reader->file->segment_first + reader->file->segment_n;

    for (uint32_t s = tp_index_segment_at(reader->index, reader->file, from); s < end; s++) {
        const struct tp_segment *segment = &reader->index->segments[s];
        uint64_t first = from > segment->file_off ? from - segment->file_off : 0;
        uint64_t last = to - segment->file_off;
        if (segment->file_off >= to)
            break;
        if (first >= segment->len)
            continue;
        if (last > segment->len || segment->len - last < 4 * (uint64_t)chunk_size)
            last = segment->len;
        uint32_t chunk = (uint32_t)(first / chunk_size);
        uint32_t n = (uint32_t)((last + chunk_size - 1) / chunk_size) - chunk;
        uint32_t queued =
            tp_engine_prefetch(reader->engine, reader->pack, segment->chunk_first + chunk, n);
        if (queued < n)
            return segment->file_off + (uint64_t)(chunk + queued) * chunk_size;
    }
    return to;
}

void tp_reader_prefetch(struct tp_reader *reader, uint64_t off, uint64_t len)
{
    prefetch_range(reader, off, off + len);
}

static void note_read(struct tp_reader *reader, uint64_t off, uint64_t end)
{
    uint64_t from, to;

    pthread_mutex_lock(&reader->lock);
    tp_cursors_note(&reader->cursors, off, end, &from, &to);
    pthread_mutex_unlock(&reader->lock);
    if (from >= to || from >= reader->file->size)
        return;
    uint64_t reached =
        prefetch_range(reader, from, to < reader->file->size ? to : reader->file->size);
    if (reached < to && reached < reader->file->size) {
        pthread_mutex_lock(&reader->lock);
        tp_cursors_retract(&reader->cursors, to, reached);
        pthread_mutex_unlock(&reader->lock);
    }
}

int tp_reader_span(struct tp_reader *reader, uint64_t off, size_t len, struct tp_span *out,
                   struct tp_error *err)
{
    struct piece pieces[TP_SPAN_MAX];
    uint32_t chunks[TP_SPAN_MAX];
    int rc;

    memset(out, 0, offsetof(struct tp_span, iov));
    if (off >= reader->file->size)
        return 0;
    if (len > reader->file->size - off)
        len = (size_t)(reader->file->size - off);
    unsigned n = cut_range(reader, off, len, pieces, reader->span_max);
    for (unsigned i = 0; i < n; i++)
        chunks[i] = pieces[i].chunk;
    note_read(reader, off, off + len);
    rc = tp_engine_get_many(reader->engine, reader->pack, chunks, n, out->blocks, err);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < n; i++) {
        /* iov_base is not const, because some callers read into it; here none does. */
        union {
            const void *in;
            void *out;
        } base = {.in = tp_block_data(out->blocks[i]) + pieces[i].off};
        out->iov[i] = (struct iovec){base.out, pieces[i].len};
        out->len += pieces[i].len;
    }
    out->n = (int)n;
    return 0;
}

void tp_span_copy(const struct tp_span *span, void *dst)
{
    uint8_t *at = dst;

    for (int i = 0; i < span->n; i++) {
        memcpy(at, span->iov[i].iov_base, span->iov[i].iov_len);
        at += span->iov[i].iov_len;
    }
}

void tp_span_release(struct tp_span *span)
{
    for (int i = 0; i < span->n; i++)
        tp_block_release(span->blocks[i]);
    span->n = 0;
    span->len = 0;
}

void tp_span_release_given(struct tp_span *span)
{
    for (int i = 0; i < span->n; i++)
        tp_block_release_given(span->blocks[i], (uint32_t)span->iov[i].iov_len);
    span->n = 0;
    span->len = 0;
}

ssize_t tp_reader_pread(struct tp_reader *reader, void *dst, size_t len, uint64_t off,
                        struct tp_error *err)
{
    uint8_t *at = dst;
    size_t done = 0;

    while (done < len) {
        struct tp_span span;
        int rc = tp_reader_span(reader, off + done, len - done, &span, err);
        if (rc < 0)
            return rc;
        if (span.len == 0)
            break;
        tp_span_copy(&span, at + done);
        done += span.len;
        tp_span_release(&span);
    }
    return (ssize_t)done;
}
