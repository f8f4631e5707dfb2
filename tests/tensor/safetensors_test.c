/* SPDX-License-Identifier: MIT */
/* Safetensors headers: valid ones are read, and each rule of the format is enforced. */
#include <config.h>

#include "tensor/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/le.h"
#include "tests/tap.h"

#define T(dtype, shape, begin, end)                                                                \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

/* Header text, and how many bytes of data follow it. WHY NULL: valid, with TENSOR_N tensors. */
static const struct {
    const char *name, *text;
    uint64_t data_len;
    const char *why;
    size_t tensor_n;
} cases[] = {
    {"no tensors", "{}", 0, NULL, 0},
    {"one tensor", "{\"a\":" T("BF16", "[2,3]", "0", "12") "}", 12, NULL, 1},
    {"a scalar", "{\"a\":" T("F32", "[]", "0", "4") "}", 4, NULL, 1},
    {"an empty tensor", "{\"a\":" T("F64", "[0,5]", "0", "0") "}", 0, NULL, 1},
    {"empty ones between",
     "{\"b\":" T("U8", "[4]", "0", "4") ",\"a\":" T("U8", "[0]", "4",
                                                    "4") ",\"c\":" T("U8", "[0]", "0", "0") "}",
     4, NULL, 3},
    {"order of offsets, not of text",
     "{\"b\":" T("U8", "[4]", "3", "7") ",\"a\":" T("I8", "[3]", "0", "3") "}", 7, NULL, 2},
    {"padding with blanks", "{\"a\":" T("U8", "[1]", "0", "1") "}      ", 1, NULL, 1},
    {"metadata",
     "{\"__metadata__\":{\"format\":\"pt\",\"x\":\"\"},\"a\":" T("U8", "[1]", "0", "1") "}", 1,
     NULL, 1},
    {"no metadata", "{\"__metadata__\":null}", 0, NULL, 0},
    {"fields in any order, others ignored",
     "{\"a\":{\"data_offsets\":[0,2],\"x\":[{\"y\":null},1.5e3],\"shape\":[1],\"dtype\":\"F16\"}}",
     2, NULL, 1},
    {"F4, two to the byte", "{\"a\":" T("F4", "[3,2]", "0", "3") "}", 3, NULL, 1},
    {"F6, four to three bytes", "{\"a\":" T("F6_E2M3", "[4]", "0", "3") "}", 3, NULL, 1},
    {"every 8-bit float",
     "{\"a\":" T("F8_E4M3", "[1]", "0", "1") ",\"b\":" T("F8_E5M2", "[1]", "1", "2") ",\"c\":" T(
         "F8_E8M0", "[1]", "2", "3") ",\"d\":" T("F8_E4M3FNUZ", "[1]", "3",
                                                 "4") ",\"e\":" T("F8_E5M2FNUZ", "[1]", "4",
                                                                  "5") "}",
     5, NULL, 5},
    {"a complex number", "{\"a\":" T("C64", "[1]", "0", "8") "}", 8, NULL, 1},
    {"an empty name", "{\"\":" T("U8", "[1]", "0", "1") "}", 1, NULL, 1},
    {"32 dimensions",
     "{\"a\":" T("U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "0",
                 "1") "}",
     1, NULL, 1},

    {"33 dimensions",
     "{\"a\":" T("U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "0",
                 "1") "}",
     1, "too many dimensions", 0},
    {"nothing", "", 0, "begin with '{'", 0},
    {"a blank first", " {}", 0, "begin with '{'", 0},
    {"a byte order mark", "\xef\xbb\xbf{}", 0, "begin with '{'", 0},
    {"an array", "[]", 0, "begin with '{'", 0},
    {"cut short", "{\"a\":{\"dtype\":\"U8\"", 0, "too soon", 0},
    {"something behind", "{}{}", 0, "more than one value", 0},
    {"a NUL behind", "{}?", 0, "more than one value", 0},
    {"a comma too many", "{\"a\":" T("U8", "[1]", "0", "1") ",}", 1, "key is missing", 0},
    {"a name of no UTF-8", "{\"\xff\":" T("U8", "[1]", "0", "1") "}", 1, "UTF-8", 0},
    {"a name with a NUL", "{\"a\\u0000b\":" T("U8", "[1]", "0", "1") "}", 1, "NUL", 0},
    {"the same name twice",
     "{\"a\":" T("U8", "[1]", "0", "1") ",\"a\":" T("U8", "[1]", "1", "2") "}", 2,
     "duplicate tensor 'a'", 0},
    {"the same name, once escaped",
     "{\"a\":" T("U8", "[1]", "0", "1") ",\"\\u0061\":" T("U8", "[1]", "1", "2") "}", 2,
     "duplicate tensor 'a'", 0},
    {"metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate __metadata__", 0},
    {"a metadata key twice", "{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0,
     "duplicate key of __metadata__ 'k'", 0},
    {"metadata with a number", "{\"__metadata__\":{\"k\":1}}", 0, "not a string", 0},
    {"metadata with an object", "{\"__metadata__\":{\"k\":{}}}", 0, "not a string", 0},
    {"metadata that is a string", "{\"__metadata__\":\"x\"}", 0, "not an object", 0},
    {"a tensor that is a number", "{\"a\":1}", 0, "not an object", 0},
    {"no dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "lacks", 0},
    {"no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "lacks", 0},
    {"no offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "lacks", 0},
    {"dtype twice",
     "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     "duplicate field of a tensor", 0},
    {"an unknown dtype", "{\"a\":" T("F128", "[1]", "0", "16") "}", 16, "unknown dtype 'F128'", 0},
    {"our own word for bytes", "{\"a\":" T("bytes", "[1]", "0", "1") "}", 1, "unknown dtype", 0},
    {"a dtype that is a number", "{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     "not a string", 0},
    {"a shape that is a number", "{\"a\":" T("U8", "1", "0", "1") "}", 1, "not an array", 0},
    {"a negative dimension", "{\"a\":" T("U8", "[-1]", "0", "1") "}", 1, "unsigned", 0},
    {"a dimension with a fraction", "{\"a\":" T("U8", "[1.0]", "0", "1") "}", 1, "unsigned", 0},
    {"a dimension with an exponent", "{\"a\":" T("U8", "[1e0]", "0", "1") "}", 1, "unsigned", 0},
    {"a dimension of 2^64", "{\"a\":" T("U8", "[18446744073709551616]", "0", "1") "}", 1,
     "unsigned", 0},
    {"a dimension in quotes", "{\"a\":" T("U8", "[\"1\"]", "0", "1") "}", 1, "not a number", 0},
    {"nested dimensions", "{\"a\":" T("U8", "[[1]]", "0", "1") "}", 1, "not a number", 0},
    {"one offset", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1]}}", 1, "not two",
     0},
    {"three offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1,
     "not two", 0},
    {"offsets backwards", "{\"a\":" T("U8", "[1]", "1", "0") "}", 1, "do not lie within", 0},
    {"an offset behind the file", "{\"a\":" T("U8", "[2]", "0", "2") "}", 1, "do not lie within",
     0},
    {"an offset of 2^64 - 1",
     "{\"a\":" T("U8", "[1]", "18446744073709551614", "18446744073709551615") "}", 1,
     "do not lie within", 0},
    {"a shape that says less", "{\"a\":" T("BF16", "[2]", "0", "6") "}", 6,
     "needs 4 bytes, its data_offsets 6", 0},
    {"a shape that says more", "{\"a\":" T("BF16", "[4]", "0", "6") "}", 6,
     "needs 8 bytes, its data_offsets 6", 0},
    {"dimensions that overflow", "{\"a\":" T("U8", "[4294967296,4294967296]", "0", "1") "}", 1,
     "shape overflows", 0},
    {"dimensions that overflow before a 0",
     "{\"a\":" T("U8", "[4294967296,4294967296,0]", "0", "0") "}", 0, "shape overflows", 0},
    {"bits that overflow", "{\"a\":" T("F64", "[288230376151711745]", "0", "8") "}", 8,
     "size overflows", 0},
    {"half a byte", "{\"a\":" T("F4", "[3]", "0", "2") "}", 2, "not a whole number of bytes", 0},
    {"three quarters of a byte", "{\"a\":" T("F6_E3M2", "[3]", "0", "3") "}", 3,
     "not a whole number of bytes", 0},
    {"a hole at the beginning", "{\"a\":" T("U8", "[1]", "1", "2") "}", 2, "hole", 0},
    {"a hole between", "{\"a\":" T("U8", "[1]", "0", "1") ",\"b\":" T("U8", "[1]", "2", "3") "}", 3,
     "hole", 0},
    {"an overlap", "{\"a\":" T("U8", "[2]", "0", "2") ",\"b\":" T("U8", "[2]", "1", "3") "}", 3,
     "within the one before", 0},
    {"the same place twice",
     "{\"a\":" T("U8", "[1]", "0", "1") ",\"b\":" T("U8", "[1]", "0", "1") "}", 1,
     "within the one before", 0},
    {"an empty one within another",
     "{\"a\":" T("U8", "[2]", "0", "2") ",\"b\":" T("U8", "[0]", "1", "1") "}", 2,
     "within the one before", 0},
    {"bytes left over", "{\"a\":" T("U8", "[1]", "0", "1") "}", 2, "tensors end at", 0},
    {"data without tensors", "{}", 1, "tensors end at", 0},
};

static void make(struct tp_buffer *buf, const char *text, size_t len)
{
    buf->len = 0;
    if (tp_buffer_append_le64(buf, len) < 0 || tp_buffer_append(buf, text, len) < 0)
        bail_out("memory");
}

static void test_table(void)
{
    struct tp_buffer buf = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tp_safetensors st;
        struct tp_error err = {0};
        make(&buf, cases[i].text, strlen(cases[i].text));
        if (strcmp(cases[i].name, "a NUL behind") == 0)
            buf.data[buf.len - 1] = 0;
        int rc = tp_safetensors_parse(buf.data, buf.len, buf.len + cases[i].data_len, &st, &err);
        bool good = cases[i].why
                        ? rc == -EBADMSG && strstr(err.message, cases[i].why) && !st.tensors
                        : rc == 0 && st.tensor_n == cases[i].tensor_n && st.data_off == buf.len;
        if (!ok(good, "%s: %s", cases[i].why ? "refused" : "taken", cases[i].name))
            diag("rc %d, '%s', %zu tensors", rc, err.message, st.tensor_n);
        tp_safetensors_clear(&st);
    }
    tp_buffer_clear(&buf);
}

static void test_values(void)
{
    static const char text[] =
        "{\"z\":" T("U8", "[5]", "24", "29") ",\"caf\\u00e9 \\ud83d\\ude00\\n\":" T(
            "F32", "[2,1,3]", "0", "24") ",\"y\":" T("I64", "[0]", "24", "24") "}";
    struct tp_buffer buf = {0};
    struct tp_safetensors st;
    struct tp_error err;
    make(&buf, text, sizeof text - 1);
    if (!ok(tp_safetensors_parse(buf.data, buf.len, buf.len + 29, &st, &err) == 0, "a header"))
        bail_out("%s", err.message);
    is_u64(st.file_size, buf.len + 29, "size of the file");
    is_str(st.tensors[0].name, "caf\xc3\xa9 \xf0\x9f\x98\x80\n", "names are unescaped");
    is_int(st.tensors[0].dtype, TP_DTYPE_F32, "dtype");
    ok(st.tensors[0].rank == 3 && st.tensors[0].shape[0] == 2 && st.tensors[0].shape[1] == 1 &&
           st.tensors[0].shape[2] == 3,
       "shape");
    is_u64(st.tensors[0].off, buf.len, "offsets count from the beginning of the file");
    is_u64(st.tensors[0].len, 24, "length");
    is_str(st.tensors[1].name, "y", "an empty tensor comes before the one at its place");
    is_str(st.tensors[2].name, "z", "then that one");
    tp_safetensors_clear(&st);
    ok(st.tensors == NULL && st.tensor_n == 0, "clear leaves nothing");
    tp_buffer_clear(&buf);
}

static void test_lengths(void)
{
    struct tp_safetensors st;
    struct tp_error err = {0};
    uint8_t head[16] = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    is_int(tp_safetensors_parse(head, 10, 10, &st, &err), 0, "the shortest file");
    for (size_t n = 0; n < 10; n++) {
        if (tp_safetensors_parse(head, n, n, &st, &err) != -EBADMSG)
            ok(false, "cut to %zu bytes is refused", n);
    }
    ok(true, "each cut of it is refused");
    is_int(tp_safetensors_parse(head, 9, 10, &st, &err), -EBADMSG,
           "less of it in memory than it needs");
    tp_put_le64(head, TP_SAFETENSORS_HEADER_MAX + 1);
    is_int(tp_safetensors_parse(head, 10, UINT64_MAX, &st, &err), -EBADMSG, "a header over 100 MB");
    has(err.message, "too long", "the message says so");
    tp_put_le64(head, UINT64_MAX);
    is_int(tp_safetensors_parse(head, 10, UINT64_MAX, &st, &err), -EBADMSG,
           "a header of 2^64 - 1 bytes");
    tp_put_le64(head, UINT64_MAX - 7);
    is_int(tp_safetensors_parse(head, 10, 10, &st, &err), -EBADMSG, "one whose end overflows");
}

static void test_long_name(void)
{
    static const char tail[] = "\":" T("U8", "[0]", "0", "0") "}";
    struct tp_safetensors st;
    struct tp_error err = {0};

    for (unsigned more = 0; more < 2; more++) {
        struct tp_buffer text = {0}, buf = {0};

        tp_buffer_append(&text, "{\"", 2);
        for (unsigned i = 0; i < TP_TENSOR_NAME_MAX + more; i++)
            tp_buffer_append_u8(&text, 'n');
        tp_buffer_append(&text, tail, sizeof tail - 1);
        make(&buf, (const char *)text.data, text.len);
        is_int(tp_safetensors_parse(buf.data, buf.len, buf.len, &st, &err), more ? -EBADMSG : 0,
               more ? "a name of one byte more" : "the longest name");
        if (!more)
            tp_safetensors_clear(&st);
        tp_buffer_clear(&text);
        tp_buffer_clear(&buf);
    }
    has(err.message, "name is too long", "the message says so");
}

static void test_open(void)
{
    char *dir = tap_tmpdir(), *path = NULL;
    static const char text[] = "{\"a\":" T("U8", "[3]", "0", "3") "}";
    struct tp_buffer buf = {0};
    struct tp_safetensors st;
    struct tp_error err = {0};
    make(&buf, text, sizeof text - 1);
    tp_buffer_append(&buf, "xyz", 3);
    if (asprintf(&path, "%s/m.safetensors", dir) < 0 ||
        tp_file_replace(path, buf.data, buf.len, 0600, &err) < 0)
        bail_out("%s", err.message);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    is_int(tp_safetensors_open(fd, buf.len, path, &st, &err), 0, "a file");
    is_u64(st.tensor_n, 1, "has its tensor");
    tp_safetensors_clear(&st);
    is_int(tp_safetensors_open(fd, buf.len - 1, path, &st, &err), -EBADMSG,
           "of another size than declared: refused");
    has(err.message, path, "and named");
    is_int(tp_safetensors_open(fd, 7, path, &st, &err), -EBADMSG,
           "too short for a length: refused");
    is_int(ftruncate(fd, 0) == 0 ? 0 : 1, 1, "the descriptor is for reading only");
    close(fd);
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    tp_buffer_clear(&buf);
    free(path);
    free(dir);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/*
 * Nothing may grow with the square of the header: 4 times the tensors, well under 16 times the
 * time.
 */
static double time_of(unsigned n, const char *prefix)
{
    struct tp_buffer text = {0}, buf = {0};
    struct tp_safetensors st;
    tp_buffer_append_u8(&text, '{');
    for (unsigned i = 0; i < n; i++)
        tp_buffer_appendf(&text, "%s\"%s.%u\":" T("U8", "[1]", "%u", "%u"), i ? "," : "", prefix,
                          i * 2654435761u, i, i + 1);
    tp_buffer_append_u8(&text, '}');
    make(&buf, (const char *)text.data, text.len);
    double best = 1e9;
    for (int k = 0; k < 3; k++) {
        double start = cpu_seconds();
        int rc = tp_safetensors_parse(buf.data, buf.len, buf.len + n, &st, NULL);
        double took = cpu_seconds() - start;
        best = took < best ? took : best;
        if (rc < 0 || st.tensor_n != n)
            bail_out("%u tensors are not parsed", n);
        tp_safetensors_clear(&st);
    }
    diag("%u tensors, %zu bytes: %.1f ms", n, text.len, 1e3 * best);
    tp_buffer_clear(&text);
    tp_buffer_clear(&buf);
    return best;
}

static void test_time(void)
{
    static const char prefix[] = "model.layers.self_attn.q_proj";
    bool good = false;

    /* What else a machine does may fall on one of the two: in one of some tries it does not. */
    for (int i = 0; i < 8 && !good; i++)
        good = time_of(160000, prefix) < 12 * time_of(40000, prefix) + 0.01;
    ok(good, "time grows with the header, not with its square");
}

int main(void)
{
    test_table();
    test_values();
    test_lengths();
    test_long_name();
    test_open();
    test_time();
    return tap_done();
}
