/* SPDX-License-Identifier: MIT */
/* A quantized pack of at most a given size. */
#include <config.h>

#include "optimizer/quantize/sized.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "optimizer/quantize/sensitivity.h"
#include "optimizer/quantize/tensors.h"
#include "optimizer/runtime/runtime_impl.h"
#include "store/names.h"

#define BACK_WINDOWS 16u /* sensitivities settle with fewer tokens than Hessians */
#define TRIES 4u         /* packs that are written until one is of the size */
/* What the index has of the matrices: of their bytes, and for the tensors of a layer. */
#define INDEX_SHARE 512u
#define INDEX_LAYER 2048u

struct sizing {
    struct tp_subject *subject;
    struct tp_runtime *rt;
    const struct tp_sized_options *options;
    const char *path;
    struct tp_sized_result *result;
    struct tp_error *err;
    struct tp_forms forms; /* without items: what they cost was kept */
    struct tp_calibration_file kept;
    struct tp_calibration *calibration; /* without forms: for those that are chosen */
    size_t recipes;
    /* The matrices that there are: those of a layer one after the other. */
    enum tp_role roles[TP_ROLE_COUNT];
    size_t role_n, units;
    struct tp_option *options_of; /* [units][recipes] */
    size_t *choice;               /* [units] */
};

/* --- The pack --- */

static void note_error(const struct sizing *s)
{
    if (s->options->note)
        s->options->note(s->options->arg, s->err->message);
}

static size_t choice_of(const struct sizing *s, uint32_t layer, size_t role)
{
    return s->choice[layer * s->role_n + role];
}

/* The matrices of LAYER for which form K is chosen, quantized into OUT. */
static int quantize_chosen(struct sizing *s, const struct tp_layer *layer, size_t k,
                           struct tp_layer *out)
{
    struct tp_layer some = {.number = layer->number}, quantized;
    size_t n = 0;
    int rc;

    memcpy(some.norms, layer->norms, sizeof some.norms);
    for (size_t i = 0; i < s->role_n; i++)
        if (choice_of(s, layer->number, i) == k) {
            some.linears[s->roles[i]].matrix = layer->linears[s->roles[i]].matrix;
            n++;
        }
    if (n == 0)
        return 0;
    rc = tp_quantize_layer(s->rt, &some, &tp_form_recipes[k], s->calibration, &quantized, s->err);
    for (size_t i = 0; rc == 0 && i < s->role_n; i++)
        if (choice_of(s, layer->number, i) == k) {
            out->linears[s->roles[i]] = quantized.linears[s->roles[i]];
            quantized.linears[s->roles[i]] = (struct tp_linear){0};
        }
    tp_layer_clear(&quantized);
    return rc;
}

/* -EAGAIN: the statistics that are kept are damaged. */
static int quantize_anew(struct sizing *s, const struct tp_layer *layer, struct tp_layer *out)
{
    double began = tp_seconds();
    int rc = tp_calibration_file_load(&s->kept, layer->number, s->calibration, s->err);

    if (rc < 0) {
        note_error(s);
        return -EAGAIN;
    }
    s->result->cost.layers_cached++;
    s->result->cost.calibrate += tp_seconds() - began;
    began = tp_seconds();
    for (size_t k = 0; rc == 0 && k < s->recipes; k++)
        rc = quantize_chosen(s, layer, k, out);
    s->result->cost.quantize += tp_seconds() - began;
    return rc;
}

/* LAYER of the original with the chosen forms. The matrices of OUT are to be cleared. */
static int assemble(struct sizing *s, const struct tp_layer *layer, struct tp_layer *out)
{
    int rc = 0;

    *out = (struct tp_layer){.number = layer->number};
    memcpy(out->norms, layer->norms, sizeof out->norms);
    if (!s->forms.items)
        rc = quantize_anew(s, layer, out);
    for (size_t i = 0; rc == 0 && i < s->role_n; i++) {
        enum tp_role role = s->roles[i];

        if (s->forms.items)
            rc = tp_form_read(
                &s->forms,
                tp_form_at(&s->forms, layer->number, role, choice_of(s, layer->number, i)),
                &out->linears[role], s->err);
        out->linears[role].bias = layer->linears[role].bias;
    }
    return rc;
}

static int put_layer(struct sizing *s, uint32_t number, const struct tp_tensor_output *to)
{
    struct tp_layer layer, assembled;
    int rc = tp_runtime_read_layer(s->rt, number, &layer, s->err);

    if (rc < 0)
        return rc;
    tp_runtime_prefetch_layer(s->rt, number + 1);
    assembled = (struct tp_layer){0};
    rc = tp_model_recheck(s->subject->model, s->err);
    if (rc == 0)
        rc = assemble(s, &layer, &assembled);
    if (rc == 0)
        rc = tp_quantized_put_layer(s->rt, &assembled, to, s->err);
    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        free(assembled.linears[i].data); /* biases and norms are those of LAYER */
    tp_layer_clear(&layer);
    return rc;
}

/*
 * Write the pack of TENSORS, which it clears: both ends and, between them, LAYERS layers. RC is
 * that of making the list.
 */
static int write_tensors(struct sizing *s, int rc, struct tp_quantized_tensors *tensors,
                         uint32_t layers, uint64_t *bytes)
{
    struct tp_pack_report report = {0};
    struct tp_tensor_output to;
    struct tp_lossy *w = NULL;

    if (rc == 0)
        rc = tp_lossy_create(s->subject->model, s->path, tensors->items, tensors->n,
                             tp_runtime_threads(s->rt), &w, s->err);
    to = tp_tensor_output_pack(w);
    if (rc == 0)
        rc = tp_quantized_put_embedding(s->rt, false, &to, s->err);
    for (uint32_t l = 0; rc == 0 && l < layers; l++) {
        rc = tp_progress_check(s->options->progress, s->err);
        if (rc == 0)
            rc = put_layer(s, l, &to);
    }
    if (rc == 0)
        rc = tp_quantized_put_head(s->rt, false, &to, s->err);
    if (rc == 0)
        rc = tp_lossy_finish(w, &report, s->err);
    tp_lossy_destroy(w);
    tp_runtime_drop_ends(s->rt);
    tp_quantized_tensors_clear(tensors);
    *bytes = report.stored_bytes;
    return rc;
}

static int write_pack(struct sizing *s, uint64_t *bytes)
{
    struct tp_quantized_tensors tensors;
    int rc = tp_quantized_tensors(s->rt, &tp_form_recipes[0], false, &tensors, s->err);

    return write_tensors(s, rc, &tensors, tp_runtime_arch(s->rt)->layer_n, bytes);
}

/* --- What is beside the matrices --- */

/* Write a pack of what is before and after the layers, for its bytes, and remove it. */
static int measure_ends(struct sizing *s, uint64_t *bytes)
{
    struct tp_quantized_tensors tensors;
    int rc = tp_quantized_end_tensors(s->rt, &tensors, s->err);

    rc = write_tensors(s, rc, &tensors, 0, bytes);
    if (rc == 0)
        unlink(s->path);
    return rc;
}

static int fail_size(struct sizing *s, uint64_t least)
{
    char want[TP_SIZE_TEXT];

    return tp_fail(s->err, EFBIG,
                   "a quantized pack of it needs at least %" PRIu64 " bytes (%s), and "
                   "'target_size' is %" PRIu64,
                   least, tp_size_print(least, want), s->options->target);
}

/* What is expected beside the matrices and their share of the index; ENDS is of measure_ends. */
static uint64_t count_others(const struct sizing *s, uint64_t ends)
{
    const struct tp_arch *arch = tp_runtime_arch(s->rt);

    return s->options->extra + ends + (2 * tp_layer_vectors(arch) + INDEX_LAYER) * arch->layer_n;
}

/* The smallest pack that can be promised, before any work on the layers. */
static int check_least(struct sizing *s)
{
    uint64_t target = s->options->target, ends, others, least = UINT64_MAX, layer;
    int rc = 0;

    for (size_t k = 0; rc == 0 && tp_form_recipes[k].name; k++) {
        rc = tp_recipe_layer_bytes(&tp_form_recipes[k], tp_runtime_arch(s->rt), &layer, s->err);
        least = layer < least ? layer : least;
    }
    if (rc == 0)
        rc = measure_ends(s, &ends);
    if (rc < 0)
        return rc;
    least *= tp_runtime_arch(s->rt)->layer_n;
    others = count_others(s, ends);
    least += others + least / INDEX_SHARE + 1;
    if (least > target)
        return fail_size(s, least);
    s->result->others = others + (target - others) / (INDEX_SHARE + 1) + 1;
    return 0;
}

/* --- Choosing --- */

static int list_units(struct sizing *s)
{
    const struct tp_arch *arch = tp_runtime_arch(s->rt);
    uint32_t out, in;

    while (tp_form_recipes[s->recipes].name)
        s->recipes++;
    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        if (tp_role_shape(arch, i, &out, &in))
            s->roles[s->role_n++] = i;
    s->units = s->role_n * arch->layer_n;
    s->options_of = calloc(s->units * s->recipes, sizeof *s->options_of);
    s->choice = calloc(s->units, sizeof *s->choice);
    return s->options_of && s->choice ? 0 : tp_oom(s->err);
}

/* What the forms cost. */
static void list_options(struct sizing *s)
{
    for (size_t u = 0; u < s->units; u++)
        for (size_t k = 0; k < s->recipes; k++) {
            const struct tp_form *f =
                tp_form_at(&s->forms, (uint32_t)(u / s->role_n), s->roles[u % s->role_n], k);

            s->options_of[u * s->recipes + k] = (struct tp_option){f->bytes, f->loss};
        }
}

/* Write packs until one fits: what is beside the matrices is known when one is there. */
static int fit(struct sizing *s)
{
    uint64_t target = s->options->target, others = s->result->others, bytes = UINT64_MAX;
    size_t n = s->recipes;
    struct tp_option sum = {0};
    int rc = 0;

    for (unsigned i = 0; rc == 0 && bytes > target && i < TRIES; i++) {
        if (tp_allocate(s->options_of, s->units, n, target > others ? target - others : 0,
                        s->choice) < 0)
            return fail_size(s, tp_allocation_least(s->options_of, s->units, n) + others);
        sum = tp_allocation_sum(s->options_of, s->units, n, s->choice);
        rc = write_pack(s, &bytes);
        bytes += s->options->extra;
        if (rc == 0 && bytes > target) {
            unlink(s->path);
            others = bytes - sum.bytes + i * INDEX_LAYER;
        }
    }
    if (rc < 0)
        return rc;
    if (bytes > target)
        return fail_size(s, bytes);
    s->result->bytes = bytes - s->options->extra;
    s->result->others = s->result->bytes - sum.bytes;
    s->result->loss = sum.loss;
    return 0;
}

static int keep_choice(struct sizing *s)
{
    uint32_t layers = tp_runtime_arch(s->rt)->layer_n;
    uint8_t *choice = malloc((size_t)layers * TP_ROLE_COUNT);

    if (!choice)
        return tp_oom(s->err);
    memset(choice, UINT8_MAX, (size_t)layers * TP_ROLE_COUNT);
    for (size_t u = 0; u < s->units; u++) {
        choice[u / s->role_n * TP_ROLE_COUNT + s->roles[u % s->role_n]] = (uint8_t)s->choice[u];
        s->result->bytes_of[s->choice[u]] += s->options_of[u * s->recipes + s->choice[u]].bytes;
    }
    s->result->choice = choice;
    s->result->layers = layers;
    return 0;
}

static int make_forms(struct sizing *s)
{
    struct tp_forms_options options = {.text = s->options->text,
                                       .place = s->options->place,
                                       .back = BACK_WINDOWS,
                                       .memory = s->options->memory,
                                       .progress = s->options->progress,
                                       .note = s->options->note,
                                       .arg = s->options->arg};
    char *directory = tp_path_parent(s->path);
    int rc;

    options.directory = directory;
    rc = directory ? tp_forms_make(s->subject, &options, &s->forms, &s->result->cost, s->err)
                   : tp_oom(s->err);
    free(directory);
    return rc;
}

/* --- The two ways --- */

/* Write the pack. */
static int write_fitting(struct sizing *s)
{
    struct tp_forms_cost *cost = &s->result->cost;
    double began = tp_seconds(), before = cost->calibrate + cost->quantize;
    int rc = fit(s);

    s->result->write_seconds = tp_seconds() - began - (cost->calibrate + cost->quantize - before);
    return rc;
}

/* From all forms of all matrices. */
static int make_all(struct sizing *s)
{
    int rc = make_forms(s);

    if (rc < 0)
        return rc;
    list_options(s);
    tp_sensitivity_store(&s->options->place, s->rt, s->options->text, s->result->back,
                         s->options_of, s->units * s->recipes);
    return write_fitting(s);
}

/*
 * From what an earlier allocation has kept: only the chosen forms are made. -EAGAIN: something is
 * missing or damaged.
 */
static int make_kept(struct sizing *s)
{
    int rc = tp_sensitivity_load(&s->options->place, s->rt, s->options->text, s->result->back,
                                 s->options_of, s->units * s->recipes, s->err);

    if (rc == 0)
        rc =
            tp_calibration_file_open(&s->options->place, s->rt, s->options->text, &s->kept, s->err);
    if (rc == -EBADMSG)
        note_error(s);
    if (tp_calibration_file_count(&s->kept, true) < tp_runtime_arch(s->rt)->layer_n)
        rc = -EAGAIN;
    if (rc == 0)
        rc = tp_calibration_create(s->rt, TP_QUANT_NEEDS_HESSIAN, &s->calibration, s->err);
    if (rc == 0)
        rc = write_fitting(s);
    tp_calibration_destroy(s->calibration);
    tp_calibration_file_close(&s->kept);
    return rc;
}

int tp_quantize_to_size(struct tp_subject *subject, const struct tp_sized_options *options,
                        const char *path, struct tp_sized_result *result, struct tp_error *err)
{
    struct sizing s = {.subject = subject,
                       .rt = subject->runtime,
                       .options = options,
                       .path = path,
                       .result = result,
                       .err = err,
                       .forms.fd = -1,
                       .kept.fd = -1};
    int rc;

    *result = (struct tp_sized_result){
        .back = options->text->windows.n < BACK_WINDOWS ? options->text->windows.n : BACK_WINDOWS};
    rc = check_least(&s);
    if (rc == 0)
        rc = list_units(&s);
    if (rc == 0)
        rc = make_kept(&s);
    if (rc == -EAGAIN)
        rc = make_all(&s);
    if (rc == 0)
        rc = keep_choice(&s);
    tp_forms_clear(&s.forms);
    free(s.options_of);
    free(s.choice);
    if (rc < 0 && rc != -ECANCELED)
        tp_error_prefix(err, "'%s'", subject->name);
    return rc;
}

void tp_sized_clear(struct tp_sized_result *result)
{
    free(result->choice);
    result->choice = NULL;
}
