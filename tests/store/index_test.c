/* SPDX-License-Identifier: MIT */
/* Hand-made indexes: a valid one, and each single fault in it. */
#include <config.h>

#include <errno.h>

#include "base/le.h"
#include "store/pack/layout.h"
#include "tests/tap.h"

/* files: a/ (dir), a/b (file of two segments), h (hard link to it), l (link), z (file of two
 * segments, the second predicted by a/b); 8 chunks of 4096, two of them references */
enum { FILE_N = 5, SEGMENT_N = 4, CHUNK_N = 8, TABLES_N = 2, ATTR_N = 4 };
enum { DIR_A, FILE_B, HARD, LINK, FILE_Z };
static struct tp_pack_file files[FILE_N];
static struct tp_segment segments[SEGMENT_N];
static struct tp_chunk chunks[CHUNK_N];
static struct tp_tables_ref tables[TABLES_N];
static struct tp_attr attrs[ATTR_N];
static const uint8_t acl[] = {2, 0, 0,   0,   1,   0,   7,  0, 255, 255, 255, 255, 4,   0,
                              5, 0, 255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255};
static const uint64_t shape[] = {100, 60}, small_shape[] = {500};
static struct tp_index good;
static uint64_t data_len;

static void make_good(void)
{
    good = (struct tp_index){.chunk_size = 4096,
                             .has_base = true,
                             .base_name = "b",
                             .writer = "test",
                             .root_mode = 0755,
                             .root_mtime_sec = -5,
                             .root_mtime_nsec = 7,
                             .file_n = FILE_N,
                             .segment_n = SEGMENT_N,
                             .chunk_n = CHUNK_N,
                             .tables_n = TABLES_N,
                             .dim_n = 3,
                             .files = files,
                             .segments = segments,
                             .chunks = chunks,
                             .tables = tables,
                             .attrs = attrs,
                             .attr_n = ATTR_N,
                             .values_len = 6 + sizeof acl};
    memset(good.base_id, 0x5a, sizeof good.base_id);
    memset(good.base_content_id, 0xa5, sizeof good.base_content_id);
    files[DIR_A] = (struct tp_pack_file){.path = "a", .type = TP_ENTRY_DIR, .mode = 0700};
    files[FILE_B] = (struct tp_pack_file){.path = "a/b",
                                          .type = TP_ENTRY_FILE,
                                          .mode = 0644,
                                          .size = 5000 + 12000,
                                          .segment_n = 2,
                                          .sparse = true};
    files[HARD] = (struct tp_pack_file){.path = "h", .type = TP_ENTRY_FILE, .mode = 0644};
    files[LINK] = (struct tp_pack_file){
        .path = "l", .type = TP_ENTRY_SYMLINK, .mode = 0777, .target = "/gone"};
    files[FILE_Z] = (struct tp_pack_file){
        .path = "z", .type = TP_ENTRY_FILE, .mode = 0600, .size = 6000, .segment_n = 2};
    for (unsigned i = 0; i < FILE_N; i++)
        files[i].link = i == HARD ? FILE_B : TP_NONE;
    memset(files[FILE_B].sha256, 1, TP_SHA256_LEN);
    segments[0] = (struct tp_segment){.name = "", .len = 5000};
    segments[1] = (struct tp_segment){.name = "w",
                                      .dtype = TP_DTYPE_BF16,
                                      .rank = 2,
                                      .shape = shape,
                                      .len = 12000,
                                      .from = {TP_FROM_BASE, TP_DTYPE_F32, 3, 17, 0},
                                      .tables_n = 2};
    segments[2] = (struct tp_segment){.name = "", .len = 5000};
    segments[3] = (struct tp_segment){.name = "v",
                                      .dtype = TP_DTYPE_BF16,
                                      .rank = 1,
                                      .shape = small_shape,
                                      .len = 1000,
                                      .from = {TP_FROM_PACK, TP_DTYPE_F16, FILE_B, 16000, 0}};
    attrs[0] = (struct tp_attr){DIR_A, "system.posix_acl_default", acl, sizeof acl};
    attrs[1] = (struct tp_attr){FILE_B, "user.a", (const uint8_t *)"value", 5};
    attrs[2] = (struct tp_attr){FILE_B, "user.b", (const uint8_t *)"", 0};
    attrs[3] = (struct tp_attr){TP_NONE, "user.a", (const uint8_t *)"x", 1};
    tables[0] = (struct tp_tables_ref){.codec = TP_CODEC_SPLIT, .stored_len = 10, .stored_hash = 1};
    tables[1] = (struct tp_tables_ref){.codec = TP_CODEC_DELTA, .stored_len = 20, .stored_hash = 2};
    for (unsigned i = 0; i < CHUNK_N; i++)
        chunks[i] = (struct tp_chunk){.codec = TP_CODEC_ZSTD,
                                      .stored_len = 100 + i,
                                      .stored_hash = i,
                                      .content_hash = 50 + i};
    chunks[1] = (struct tp_chunk){
        .codec = TP_CODEC_RAW, .stored_len = 904, .stored_hash = 9, .content_hash = 9};
    chunks[3].codec = TP_CODEC_DELTA;
    chunks[5] = (struct tp_chunk){.codec = TP_CODEC_SAME, .ref = 0, .content_hash = 50};
    chunks[6] = (struct tp_chunk){
        .codec = TP_CODEC_SAME, .ref = 77, .ref_base = true, .ref_off = 12345, .content_hash = 8};
    good.logical_bytes = 23000;
    data_len = 30 + 100 + 904 + 102 + 103 + 104 + 107;
}

static int decode_as(unsigned version, const struct tp_buffer *b, uint64_t len,
                     struct tp_error *err)
{
    struct tp_index x;
    uint8_t *exact = malloc(b->len ? b->len : 1); /* so that one byte too far is noticed */
    int rc;

    memcpy(exact, b->data, b->len);
    err->message[0] = '\0';
    rc = tp_index_decode(version, exact, b->len, len, &x, err);
    free(exact);
    if (rc == 0)
        tp_index_clear(&x);
    return rc;
}

static int decode(const struct tp_buffer *b, uint64_t len, struct tp_error *err)
{
    return decode_as(TP_PACK_VERSION, b, len, err);
}

/* Encode what the globals say now; it must be refused, with a message. */
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
    if (!ok(tp_index_decode(TP_PACK_VERSION, b.data, b.len, data_len, &x, &err) == 0, "decodes"))
        bail_out("%s", err.message);
    is_u64(x.files[1].segment_first, 0, "first segment of a file");
    is_u64(x.segments[1].file_off, 5000, "offset of a segment");
    is_u64(x.chunks[2].stored_off, 16 + 100 + 904 + 30, "offset of a chunk, after the tables");
    is_u64(x.tables[1].stored_off, 16 + 100 + 904 + 10, "offset of tables");
    is_u64(tp_index_chunk_len(&x, 4), 12000 - 2 * 4096, "length of a last chunk");
    is_str(tp_index_find(&x, "l")->target, "/gone", "a link's target");
    ok(tp_index_find(&x, "a/b") == &x.files[FILE_B] && !tp_index_find(&x, "a/"),
       "files are found by path");
    ok(x.root_mtime_sec == -5 && x.segments[1].shape[1] == 60 && x.files[FILE_B].sparse &&
           !x.files[FILE_Z].sparse,
       "other fields");
    ok(x.segments[1].from.whence == TP_FROM_BASE && x.segments[1].from.dtype == TP_DTYPE_F32 &&
           x.segments[1].from.file == 3 && x.segments[1].from.off == 17 &&
           x.segments[0].from.whence == TP_FROM_NONE,
       "a predictor in the base");
    ok(x.segments[3].from.whence == TP_FROM_PACK && x.segments[3].from.segment == 1 && x.siblings &&
           x.files[FILE_Z].chained && x.files[FILE_B].predicts && !x.files[FILE_B].chained,
       "one in the pack, with the segment that it begins in");
    ok(x.chunks[6].ref_base && x.chunks[6].ref == 77 && x.chunks[6].ref_off == 12345 &&
           x.chunks[6].alias == TP_NONE,
       "a reference to the base");
    ok(tp_index_file_of(&x, &x.files[HARD]) == &x.files[FILE_B] &&
           tp_index_file_of(&x, &x.files[LINK]) == &x.files[LINK],
       "a hard link is the file that it is another name of");
    ok(x.files[FILE_B].attr_n == 2 && x.files[FILE_B].attr_first == 1 &&
           x.files[DIR_A].attr_n == 1 && x.files[FILE_Z].attr_n == 0 && x.root_attr_n == 1 &&
           x.root_attr_first == 3 && x.attrs[1].len == 5 &&
           memcmp(x.attrs[1].value, "value", 5) == 0,
       "attributes, each with its owner");
    ok(tp_index_encode(&x, &again, &err) == 0 && again.len == b.len &&
           memcmp(again.data, b.data, b.len) == 0,
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

#define WRONG(what)                                                                                \
    do {                                                                                           \
        what;                                                                                      \
        refused(#what);                                                                            \
    } while (0)

static void test_files(void)
{
    char parts[300];

    memset(parts, 'p', sizeof parts);
    parts[299] = '\0';
    WRONG(files[LINK].path = "/l");
    WRONG(files[LINK].path = "..");
    WRONG(files[LINK].path = "a/../l");
    WRONG(files[LINK].path = "a/./l");
    WRONG(files[LINK].path = "a//l");
    WRONG(files[LINK].path = "a/l/");
    WRONG(files[LINK].path = "");
    WRONG(files[LINK].path = ".");
    WRONG(files[LINK].path = parts);
    WRONG(files[LINK].path = "a/b");
    WRONG(files[LINK].path = "a/b/c");
    WRONG(files[LINK].path = "a/a");
    WRONG(files[FILE_Z].path = "l/z");
    WRONG(files[FILE_Z].path = "no/z");
    WRONG(files[LINK].target = NULL);
    WRONG(files[LINK].target = "");
    WRONG(files[FILE_Z].target = "x");
    WRONG(files[LINK].size = 1);
    WRONG(files[DIR_A].sha256[31] = 1);
    WRONG(files[DIR_A].type = 3);
    WRONG(files[FILE_B].mode = 010000);
    WRONG(files[FILE_B].mtime_nsec = 1000000000);
    WRONG(files[FILE_B].size++);
    WRONG(files[FILE_B].size = UINT64_MAX);
    WRONG(files[FILE_B].segment_n++);
    WRONG(files[FILE_B].segment_n = UINT32_MAX);
    WRONG(files[DIR_A].segment_n = 1);
    WRONG(good.logical_bytes++);
    WRONG(good.root_mode = 010000);
    WRONG(good.root_mtime_nsec = 1000000000);
    WRONG(files[HARD].link = FILE_Z);
    WRONG(files[HARD].link = HARD);
    WRONG(files[HARD].link = DIR_A);
    WRONG(files[HARD].link = FILE_N);
    WRONG(files[FILE_Z].link = HARD);
    WRONG(files[LINK].link = FILE_B);
    WRONG(files[HARD].size = 1);
    WRONG(files[HARD].sparse = true);
    WRONG(files[HARD].sha256[0] = 1);
    WRONG(files[DIR_A].sparse = true);
    WRONG(memset(good.base_content_id, 0, TP_SHA256_LEN));
    WRONG(memset(good.base_id, 0, TP_SHA256_LEN));
}

static void test_attrs(void)
{
    static uint8_t big[TP_ATTR_VALUE_MAX + 1];
    char name[300] = "user.";

    memset(name + 5, 'n', 294);
    WRONG(attrs[0].file = FILE_N);
    WRONG((attrs[0].len = 27, good.values_len--)); /* cut off: no access list */
    WRONG(attrs[0].file = FILE_B);                 /* only a directory has a default access list */
    WRONG(attrs[0].name = "trusted.x");
    WRONG(attrs[0].name = "user.");
    WRONG(attrs[0].name = "");
    WRONG(attrs[0].name = "security.capability");
    WRONG(attrs[0].name = name);
    WRONG(attrs[2].name = "user.a");
    WRONG(attrs[1].name = "user.c");
    WRONG(attrs[1].file = FILE_Z);
    WRONG((attrs[2].file = HARD));
    WRONG((attrs[2].file = LINK));
    WRONG(good.attr_n--);
    WRONG((attrs[3].value = big, attrs[3].len = sizeof big,
           good.values_len = 5 + sizeof acl + sizeof big));
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
    WRONG(segments[1].from.off = UINT64_MAX);
    WRONG(segments[1].from.off = INT64_MAX);
    WRONG(segments[1].from.whence = 3);
    WRONG(segments[1].from.dtype = TP_DTYPE_COUNT);
    WRONG(segments[1].from.dtype = TP_DTYPE_BYTES);
    WRONG(segments[1].from.dtype = TP_DTYPE_I32);
    WRONG((segments[1].len++, segments[0].len--, segments[0].len--));
    WRONG(segments[1].tables_n = 1);
    WRONG(segments[0].tables_n = 1);
    WRONG(segments[0].from = segments[1].from);
    WRONG(segments[3].from.file = FILE_Z);
    WRONG(segments[3].from.file = TP_NONE);
    WRONG(segments[3].from.file = DIR_A);
    WRONG(segments[3].from.file = HARD);
    WRONG(segments[3].from.file = LINK);
    WRONG(segments[3].from.off = 16001);
    WRONG(segments[3].from.off = UINT64_MAX);
    WRONG(segments[3].from.dtype = TP_DTYPE_F32); /* twice as long */
    WRONG((segments[1].from = segments[3].from)); /* of its own file */
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
    WRONG(chunks[6].stored_len = 1);
    WRONG(chunks[6].ref_off = UINT64_MAX);
    WRONG((chunks[2] = (struct tp_chunk){.codec = TP_CODEC_SAME, .content_hash = 50},
           chunks[5].ref = 2, data_len -= 102));
    WRONG(tables[0].codec = TP_CODEC_COUNT);
    WRONG(tables[0].codec = TP_CODEC_DELTA);
    WRONG(tables[0].stored_len = 0);
    WRONG((tables[0].stored_len += TP_TABLES_MAX, data_len += TP_TABLES_MAX));
}

/* Numbers that no encoder writes: reserved fields, string offsets, counts. */
#define ATTRS_AT                                                                                   \
    (TP_INDEX_HEADER_LEN + FILE_N * TP_FILE_RECORD_LEN + SEGMENT_N * TP_SEGMENT_RECORD_LEN +       \
     CHUNK_N * TP_CHUNK_RECORD_LEN + TABLES_N * TP_TABLES_RECORD_LEN + 3 * TP_DIM_RECORD_LEN)
static void test_raw(void)
{
    static const struct {
        size_t at;
        const char *name;
    } fields[] = {
        {0, "magic"},
        {8, "file_n"},
        {12, "segment_n"},
        {16, "chunk_n"},
        {20, "tables_n"},
        {24, "dim_n"},
        {28, "strings_len"},
        {56, "flags"},
        {60, "base_name"},
        {64, "writer"},
        {68, "attr_n"},
        {72, "values_len"},
        {76, "reserved"},
        {144, "reserved"},
        {156, "reserved"},
        {TP_INDEX_HEADER_LEN, "path"},
        {TP_INDEX_HEADER_LEN + LINK * TP_FILE_RECORD_LEN + 4, "target"},
        {TP_INDEX_HEADER_LEN + TP_FILE_RECORD_LEN + 76, "flags"},
        {TP_INDEX_HEADER_LEN + FILE_N * TP_FILE_RECORD_LEN, "name"},
        {TP_INDEX_HEADER_LEN + FILE_N * TP_FILE_RECORD_LEN + TP_SEGMENT_RECORD_LEN + 4,
         "dtype, rank, tables_n"},
        {TP_INDEX_HEADER_LEN + FILE_N * TP_FILE_RECORD_LEN + SEGMENT_N * TP_SEGMENT_RECORD_LEN + 24,
         "codec, flags"},
        {TP_INDEX_HEADER_LEN + FILE_N * TP_FILE_RECORD_LEN + 24, "no predictor"},
        {TP_INDEX_HEADER_LEN + FILE_N * TP_FILE_RECORD_LEN + TP_SEGMENT_RECORD_LEN + 36,
         "whence, dtype"},
        {ATTRS_AT, "an attribute's file"},
        {ATTRS_AT + 4, "its name"},
        {ATTRS_AT + 8, "its value"},
        {ATTRS_AT + 12, "its length"},
    };
    struct tp_buffer b = {0};
    struct tp_error err = {0};

    make_good();
    if (tp_index_encode(&good, &b, &err) < 0)
        bail_out("%s", err.message);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint32_t was = tp_get_le32(b.data + fields[i].at);

        tp_put_le32(b.data + fields[i].at, was ^ 0xfffffff0u);
        ok(decode(&b, data_len, &err) == -EBADMSG, "offset %zu (%s): all bits turned", fields[i].at,
           fields[i].name);
        tp_put_le32(b.data + fields[i].at, was);
    }
    is_int(decode(&b, data_len, &err), 0, "right again");
    b.data[b.len - 1] = 'x';
    is_int(decode(&b, data_len, &err), -EBADMSG, "strings that do not end");
    tp_buffer_clear(&b);
}

/* The same index as format 1 had it, without what that could not say. */
static void make_v1(struct tp_buffer *out)
{
    const size_t files_v2 = TP_INDEX_HEADER_LEN,
                 segments_v2 = files_v2 + FILE_N * TP_FILE_RECORD_LEN;
    const size_t chunks_v2 = segments_v2 + SEGMENT_N * TP_SEGMENT_RECORD_LEN;
    const size_t segments_v1 = TP_INDEX_HEADER_LEN_V1 + FILE_N * TP_FILE_RECORD_LEN_V1;
    struct tp_buffer b = {0};
    struct tp_error err = {0};
    uint8_t *s;

    make_good();
    files[HARD].type = TP_ENTRY_DIR;
    good.attr_n = good.values_len = 0;
    segments[3].from = (struct tp_predictor){0};
    if (tp_index_encode(&good, &b, &err) < 0 ||
        tp_buffer_append(out, b.data, TP_INDEX_HEADER_LEN_V1) < 0)
        bail_out("%s", err.message);
    for (unsigned i = 0; i < FILE_N; i++)
        tp_buffer_append(out, b.data + files_v2 + i * TP_FILE_RECORD_LEN, TP_FILE_RECORD_LEN_V1);
    for (unsigned i = 0; i < SEGMENT_N; i++)
        tp_buffer_append(out, b.data + segments_v2 + i * TP_SEGMENT_RECORD_LEN,
                         TP_SEGMENT_RECORD_LEN_V1);
    tp_buffer_append(out, b.data + chunks_v2, b.len - chunks_v2);
    for (unsigned i = 0; i < SEGMENT_N; i++) {
        s = out->data + segments_v1 + i * TP_SEGMENT_RECORD_LEN_V1;
        tp_put_le64(s + 24, i == 1 ? 16 : 0);
        tp_put_le32(s + 32, i == 1 ? 3 : TP_NONE);
    }
    /* Chunk 6 is chunk 77 of the base. */
    tp_put_le64(out->data + segments_v1 + SEGMENT_N * TP_SEGMENT_RECORD_LEN_V1 +
                    6 * TP_CHUNK_RECORD_LEN + 8,
                0);
    tp_buffer_clear(&b);
    make_good();
}

static void test_v1(void)
{
    const size_t first = TP_INDEX_HEADER_LEN_V1 + FILE_N * TP_FILE_RECORD_LEN_V1;
    const struct {
        size_t at;
        uint64_t value;
        const char *name;
    } wrong[] = {
        {68, 1, "reserved bytes"},
        {first + 24, 1, "a place in the base, and no base_segment"},
        {first + 32, 0, "a base_segment of opaque bytes"},
        {first + TP_SEGMENT_RECORD_LEN_V1 + 24, UINT64_MAX, "a place beyond all numbers"},
        {first + SEGMENT_N * TP_SEGMENT_RECORD_LEN_V1 + 6 * TP_CHUNK_RECORD_LEN + 8, 1,
         "a reference with a hash"},
    };
    struct tp_buffer b = {0};
    struct tp_error err = {0};
    struct tp_index x;

    make_v1(&b);
    if (!ok(tp_index_decode(1, b.data, b.len, data_len, &x, &err) == 0, "format 1 decodes"))
        bail_out("%s", err.message);
    ok(x.version == 1 && x.segments[1].from.whence == TP_FROM_BASE &&
           x.segments[1].from.segment == 3 && x.segments[1].from.off == 16 &&
           x.chunks[6].alias == 77 && x.files[FILE_Z].link == TP_NONE,
       "with what its base will make of it");
    tp_index_clear(&x);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct tp_buffer bad = {0};

        tp_buffer_append(&bad, b.data, b.len);
        tp_put_le64(bad.data + wrong[i].at, wrong[i].value);
        ok(decode_as(1, &bad, data_len, &err) == -EBADMSG && err.message[0], "format 1: %s",
           wrong[i].name);
        tp_buffer_clear(&bad);
    }
    ok(decode_as(2, &b, data_len, &err) == -EBADMSG, "format 1 is none of format 2");
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
    tp_put_le32(b.data + 68, UINT32_MAX);
    tp_put_le32(b.data + 72, UINT32_MAX);
    is_int(decode(&b, data_len, &err), -EBADMSG, "counts beyond the bytes that are there");
    tp_buffer_clear(&b);
}

/* What the footer of a pack of PACK_BYTES says of its index, taken or refused. */
static int footer_with(uint64_t len, uint64_t stored, uint64_t pack_bytes)
{
    struct tp_footer footer = {.version = TP_PACK_VERSION,
                               .coding = TP_INDEX_ZSTD,
                               .index_stored = stored,
                               .index_len = len};
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
    is_int(footer_with((uint64_t)TP_INDEX_MAX + 1, 64 * mib, 1024 * mib), -EBADMSG,
           "never more than 1 GiB");
    is_int(footer_with(UINT64_MAX, UINT64_MAX / 4, 4 * mib), -EBADMSG, "nor any number");
}

#define CONTENT_ID "a0052c6beaa05a726313becbb8995e483f4dc79e4fa4066c750b928bbab9c5e5"

static bool id_changes(const uint8_t *was)
{
    uint8_t now[TP_SHA256_LEN];
    bool changed = tp_index_content_id(&good, now, NULL) < 0 || memcmp(now, was, sizeof now) != 0;

    make_good();
    return changed;
}

/* What a pack holds makes its content id, and not how. */
static void test_content(void)
{
    uint8_t was[TP_SHA256_LEN];
    char hex[TP_SHA256_HEX];

    make_good();
    is_int(tp_index_content_id(&good, was, NULL), 0, "the content id");
    tp_hex(was, sizeof was, hex);
    is_str(hex, CONTENT_ID, "is what doc/FORMAT.md says");
    files[FILE_B].mtime_sec++, files[FILE_B].mode = 0, files[FILE_B].sparse = false,
                               good.attr_n = 0, good.writer = "other";
    segments[1].from = (struct tp_predictor){0}, good.segment_n = 1, good.has_base = false,
    good.base_name = "";
    ok(!id_changes(was), "times, modes, attributes, the base and the coding are not in it");
    ok((files[HARD].link = TP_NONE, memset(files[HARD].sha256, 1, TP_SHA256_LEN), !id_changes(was)),
       "nor that one file has two names");
    ok((files[FILE_B].sha256[31]++, id_changes(was)), "a file's content is");
    ok((files[LINK].target = "/gone2", id_changes(was)), "a link's target");
    ok((files[FILE_Z].path = "y", id_changes(was)), "a path");
    ok((files[DIR_A].type = TP_ENTRY_FILE, id_changes(was)), "a kind");
    ok((good.file_n--, id_changes(was)), "each file");
}

static void test_order(void)
{
    static const char *const sorted[] = {"",   "a",     "a/b", "a/b/c", "a/c",     "a b",
                                         "a-", "a.txt", "ab",  "b",     "\xc3\xa9"};
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
    test_v1();
    test_files();
    test_attrs();
    test_segments();
    test_chunks();
    test_raw();
    test_bomb();
    test_claims();
    test_content();
    test_order();
    return tap_done();
}
