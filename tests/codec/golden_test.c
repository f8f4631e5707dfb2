/* SPDX-License-Identifier: MIT */
/*
 * The format of coded chunks does not change: inputs of the fuzz corpus decode to the bytes that
 * they were made from, by the hashes of golden.txt. "golden_test write" makes both again, when a
 * codec is added; "quant_chunk_test write" makes those of the codec "quant".
 */
#include <config.h>

#include "base/hash.h"
#include "base/isa.h"
#include "base/le.h"
#include "codec/scratch.h"
#include "tests/codec/codec_check.h"
#include "tests/fuzz/codec_base.h"

#define HEAD 6
#define FILE_MAX 65536

static const char *top;
static struct tp_scratch *scratch;

static FILE *open_in(const char *folder, const char *name, const char *mode)
{
    char path[1024];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s%s", top, folder, name);
    f = fopen(path, mode);
    if (!f)
        bail_out("cannot open %s", path);
    return f;
}

/* The chunk's bytes, decoded with one instruction set; *LEN of them. NULL: it was refused. */
static uint8_t *decode_file(const uint8_t *data, size_t data_len, size_t *len)
{
    const struct tp_codec *codec = tp_codec_get(data[0]);
    enum tp_dtype dtype = (enum tp_dtype)data[1];
    size_t tables_len = tp_get_le16(data + 4);
    uint8_t *base, *coded, *out;
    struct tp_tables *tables = NULL;
    int rc = 0;

    *len = tp_get_le16(data + 2) * (size_t)tp_dtype_bits(dtype) / 8;
    base = check_alloc(*len);
    codec_base_fill(base, *len);
    coded = check_copy(data + HEAD + tables_len, data_len - HEAD - tables_len);
    out = check_alloc(*len);
    if (codec->needs_tables)
        rc = codec->tables_create(dtype, data + HEAD, tables_len, &tables, NULL);
    if (!rc)
        rc = codec->decode(tables, dtype, coded, data_len - HEAD - tables_len, base, out, *len,
                           scratch);
    if (tables)
        codec->tables_destroy(tables);
    free(base);
    free(coded);
    if (rc) {
        free(out);
        return NULL;
    }
    return out;
}

static void hash_of(const uint8_t *data, size_t len, char *hex)
{
    uint8_t digest[TP_SHA256_LEN];

    if (tp_sha256(data, len, digest))
        bail_out("no hash");
    tp_hex(digest, sizeof digest, hex);
}

static void check_file(const char *name, const char *want)
{
    static uint8_t data[FILE_MAX];
    FILE *f = open_in("tests/fuzz/corpus/codec/", name, "rb");
    size_t len, data_len = fread(data, 1, sizeof data, f);
    char hex[TP_SHA256_HEX] = "";

    fclose(f);
    for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best(); isa++) {
        uint8_t *out;

        tp_isa_set((enum tp_isa)isa);
        out = decode_file(data, data_len, &len);
        if (out)
            hash_of(out, len, hex);
        ok(out && !strcmp(hex, want), "%s, %s", name, tp_isa_name((enum tp_isa)isa));
        free(out);
    }
}

/* One chunk of a kind that suits the codec, whole with its tables. */
static void write_one(const struct tp_codec *codec, enum tp_dtype dtype, size_t n, uint64_t *seed,
                      FILE *golden)
{
    size_t len = n * tp_dtype_bits(dtype) / 8, unit = check_unit(dtype), coded_len;
    uint8_t *base = check_alloc(len), *src, *coded = check_alloc(2 * len + 4096), head[HEAD] = {0};
    struct tp_buffer blob = {0};
    struct tp_tables *tables;
    char name[64], hex[TP_SHA256_HEX];
    double bits;
    FILE *f;

    codec_base_fill(base, len);
    src = check_copy(base, len);
    if (!codec->needs_base)
        check_fill(seed, n > 100 ? CHECK_FEW : CHECK_WEIGHTS, dtype, src, len);
    for (size_t i = 0; codec->needs_base && i < len; i += unit)
        if (tap_random(seed) % (codec->id == TP_CODEC_SPARSE ? 12 : 3) == 0)
            src[i] = (uint8_t)(src[i] + tap_random(seed) % 7 - 3);
    /* Far enough from the base for raw bits. */
    for (size_t i = 0; codec->id == TP_CODEC_DELTA && unit > 1 && n > 100 && i < len;
         i += 2 * unit) {
        uint16_t v = (uint16_t)(tp_get_le16(src + i) + tap_random(seed) % 3000 - 1500);

        tp_put_le16(src + i, v);
    }
    tables = check_learn(codec, dtype, src, base, len, &blob, &bits);
    coded_len = codec->encode(tables, dtype, src, base, len, coded, 2 * len + 4096, scratch);
    head[0] = (uint8_t)codec->id;
    head[1] = (uint8_t)dtype;
    tp_put_le16(head + 2, (uint16_t)n);
    tp_put_le16(head + 4, (uint16_t)blob.len);
    snprintf(name, sizeof name, "%s-%s-%zu", codec->name, tp_dtype_name(dtype), n);
    for (char *p = name; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
    f = open_in("tests/fuzz/corpus/codec/", name, "wb");
    fwrite(head, 1, HEAD, f);
    fwrite(blob.data, 1, blob.len, f);
    fwrite(coded, 1, coded_len, f);
    if (fclose(f))
        bail_out("cannot write %s", name);
    hash_of(src, len, hex);
    fprintf(golden, "%s %s\n", name, hex);
    if (tables)
        codec->tables_destroy(tables);
    tp_buffer_clear(&blob);
    free(base);
    free(src);
    free(coded);
}

static void write_all(void)
{
    static const enum tp_dtype dtypes[] = {TP_DTYPE_BF16, TP_DTYPE_F16,     TP_DTYPE_F32,
                                           TP_DTYPE_F64,  TP_DTYPE_F8_E4M3, TP_DTYPE_I8};
    FILE *golden = open_in("tests/codec/", "golden.txt", "w");
    uint64_t seed = 7;

    fputs("# What the chunks of tests/fuzz/corpus/codec decode to, by name: SHA-256. Formats do "
          "not change.\n",
          golden);
    for (unsigned id = 0; id < TP_CODEC_QUANT; id++)
        for (size_t d = 0; tp_codec_get(id) && d < sizeof dtypes / sizeof dtypes[0]; d++)
            if (tp_codec_get(id)->fits(dtypes[d]) && (id != TP_CODEC_ZSTD || d == 0)) {
                write_one(tp_codec_get(id), dtypes[d], 60, &seed, golden);
                write_one(tp_codec_get(id), dtypes[d], 1500, &seed, golden);
            }
    if (fclose(golden))
        bail_out("cannot write golden.txt");
}

/* Check the chunks that a list names, LEAST of them or more. */
static void check_list(const char *list, int least)
{
    char line[256], name[64], want[TP_SHA256_HEX];
    FILE *golden = open_in("tests/codec/", list, "r");
    int before = tap_n;

    while (fgets(line, sizeof line, golden))
        if (line[0] != '#' && sscanf(line, "%63s %64s", name, want) == 2)
            check_file(name, want);
    fclose(golden);
    ok(tap_n - before >= least, "there was something to check");
}

int main(int argc, char **argv)
{
    top = getenv("top_srcdir") ? getenv("top_srcdir") : ".";
    scratch = tp_scratch_create();
    if (!scratch)
        bail_out("out of memory");
    if (argc > 1 && !strcmp(argv[1], "write"))
        write_all();
    check_list("golden.txt", 30);
    check_list("golden-quant.txt", 20);
    tp_scratch_destroy(scratch);
    return tap_done();
}
