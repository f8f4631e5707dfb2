/* SPDX-License-Identifier: MIT */
/* The file of quantized layers: what is read is what was put, after an interruption and with
 * damage. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "optimizer/quantize/layers.h"
#include "tests/tap.h"

enum { LAYERS = 3, N = 37 };

static char folder[] = "/tmp/tenpak-test.XXXXXX";
static char path[64];

/* What comes out of a file. */
struct got {
    uint16_t values[2 * N];
    uint64_t n;
    unsigned tensors;
};

static int get_matrix(void *arg, const struct tp_quant_matrix *m, struct tp_error *err)
{
    (void)arg;
    (void)m;
    return tp_fail(err, EINVAL, "a matrix was not put");
}

static int get_values(void *arg, const uint16_t *bf16, uint64_t n, struct tp_error *err)
{
    struct got *got = arg;

    if (got->n + n > 2 * N)
        return tp_fail(err, EINVAL, "too many");
    if (n)
        memcpy(got->values + got->n, bf16, n * sizeof *bf16);
    got->n += n;
    got->tensors++;
    return 0;
}

/* Two tensors of layer LAYER, and one without elements. */
static int put(struct tp_layer_file *file, uint32_t layer, bool whole, struct tp_error *err)
{
    struct tp_tensor_output out = tp_layer_file_output(file);
    uint16_t values[2 * N];
    int rc = tp_layer_file_begin(file, err);

    for (unsigned i = 0; i < 2 * N; i++)
        values[i] = (uint16_t)(1000 * layer + i);
    if (rc == 0)
        rc = out.put_values(out.arg, values, N, err);
    if (rc == 0)
        rc = out.put_values(out.arg, values, 0, err);
    if (rc == 0)
        rc = out.put_values(out.arg, values + N, N, err);
    return rc == 0 && whole ? tp_layer_file_end(file, 1.5, err) : rc;
}

static int read_layer(struct tp_layer_file *file, uint32_t layer, struct tp_error *err)
{
    struct got got = {.n = 0};
    struct tp_tensor_output to = {get_matrix, get_values, &got};
    int rc = tp_layer_file_put(file, layer, &to, err);

    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < 2 * N; i++)
        if (got.values[i] != 1000 * layer + i)
            return -EIO;
    return got.n == 2 * N && got.tensors == 3 ? 0 : -EIO;
}

static void must_open(struct tp_layer_file *file, uint32_t most)
{
    struct tp_error err = {0};

    if (tp_layer_file_open(path, false, most, file, &err) < 0)
        bail_out("%s", err.message);
}

static void make(void)
{
    struct tp_layer_file file;
    struct tp_error err = {0};

    unlink(path);
    must_open(&file, LAYERS);
    for (uint32_t i = 0; i < LAYERS; i++)
        if (put(&file, i, true, &err) < 0)
            bail_out("%s", err.message);
    tp_layer_file_close(&file);
}

static void test_whole(void)
{
    struct tp_layer_file file;

    make();
    must_open(&file, LAYERS);
    is_int(file.n, LAYERS, "all layers are there");
    ok(tp_layer_file_seconds(&file) == 4.5, "the file has the seconds of its layers");
    for (uint32_t i = LAYERS; i-- > 0;)
        ok(read_layer(&file, i, NULL) == 0, "layer %u", i);
    tp_layer_file_close(&file);
    must_open(&file, 2);
    is_int(file.n, 2, "no more than the model has");
    tp_layer_file_close(&file);
}

/* A file that ends anywhere has the layers before. */
static void test_cut(void)
{
    struct tp_layer_file file;
    struct tp_error err = {0};
    unsigned wrong = 0;
    struct stat st;
    off_t each;

    make();
    if (stat(path, &st) < 0)
        bail_out("cannot stat");
    each = st.st_size / LAYERS;
    for (off_t size = st.st_size; size >= 0; size -= 13) {
        if (truncate(path, size) < 0)
            bail_out("cannot truncate");
        must_open(&file, LAYERS);
        wrong += file.n != size / each;
        for (uint32_t i = 0; i < file.n; i++)
            wrong += read_layer(&file, i, NULL) != 0;
        tp_layer_file_close(&file);
    }
    is_int(wrong, 0, "a file that is cut has its whole layers");
    make();
    must_open(&file, LAYERS);
    file.n = 1; /* as if the others had not been ended */
    is_int(put(&file, 7, false, &err), 0, "a layer is put without its end");
    tp_layer_file_close(&file);
    must_open(&file, LAYERS);
    is_int(file.n, 1, "a layer without its end is not there");
    is_int(put(&file, 1, true, &err), 0, "the layer is put again");
    is_int(read_layer(&file, 1, &err), 0, "the layer put again is read");
    tp_layer_file_close(&file);
}

/* Each byte that is changed is padding, or makes a layer damaged or absent; none is read wrong. */
static void test_damage(void)
{
    unsigned wrong = 0, found = 0;
    struct stat st;

    make();
    if (stat(path, &st) < 0)
        bail_out("cannot stat");
    for (off_t at = 0; at < st.st_size; at++) {
        struct tp_layer_file file;
        uint8_t byte;
        int fd;

        make();
        fd = open(path, O_RDWR);
        if (fd < 0 || pread(fd, &byte, 1, at) != 1 || (byte ^= 0x10, pwrite(fd, &byte, 1, at) != 1))
            bail_out("cannot change a byte");
        close(fd);
        must_open(&file, LAYERS);
        found += file.n < LAYERS;
        for (uint32_t i = 0; i < file.n; i++) {
            struct tp_error err = {0};
            int rc = read_layer(&file, i, &err);

            if (rc == 0)
                continue;
            found++;
            wrong += rc != -EBADMSG || file.n != i || !strstr(err.message, path);
        }
        tp_layer_file_close(&file);
        must_open(&file, LAYERS);
        for (uint32_t i = 0; i < file.n; i++)
            wrong += read_layer(&file, i, NULL) != 0;
        tp_layer_file_close(&file);
    }
    is_int(wrong, 0, "damage is found, named and cut off");
    ok(found > st.st_size / 3, "in %u of %u places", found, (unsigned)st.st_size);
}

static void test_unnamed(void)
{
    struct tp_layer_file file;
    struct tp_error err = {0};

    unlink(path);
    is_int(tp_layer_file_open(path, true, LAYERS, &file, &err), 0, "a file without a name");
    ok(access(path, F_OK) < 0, "has none");
    is_int(put(&file, 0, true, &err), 0, "a layer");
    is_int(read_layer(&file, 0, &err), 0, "is read");
    tp_layer_file_close(&file);
    is_int(tp_layer_file_open("/nonexistent/x", false, LAYERS, &file, &err), -ENOENT,
           "no directory");
    tp_layer_file_close(&file);
}

int main(void)
{
    if (!mkdtemp(folder))
        bail_out("cannot make a directory");
    snprintf(path, sizeof path, "%s/x.layers", folder);
    test_whole();
    test_cut();
    test_damage();
    test_unnamed();
    unlink(path);
    rmdir(folder);
    return tap_done();
}
