/* SPDX-License-Identifier: MIT */
/*
 * The model reader: a plain directory and its packs have the same tensors and bytes, by copies and
 * by views, with and without an engine, for many threads.
 */
#include <config.h>

#include <pthread.h>

#include "store/model.h"
#include "store/pack/layout.h"
#include "tests/store/model.h"

enum { THREADS = 8, READS = 300, READ_MAX = 600 * 1024 };

static uint64_t seed;

static struct tp_model *must_open(const char *path, struct tp_engine *engine)
{
    struct tp_model_options options = {.engine = engine};
    struct tp_error err = {0};
    struct tp_model *model;

    if (tp_model_open(path, &options, &model, &err) < 0)
        bail_out("%s", err.message);
    return model;
}

static struct tp_engine *make_engine(void)
{
    struct tp_engine_options options = {.cache_bytes = 32 << 20, .threads = 2};
    struct tp_error err = {0};
    struct tp_engine *engine;

    if (tp_engine_create(&options, &engine, &err) < 0)
        bail_out("%s", err.message);
    return engine;
}

/* The bytes of FILE, as the kernel has them in DIR. */
static struct tp_buffer bytes_of(const char *dir, const struct tp_model *model, uint32_t file)
{
    char *path;
    struct tp_buffer bytes;

    if (asprintf(&path, "%s/%s", dir, model->files[file].path) < 0)
        bail_out("memory");
    bytes = read_file(path);
    free(path);
    return bytes;
}

static bool same_tensor(const struct tp_model *m, const struct tp_model_tensor *a,
                        const struct tp_model *n, const struct tp_model_tensor *b)
{
    return strcmp(a->name, b->name) == 0 && a->dtype == b->dtype && a->rank == b->rank &&
           (!a->rank || memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0) &&
           a->len == b->len && a->off == b->off &&
           strcmp(m->files[a->file].path, n->files[b->file].path) == 0;
}

/* Whether both models show the same files and tensors, in both orders. */
static bool same_headers(const struct tp_model *m, const struct tp_model *n)
{
    bool same = m->file_n == n->file_n && m->tensor_n == n->tensor_n && m->name_n == n->name_n &&
                m->logical_bytes == n->logical_bytes && m->tensor_bytes == n->tensor_bytes;

    for (size_t i = 0; same && i < m->tensor_n; i++)
        same = same_tensor(m, &m->tensors[i], n, &n->tensors[i]) &&
               same_tensor(m, m->by_place[i], n, n->by_place[i]);
    for (uint32_t i = 0; same && i < m->file_n; i++)
        same = m->files[i].size == n->files[i].size &&
               m->files[i].tensor_n == n->files[i].tensor_n &&
               m->files[i].tensor_first == n->files[i].tensor_first &&
               tp_model_opaque(m, i) == tp_model_opaque(n, i);
    return same;
}

/* Whether BY_PLACE has the tensors of each file behind each other, and all of them. */
static bool in_order(const struct tp_model *m)
{
    size_t at = 0;

    for (uint32_t f = 0; f < m->file_n; f++) {
        uint64_t off = tp_model_opaque(m, f);

        if (m->files[f].tensor_first != at)
            return false;
        for (size_t i = 0; i < m->files[f].tensor_n; i++, at++) {
            if (m->by_place[at]->file != f || m->by_place[at]->off != off)
                return false;
            off += m->by_place[at]->len;
        }
    }
    return at == m->tensor_n;
}

struct reading {
    struct tp_model *model;
    const struct tp_buffer *files; /* what it must read */
    uint64_t seed;
    unsigned wrong;
};

/* Read a range; whether it has the bytes that are there. */
static bool read_one(struct reading *r, uint32_t file, uint64_t off, size_t len, uint8_t *into)
{
    const uint8_t *want = r->files[file].data + off;

    return tp_model_read(r->model, file, off, into, len, NULL) == 0 && memcmp(into, want, len) == 0;
}

static void *read_many(void *arg)
{
    struct reading *r = arg;
    uint8_t *into = malloc(READ_MAX);

    for (unsigned i = 0; into && i < READS; i++) {
        uint32_t file = (uint32_t)(tap_random(&r->seed) % r->model->file_n);
        uint64_t size = r->model->files[file].size, off = tap_random(&r->seed) % (size + 1);
        size_t len = (size_t)(tap_random(&r->seed) % READ_MAX);

        if (len > size - off)
            len = (size_t)(size - off);
        if (i % 7 == 0)
            tp_model_prefetch(r->model, file, off, 2 * (uint64_t)len);
        r->wrong += !read_one(r, file, off, len, into);
    }
    r->wrong += !into;
    free(into);
    return NULL;
}

/* Many threads read MODEL at once. */
static void check_threads(struct tp_model *model, const struct tp_buffer *files, const char *name)
{
    struct reading readings[THREADS];
    pthread_t threads[THREADS];
    unsigned wrong = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        readings[i] = (struct reading){.model = model, .files = files, .seed = tap_random(&seed)};
        if (pthread_create(&threads[i], NULL, read_many, &readings[i]) != 0)
            bail_out("no thread");
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        wrong += readings[i].wrong;
    }
    is_int(wrong, 0, name);
}

/* Every tensor, whole. */
static unsigned count_wrong_tensors(struct tp_model *model, const struct tp_buffer *files)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < model->tensor_n; i++) {
        const struct tp_model_tensor *t = model->by_place[i];
        uint8_t *into = malloc((size_t)t->len + 1);

        wrong += !into || tp_model_read_tensor(model, t, 0, into, (size_t)t->len, NULL) < 0 ||
                 memcmp(into, files[t->file].data + t->off, (size_t)t->len) != 0 ||
                 tp_model_read_tensor(model, t, 1, into, (size_t)t->len, NULL) != -EINVAL;
        free(into);
    }
    return wrong;
}

/* MODEL, opened from DIR or from a pack of it, against the plain files. */
static void check_model(const char *dir, const struct tp_model *plain, struct tp_model *model,
                        const char *name)
{
    struct tp_buffer *files = calloc(plain->file_n, sizeof *files);
    char title[128];

    for (uint32_t i = 0; files && i < plain->file_n; i++)
        files[i] = bytes_of(dir, plain, i);
    ok(same_headers(plain, model), "%s: files and tensors are those of the directory", name);
    ok(in_order(model), "%s: tensors are listed in the order of their files", name);
    snprintf(title, sizeof title, "%s: every tensor has its bytes", name);
    is_int(count_wrong_tensors(model, files), 0, title);
    snprintf(title, sizeof title, "%s: threads read and view ranges at once", name);
    check_threads(model, files, title);
    for (uint32_t i = 0; i < plain->file_n; i++)
        tp_buffer_clear(&files[i]);
    free(files);
}

static void check_kinds(const char *dir, const char *pack, const char *name)
{
    struct tp_engine *engine = make_engine();
    struct tp_model *plain = must_open(dir, NULL), *packed = must_open(pack, NULL),
                    *by_engine = must_open(pack, engine);
    char title[64];

    snprintf(title, sizeof title, "%s, plain", name);
    check_model(dir, plain, plain, title);
    snprintf(title, sizeof title, "%s, packed", name);
    check_model(dir, plain, packed, title);
    snprintf(title, sizeof title, "%s, by an engine", name);
    check_model(dir, plain, by_engine, title);
    ok(tp_model_dir(plain) && !tp_model_dir(packed), "%s: a directory has a listing", name);
    tp_model_close(plain);
    tp_model_close(packed);
    tp_model_close(by_engine);
    tp_engine_destroy(engine);
}

static void test_lookup(const char *dir)
{
    struct tp_model *model = must_open(dir, NULL);
    const struct tp_model_tensor *t = NULL;
    size_t n = 0;
    uint32_t file;

    for (size_t i = 0; i < model->name_n; i++)
        for (t = NULL; (t = tp_model_find_next(model, model->tensors[i].name, t)) != NULL;)
            n++;
    is_int(n, model->tensor_n, "looking up each name gives every tensor");
    ok(!tp_model_find(model, "no.such.tensor") && !tp_model_find_next(model, "zzz", NULL),
       "a name that no tensor has gives none");
    ok(tp_model_find_file(model, "config.json", &file) &&
           strcmp(model->files[file].path, "config.json") == 0 &&
           !tp_model_find_file(model, "config", &file),
       "files are found by their path");
    tp_model_close(model);
}

/* Each of COUNT bytes, spread over the coded chunks of PACK, is flipped in turn. */
static void test_damage(const char *dir, const char *pack)
{
    struct tp_model *plain = must_open(dir, NULL);
    struct tp_buffer bytes = read_file(pack);
    char *damaged = in_scratch("damaged.tnpk");
    unsigned failed = 0, wrong = 0;

    for (unsigned i = 0; i < 8; i++) {
        size_t at = TP_PACK_HEADER_LEN + i * (bytes.len / 2) / 8;
        struct tp_engine *engine = make_engine();
        struct tp_model *model;

        bytes.data[at] ^= 1;
        write_file(damaged, bytes.data, bytes.len);
        bytes.data[at] ^= 1;
        model = must_open(damaged, i % 2 ? engine : NULL);
        for (size_t k = 0; k < model->tensor_n; k++) {
            const struct tp_model_tensor *t = model->by_place[k];
            uint8_t *a = malloc((size_t)t->len + 1), *b = malloc((size_t)t->len + 1);
            int rc = tp_model_read_tensor(model, t, 0, a, (size_t)t->len, NULL);

            if (!a || !b ||
                tp_model_read_tensor(plain, plain->by_place[k], 0, b, (size_t)t->len, NULL) < 0)
                bail_out("cannot read '%s'", dir);
            failed += rc == -EBADMSG;
            wrong += rc != -EBADMSG && (rc < 0 || memcmp(a, b, (size_t)t->len) != 0);
            free(a);
            free(b);
        }
        tp_model_close(model);
        tp_engine_destroy(engine);
    }
    ok(failed > 0, "reading damaged chunks fails");
    is_int(wrong, 0, "and what is read is right");
    tp_buffer_clear(&bytes);
    tp_model_close(plain);
    free(damaged);
}

static void test_limits(const char *pack)
{
    struct tp_model *model = must_open(pack, NULL);
    const struct tp_model_tensor *t = tp_model_find(model, "model.embed_tokens.weight");
    atomic_int cancel = 1;
    uint8_t into[64];

    tp_model_limit(model, NULL, 1);
    is_int(tp_model_read_tensor(model, t, 0, into, sizeof into, NULL), -E2BIG,
           "a limit on what is decoded is kept");
    tp_model_limit(model, &cancel, 0);
    is_int(tp_model_read_tensor(model, t, 0, into, sizeof into, NULL), -ECANCELED,
           "reading can be cancelled");
    tp_model_limit(model, NULL, 0);
    is_int(tp_model_read_tensor(model, t, 0, into, sizeof into, NULL), 0,
           "without limits it continues");
    tp_model_close(model);
}

/* A file that is cut short, replaced, or no safetensors file at all. */
static void test_changed(void)
{
    char *dir = in_scratch("changed"), *file = in_scratch("changed/a.bin"),
         *odd = in_scratch("changed/b.safetensors");
    struct tp_model *model;
    struct tp_error err;
    uint8_t into[4096] = {0};
    uint32_t n = 0;

    if (mkdir(dir, 0755) < 0)
        bail_out("cannot make '%s'", dir);
    write_file(file, into, sizeof into);
    write_file(odd, "not a header", 12);
    model = must_open(dir, NULL);
    ok(tp_model_find_file(model, "b.safetensors", &n) && model->files[n].problem &&
           tp_model_opaque(model, n) == 12,
       "a file that is not what its name says has a reason and no tensors");
    if (!tp_model_find_file(model, "a.bin", &n) || truncate(file, 100) < 0)
        bail_out("cannot cut '%s'", file);
    ok(!model->files[n].problem, "other files need no reason");
    is_int(tp_model_read(model, n, 0, into, sizeof into, &err), -EBADMSG,
           "a plain file that has become shorter is an error");
    tp_model_close(model);
    write_file(file, into, 5); /* too short for a header, so opening the model leaves it alone */
    model = must_open(dir, NULL);
    write_file(odd, into, 5);
    if (rename(odd, file) < 0)
        bail_out("cannot replace '%s'", file);
    is_int(tp_model_read(model, n, 0, into, 5, &err), -ESTALE, "so is another file in its place");
    tp_model_close(model);
    is_int(tp_model_open(file, NULL, &model, &err), -EBADMSG, "a file that is no pack is refused");
    free(dir);
    free(file);
    free(odd);
}

int main(void)
{
    struct tp_pack_report report;
    char *base, *tune, *base_pack, *tune_pack;
    struct tp_pack *pack;

    seed = tap_seed();
    scratch = tap_tmpdir();
    base = make_model("base", "--seed=1 --layers=2 --hidden=128 --inter=256 --shards=3");
    tune = make_model("tune", "--seed=1 --noise=0.002 --layers=2 --hidden=128 --inter=256");
    base_pack = in_scratch("base.tnpk");
    tune_pack = in_scratch("tune.tnpk");
    pack = must_pack(base, base_pack, NULL, &report);
    tp_pack_close(must_pack(tune, tune_pack, pack, &report));
    tp_pack_close(pack);
    check_kinds(base, base_pack, "shards");
    check_kinds(tune, tune_pack, "a delta");
    test_lookup(base);
    test_damage(tune, tune_pack);
    test_limits(tune_pack);
    test_changed();
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(scratch);
    free(base);
    free(tune);
    free(base_pack);
    free(tune_pack);
    return tap_done();
}
