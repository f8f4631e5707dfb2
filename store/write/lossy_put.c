/* SPDX-License-Identifier: MIT */
/* The segments and chunks of a lossy pack, coded by all threads. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/vector.h"
#include "codec/quant/chunk.h"
#include "store/pack/layout.h"
#include "store/pipeline.h"
#include "store/write/lossy_impl.h"

/* Tables of a quantized matrix by columns are kept below this, if that is possible. */
#define TABLES_USUAL (1u << 20)

/* A segment that is being written. */
struct job {
    struct tp_lossy *w;
    struct tp_code_source source;    /* of opaque bytes and numbers */
    struct tp_trained *trained;      /* of numbers; NULL: opaque bytes, or a matrix */
    const struct tp_quant_matrix *m; /* of a quantized tensor */
    struct tp_quant_extent extent;
    struct tp_buffer tables; /* of a quantized tensor */
    uint64_t first;          /* element of the tensor */
    struct tp_segment *segment;
};

struct worker {
    struct tp_coder coder;
    float *work;
};

/* A coded chunk on its way to the file. */
struct slot {
    uint8_t *src;
    uint32_t len;
    struct tp_coding coding;
    uint64_t content_hash;
};

static void worker_destroy(void *arg)
{
    struct worker *worker = arg;

    tp_coder_clear(&worker->coder);
    free(worker->work);
    free(worker);
}

static void *worker_create(void *arg)
{
    struct worker *worker = calloc(1, sizeof *worker);
    const struct job *job = arg;

    if (!worker)
        return NULL;
    if (job->m)
        worker->work = calloc(TP_QUANT_WORK, sizeof *worker->work);
    if (job->m ? worker->work != NULL : tp_coder_init(&worker->coder, NULL) == 0)
        return worker;
    worker_destroy(worker);
    return NULL;
}

static void slot_destroy(void *arg)
{
    struct slot *slot = arg;

    free(slot->src);
    free(slot->coding.bytes);
    free(slot);
}

static void *slot_create(void *arg)
{
    struct slot *slot = calloc(1, sizeof *slot);

    (void)arg;
    if (!slot)
        return NULL;
    slot->src = calloc(1, TP_CODED_CAP);
    slot->coding.bytes = malloc(TP_CODED_CAP);
    if (slot->src && slot->coding.bytes)
        return slot;
    slot_destroy(slot);
    return NULL;
}

static int code_chunk(void *arg, void *worker_arg, uint64_t number, void *slot_arg,
                      struct tp_error *err)
{
    const struct job *job = arg;
    struct worker *worker = worker_arg;
    struct slot *slot = slot_arg;
    uint32_t chunk = (uint32_t)number;
    int rc = 0;

    slot->len = tp_code_chunk_len(&job->source, chunk);
    if (job->m) {
        uint64_t first = job->first + number * (job->source.chunk_size / 2);

        slot->coding.codec = tp_codec_quant.id;
        slot->coding.len =
            (uint32_t)tp_quant_chunk_bytes(job->m, job->extent.transposed, first, slot->len / 2);
        tp_quant_chunk_encode(job->m, job->extent.transposed, first, slot->len / 2,
                              slot->coding.bytes);
        tp_quant_chunk_values(job->m, job->extent.transposed, first, slot->len / 2, slot->src,
                              worker->work);
    } else {
        rc = job->source.read(job->source.arg, chunk, slot->src, slot->len, err);
        if (rc == 0)
            rc = tp_code_chunk(&job->source, chunk, slot->src, job->trained, &job->w->code,
                               &worker->coder, &slot->coding, err);
    }
    slot->content_hash = tp_xxh3(slot->src, slot->len);
    return rc;
}

static int put_bytes(struct tp_lossy *w, const void *data, size_t len, struct tp_error *err)
{
    w->off += len;
    return tp_sink_put(w->sink, data, len, err);
}

static int put_table(struct job *job, unsigned codec, const struct tp_buffer *blob,
                     struct tp_error *err)
{
    struct tp_index *x = &job->w->x;

    if (TP_VECTOR_GROW(x->tables, x->tables_n, job->w->tables_cap) < 0)
        return tp_oom(err);
    x->tables[x->tables_n++] = (struct tp_tables_ref){.codec = (uint8_t)codec,
                                                      .stored_len = (uint32_t)blob->len,
                                                      .stored_hash = tp_xxh3(blob->data, blob->len),
                                                      .stored_off = job->w->off};
    job->segment->tables_n++;
    return put_bytes(job->w, blob->data, blob->len, err);
}

/* The tables before the first chunk. A segment of one chunk has only those that the chunk uses. */
static int put_tables(struct job *job, uint8_t used, struct tp_error *err)
{
    int rc = 0;

    if (job->m)
        return put_table(job, tp_codec_quant.id, &job->tables, err);
    for (unsigned i = 0; rc == 0 && job->trained && i < job->trained->n; i++) {
        const struct tp_candidate *c = &job->trained->candidates[i];

        if (job->segment->chunk_n > 1 || c->codec->id == used)
            rc = put_table(job, c->codec->id, &c->blob, err);
    }
    return rc;
}

static int put_chunk(void *arg, uint64_t number, void *slot_arg, struct tp_error *err)
{
    struct job *job = arg;
    struct tp_lossy *w = job->w;
    struct slot *slot = slot_arg;
    bool raw = slot->coding.codec == TP_CODEC_RAW;
    const uint8_t *bytes = raw ? slot->src : slot->coding.bytes;
    struct tp_index *x = &w->x;
    int rc = number == 0 ? put_tables(job, slot->coding.codec, err) : 0;

    if (rc == 0 && TP_VECTOR_GROW(x->chunks, x->chunk_n, w->chunk_cap) < 0)
        rc = tp_oom(err);
    if (rc < 0)
        return rc;
    x->chunks[x->chunk_n++] = (struct tp_chunk){
        .codec = slot->coding.codec,
        .stored_len = slot->coding.len,
        .stored_hash = raw ? slot->content_hash : tp_xxh3(bytes, slot->coding.len),
        .stored_off = w->off,
        .alias = TP_NONE,
        .content_hash = slot->content_hash,
        .segment = (uint32_t)(job->segment - x->segments)};
    tp_sha256_update(w->sha, slot->src, slot->len);
    return put_bytes(w, bytes, slot->coding.len, err);
}

/* Add a segment of FILE, LEN bytes, and write its chunks. */
static int run_job(struct job *job, uint32_t file, const struct tp_lossy_slot *tensor,
                   struct tp_error *err)
{
    struct tp_lossy *w = job->w;
    struct tp_index *x = &w->x;
    struct tp_segment *s;
    struct tp_pipeline pipeline = {.threads = w->threads,
                                   .item_n = tp_code_chunk_n(&job->source),
                                   .arg = job,
                                   .worker_create = worker_create,
                                   .worker_destroy = worker_destroy,
                                   .slot_create = slot_create,
                                   .slot_destroy = slot_destroy,
                                   .work = code_chunk,
                                   .consume = put_chunk};

    if (x->chunk_n + pipeline.item_n >= TP_INDEX_MAX / TP_CHUNK_RECORD_LEN)
        return tp_fail(err, EFBIG, "'%s' is too large for one pack", w->out);
    if (TP_VECTOR_GROW(x->segments, x->segment_n, w->segment_cap) < 0)
        return tp_oom(err);
    s = job->segment = &x->segments[x->segment_n++];
    *s = (struct tp_segment){.name = "",
                             .file = file,
                             .dtype = job->source.dtype,
                             .len = job->source.len,
                             .chunk_first = x->chunk_n,
                             .chunk_n = (uint32_t)pipeline.item_n,
                             .tables_first = x->tables_n,
                             .elem_first = job->first};
    if (x->files[file].segment_n++)
        s->file_off = s[-1].file_off + s[-1].len;
    if (tensor) {
        s->name = tensor->tensor.name;
        s->rank = tensor->tensor.rank;
        s->shape = tensor->tensor.shape;
        x->dim_n += s->rank;
    }
    if (pipeline.item_n < 2)
        pipeline.threads = 1;
    return pipeline.item_n ? tp_pipeline_run(&pipeline, err) : 0;
}

/* Opaque bytes, given by a function. */
struct opaque {
    int (*read)(void *arg, uint64_t off, void *dst, size_t len, struct tp_error *err);
    void *arg;
};

static int read_opaque(void *arg, uint32_t chunk, void *dst, size_t len, struct tp_error *err)
{
    const struct opaque *o = arg;

    return o->read(o->arg, (uint64_t)chunk * TP_CHUNK_MAX, dst, len, err);
}

int tp_lossy_put_opaque(struct tp_lossy *w, uint32_t file, uint64_t len,
                        int (*read)(void *arg, uint64_t off, void *dst, size_t len,
                                    struct tp_error *err),
                        void *arg, struct tp_error *err)
{
    struct opaque opaque = {read, arg};
    struct job job = {.w = w,
                      .source = {.dtype = TP_DTYPE_BYTES,
                                 .len = len,
                                 .chunk_size = w->x.chunk_size,
                                 .read = read_opaque,
                                 .arg = &opaque}};

    return run_job(&job, file, NULL, err);
}

void tp_lossy_end_file(struct tp_lossy *w, uint32_t file)
{
    tp_sha256_final(w->sha, w->x.files[file].sha256);
    w->x.logical_bytes += w->x.files[file].size;
}

/* The tensor that is put now; NULL: there is none, or it is of the other kind. */
static struct tp_lossy_slot *next_tensor(struct tp_lossy *w, bool quantized, struct tp_error *err)
{
    struct tp_lossy_slot *slot = &w->slots[w->next];

    if (w->broken || w->next == w->slot_n || slot->tensor.kept ||
        slot->tensor.quantized != quantized) {
        tp_fail(err, EINVAL, "'%s' has no %s tensor at number %zu", w->out,
                quantized ? "quantized" : "plain", w->next);
        return NULL;
    }
    return slot;
}

static int read_values(void *arg, uint32_t chunk, void *dst, size_t len, struct tp_error *err)
{
    const uint8_t *values = arg;

    (void)err;
    memcpy(dst, values + (uint64_t)chunk * TP_CHUNK_MAX, len);
    return 0;
}

/* Write the next tensor, which is not quantized: its bytes, as READ gives them. */
static int put_plain(struct tp_lossy *w,
                     int (*read)(void *arg, uint32_t chunk, void *dst, size_t len,
                                 struct tp_error *err),
                     void *arg, struct tp_error *err)
{
    const struct tp_lossy_slot *slot = &w->slots[w->next];
    struct tp_trained trained = {0};
    struct tp_coder coder;
    struct job job = {.w = w,
                      .trained = &trained,
                      .source = {.dtype = slot->dtype,
                                 .len = slot->bytes,
                                 .chunk_size = w->x.chunk_size,
                                 .read = read,
                                 .arg = arg}};
    int rc = tp_coder_init(&coder, err);

    w->broken = true;
    if (rc == 0 && slot->bytes)
        rc = tp_train(&job.source, &w->code, 0, &coder, &trained, err);
    if (rc == 0)
        rc = run_job(&job, w->weights, slot, err);
    tp_coder_clear(&coder);
    tp_trained_clear(&trained);
    w->broken = rc < 0;
    w->next += rc == 0;
    return rc;
}

int tp_lossy_put_values(struct tp_lossy *w, const uint16_t *bf16, uint64_t n, struct tp_error *err)
{
    struct tp_lossy_slot *slot = next_tensor(w, false, err);

    if (!slot)
        return -EINVAL;
    if (slot->elements != n)
        return tp_fail(err, EINVAL, "the tensor '%s' has %" PRIu64 " elements, not %" PRIu64,
                       slot->tensor.name, slot->elements, n);
    return put_plain(w, read_values, (void *)bf16, err);
}

static int read_kept(void *arg, uint32_t chunk, void *dst, size_t len, struct tp_error *err)
{
    const struct tp_lossy *w = arg;

    return tp_model_read_tensor(w->original, w->slots[w->next].tensor.kept,
                                (uint64_t)chunk * TP_CHUNK_MAX, dst, len, err);
}

int tp_lossy_copy_kept(struct tp_lossy *w, struct tp_error *err)
{
    int rc = 0;

    while (rc == 0 && w->next < w->slot_n && w->slots[w->next].tensor.kept)
        rc = put_plain(w, read_kept, w, err);
    return rc;
}

/* Whether the shape of a tensor is that of M. */
static bool is_shape_of(const struct tp_lossy_slot *slot, const struct tp_quant_matrix *m)
{
    uint64_t last = slot->tensor.rank ? slot->tensor.shape[slot->tensor.rank - 1] : 1;

    return slot->elements == (uint64_t)m->spec.rows * m->spec.cols &&
           last == (slot->tensor.transposed ? m->spec.rows : m->spec.cols);
}

/*
 * Whether M can be cut into segments of UNIT elements (by rows) or columns: no chunk and no table
 * is too large.
 */
static bool can_be_cut(const struct tp_quant_matrix *m, bool transposed, uint64_t unit,
                       uint64_t tables_most)
{
    uint64_t elements = (uint64_t)m->spec.rows * m->spec.cols, chunk = TP_CHUNK_MAX / 2;
    uint64_t step = transposed ? unit * m->spec.rows : unit;

    for (uint64_t at = 0; at < elements; at += step) {
        uint64_t end = elements - at < step ? elements : at + step;
        struct tp_quant_extent extent = {.end_col = m->spec.cols};

        if (transposed)
            extent = (struct tp_quant_extent){true, (uint32_t)(at / m->spec.rows),
                                              (uint32_t)(end / m->spec.rows)};
        if (tp_quant_tables_bytes(m, &extent) > tables_most)
            return false;
        for (uint64_t first = at; first < end; first += chunk)
            if (tp_quant_chunk_bytes(m, transposed, first,
                                     (uint32_t)(end - first < chunk ? end - first : chunk)) >
                TP_CHUNK_MAX)
                return false;
    }
    return true;
}

/* The number of columns that segments should have a multiple of, so that they share no numbers. */
static uint32_t column_grain(const struct tp_quant_spec *spec)
{
    uint32_t grain = 8;

    for (unsigned i = 0; i < spec->parts; i++)
        if (spec->part[i].group > grain)
            grain = spec->part[i].group;
    return grain;
}

/* The elements, or the columns, of a segment of M; 0: it cannot be cut. */
static uint64_t choose_unit(const struct tp_quant_matrix *m, bool transposed)
{
    uint64_t unit = (uint64_t)m->spec.rows * m->spec.cols, grain = column_grain(&m->spec);

    if (can_be_cut(m, transposed, transposed ? m->spec.cols : unit,
                   transposed ? TABLES_USUAL : TP_QUANT_TABLES_MAX))
        return transposed ? m->spec.cols : unit;
    if (!transposed) {
        for (unit = TP_CHUNK_MAX / 4; unit >= 64; unit /= 2)
            if (can_be_cut(m, false, unit, TP_QUANT_TABLES_MAX))
                return unit;
        return 0;
    }
    for (unit = m->spec.cols; unit > grain;) {
        unit = (unit / 2 + grain - 1) / grain * grain;
        if (can_be_cut(m, true, unit, TABLES_USUAL))
            return unit;
    }
    for (unit = m->spec.cols; unit > 0; unit /= 2)
        if (can_be_cut(m, true, unit, TP_QUANT_TABLES_MAX))
            return unit;
    return 0;
}

static int put_segment(struct tp_lossy *w, const struct tp_lossy_slot *slot,
                       const struct tp_quant_matrix *m, uint64_t first, uint64_t end,
                       struct tp_error *err)
{
    struct job job = {.w = w,
                      .m = m,
                      .first = first,
                      .extent = {.end_col = m->spec.cols},
                      .source = {.dtype = TP_DTYPE_BF16,
                                 .len = 2 * (end - first),
                                 .chunk_size = w->x.chunk_size}};
    int rc;

    if (slot->tensor.transposed)
        job.extent = (struct tp_quant_extent){true, (uint32_t)(first / m->spec.rows),
                                              (uint32_t)(end / m->spec.rows)};
    rc = tp_quant_tables_encode(m, &job.extent, &job.tables);
    rc = rc < 0 ? tp_oom(err) : run_job(&job, w->weights, slot, err);
    tp_buffer_clear(&job.tables);
    return rc;
}

int tp_lossy_put_matrix(struct tp_lossy *w, const struct tp_quant_matrix *m, struct tp_error *err)
{
    struct tp_lossy_slot *slot = next_tensor(w, true, err);
    uint64_t unit, step;
    int rc = 0;

    if (!slot)
        return -EINVAL;
    if (!is_shape_of(slot, m))
        return tp_fail(err, EINVAL, "the tensor '%s' has not the shape of a matrix of %u x %u",
                       slot->tensor.name, m->spec.rows, m->spec.cols);
    unit = choose_unit(m, slot->tensor.transposed);
    if (unit == 0)
        return tp_fail(
            err, EFBIG,
            "the tensor '%s' cannot be kept in its quantized form: what its chunks share "
            "is more than %u MiB",
            slot->tensor.name, TP_QUANT_TABLES_MAX >> 20);
    w->broken = true;
    step = slot->tensor.transposed ? unit * m->spec.rows : unit;
    for (uint64_t at = 0; rc == 0 && at < slot->elements; at += step)
        rc = put_segment(w, slot, m, at, slot->elements - at < step ? slot->elements : at + step,
                         err);
    w->broken = rc < 0;
    w->next += rc == 0;
    return rc;
}
