/* SPDX-License-Identifier: MIT */
/*
 * Lossy packs: they show the numbers of their matrices, rounded to bf16, and give back the packed
 * bytes of each matrix, for all kinds of parts, both orders in the file and odd shapes.
 */
#include <config.h>

#include "codec/quant/chunk.h"
#include "store/engine/engine.h"
#include "store/model.h"
#include "store/write/lossy.h"
#include "tests/codec/quant_check.h"
#include "tests/store/model.h"

/* A tensor of the model and what was put. */
struct item {
    char name[64];
    uint64_t shape[3];
    unsigned rank;
    bool transposed;
    struct tp_quant_matrix m;
    uint8_t *packed;  /* NULL: plain numbers */
    uint16_t *values; /* as the file must show them */
    uint64_t n;
};

static uint64_t seed;

/* Zero what no code uses: gaps between sections, and the rest of the last byte of a row. */
static void clear_padding(struct tp_quant_matrix *m, uint8_t *data)
{
    uint64_t at = TP_QUANT_HEADER;

    for (unsigned p = 0; p < m->spec.parts; p++) {
        const struct tp_quant_part *part = &m->spec.part[p];

        for (unsigned s = 0; s < TP_QUANT_SECTIONS; s++) {
            const struct tp_quant_section *sec = &m->layout.section[p][s];
            uint64_t n = s == TP_QUANT_ZEROS || part->kind == TP_QUANT_CODEBOOK
                             ? m->spec.cols / (part->group ? part->group : 1)
                             : m->spec.cols;
            unsigned used = n * part->bits % 8;
            bool codes =
                s == TP_QUANT_CODES || (s == TP_QUANT_ZEROS && part->kind == TP_QUANT_ASYM);

            if (!sec->bytes)
                continue;
            memset(data + at, 0, sec->offset - at);
            at = sec->offset + sec->bytes;
            for (uint32_t r = 0; codes && used && sec->stride && r < m->spec.rows; r++)
                data[sec->offset + (r + (uint64_t)1) * sec->stride - 1] &= (1u << used) - 1;
        }
        if ((part->kind == TP_QUANT_NF4 || part->kind == TP_QUANT_NF4_DOUBLE) &&
            (uint64_t)m->spec.rows * m->spec.cols % 2) {
            uint8_t *last = data + m->layout.section[p][TP_QUANT_CODES].offset +
                            m->layout.section[p][TP_QUANT_CODES].bytes - 1;

            *last = (*last & 0xf0) | 7;
        }
    }
}

/* The numbers of the matrix as the file shows them. */
static void fill_values(struct item *it)
{
    const struct tp_quant_spec *spec = &it->m.spec;
    float *row = check_alloc(spec->cols * sizeof *row);

    for (uint32_t r = 0; r < spec->rows; r++) {
        tp_quant_dequantize(&it->m, r, r + 1, row, spec->cols);
        for (uint32_t c = 0; c < spec->cols; c++) {
            uint64_t at =
                it->transposed ? (uint64_t)c * spec->rows + r : (uint64_t)r * spec->cols + c;
            uint32_t bits;

            memcpy(&bits, &row[c], 4);
            it->values[at] = tp_bf16_from_f32(bits);
        }
    }
    free(row);
}

static struct item make_matrix(const char *name, const struct tp_quant_spec *spec, bool transposed)
{
    struct item it = {.rank = 2, .transposed = transposed};
    struct tp_error err = {0};
    struct tp_quant_layout layout;

    if (tp_quant_layout(spec, &layout, &err) < 0)
        bail_out("%s", err.message);
    it.packed = check_random_matrix(&seed, spec, &layout);
    if (tp_quant_open(it.packed, layout.bytes, &it.m, &err) < 0)
        bail_out("%s", err.message);
    clear_padding(&it.m, it.packed);
    snprintf(it.name, sizeof it.name, "%s", name);
    it.n = (uint64_t)spec->rows * spec->cols;
    it.shape[0] = transposed ? spec->cols : spec->rows;
    it.shape[1] = transposed ? spec->rows : spec->cols;
    it.values = check_alloc(2 * it.n);
    fill_values(&it);
    return it;
}

static struct item make_values(const char *name, uint64_t n)
{
    struct item it = {.rank = 1, .shape = {n}, .n = n, .values = check_alloc(2 * n)};

    snprintf(it.name, sizeof it.name, "%s", name);
    for (uint64_t i = 0; i < n; i++) {
        float x = check_normal(&seed);
        uint32_t bits;

        memcpy(&bits, &x, 4);
        it.values[i] = tp_bf16_from_f32(bits);
    }
    return it;
}

static void clear_items(struct item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(items[i].packed);
        free(items[i].values);
    }
    free(items);
}

static struct tp_model *must_open(const char *path, struct tp_engine *engine)
{
    struct tp_model_options options = {.engine = engine};
    struct tp_error err = {0};
    struct tp_model *model;

    if (tp_model_open(path, &options, &model, &err) < 0)
        bail_out("%s", err.message);
    return model;
}

static void describe(const struct item *items, size_t n, struct tp_lossy_tensor *tensors)
{
    for (size_t i = 0; i < n; i++)
        tensors[i] = (struct tp_lossy_tensor){.name = items[i].name,
                                              .rank = items[i].rank,
                                              .shape = items[i].shape,
                                              .quantized = items[i].packed != NULL,
                                              .transposed = items[i].transposed};
}

static int write_pack(const char *original, const char *out, const struct item *items, size_t n,
                      unsigned threads, struct tp_pack_report *report, struct tp_error *err)
{
    struct tp_lossy_tensor *tensors = calloc(n + 1, sizeof *tensors);
    struct tp_model *model = must_open(original, NULL);
    struct tp_lossy *w = NULL;
    int rc;

    describe(items, n, tensors);
    rc = tp_lossy_create(model, out, tensors, n, threads, &w, err);
    free(tensors);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = items[i].packed ? tp_lossy_put_matrix(w, &items[i].m, err)
                             : tp_lossy_put_values(w, items[i].values, err);
    if (rc == 0)
        rc = tp_lossy_finish(w, report, err);
    tp_lossy_destroy(w);
    tp_model_close(model);
    return rc;
}

static void check_packed(struct tp_model *model, const struct tp_model_tensor *t,
                         const struct item *it)
{
    struct tp_error err = {0};
    uint64_t bytes = 0;
    bool transposed = !it->transposed;
    uint8_t *got;

    if (!it->packed) {
        ok(!tp_model_packed(model, t, &bytes, &transposed), "%s: not quantized", it->name);
        return;
    }
    if (!ok(tp_model_packed(model, t, &bytes, &transposed), "%s: quantized", it->name))
        return;
    is_u64(bytes, it->m.layout.bytes, "bytes of the matrix");
    ok(transposed == it->transposed, "%s: its order", it->name);
    got = check_alloc(bytes);
    is_int(tp_model_read_packed(model, t, got, bytes, &err), 0, "read packed");
    if (err.code)
        diag("%s", err.message);
    is_mem(got, it->packed, bytes, "the packed bytes are those that were put");
    is_int(tp_model_read_packed(model, t, got, bytes - 1, &err), -EBADMSG, "another length");
    free(got);
}

static void check_tensor(struct tp_model *model, const struct item *it)
{
    const struct tp_model_tensor *t = tp_model_find(model, it->name);
    struct tp_error err = {0};
    uint16_t *got;

    if (!ok(t != NULL, "%s: is there", it->name))
        return;
    ok(t->dtype == TP_DTYPE_BF16 && t->rank == it->rank &&
           memcmp(t->shape, it->shape, it->rank * sizeof *it->shape) == 0,
       "%s: dtype and shape", it->name);
    got = check_alloc(2 * it->n);
    is_int(tp_model_read_tensor(model, t, 0, got, 2 * it->n, &err), 0, "read");
    if (err.code)
        diag("%s", err.message);
    is_mem(got, it->values, 2 * it->n, "its numbers are those of the matrix, rounded");
    check_packed(model, t, it);
    free(got);
}

static void check_model(const char *path, const struct item *items, size_t n)
{
    struct tp_engine_options options = {.cache_bytes = 32 << 20, .threads = 2};
    struct tp_error err = {0};
    struct tp_engine *engine = NULL;
    struct tp_model *model = must_open(path, NULL);

    for (size_t i = 0; i < n; i++)
        check_tensor(model, &items[i]);
    tp_model_close(model);
    if (tp_engine_create(&options, &engine, &err) < 0)
        bail_out("%s", err.message);
    model = must_open(path, engine);
    for (size_t i = 0; i < n; i++)
        check_tensor(model, &items[i]);
    tp_model_close(model);
    tp_engine_destroy(engine);
}

/* Matrices of each kind as the first part, in many shapes and both orders. */
static struct item *make_items(size_t *n)
{
    static const uint32_t shapes[][2] = {{1, 1},   {3, 5},     {64, 64},    {37, 129},
                                         {200, 1}, {1, 70001}, {1500, 260}, {130, 4100}};
    struct item *items = calloc(400, sizeof *items);
    char name[64];

    *n = 0;
    items[(*n)++] = make_values("embedding", 300001);
    for (unsigned kind = 1; kind < TP_QUANT_KIND_COUNT; kind++) {
        if (kind == TP_QUANT_OUTLIERS || kind == TP_QUANT_COLUMNS)
            continue;
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            for (unsigned transposed = 0; transposed < 2; transposed++) {
                unsigned parts = 1 + (unsigned)(tap_random(&seed) % TP_QUANT_PARTS);
                struct tp_quant_spec spec =
                    check_random_spec(&seed, shapes[s][0], shapes[s][1], kind, parts);

                snprintf(name, sizeof name, "m.%s.%ux%u.%u", tp_quant_kind_name(kind), shapes[s][0],
                         shapes[s][1], transposed);
                items[(*n)++] = make_matrix(name, &spec, transposed);
            }
        }
    }
    items[(*n)++] = make_values("norm", 64);
    items[(*n)++] = make_values("nothing", 0);
    return items;
}

static void test_all(const char *original)
{
    struct tp_pack_report report;
    struct tp_error err = {0};
    char *one = in_scratch("model~all.tnpk"), *two = in_scratch("model~two.tnpk");
    struct tp_buffer a, b;
    size_t n;
    struct item *items = make_items(&n);

    is_int(write_pack(original, one, items, n, 1, &report, &err), 0, "a pack of all kinds");
    if (err.code)
        bail_out("%s", err.message);
    is_u64(report.codec_chunks[TP_CODEC_QUANT] > n - 3, 1, "its chunks");
    check_model(one, items, n);
    is_int(write_pack(original, two, items, n, 3, &report, &err), 0, "with three threads");
    a = read_file(one);
    b = read_file(two);
    ok(a.len == b.len && memcmp(a.data, b.data, a.len) == 0,
       "the bytes do not depend on the number of threads");
    is_u64(report.stored_bytes, a.len, "the reported size");
    tp_buffer_clear(&a);
    tp_buffer_clear(&b);
    clear_items(items, n);
    free(one);
    free(two);
}

int main(void)
{
    char *original;

    seed = tap_seed();
    scratch = tap_tmpdir();
    original = make_model("model", "");
    test_all(original);
    free(original);
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(scratch);
    return tap_done();
}
