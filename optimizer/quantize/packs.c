/* SPDX-License-Identifier: MIT */
/* One pass over the layers of a model, which makes packs by several recipes. */
#include <config.h>

#include "optimizer/quantize/packs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/size.h"
#include "optimizer/quantize/tensors.h"
#include "store/names.h"

#define WRITER_BYTES ((uint64_t)8 << 20) /* what a pack takes while it is written */

/* The activations of the windows of the calibration. */
struct rows {
    uint64_t windows;
    uint64_t group;   /* windows in memory at a time */
    size_t window;    /* elements of a window */
    float *memory;    /* of a group */
    int fd;           /* all windows; -1: they are in memory */
    uint32_t *tokens; /* of a group */
    struct tp_window *list;
};

struct passing {
    struct tp_subject *subject;
    struct tp_runtime *rt;
    const struct tp_quantize_options *options;
    struct tp_quantize_pack *packs;
    struct tp_lossy **writers; /* NULL: failed */
    size_t n;
    struct tp_quantize_seconds *seconds;
    struct tp_calibration *calibration; /* NULL: no recipe needs it */
    struct rows rows;
    struct tp_error *err;
};

bool tp_quantize_needs_calibration(const struct tp_quantize_pack *packs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tp_recipe_needs(packs[i].recipe))
            return true;
    return false;
}

static unsigned needs_of(const struct passing *p)
{
    unsigned needs = 0;

    for (size_t i = 0; i < p->n; i++)
        needs |= tp_recipe_needs(p->packs[i].recipe);
    return needs;
}

static int check_cancelled(const struct passing *p)
{
    const struct tp_progress *progress = p->options->progress;

    return progress && progress->cancel && atomic_load(progress->cancel)
               ? tp_fail(p->err, ECANCELED, "cancelled")
               : 0;
}

/* PART of layer NUMBER is done. */
static void show_progress(const struct passing *p, uint32_t number, double part)
{
    const struct tp_progress *progress = p->options->progress;
    uint64_t bytes = tp_runtime_weight_bytes(p->rt);
    double done = (number + part) / tp_runtime_arch(p->rt)->layer_n;

    if (progress && progress->update)
        progress->update(progress->arg, "quantize", (uint64_t)(done * (double)bytes), bytes);
}

/* --- Activations --- */

static int transfer(struct passing *p, uint64_t first, uint64_t n, bool write)
{
    struct rows *r = &p->rows;
    uint8_t *data = (uint8_t *)r->memory;
    uint64_t off = first * r->window * sizeof(float), len = n * r->window * sizeof(float);

    if (r->fd < 0)
        return 0;
    if (!write)
        return tp_file_pread(r->fd, data, len, off, "the activations", p->err);
    while (len > 0) {
        ssize_t done = pwrite(r->fd, data, len, (off_t)off);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done < 0 ? errno : ENOSPC;
            return tp_fail_errno(p->err, "cannot write activations beside '%s'", p->packs[0].path);
        }
        data += done;
        off += (uint64_t)done;
        len -= (uint64_t)done;
    }
    return 0;
}

/* The tokens of N windows from number FIRST on. */
static void list_windows(struct rows *r, const struct tp_passage *passage, uint64_t first,
                         uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        r->list[i] =
            tp_passage_window(passage, first + i, r->tokens + i * passage->windows.context);
}

static int embed_windows(struct passing *p)
{
    struct rows *r = &p->rows;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < r->windows; i += r->group) {
        uint64_t n = r->windows - i < r->group ? r->windows - i : r->group;

        list_windows(r, p->options->calibration, i, n);
        rc = tp_runtime_embed(p->rt, r->list, (uint32_t)n, r->memory, p->err);
        if (rc == 0)
            rc = transfer(p, i, n, true);
    }
    return rc;
}

/* All windows through LAYER. */
static int calibrate(struct passing *p, const struct tp_layer *layer)
{
    struct rows *r = &p->rows;
    double began = tp_seconds();
    int rc = 0;

    if (!p->calibration)
        return 0;
    tp_calibration_begin(p->calibration);
    for (uint64_t i = 0; rc == 0 && i < r->windows; i += r->group) {
        uint64_t n = r->windows - i < r->group ? r->windows - i : r->group;

        rc = check_cancelled(p);
        list_windows(r, p->options->calibration, i, n);
        if (rc == 0)
            rc = transfer(p, i, n, false);
        if (rc == 0)
            rc = tp_runtime_layer(p->rt, layer, r->list, (uint32_t)n, r->memory,
                                  tp_calibration_watch(p->calibration), p->err);
        if (rc == 0)
            rc = transfer(p, i, n, true);
    }
    if (rc == 0)
        rc = tp_calibration_end(p->calibration, p->err);
    p->seconds->calibrate += tp_seconds() - began;
    return rc;
}

/* --- Memory --- */

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What the pass needs at its peak, without the activations. */
static uint64_t count_need(const struct passing *p, uint32_t context)
{
    const struct tp_arch *arch = tp_runtime_arch(p->rt);
    struct tp_runtime_need need;
    uint64_t scratch = 0, step, ends;

    for (size_t i = 0; i < p->n; i++)
        scratch = larger(scratch, tp_quantize_scratch(arch, p->packs[i].recipe));
    tp_runtime_need(p->rt, 1, context, &need);
    /* The layer, and its quantized form; those of 16 bits are as large. */
    step = sum(sum(need.largest_layer, need.largest_layer), sum(scratch, need.scratch));
    step = sum(step, p->calibration ? tp_calibration_bytes(arch, needs_of(p)) : 0);
    /* An end, its numbers in bf16, and its quantized form. */
    ends = sum(larger(need.embedding, need.head), larger(need.embedding, need.head));
    return sum(larger(step, ends), p->n * WRITER_BYTES);
}

/* An unnamed file in the directory of the packs. */
static int open_file(struct passing *p)
{
    char *parent = tp_path_parent(p->packs[0].path);
    int fd = parent ? open(parent, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
    int rc = fd >= 0 ? fd
             : parent
                 ? tp_fail_errno(p->err, "cannot create a file for activations in '%s'", parent)
                 : tp_oom(p->err);

    free(parent);
    return rc;
}

static int allocate_rows(struct passing *p)
{
    const struct tp_passage *passage = p->options->calibration;
    struct rows *r = &p->rows;
    uint64_t context = passage->windows.context, width = tp_runtime_arch(p->rt)->hidden;
    uint64_t left = tp_memory_left(p->options->memory), need = count_need(p, (uint32_t)context);
    uint64_t each = context * (width * sizeof(float) + sizeof *r->tokens) + sizeof *r->list;
    char want[TP_SIZE_TEXT], have[TP_SIZE_TEXT];

    r->windows = passage->windows.n;
    r->window = (size_t)(context * width);
    r->group = need < left ? (left - need) / each : 0;
    if (r->group == 0)
        return tp_fail(p->err, ENOMEM, "quantizing a layer needs %s of memory, and %s is left",
                       tp_size_print(sum(need, each), want), tp_size_print(left, have));
    if (r->group < r->windows) {
        r->fd = open_file(p);
        if (r->fd < 0)
            return r->fd;
    } else {
        r->group = r->windows;
    }
    if (r->group > UINT32_MAX)
        r->group = UINT32_MAX;
    r->memory = malloc(r->group * r->window * sizeof(float));
    r->tokens = malloc(r->group * context * sizeof *r->tokens);
    r->list = malloc(r->group * sizeof *r->list);
    return r->memory && r->tokens && r->list
               ? 0
               : tp_fail(p->err, ENOMEM, "out of memory for the activations");
}

/* --- Packs --- */

/* Whether an error is of one recipe, which the others do not share. */
static bool is_own(int rc)
{
    return rc == -EINVAL || rc == -EOPNOTSUPP;
}

/* Pack I ends with RC. 0: the others go on. */
static int end_pack(struct passing *p, size_t i, int rc, const struct tp_error *err)
{
    tp_lossy_destroy(p->writers[i]);
    p->writers[i] = NULL;
    if (!is_own(rc))
        return tp_fail(p->err, -rc, "%s", err->message);
    p->packs[i].rc = rc;
    p->packs[i].err = *err;
    return 0;
}

static int begin_pack(struct passing *p, size_t i)
{
    struct tp_quantized_tensors tensors;
    struct tp_error err = {0};
    int rc = tp_quantized_tensors(p->rt, p->packs[i].recipe, p->options->embeddings_int8, &tensors,
                                  &err);

    if (rc == 0)
        rc = tp_lossy_create(p->subject->model, p->packs[i].path, tensors.items, tensors.n,
                             tp_runtime_threads(p->rt), &p->writers[i], &err);
    tp_quantized_tensors_clear(&tensors);
    return rc < 0 ? end_pack(p, i, rc, &err) : 0;
}

static int put_ends(struct passing *p, bool head)
{
    double began = tp_seconds();
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        struct tp_error err = {0};

        if (!p->writers[i])
            continue;
        rc = head ? tp_quantized_put_head(p->rt, p->options->embeddings_int8, p->writers[i], &err)
                  : tp_quantized_put_embedding(p->rt, p->options->embeddings_int8, p->writers[i],
                                               &err);
        if (rc < 0)
            rc = end_pack(p, i, rc, &err);
    }
    tp_runtime_drop_ends(p->rt);
    p->seconds->write += tp_seconds() - began;
    return rc;
}

/* LAYER by the recipe of pack I. */
static int put_layer(struct passing *p, size_t i, const struct tp_layer *layer)
{
    struct tp_layer quantized = {0};
    struct tp_error err = {0};
    double began = tp_seconds(), middle;
    int rc = tp_quantize_layer(p->rt, layer, p->packs[i].recipe, p->calibration, &quantized, &err);

    middle = tp_seconds();
    p->packs[i].seconds += middle - began;
    p->seconds->quantize += middle - began;
    if (rc == 0)
        rc = tp_quantized_put_layer(p->rt, &quantized, p->writers[i], &err);
    p->seconds->write += tp_seconds() - middle;
    tp_layer_clear(&quantized);
    return rc < 0 ? end_pack(p, i, rc, &err) : 0;
}

static int do_layer(struct passing *p, uint32_t number)
{
    double began = tp_seconds();
    struct tp_layer layer;
    int rc = tp_runtime_read_layer(p->rt, number, &layer, p->err);

    if (rc < 0)
        return rc;
    p->seconds->read += tp_seconds() - began;
    tp_runtime_prefetch_layer(p->rt, number + 1);
    show_progress(p, number, 0);
    rc = calibrate(p, &layer);
    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        show_progress(p, number, (i + 1.0) / (double)(p->n + 1));
        rc = check_cancelled(p);
        if (rc == 0 && p->writers[i])
            rc = put_layer(p, i, &layer);
    }
    tp_layer_clear(&layer);
    return rc;
}

static int finish_packs(struct passing *p)
{
    double began = tp_seconds();
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        struct tp_pack_report report;

        if (!p->writers[i])
            continue;
        rc = tp_lossy_finish(p->writers[i], &report, p->err);
        if (rc == 0)
            p->packs[i].bytes = report.stored_bytes;
    }
    for (size_t i = 0; rc < 0 && i < p->n; i++)
        if (p->packs[i].bytes > 0)
            unlink(p->packs[i].path);
    p->seconds->write += tp_seconds() - began;
    return rc;
}

/* --- The pass --- */

static int do_pass(struct passing *p)
{
    uint32_t layers = tp_runtime_arch(p->rt)->layer_n;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < p->n; i++)
        rc = begin_pack(p, i);
    if (rc == 0 && p->calibration)
        rc = embed_windows(p);
    if (rc == 0)
        rc = put_ends(p, false);
    for (uint32_t l = 0; rc == 0 && l < layers; l++)
        rc = do_layer(p, l);
    if (rc == 0)
        rc = put_ends(p, true);
    return rc == 0 ? finish_packs(p) : rc;
}

int tp_quantize_packs(struct tp_subject *subject, const struct tp_quantize_options *options,
                      struct tp_quantize_pack *packs, size_t n, struct tp_quantize_seconds *seconds,
                      struct tp_error *err)
{
    struct passing p = {.subject = subject,
                        .rt = subject->runtime,
                        .options = options,
                        .packs = packs,
                        .writers = calloc(n ? n : 1, sizeof(struct tp_lossy *)),
                        .n = n,
                        .seconds = seconds,
                        .rows.fd = -1,
                        .err = err};
    int rc = p.writers ? 0 : tp_oom(err);

    for (size_t i = 0; i < n; i++) {
        packs[i].rc = 0;
        packs[i].bytes = 0;
        packs[i].seconds = 0;
    }
    if (rc == 0 && tp_quantize_needs_calibration(packs, n)) {
        rc = allocate_rows(&p);
        if (rc == 0)
            rc = tp_calibration_create(p.rt, needs_of(&p), &p.calibration, err);
    }
    if (rc == 0)
        rc = do_pass(&p);
    for (size_t i = 0; p.writers && i < n; i++)
        tp_lossy_destroy(p.writers[i]);
    free(p.writers);
    tp_calibration_destroy(p.calibration);
    tp_runtime_drop_ends(p.rt);
    free(p.rows.memory);
    free(p.rows.tokens);
    free(p.rows.list);
    if (p.rows.fd >= 0)
        close(p.rows.fd);
    if (rc < 0 && rc != -ECANCELED)
        tp_error_prefix(err, "'%s'", subject->name);
    return rc;
}
