/* SPDX-License-Identifier: MIT */
/*
 * Packs of all kinds of model directories: unpacking gives the original, and packing the same bytes
 * every time.
 */
#include <config.h>

#include "base/progress.h"
#include "tests/store/model.h"

static struct tp_pack *base;
static char *base_dir;

static void make_base(void)
{
    struct tp_pack_report report;
    char *out = in_scratch("base.tnpk");

    base_dir = make_model("base", "--seed=1");
    base = must_pack(base_dir, out, NULL, &report);
    ok(report.stored_bytes < report.logical_bytes * 3 / 4, "a base takes less than three quarters");
    ok(report.codec_chunks[TP_CODEC_SPLIT] > 0, "its tensors are split");
    check_restores(base, base_dir, "base");
    free(out);
}

/* A fine-tune made with OPTIONS must restore, and take at most PERCENT of its size. */
static void check_tune(const char *name, const char *options, unsigned percent)
{
    struct tp_pack_report report;
    char *dir = make_model(name, options), *out = in_scratch("%s.tnpk", name);
    struct tp_pack *pack = must_pack(dir, out, base, &report);

    check_restores(pack, dir, name);
    if (!ok(report.stored_bytes * 100 <= report.logical_bytes * percent, "%s: at most %u %%", name,
            percent))
        diag("%" PRIu64 " of %" PRIu64, report.stored_bytes, report.logical_bytes);
    tp_pack_close(pack);
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    unlink(out);
    free(dir);
    free(out);
}

static void test_tunes(void)
{
    check_tune("copy", "--seed=1", 3);
    check_tune("tune", "--seed=1 --noise=0.002", 40);
    check_tune("sparse", "--seed=1 --noise=0.1 --sparse=0.01", 16);
    check_tune("frozen", "--seed=1 --noise=0.002 --frozen-layers=1", 35);
    check_tune("sharded", "--seed=1 --noise=0.002 --shards=3", 45);
    check_tune("reversed", "--seed=1 --noise=0.002 --reverse", 45);
    check_tune("vocabulary", "--seed=1 --noise=0.002 --extra-rows=7", 45);
    check_tune("missing", "--seed=1 --noise=0.002 --drop=layers.1", 50);
    check_tune("added", "--seed=1 --noise=0.002 --add=extra.weight", 50);
    check_tune("fp32", "--seed=1 --noise=0.002 --dtype=F32 --base-dtype=BF16", 75);
    check_tune("fp16", "--seed=1 --noise=0.002 --dtype=F16 --base-dtype=BF16", 75);
    check_tune("every", "--seed=1 --noise=0.002 --every-dtype", 60);
    check_tune("other", "--seed=2", 90);
}

/* The base's tensors under other names: found by what they hold. */
static void test_renamed(void)
{
    struct tp_pack_report report;
    char *dir = make_model("renamed", "--seed=1"), *out = in_scratch("renamed.tnpk"), *command;
    struct tp_pack *pack;

    if (asprintf(&command, "LC_ALL=C sed -i '1s/\"model\\./\"modex./g' '%s/model.safetensors'",
                 dir) < 0 ||
        system(command) != 0)
        bail_out("cannot rename tensors");
    pack = must_pack(dir, out, base, &report);
    check_restores(pack, dir, "renamed");
    ok(report.tensor_stored_bytes == 0, "renamed tensors of equal content take nothing");
    tp_pack_close(pack);
    free(command);
    free(dir);
    free(out);
}

/* Anything that may lie in a model directory. */
static char *make_nasty(void)
{
    char *dir = in_scratch("nasty"), *p, name[256], *command;
    static const char invalid[] = "\x10\0\0\0\0\0\0\0{\"a\":{\"dtype\":1}}";
    uint8_t noise[70000];
    uint64_t seed = 7;

    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)tap_random(&seed);
    free(make_model("nasty", "--seed=3 --every-dtype --shards=2"));
    memset(name, 'n', 255);
    name[255] = '\0';
    p = in_scratch("nasty/%s", name);
    write_file(p, noise, sizeof noise);
    free(p);
    p = in_scratch("nasty/broken.safetensors");
    write_file(p, invalid, sizeof invalid - 1);
    free(p);
    p = in_scratch("nasty/tiny.safetensors");
    write_file(p, "x", 1);
    free(p);
    if (asprintf(
            &command,
            "cd '%s' && mkdir -p 'sub dir/deeper' hollow 'sub dir-x' && printf 'print(1)\\n' > "
            "'sub dir/run.py' && "
            "chmod 755 'sub dir/run.py' && : > empty && : > empty.safetensors && : > 'sub "
            "dir/deeper/\xc3\xa9\xe6\xbc\xa2' && "
            "printf 'x' > 'new\nline' && printf 'y' > '-f \"quoted\" \\ back' && printf '\\377' > "
            "$(printf '\\377\\376') && "
            "ln -s config.json link && ln -s /nowhere/at/all absolute && ln -s gone dangling && "
            "ln -s ../.. 'sub dir/up' && cp config.json 'sub dir/again.json' && cp model-00001* "
            "'sub dir/copy.safetensors' && "
            "head -c 600000 /dev/zero > zeros.bin && chmod 600 zeros.bin && chmod 444 config.json "
            "&& "
            "touch -h -d '1969-12-31 23:59:58.123456789 UTC' link && touch -d '2038-01-20 "
            "01:02:03.000000001 UTC' empty && "
            "touch -d '2001-02-03 04:05:06.789 UTC' 'sub dir/deeper' && chmod 2750 'sub "
            "dir/deeper' && "
            "chmod 750 hollow && touch -d '2011-11-11 11:11:11.5 UTC' hollow . && chmod 751 .",
            dir) < 0)
        bail_out("memory");
    if (system(command) != 0)
        bail_out("failed: %s", command);
    free(command);
    return dir;
}

static void test_nasty(void)
{
    struct tp_pack_report report;
    char *dir = make_nasty(), *out = in_scratch("nasty.tnpk");
    struct tp_pack *pack = must_pack(dir, out, NULL, &report);
    const struct tp_index *x = tp_pack_index(pack);
    const struct tp_pack_file *f = tp_index_find(x, "broken.safetensors");

    check_restores(pack, dir, "nasty");
    ok(f && f->segment_n == 1 && x->segments[f->segment_first].dtype == TP_DTYPE_BYTES,
       "an invalid safetensors file is kept as bytes");
    f = tp_index_find(x, "link");
    ok(f && f->type == TP_ENTRY_SYMLINK && strcmp(f->target, "config.json") == 0,
       "a link is kept as a link");
    ok(tp_index_find(x, "sub dir/deeper/\xc3\xa9\xe6\xbc\xa2") != NULL, "a UTF-8 name is found");
    ok(tp_index_find(x, "sub dir/none") == NULL, "a name that is not there is not found");
    ok(report.codec_chunks[TP_CODEC_SAME] >= 2, "copies within the model are references");
    tp_pack_close(pack);
    free(dir);
    free(out);
}

static void test_determinism(void)
{
    char *dir = make_model("again", "--seed=1 --noise=0.01 --every-dtype --hidden=128"),
         *first = NULL;
    struct tp_buffer want = {0};
    static const unsigned threads[] = {1, 2, 5, 16, 64};

    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        char *out = in_scratch("again-%u.tnpk", threads[i]);
        struct tp_pack_report report;
        struct tp_error err = {0};
        struct tp_buffer got;

        if (!ok(pack_model(dir, out, base, threads[i], &report, &err) == 0, "%u threads",
                threads[i]))
            diag("%s", err.message);
        got = read_file(out);
        if (!first) {
            want = got;
            first = out;
            continue;
        }
        ok(got.len == want.len && memcmp(got.data, want.data, got.len) == 0,
           "%u threads give the same bytes", threads[i]);
        tp_buffer_clear(&got);
        free(out);
    }
    tp_buffer_clear(&want);
    free(first);
    free(dir);
}

/* A base with a base: the second fine-tune is packed against the first. */
static void test_chain(void)
{
    struct tp_pack_report report;
    char *one = make_model("one", "--seed=1 --noise=0.002 --extra-rows=5");
    char *two =
        make_model("two", "--seed=1 --noise=0.002 --extra-rows=9 --dtype=F32 --base-dtype=BF16");
    char *one_out = in_scratch("one.tnpk"), *two_out = in_scratch("two.tnpk"),
         *hidden = in_scratch("hidden");
    struct tp_pack *first = must_pack(one, one_out, base, &report);
    struct tp_pack *second = must_pack(two, two_out, first, &report);
    struct tp_pack *orphan = NULL;
    char *base_path = in_scratch("base.tnpk");
    struct tp_verify_report verified;
    struct tp_error err = {0};

    check_restores(second, two, "a chain of two bases");
    ok(tp_pack_base(second) && tp_pack_base(tp_pack_base(second)) && !tp_pack_base_error(second)[0],
       "both bases were found");
    tp_pack_close(second);
    tp_pack_close(first);

    rename(base_path, hidden);
    ok(tp_store_open_path(NULL, two_out, &orphan, &err) == 0,
       "a pack opens though a base is absent");
    has(tp_pack_base_error(orphan), "'base'", "and names the absent one");
    is_int(tp_pack_verify(orphan, 2, NULL, NULL, NULL, &verified, &err), -ENOLINK,
           "verifying says so");
    tp_pack_close(orphan);
    rename(hidden, base_path);
    free(one);
    free(two);
    free(one_out);
    free(two_out);
    free(hidden);
    free(base_path);
}

static void test_refusals(void)
{
    struct tp_pack_report report;
    struct tp_error err = {0};
    atomic_int stop = 1;
    struct tp_progress progress = {.cancel = &stop};
    struct tp_pack_options o = {.threads = 2, .progress = &progress};
    char *out = in_scratch("refused.tnpk"), *there = in_scratch("base.tnpk"),
         *fifo = in_scratch("base/fifo");

    is_int(tp_pack_write(base_dir, there, &o, &report, &err), -EEXIST,
           "an existing file is not overwritten");
    is_int(tp_pack_write(base_dir, out, &o, &report, &err), -ECANCELED, "cancelling ends it");
    o.progress = NULL;
    o.codec = "no-such";
    is_int(tp_pack_write(base_dir, out, &o, &report, &err), -EINVAL, "an unknown codec is refused");
    o.codec = "delta";
    is_int(tp_pack_write(base_dir, out, &o, &report, &err), -EINVAL,
           "delta without a base is refused");
    o.codec = NULL;
    o.zstd_level = 23;
    is_int(tp_pack_write(base_dir, out, &o, &report, &err), -ERANGE, "zstd level 23 is refused");
    o.zstd_level = 0;
    mkfifo(fifo, 0600);
    is_int(tp_pack_write(base_dir, out, &o, &report, &err), -EINVAL,
           "a fifo in the model is refused");
    has(err.message, "fifo", "and named");
    unlink(fifo);
    ok(access(out, F_OK) < 0 && nothing_hidden(scratch), "none of them leaves a file");
    free(out);
    free(there);
    free(fifo);
}

struct meddler {
    char *path;
    bool done;
};

/* Change the source while it is packed. */
static void meddle(void *arg, const char *stage, uint64_t done, uint64_t total)
{
    struct meddler *m = arg;

    (void)stage, (void)done, (void)total;
    if (!m->done)
        write_file(m->path, "changed", 7);
    m->done = true;
}

static void test_changes(void)
{
    struct meddler m = {.path = in_scratch("base/config.json")};
    struct tp_progress progress = {.update = meddle, .arg = &m};
    struct tp_pack_options o = {.threads = 2, .progress = &progress};
    struct tp_pack_report report;
    struct tp_error err = {0};
    char *out = in_scratch("changed.tnpk");

    is_int(tp_pack_write(base_dir, out, &o, &report, &err), -EBUSY,
           "a source that changes is noticed");
    ok(access(out, F_OK) < 0 && nothing_hidden(scratch), "and leaves no file");
    free(m.path);
    free(out);
}

static void test_codec_option(void)
{
    static const char *const names[] = {"raw", "zstd", "split", "delta", "sparse"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct tp_pack_options o = {
            .threads = 2, .base = base, .base_name = "base", .codec = names[i]};
        char *dir = make_model("option", "--seed=1 --noise=0.002"),
             *out = in_scratch("option.tnpk");
        struct tp_pack_report report;
        struct tp_error err = {0};
        unsigned others = 0;

        if (!ok(tp_pack_write(dir, out, &o, &report, &err) == 0, "codec=%s", names[i]))
            diag("%s", err.message);
        for (unsigned id = TP_CODEC_SPLIT; id < TP_CODEC_COUNT; id++)
            others += strcmp(tp_codec_name(id), names[i]) != 0 && report.codec_chunks[id];
        ok(others == 0, "codec=%s: no other tensor codec is used", names[i]);
        unlink(out);
        free(dir);
        free(out);
    }
}

/* A program that ends on a signal does not wait for an index. */
static void test_cancel(void)
{
    static atomic_int cancel = 1;
    char *out = in_scratch("base.tnpk");
    struct tp_pack *pack = NULL;
    struct tp_error err = {0};

    tp_cancel_watch(&cancel);
    is_int(tp_pack_open(out, NULL, &pack, &err), -ECANCELED, "opening a pack is cancelled");
    ok(!pack, "and gives no pack");
    atomic_store(&cancel, 0);
    is_int(tp_pack_open(out, NULL, &pack, &err), 0, "a flag that is not set changes nothing");
    tp_pack_close(pack);
    tp_cancel_watch(NULL);
    free(out);
}

int main(void)
{
    scratch = tap_tmpdir();
    make_base();
    test_cancel();
    test_tunes();
    test_renamed();
    test_nasty();
    test_determinism();
    test_chain();
    test_codec_option();
    test_refusals();
    test_changes();
    tp_pack_close(base);
    free(base_dir);
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(scratch);
    return tap_done();
}
