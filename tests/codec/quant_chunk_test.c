/* SPDX-License-Identifier: MIT */
/*
 * Chunks and tables of quantized matrices: any range of elements decodes to the values of the
 * matrix, the pieces give back the packed bytes, and damaged ones are refused or decoded to the
 * same numbers by every instruction set. "quant_chunk_test write" makes the chunks that golden_test
 * decodes.
 */
#include <config.h>

#include "base/hash.h"
#include "codec/quant/chunk.h"
#include "codec/scratch.h"
#include "tests/codec/quant_check.h"

#define HEAD 6 /* of an input of tests/fuzz/fuzz_codec.c */

struct sample {
    struct tp_quant_matrix m;
    uint8_t *packed;
    bool transposed;
};

static struct tp_scratch *scratch;
static uint64_t seed;

static struct sample make_sample(enum tp_quant_kind kind, uint32_t rows, uint32_t cols,
                                 unsigned parts, bool transposed)
{
    struct sample s = {.transposed = transposed};
    struct tp_quant_spec spec = check_random_spec(&seed, rows, cols, kind, parts);
    struct tp_quant_layout layout;
    struct tp_error err = {0};

    if (tp_quant_layout(&spec, &layout, &err) < 0)
        bail_out("%s", err.message);
    s.packed = check_random_matrix(&seed, &spec, &layout);
    if (tp_quant_open(s.packed, layout.bytes, &s.m, &err) < 0)
        bail_out("%s", err.message);
    return s;
}

/* Element E of the tensor, rounded; element by element, from tp_quant_dequantize. */
static uint16_t value_at(const struct sample *s, uint64_t e)
{
    const struct tp_quant_spec *spec = &s->m.spec;
    uint32_t row = (uint32_t)(s->transposed ? e % spec->rows : e / spec->cols);
    uint32_t col = (uint32_t)(s->transposed ? e / spec->rows : e % spec->cols);
    float *values = check_alloc(spec->cols * sizeof *values);
    uint32_t bits;

    tp_quant_dequantize(&s->m, row, row + 1, values, spec->cols);
    memcpy(&bits, &values[col], 4);
    free(values);
    return tp_bf16_from_f32(bits);
}

static struct tp_buffer make_tables(const struct sample *s, const struct tp_quant_extent *extent)
{
    struct tp_buffer blob = {0};

    if (tp_quant_tables_encode(&s->m, extent, &blob) < 0)
        bail_out("out of memory");
    return blob;
}

static uint8_t *make_chunk(const struct sample *s, uint64_t first, uint32_t n, size_t *len)
{
    uint8_t *coded;

    *len = tp_quant_chunk_bytes(&s->m, s->transposed, first, n);
    coded = check_alloc(*len);
    tp_quant_chunk_encode(&s->m, s->transposed, first, n, coded);
    return coded;
}

/* A range of elements that the columns of EXTENT have. */
static void choose_range(const struct sample *s, const struct tp_quant_extent *extent,
                         uint64_t *first, uint32_t *n)
{
    uint64_t rows = s->m.spec.rows, from = extent->transposed ? rows * extent->first_col : 0;
    uint64_t to = extent->transposed ? rows * extent->end_col : rows * s->m.spec.cols;
    uint64_t most = to - from < 3000 ? to - from : 3000;

    *n = (uint32_t)(1 + tap_random(&seed) % most);
    *first = from + tap_random(&seed) % (to - from - *n + 1);
}

static bool decodes(const struct sample *s, const struct tp_tables *tables, uint64_t first,
                    uint32_t n)
{
    size_t len;
    uint8_t *coded = make_chunk(s, first, n, &len), *out = check_alloc(2 * (size_t)n + TP_SLACK);
    bool good = tp_codec_quant.decode(tables, TP_DTYPE_BF16, coded, len, NULL, out, 2 * (size_t)n,
                                      scratch) == 0;

    for (uint32_t i = 0; good && i < n; i += n < 50 ? 1 : 1 + n / 50)
        good = tp_get_le16(out + 2 * (size_t)i) == value_at(s, first + i);
    good = good && tp_get_le16(out + 2 * (size_t)(n - 1)) == value_at(s, first + n - 1);
    free(coded);
    free(out);
    return good;
}

/* Some columns of a matrix that is shown by columns, all of another. */
static struct tp_quant_extent choose_extent(const struct sample *s)
{
    struct tp_quant_extent extent = {.transposed = s->transposed, .end_col = s->m.spec.cols};

    if (s->transposed) {
        extent.first_col = (uint32_t)(tap_random(&seed) % s->m.spec.cols);
        extent.end_col = extent.first_col + 1 +
                         (uint32_t)(tap_random(&seed) % (s->m.spec.cols - extent.first_col));
    }
    return extent;
}

static void test_ranges(const struct sample *s, const char *name)
{
    bool good = true;

    for (unsigned i = 0; good && i < 12; i++) {
        struct tp_quant_extent extent = choose_extent(s);
        struct tp_buffer blob = make_tables(s, &extent);
        struct tp_tables *tables = NULL;
        struct tp_error err = {0};
        uint64_t first;
        uint32_t n;

        good = blob.len == tp_quant_tables_bytes(&s->m, &extent) &&
               tp_codec_quant.tables_create(TP_DTYPE_BF16, blob.data, blob.len, &tables, &err) == 0;
        for (unsigned k = 0; good && k < 4; k++) {
            choose_range(s, &extent, &first, &n);
            good = decodes(s, tables, first, n);
            if (!good)
                diag("columns %u to %u, %u elements from %" PRIu64, extent.first_col,
                     extent.end_col, n, first);
        }
        if (tables)
            tp_codec_quant.tables_destroy(tables);
        tp_buffer_clear(&blob);
    }
    ok(good, "%s: any range of elements", name);
}

static void damage(uint8_t *p, size_t *len)
{
    uint64_t r = tap_random(&seed);

    if (r % 8 == 0)
        *len -= *len && r & 8 ? 1 : 0;
    for (unsigned i = 0; *len && i < 1 + (r >> 8) % 3; i++) {
        uint64_t where = tap_random(&seed);
        size_t span = where & 1 || *len < 100 ? *len : 100;

        p[(where >> 8) % span] ^= (uint8_t)(1u << (where >> 1 & 7));
    }
}

/* Decode with every instruction set: the same, and nothing but refused or decoded. */
static bool decodes_alike(const struct tp_tables *tables, const uint8_t *coded, size_t len,
                          uint32_t n)
{
    uint8_t *first = NULL, *copy = check_alloc(len);
    int first_rc = 0;
    bool good = true;

    memcpy(copy, coded, len);
    for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best(); isa++) {
        uint8_t *out = check_alloc(2 * (size_t)n + TP_SLACK);
        int rc;

        tp_isa_set((enum tp_isa)isa);
        rc = tp_codec_quant.decode(tables, TP_DTYPE_BF16, copy, len, NULL, out, 2 * (size_t)n,
                                   scratch);
        good = good && (rc == 0 || rc == -EBADMSG);
        if (first)
            good = good && rc == first_rc && (rc || memcmp(first, out, 2 * (size_t)n) == 0);
        else
            first_rc = rc;
        free(first);
        first = out;
    }
    free(first);
    free(copy);
    tp_isa_set(tp_isa_best());
    return good;
}

static void test_damage(const struct sample *s, const char *name)
{
    bool good = true;

    for (unsigned i = 0; good && i < 60; i++) {
        struct tp_quant_extent extent = choose_extent(s);
        struct tp_buffer blob = make_tables(s, &extent);
        struct tp_tables *tables = NULL;
        struct tp_error err = {0};
        size_t len, tables_len = blob.len;
        uint64_t first;
        uint8_t *coded, *exact;
        uint32_t n;
        int rc;

        choose_range(s, &extent, &first, &n);
        coded = make_chunk(s, first, n, &len);
        if (i % 2)
            damage(blob.data, &tables_len);
        if (i % 3 != 1)
            damage(coded, &len);
        exact = check_alloc(tables_len);
        memcpy(exact, blob.data, tables_len);
        rc = tp_codec_quant.tables_create(TP_DTYPE_BF16, exact, tables_len, &tables, &err);
        good = rc == 0 || (rc == -EBADMSG && err.message[0]);
        if (tables) {
            good = good && decodes_alike(tables, coded, len, n);
            tp_codec_quant.tables_destroy(tables);
        }
        free(exact);
        free(coded);
        tp_buffer_clear(&blob);
    }
    ok(good, "%s: damaged tables and chunks", name);
}

/* Write a chunk with its tables to the corpus of fuzz_codec, and what it decodes to. */
static void write_sample(const char *top, const struct sample *s, const char *name, FILE *golden)
{
    struct tp_quant_extent extent = {.transposed = s->transposed, .end_col = s->m.spec.cols};
    struct tp_buffer blob = make_tables(s, &extent);
    uint32_t n = s->m.spec.rows * s->m.spec.cols, from = n / 3;
    uint8_t head[HEAD] = {TP_CODEC_QUANT, TP_DTYPE_BF16}, digest[TP_SHA256_LEN], *coded, *out;
    char path[1024], hex[TP_SHA256_HEX];
    float *work = check_alloc(TP_QUANT_WORK * sizeof *work);
    size_t len;
    FILE *f;

    n -= from;
    coded = make_chunk(s, from, n, &len);
    out = check_alloc(2 * (size_t)n);
    tp_quant_chunk_values(&s->m, s->transposed, from, n, out, work);
    tp_put_le16(head + 2, (uint16_t)n);
    tp_put_le16(head + 4, (uint16_t)blob.len);
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/codec/%s", top, name);
    f = fopen(path, "wb");
    if (!f || blob.len > UINT16_MAX || fwrite(head, 1, HEAD, f) != HEAD ||
        fwrite(blob.data, 1, blob.len, f) != blob.len || fwrite(coded, 1, len, f) != len ||
        fclose(f))
        bail_out("cannot write '%s'", path);
    if (tp_sha256(out, 2 * (size_t)n, digest) < 0)
        bail_out("no hash");
    tp_hex(digest, sizeof digest, hex);
    fprintf(golden, "%s %s\n", name, hex);
    free(work);
    free(out);
    free(coded);
    tp_buffer_clear(&blob);
}

int main(int argc, char **argv)
{
    static const uint32_t shapes[][2] = {{1, 1}, {5, 3}, {64, 64}, {9, 70}, {33, 129}, {2, 9000}};
    const char *top = getenv("top_srcdir") ? getenv("top_srcdir") : ".";
    bool writing = argc > 1 && strcmp(argv[1], "write") == 0;
    char path[1024], name[64];
    FILE *golden = NULL;

    seed = writing ? 1 : tap_seed();
    scratch = tp_scratch_create();
    snprintf(path, sizeof path, "%s/tests/codec/golden-quant.txt", top);
    if (!scratch || (writing && !(golden = fopen(path, "w"))))
        bail_out("cannot begin");
    if (golden)
        fputs("# What the chunks quant-* of tests/fuzz/corpus/codec decode to: SHA-256. The format "
              "does not change.\n",
              golden);
    for (unsigned kind = 1; kind < TP_QUANT_KIND_COUNT; kind++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            for (unsigned t = 0; t < 2; t++) {
                struct sample s;

                if (kind == TP_QUANT_OUTLIERS || kind == TP_QUANT_COLUMNS)
                    continue;
                s = make_sample(kind, shapes[i][0], shapes[i][1], writing ? 1 + i % 3 : 1 + i % 4,
                                t);
                snprintf(name, sizeof name, "quant-%s-%ux%u%s", tp_quant_kind_name(kind),
                         shapes[i][0], shapes[i][1], t ? "-columns" : "");
                if (golden && (i == 1 || i == 3))
                    write_sample(top, &s, name, golden);
                if (!golden) {
                    test_ranges(&s, name);
                    test_damage(&s, name);
                }
                free(s.packed);
            }
    if (golden && fclose(golden))
        bail_out("cannot write '%s'", path);
    tp_scratch_destroy(scratch);
    return tap_done();
}
