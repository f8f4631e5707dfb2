/* SPDX-License-Identifier: MIT */
/*
 * Packs of each format that were written once and must stay readable: tests/golden/vN, with the
 * SHA-256 of each of their files. "golden_test --make DIR" adds what DIR lacks (only for a new
 * format or new codecs).
 */
#include <config.h>

#include <dirent.h>
#include <sys/xattr.h>

#include "store/model.h"
#include "tests/store/model.h"

#define SHAPE "--layers=1 --hidden=32 --inter=64 --vocab=192 --tokenizer=700"

static const struct {
    const char *name, *base, *codec, *options;
    const char *second; /* the directory holds two models: one of these options, and this one,
                           predicted by it */
    bool dressed;       /* it has links, a hole and attributes */
} packs[] = {
    {"base", NULL, NULL, "--seed=1 " SHAPE},
    {"tune", "base", NULL, "--seed=1 --noise=0.002 --extra-rows=9 " SHAPE},
    {"sparse", "base", "sparse", "--seed=1 --noise=0.3 --sparse=0.004 --shards=2 " SHAPE},
    {"fp32", "tune", NULL,
     "--seed=1 --noise=0.002 --dtype=F32 --base-dtype=BF16 --extra-rows=9 " SHAPE},
    {"every", NULL, NULL,
     "--seed=2 --every-dtype --layers=1 --hidden=16 --inter=32 --vocab=64 --tokenizer=300"},
    /* Since format 2: */
    {"pair", "base", NULL, "--seed=1 --noise=0.1 " SHAPE,
     "--seed=1 --noise=0.1 --dtype=F32 --base-dtype=BF16 " SHAPE},
    {"dressed", "base", NULL, "--seed=1 --noise=0.1 " SHAPE, NULL, true},
};
enum { PACK_N_V1 = 5 };
enum { PACK_N = sizeof packs / sizeof packs[0] };

/* "SHA256  PACK/FILE" for each file of a pack. */
static void list_files(struct tp_buffer *list, const char *name, struct tp_pack *pack)
{
    const struct tp_index *x = tp_pack_index(pack);

    for (uint32_t i = 0; i < x->file_n; i++) {
        char hex[TP_SHA256_HEX];

        if (x->files[i].type != TP_ENTRY_FILE)
            continue;
        tp_hex(x->files[i].sha256, TP_SHA256_LEN, hex);
        tp_buffer_appendf(list, "%s  %s/%s\n", hex, name, x->files[i].path);
    }
}

/* Both files have the same tensors, in the same order, from the end of their headers on. */
static bool predict_second(void *arg, const char *path, const struct tp_model_tensor *t,
                           struct tp_sibling *out)
{
    static struct {
        bool seen;
        uint64_t data_off;
    } first, second;

    (void)arg;
    if (strcmp(path, "a/model.safetensors") == 0 && !first.seen)
        first.seen = true, first.data_off = t->off;
    if (strcmp(path, "b/model.safetensors") != 0)
        return false;
    if (!second.seen)
        second.seen = true, second.data_off = t->off;
    *out = (struct tp_sibling){"a/model.safetensors",
                               first.data_off + (t->off - second.data_off) / 2, TP_DTYPE_BF16};
    return true;
}

static char *make_pair(const char *name, const char *first, const char *second)
{
    char *dir = in_scratch("%s", name), *a, *b;

    if (asprintf(&a, "%s/a", name) < 0 || asprintf(&b, "%s/b", name) < 0 || mkdir(dir, 0755) < 0)
        bail_out("cannot make '%s'", dir);
    free(make_model(a, first));
    free(make_model(b, second));
    free(a);
    free(b);
    return dir;
}

static void set_attribute(const char *path, const char *name, const void *value, size_t len)
{
    if (setxattr(path, name, value, len, 0) < 0)
        bail_out("cannot set '%s' of '%s'", name, path);
}

/* What is not bytes, modes and times. */
static void dress(const char *dir)
{
    /* The owner 7, user 4001 5, the group 5, the mask 5, others 0. */
    static const uint8_t list[] = {2,   0,   0,   0,   1,  0, 7, 0, 255, 255, 255, 255, 2,  0, 5, 0,
                                   161, 15,  0,   0,   4,  0, 5, 0, 255, 255, 255, 255, 16, 0, 5, 0,
                                   255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255};
    static const char end[] = "the end";
    char *sub, *again, *config, *sparse;
    int fd;

    if (asprintf(&sub, "%s/sub", dir) < 0 || asprintf(&again, "%s/config.json", sub) < 0 ||
        asprintf(&config, "%s/config.json", dir) < 0 || asprintf(&sparse, "%s/sparse", dir) < 0)
        bail_out("memory");
    if (mkdir(sub, 0750) < 0 || link(config, again) < 0 ||
        (fd = open(sparse, O_WRONLY | O_CREAT, 0640)) < 0 ||
        pwrite(fd, end, sizeof end, 300000) != sizeof end || close(fd) < 0)
        bail_out("cannot make links and holes in '%s'", dir);
    set_attribute(config, "user.note", "kept", 4);
    set_attribute(config, "user.empty", "", 0);
    set_attribute(sparse, "system.posix_acl_access", list, sizeof list);
    set_attribute(sub, "system.posix_acl_default", list, sizeof list);
    set_attribute(dir, "user.model", "dressed", 7);
    free(sub);
    free(again);
    free(config);
    free(sparse);
}

/* That PACK has what dress gave its model. */
static void check_dressed(struct tp_pack *pack)
{
    const struct tp_index *x = tp_pack_index(pack);
    const struct tp_pack_file *again = tp_index_find(x, "sub/config.json");
    const struct tp_pack_file *sparse = tp_index_find(x, "sparse");

    ok(again && again->link != TP_NONE && strcmp(x->files[again->link].path, "config.json") == 0,
       "a file has two names");
    ok(sparse && sparse->sparse, "and one a hole");
    is_int(x->attr_n, 5, "attributes are kept");
    is_int(x->root_attr_n, 1, "one of the model itself");
    ok(x->attr_n == 5 && strcmp(x->attrs[0].name, "user.empty") == 0 &&
           strcmp(x->attrs[1].name, "user.note") == 0 && x->attrs[1].len == 4 &&
           memcmp(x->attrs[1].value, "kept", 4) == 0,
       "with names and values");
}

static int make(const char *dir)
{
    struct tp_buffer list = {0};

    scratch = tap_tmpdir();
    for (size_t i = 0; i < PACK_N; i++) {
        struct tp_pack_report report;
        struct tp_pack *base = NULL, *pack;
        struct tp_pack_options o = {.codec = packs[i].codec, .base_name = packs[i].base};
        struct tp_error err;
        char *model = packs[i].second ? make_pair(packs[i].name, packs[i].options, packs[i].second)
                                      : make_model(packs[i].name, packs[i].options);
        char *out, *base_path = NULL;

        if (asprintf(&out, "%s/%s.tnpk", dir, packs[i].name) < 0 ||
            asprintf(&base_path, "%s/%s.tnpk", dir, packs[i].base ? packs[i].base : "") < 0)
            bail_out("memory");
        if (packs[i].base && tp_store_open_path(NULL, base_path, &base, &err) < 0)
            bail_out("%s", err.message);
        o.base = base;
        if (packs[i].dressed)
            dress(model);
        if (packs[i].second)
            o.sibling = predict_second;
        if ((access(out, F_OK) < 0 && tp_pack_write(model, out, &o, &report, &err) < 0) ||
            tp_store_open_path(NULL, out, &pack, &err) < 0)
            bail_out("%s", err.message);
        list_files(&list, packs[i].name, pack);
        tp_pack_close(pack);
        tp_pack_close(base);
        free(model);
        free(out);
        free(base_path);
    }
    char *sums;
    if (asprintf(&sums, "%s/SHA256SUMS", dir) < 0)
        bail_out("memory");
    write_file(sums, list.data, list.len);
    free(sums);
    tp_buffer_clear(&list);
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(scratch);
    return 0;
}

static void check(const char *top, unsigned version)
{
    struct tp_buffer list = {0}, want;
    uint64_t used[TP_CODEC_COUNT] = {0};
    char *dir, *sums;

    if (asprintf(&dir, "%s/tests/golden/v%u", top, version) < 0 ||
        asprintf(&sums, "%s/SHA256SUMS", dir) < 0)
        bail_out("memory");
    want = read_file(sums);
    for (size_t i = 0; i < (version == 1 ? PACK_N_V1 : PACK_N); i++) {
        struct tp_verify_report report;
        struct tp_error err = {0};
        struct tp_pack *pack;
        char *path;

        if (asprintf(&path, "%s/%s.tnpk", dir, packs[i].name) < 0)
            bail_out("memory");
        if (!ok(tp_store_open_path(NULL, path, &pack, &err) == 0, "%s of format %u opens",
                packs[i].name, version))
            bail_out("%s", err.message);
        is_int(tp_pack_index(pack)->version, version, "and says so");
        if (!ok(tp_pack_verify(pack, 1, NULL, NULL, NULL, &report, &err) == 0,
                "%s decodes to the same files", packs[i].name))
            diag("%s", err.message);
        list_files(&list, packs[i].name, pack);
        if (packs[i].dressed)
            check_dressed(pack);
        for (uint32_t c = 0; c < tp_pack_index(pack)->chunk_n; c++)
            used[tp_pack_index(pack)->chunks[c].codec]++;
        tp_pack_close(pack);
        free(path);
    }
    ok(list.len == want.len && memcmp(list.data, want.data, want.len) == 0,
       "their files are those of SHA256SUMS");
    for (unsigned id = 0; id < TP_CODEC_QUANT; id++)
        ok(used[id] > 0, "%s is among their codecs", tp_codec_name(id));
    tp_buffer_clear(&list);
    tp_buffer_clear(&want);
    free(dir);
    free(sums);
}

int main(int argc, char **argv)
{
    const char *top = getenv("top_srcdir");

    if (argc == 3 && strcmp(argv[1], "--make") == 0)
        return make(argv[2]);
    for (unsigned version = 1; version <= TP_PACK_VERSION; version++)
        check(top ? top : ".", version);
    return tap_done();
}
