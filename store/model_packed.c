/* SPDX-License-Identifier: MIT */
/* The packed bytes of a quantized tensor, put together from the chunks of a lossy pack. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "codec/quant/chunk.h"
#include "store/model_impl.h"
#include "store/pack/pack_internal.h"

/* The segments of a tensor. */
struct segments {
    uint32_t first, end;
};

/* A tensor whose chunks are all quantized; false: it is another. */
static bool find_segments(const struct tp_model *model, const struct tp_model_tensor *t,
                          struct segments *out)
{
    struct tp_pack *pack = tp_model_pack(model);
    const struct tp_index *x = pack ? tp_pack_index(pack) : NULL;
    uint64_t done = 0;

    if (!x || !x->lossy || t->dtype != TP_DTYPE_BF16 || t->len == 0)
        return false;
    out->first = tp_index_segment_at(x, &x->files[model->files[t->file].entry], t->off);
    for (out->end = out->first; done < t->len && out->end < x->segment_n; out->end++) {
        const struct tp_segment *s = &x->segments[out->end];

        if (strcmp(s->name, t->name) != 0 || s->elem_first != done / 2)
            return false;
        for (uint32_t i = s->chunk_first; i < s->chunk_first + s->chunk_n; i++)
            if (x->chunks[i].codec != tp_codec_quant.id)
                return false;
        done += s->len;
    }
    return done == t->len;
}

static int get_tables(struct tp_pack *pack, uint32_t segment, struct tp_tables_entry **out,
                      struct tp_error *err)
{
    return tp_tables_get(pack, tp_pack_mirrored(pack), segment, &tp_codec_quant, out, err);
}

static bool is_shape_of(const struct tp_model_tensor *t, const struct tp_quant_spec *spec,
                        bool transposed)
{
    return (uint64_t)spec->rows * spec->cols == t->len / 2 && t->rank > 0 &&
           t->shape[t->rank - 1] == (transposed ? spec->rows : spec->cols);
}

bool tp_model_packed(const struct tp_model *model, const struct tp_model_tensor *t, uint64_t *bytes,
                     bool *transposed)
{
    struct tp_tables_entry *tables;
    struct tp_quant_layout layout;
    const struct tp_quant_spec *spec;
    struct segments segments;
    bool good;

    if (!find_segments(model, t, &segments) ||
        get_tables(tp_model_pack(model), segments.first, &tables, NULL) < 0)
        return false;
    spec = tp_quant_tables_spec(tp_tables_of(tables));
    *transposed = tp_quant_tables_extent(tp_tables_of(tables))->transposed;
    good = is_shape_of(t, spec, *transposed) && tp_quant_layout(spec, &layout, NULL) == 0;
    *bytes = good ? layout.bytes : 0;
    tp_tables_put(tables);
    return good;
}

/* The bytes of the matrix that are being put together. */
struct assembly {
    struct tp_model *model;
    const struct tp_model_tensor *tensor;
    struct tp_quant_spec spec;
    bool transposed;
    uint8_t *dst;
    uint8_t *coded; /* a chunk */
};

static int fail_parts(const struct assembly *a, struct tp_error *err)
{
    return tp_fail(err, EBADMSG, "'%s' is damaged: the parts of the quantized tensor '%s' differ",
                   tp_pack_path(tp_model_pack(a->model)), a->tensor->name);
}

/* Whether tables are of the matrix, and of what segment S has of it. */
static bool tables_match(const struct assembly *a, const struct tp_tables *tables,
                         const struct tp_segment *s)
{
    const struct tp_quant_extent *extent = tp_quant_tables_extent(tables);
    uint64_t rows = a->spec.rows, end = s->elem_first + s->len / 2;

    return memcmp(tp_quant_tables_spec(tables), &a->spec, sizeof a->spec) == 0 &&
           extent->transposed == a->transposed &&
           (!a->transposed ||
            (extent->first_col * rows == s->elem_first && extent->end_col * rows == end));
}

static int put_chunk(const struct assembly *a, const struct tp_tables *tables,
                     const struct tp_segment *s, uint32_t number, struct tp_error *err)
{
    struct tp_pack *pack = tp_model_pack(a->model);
    const struct tp_index *x = tp_pack_index(pack);
    const struct tp_chunk *c = &x->chunks[number];
    uint64_t first = s->elem_first + (uint64_t)(number - s->chunk_first) * (x->chunk_size / 2);
    const atomic_int *cancel = a->model->impl->cancel;
    int rc;

    if (cancel && atomic_load_explicit(cancel, memory_order_relaxed))
        return tp_fail(err, ECANCELED, "cancelled");
    rc = tp_bytes_read_checked(tp_pack_mirrored(pack), a->coded, c->stored_len, c->stored_off,
                               c->stored_hash, err);
    if (rc > 0)
        return tp_fail(err, EBADMSG,
                       "'%s' is damaged: the coded bytes of chunk %u of '%s' do not match their "
                       "checksum",
                       tp_pack_path(pack), number, a->tensor->name);
    if (rc == 0 && tp_quant_chunk_restore(tables, a->coded, c->stored_len, first,
                                          tp_index_chunk_len(x, number) / 2, a->dst) < 0)
        rc = fail_parts(a, err);
    return rc;
}

static int put_segment(struct assembly *a, uint32_t number, struct tp_error *err)
{
    struct tp_pack *pack = tp_model_pack(a->model);
    const struct tp_segment *s = &tp_pack_index(pack)->segments[number];
    struct tp_tables_entry *entry;
    int rc = get_tables(pack, number, &entry, err);

    if (rc < 0)
        return rc;
    if (tables_match(a, tp_tables_of(entry), s))
        tp_quant_tables_restore(tp_tables_of(entry), a->dst);
    else
        rc = fail_parts(a, err);
    for (uint32_t i = 0; rc == 0 && i < s->chunk_n; i++)
        rc = put_chunk(a, tp_tables_of(entry), s, s->chunk_first + i, err);
    tp_tables_put(entry);
    return rc;
}

int tp_model_read_packed(struct tp_model *model, const struct tp_model_tensor *t, void *dst,
                         size_t len, struct tp_error *err)
{
    tp_autofree uint8_t *coded = malloc(TP_CHUNK_MAX + TP_SLACK);
    struct assembly a = {.model = model, .tensor = t, .dst = dst, .coded = coded};
    struct tp_tables_entry *entry;
    struct segments segments;
    uint64_t bytes;
    int rc;

    if (!coded)
        return tp_oom(err);
    if (!find_segments(model, t, &segments))
        return tp_fail(err, EINVAL, "the tensor '%s' is not quantized", t->name);
    rc = get_tables(tp_model_pack(model), segments.first, &entry, err);
    if (rc < 0)
        return rc;
    a.spec = *tp_quant_tables_spec(tp_tables_of(entry));
    tp_tables_put(entry);
    if (!tp_model_packed(model, t, &bytes, &a.transposed) || bytes != len)
        return fail_parts(&a, err);
    memset(dst, 0, len);
    for (uint32_t i = segments.first; rc == 0 && i < segments.end; i++)
        rc = put_segment(&a, i, err);
    return rc;
}
