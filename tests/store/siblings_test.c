/* SPDX-License-Identifier: MIT */
/*
 * Packs of which one file predicts another: three checkpoints in one directory, the second and the
 * third predicted by the first, alone and with a base behind it. Written, verified, read through
 * the engine by many threads, refused where the rules are broken.
 */
#include <config.h>

#include <pthread.h>

#include "store/engine/engine.h"
#include "store/pack/layout.h"
#include "store/pack/pack_internal.h"
#include "store/reader.h"
#include "store/write/writer.h"
#include "store/model.h"
#include "tests/store/model.h"

enum { ELEMS = 1000003, TAIL = 501, THREADS = 4 };

static uint64_t seed;

/* A safetensors file: a tensor w of ELEMS and one v of TAIL elements, of this dtype. */
static void write_checkpoint(const char *path, const char *dtype, unsigned width,
                             const uint8_t *data)
{
    struct tp_buffer file = {0};
    char header[256];
    size_t w = (size_t)ELEMS * width, v = (size_t)TAIL * width;
    int n = snprintf(header, sizeof header,
                     "{\"w\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[0,%zu]},"
                     "\"v\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[%zu,%zu]}}",
                     dtype, ELEMS, w, dtype, TAIL, w, w + v);

    if (tp_buffer_append_le64(&file, (uint64_t)n) < 0 ||
        tp_buffer_append(&file, header, (size_t)n) < 0 || tp_buffer_append(&file, data, w + v) < 0)
        bail_out("memory");
    write_file(path, file.data, file.len);
    tp_buffer_clear(&file);
}

/* Weights, or others near to them. */
static uint8_t *weights(const uint8_t *near)
{
    size_t n = 2 * ((size_t)ELEMS + TAIL);
    uint8_t *out = malloc(n);

    for (size_t i = 0; out && i < n; i += 2) {
        uint64_t r = tap_random(&seed);

        out[i] = near ? (uint8_t)(near[i] ^ (r & 3)) : (uint8_t)r;
        out[i + 1] = near ? near[i + 1] : (uint8_t)(0x3c | (r >> 8 & 0x81));
    }
    if (!out)
        bail_out("memory");
    return out;
}

/* Which file predicts; NULL: none, and from where in it. */
struct choice {
    const char *by;
    uint64_t data_off;
    const char *only; /* for this file; NULL: for all but BY */
};

static bool choose(void *arg, const char *path, const struct tp_model_tensor *t,
                   struct tp_sibling *out)
{
    const struct choice *c = arg;

    if (!c->by || strcmp(path, c->by) == 0 || (c->only && strcmp(path, c->only) != 0))
        return false;
    out->path = c->by;
    out->dtype = TP_DTYPE_BF16;
    out->off = c->data_off + (strcmp(t->name, "w") == 0 ? 0 : 2 * (uint64_t)ELEMS);
    return true;
}

static int pack_with(const char *dir, const char *out, struct tp_pack *base, struct choice *c,
                     unsigned threads, struct tp_pack_report *report, struct tp_error *err)
{
    struct tp_pack_options o = {.threads = threads,
                                .base = base,
                                .base_name = base ? "base" : NULL,
                                .sibling = choose,
                                .sibling_arg = c};

    return tp_pack_write(dir, out, &o, report, err);
}

static struct tp_pack *must_open(const char *path)
{
    struct tp_error err = {0};
    struct tp_pack *pack;

    if (tp_store_open_path(NULL, path, &pack, &err) < 0 || tp_pack_base_error(pack)[0])
        bail_out("%s", err.message);
    return pack;
}

struct task {
    struct tp_engine *engine;
    struct tp_pack *pack;
    unsigned number;
    bool good;
};

/* Every chunk, from another one on each, several at once. */
static void *read_all(void *arg)
{
    struct task *t = arg;
    const struct tp_index *x = tp_pack_index(t->pack);

    t->good = true;
    for (uint32_t i = 0; i < x->chunk_n; i++) {
        uint32_t n = t->number & 1 ? x->chunk_n - 1 - i
                                   : (i + t->number * x->chunk_n / THREADS) % x->chunk_n;
        uint32_t chunks[3] = {n, (n + 7) % x->chunk_n, (n + 1) % x->chunk_n};
        struct tp_block *blocks[3];
        struct tp_error err = {0};

        if (tp_engine_get_many(t->engine, t->pack, chunks, 3, blocks, &err) < 0) {
            diag("%s", err.message);
            t->good = false;
            break;
        }
        for (unsigned k = 0; k < 3; k++) {
            t->good &= tp_xxh3(tp_block_data(blocks[k]), tp_block_len(blocks[k])) ==
                       x->chunks[chunks[k]].content_hash;
            tp_block_release(blocks[k]);
        }
    }
    return NULL;
}

static void check_engine(struct tp_pack *pack, const char *name)
{
    struct tp_engine_options options = {.threads = 2, .cache_bytes = 1}; /* as small as it gets */
    struct task tasks[THREADS];
    pthread_t threads[THREADS];
    struct tp_engine_stats stats;
    struct tp_engine *engine;
    struct tp_error err;
    bool good = true;

    if (tp_engine_create(&options, &engine, &err) < 0)
        bail_out("%s", err.message);
    for (unsigned i = 0; i < THREADS; i++) {
        tasks[i] = (struct task){engine, pack, i, false};
        if (pthread_create(&threads[i], NULL, read_all, &tasks[i]) != 0)
            bail_out("threads");
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        good &= tasks[i].good;
    }
    ok(good, "%s: through the engine, by threads side by side", name);
    tp_engine_get_stats(engine, &stats);
    ok(stats.held_blocks == 0 && stats.reserved_blocks == 0, "%s: which hold nothing afterwards",
       name);
    tp_engine_destroy(engine);
}

static void check_pack(const char *out, const char *dir, const char *name)
{
    struct tp_verify_report report;
    struct tp_error err = {0};
    struct tp_pack *pack = must_open(out);

    if (!ok(tp_pack_verify(pack, 2, NULL, NULL, NULL, &report, &err) == 0, "%s: verifies", name))
        diag("%s", err.message);
    check_engine(pack, name);
    tp_pack_close(pack);
    pack = must_open(out);
    check_restores(pack, dir, name);
    tp_pack_close(pack);
}

/* The data of a file lies at its end. */
static uint64_t data_of(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        bail_out("cannot stat '%s'", path);
    return (uint64_t)st.st_size - 2 * ((uint64_t)ELEMS + TAIL);
}

static void count_whence(const struct tp_pack *pack, unsigned n[3])
{
    const struct tp_index *x = tp_pack_index(pack);

    memset(n, 0, 3 * sizeof *n);
    for (uint32_t i = 0; i < x->segment_n; i++)
        n[x->segments[i].from.whence]++;
}

static void test_written(const char *dir, const char *base_dir)
{
    char *first = in_scratch("models/1.safetensors"), *out = in_scratch("with.tnpk"),
         *alone = in_scratch("without.tnpk");
    char *again = in_scratch("again.tnpk"), *base_out = in_scratch("base.tnpk"),
         *on_base = in_scratch("on_base.tnpk");
    struct choice none = {0}, by_first = {"1.safetensors", data_of(first), NULL};
    struct tp_pack_report with, without;
    struct tp_error err = {0};
    struct tp_buffer a, b;
    struct tp_pack *base, *pack;
    unsigned n[3];

    if (pack_with(dir, out, NULL, &by_first, 2, &with, &err) < 0 ||
        pack_with(dir, alone, NULL, &none, 2, &without, &err) < 0 ||
        pack_with(dir, again, NULL, &by_first, 1, &with, &err) < 0)
        bail_out("%s", err.message);
    ok(with.stored_bytes < without.stored_bytes * 3 / 4,
       "files that predict others make a smaller pack");
    a = read_file(out);
    b = read_file(again);
    ok(a.len == b.len && memcmp(a.data, b.data, a.len) == 0, "the same bytes with one thread");
    tp_buffer_clear(&a);
    tp_buffer_clear(&b);
    pack = must_open(out);
    count_whence(pack, n);
    ok(n[TP_FROM_PACK] == 6 && n[TP_FROM_BASE] == 0, "three files are predicted by the first");
    tp_pack_close(pack);
    check_pack(out, dir, "alone");

    base = must_pack(base_dir, base_out, NULL, &without);
    if (pack_with(dir, on_base, base, &by_first, 2, &with, &err) < 0)
        bail_out("%s", err.message);
    tp_pack_close(base);
    pack = must_open(on_base);
    count_whence(pack, n);
    ok(n[TP_FROM_PACK] == 6 && n[TP_FROM_BASE] == 2, "and that by the base");
    tp_pack_close(pack);
    check_pack(on_base, dir, "with a base");
    unlink(out), unlink(alone), unlink(again), unlink(base_out), unlink(on_base);
    free(first), free(out), free(alone), free(again), free(base_out), free(on_base);
}

/* What a caller must not ask for. */
static void test_refused(const char *dir)
{
    char *first = in_scratch("models/1.safetensors"), *out = in_scratch("refused.tnpk");
    const struct choice wrong[] = {
        {"3.safetensors", 0, "2.safetensors"},
        {"no.safetensors", 0, "2.safetensors"},
        {"sub", 0, "2.safetensors"},
        {"1.safetensors", data_of(first) + 1, "2.safetensors"},
        {"1.safetensors", UINT64_MAX, "2.safetensors"},
    };
    struct tp_pack_report report;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct choice c = wrong[i];
        struct tp_error err = {0};

        ok(pack_with(dir, out, NULL, &c, 1, &report, &err) == -EINVAL && err.message[0],
           "refused: %s from %llu", c.by, (unsigned long long)c.data_off);
    }
    ok(access(out, F_OK) < 0, "and nothing is left");
    free(first), free(out);
}

/* The second by the first, the fp32 one by the third: which has chunks that are the second's. */
static bool choose_pairs(void *arg, const char *path, const struct tp_model_tensor *t,
                         struct tp_sibling *out)
{
    struct choice first = {"1.safetensors", *(uint64_t *)arg, NULL},
                  third = {"3.safetensors", *(uint64_t *)arg, NULL};

    if (strcmp(path, "2.safetensors") == 0)
        return choose(&first, path, t, out);
    return strcmp(path, "sub/fp32.safetensors") == 0 && choose(&third, path, t, out);
}

/* Decode the index of PACK with its data of LEN bytes; it must be refused with WHY. */
static void refused(const struct tp_index *x, uint64_t len, const char *why, const char *name)
{
    struct tp_buffer b = {0};
    struct tp_error err = {0};
    struct tp_index again;

    if (tp_index_encode(x, &b, &err) < 0)
        bail_out("%s", err.message);
    if (!ok(tp_index_decode(TP_PACK_VERSION, b.data, b.len, len, &again, &err) == -EBADMSG &&
                strstr(err.message, why),
            "%s", name))
        diag("'%s'", err.message);
    tp_buffer_clear(&b);
}

static uint64_t data_len(const struct tp_index *x)
{
    uint64_t len = 0;

    for (uint32_t i = 0; i < x->chunk_n; i++)
        len += x->chunks[i].stored_len;
    for (uint32_t i = 0; i < x->tables_n; i++)
        len += x->tables[i].stored_len;
    return len;
}

/*
 * What predicts is not predicted itself, neither by its segments nor by what its chunks refer to.
 */
static void test_one_level(const char *dir)
{
    char *first = in_scratch("models/1.safetensors"), *out = in_scratch("pairs.tnpk");
    uint64_t off = data_of(first);
    struct tp_pack_options o = {.threads = 2, .sibling = choose_pairs, .sibling_arg = &off};
    struct tp_pack_report report;
    struct tp_error err = {0};
    struct tp_segment *s;
    struct tp_chunk *c;
    struct tp_pack *pack;
    const struct tp_index *x;
    uint32_t second, third;

    if (tp_pack_write(dir, out, &o, &report, &err) < 0)
        bail_out("%s", err.message);
    check_pack(out, dir, "two pairs");
    pack = must_open(out);
    x = tp_pack_index(pack);
    second = x->segments[x->files[1].segment_first + 1].chunk_first;
    third = x->segments[x->files[2].segment_first + 1].chunk_first;
    ok(x->files[2].predicts && x->chunks[second].content_hash == x->chunks[third].content_hash &&
           x->chunks[third].codec != TP_CODEC_SAME,
       "a chunk that predicts does not refer to one that is predicted");
    c = &x->chunks[third];
    struct tp_chunk was = *c;
    *c = (struct tp_chunk){.codec = TP_CODEC_SAME, .ref = second, .content_hash = was.content_hash};
    refused(x, data_len(x), "predicts others", "nor is it believed to");
    *c = was;
    s = &x->segments[x->files[4].segment_first + 1];
    s->from.file = 1;
    refused(x, data_len(x), "no file before its own", "a file that is predicted predicts none");
    s->from.file = 4;
    refused(x, data_len(x), "no file before its own", "nor does one itself");
    tp_pack_close(pack);
    unlink(out);
    free(first), free(out);
}

int main(void)
{
    uint8_t *base, *one, *two, *three;
    char *dir, *base_dir, *sub, *path;

    seed = tap_seed();
    scratch = tap_tmpdir();
    dir = in_scratch("models");
    base_dir = in_scratch("base");
    sub = in_scratch("models/sub");
    if (mkdir(dir, 0700) < 0 || mkdir(base_dir, 0700) < 0 || mkdir(sub, 0700) < 0)
        bail_out("cannot make directories");
    base = weights(NULL);
    one = weights(base);
    two = weights(one);
    three = weights(one);
    memcpy(three + 600000, one + 600000,
           700000); /* some chunks of the third are the first's, some the second's */
    memcpy(three, two, 600000);
    path = in_scratch("base/1.safetensors");
    write_checkpoint(path, "BF16", 2, base);
    free(path);
    path = in_scratch("models/1.safetensors");
    write_checkpoint(path, "BF16", 2, one);
    free(path);
    path = in_scratch("models/2.safetensors");
    write_checkpoint(path, "BF16", 2, two);
    free(path);
    path = in_scratch("models/3.safetensors");
    write_checkpoint(path, "BF16", 2, three);
    free(path);
    path = in_scratch(
        "models/sub/fp32.safetensors"); /* the second as fp32: a predictor of another dtype */
    {
        uint8_t *wide = calloc((size_t)ELEMS + TAIL, 4);

        for (size_t i = 0; wide && i < (size_t)ELEMS + TAIL; i++)
            memcpy(wide + 4 * i + 2, two + 2 * i, 2);
        write_checkpoint(path, "F32", 4, wide);
        free(wide);
    }
    free(path);
    test_written(dir, base_dir);
    test_refused(dir);
    test_one_level(dir);
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(dir), free(base_dir), free(sub), free(base), free(one), free(two), free(three),
        free(scratch);
    return tap_done();
}
