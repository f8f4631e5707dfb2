/* SPDX-License-Identifier: MIT */
/*
 * Lossy packs: they show the numbers of their matrices, rounded to bf16, and give back the packed
 * bytes of each matrix, for all kinds of parts, both orders in the file and odd shapes.
 */
#include <config.h>

#include "base/hash.h"
#include "codec/quant/chunk.h"
#include "store/engine/engine.h"
#include "store/model.h"
#include "store/pack/layout.h"
#include "store/pack/pack_internal.h"
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

/* A part whose scales and offsets take more than the numbers. */
#define FAT TP_QUANT_AFFINE, 8, 1, 0

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
                             : tp_lossy_put_values(w, items[i].values, items[i].n, err);
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
    /* More bytes than the numbers have; tables that are divided; tables in the middle of groups. */
    items[(*n)++] =
        make_matrix("fat", &(struct tp_quant_spec){300, 1000, 4, {{FAT}, {FAT}, {FAT}, {FAT}}}, 0);
    items[(*n)++] =
        make_matrix("fat.columns", &(struct tp_quant_spec){300, 1000, 3, {{FAT}, {FAT}, {FAT}}}, 1);
    items[(*n)++] =
        make_matrix("wide", &(struct tp_quant_spec){3000, 768, 1, {{TP_QUANT_AFFINE, 4, 8, 0}}}, 1);
    items[(*n)++] = make_matrix(
        "wide.nf4", &(struct tp_quant_spec){2500, 7168, 1, {{TP_QUANT_NF4, 4, 64, 0}}}, 1);
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

/* A small matrix and a vector, for what is not about numbers. */
static struct item *make_two(void)
{
    struct item *items = calloc(2, sizeof *items);

    items[0] =
        make_matrix("w", &(struct tp_quant_spec){40, 64, 1, {{TP_QUANT_SYM, 4, 32, 0}}}, false);
    items[1] = make_values("norm", 40);
    return items;
}

static struct tp_lossy *begin(struct tp_model *model, const char *out, const struct item *items)
{
    struct tp_lossy_tensor tensors[2];
    struct tp_error err = {0};
    struct tp_lossy *w;

    describe(items, 2, tensors);
    if (tp_lossy_create(model, out, tensors, 2, 1, &w, &err) < 0)
        bail_out("%s", err.message);
    return w;
}

static void test_misuse(const char *original)
{
    struct item *items = make_two();
    struct item other =
        make_matrix("w", &(struct tp_quant_spec){64, 40, 1, {{TP_QUANT_SYM, 4, 20, 0}}}, false);
    struct item huge = make_matrix(
        "w", &(struct tp_quant_spec){300, 8000, 1, {{TP_QUANT_LOW_RANK, 0, 0, 300}}}, false);
    struct tp_model *model = must_open(original, NULL);
    char *out = in_scratch("misused.tnpk"), *dir = in_scratch("%s", "");
    struct tp_lossy_tensor tensors[2];
    struct tp_error err = {0};
    struct tp_lossy *w = begin(model, out, items);

    is_int(tp_lossy_put_values(w, items[1].values, items[1].n, &err), -EINVAL, "no matrix");
    is_int(tp_lossy_put_matrix(w, &other.m, &err), -EINVAL, "a matrix of another shape");
    is_int(tp_lossy_finish(w, NULL, &err), -EINVAL, "an end before all tensors are there");
    is_int(tp_lossy_put_matrix(w, &items[0].m, &err), 0, "the matrix");
    is_int(tp_lossy_put_matrix(w, &items[0].m, &err), -EINVAL, "a matrix for numbers");
    is_int(tp_lossy_put_values(w, items[1].values, items[1].n - 1, &err), -EINVAL, "too few");
    is_int(tp_lossy_put_values(w, items[1].values, items[1].n, &err), 0, "the numbers");
    is_int(tp_lossy_put_values(w, items[1].values, items[1].n, &err), -EINVAL, "one tensor more");
    is_int(access(out, F_OK), -1, "no pack yet");
    is_int(tp_lossy_finish(w, NULL, &err), 0, "the end");
    is_int(tp_lossy_finish(w, NULL, &err), -EINVAL, "one end only");
    tp_lossy_destroy(w);
    is_int(access(out, F_OK), 0, "the pack");
    describe(items, 2, tensors);
    is_int(tp_lossy_create(model, out, tensors, 2, 1, &w, &err), -EEXIST, "it exists");
    unlink(out);
    w = begin(model, out, items);
    tp_lossy_destroy(w);
    ok(nothing_hidden(dir), "an unfinished pack is removed");
    is_int(write_pack(original, out, &huge, 1, 1, NULL, &err), -EFBIG, "tables that are too large");
    has(err.message, "'w'", "names the tensor");
    ok(nothing_hidden(dir), "and is removed");
    items[0].shape[0] = UINT64_MAX / 4;
    describe(items, 2, tensors);
    is_int(tp_lossy_create(model, out, tensors, 2, 1, &w, &err), -EINVAL, "too large a shape");
    tp_model_close(model);
    free(other.packed);
    free(other.values);
    free(huge.packed);
    free(huge.values);
    clear_items(items, 2);
    free(out);
    free(dir);
}

static void write_text(const char *dir, const char *name, const char *text)
{
    char *path;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        bail_out("memory");
    write_file(path, text, strlen(text));
    free(path);
}

/* The files of the pack, in one line. */
static void check_files(const char *pack, const char *want, const char *name)
{
    struct tp_model *model = must_open(pack, NULL);
    struct tp_buffer list = {0};

    for (uint32_t i = 0; i < model->file_n; i++)
        tp_buffer_appendf(&list, "%s ", model->files[i].path);
    is_str((const char *)list.data, want, name);
    tp_buffer_clear(&list);
    tp_model_close(model);
}

static void test_files(void)
{
    char *original = make_model("files", "--shards=2"), *out = in_scratch("files~x.tnpk"), *sub;
    char *pack = in_scratch("exact.tnpk"), *over = in_scratch("exact~x.tnpk");
    struct item *items = make_two();
    struct tp_pack_options options = {.threads = 1};
    struct tp_pack_report report;
    struct tp_error err = {0};
    struct tp_model *model;
    struct tp_lossy *w;
    struct tp_buffer a, b;
    static const char want[] = "chat/template.jinja config.json model.safetensors "
                               "tokenizer.json zero ";

    if (asprintf(&sub, "%s/chat", original) < 0)
        bail_out("memory");
    mkdir(sub, 0700);
    write_text(original, "chat/template.jinja", "x");
    write_text(original, "pytorch_model.bin", "weights of another format");
    write_text(original, "zero", "");
    is_int(write_pack(original, out, items, 2, 1, NULL, &err), 0, "a model with more files");
    check_files(out, want, "no other weights, and no index of them");
    is_int(tp_pack_write(original, pack, &options, &report, &err), 0, "an exact pack");
    is_int(write_pack(pack, over, items, 2, 1, NULL, &err), 0, "a pack of a pack");
    check_files(over, want, "the same files");
    a = read_file(out);
    b = read_file(over);
    ok(a.len == b.len && memcmp(a.data, b.data, a.len) == 0, "and the same bytes");
    tp_buffer_clear(&a);
    tp_buffer_clear(&b);
    unlink(out);
    model = must_open(original, NULL);
    w = begin(model, out, items);
    write_text(original, "config.json", "{}");
    if (tp_lossy_put_matrix(w, &items[0].m, &err) < 0 ||
        tp_lossy_put_values(w, items[1].values, items[1].n, &err) < 0)
        bail_out("%s", err.message);
    is_int(tp_lossy_finish(w, NULL, &err), -EBUSY, "the original has changed");
    tp_lossy_destroy(w);
    is_int(access(out, F_OK), -1, "no pack");
    tp_model_close(model);
    clear_items(items, 2);
    free(sub);
    free(original);
    free(out);
    free(pack);
    free(over);
}

/* Whether tensor NAME of two models, of 64 bytes at the most, has the same dtype and bytes. */
static bool is_same_tensor(struct tp_model *a, struct tp_model *b, const char *name)
{
    const struct tp_model_tensor *t = tp_model_find(a, name), *u = tp_model_find(b, name);
    uint8_t bytes[64], others[64];

    return t && u && t->dtype == u->dtype && t->rank == u->rank && t->len == u->len &&
           t->len <= sizeof bytes && tp_model_read_tensor(a, t, 0, bytes, t->len, NULL) == 0 &&
           tp_model_read_tensor(b, u, 0, others, t->len, NULL) == 0 &&
           memcmp(bytes, others, t->len) == 0;
}

/* A model with one tensor of each dtype, the narrow ones first. */
static char *make_odd_model(void)
{
    static const char header[] =
        "{\"u8\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
        "\"f16\":{\"dtype\":\"F16\",\"shape\":[1,3],\"data_offsets\":[3,9]},"
        "\"f32\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[9,13]},"
        "\"none\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[13,13]},"
        "\"i64\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[13,29]}}";
    char *dir = make_model("odd", ""), *path;
    uint8_t file[8 + sizeof header - 1 + 29];

    tp_put_le64(file, sizeof header - 1);
    memcpy(file + 8, header, sizeof header - 1);
    for (unsigned i = 0; i < 29; i++)
        file[8 + sizeof header - 1 + i] = (uint8_t)(i + 1);
    if (asprintf(&path, "%s/model.safetensors", dir) < 0)
        bail_out("memory");
    write_file(path, file, sizeof file);
    free(path);
    return dir;
}

static void test_kept(void)
{
    static const char *const order[] = {"i64", "f32", "none", "f16", "w", "norm", "u8"};
    char *original = make_odd_model(), *out = in_scratch("odd~x.tnpk");
    struct tp_model *model = must_open(original, NULL), *shown;
    struct item *items = make_two();
    struct tp_lossy_tensor tensors[7];
    struct tp_error err = {0};
    struct tp_lossy *w;

    describe(items, 2, tensors + 1);
    tensors[0] = (struct tp_lossy_tensor){.kept = tp_model_find(model, "u8")};
    for (unsigned i = 3; i < 7; i++)
        tensors[i] = (struct tp_lossy_tensor){.kept = model->by_place[i - 2]};
    if (tp_lossy_create(model, out, tensors, 7, 1, &w, &err) < 0 ||
        tp_lossy_put_matrix(w, &items[0].m, &err) < 0 ||
        tp_lossy_put_values(w, items[1].values, items[1].n, &err) < 0)
        bail_out("%s", err.message);
    is_int(tp_lossy_put_values(w, items[1].values, items[1].n, &err), -EINVAL, "it is kept");
    is_int(tp_lossy_finish(w, NULL, &err), 0, "a pack with kept tensors");
    tp_lossy_destroy(w);
    shown = must_open(out, NULL);
    is_u64(shown->tensor_n, 7, "put and kept tensors are in the pack");
    for (unsigned i = 0; i < 7; i++) {
        const struct tp_model_tensor *t = shown->by_place[i];
        bool put = strcmp(order[i], "w") == 0 || strcmp(order[i], "norm") == 0;

        is_str(t->name, order[i],
               "wide tensors that are kept stand before what is put, narrow ones behind");
        ok(t->off % (tp_dtype_bits(t->dtype) / 8) == 0, "'%s' is aligned", t->name);
        ok(put || is_same_tensor(model, shown, order[i]), "'%s' has its dtype and bytes", order[i]);
    }
    tp_model_close(shown);
    tp_model_close(model);
    clear_items(items, 2);
    free(original);
    free(out);
}

static void test_publish(const char *original)
{
    static const char json[] = "{\"ppl_delta\":1.5}";
    char *from = in_scratch("inner.tnpk"), *out = in_scratch("model~inner.tnpk");
    char *long_json = check_alloc(70000);
    struct item *items = make_two();
    struct tp_pack *pack;
    struct tp_error err = {0};
    const struct tp_index *x;

    memset(long_json, ' ', 69999);
    long_json[0] = '{';
    long_json[69998] = '}';
    long_json[69999] = 0;
    if (write_pack(original, from, items, 2, 1, NULL, &err) < 0)
        bail_out("%s", err.message);
    is_int(tp_lossy_publish(from, out, "[1]", &err), -EINVAL, "no object");
    is_int(tp_lossy_publish(from, out, "{", &err), -EBADMSG, "no JSON");
    is_int(tp_lossy_publish(from, out, long_json, &err), -E2BIG, "more than an attribute holds");
    is_int(access(out, F_OK), -1, "nothing is there");
    is_int(tp_lossy_publish(from, out, json, &err), 0, "a copy with the attribute");
    is_int(tp_lossy_publish(from, out, json, &err), -EEXIST, "it exists");
    if (tp_pack_open(out, NULL, &pack, &err) < 0)
        bail_out("%s", err.message);
    x = tp_pack_index(pack);
    ok(x->lossy && x->root_attr_n == 1 &&
           strcmp(x->attrs[x->root_attr_first].name, TP_LOSSY_ATTRIBUTE) == 0 &&
           x->attrs[x->root_attr_first].len == strlen(json) &&
           memcmp(x->attrs[x->root_attr_first].value, json, strlen(json)) == 0,
       "the pack has it");
    tp_pack_close(pack);
    check_model(out, items, 2);
    unlink(from);
    is_int(tp_lossy_publish(out, from, "{}", &err), 0, "once more");
    if (tp_pack_open(from, NULL, &pack, &err) < 0)
        bail_out("%s", err.message);
    is_u64(tp_pack_index(pack)->root_attr_n, 1, "one attribute only");
    tp_pack_close(pack);
    clear_items(items, 2);
    free(long_json);
    free(from);
    free(out);
}

/* Open PACK with other features in its footer, signed again. */
static int open_with_features(const char *pack, uint32_t features, struct tp_error *err)
{
    char *path = in_scratch("features.tnpk");
    struct tp_buffer bytes = read_file(pack);
    uint8_t *footer = bytes.data + bytes.len - TP_PACK_FOOTER_LEN;
    struct tp_pack *opened;
    int rc;

    tp_put_le32(footer + 12, features);
    tp_put_le64(footer + 120, tp_xxh3(footer, 120));
    write_file(path, bytes.data, bytes.len);
    rc = tp_pack_open(path, NULL, &opened, err);
    if (rc == 0)
        tp_pack_close(opened);
    tp_buffer_clear(&bytes);
    free(path);
    return rc;
}

static void test_features(const char *original)
{
    char *out = in_scratch("featured.tnpk");
    struct item *items = make_two();
    struct tp_pack_id id;
    struct tp_error err = {0};

    if (write_pack(original, out, items, 2, 1, NULL, &err) < 0 ||
        tp_pack_identify(out, &id, &err) < 0)
        bail_out("%s", err.message);
    ok(id.lossy, "the footer says that it is lossy");
    is_int(open_with_features(out, 1, &err), 0, "with its own features");
    is_int(open_with_features(out, 3, &err), -EPROTONOSUPPORT, "a feature of a newer program");
    is_int(open_with_features(out, 0, &err), -EBADMSG, "footer and index disagree");
    clear_items(items, 2);
    free(out);
}

/* The golden pack: what it shows, and what its matrices are, does not change. */
static struct item *make_golden(size_t *n)
{
    static const struct tp_quant_spec specs[] = {
        {33, 129, 1, {{TP_QUANT_NF4_DOUBLE, 4, 64, 0}}},
        {40, 96, 2, {{TP_QUANT_SYM, 4, 32, 0}, {TP_QUANT_OUTLIERS, 0, 0, 50}}},
        {64,
         64,
         3,
         {{TP_QUANT_LOW_RANK, 0, 0, 4}, {TP_QUANT_CODEBOOK, 8, 8, 0}, {TP_QUANT_ASYM, 3, 16, 0}}},
        {24, 80, 2, {{TP_QUANT_INT8, 8, 0, 0}, {TP_QUANT_COLUMNS, 0, 0, 3}}},
        {48, 48, 2, {{TP_QUANT_NF4, 4, 64, 0}, {TP_QUANT_AFFINE, 2, 24, 0}}},
    };
    struct item *items = calloc(16, sizeof *items);
    char name[32];

    *n = 0;
    items[(*n)++] = make_values("embedding", 500);
    for (unsigned i = 0; i < 2 * sizeof specs / sizeof specs[0]; i++) {
        snprintf(name, sizeof name, "layers.%u", i);
        items[(*n)++] = make_matrix(name, &specs[i / 2], i % 2);
    }
    return items;
}

static int make_golden_pack(const char *path)
{
    char *original = make_model("golden", "--hidden=16 --inter=32 --vocab=64 --layers=1"), *inner;
    struct tp_error err = {0};
    struct item *items;
    size_t n;

    inner = in_scratch("golden.tnpk");
    seed = 1;
    items = make_golden(&n);
    if (write_pack(original, inner, items, n, 1, NULL, &err) < 0 ||
        tp_lossy_publish(inner, path, "{\"golden\":true}", &err) < 0)
        bail_out("%s", err.message);
    clear_items(items, n);
    free(inner);
    free(original);
    return 0;
}

static void test_golden(void)
{
    const char *top = getenv("top_srcdir");
    struct tp_verify_report report;
    struct tp_error err = {0};
    struct tp_pack *pack;
    struct item *items;
    char *path;
    size_t n;

    if (asprintf(&path, "%s/tests/golden/v2/lossy.tnpk", top ? top : ".") < 0)
        bail_out("memory");
    seed = 1;
    items = make_golden(&n);
    if (!ok(tp_pack_open(path, NULL, &pack, &err) == 0, "the golden pack opens"))
        bail_out("%s", err.message);
    is_int(tp_pack_verify(pack, 1, NULL, NULL, NULL, &report, &err), 0, "and is whole");
    tp_pack_close(pack);
    check_model(path, items, n);
    clear_items(items, n);
    free(path);
}

int main(int argc, char **argv)
{
    char *original;

    seed = tap_seed();
    scratch = tap_tmpdir();
    if (argc == 3 && strcmp(argv[1], "--make") == 0)
        return make_golden_pack(argv[2]);
    original = make_model("model", "");
    test_all(original);
    test_misuse(original);
    test_files();
    test_kept();
    test_publish(original);
    test_features(original);
    test_golden();
    free(original);
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(scratch);
    return tap_done();
}
