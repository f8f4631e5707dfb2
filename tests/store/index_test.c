/* SPDX-License-Identifier: MIT */
/* Indexes made by hand: one that is right, and each single thing that can be wrong with it. */
#include <config.h>

#include <errno.h>

#include "base/le.h"
#include "store/pack/layout.h"
#include "tests/tap.h"

/* files: a/ (dir), a/b (file of two segments), l (link), z (file); 7 chunks of 4096, one of them a reference */
enum { FILE_N = 4, SEGMENT_N = 3, CHUNK_N = 7, TABLES_N = 2 };
static struct tp_pack_file files[FILE_N];
static struct tp_segment segments[SEGMENT_N];
static struct tp_chunk chunks[CHUNK_N];
static struct tp_tables_ref tables[TABLES_N];
static const uint64_t shape[] = {100, 60};
static struct tp_index good;
static uint64_t data_len;

static void make_good(void)
{
    good = (struct tp_index){.chunk_size = 4096, .has_base = true, .base_name = "b", .writer = "test",
                             .root_mode = 0755, .root_mtime_sec = -5, .root_mtime_nsec = 7,
                             .file_n = FILE_N, .segment_n = SEGMENT_N, .chunk_n = CHUNK_N, .tables_n = TABLES_N,
                             .dim_n = 2, .files = files, .segments = segments, .chunks = chunks, .tables = tables};
    memset(good.base_id, 0x5a, sizeof good.base_id);
    files[0] = (struct tp_pack_file){.path = "a", .type = TP_ENTRY_DIR, .mode = 0700};
    files[1] = (struct tp_pack_file){.path = "a/b", .type = TP_ENTRY_FILE, .mode = 0644, .size = 5000 + 12000,
                                     .segment_n = 2};
    files[2] = (struct tp_pack_file){.path = "l", .type = TP_ENTRY_SYMLINK, .mode = 0777, .target = "/gone"};
    files[3] = (struct tp_pack_file){.path = "z", .type = TP_ENTRY_FILE, .mode = 0600, .size = 5000, .segment_n = 1};
    memset(files[1].sha256, 1, TP_SHA256_LEN);
    segments[0] = (struct tp_segment){.name = "", .len = 5000, .base_segment = TP_NONE};
    segments[1] = (struct tp_segment){.name = "w", .dtype = TP_DTYPE_BF16, .rank = 2, .shape = shape, .len = 12000,
                                      .base_segment = 3, .base_elem = 16, .tables_n = 2};
    segments[2] = (struct tp_segment){.name = "", .len = 5000, .base_segment = TP_NONE};
    tables[0] = (struct tp_tables_ref){.codec = TP_CODEC_SPLIT, .stored_len = 10, .stored_hash = 1};
    tables[1] = (struct tp_tables_ref){.codec = TP_CODEC_DELTA, .stored_len = 20, .stored_hash = 2};
    for (unsigned i = 0; i < CHUNK_N; i++)
        chunks[i] = (struct tp_chunk){.codec = TP_CODEC_ZSTD, .stored_len = 100 + i, .stored_hash = i, .content_hash = 50 + i};
    chunks[1] = (struct tp_chunk){.codec = TP_CODEC_RAW, .stored_len = 904, .stored_hash = 9, .content_hash = 9};
    chunks[3].codec = TP_CODEC_DELTA;
    chunks[5] = (struct tp_chunk){.codec = TP_CODEC_SAME, .ref = 0, .content_hash = 50};
    chunks[6] = (struct tp_chunk){.codec = TP_CODEC_SAME, .ref = 77, .ref_base = true, .content_hash = 8};
    good.logical_bytes = 22000;
    data_len = 30 + 100 + 904 + 102 + 103 + 104;
}

static int decode(const struct tp_buffer *b, uint64_t len, struct tp_error *err)
{
    struct tp_index x;
    uint8_t *exact = malloc(b->len ? b->len : 1); /* so that one byte too far is noticed */
    int rc;

    memcpy(exact, b->data, b->len);
    err->message[0] = '\0';
    rc = tp_index_decode(exact, b->len, len, &x, err);
    free(exact);
    if (rc == 0)
        tp_index_clear(&x);
    return rc;
}

/* Encode what the globals say now; it must be refused, with a story. */
static void refused(const char *name)
{
    struct tp_buffer b = {0};
    struct tp_error err = {0};

    if (tp_index_encode(&good, &b, &err) < 0)
        bail_out("%s", err.message);
    if (!ok(decode(&b, data_len, &err) == -EBADMSG && err.message[0], "%s", name))
        diag("'%s'", err.message);
    tp_buffer_clear(&b);
    make_good();
}

static void test_good(void)
{
    struct tp_buffer b = {0}, again = {0};
    struct tp_error err = {0};
    struct tp_index x;

    make_good();
    is_int(tp_index_encode(&good, &b, &err), 0, "encodes");
    if (!ok(tp_index_decode(b.data, b.len, data_len, &x, &err) == 0, "decodes"))
        bail_out("%s", err.message);
    is_u64(x.files[1].segment_first, 0, "first segment of a file");
    is_u64(x.segments[1].file_off, 5000, "offset of a segment");
    is_u64(x.chunks[2].stored_off, 16 + 100 + 904 + 30, "offset of a chunk, after the tables");
    is_u64(x.tables[1].stored_off, 16 + 100 + 904 + 10, "offset of tables");
    is_u64(tp_index_chunk_len(&x, 4), 12000 - 2 * 4096, "length of a last chunk");
    is_str(tp_index_find(&x, "l")->target, "/gone", "a link's target");
    ok(tp_index_find(&x, "a/b") == &x.files[1] && !tp_index_find(&x, "a/"), "files are found by path");
    ok(x.root_mtime_sec == -5 && x.segments[1].shape[1] == 60, "other fields");
    ok(tp_index_encode(&x, &again, &err) == 0 && again.len == b.len && memcmp(again.data, b.data, b.len) == 0,
       "encodes to the same bytes again");
    tp_index_clear(&x);
    for (size_t n = 0; n < b.len; n++) {
        struct tp_buffer part = {.data = b.data, .len = n};

        if (decode(&part, data_len, &err) != -EBADMSG)
            ok(false, "cut to %zu bytes", n);
    }
    is_int(decode(&b, data_len + 1, &err), -EBADMSG, "data that no chunk stands for");
    tp_buffer_clear(&b);
    tp_buffer_clear(&again);
}

#define WRONG(what) \
    do {            \
        what;       \
        refused(#what); \
    } while (0)

static void test_files(void)
{
    char parts[300];

    memset(parts, 'p', sizeof parts);
    parts[299] = '\0';
    WRONG(files[2].path = "/l");
    WRONG(files[2].path = "..");
    WRONG(files[2].path = "a/../l");
    WRONG(files[2].path = "a/./l");
    WRONG(files[2].path = "a//l");
    WRONG(files[2].path = "a/l/");
    WRONG(files[2].path = "");
    WRONG(files[2].path = ".");
    WRONG(files[2].path = parts);
    WRONG(files[2].path = "a/b");
    WRONG(files[2].path = "a/b/c");
    WRONG(files[2].path = "a/a");
    WRONG(files[3].path = "l/z");
    WRONG(files[3].path = "no/z");
    WRONG(files[2].target = NULL);
    WRONG(files[2].target = "");
    WRONG(files[3].target = "x");
    WRONG(files[2].size = 1);
    WRONG(files[0].sha256[31] = 1);
    WRONG(files[0].type = 3);
    WRONG(files[1].mode = 010000);
    WRONG(files[1].mtime_nsec = 1000000000);
    WRONG(files[1].size++);
    WRONG(files[1].size = UINT64_MAX);
    WRONG(files[1].segment_n++);
    WRONG(files[1].segment_n = UINT32_MAX);
    WRONG(files[0].segment_n = 1);
    WRONG(good.logical_bytes++);
    WRONG(good.root_mode = 010000);
    WRONG(good.root_mtime_nsec = 1000000000);
}

static void test_segments(void)
{
    static const uint64_t huge[] = {UINT64_C(1) << 63, 4}, less[] = {100, 59};

    WRONG(segments[1].dtype = TP_DTYPE_COUNT);
    WRONG(segments[1].shape = huge);
    WRONG(segments[1].shape = less);
    WRONG(segments[1].elem_first = 1);
    WRONG(segments[1].elem_first = UINT64_MAX);
    WRONG(segments[1].dtype = TP_DTYPE_BYTES);
    WRONG(segments[1].base_elem = UINT64_MAX);
    WRONG(segments[1].base_segment = TP_NONE);
    WRONG((segments[1].len++, segments[0].len--, segments[0].len--));
    WRONG(segments[1].tables_n = 1);
    WRONG(segments[0].tables_n = 1);
    WRONG(segments[0].base_elem = 1);
    WRONG(segments[0].base_segment = 0);
    WRONG(segments[0].elem_first = 1);
    WRONG(segments[0].name = "x");
    WRONG(segments[0].len = UINT64_MAX);
    WRONG(segments[2].len = 4096);
    WRONG(good.has_base = false);
    WRONG(good.chunk_size = 4095);
    WRONG(good.chunk_size = 2048);
    WRONG(good.chunk_size = 2 * TP_CHUNK_MAX);
    WRONG(good.chunk_size = 0);
    WRONG(good.chunk_size = 8192);
}

static void test_chunks(void)
{
    WRONG(chunks[0].codec = TP_CODEC_COUNT);
    WRONG(chunks[0].codec = 255);
    WRONG(chunks[0].stored_len = 0);
    WRONG(chunks[0].stored_len = 4097);
    WRONG(chunks[0].stored_len++);
    WRONG(chunks[0].ref = 1);
    WRONG(chunks[0].ref_base = true);
    WRONG(chunks[1].stored_len--);
    WRONG(chunks[1].stored_hash++);
    WRONG(chunks[5].ref = 5);
    WRONG(chunks[5].ref = 6);
    WRONG(chunks[5].ref = 1);
    WRONG(chunks[5].ref = UINT32_MAX);
    WRONG(chunks[5].content_hash++);
    WRONG(chunks[5].stored_hash = 1);
    WRONG(chunks[5].stored_len = 1);
    WRONG((chunks[2] = (struct tp_chunk){.codec = TP_CODEC_SAME, .content_hash = 50}, chunks[5].ref = 2,
           data_len -= 102));
    WRONG(tables[0].codec = TP_CODEC_COUNT);
    WRONG(tables[0].codec = TP_CODEC_DELTA);
    WRONG(tables[0].stored_len = 0);
    WRONG((tables[0].stored_len += TP_TABLES_MAX, data_len += TP_TABLES_MAX));
}

/* Numbers that no encoder writes: reserved fields, string offsets, counts. */
static void test_raw(void)
{
    static const struct {
        size_t at;
        const char *name;
    } fields[] = {
        {0, "magic"}, {8, "file_n"}, {12, "segment_n"}, {16, "chunk_n"}, {20, "tables_n"}, {24, "dim_n"}, {28, "strings_len"},
        {56, "flags"}, {60, "base_name"}, {64, "writer"}, {68, "reserved"}, {76, "reserved"},
        {TP_INDEX_HEADER_LEN, "path"}, {TP_INDEX_HEADER_LEN + 2 * TP_FILE_RECORD_LEN + 4, "target"},
        {TP_INDEX_HEADER_LEN + FILE_N * TP_FILE_RECORD_LEN, "name"},
        {TP_INDEX_HEADER_LEN + FILE_N * TP_FILE_RECORD_LEN + TP_SEGMENT_RECORD_LEN + 4, "dtype, rank, tables_n"},
        {TP_INDEX_HEADER_LEN + FILE_N * TP_FILE_RECORD_LEN + SEGMENT_N * TP_SEGMENT_RECORD_LEN + 24, "codec, flags"},
    };
    struct tp_buffer b = {0};
    struct tp_error err = {0};

    make_good();
    if (tp_index_encode(&good, &b, &err) < 0)
        bail_out("%s", err.message);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint32_t was = tp_get_le32(b.data + fields[i].at);

        tp_put_le32(b.data + fields[i].at, was ^ 0xfffffff0u);
        ok(decode(&b, data_len, &err) == -EBADMSG, "offset %zu (%s): all bits turned", fields[i].at, fields[i].name);
        tp_put_le32(b.data + fields[i].at, was);
    }
    is_int(decode(&b, data_len, &err), 0, "right again");
    b.data[b.len - 1] = 'x';
    is_int(decode(&b, data_len, &err), -EBADMSG, "strings that do not end");
    tp_buffer_clear(&b);
}

/* A billion records in a hundred bytes: refused before memory is asked for. */
static void test_bomb(void)
{
    struct tp_buffer b = {0};
    struct tp_error err = {0};

    make_good();
    if (tp_index_encode(&good, &b, &err) < 0)
        bail_out("%s", err.message);
    for (size_t at = 8; at < 32; at += 4)
        tp_put_le32(b.data + at, UINT32_MAX);
    is_int(decode(&b, data_len, &err), -EBADMSG, "counts beyond the bytes that are there");
    tp_buffer_clear(&b);
}

/* What the footer of a pack of PACK_BYTES says of its index, taken or refused. */
static int footer_with(uint64_t len, uint64_t stored, uint64_t pack_bytes)
{
    struct tp_footer footer = {.coding = TP_INDEX_ZSTD, .index_stored = stored, .index_len = len};
    uint8_t raw[TP_PACK_FOOTER_LEN];
    struct tp_error err = {0};

    footer.index_off = pack_bytes - TP_PACK_FOOTER_LEN - stored;
    tp_footer_encode(&footer, raw);
    return tp_footer_decode(raw, pack_bytes, "x", &footer, &err);
}

/* A pack is believed to have an index of the size that its own one can have a use for. */
static void test_claims(void)
{
    const uint64_t any = TP_INDEX_ANY_PACK, mib = 1 << 20;

    is_int(footer_with(1024 * 1000, 1000, 4 * mib), 0, "1024 times what is stored");
    is_int(footer_with(1024 * 1001, 1000, 4 * mib), -EBADMSG, "more than that");
    is_int(footer_with(any, 64 * 1024, 65 * 1024), 0, "16 MiB of a small pack");
    is_int(footer_with(any + 16 * mib, mib / 2, mib), 0, "and 16 times its own size");
    is_int(footer_with(any + 16 * mib + 16, mib / 2, mib), -EBADMSG, "more than that is refused");
    is_int(footer_with(TP_INDEX_MAX, mib, 2 * mib), -EBADMSG, "1 GiB of a pack of 2 MiB");
    is_int(footer_with(TP_INDEX_MAX, mib, 63 * mib), 0, "of one of 63 MiB it may be");
    is_int(footer_with((uint64_t)TP_INDEX_MAX + 1, 64 * mib, 1024 * mib), -EBADMSG, "never more than 1 GiB");
    is_int(footer_with(UINT64_MAX, UINT64_MAX / 4, 4 * mib), -EBADMSG, "nor any number");
}

static void test_order(void)
{
    static const char *const sorted[] = {"", "a", "a/b", "a/b/c", "a/c", "a b", "a-", "a.txt", "ab", "b", "\xc3\xa9"};
    size_t n = sizeof sorted / sizeof sorted[0];
    bool right = true;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            int c = tp_path_compare(sorted[i], sorted[k]);

            right = right && (i == k ? c == 0 : (c < 0) == (i < k));
        }
    ok(right, "paths compare with a directory before what is in it, and that before its siblings");
}

int main(void)
{
    test_good();
    test_files();
    test_segments();
    test_chunks();
    test_raw();
    test_bomb();
    test_claims();
    test_order();
    return tap_done();
}
