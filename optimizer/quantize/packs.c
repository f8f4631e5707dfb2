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
#include "optimizer/quantize/layers.h"
#include "store/names.h"

#define WRITER_BYTES ((uint64_t)16 << 20) /* what a pack takes while it is written */

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
    struct tp_layer_file *files;
    size_t n;
    struct tp_quantize_cost *cost;
    unsigned needs;                     /* of the recipes that lack layers */
    struct tp_calibration *calibration; /* NULL: no recipe needs it */
    struct tp_calibration_file kept;
    struct rows rows;
    struct tp_error *err;
};

/* PART of TOTAL, in bytes of the original. */
static void show_progress(const struct passing *p, const char *stage, double part, double total)
{
    uint64_t bytes = tp_runtime_weight_bytes(p->rt);

    tp_progress_update(p->options->progress, stage, (uint64_t)(part / total * (double)bytes),
                       bytes);
}

static uint32_t count_layers(const struct passing *p)
{
    return tp_runtime_arch(p->rt)->layer_n;
}

/* What the recipes need that lack layers; 0: no calibration. */
static unsigned needs_of(const struct passing *p)
{
    unsigned needs = 0;

    for (size_t i = 0; i < p->n; i++)
        if (p->files[i].n < count_layers(p))
            needs |= tp_recipe_needs(p->packs[i].recipe);
    return needs;
}

/* The first layer that a pack lacks. */
static uint32_t find_first(const struct passing *p)
{
    uint32_t first = count_layers(p);

    for (size_t i = 0; i < p->n; i++)
        if (p->files[i].n < first)
            first = p->files[i].n;
    return first;
}

/* --- Activations --- */

static int transfer(struct passing *p, uint64_t first, uint64_t n, bool write)
{
    const struct rows *r = &p->rows;
    uint64_t off = first * r->window * sizeof(float);
    size_t len = (size_t)n * r->window * sizeof(float);

    if (r->fd < 0)
        return 0;
    return write ? tp_file_pwrite(r->fd, r->memory, len, off, "the activations", p->err)
                 : tp_file_pread(r->fd, r->memory, len, off, "the activations", p->err);
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

/* All windows through LAYER, with WATCH, which may be NULL. */
static int forward(struct passing *p, const struct tp_layer *layer, const struct tp_watch *watch)
{
    struct rows *r = &p->rows;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < r->windows; i += r->group) {
        uint64_t n = r->windows - i < r->group ? r->windows - i : r->group;

        rc = tp_progress_check(p->options->progress, p->err);
        list_windows(r, p->options->calibration, i, n);
        if (rc == 0)
            rc = transfer(p, i, n, false);
        if (rc == 0)
            rc = tp_runtime_layer(p->rt, layer, r->list, (uint32_t)n, r->memory, watch, p->err);
        if (rc == 0)
            rc = transfer(p, i, n, true);
    }
    return rc;
}

/* --- Statistics --- */

static void note_error(const struct passing *p)
{
    if (p->options->note)
        p->options->note(p->options->arg, p->err->message);
}

static uint32_t count_kept(const struct passing *p, unsigned needs)
{
    return tp_calibration_file_count(&p->kept, needs & TP_QUANT_NEEDS_HESSIAN);
}

/* -EAGAIN: they are damaged, and count as absent from now on. */
static int load_statistics(struct passing *p, uint32_t layer)
{
    int rc = tp_calibration_file_load(&p->kept, layer, p->calibration, p->err);

    if (rc < 0) {
        note_error(p);
        return -EAGAIN;
    }
    p->cost->layers_cached++;
    return 0;
}

static int compute_statistics(struct passing *p, const struct tp_layer *layer)
{
    int rc;

    tp_calibration_begin(p->calibration);
    rc = forward(p, layer, tp_calibration_watch(p->calibration));
    if (rc == 0)
        rc = tp_calibration_end(p->calibration, p->err);
    if (rc == 0)
        tp_calibration_file_store(&p->kept, layer->number, p->calibration);
    return rc;
}

/*
 * The statistics of LAYER, if they are WANTED; the activations for the next layer, if those of this
 * one are there.
 */
static int calibrate(struct passing *p, const struct tp_layer *layer, bool wanted)
{
    double began = tp_seconds();
    bool kept = p->calibration && layer->number < count_kept(p, p->needs);
    int rc = 0;

    if (wanted && kept)
        rc = load_statistics(p, layer->number);
    else if (wanted && p->calibration)
        rc = compute_statistics(p, layer);
    if (rc == 0 && p->rows.memory && (kept || !wanted))
        rc = forward(p, layer, NULL);
    p->cost->calibrate += tp_seconds() - began;
    return rc;
}

/* --- Memory --- */

/* What the pass needs at its peak, without the activations of windows of CONTEXT tokens. */
static uint64_t count_need(const struct passing *p, uint32_t context)
{
    const struct tp_arch *arch = tp_runtime_arch(p->rt);
    struct tp_runtime_need need;
    uint64_t scratch = 0, step, ends;

    for (size_t i = 0; i < p->n; i++)
        scratch = tp_max_u64(scratch, tp_quantize_scratch(arch, p->packs[i].recipe));
    tp_runtime_need(p->rt, 1, context, &need);
    /* The layer, and its quantized form; those of 16 bits are as large. */
    step = tp_sum_u64(tp_sum_u64(need.largest_layer, need.largest_layer),
                      tp_sum_u64(scratch, need.scratch));
    step = tp_sum_u64(step, tp_calibration_bytes(arch, p->needs));
    /* An end, its numbers in bf16, and its quantized form. */
    ends = tp_sum_u64(tp_max_u64(need.embedding, need.head), tp_max_u64(need.embedding, need.head));
    return tp_sum_u64(tp_max_u64(step, ends), WRITER_BYTES);
}

/* An unnamed file in the directory of the packs. */
static int open_file(struct passing *p)
{
    char *parent = tp_path_parent(p->packs[0].path);
    int fd = parent ? tp_file_unnamed(AT_FDCWD, parent, 0600) : -1;
    int rc = fd >= 0 ? fd
             : parent
                 ? tp_fail_errno(p->err, "cannot create a file for activations in '%s'", parent)
                 : tp_oom(p->err);

    free(parent);
    return rc;
}

static int check_memory(const struct passing *p, uint64_t need, uint64_t left)
{
    char want[TP_SIZE_TEXT], have[TP_SIZE_TEXT];

    return need <= left
               ? 0
               : tp_fail(p->err, ENOMEM, "quantizing a layer needs %s of memory, and %s is left",
                         tp_size_print(need, want), tp_size_print(left, have));
}

static int allocate_rows(struct passing *p)
{
    const struct tp_passage *passage = p->options->calibration;
    struct rows *r = &p->rows;
    uint64_t context = passage->windows.context, width = tp_runtime_arch(p->rt)->hidden;
    uint64_t left = tp_memory_left(p->options->memory), need = count_need(p, (uint32_t)context);
    uint64_t each = context * (width * sizeof(float) + sizeof *r->tokens) + sizeof *r->list;
    int rc = check_memory(p, tp_sum_u64(need, each), left);

    if (rc < 0)
        return rc;
    r->windows = passage->windows.n;
    r->window = (size_t)(context * width);
    r->group = (left - need) / each;
    if (r->group > UINT32_MAX)
        r->group = UINT32_MAX;
    if (r->group < r->windows) {
        r->fd = open_file(p);
        if (r->fd < 0)
            return r->fd;
    } else {
        r->group = r->windows;
    }
    r->memory = malloc(r->group * r->window * sizeof(float));
    r->tokens = malloc(r->group * context * sizeof *r->tokens);
    r->list = malloc(r->group * sizeof *r->list);
    return r->memory && r->tokens && r->list
               ? 0
               : tp_fail(p->err, ENOMEM, "out of memory for the activations");
}

static void free_calibration(struct passing *p)
{
    tp_calibration_destroy(p->calibration);
    p->calibration = NULL;
    free(p->rows.memory);
    free(p->rows.tokens);
    free(p->rows.list);
    if (p->rows.fd >= 0)
        close(p->rows.fd);
    p->rows = (struct rows){.fd = -1};
}

/* --- The pass --- */

/* Whether an error is of one recipe, which the others do not share. */
static bool is_own(int rc)
{
    return rc == -EINVAL || rc == -EOPNOTSUPP;
}

/* Pack I has failed with RC. 0: the others go on. */
static int end_pack(struct passing *p, size_t i, int rc, const struct tp_error *err)
{
    if (!is_own(rc))
        return tp_fail(p->err, -rc, "%s", err->message);
    p->packs[i].rc = rc;
    p->packs[i].err = *err;
    if (p->packs[i].layers)
        unlink(p->packs[i].layers);
    return 0;
}

/* LAYER by the recipe of pack I. */
static int add_layer(struct passing *p, size_t i, const struct tp_layer *layer)
{
    struct tp_layer_file *file = &p->files[i];
    struct tp_tensor_output output = tp_layer_file_output(file);
    struct tp_layer quantized = {0};
    struct tp_error err = {0};
    double began = tp_seconds(), middle;
    int rc = tp_quantize_layer(p->rt, layer, p->packs[i].recipe, p->calibration, &quantized, &err);

    middle = tp_seconds();
    p->cost->quantize += middle - began;
    if (rc == 0)
        rc = tp_layer_file_begin(file, &err);
    if (rc == 0)
        rc = tp_quantized_put_layer(p->rt, &quantized, &output, &err);
    if (rc == 0)
        rc = tp_layer_file_end(file, middle - began, &err);
    p->cost->write += tp_seconds() - middle;
    tp_layer_clear(&quantized);
    return rc < 0 ? end_pack(p, i, rc, &err) : 0;
}

static int do_layer(struct passing *p, uint32_t number, bool wanted)
{
    double began = tp_seconds(), layers = count_layers(p);
    struct tp_layer layer;
    int rc = tp_runtime_read_layer(p->rt, number, &layer, p->err);

    if (rc < 0)
        return rc;
    /* A layer that is kept is of the model that the search has begun with. */
    rc = tp_model_recheck(p->subject->model, p->err);
    if (rc < 0) {
        tp_layer_clear(&layer);
        return rc;
    }
    p->cost->read += tp_seconds() - began;
    tp_runtime_prefetch_layer(p->rt, number + 1);
    show_progress(p, "quantize", number, layers);
    rc = calibrate(p, &layer, wanted);
    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        show_progress(p, "quantize", number + (double)(i + 1) / (double)(p->n + 1), layers);
        rc = tp_progress_check(p->options->progress, p->err);
        if (rc == 0 && p->packs[i].rc == 0 && p->files[i].n == number)
            rc = add_layer(p, i, &layer);
    }
    tp_layer_clear(&layer);
    return rc;
}

/* For the layers from FIRST on: the activations, if statistics are to be computed. */
static int begin_calibration(struct passing *p)
{
    int rc = 0;

    if (count_kept(p, p->needs) < count_layers(p)) {
        rc = allocate_rows(p);
        if (rc == 0)
            rc = embed_windows(p);
        tp_runtime_drop_ends(p->rt);
    } else {
        rc = check_memory(p, count_need(p, 1), tp_memory_left(p->options->memory));
    }
    return rc == 0 ? tp_calibration_create(p->rt, p->needs, &p->calibration, p->err) : rc;
}

/* -EAGAIN: what is kept of the calibration was damaged. */
static int do_pass(struct passing *p)
{
    uint32_t layers = count_layers(p), first = find_first(p);
    int rc = 0;

    if (first == layers)
        return 0;
    rc = tp_quantized_check_ends(p->rt, p->err);
    if (rc < 0)
        return rc;
    p->needs = needs_of(p);
    if (p->needs)
        rc = begin_calibration(p);
    for (uint32_t l = p->rows.memory ? 0 : first; rc == 0 && l < layers; l++)
        rc = do_layer(p, l, l >= first);
    free_calibration(p);
    return rc;
}

/* The pass, with what an earlier one has kept of the calibration. */
static int pass(struct passing *p)
{
    int rc = 0;

    if (needs_of(p) && tp_calibration_file_open(&p->options->place, p->rt, p->options->calibration,
                                                &p->kept, p->err) < 0)
        note_error(p);
    do
        rc = do_pass(p);
    while (rc == -EAGAIN);
    tp_calibration_file_close(&p->kept);
    return rc;
}

/* --- Packs --- */

static int put_ends(struct passing *p, bool head, const struct tp_tensor_output *to,
                    struct tp_error *err)
{
    int rc = head ? tp_quantized_put_head(p->rt, p->options->embeddings_int8, to, err)
                  : tp_quantized_put_embedding(p->rt, p->options->embeddings_int8, to, err);

    tp_runtime_drop_ends(p->rt);
    return rc;
}

static int put_layers(struct passing *p, size_t i, const struct tp_tensor_output *to,
                      struct tp_error *err)
{
    struct tp_layer_file *file = &p->files[i];
    double layers = count_layers(p);
    int rc = 0;

    for (uint32_t l = 0; rc == 0 && l < file->n; l++) {
        show_progress(p, "write", (double)i + l / layers, (double)p->n);
        rc = tp_progress_check(p->options->progress, err);
        if (rc == 0)
            rc = tp_layer_file_put(file, l, to, err);
    }
    return rc;
}

static int write_pack(struct passing *p, size_t i, struct tp_lossy *w, struct tp_error *err)
{
    struct tp_tensor_output to = tp_tensor_output_pack(w);
    struct tp_pack_report report;
    int rc = put_ends(p, false, &to, err);

    if (rc == 0)
        rc = put_layers(p, i, &to, err);
    if (rc == 0)
        rc = put_ends(p, true, &to, err);
    if (rc == 0)
        rc = tp_lossy_finish(w, &report, err);
    if (rc == 0)
        p->packs[i].bytes = report.stored_bytes;
    return rc;
}

/* Make pack I from its layers. */
static int make_pack(struct passing *p, size_t i)
{
    struct tp_quantize_pack *pack = &p->packs[i];
    struct tp_quantized_tensors tensors;
    struct tp_lossy *w = NULL;
    struct tp_error err = {0};
    double began = tp_seconds();
    int rc = tp_quantized_tensors(p->rt, pack->recipe, p->options->embeddings_int8, &tensors, &err);

    tp_runtime_drop_ends(p->rt);
    if (rc == 0)
        rc = tp_lossy_create(p->subject->model, pack->path, tensors.items, tensors.n,
                             tp_runtime_threads(p->rt), &w, &err);
    tp_quantized_tensors_clear(&tensors);
    if (rc == 0)
        rc = write_pack(p, i, w, &err);
    tp_lossy_destroy(w);
    pack->seconds = tp_layer_file_seconds(&p->files[i]);
    p->cost->write += tp_seconds() - began;
    if (rc == 0 && p->options->made)
        rc = p->options->made(p->options->arg, i, &err);
    if (rc == 0 && pack->layers)
        unlink(pack->layers);
    return rc < 0 ? end_pack(p, i, rc, &err) : 0;
}

static int open_files(struct passing *p)
{
    uint32_t layers = count_layers(p);
    int rc = 0;

    for (size_t i = 0; i < p->n; i++) {
        p->packs[i].rc = 0;
        p->packs[i].bytes = 0;
        p->packs[i].seconds = 0;
        p->files[i].fd = -1;
    }
    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        const struct tp_quantize_pack *pack = &p->packs[i];

        rc = tp_layer_file_open(pack->layers ? pack->layers : pack->path, !pack->layers, layers,
                                &p->files[i], p->err);
        p->packs[i].continued = p->files[i].n;
    }
    return rc;
}

int tp_quantize_packs(struct tp_subject *subject, const struct tp_quantize_options *options,
                      struct tp_quantize_pack *packs, size_t n, struct tp_quantize_cost *cost,
                      struct tp_error *err)
{
    struct passing p = {.subject = subject,
                        .rt = subject->runtime,
                        .options = options,
                        .packs = packs,
                        .files = calloc(n ? n : 1, sizeof *p.files),
                        .n = n,
                        .cost = cost,
                        .rows.fd = -1,
                        .kept.fd = -1,
                        .err = err};
    int rc = p.files ? open_files(&p) : tp_oom(err);

    if (rc == 0)
        rc = pass(&p);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (packs[i].rc == 0)
            rc = make_pack(&p, i);
    for (size_t i = 0; p.files && i < n; i++)
        tp_layer_file_close(&p.files[i]);
    free(p.files);
    tp_runtime_drop_ends(p.rt);
    if (rc < 0 && rc != -ECANCELED)
        tp_error_prefix(err, "'%s'", subject->name);
    return rc;
}
