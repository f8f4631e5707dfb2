/* SPDX-License-Identifier: MIT */
/* The file of a calibration. */
#include <config.h>

#include "optimizer/quantize/calibration_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/isa.h"
#include "base/le.h"
#include "codec/quant/hessian.h"
#include "optimizer/quantize/recipe.h"
#include "optimizer/runtime/runtime_impl.h"
#include "store/private.h"

#define FOLDER "calibration"
#define MAGIC 0x31464354u /* "TCF1" */
#define BUFFER ((size_t)1 << 20)
enum { HEADER = 128, HEADER_HASHED = 56, RECORD_HASHED = 72 };

static const uint32_t magics[TP_CALIBRATION_PARTS] = {0x31564354u /* "TCV1" */,
                                                      0x31484354u /* "TCH1" */};

/* --- Numbers, in pieces of the buffer --- */

struct stream {
    struct tp_calibration_file *file;
    bool writes;
    uint64_t at, left; /* of the piece in the file; bytes that are read after it */
    size_t used, end;  /* bytes of the piece that were moved, that it has */
    uint64_t hash;     /* of the pieces before */
    bool strange;      /* a number cannot be of sums over finite inputs */
};

/* Write the piece, or read the next one. */
static int change_piece(struct stream *s)
{
    struct tp_calibration_file *f = s->file;
    uint64_t hashes[2] = {s->hash, 0};
    int rc;

    if (s->writes) {
        rc = tp_file_pwrite(f->fd, f->buffer, s->used, s->at, f->path, NULL);
        s->at += s->used;
        hashes[1] = tp_xxh3(f->buffer, s->used);
    } else {
        s->end = s->left < BUFFER ? (size_t)s->left : BUFFER;
        rc = tp_file_pread(f->fd, f->buffer, s->end, s->at, f->path, NULL);
        s->at += s->end;
        s->left -= s->end;
        hashes[1] = rc == 0 ? tp_xxh3(f->buffer, s->end) : 0;
    }
    s->used = 0;
    s->hash = tp_xxh3(hashes, sizeof hashes);
    return rc;
}

static int move_numbers(struct stream *s, float *numbers, size_t n, bool positive)
{
    int rc = 0;

    for (size_t i = 0, some; i < n; i += some) {
        uint8_t *piece;

        if (s->used == s->end && (rc = change_piece(s)) < 0)
            break;
        piece = (uint8_t *)s->file->buffer + s->used;
        some = (s->end - s->used) / sizeof *numbers;
        some = n - i < some ? n - i : some;
        memcpy(s->writes ? piece : (void *)(numbers + i), s->writes ? (void *)(numbers + i) : piece,
               some * sizeof *numbers);
        s->used += some * sizeof *numbers;
    }
    for (size_t i = 0; rc == 0 && i < n; i++)
        s->strange |= !isfinite(numbers[i]) || (positive && numbers[i] < 0);
    return rc;
}

/* The arrays that PART has of one input. */
static int move_arrays(struct stream *s, const struct tp_input_statistics *in,
                       enum tp_calibration_part part)
{
    size_t cols = in->cols;
    int rc = 0;

    if (part == TP_CALIBRATION_VECTORS) {
        rc = move_numbers(s, in->diagonal, cols, true);
        if (rc == 0)
            rc = move_numbers(s, in->mean, cols, true);
        return rc == 0 ? move_numbers(s, in->max, cols, true) : rc;
    }
    for (size_t i = 0; rc == 0 && i < cols; i++)
        rc = move_numbers(s, in->hessian + i * cols + i, cols - i, false);
    return rc;
}

/* How many numbers these are. */
static uint64_t count_numbers(uint64_t cols, enum tp_calibration_part part)
{
    return part == TP_CALIBRATION_VECTORS ? 3 * cols : cols * (cols + 1) / 2;
}

/* --- Records --- */

/* The arrays of a record. */
struct record {
    uint64_t rows[TP_INPUT_COUNT], hashes[TP_INPUT_COUNT];
};

static uint64_t place_of(const struct tp_calibration_file *f, enum tp_calibration_part part,
                         uint32_t layer)
{
    return f->begin[part] + layer * f->record[part];
}

static int write_record(struct tp_calibration_file *f, enum tp_calibration_part part,
                        uint32_t layer, const struct record *r)
{
    uint8_t data[HEADER] = {0};

    tp_put_le32(data, magics[part]);
    tp_put_le32(data + 4, layer);
    for (unsigned i = 0; i < TP_INPUT_COUNT; i++) {
        tp_put_le64(data + 8 + 16 * i, r->rows[i]);
        tp_put_le64(data + 16 + 16 * i, r->hashes[i]);
    }
    tp_put_le64(data + RECORD_HASHED, tp_xxh3(data, RECORD_HASHED));
    return tp_file_pwrite(f->fd, data, HEADER, place_of(f, part, layer), f->path, NULL);
}

/* 1: it is there; 0: nothing is there; -EBADMSG: it is damaged. */
static int read_record(const struct tp_calibration_file *f, enum tp_calibration_part part,
                       uint32_t layer, struct record *out)
{
    static const uint8_t zeros[HEADER];
    uint64_t at = place_of(f, part, layer);
    uint8_t data[HEADER] = {0};
    struct stat st;

    if (fstat(f->fd, &st) < 0 || !tp_range_within(at, f->record[part], (uint64_t)st.st_size) ||
        tp_file_pread(f->fd, data, HEADER, at, f->path, NULL) < 0 || !memcmp(data, zeros, HEADER))
        return 0;
    if (tp_get_le64(data + RECORD_HASHED) != tp_xxh3(data, RECORD_HASHED) ||
        tp_get_le32(data) != magics[part] || tp_get_le32(data + 4) != layer)
        return -EBADMSG;
    for (unsigned i = 0; i < TP_INPUT_COUNT; i++) {
        out->rows[i] = tp_get_le64(data + 8 + 16 * i);
        out->hashes[i] = tp_get_le64(data + 16 + 16 * i);
    }
    return 1;
}

static int load_part(struct tp_calibration_file *f, enum tp_calibration_part part, uint32_t layer,
                     struct tp_calibration *c)
{
    struct stream s = {.file = f, .at = place_of(f, part, layer) + HEADER};
    struct record r;
    int rc = read_record(f, part, layer, &r) == 1 ? 0 : -EBADMSG;

    for (unsigned i = 0; rc == 0 && i < TP_INPUT_COUNT; i++) {
        struct tp_input_statistics *in = &c->inputs[i];

        s.left = count_numbers(in->cols, part) * sizeof(float);
        s.used = s.end = 0;
        s.hash = 0;
        in->rows = r.rows[i];
        rc = move_arrays(&s, in, part);
        if (rc == 0 && (s.hash != r.hashes[i] || s.strange || in->rows == 0))
            rc = -EBADMSG;
    }
    return rc;
}

static int store_part(struct tp_calibration_file *f, enum tp_calibration_part part, uint32_t layer,
                      const struct tp_calibration *c)
{
    struct stream s = {
        .file = f, .writes = true, .at = place_of(f, part, layer) + HEADER, .end = BUFFER};
    struct record r;
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < TP_INPUT_COUNT; i++) {
        s.hash = 0;
        rc = move_arrays(&s, &c->inputs[i], part);
        if (rc == 0)
            rc = change_piece(&s);
        r.rows[i] = c->inputs[i].rows;
        r.hashes[i] = s.hash;
    }
    return rc < 0 ? rc : s.strange ? -EDOM : write_record(f, part, layer, &r);
}

/* --- Layers --- */

uint32_t tp_calibration_file_count(const struct tp_calibration_file *f, bool hessians)
{
    uint32_t n = f->n[TP_CALIBRATION_VECTORS];

    return hessians && f->n[TP_CALIBRATION_HESSIANS] < n ? f->n[TP_CALIBRATION_HESSIANS] : n;
}

static bool has_hessians(const struct tp_calibration *c)
{
    return c->inputs[0].hessian;
}

/* LAYER of PART is damaged: take its record away, if no other process reads the file. */
static void remove_record(struct tp_calibration_file *f, enum tp_calibration_part part,
                          uint32_t layer)
{
    static const uint8_t zeros[HEADER];

    f->n[part] = layer;
    f->writable |= f->fd >= 0 && flock(f->fd, LOCK_EX | LOCK_NB) == 0;
    if (f->writable)
        tp_file_pwrite(f->fd, zeros, HEADER, place_of(f, part, layer), f->path, NULL);
}

/* It cannot be written: give its space back. What a disk keeps nevertheless has hashes. */
static void give_up(struct tp_calibration_file *f)
{
    (void)!ftruncate(f->fd, 0);
    memset(f->n, 0, sizeof f->n);
    f->writable = false;
}

int tp_calibration_file_load(struct tp_calibration_file *f, uint32_t layer,
                             struct tp_calibration *c, struct tp_error *err)
{
    bool hessians = has_hessians(c);
    int rc = load_part(f, TP_CALIBRATION_VECTORS, layer, c);

    if (rc < 0) {
        remove_record(f, TP_CALIBRATION_VECTORS, layer);
    } else if (hessians) {
        rc = load_part(f, TP_CALIBRATION_HESSIANS, layer, c);
        if (rc < 0)
            remove_record(f, TP_CALIBRATION_HESSIANS, layer);
    }
    if (rc < 0)
        return tp_fail(err, EBADMSG,
                       "the statistics of layer %" PRIu32 " in '%s' are damaged, and are "
                       "computed again",
                       layer, f->path);
    for (unsigned i = 0; hessians && i < TP_INPUT_COUNT; i++)
        tp_hessian_mirror(c->inputs[i].hessian, c->inputs[i].cols);
    return 0;
}

void tp_calibration_file_store(struct tp_calibration_file *f, uint32_t layer,
                               const struct tp_calibration *c)
{
    bool keep[TP_CALIBRATION_PARTS] = {f->writable,
                                       f->writable && f->keeps_hessians && has_hessians(c)};
    int rc = 0;

    for (unsigned part = 0; rc == 0 && part < TP_CALIBRATION_PARTS; part++)
        if (keep[part] && f->n[part] == layer) {
            rc = store_part(f, part, layer, c);
            f->n[part] += rc == 0;
        }
    if (rc < 0)
        give_up(f);
}

/* --- The file --- */

/* Find the records. -EBADMSG: one was damaged, and is taken away. */
static int count_records(struct tp_calibration_file *f)
{
    int damage = 0;

    for (unsigned part = 0; part < TP_CALIBRATION_PARTS; part++) {
        struct record r;
        int rc = 1;

        while (f->n[part] < f->layers && (rc = read_record(f, part, f->n[part], &r)) == 1)
            f->n[part]++;
        if (rc < 0) {
            remove_record(f, part, f->n[part]);
            damage = rc;
        }
    }
    return damage;
}

/* The places of records. False: the model has matrices of an absurd size. */
static bool plan_places(struct tp_calibration_file *f, const struct tp_arch *arch)
{
    uint64_t end = HEADER, bytes;

    f->layers = arch->layer_n;
    for (unsigned part = 0; part < TP_CALIBRATION_PARTS; part++) {
        f->begin[part] = end;
        f->record[part] = HEADER;
        for (unsigned i = 0; i < TP_INPUT_COUNT; i++)
            if (!tp_mul_u64(count_numbers(tp_input_width(arch, i), part), sizeof(float), &bytes) ||
                !tp_add_u64(f->record[part], bytes, &f->record[part]))
                return false;
        if (!tp_mul_u64(f->record[part], f->layers, &bytes) || !tp_add_u64(end, bytes, &end))
            return false;
    }
    return end <= INT64_MAX;
}

/* Whether there may be Hessians: see the header. */
static bool may_keep_hessians(const struct tp_calibration_file *f, struct tp_runtime *rt)
{
    uint64_t all = f->record[1] * f->layers, missing = f->record[1] * (f->layers - f->n[1]), free;
    struct statvfs st;

    return all / 2 <= tp_runtime_weight_bytes(rt) && fstatvfs(f->fd, &st) == 0 &&
           tp_mul_u64(st.f_bavail, st.f_frsize, &free) && missing <= free / 2;
}

int tp_calibration_key(const struct tp_calibration_place *place, const struct tp_runtime *rt,
                       const struct tp_passage *text, uint8_t key[TP_SHA256_LEN])
{
    const struct tp_windows *w = &text->windows;
    char model[TP_SHA256_HEX], tokens[TP_SHA256_HEX];
    uint8_t hash[TP_SHA256_LEN];
    tp_autofree char *all = NULL;

    tp_hex(place->model, TP_SHA256_LEN, model);
    if (tp_sha256(text->ids.items, text->ids.n * sizeof *text->ids.items, hash) < 0)
        return -ENOMEM;
    tp_hex(hash, TP_SHA256_LEN, tokens);
    all = tp_format("tenpak " PACKAGE_VERSION " %d\n%s\n%s %d %" PRIu32 " %" PRIu32 " %" PRIu64
                    " %" PRIu32 "\n%d %d %s\n",
                    TP_QUANTIZE_REVISION, model, tokens, w->convention, w->context, w->stride, w->n,
                    text->bos, rt->dtype, rt->products, tp_isa_name(tp_isa_get()));
    return all ? tp_sha256(all, strlen(all), key) : -ENOMEM;
}

char *tp_calibration_path(const struct tp_calibration_place *place, const char *name)
{
    tp_autoclose int folder = place->dir ? tp_private_enter(place->dir, FOLDER, true) : -ENOENT;

    return folder < 0 ? NULL : tp_format("%s/" TP_PRIVATE "/" FOLDER "/%s", place->dir, name);
}

static void make_header(const struct tp_calibration_file *f, const struct tp_arch *arch,
                        const uint8_t key[TP_SHA256_LEN], uint8_t out[HEADER])
{
    memset(out, 0, HEADER);
    tp_put_le32(out, MAGIC);
    tp_put_le32(out + 4, f->layers);
    for (unsigned i = 0; i < TP_INPUT_COUNT; i++)
        tp_put_le32(out + 8 + 4 * i, tp_input_width(arch, i));
    memcpy(out + 24, key, TP_SHA256_LEN);
    tp_put_le64(out + HEADER_HASHED, tp_xxh3(out, HEADER_HASHED));
}

/* Lock F: to write, or else to read. False: another process writes. */
static bool lock_file(struct tp_calibration_file *f)
{
    f->writable = flock(f->fd, LOCK_EX | LOCK_NB) == 0;
    return f->writable || flock(f->fd, LOCK_SH | LOCK_NB) == 0;
}

/* Open the file KEY, which may be new. False: nothing is kept. */
static bool open_file(struct tp_calibration_file *f, const struct tp_calibration_place *place,
                      const char *key)
{
    tp_autoclose int folder = tp_private_enter(place->dir, FOLDER, true);
    struct stat st;

    f->path = tp_calibration_path(place, key);
    f->buffer = malloc(BUFFER);
    if (folder < 0 || !f->path || !f->buffer)
        return false;
    f->fd = openat(folder, key, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (f->fd < 0)
        f->fd = openat(folder, key, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode) || !lock_file(f))
        return false;
    futimens(f->fd, NULL); /* when it was used last */
    return true;
}

/* Compare the header, or write it into a file without one. -EBADMSG: it is another one. */
static int check_header(struct tp_calibration_file *f, const struct tp_arch *arch,
                        const uint8_t key[TP_SHA256_LEN])
{
    uint8_t want[HEADER], have[HEADER];
    struct stat st;
    int rc = 0;

    make_header(f, arch, key, want);
    if (fstat(f->fd, &st) == 0 && st.st_size > 0) {
        if (tp_file_pread(f->fd, have, HEADER, 0, f->path, NULL) == 0 &&
            !memcmp(have, want, HEADER))
            return 0;
        rc = -EBADMSG;
    }
    if (f->writable &&
        (ftruncate(f->fd, 0) < 0 || tp_file_pwrite(f->fd, want, HEADER, 0, f->path, NULL) < 0))
        give_up(f);
    return rc;
}

int tp_calibration_file_open(const struct tp_calibration_place *place, struct tp_runtime *rt,
                             const struct tp_passage *text, struct tp_calibration_file *out,
                             struct tp_error *err)
{
    const struct tp_arch *arch = tp_runtime_arch(rt);
    uint8_t key[TP_SHA256_LEN];
    char name[TP_SHA256_HEX];
    int rc, damage;

    *out = (struct tp_calibration_file){.fd = -1};
    if (!place->dir || !plan_places(out, arch) || tp_calibration_key(place, rt, text, key) < 0)
        return 0;
    tp_hex(key, TP_SHA256_LEN, name);
    if (!open_file(out, place, name)) {
        tp_calibration_file_close(out);
        return 0;
    }
    rc = check_header(out, arch, key);
    damage = rc == 0 ? count_records(out) : rc;
    out->keeps_hessians = may_keep_hessians(out, rt);
    /* What has nothing to be added is for all readers. */
    if (out->n[0] == out->layers && (out->n[1] == out->layers || !out->keeps_hessians)) {
        flock(out->fd, LOCK_SH | LOCK_NB);
        out->writable = false;
    }
    return damage < 0 ? tp_fail(err, EBADMSG, "'%s' is damaged, and is made again", out->path) : 0;
}

void tp_calibration_file_close(struct tp_calibration_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    free(f->buffer);
    *f = (struct tp_calibration_file){.fd = -1};
}

static void sweep(int folder, const char *name, time_t before)
{
    tp_autoclose int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_mtime < before &&
        flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(folder, name, 0);
}

void tp_calibration_sweep(const char *dir, unsigned days)
{
    tp_private_sweep(dir, FOLDER, days, sweep);
}
