/* SPDX-License-Identifier: MIT */
/* The runtime: opening a model, the first and last steps of the forward pass, and the whole pass.
 */
#include <config.h>

#include "optimizer/runtime/runtime.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "optimizer/runtime/runtime_impl.h"
#include "tensor/config.h"

#define LOGIT_BYTES ((size_t)64 << 20) /* of logits that are computed together, at most */
#define LOGIT_ROWS_LEAST 16            /* fewer would read the head too often */
#define LOGIT_ROWS_MOST 256

enum { ROWS_PER_PART = 16 };

int tp_runtime_check_cancel(const struct tp_runtime *rt, struct tp_error *err)
{
    if (rt->cancel && atomic_load(rt->cancel))
        return tp_fail(err, ECANCELED, "cancelled");
    return 0;
}

/* --- Opening --- */

/* By the title: in the hub's cache the file itself is called by its hash. */
static int find_config(const struct tp_model *model, uint32_t *out, struct tp_error *err)
{
    bool found = false;

    for (uint32_t i = 0; i < model->file_n; i++) {
        if (strcmp(model->files[i].title, "config.json") != 0)
            continue;
        if (found)
            return tp_fail(err, EBADMSG, "there are two files config.json");
        found = true;
        *out = i;
    }
    if (!found && tp_model_find_link(model, "config.json"))
        return tp_fail(err, ENOENT, "config.json is a symbolic link, which is not followed");
    return found ? 0 : tp_fail(err, ENOENT, "there is no config.json");
}

static int read_arch(struct tp_runtime *rt, struct tp_error *err)
{
    struct tp_config config;
    uint32_t file;
    uint64_t size;
    char *text;
    int rc = find_config(rt->model, &file, err);

    if (rc < 0)
        return rc;
    size = rt->model->files[file].size;
    if (size > TP_CONFIG_MAX)
        return tp_fail(err, EFBIG, "config.json: its %" PRIu64 " bytes are more than %u", size,
                       TP_CONFIG_MAX);
    text = malloc(size + 1);
    if (!text)
        return tp_oom(err);
    rc = tp_model_read(rt->model, file, 0, text, size, err);
    if (rc == 0) {
        rc = tp_config_parse(text, size, &config, err);
        if (rc == 0)
            rc = tp_arch_init(&rt->arch, &config, err);
        if (rc < 0)
            tp_error_prefix(err, "config.json");
        tp_config_clear(&config);
    }
    free(text);
    return rc;
}

int tp_runtime_open(struct tp_model *model, const struct tp_runtime_options *options,
                    struct tp_runtime **out, struct tp_error *err)
{
    static const struct tp_runtime_options defaults;
    static const enum tp_dtype dtypes[] = {[TP_COMPUTE_F32] = TP_DTYPE_F32,
                                           [TP_COMPUTE_BF16] = TP_DTYPE_BF16,
                                           [TP_COMPUTE_F16] = TP_DTYPE_F16,
                                           [TP_COMPUTE_INT8] = TP_DTYPE_F32};
    struct tp_runtime *rt = calloc(1, sizeof *rt);
    int rc;

    *out = NULL;
    if (!rt)
        return tp_oom(err);
    if (!options)
        options = &defaults;
    rt->model = model;
    rt->cancel = options->cancel;
    rt->dtype = dtypes[options->compute];
    rt->products = options->compute == TP_COMPUTE_INT8 ? TP_DTYPE_I8 : rt->dtype;
    rc = read_arch(rt, err);
    if (rc == 0)
        rc = tp_weights_check(rt, err);
    rt->owner = options->share ? options->share : rt;
    if (rc == 0 && rt->owner == rt)
        rc = tp_team_create(options->threads, &rt->team, err);
    rt->team = rt->owner->team;
    if (rc < 0) {
        tp_runtime_close(rt);
        return rc;
    }
    *out = rt;
    return 0;
}

void tp_runtime_close(struct tp_runtime *rt)
{
    if (!rt)
        return;
    tp_layers_clear(rt);
    tp_runtime_drop_ends(rt);
    if (rt->owner == rt)
        tp_team_destroy(rt->team);
    tp_arch_clear(&rt->arch);
    free(rt->has_weights);
    free(rt->buffer);
    free(rt->logits);
    free(rt);
}

const struct tp_arch *tp_runtime_arch(const struct tp_runtime *rt)
{
    return &rt->arch;
}

unsigned tp_runtime_threads(const struct tp_runtime *rt)
{
    return tp_team_threads(rt->team);
}

double tp_runtime_integer_share(const struct tp_runtime *rt)
{
    return rt->multiplied ? (double)rt->multiplied_integers / (double)rt->multiplied : NAN;
}

struct tp_team *tp_runtime_team(struct tp_runtime *rt)
{
    return rt->team;
}

struct tp_layer *tp_runtime_loaded_layer(struct tp_runtime *rt, uint32_t number)
{
    return rt->layers && number < rt->arch.layer_n ? &rt->layers[number] : NULL;
}

const struct tp_model_tensor *tp_runtime_tensor(const struct tp_runtime *rt, uint32_t layer,
                                                enum tp_role role)
{
    const struct tp_model_tensor *t = NULL;
    tp_tensor_name name;
    uint32_t out, in;

    if (layer < rt->arch.layer_n && tp_role_shape(&rt->arch, role, &out, &in)) {
        tp_layer_tensor_name(rt, layer, rt->arch.family->linears[role], "weight", name);
        tp_tensor_find(rt, name, &t, NULL);
    }
    return t;
}

/* Rows of logits that are computed together. */
static size_t logit_rows(const struct tp_arch *a)
{
    size_t rows = LOGIT_BYTES / ((size_t)a->vocab * sizeof(float));

    return rows < LOGIT_ROWS_LEAST  ? LOGIT_ROWS_LEAST
           : rows > LOGIT_ROWS_MOST ? LOGIT_ROWS_MOST
                                    : rows;
}

void tp_runtime_need(const struct tp_runtime *rt, uint64_t sequences, uint64_t positions,
                     struct tp_runtime_need *out)
{
    const struct tp_arch *a = &rt->arch;
    uint64_t logits = logit_rows(a) * ((uint64_t)a->vocab + a->hidden) * sizeof(float), rows;

    *out = (struct tp_runtime_need){0};
    tp_weights_need(rt, out);
    if (!tp_cache_bytes(rt, sequences, positions, &out->cache))
        out->cache = UINT64_MAX;
    if (!tp_pass_bytes(rt, positions, false, &out->scratch) ||
        !tp_add_u64(out->scratch, logits, &out->scratch))
        out->scratch = UINT64_MAX;
    if (!tp_mul_u64(sequences, positions, &rows) ||
        !tp_mul_u64(rows, sizeof(float) * (uint64_t)a->hidden, &out->activations))
        out->activations = UINT64_MAX;
}

uint64_t tp_runtime_generating_bytes(const struct tp_runtime *rt, uint64_t weights,
                                     uint64_t sequences, uint64_t positions)
{
    struct tp_runtime_need need;

    tp_runtime_need(rt, sequences, positions, &need);
    return tp_sum_u64(weights, tp_sum_u64(need.cache, tp_sum_u64(need.scratch, need.activations)));
}

/* --- The first step --- */

static int check_windows(const struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                         const struct tp_cache *cache, struct tp_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct tp_window *w = &windows[i];
        uint64_t end = w->n, most = rt->arch.position_limit;

        if (w->n == 0)
            return tp_fail(err, EINVAL, "there are no tokens");
        if (cache && w->sequence >= cache->sequence_n)
            return tp_fail(err, EINVAL, "the cache has no sequence %u", w->sequence);
        if (cache) {
            end += cache->lengths[w->sequence];
            most = cache->position_n;
        }
        for (uint32_t j = 0; cache && j < i; j++)
            if (windows[j].sequence == w->sequence)
                return tp_fail(err, EINVAL, "the sequence %u is there twice", w->sequence);
        if (end > most)
            return tp_fail(err, EINVAL,
                           "%" PRIu64 " tokens are more than the %" PRIu64 " positions of the %s",
                           end, most, cache ? "cache" : "model");
        for (uint32_t j = 0; j < w->n; j++)
            if (w->tokens[j] >= rt->arch.vocab)
                return tp_fail(err, EINVAL,
                               "the token %u is beyond the model's vocabulary of %u: the tokenizer "
                               "belongs to another model",
                               w->tokens[j], rt->arch.vocab);
    }
    return 0;
}

struct embed_job {
    const struct tp_runtime *rt;
    const struct tp_window *windows;
    const struct tp_cache *cache;
    float *hidden;
    const size_t *rows; /* the first row of each window */
    float scale;
};

static void embed_row(const struct embed_job *job, uint32_t token, uint64_t position, float *dst)
{
    const struct tp_runtime *rt = job->rt;
    size_t n = rt->arch.hidden;

    tp_matrix_read(&rt->embedding.matrix, token, 0, n, dst);
    if (job->scale != 0)
        tp_scale(dst, job->scale, n, dst);
    if (rt->arch.learned_positions)
        for (size_t i = 0; i < n; i += 256) {
            float row[256];
            size_t some = n - i < 256 ? n - i : 256;
            tp_matrix_read(&rt->positions.matrix, (size_t)position, i, some, row);
            tp_add(dst + i, row, some, dst + i);
        }
    if (rt->dtype != TP_DTYPE_F32)
        tp_round_to(rt->dtype, dst, n, dst);
}

static void embed_window(void *arg, size_t part, void *scratch)
{
    const struct embed_job *job = arg;
    const struct tp_window *w = &job->windows[part];
    uint64_t first = job->cache ? job->cache->lengths[w->sequence] : 0;

    (void)scratch;
    for (uint32_t i = 0; i < w->n; i++)
        embed_row(job, w->tokens[i], first + i,
                  job->hidden + (job->rows[part] + i) * job->rt->arch.hidden);
}

static int embed(struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                 const struct tp_cache *cache, float *hidden, struct tp_error *err)
{
    size_t *rows = malloc((n ? n : 1) * sizeof *rows), row = 0;
    struct embed_job job = {rt, windows, cache, hidden, rows, rt->arch.embedding_scale};

    if (!rows)
        return tp_oom(err);
    if (rt->dtype != TP_DTYPE_F32)
        tp_round_to(rt->dtype, &job.scale, 1, &job.scale);
    for (uint32_t i = 0; i < n; i++) {
        rows[i] = row;
        row += windows[i].n;
    }
    tp_team_run(rt->team, n, embed_window, &job);
    free(rows);
    return 0;
}

int tp_runtime_embed(struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                     float *hidden, struct tp_error *err)
{
    int rc = tp_embedding_load(rt, err);

    if (rc == 0)
        rc = check_windows(rt, windows, n, NULL, err);
    return rc < 0 ? rc : embed(rt, windows, n, NULL, hidden, err);
}

int tp_runtime_layer(struct tp_runtime *rt, const struct tp_layer *layer,
                     const struct tp_window *windows, uint32_t n, float *hidden,
                     const struct tp_watch *watch, struct tp_error *err)
{
    return tp_pass_layer(rt, layer, windows, n, NULL, hidden, watch, err);
}

/* --- The last step --- */

struct logit_job {
    const struct tp_runtime *rt;
    const struct tp_window *windows;
    tp_logits_fn fn;
    void *arg;
    size_t n; /* rows */
    struct {
        uint32_t window, at;
        int rc;
    } rows[LOGIT_ROWS_MOST];
    float *h;      /* n x hidden */
    float *logits; /* n x vocab */
};

static void finish_row(void *arg, size_t part, void *scratch)
{
    struct logit_job *job = arg;
    const struct tp_runtime *rt = job->rt;
    size_t n = rt->arch.vocab;
    float *logits = job->logits + part * n;

    (void)scratch;
    if (rt->arch.logit_cap != 0) {
        tp_soft_cap(logits, rt->arch.logit_cap, n, logits);
        if (rt->dtype != TP_DTYPE_F32)
            tp_round_to(rt->dtype, logits, n, logits);
    }
    job->rows[part].rc = job->fn(job->arg, job->rows[part].window, job->rows[part].at, logits);
}

const struct tp_linear *tp_runtime_head(const struct tp_runtime *rt)
{
    return rt->head.matrix.form ? &rt->head : &rt->embedding;
}

/* The logits of the rows that were gathered in H. */
static int finish_rows(struct tp_runtime *rt, struct logit_job *job, struct tp_error *err)
{
    size_t hidden = rt->arch.hidden;
    struct tp_product product = {tp_runtime_head(rt), job->logits, rt->arch.vocab};
    int rc = tp_runtime_check_cancel(rt, err);

    if (rc < 0)
        return rc;
    tp_pass_norm(rt, &rt->final_norm, hidden, job->n, job->h, job->h);
    tp_pass_multiply(rt, &product, 1, job->h, hidden, job->n);
    tp_team_run(rt->team, job->n, finish_row, job);
    for (size_t i = 0; i < job->n; i++)
        if (job->rows[i].rc < 0)
            return tp_fail(err, -job->rows[i].rc, "the pass was ended by its caller");
    job->n = 0;
    return 0;
}

/* Memory for N elements, which is kept for the next call; NULL: there is none. */
static float *take_logits(struct tp_runtime *owner, size_t n)
{
    if (n > owner->logits_n) {
        free(owner->logits);
        owner->logits = tp_memory_alloc_huge(n * sizeof *owner->logits);
        owner->logits_n = owner->logits ? n : 0;
    }
    return owner->logits;
}

int tp_runtime_logits(struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                      const float *hidden, tp_logits_fn fn, void *arg, struct tp_error *err)
{
    size_t most = logit_rows(&rt->arch), wanted = 0, width = rt->arch.hidden, pieces;
    struct logit_job job = {.rt = rt, .windows = windows, .fn = fn, .arg = arg};
    int rc = tp_head_load(rt, err);

    for (uint32_t i = 0; i < n; i++)
        if (windows[i].logits_at < windows[i].n)
            wanted += windows[i].n - windows[i].logits_at;
    if (rc < 0 || wanted == 0)
        return rc;
    pieces = (wanted + most - 1) / most; /* about equal: each reads all of the head */
    most = (wanted + pieces - 1) / pieces;
    job.h = take_logits(rt->owner, most * (width + rt->arch.vocab));
    if (!job.h)
        return tp_fail(err, ENOMEM, "out of memory for the logits of %zu tokens", most);
    job.logits = job.h + most * width;
    for (uint32_t i = 0; rc == 0 && i < n; hidden += windows[i].n * width, i++)
        for (uint32_t at = windows[i].logits_at; rc == 0 && at < windows[i].n; at++) {
            memcpy(job.h + job.n * width, hidden + at * width, width * sizeof(float));
            job.rows[job.n].window = i;
            job.rows[job.n].at = at;
            if (++job.n == most)
                rc = finish_rows(rt, &job, err);
        }
    if (rc == 0 && job.n > 0)
        rc = finish_rows(rt, &job, err);
    return rc;
}

/* --- All steps --- */

static int run_layers(struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                      struct tp_cache *cache, tp_logits_fn fn, void *arg, struct tp_error *err)
{
    uint64_t rows = 0, bytes;
    float *hidden;
    int rc;

    for (uint32_t i = 0; i < n; i++)
        rows += windows[i].n;
    if (!tp_mul_u64(rows, rt->arch.hidden * sizeof(float), &bytes) || bytes > SIZE_MAX / 2)
        return tp_fail(err, ENOMEM, "out of memory for %" PRIu64 " tokens", rows);
    hidden = tp_memory_alloc_huge(bytes);
    if (!hidden)
        return tp_fail(err, ENOMEM, "out of memory for %" PRIu64 " tokens", rows);
    rc = embed(rt, windows, n, cache, hidden, err);
    for (uint32_t i = 0; rc == 0 && i < rt->arch.layer_n; i++)
        rc = tp_pass_layer(rt, &rt->layers[i], windows, n, cache, hidden, NULL, err);
    if (rc == 0)
        rc = tp_runtime_logits(rt, windows, n, hidden, fn, arg, err);
    free(hidden);
    return rc;
}

/*
 * The cache keeps the tokens too. They are put behind those that it has before the pass, since its
 * callback may use their memory for the next ones.
 */
static void put_tokens(struct tp_cache *cache, const struct tp_window *w)
{
    memcpy(tp_cache_tokens(cache, w->sequence) + cache->lengths[w->sequence], w->tokens,
           w->n * sizeof *w->tokens);
}

/* A pass that fails has written, too. */
static void note_end(struct tp_cache *cache, const struct tp_window *w)
{
    uint64_t end = (uint64_t)cache->lengths[w->sequence] + w->n;

    if (end > cache->ends[w->sequence])
        cache->ends[w->sequence] = end;
}

static void append(struct tp_cache *cache, const struct tp_window *windows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        cache->lengths[windows[i].sequence] += windows[i].n;
}

/*
 * Whether the keys that the cache has of W's sequence do not serve: they would be others in the
 * longer sequence, or some were replaced.
 */
static bool must_restart(const struct tp_runtime *rt, const struct tp_window *w,
                         const struct tp_cache *cache)
{
    uint32_t before = cache->lengths[w->sequence];

    for (unsigned i = 0; i < TP_SPAN_KIND_COUNT; i++)
        if (tp_rope_changes(&rt->arch.ropes[i], before, (uint64_t)before + w->n))
            return true;
    return !tp_cache_is_whole(cache, w->sequence);
}

/* The callback of a pass in which windows were made longer at their beginning. */
struct restart {
    tp_logits_fn fn;
    void *arg;
    struct tp_window *windows;
    uint32_t *before; /* tokens that were added to each */
};

static int pass_on(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    const struct restart *r = arg;

    return r->fn(r->arg, window, at - r->before[window], logits);
}

/* A pass in which some sequences begin anew, with the tokens that the cache has of them. */
static int forward_anew(struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                        struct tp_cache *cache, tp_logits_fn fn, void *arg, struct tp_error *err)
{
    struct restart r = {fn, arg, calloc(n, sizeof *r.windows), calloc(n, sizeof *r.before)};
    int rc = r.windows && r.before ? 0 : tp_oom(err);

    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        r.windows[i] = windows[i];
        if (!must_restart(rt, &windows[i], cache))
            continue;
        r.before[i] = cache->lengths[windows[i].sequence];
        r.windows[i].tokens = tp_cache_tokens(cache, windows[i].sequence);
        r.windows[i].n += r.before[i];
        r.windows[i].logits_at += r.before[i];
        cache->lengths[windows[i].sequence] = 0;
        cache->ends[windows[i].sequence] = 0;
    }
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        note_end(cache, &r.windows[i]);
    if (rc == 0)
        rc = run_layers(rt, r.windows, n, cache, pass_on, &r, err);
    if (rc == 0)
        append(cache, r.windows, n);
    free(r.windows);
    free(r.before);
    return rc;
}

int tp_runtime_forward(struct tp_runtime *rt, const struct tp_window *windows, uint32_t n,
                       struct tp_cache *cache, tp_logits_fn fn, void *arg, struct tp_error *err)
{
    int rc;

    if (!rt->layers)
        return tp_fail(err, EINVAL, "the weights are not loaded");
    rc = check_windows(rt, windows, n, cache, err);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; cache && i < n; i++)
        put_tokens(cache, &windows[i]);
    for (uint32_t i = 0; cache && i < n; i++)
        if (must_restart(rt, &windows[i], cache))
            return forward_anew(rt, windows, n, cache, fn, arg, err);
    for (uint32_t i = 0; cache && i < n; i++)
        note_end(cache, &windows[i]);
    rc = run_layers(rt, windows, n, cache, fn, arg, err);
    if (rc == 0 && cache)
        append(cache, windows, n);
    return rc;
}
