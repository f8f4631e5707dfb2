/* SPDX-License-Identifier: MIT */
/* compress with target= or target_size=: a quantized model is written beside the original, which
 * stays. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "control/verb/impl.h"
#include "control/verb/target.h"
#include "optimizer/evaluate/report.h"
#include "optimizer/quantize/packs.h"
#include "optimizer/quantize/sized.h"
#include "optimizer/search/sizes.h"
#include "store/names.h"
#include "store/write/lossy.h"

/* By default. */
#define CALIBRATION "calibration"
#define SAMPLES 32u
#define CONTEXT 512u
#define ATTRIBUTE 3072u /* bytes of a sized pack's attribute, but for names and layers */

struct quantizing {
    const struct tp_request *request;
    struct tp_work *work;
    char target[TP_TEXT_MAX + 1]; /* as the request names it, or its size */
    struct tp_recipe recipe;      /* not of a size */
    const char *calibration;      /* the text, as the request names it */
    char *path, *out;             /* of the original, of the pack */
    char *made;                   /* the pack before it is published */
    int lock;                     /* of MADE; -1: it is not there */
    struct tp_corpus corpus;
    struct tp_subject subject;
    struct tp_passage passage;
    struct tp_quantize_pack pack;
    struct tp_sized_result sized;
    uint8_t model[TP_SHA256_LEN]; /* by tp_subject_hash */
    double hash_seconds;
    struct tp_quantize_cost cost;
    uint64_t stored;   /* bytes of the published pack */
    uint64_t elements; /* by tp_elements_count */
};

/* --- Before --- */

bool tp_compress_has_target(const struct tp_request *request)
{
    return request->compress.target[0] || request->compress.target_size;
}

static bool is_sized(const struct quantizing *q)
{
    return q->request->compress.target_size > 0;
}

/* BYTES in the largest unit that divides them, as "72MiB", "75MB", "1000001B". */
static void print_size(uint64_t bytes, char *out, size_t size)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {{"TiB", TP_MIB << 20}, {"TB", 1000000000000}, {"GiB", TP_MIB << 10},
                 {"GB", 1000000000},    {"MiB", TP_MIB},       {"MB", 1000000},
                 {"KiB", 1024},         {"kB", 1000},          {"B", 1}};
    size_t i = 0;

    while (bytes % units[i].bytes != 0)
        i++;
    snprintf(out, size, "%" PRIu64 "%s", bytes / units[i].bytes, units[i].name);
}

/* The target of a request: a recipe, or a size. */
static int read_target(const struct tp_request *request, struct tp_recipe *recipe,
                       struct tp_error *err)
{
    if (request->compress.target[0] && request->compress.target_size)
        return tp_fail(err, EDOM, "'target' and 'target_size' exclude each other");
    return request->compress.target_size ? 0
                                         : tp_recipe_parse(request->compress.target, recipe, err);
}

/* -EDOM: a key of exact packs, which are before TARGET in the table, was given. */
static int check_keys(const struct tp_request *request, struct tp_error *err)
{
    const struct tp_key *keys = tp_verb_compress.keys;

    for (unsigned i = 0; strcmp(keys[i].name, "target") != 0; i++)
        if (request->given & 1u << i)
            return tp_fail(err, EDOM, "'%s' is of exact packs: leave it out with 'target'",
                           keys[i].name);
    return 0;
}

int tp_compress_check_values(const struct tp_request *request, struct tp_error *err)
{
    struct tp_recipe recipe;
    int rc = check_keys(request, err);

    return rc == 0 ? read_target(request, &recipe, err) : rc;
}

/* --- The work --- */

/* DIR/NAME~TARGET.tnpk, with '-' for ':'. */
static char *name_pack(const struct tp_work *work, const char *target)
{
    tp_auto(tp_buffer_clear) struct tp_buffer suffix = {0};

    tp_buffer_appendf(&suffix, "~%s" TP_PACK_SUFFIX, target);
    if (tp_buffer_append_u8(&suffix, 0) < 0)
        return NULL;
    for (char *c = (char *)suffix.data; *c; c++)
        if (*c == ':')
            *c = '-';
    return tp_path_join(work->dir, work->name, (char *)suffix.data);
}

static int find_places(struct quantizing *q, struct tp_error *err)
{
    const struct tp_work *work = q->work;
    int rc = tp_target_find_model(work->dir, work->path, work->name, &q->path, err);

    if (rc < 0)
        return rc;
    q->out = work->out ? strdup(work->out) : name_pack(work, q->target);
    if (!q->out)
        return tp_oom(err);
    return tp_check_new(q->out, err);
}

static bool is_calibrated(const struct quantizing *q)
{
    return is_sized(q) || tp_recipe_needs(&q->recipe) != 0;
}

static int open_passage(struct quantizing *q, struct tp_error *err)
{
    const struct tp_request *request = q->request;
    struct tp_passage_options options = {
        .context = request->compress.context,
        .samples = request->compress.samples ? request->compress.samples : SAMPLES,
        .memory = request->limits.memory,
        .progress = q->work->progress};
    uint64_t positions = tp_runtime_arch(q->subject.runtime)->position_n;
    int rc;

    q->calibration = request->compress.calibration[0] ? request->compress.calibration : CALIBRATION;
    rc = tp_corpus_open(q->calibration, q->work->foreground ? NULL : q->work->dir, &q->corpus, err);

    if (options.context == 0)
        options.context = positions > 1 && positions < CONTEXT ? (unsigned)positions : CONTEXT;
    return rc == 0 ? tp_passage_open(&q->subject, &q->corpus, &options, &q->passage, err) : rc;
}

static int hash_model(struct quantizing *q, struct tp_error *err)
{
    double began = tp_seconds();
    int rc = tp_subject_hash(&q->subject, q->work->progress, q->model, err);

    q->hash_seconds = tp_seconds() - began;
    return rc;
}

static uint64_t calibration_tokens(const struct quantizing *q)
{
    return q->passage.windows.n * q->passage.windows.context;
}

/* Of the calibration; false: there is none, and LINE is empty. */
static bool find_warning(const struct quantizing *q, char *line, size_t size)
{
    /* The formats of a size are those of GPTQ. */
    unsigned needs = is_sized(q) ? TP_QUANT_NEEDS_HESSIAN : tp_recipe_needs(&q->recipe);

    return tp_calibration_is_short(tp_runtime_arch(q->subject.runtime), needs,
                                   calibration_tokens(q), line, size);
}

static int open_all(struct quantizing *q, struct tp_error *err)
{
    char warning[TP_ERROR_MAX];
    const struct tp_progress *progress = q->work->progress;
    struct tp_runtime_options options = {.threads = q->request->limits.threads,
                                         .cancel = progress ? progress->cancel : NULL};
    int rc = read_target(q->request, &q->recipe, err);

    if (is_sized(q))
        print_size(q->request->compress.target_size, q->target, sizeof q->target);
    else
        memcpy(q->target, q->request->compress.target, sizeof q->target);
    if (rc == 0)
        rc = find_places(q, err);
    if (rc == 0)
        rc = tp_subject_open(q->path, q->work->foreground ? q->path : q->work->name, &options,
                             &q->subject, err);
    if (rc < 0 || !is_calibrated(q))
        return rc;
    rc = open_passage(q, err);
    if (rc == 0)
        tp_subject_note_doubts(&q->subject, q->passage.windows.context, q->work->note,
                               q->work->arg);
    if (rc == 0 && find_warning(q, warning, sizeof warning) && q->work->note)
        q->work->note(q->work->arg, warning);
    return rc == 0 ? hash_model(q, err) : rc;
}

/* Of the attribute that a sized pack gets, at most. */
static uint64_t attribute_bytes(const struct quantizing *q)
{
    uint64_t names = strlen(q->path) + strlen(q->calibration);

    return ATTRIBUTE + 6 * names +
           (uint64_t)tp_runtime_arch(q->subject.runtime)->layer_n * (2 * TP_ROLE_COUNT + 3);
}

static int make_sized(struct quantizing *q, struct tp_error *err)
{
    struct tp_sized_options options = {.text = &q->passage,
                                       .target = q->request->compress.target_size,
                                       .extra = attribute_bytes(q),
                                       .place = {q->work->dir, q->model},
                                       .memory = q->request->limits.memory,
                                       .progress = q->work->progress,
                                       .note = q->work->note,
                                       .arg = q->work->arg};
    int rc = tp_quantize_to_size(&q->subject, &options, q->made, &q->sized, err);

    q->cost.calibrate = q->sized.cost.calibrate;
    q->cost.quantize = q->sized.cost.quantize;
    q->cost.write = q->sized.write_seconds;
    q->cost.layers_cached = q->sized.cost.layers_cached;
    return rc;
}

static int make_one(struct quantizing *q, struct tp_error *err)
{
    struct tp_quantize_options options = {.calibration = is_calibrated(q) ? &q->passage : NULL,
                                          .place = {q->work->dir, q->model},
                                          .memory = q->request->limits.memory,
                                          .progress = q->work->progress,
                                          .note = q->work->note,
                                          .arg = q->work->arg};
    int rc;

    q->pack = (struct tp_quantize_pack){.recipe = &q->recipe, .path = q->made};
    rc = tp_quantize_packs(&q->subject, &options, &q->pack, 1, &q->cost, err);
    return rc == 0 && q->pack.rc < 0 ? tp_fail(err, -q->pack.rc, "%s", q->pack.err.message) : rc;
}

/* The pack under a temporary name: others remove those that are not locked. */
static int make_pack(struct quantizing *q, struct tp_error *err)
{
    int rc = tp_temporary_beside(q->out, &q->made, err);

    if (rc == 0)
        rc = is_sized(q) ? make_sized(q, err) : make_one(q, err);
    if (rc < 0)
        return rc;
    q->lock = open(q->made, O_RDWR | O_CLOEXEC);
    return q->lock < 0 ? tp_fail_errno(err, "cannot open '%s'", q->made)
                       : tp_temporary_lock(q->lock, q->made, err);
}

/*
 * The groups of each matrix: the wanted one, and the one that divides its width. REDUCED: where
 * these are two.
 */
static void put_groups(const struct quantizing *q, const struct tp_recipe *recipe, bool reduced,
                       struct tp_json_writer *json)
{
    const struct tp_arch *arch = tp_runtime_arch(q->subject.runtime);
    uint32_t wanted, used;

    tp_json_begin_object(json, "groups");
    for (unsigned i = 0; i < TP_ROLE_COUNT; i++) {
        if (!tp_recipe_group(recipe, arch, i, &wanted, &used) || (reduced && wanted == used))
            continue;
        tp_json_begin_object(json, tp_role_name(i));
        tp_json_put_u64(json, "wanted", wanted);
        tp_json_put_u64(json, "used", used);
        tp_json_end_object(json);
    }
    tp_json_end_object(json);
}

/* Which matrix has which format: by the number of a format in the list. */
static void put_choice(const struct quantizing *q, struct tp_json_writer *json)
{
    const struct tp_sized_result *r = &q->sized;
    const uint8_t *choice = r->choice;

    tp_json_begin_array(json, "matrices");
    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        if (choice[i] != UINT8_MAX)
            tp_json_put_string(json, NULL, tp_role_name(i));
    tp_json_end_array(json);
    tp_json_begin_array(json, "layers");
    for (uint32_t l = 0; l < r->layers; l++, choice += TP_ROLE_COUNT) {
        tp_json_begin_array(json, NULL);
        for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
            if (choice[i] != UINT8_MAX)
                tp_json_put_u64(json, NULL, choice[i]);
        tp_json_end_array(json);
    }
    tp_json_end_array(json);
}

static void put_allocation(const struct quantizing *q, struct tp_json_writer *json)
{
    const struct tp_sized_result *r = &q->sized;

    tp_json_begin_object(json, "allocation");
    tp_json_put_u64(json, "target_size", q->request->compress.target_size);
    tp_json_put_double(json, "predicted_loss", r->loss);
    tp_json_put_u64(json, "other_bytes", r->others);
    tp_json_put_u64(json, "sensitivity_windows", r->back);
    tp_json_begin_array(json, "formats");
    for (size_t k = 0; tp_form_recipes[k].name; k++) {
        uint64_t n = 0;

        for (size_t i = 0; i < (size_t)r->layers * TP_ROLE_COUNT; i++)
            n += r->choice[i] == k;
        tp_json_begin_object(json, NULL);
        tp_json_put_string(json, "name", tp_form_recipes[k].name);
        tp_json_put_string(json, "method", tp_form_recipes[k].method);
        tp_json_put_u64(json, "matrices", n);
        tp_json_put_u64(json, "bytes", r->bytes_of[k]);
        if (n > 0)
            put_groups(q, &tp_form_recipes[k], true, json);
        tp_json_end_object(json);
    }
    tp_json_end_array(json);
    put_choice(q, json);
    tp_json_end_object(json);
}

/* What the pack says of itself, and the result has, too. */
static void put_recipe(const struct quantizing *q, struct tp_json_writer *json)
{
    struct tp_text_facts facts;
    char warning[TP_ERROR_MAX];

    tp_json_put_string(json, "target", q->target);
    if (is_sized(q)) {
        put_allocation(q, json);
    } else {
        tp_json_put_string(json, "method", q->recipe.method);
        put_groups(q, &q->recipe, false, json);
    }
    if (!is_calibrated(q)) {
        tp_json_put_null(json, "calibration");
        return;
    }
    facts = tp_passage_facts(&q->passage, &q->corpus);
    tp_calibration_put(json, q->calibration, &facts,
                       find_warning(q, warning, sizeof warning) ? warning : NULL);
}

static int publish_pack(struct quantizing *q, struct tp_error *err)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    struct tp_json_writer json;
    struct stat st;
    int rc;

    tp_json_writer_init(&json, &text, false);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "original", q->work->name);
    put_recipe(q, &json);
    tp_json_end_object(&json);
    rc = tp_json_writer_finish(&json);
    if (rc == 0)
        rc = tp_buffer_append_u8(&text, 0);
    if (rc < 0)
        return tp_oom(err);
    rc = tp_lossy_publish(q->made, q->out, (char *)text.data, err);
    if (rc == 0 && stat(q->out, &st) == 0)
        q->stored = (uint64_t)st.st_size;
    if (rc == 0 && is_sized(q) && q->stored > q->request->compress.target_size) {
        unlink(q->out);
        rc = tp_fail(err, EFBIG, "the pack has %" PRIu64 " bytes, more than 'target_size'",
                     q->stored);
    }
    return rc;
}

static void put_result(const struct quantizing *q, struct tp_json_writer *json)
{
    uint64_t half = 2 * q->elements;

    tp_json_put_string(json, "pack", q->work->foreground ? q->out : tp_path_name(q->out));
    put_recipe(q, json);
    tp_json_put_u64(json, "logical_bytes", tp_runtime_tensor_bytes(q->subject.runtime));
    tp_json_put_u64(json, "fp16_bytes", half);
    tp_json_put_u64(json, "stored_bytes", q->stored);
    tp_json_put_double(json, "compression", tp_saving_ratio(half, q->stored));
    tp_json_put_u64(json, "layers_cached", q->cost.layers_cached);
    tp_json_begin_object(json, "seconds");
    tp_json_put_double(json, "hash", q->hash_seconds);
    tp_json_put_double(json, "read", q->cost.read);
    tp_json_put_double(json, "calibrate", q->cost.calibrate);
    tp_json_put_double(json, "quantize", q->cost.quantize);
    if (is_sized(q))
        tp_json_put_double(json, "sensitivity", q->sized.cost.back);
    tp_json_put_double(json, "write", q->cost.write);
    tp_json_end_object(json);
    tp_json_end_object(json);
}

static void clear_quantizing(struct quantizing *q)
{
    if (q->made)
        unlink(q->made);
    if (q->lock >= 0)
        close(q->lock);
    tp_sized_clear(&q->sized);
    tp_passage_clear(&q->passage);
    tp_subject_close(&q->subject);
    tp_corpus_close(&q->corpus);
    free(q->path);
    free(q->out);
    free(q->made);
}

int tp_compress_run_target(const struct tp_request *request, struct tp_work *work,
                           struct tp_error *err)
{
    tp_autofree struct quantizing *q = calloc(1, sizeof *q);
    int rc;

    if (!q)
        return tp_oom(err);
    tp_calibration_sweep(work->dir, TP_SWEEP_DAYS);
    tp_target_sweep(work->dir, work->name);
    *q = (struct quantizing){.request = request, .work = work, .lock = -1, .corpus.fd = -1};
    rc = open_all(q, err);
    if (rc == 0)
        rc = tp_elements_count(q->subject.runtime, &q->elements, err);
    if (rc == 0)
        rc = make_pack(q, err);
    if (rc == 0)
        rc = publish_pack(q, err);
    if (rc == 0)
        put_result(q, work->begin(work->arg));
    clear_quantizing(q);
    return rc;
}

/* --- For people --- */

/* Groups that are not the wanted ones. */
static void print_groups(const struct tp_json *groups, const char *before, struct tp_buffer *out)
{
    for (const struct tp_json *g = tp_json_first(groups); g; g = tp_json_next(g))
        if (tp_result_number(g, "wanted") != tp_result_number(g, "used"))
            tp_buffer_appendf(
                out, "%s%s: groups of %" PRIu64 ", since %" PRIu64 " does not divide its width\n",
                before, tp_json_key(g), tp_result_number(g, "used"), tp_result_number(g, "wanted"));
}

static void print_formats(const struct tp_json *allocation, struct tp_buffer *out)
{
    char size[TP_SIZE_TEXT];

    for (const struct tp_json *f = tp_json_first(tp_json_get(allocation, "formats")); f;
         f = tp_json_next(f))
        if (tp_result_number(f, "matrices") > 0) {
            tp_buffer_appendf(out, "  %-22s %5" PRIu64 " matrices, %s\n", tp_result_text(f, "name"),
                              tp_result_number(f, "matrices"),
                              tp_size_print(tp_result_number(f, "bytes"), size));
            print_groups(tp_json_get(f, "groups"), "    ", out);
        }
}

void tp_compress_print_target(const struct tp_json *result, const char *model,
                              struct tp_buffer *out)
{
    const struct tp_json *calibration = tp_json_get(result, "calibration"),
                         *seconds = tp_json_get(result, "seconds");
    uint64_t cached = tp_result_number(result, "layers_cached");
    char a[TP_SIZE_TEXT], b[TP_SIZE_TEXT];

    tp_print_text(out, tp_result_text(result, "pack"));
    tp_buffer_appendf(out, ": %s of %s in 16 bits, stored in %s, %.2fx smaller\n", model,
                      tp_size_print(tp_result_number(result, "fp16_bytes"), a),
                      tp_size_print(tp_result_number(result, "stored_bytes"), b),
                      tp_result_decimal(result, "compression"));
    if (*tp_result_text(calibration, "name")) {
        tp_buffer_appendf(out, "  calibrated on ");
        tp_print_text(out, tp_result_text(calibration, "name"));
        tp_buffer_appendf(out, ": %" PRIu64 " windows of %" PRIu64 " tokens",
                          tp_result_number(calibration, "windows"),
                          tp_result_number(calibration, "context"));
        if (cached)
            tp_buffer_appendf(out, ", %" PRIu64 " layers from the cache", cached);
        tp_buffer_appendf(out, "\n");
    }
    print_formats(tp_json_get(result, "allocation"), out);
    print_groups(tp_json_get(result, "groups"), "  ", out);
    tp_buffer_appendf(
        out, "  read in %.1f s, calibrated in %.1f s, quantized in %.1f s, written in %.1f s\n",
        tp_result_decimal(seconds, "read"), tp_result_decimal(seconds, "calibrate"),
        tp_result_decimal(seconds, "quantize"), tp_result_decimal(seconds, "write"));
}
