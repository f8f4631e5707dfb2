/* SPDX-License-Identifier: MIT */
/*
 * The effort of decoding a chunk: chains that the writer makes are far below the limit, and chains
 * that multiply the work are refused when they are opened.
 */
#include <config.h>

#include <errno.h>

#include "store/pack/decode.h"
#include "store/pack/pack_internal.h"
#include "tests/fuzz/pack_base.h"
#include "tests/tap.h"

enum { LARGE = TP_CHUNK_MAX, SMALL = 4096, SEGMENTS_MAX = 40001 };

/* A pack to be: segments one after the other in files, each chunk one coded byte. */
struct draft {
    struct tp_index x;
    struct tp_pack_file files[2];
    struct tp_segment *segments;
    struct tp_tables_ref table;
    uint64_t dims[SEGMENTS_MAX];
};

static void begin(struct draft *d, uint32_t chunk_size)
{
    static struct tp_segment segments[SEGMENTS_MAX];

    memset(d, 0, sizeof *d);
    d->segments = segments;
    d->x = (struct tp_index){.chunk_size = chunk_size,
                             .base_name = "",
                             .writer = "",
                             .files = d->files,
                             .segments = segments,
                             .tables = &d->table};
    d->table = (struct tp_tables_ref){.codec = TP_CODEC_SPARSE, .stored_len = 1};
}

static void add_file(struct draft *d, const char *path)
{
    d->files[d->x.file_n++] = (struct tp_pack_file){.path = path, .link = TP_NONE};
}

static void add(struct draft *d, enum tp_dtype dtype, uint64_t len, struct tp_predictor from)
{
    struct tp_pack_file *f = &d->files[d->x.file_n - 1];
    uint32_t n = d->x.segment_n++;

    d->dims[n] = len * 8 / tp_dtype_bits(dtype);
    d->segments[n] = (struct tp_segment){
        .name = "w", .dtype = dtype, .rank = 1, .shape = &d->dims[n], .len = len, .from = from};
    d->x.dim_n++;
    d->x.chunk_n += (uint32_t)((len + d->x.chunk_size - 1) / d->x.chunk_size);
    f->segment_n++;
    f->size += len;
    d->x.logical_bytes += len;
    if (from.whence != TP_FROM_NONE && d->x.tables_n == 0)
        d->segments[n].tables_n = d->x.tables_n = 1;
}

/*
 * The chunks, all alike: coded against what predicts them, or by zstd; those of segment SAME are as
 * chunk 0.
 */
static struct tp_pack *open_draft(struct draft *d, uint32_t same, struct tp_pack *base,
                                  struct tp_error *err)
{
    static const uint8_t none[TP_SHA256_LEN];
    struct tp_chunk *chunks = calloc(d->x.chunk_n, sizeof *chunks);
    struct tp_buffer index = {0};
    size_t data_len = d->x.tables_n;
    struct tp_pack *pack;
    uint32_t c = 0;
    uint8_t *data;
    int fd;

    d->x.chunks = chunks;
    d->x.has_base = base != NULL;
    if (base) {
        memcpy(d->x.base_id, tp_pack_get_id(base), TP_SHA256_LEN);
        memcpy(d->x.base_content_id, tp_pack_content_id(base), TP_SHA256_LEN);
    }
    for (uint32_t s = 0; s < d->x.segment_n; s++)
        for (uint64_t off = 0; off < d->segments[s].len; off += d->x.chunk_size, c++) {
            bool predicted = d->segments[s].from.whence != TP_FROM_NONE;

            chunks[c] = (struct tp_chunk){.codec = predicted ? TP_CODEC_SPARSE : TP_CODEC_ZSTD,
                                          .stored_len = 1};
            if (s == same)
                chunks[c] = (struct tp_chunk){.codec = TP_CODEC_SAME};
            data_len += chunks[c].stored_len;
        }
    data = calloc(1, data_len);
    FUZZ_CHECK(tp_index_encode(&d->x, &index, err) == 0);
    fd = pack_assemble(TP_PACK_VERSION, index.data, index.len, data, data_len,
                       base ? d->x.base_id : none);
    pack = pack_open_fd(fd, base, err);
    close(fd);
    free(data);
    free(chunks);
    tp_buffer_clear(&index);
    return pack;
}

/* One file of LEN bytes, predicted from byte OFF of the base's on. */
static struct tp_pack *open_over(struct tp_pack *base, uint32_t chunk_size, enum tp_dtype dtype,
                                 uint64_t len, enum tp_dtype from, uint64_t off,
                                 struct tp_error *err)
{
    static struct draft d;

    begin(&d, chunk_size);
    add_file(&d, "w");
    add(&d, dtype, len,
        base ? (struct tp_predictor){TP_FROM_BASE, from, 0, off, 0} : (struct tp_predictor){0});
    return open_draft(&d, TP_NONE, base, err);
}

/*
 * Each pack of the chain lies by half a chunk beside the next; every second one is of F32, the
 * others of BF16.
 */
static void test_writers(bool convert)
{
    uint64_t elems = (TP_BASE_DEPTH_MAX + 12) * (uint64_t)LARGE / 2;
    struct tp_error err = {0};
    struct tp_pack *pack = NULL;

    for (unsigned level = 0; level <= TP_BASE_DEPTH_MAX; level++) {
        enum tp_dtype dtype = convert && level % 2 ? TP_DTYPE_F32 : TP_DTYPE_BF16;
        enum tp_dtype from = convert && level % 2 == 0 ? TP_DTYPE_F32 : TP_DTYPE_BF16;
        struct tp_pack *base = pack;

        pack =
            open_over(base, LARGE, dtype, elems * tp_dtype_bits(dtype) / 8, from, LARGE / 2, &err);
        tp_pack_close(base);
        if (!ok(pack != NULL, "%u bases, misaligned%s: opens", level,
                convert ? " and of other dtypes" : "")) {
            diag("%s", err.message);
            return;
        }
        elems -= LARGE / 2;
    }
    if (!ok(tp_pack_effort(pack) < TP_EFFORT_MAX / (convert ? 4 : 8), "and is far from the limit"))
        diag("%" PRIu64 " bytes", tp_pack_effort(pack));
    tp_pack_close(pack);
}

/*
 * A chunk of SMALL bytes across two large ones, and many that are the same: each is a look of its
 * own.
 */
static struct tp_pack *open_small(struct tp_pack *base, struct tp_error *err)
{
    static struct draft d;

    begin(&d, SMALL);
    add_file(&d, "w");
    add(&d, TP_DTYPE_U8, SMALL,
        (struct tp_predictor){TP_FROM_BASE, TP_DTYPE_U8, 0, LARGE - SMALL / 2, 0});
    add(&d, TP_DTYPE_U8, 128 * SMALL, (struct tp_predictor){0});
    return open_draft(&d, 1, base, err);
}

static void test_chain(void)
{
    struct tp_error err = {0};
    struct tp_pack *end = open_over(NULL, LARGE, TP_DTYPE_U8, 2 * LARGE, 0, 0, &err);
    struct tp_pack *small = open_small(end, &err);
    struct tp_pack *large =
        open_over(small, LARGE, TP_DTYPE_U8, 2 * LARGE, TP_DTYPE_U8, SMALL, &err);
    struct tp_pack *again, *bad;

    if (!ok(end && small && large, "large chunks over small over large ones: opens"))
        bail_out("%s", err.message);
    /* Of the small ones the first is decoded anew for each that is the same. */
    ok(tp_pack_effort(large) > 64u * 2 * LARGE &&
           tp_pack_effort(large) < 65u * 2 * (LARGE + 3 * SMALL),
       "and what it takes is counted as it is done");
    again = open_small(large, &err);
    ok(again != NULL, "small ones over these");
    bad = open_over(again, LARGE, TP_DTYPE_U8, 2 * LARGE, TP_DTYPE_U8, SMALL, &err);
    ok(!bad && err.code == -EBADMSG && strstr(err.message, "128 MiB"),
       "and large ones over them: refused (%s)", err.message);
    tp_pack_close(bad);
    tp_pack_close(again);
    tp_pack_close(large);
    tp_pack_close(small);
    tp_pack_close(end);
}

/* Segments of one byte are chunks of one byte. */
static struct tp_pack *open_crumbs(uint32_t n, struct tp_error *err)
{
    static struct draft d;

    begin(&d, LARGE);
    add_file(&d, "a");
    for (uint32_t i = 0; i < n; i++)
        add(&d, TP_DTYPE_U8, 1, (struct tp_predictor){0});
    add_file(&d, "b");
    add(&d, TP_DTYPE_U8, n, (struct tp_predictor){TP_FROM_PACK, TP_DTYPE_U8, 0, 0, 0});
    return open_draft(&d, TP_NONE, NULL, err);
}

static void test_crumbs(void)
{
    struct tp_error err = {0};
    struct tp_pack *pack = open_crumbs(20000, &err);

    if (!ok(pack != NULL, "a chunk that many others of its pack predict"))
        diag("%s", err.message);
    tp_pack_close(pack);
    pack = open_crumbs(40000, &err);
    ok(!pack && err.code == -EBADMSG, "and one that twice as many do: refused");
    tp_pack_close(pack);
}

static void test_cancel(void)
{
    struct tp_pack *pack = pack_base_open();
    atomic_int cancel = 0;
    struct tp_work *work = tp_work_create(&cancel);
    uint8_t *data = malloc(PACK_BASE_BYTES + TP_SLACK);
    struct tp_error err = {0};

    is_int(tp_pack_decode_chunk(pack, 0, data, work, &err), 0, "a chunk");
    is_u64(work->decoded, PACK_BASE_BYTES / 2, "counts");
    atomic_store(&cancel, 1);
    is_int(tp_pack_decode_chunk(pack, 1, data, work, &err), -ECANCELED,
           "and none any more once that is cancelled");
    tp_work_destroy(work);
    tp_pack_close(pack);
    free(data);
}

int main(void)
{
    test_writers(false);
    test_writers(true);
    test_chain();
    test_crumbs();
    test_cancel();
    return tap_done();
}
