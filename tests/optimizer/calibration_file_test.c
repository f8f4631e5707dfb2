/* SPDX-License-Identifier: MIT */
/* The file of a calibration: what is read is what was stored, and damage is found, wherever it is.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/file.h"
#include "base/le.h"
#include "optimizer/quantize/calibration_file.h"
#include "optimizer/quantize/sensitivity.h"
#include "optimizer/runtime/runtime_impl.h"
#include "tests/tap.h"

enum { HEADER = 128, TOKENS = 64 };

static char dir[] = "/tmp/tenpak-test.XXXXXX";
static char path[512]; /* of the file, once there is one */
static struct tp_runtime *rt;
static struct tp_calibration *vectors, *whole; /* without Hessians, with */
static uint8_t hash[TP_SHA256_LEN];
static uint32_t ids[TOKENS];
static struct tp_passage text = {.windows = {.context = 16, .stride = 16, .tokens = TOKENS, .n = 4},
                                 .ids = {.items = ids, .n = TOKENS},
                                 .bos = TP_TOKEN_NONE};

static struct tp_calibration_place place = {dir, hash};

static uint32_t layers(void)
{
    return tp_runtime_arch(rt)->layer_n;
}

/* The statistics of LAYER. */
static void fill(struct tp_calibration *c, uint32_t layer)
{
    for (unsigned i = 0; i < TP_INPUT_COUNT; i++) {
        struct tp_input_statistics *s = &c->inputs[i];
        size_t n = s->cols;

        s->rows = 1000 + layer;
        for (size_t k = 0; k < n; k++) {
            s->diagonal[k] = (float)(layer + k * 0.25);
            s->mean[k] = (float)(i + k * 1e-3);
            s->max[k] = (float)k;
            for (size_t j = 0; s->hessian && j < n; j++)
                s->hessian[k * n + j] = (float)(k * j) * (j % 3 == k % 3 ? 1 : -1) + (float)layer;
        }
    }
}

/* Whether C has what fill(C, LAYER) gives. */
static bool is_layer(const struct tp_calibration *c, uint32_t layer)
{
    struct tp_calibration *want = c->inputs[0].hessian ? whole : vectors;
    bool same = true;

    fill(want, layer);
    for (unsigned i = 0; i < TP_INPUT_COUNT; i++) {
        const struct tp_input_statistics *a = &c->inputs[i], *b = &want->inputs[i];
        size_t n = a->cols * sizeof(float);

        same &= a->rows == b->rows && memcmp(a->diagonal, b->diagonal, n) == 0 &&
                memcmp(a->mean, b->mean, n) == 0 && memcmp(a->max, b->max, n) == 0 &&
                (!a->hessian || memcmp(a->hessian, b->hessian, n * a->cols) == 0);
    }
    return same;
}

static struct tp_calibration *create(unsigned needs)
{
    struct tp_calibration *c;
    struct tp_error err = {0};

    if (tp_calibration_create(rt, needs, &c, &err) < 0)
        bail_out("%s", err.message);
    return c;
}

static int open_it(struct tp_calibration_file *f)
{
    struct tp_error err = {0};

    return tp_calibration_file_open(&place, rt, &text, f, &err);
}

static void store(struct tp_calibration_file *f, struct tp_calibration *c, uint32_t layer)
{
    fill(c, layer);
    tp_calibration_file_store(f, layer, c);
}

/* A whole file, or one with vectors only. */
static void make(bool hessians)
{
    struct tp_calibration_file f;

    unlink(path);
    if (open_it(&f) != 0 || f.fd < 0)
        bail_out("cannot make a file in %s", dir);
    snprintf(path, sizeof path, "%s", f.path);
    for (uint32_t l = 0; l < layers(); l++)
        store(&f, hessians ? whole : vectors, l);
    tp_calibration_file_close(&f);
}

static off_t size_of(void)
{
    struct stat st;

    return stat(path, &st) < 0 ? -1 : st.st_size;
}

/* Load all layers that F has: the number of wrong ones. Damage is no error, and ends it. */
static unsigned load_all(struct tp_calibration_file *f, bool hessians)
{
    struct tp_calibration *c = create(hessians ? TP_QUANT_NEEDS_HESSIAN : 0);
    unsigned wrong = 0;

    for (uint32_t l = 0; l < tp_calibration_file_count(f, hessians); l++) {
        struct tp_error err = {0};
        int rc = tp_calibration_file_load(f, l, c, &err);

        if (rc == 0)
            wrong += !is_layer(c, l);
        else
            wrong += rc != -EBADMSG || !strstr(err.message, f->path) ||
                     tp_calibration_file_count(f, hessians) != l;
    }
    tp_calibration_destroy(c);
    return wrong;
}

static void test_whole(void)
{
    struct tp_calibration_file f, other;

    make(false);
    is_int(open_it(&f), 0, "a file of vectors");
    is_int(tp_calibration_file_count(&f, false), layers(), "has all layers");
    is_int(tp_calibration_file_count(&f, true), 0, "and no Hessian");
    is_int(load_all(&f, false), 0, "which are right");
    store(&f, whole, 1);
    is_int(tp_calibration_file_count(&f, true), 0, "a layer that is not the next is not stored");
    store(&f, whole, 0);
    store(&f, whole, 1);
    is_int(tp_calibration_file_count(&f, true), 2, "Hessians are added to it");
    tp_calibration_file_close(&f);
    open_it(&f);
    is_int(tp_calibration_file_count(&f, true), 2, "and are there later");
    is_int(load_all(&f, true), 0, "and right");
    for (uint32_t l = 2; l < layers(); l++)
        store(&f, whole, l);
    tp_calibration_file_close(&f);
    open_it(&f);
    open_it(&other);
    is_int(tp_calibration_file_count(&f, true), layers(), "a whole file");
    is_int(tp_calibration_file_count(&other, true), layers(), "is for several readers");
    is_int(load_all(&f, true) + load_all(&other, true) + load_all(&f, false), 0, "of all kinds");
    tp_calibration_file_close(&other);
    tp_calibration_file_close(&f);
}

/* What a process was killed in the middle of, or a disk has lost. */
static void test_cut(void)
{
    unsigned wrong = 0, most = 0;
    off_t size, step;

    make(true);
    size = size_of();
    step = size / 211 | 1;
    for (off_t at = size - 1; at >= 0; at -= at < 2 * HEADER ? 1 : step) {
        struct tp_calibration_file f;
        uint32_t n;
        int rc;

        make(true);
        if (truncate(path, at) < 0)
            bail_out("cannot truncate");
        rc = open_it(&f);
        n = tp_calibration_file_count(&f, true);
        wrong += (rc != 0) != (at > 0 && at < HEADER) || n >= layers() || load_all(&f, true) != 0;
        most = n > most ? n : most;
        for (uint32_t l = tp_calibration_file_count(&f, true); l < layers(); l++)
            store(&f, whole, l);
        wrong += tp_calibration_file_count(&f, true) != layers() || load_all(&f, true) != 0;
        tp_calibration_file_close(&f);
        wrong += size_of() != size;
    }
    is_int(wrong, 0, "a file that is cut has the layers before, and is completed");
    is_int(most, layers() - 1, "all but the last at most");
}

static void flip(off_t at)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;

    if (fd < 0 || pread(fd, &byte, 1, at) != 1 || (byte ^= 0x10, pwrite(fd, &byte, 1, at) != 1))
        bail_out("cannot change a byte");
    close(fd);
}

/* No byte that is changed is read as a number, and the next pass repairs it. */
static void test_damage(void)
{
    unsigned wrong = 0, found = 0, tries = 0;
    struct tp_calibration_file f;
    off_t size, step, headers;

    make(true);
    open_it(&f);
    headers = (off_t)f.begin[1];
    tp_calibration_file_close(&f);
    size = size_of();
    step = size / 307 | 1;
    for (off_t at = 0; at < size; tries++) {
        int rc;

        flip(at);
        rc = open_it(&f);
        wrong += load_all(&f, true);
        found += rc != 0 || tp_calibration_file_count(&f, true) < layers();
        for (uint32_t l = tp_calibration_file_count(&f, true); l < layers(); l++)
            store(&f, whole, l);
        tp_calibration_file_close(&f);
        wrong += open_it(&f) != 0 || tp_calibration_file_count(&f, true) != layers() ||
                 load_all(&f, true) != 0 || tp_calibration_file_count(&f, true) != layers();
        tp_calibration_file_close(&f);
        at += at < 2 * HEADER || (at >= headers && at < headers + HEADER) ? 1 : step;
    }
    is_int(wrong, 0, "damage is found and repaired");
    ok(found > tries / 2, "in %u of %u places; the others are padding", found, tries);
}

/* Put NUMBER in the place of the first diagonal, and ROWS of its input, with right hashes. */
static void forge(float number, uint64_t rows)
{
    size_t len = vectors->inputs[0].cols * 3 * sizeof(float);
    uint8_t *data = malloc(HEADER + len);
    int fd = open(path, O_RDWR);
    uint64_t hashes[2] = {0};

    if (!data || fd < 0 || pread(fd, data, HEADER + len, HEADER) != (ssize_t)(HEADER + len))
        bail_out("cannot read %s", path);
    memcpy(data + HEADER, &number, sizeof number);
    hashes[1] = tp_xxh3(data + HEADER, len);
    tp_put_le64(data + 8, rows);
    tp_put_le64(data + 16, tp_xxh3(hashes, sizeof hashes));
    tp_put_le64(data + 72, tp_xxh3(data, 72));
    if (pwrite(fd, data, HEADER + len, HEADER) != (ssize_t)(HEADER + len))
        bail_out("cannot write %s", path);
    close(fd);
    free(data);
}

/* Numbers that no calibration has, behind right hashes. */
static void test_forged(void)
{
    static const struct {
        float number;
        uint64_t rows;
        int rc;
    } cases[] = {{1, 1, 0},
                 {NAN, 1, -EBADMSG},
                 {INFINITY, 1, -EBADMSG},
                 {-1, 1, -EBADMSG},
                 {1, 0, -EBADMSG}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tp_calibration_file f;
        struct tp_error err = {0};

        make(true);
        forge(cases[i].number, cases[i].rows);
        is_int(open_it(&f), 0, "a file with right hashes");
        is_int(tp_calibration_file_load(&f, 0, vectors, &err), cases[i].rc,
               cases[i].rc ? "is damaged if it has such a number" : "is read");
        tp_calibration_file_close(&f);
    }
}

/* A file that belongs to something else is not used, and is made anew. */
static void test_foreign(void)
{
    struct tp_calibration_file f;
    struct tp_buffer bytes = {0};
    char first[sizeof path];

    make(true);
    memcpy(first, path, sizeof path);
    if (tp_file_read_all(AT_FDCWD, path, SIZE_MAX, &bytes, NULL) < 0)
        bail_out("cannot read %s", path);
    ids[TOKENS / 2]++;
    open_it(&f);
    ok(strcmp(f.path, first) != 0, "another text has another file");
    is_int(tp_calibration_file_count(&f, false), 0, "which is empty");
    snprintf(path, sizeof path, "%s", f.path);
    tp_calibration_file_close(&f);
    if (tp_file_replace(path, bytes.data, bytes.len, 0600, NULL) < 0)
        bail_out("cannot write %s", path);
    is_int(open_it(&f), -EBADMSG, "that of the first in its place is refused");
    is_int(tp_calibration_file_count(&f, false), 0, "and has nothing");
    tp_calibration_file_close(&f);
    is_int(open_it(&f), 0, "once");
    tp_calibration_file_close(&f);
    unlink(path);
    ids[TOKENS / 2]--;
    text.windows.n--;
    open_it(&f);
    ok(f.path && strcmp(f.path, first) != 0, "so have fewer windows");
    unlink(f.path);
    tp_calibration_file_close(&f);
    text.windows.n++;
    hash[7] ^= 1;
    open_it(&f);
    ok(f.path && strcmp(f.path, first) != 0, "and another model");
    unlink(f.path);
    tp_calibration_file_close(&f);
    hash[7] ^= 1;
    tp_buffer_clear(&bytes);
    memcpy(path, first, sizeof path);
}

/* Two passes at once: the second one does without, and neither disturbs the other. */
static void test_together(void)
{
    struct tp_calibration_file one, two;

    unlink(path);
    open_it(&one);
    store(&one, whole, 0);
    is_int(open_it(&two), 0, "another pass");
    is_int(two.fd, -1, "does without the file that is written");
    is_int(tp_calibration_file_count(&two, false), 0, "which is as none");
    store(&two, whole, 0);
    is_int(tp_calibration_file_count(&two, false), 0, "where nothing is stored");
    tp_calibration_file_close(&two);
    unlink(path);
    for (uint32_t l = 1; l < layers(); l++)
        store(&one, whole, l);
    is_int(load_all(&one, true), 0, "a file that is removed stays whole for its user");
    tp_calibration_file_close(&one);
    make(true);
    open_it(&one);
    open_it(&two);
    flip(size_of() - 4);
    is_int(load_all(&one, true) + load_all(&two, true), 0, "both of two readers find damage");
    tp_calibration_file_close(&one);
    is_int(open_it(&one), 0, "a third reader");
    tp_calibration_file_close(&one);
    tp_calibration_file_close(&two);
}

static void test_no_place(void)
{
    struct tp_calibration_place nowhere = {NULL, hash}, missing = {"/nonexistent", hash};
    struct tp_calibration_file f;
    char folder[64];

    is_int(tp_calibration_file_open(&nowhere, rt, &text, &f, NULL), 0, "no directory is no error");
    is_int(f.fd, -1, "there is no file then");
    tp_calibration_file_close(&f);
    is_int(tp_calibration_file_open(&missing, rt, &text, &f, NULL), 0, "nor is a missing one");
    tp_calibration_file_close(&f);
    unlink(path);
    if (mkfifo(path, 0600) < 0)
        bail_out("cannot make a pipe");
    is_int(open_it(&f), 0, "nor a pipe in its place");
    is_int(f.fd, -1, "which is not used");
    tp_calibration_file_close(&f);
    unlink(path);
    snprintf(folder, sizeof folder, "%s/target", dir);
    if (symlink(folder, path) < 0)
        bail_out("cannot make a link");
    is_int(open_it(&f), 0, "nor a link");
    ok(f.fd == -1 && access(folder, F_OK) < 0, "which is not followed");
    tp_calibration_file_close(&f);
    unlink(path);
}

/* A write fails: the space is given back, and the rest of the pass is as without a file. */
static void test_full(void)
{
    struct rlimit old, small;
    struct tp_calibration_file f;

    make(false);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){.rlim_cur = (rlim_t)size_of() + 3000, .rlim_max = old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    open_it(&f);
    setrlimit(RLIMIT_FSIZE, &small);
    store(&f, whole, 0);
    setrlimit(RLIMIT_FSIZE, &old);
    is_int(size_of(), 0, "a file that cannot be written is emptied");
    is_int(tp_calibration_file_count(&f, false), 0, "and has nothing");
    store(&f, whole, 0);
    is_int(size_of(), 0, "nor is it tried again");
    tp_calibration_file_close(&f);
    open_it(&f);
    fill(whole, 0);
    whole->inputs[1].hessian[3] = NAN;
    tp_calibration_file_store(&f, 0, whole);
    is_int(tp_calibration_file_count(&f, false), 0, "what is not a number is not stored");
    tp_calibration_file_close(&f);
}

/* Shapes whose Hessians no file can have. */
static void test_absurd(void)
{
    struct tp_arch arch = rt->arch;
    struct tp_calibration_file f;

    rt->arch.inter = UINT32_MAX;
    is_int(open_it(&f), 0, "a matrix of 2^64 bytes and more");
    is_int(f.fd, -1, "has no file");
    tp_calibration_file_close(&f);
    rt->arch.inter = 1u << 30;
    rt->arch.layer_n = UINT32_MAX;
    is_int(open_it(&f), 0, "nor have so many layers");
    is_int(f.fd, -1, "a file");
    tp_calibration_file_close(&f);
    rt->arch = arch;
    rt->arch.inter *= 8;
    open_it(&f);
    ok(f.fd >= 0 && !f.keeps_hessians, "Hessians far larger than the model are not kept");
    unlink(f.path);
    tp_calibration_file_close(&f);
    rt->arch = arch;
}

/* --- What forms cost --- */

enum { OPTIONS = 5, BACK = 3 };

static int load_options(struct tp_option *got)
{
    struct tp_error err = {0};

    return tp_sensitivity_load(&place, rt, &text, BACK, got, OPTIONS, &err);
}

static void store_options(const struct tp_option *options)
{
    tp_sensitivity_store(&place, rt, &text, BACK, options, OPTIONS);
}

/* The one file in the folder of calibrations. */
static void find_file(void)
{
    const struct dirent *entry;
    struct tp_dir list;

    snprintf(path, sizeof path, "%s/.tenpak/calibration", dir);
    tp_dir_open(&list, AT_FDCWD, path);
    while ((entry = tp_dir_next(&list)))
        snprintf(path, sizeof path, "%s/.tenpak/calibration/%s", dir, entry->d_name);
    tp_dir_close(&list);
}

static void test_options(void)
{
    const struct tp_calibration_place nowhere = {NULL, hash};
    struct tp_option options[OPTIONS], got[OPTIONS];
    unsigned wrong = 0;
    off_t size;

    for (unsigned i = 0; i < OPTIONS; i++)
        options[i] = (struct tp_option){1000 * i + 64, 0.5 / (i + 1)};
    is_int(load_options(got), -ENOENT, "what forms cost is not kept");
    store_options(options);
    is_int(load_options(got), 0, "it is");
    is_mem(got, options, sizeof got, "as it was stored");
    is_int(tp_sensitivity_load(&place, rt, &text, BACK + 1, got, OPTIONS, NULL), -ENOENT,
           "not for other windows");
    is_int(tp_sensitivity_load(&nowhere, rt, &text, BACK, got, OPTIONS, NULL), -ENOENT,
           "nor without a directory");
    is_int(tp_sensitivity_load(&place, rt, &text, BACK, got, OPTIONS - 1, NULL), -EBADMSG,
           "nor of another model");
    find_file();
    size = size_of();
    for (off_t at = 0; at < size; at++) {
        flip(at);
        wrong += load_options(got) != -EBADMSG;
        flip(at);
        wrong += load_options(got) != 0 || truncate(path, at) < 0;
        wrong += load_options(got) != -EBADMSG;
        store_options(options);
    }
    is_int(wrong, 0, "every damage is found, and what is stored then is right");
    options[2].loss = INFINITY;
    store_options(options);
    is_int(load_options(got), -EBADMSG, "a loss is a number");
    options[2] = (struct tp_option){UINT64_MAX / 2, 1};
    store_options(options);
    is_int(load_options(got), -EBADMSG, "sums of bytes do not overflow");
    unlink(path);
}

static void test_sweep(void)
{
    const struct timespec old[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    struct tp_calibration_file f;

    make(true);
    tp_calibration_sweep(dir, 1);
    ok(size_of() > 0, "a file that was used is not swept");
    open_it(&f);
    utimensat(AT_FDCWD, path, old, 0);
    tp_calibration_sweep(dir, 1);
    ok(size_of() > 0, "nor one that is in use");
    tp_calibration_file_close(&f);
    open_it(&f);
    tp_calibration_file_close(&f);
    tp_calibration_sweep(dir, 1);
    ok(size_of() > 0, "using it is what counts");
    utimensat(AT_FDCWD, path, old, 0);
    tp_calibration_sweep(dir, 1);
    ok(size_of() < 0, "an old one is");
    tp_calibration_sweep("/nonexistent", 1);
}

int main(void)
{
    const char *top = getenv("top_srcdir");
    struct tp_runtime_options options = {.threads = 1};
    struct tp_model *model;
    struct tp_error err = {0};
    char source[4096];

    snprintf(source, sizeof source, "%s/demo/models/base", top ? top : ".");
    if (!mkdtemp(dir) || tp_model_open(source, NULL, &model, &err) < 0 ||
        tp_runtime_open(model, &options, &rt, &err) < 0)
        bail_out("%s", err.message);
    vectors = create(0);
    whole = create(TP_QUANT_NEEDS_HESSIAN);
    test_whole();
    test_cut();
    test_damage();
    test_forged();
    test_foreign();
    test_together();
    test_no_place();
    test_full();
    test_absurd();
    test_sweep();
    test_options();
    tp_calibration_destroy(vectors);
    tp_calibration_destroy(whole);
    tp_runtime_close(rt);
    tp_model_close(model);
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    return tap_done();
}
