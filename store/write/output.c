/* SPDX-License-Identifier: MIT */
/* Writing coded chunks to a file in their order, then the index and the footer. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "store/pack/layout.h"
#include "store/pipeline.h"
#include "store/write/end.h"
#include "store/write/writer_internal.h"
#include "store/write/chunkmap.h"

/* A work item: train the coder for a segment, or code a chunk. */
struct item {
    uint32_t number;
    bool train;
};

struct output {
    struct tp_writer *w;
    struct tp_sink *sink;
    uint64_t off;          /* bytes assigned so far */
    struct tp_sha256 *sha; /* of the file that is being read */
    struct tp_xxh128 *xxh; /* the same, to compare with the file that is read back */
    uint64_t file_done;    /* bytes of the file hashed so far */
    uint64_t done;
    struct item *items;
    uint64_t item_n;
};

static int put_bytes(struct output *o, const void *data, size_t len, struct tp_error *err)
{
    o->off += len;
    return tp_sink_put(o->sink, data, len, err);
}

/*
 * Write the tables of a segment before its first chunk. A segment of one chunk has only the tables
 * that the chunk uses.
 */
static int put_tables(struct output *o, struct tp_segment *s, const struct tp_trained *trained,
                      uint8_t used, struct tp_error *err)
{
    struct tp_index *x = &o->w->plan.index;

    s->tables_first = x->tables_n;
    for (unsigned i = 0; i < trained->n; i++) {
        const struct tp_candidate *c = &trained->candidates[i];
        int rc;

        if (s->chunk_n == 1 && c->codec->id != used)
            continue;
        x->tables[x->tables_n++] =
            (struct tp_tables_ref){.codec = (uint8_t)c->codec->id,
                                   .stored_len = (uint32_t)c->blob.len,
                                   .stored_hash = tp_xxh3(c->blob.data, c->blob.len),
                                   .stored_off = o->off};
        s->tables_n++;
        rc = put_bytes(o, c->blob.data, c->blob.len, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/*
 * Refer to an earlier chunk of this pack with the same content. Only here, where chunks come in
 * order, is it certain that the chunk is earlier.
 */
static void resolve_same(struct output *o, uint32_t chunk, struct tp_coded *c)
{
    const struct tp_index *x = &o->w->plan.index;
    uint32_t known;

    if (c->coding.codec == TP_CODEC_SAME)
        return;
    known = tp_chunkmap_find(o->w->in_pack, c->content_hash, c->len);
    if (known == TP_NONE) {
        tp_chunkmap_put(o->w->in_pack, c->content_hash, c->len, chunk);
        return;
    }
    if (tp_writer_may_refer(o->w, &x->segments[x->chunks[chunk].segment], known))
        tp_coded_set_same(c, known, NULL);
}

/* Hash the bytes of the file, which come in order. */
static void hash_source(struct output *o, uint32_t file, const struct tp_coded *c)
{
    struct tp_pack_file *f = &o->w->plan.index.files[file];

    tp_sha256_update(o->sha, c->src, c->len);
    tp_xxh128_update(o->xxh, c->src, c->len);
    o->file_done += c->len;
    o->done += c->len;
    if (o->file_done < f->size)
        return;
    tp_sha256_final(o->sha, f->sha256);
    tp_xxh128_final(o->xxh, o->w->prints[file].xxh128);
    o->file_done = 0;
}

static void report_progress(const struct output *o)
{
    const struct tp_progress *p = o->w->options->progress;

    if (p && p->update)
        p->update(p->arg, "pack", o->done, o->w->plan.index.logical_bytes);
}

static int write_coded(void *arg, uint64_t number, void *slot, struct tp_error *err)
{
    struct output *o = arg;
    struct tp_index *x = &o->w->plan.index;
    struct tp_coded *c = slot;
    struct tp_segment *s;
    uint32_t chunk = o->items[number].number;
    int rc = 0;

    if (o->items[number].train)
        return 0;
    s = &x->segments[x->chunks[chunk].segment];
    resolve_same(o, chunk, c);
    if (chunk == s->chunk_first)
        rc = put_tables(o, s, &o->w->segments[x->chunks[chunk].segment].trained, c->coding.codec,
                        err);
    x->chunks[chunk].codec = c->coding.codec;
    x->chunks[chunk].ref_base = c->ref_base;
    x->chunks[chunk].ref = c->ref;
    x->chunks[chunk].stored_len = c->coding.len;
    x->chunks[chunk].stored_hash = c->stored_hash;
    x->chunks[chunk].content_hash = c->content_hash;
    x->chunks[chunk].stored_off = o->off;
    if (rc == 0 && c->coding.len)
        rc = put_bytes(o, c->coding.codec == TP_CODEC_RAW ? c->src : c->coding.bytes, c->coding.len,
                       err);
    if (rc < 0)
        return rc;
    hash_source(o, s->file, c);
    if (chunk + 1 == s->chunk_first + s->chunk_n)
        tp_trained_clear(&o->w->segments[x->chunks[chunk].segment].trained);
    report_progress(o);
    return 0;
}

static int code_chunk(void *arg, void *worker, uint64_t number, void *slot, struct tp_error *err)
{
    struct output *o = arg;
    const struct item *item = &o->items[number];

    return item->train ? tp_train_segment(o->w, item->number, worker, err)
                       : tp_encode_chunk(o->w, item->number, worker, slot, err);
}

static void memory_destroy(void *worker)
{
    struct tp_writer_memory *memory = worker;

    tp_work_destroy(memory->work);
    tp_coder_clear(&memory->coder);
    free(memory);
}

static void *memory_create(void *arg)
{
    struct tp_writer_memory *memory = calloc(1, sizeof *memory);
    const struct output *o = arg;
    const struct tp_progress *progress = o->w->options->progress;

    if (!memory)
        return NULL;
    memory->work = tp_work_create(progress ? progress->cancel : NULL);
    if (memory->work && tp_coder_init(&memory->coder, NULL) == 0)
        return memory;
    memory_destroy(memory);
    return NULL;
}

static void coded_destroy(void *slot)
{
    struct tp_coded *c = slot;

    free(c->src);
    free(c->coding.bytes);
    free(c);
}

static void *coded_create(void *arg)
{
    struct tp_coded *c = calloc(1, sizeof *c);

    (void)arg;
    if (!c)
        return NULL;
    c->src = malloc(TP_CODED_CAP);
    c->coding.bytes = malloc(TP_CODED_CAP);
    if (c->src && c->coding.bytes)
        return c;
    coded_destroy(c);
    return NULL;
}

/*
 * Order the work: chunks in the order of the pack, and the training of a segment a little before
 * its first chunk.
 */
static int order_items(struct output *o, struct tp_error *err)
{
    const struct tp_index *x = &o->w->plan.index;
    uint64_t lead = 2 * tp_pipeline_threads(o->w->options->threads);
    uint32_t segment = 0;

    o->items = calloc((uint64_t)x->chunk_n + x->segment_n + 1, sizeof *o->items);
    if (!o->items)
        return tp_oom(err);
    for (uint32_t c = 0; c < x->chunk_n; c++) {
        for (; segment < x->segment_n && x->segments[segment].chunk_first <= c + lead; segment++)
            if (x->segments[segment].dtype != TP_DTYPE_BYTES && x->segments[segment].chunk_n)
                o->items[o->item_n++] = (struct item){.number = segment, .train = true};
        o->items[o->item_n++] = (struct item){.number = c};
    }
    return 0;
}

static int put_data(struct output *o, struct tp_error *err)
{
    const struct tp_progress *progress = o->w->options->progress;
    struct tp_pipeline p = {.threads = o->w->options->threads,
                            .item_n = o->item_n,
                            .cancel = progress ? progress->cancel : NULL,
                            .arg = o,
                            .worker_create = memory_create,
                            .worker_destroy = memory_destroy,
                            .slot_create = coded_create,
                            .slot_destroy = coded_destroy,
                            .work = code_chunk,
                            .consume = write_coded};
    uint8_t header[TP_PACK_HEADER_LEN];
    int rc;

    tp_header_encode(TP_PACK_VERSION, header);
    rc = put_bytes(o, header, sizeof header, err);
    return rc == 0 ? tp_pipeline_run(&p, err) : rc;
}

int tp_output_write(struct tp_writer *w, int fd, const char *path, struct tp_pack_report *report,
                    struct tp_error *err)
{
    struct output o = {.w = w};
    int rc = tp_sink_create(fd, path, TP_SINK_PLACE, &o.sink, err);

    if (rc < 0)
        return rc;
    o.sha = tp_sha256_create();
    o.xxh = tp_xxh128_create();
    rc = o.sha && o.xxh ? order_items(&o, err) : tp_oom(err);
    if (rc == 0)
        rc = put_data(&o, err);
    if (rc == 0)
        rc = tp_model_recheck(w->plan.model, err);
    if (rc == 0)
        rc = tp_end_write(o.sink, &o.off, &w->plan.index, report->id, err);
    report->stored_bytes = o.off;
    tp_sha256_destroy(o.sha);
    tp_xxh128_destroy(o.xxh);
    tp_sink_destroy(o.sink);
    free(o.items);
    return rc;
}
