/* SPDX-License-Identifier: MIT */
/*
 * The codecs in memory, on one thread: size and speed of every codec and instruction set, on
 * generated pairs (normal weights, normal noise) or on two raw files. Times are thread CPU time,
 * the best of several runs.
 */
#include <config.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/isa.h"
#include "bench/measure.h"
#include "codec/codec.h"
#include "codec/scratch.h"

#define SAMPLE_EVERY 8 /* one chunk in so many is a sample for training */

struct pair {
    char name[64];
    enum tp_dtype dtype;
    uint8_t *base;
    uint8_t *src;
    size_t len;
};

struct options {
    size_t mib;
    int runs;
    bool json;
    bool any; /* a row was printed */
};

struct result {
    double bits;
    double tables;
    double learn;
    double encode;
    double decode;
    bool good;
};

/* The upper UNIT bytes of a float, rounded to nearest even. VALUE is set to the value of these
 * bytes. */
static void put_float(uint8_t *p, float *value, size_t unit)
{
    uint32_t bits;

    memcpy(&bits, value, sizeof bits);
    if (unit == 2)
        bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    memcpy(value, &bits, sizeof bits);
    memcpy(p, (uint8_t *)&bits + 4 - unit, unit);
}

static void make_pair(struct pair *pair, const struct options *opt, enum tp_dtype dtype,
                      double noise, double changed)
{
    size_t unit = dtype == TP_DTYPE_BF16 ? 2 : 4;
    uint64_t seed = 1;

    snprintf(pair->name, sizeof pair->name, "%s %g%s", tp_dtype_name(dtype), noise,
             changed < 1 ? " few" : "");
    pair->dtype = dtype;
    pair->len = opt->mib << 20;
    pair->base = must(malloc(pair->len + TP_SLACK));
    pair->src = must(malloc(pair->len + TP_SLACK));
    for (size_t i = 0; i < pair->len; i += unit) {
        float v = 0.02f * random_normal(&seed);

        put_float(pair->base + i, &v, unit);
        if ((double)(random64(&seed) >> 11) * 0x1p-53 < changed)
            v += (float)noise * random_normal(&seed);
        put_float(pair->src + i, &v, unit);
    }
}

static uint8_t *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    uint8_t *p;

    if (!f || fseek(f, 0, SEEK_END)) {
        perror(path);
        exit(1);
    }
    *len = (size_t)ftell(f);
    rewind(f);
    p = must(malloc(*len + TP_SLACK));
    if (fread(p, 1, *len, f) != *len) {
        perror(path);
        exit(1);
    }
    fclose(f);
    return p;
}

/*
 * Entropy of the ordinal difference, given the exponent of the base, in bits per element; bf16
 * only.
 */
static double conditional_entropy(const struct pair *pair)
{
    size_t n = pair->len / 2;
    uint32_t *hist = must(calloc((size_t)256 << 16, sizeof *hist));
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        uint16_t b;
        uint16_t f;

        memcpy(&b, pair->base + 2 * i, 2);
        memcpy(&f, pair->src + 2 * i, 2);
        uint16_t ob = (uint16_t)(b & 0x8000 ? ~b : b | 0x8000);
        uint16_t of = (uint16_t)(f & 0x8000 ? ~f : f | 0x8000);

        hist[(size_t)(b >> 7 & 255) << 16 | (uint16_t)(of - ob)]++;
    }
    for (size_t e = 0; e < 256; e++) {
        const uint32_t *row = hist + (e << 16);
        double total = 0;

        for (size_t d = 0; d < 65536; d++)
            total += row[d];
        for (size_t d = 0; d < 65536 && total > 0; d++)
            if (row[d])
                sum += row[d] * log2(total / row[d]);
    }
    free(hist);
    return sum / (double)n;
}

/* Train the tables on every SAMPLE_EVERYth chunk. Returns GB/s of the sample. */
static struct tp_tables *learn(const struct tp_codec *codec, const struct pair *pair,
                               struct result *res)
{
    struct tp_buffer blob = {0};
    struct tp_tables *tables = NULL;
    struct tp_stats *stats;
    size_t seen = 0;
    double bits;
    double start = thread_seconds();

    if (!codec->needs_tables)
        return NULL;
    stats = must(codec->stats_create(pair->dtype));
    for (size_t i = 0; i < pair->len; i += (size_t)SAMPLE_EVERY * TP_CHUNK_MAX) {
        size_t n = pair->len - i < TP_CHUNK_MAX ? pair->len - i : TP_CHUNK_MAX;

        codec->stats_add(stats, pair->src + i, codec->needs_base ? pair->base + i : NULL, n);
        seen += n;
    }
    if (codec->stats_finish(stats, &blob, &bits) ||
        codec->tables_create(pair->dtype, blob.data, blob.len, &tables, NULL))
        must(NULL);
    res->learn = (double)seen / (thread_seconds() - start) * 1e-9;
    res->tables = (double)blob.len;
    codec->stats_destroy(stats);
    tp_buffer_clear(&blob);
    return tables;
}

/* One pass over all chunks: encode into OUT, or decode OUT into a chunk at DST. */
static double encode_all(const struct tp_codec *codec, const struct tp_tables *tables,
                         const struct pair *pair, uint8_t *out, size_t *lens,
                         struct tp_scratch *scratch)
{
    double start = thread_seconds();

    for (size_t i = 0, c = 0; i < pair->len; i += TP_CHUNK_MAX, c++) {
        size_t n = pair->len - i < TP_CHUNK_MAX ? pair->len - i : TP_CHUNK_MAX;

        lens[c] = codec->encode(tables, pair->dtype, pair->src + i, pair->base + i, n,
                                out + c * (TP_CHUNK_MAX + TP_SLACK), n, scratch);
    }
    return thread_seconds() - start;
}

static double decode_all(const struct tp_codec *codec, const struct tp_tables *tables,
                         const struct pair *pair, const uint8_t *out, const size_t *lens,
                         uint8_t *dst, struct tp_scratch *scratch, bool *good)
{
    double spent = 0;

    for (size_t i = 0, c = 0; i < pair->len; i += TP_CHUNK_MAX, c++) {
        size_t n = pair->len - i < TP_CHUNK_MAX ? pair->len - i : TP_CHUNK_MAX;
        double start = thread_seconds();

        if (lens[c] == 0) {
            memcpy(dst, pair->src + i, n);
        } else if (codec->decode(tables, pair->dtype, out + c * (TP_CHUNK_MAX + TP_SLACK), lens[c],
                                 pair->base + i, dst, n, scratch)) {
            *good = false;
        }
        spent += thread_seconds() - start;
        *good &= !memcmp(dst, pair->src + i, n);
    }
    return spent;
}

static struct result measure(const struct tp_codec *codec, const struct pair *pair, int runs)
{
    size_t chunks = (pair->len + TP_CHUNK_MAX - 1) / TP_CHUNK_MAX;
    uint8_t *out = must(malloc(chunks * (TP_CHUNK_MAX + TP_SLACK)));
    uint8_t *dst = must(malloc(TP_CHUNK_MAX + TP_SLACK));
    size_t *lens = must(malloc(chunks * sizeof *lens));
    struct tp_scratch *scratch = must(tp_scratch_create());
    struct result res = {.good = true};
    struct tp_tables *tables = learn(codec, pair, &res);
    double enc = INFINITY;
    double dec = INFINITY;
    double total = res.tables;

    for (int r = 0; r < runs; r++) {
        enc = fmin(enc, encode_all(codec, tables, pair, out, lens, scratch));
        dec = fmin(dec, decode_all(codec, tables, pair, out, lens, dst, scratch, &res.good));
    }
    for (size_t c = 0; c < chunks; c++) {
        size_t rest = pair->len - c * TP_CHUNK_MAX;

        total += (double)(lens[c] ? lens[c] : rest < TP_CHUNK_MAX ? rest : TP_CHUNK_MAX);
    }
    res.bits = total / (double)pair->len * tp_dtype_bits(pair->dtype);
    res.encode = (double)pair->len / enc * 1e-9;
    res.decode = (double)pair->len / dec * 1e-9;
    if (codec->needs_tables)
        codec->tables_destroy(tables);
    tp_scratch_destroy(scratch);
    free(lens);
    free(dst);
    free(out);
    return res;
}

static void print_row(struct options *opt, const struct pair *pair, const struct tp_codec *codec,
                      enum tp_isa isa, const struct result *res, double entropy)
{
    double ratio = tp_dtype_bits(pair->dtype) / res->bits;

    if (opt->json) {
        printf("%s\n  {\"pair\": \"%s\", \"codec\": \"%s\", \"isa\": \"%s\", \"ratio\": %.4f, "
               "\"bits\": %.5f, ",
               opt->any ? "," : "[", pair->name, codec->name, tp_isa_name(isa), ratio, res->bits);
        if (entropy > 0)
            printf("\"entropy\": %.5f, ", entropy);
        printf("\"tables\": %.0f, \"learn\": %.3f, \"encode\": %.3f, \"decode\": %.3f}",
               res->tables, res->learn, res->encode, res->decode);
    } else {
        if (!opt->any)
            printf("%-20s %-7s %-7s %8s %8s %8s %7s %8s %8s %8s\n", "pair", "codec", "isa", "ratio",
                   "bits", "entropy", "tables", "learn", "encode", "decode");
        printf("%-20s %-7s %-7s %8.3f %8.4f ", pair->name, codec->name, tp_isa_name(isa), ratio,
               res->bits);
        if (entropy > 0)
            printf("%8.4f", entropy);
        else
            printf("%8s", "-");
        printf(" %7.0f %8.2f %8.2f %8.2f\n", res->tables, res->learn, res->encode, res->decode);
    }
    opt->any = true;
    fflush(stdout);
}

static bool bench_pair(struct options *opt, struct pair *pair)
{
    double entropy = pair->dtype == TP_DTYPE_BF16 ? conditional_entropy(pair) : 0;
    bool good = true;

    for (unsigned id = 0; id < TP_CODEC_COUNT; id++) {
        const struct tp_codec *codec = tp_codec_get(id);

        if (!codec || !codec->encode || !codec->fits(pair->dtype))
            continue;
        for (int isa = TP_ISA_SCALAR; isa <= (int)tp_isa_best(); isa++) {
            struct result res;

            tp_isa_set((enum tp_isa)isa);
            res = measure(codec, pair, opt->runs);
            good &= res.good;
            print_row(opt, pair, codec, (enum tp_isa)isa, &res, codec->needs_base ? entropy : 0);
        }
    }
    if (!good)
        fprintf(stderr, "codec_bench: %s did not come back\n", pair->name);
    free(pair->base);
    free(pair->src);
    return good;
}

static int usage(FILE *to)
{
    fputs(
        "usage: codec_bench [--json] [--runs N] [--mib N] [BASE MODEL DTYPE]\n"
        "Files are raw elements; without them, pairs are made. GB/s are 10^9 bytes of elements.\n",
        to);
    return to == stdout ? 0 : 2;
}

static int bench_files(struct options *opt, char **arg)
{
    struct pair pair = {0};
    size_t base_len;

    if (!tp_dtype_find(arg[2], strlen(arg[2]), &pair.dtype)) {
        fprintf(stderr, "codec_bench: '%s' is no dtype\n", arg[2]);
        return 2;
    }
    snprintf(pair.name, sizeof pair.name, "%.60s",
             strrchr(arg[1], '/') ? strrchr(arg[1], '/') + 1 : arg[1]);
    pair.base = read_file(arg[0], &base_len);
    pair.src = read_file(arg[1], &pair.len);
    pair.len = pair.len < base_len ? pair.len : base_len;
    pair.len = pair.len < opt->mib << 20 ? pair.len : opt->mib << 20;
    pair.len &= ~(size_t)7;
    return bench_pair(opt, &pair) ? 0 : 1;
}

static int bench_made(struct options *opt)
{
    static const struct {
        enum tp_dtype dtype;
        double noise;
        double changed;
    } made[] = {
        {TP_DTYPE_BF16, 1e-5, 1}, {TP_DTYPE_BF16, 1e-4, 1},    {TP_DTYPE_BF16, 5e-4, 1},
        {TP_DTYPE_BF16, 2e-3, 1}, {TP_DTYPE_BF16, 5e-4, 0.05}, {TP_DTYPE_F32, 1e-5, 1},
        {TP_DTYPE_F32, 5e-4, 1},
    };
    bool good = true;

    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        struct pair pair = {0};

        make_pair(&pair, opt, made[i].dtype, made[i].noise, made[i].changed);
        good &= bench_pair(opt, &pair);
    }
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct options opt = {.mib = 32, .runs = 5};
    int i = 1;
    int rc;

    for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
        if (!strcmp(argv[i], "--help"))
            return usage(stdout);
        if (!strcmp(argv[i], "--json"))
            opt.json = true;
        else if (!strcmp(argv[i], "--runs") && i + 1 < argc)
            opt.runs = (int)strtol(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--mib") && i + 1 < argc)
            opt.mib = strtoul(argv[++i], NULL, 10);
        else
            return usage(stderr);
    }
    if ((argc != i && argc != i + 3) || opt.runs < 1 || opt.mib < 1)
        return usage(stderr);
    rc = argc == i ? bench_made(&opt) : bench_files(&opt, argv + i);
    if (opt.json)
        puts("\n]");
    return rc;
}
