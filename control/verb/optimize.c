/* SPDX-License-Identifier: MIT */
/* optimize: the cheapest form of a model within limits, by a search over candidates. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "control/request/policy.h"
#include "control/verb/impl.h"
#include "optimizer/quantize/calibration_file.h"
#include "optimizer/search/search.h"
#include "store/names.h"
#include "store/pack/pack.h"

#define TOKENS_HIGH ((uint64_t)1 << 20)

static const char *const embeddings_words[] = {"keep", "int8", NULL};

/* --- The request --- */

/* The value of the key of LIMIT; NAN: it was not given. */
static double limit_of(const struct tp_request *request, enum tp_limit limit)
{
    switch (limit) {
    case TP_LIMIT_PPL_DELTA:
        return request->optimize.max_ppl_delta;
    case TP_LIMIT_LATENCY:
        return request->optimize.max_latency_ms;
    case TP_LIMIT_LATENCY_P99:
        return request->optimize.max_latency_p99_ms;
    case TP_LIMIT_THROUGHPUT:
        return request->optimize.min_throughput_tps;
    case TP_LIMIT_COMPRESSION:
        return request->optimize.min_compression;
    case TP_LIMIT_MEMORY:
        return (double)request->optimize.max_memory;
    default:
        return NAN;
    }
}

static void read_limits(const struct tp_request *request, struct tp_limits *out)
{
    tp_limits_init(out);
    for (int i = 0; i < TP_LIMIT_COUNT; i++)
        if (tp_request_has(request, tp_limit_key((enum tp_limit)i)))
            out->value[i] = limit_of(request, (enum tp_limit)i);
}

static enum tp_search_keep keep_of(const struct tp_request *request)
{
    unsigned keep = TP_SEARCH_KEEP_WINNER;

    while (strcmp(tp_search_keep_words[keep], request->optimize.keep) != 0)
        keep++;
    return (enum tp_search_keep)keep;
}

static int read_policy(const char *dir, struct tp_policy *policy, struct tp_error *err)
{
    int rc = tp_policy_read(dir, policy, err);

    return rc == -ENOENT ? 0 : rc;
}

static int check_values(const char *dir, const struct tp_request *request, struct tp_error *err)
{
    struct tp_policy policy;
    struct tp_hardware hardware;
    int rc = tp_search_candidates(request->optimize.candidates, NULL, NULL, err);

    /* What is wrong in tenpak.conf is no fault of the request: check_optimize finds it. */
    if (rc < 0 || read_policy(dir, &policy, NULL) < 0)
        return rc;
    return tp_policy_find_hardware(&policy, request->optimize.hardware, &hardware, err);
}

static int check_optimize(const struct tp_target *target, const struct tp_request *request,
                          struct tp_error *err)
{
    struct tp_policy policy;
    int rc;

    if (!target->plain && !target->pack)
        return tp_target_fail(target, request->subject, err);
    rc = read_policy(target->dir, &policy, err);
    if (rc == 0 && faccessat(target->dirfd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        rc = tp_fail_errno(err, "cannot write to '%s'", target->dir);
    return rc;
}

/* --- The work --- */

static void note_candidate(const struct tp_work *work, const struct tp_figures *f)
{
    char line[TP_ERROR_MAX];

    if (!work->note)
        return;
    if (f->state == TP_CANDIDATE_DROPPED)
        snprintf(line, sizeof line, "%s: dropped: %s", f->name, f->why);
    else if (isnan(f->throughput_tps))
        snprintf(line, sizeof line, "%s: %.2fx smaller, perplexity %+.2f %%; %s", f->name,
                 f->compression, f->ppl_delta, f->why);
    else
        snprintf(line, sizeof line,
                 "%s: %.2fx smaller, perplexity %+.2f %%, %.2f ms a token, %.1f tokens/s", f->name,
                 f->compression, f->ppl_delta, f->latency_ms, f->throughput_tps);
    work->note(work->arg, line);
}

/* The candidate that ended is the one whose state differs from what was seen before. */
struct watching {
    const struct tp_work *work;
    enum tp_candidate_state *seen;
    size_t n;
};

static void on_change(void *arg, const struct tp_search_result *result)
{
    struct watching *w = arg;

    for (size_t i = 0; i < result->n && i < w->n; i++)
        if (w->seen[i] != result->table[i].state) {
            w->seen[i] = result->table[i].state;
            note_candidate(w->work, &result->table[i]);
        }
    if (w->work->evaluated)
        w->work->evaluated(w->work->arg, (unsigned)result->evaluated, (unsigned)result->n);
}

static void on_note(void *arg, const char *line)
{
    const struct watching *w = arg;

    if (w->work->note)
        w->work->note(w->work->arg, line);
}

/* The pack of the winner, as 'compress' has it: "pack", "id" and "stored_bytes". */
static void put_pack(struct tp_json_writer *json, const struct tp_search_result *result)
{
    size_t winner = result->choice.winner;
    const char *path = winner == TP_CHOICE_NONE ? NULL : result->packs[winner];
    struct tp_pack_id id;
    struct stat st;

    if (!path || tp_pack_identify(path, &id, NULL) < 0 || stat(path, &st) < 0) {
        tp_json_put_null(json, "pack");
        tp_json_put_null(json, "id");
        tp_json_put_null(json, "stored_bytes");
        return;
    }
    tp_json_put_string(json, "pack", tp_path_name(path));
    tp_json_put_hex(json, "id", id.id, sizeof id.id);
    tp_json_put_u64(json, "stored_bytes", (uint64_t)st.st_size);
}

/* The winner, or the limit that no candidate meets. */
static void conclude(const struct tp_work *work, const struct tp_search_result *result)
{
    const struct tp_choice *c = &result->choice;
    char line[TP_ERROR_MAX];

    if (c->winner != TP_CHOICE_NONE)
        snprintf(line, sizeof line, "%s is the cheapest form that meets the limits",
                 result->table[c->winner].name);
    else if (c->nearest != TP_CHOICE_NONE)
        snprintf(line, sizeof line, "no candidate meets the limits; the nearest is %s: %s",
                 result->table[c->nearest].name, result->table[c->nearest].why);
    else
        snprintf(line, sizeof line, "no candidate can be measured: %s", result->table[0].why);
    if (work->conclude)
        work->conclude(work->arg, line);
}

static int search(struct tp_search_options *options, struct tp_work *work, struct tp_error *err)
{
    struct tp_search_result result = {0};
    struct watching watching = {.work = work};
    const struct tp_recipe **recipes;
    int rc = tp_search_candidates(options->candidates, &recipes, &watching.n, err);

    if (rc < 0)
        return rc;
    free(recipes);
    watching.seen = calloc(watching.n + 1, sizeof *watching.seen);
    if (!watching.seen)
        return tp_oom(err);
    options->changed = on_change;
    options->note = on_note;
    options->arg = &watching;
    if (work->evaluated)
        work->evaluated(work->arg, 0, (unsigned)watching.n);
    rc = tp_search_run(options, &result, err);
    if (rc == 0) {
        struct tp_json_writer *json = work->begin(work->arg);

        tp_search_put(json, options, &result);
        put_pack(json, &result);
        tp_json_end_object(json);
        conclude(work, &result);
    }
    tp_search_result_clear(&result);
    free(watching.seen);
    return rc;
}

static int run_optimize(const struct tp_request *request, struct tp_work *work,
                        struct tp_error *err)
{
    struct tp_policy policy;
    struct tp_hardware hardware;
    tp_autofree char *path = NULL;
    struct tp_search_options options = {.dir = work->dir,
                                        .name = work->name,
                                        .candidates = request->optimize.candidates,
                                        .hardware = &hardware,
                                        .text = request->optimize.text,
                                        .calibration = request->optimize.calibration,
                                        .text_dir = work->foreground ? NULL : work->dir,
                                        .samples = request->optimize.eval_samples,
                                        .context = request->optimize.context,
                                        .batch = request->optimize.batch,
                                        .keep = keep_of(request),
                                        .embeddings_int8 =
                                            strcmp(request->optimize.embeddings, "int8") == 0,
                                        .memory = request->limits.memory,
                                        .threads = request->limits.threads,
                                        .progress = work->progress};
    int rc = read_policy(work->dir, &policy, err);

    if (rc == 0)
        rc = tp_policy_find_hardware(&policy, request->optimize.hardware, &hardware, err);
    if (rc == 0)
        rc = tp_target_find_model(work->dir, work->path, work->name, &path, err);
    if (rc < 0)
        return rc;
    options.path = path;
    read_limits(request, &options.limits);
    tp_search_sweep(work->dir, TP_SWEEP_DAYS);
    tp_calibration_sweep(work->dir, TP_SWEEP_DAYS);
    return search(&options, work, err);
}

static bool has_winner(const struct tp_json *result)
{
    return tp_json_is_object(tp_json_get(result, "winner"));
}

/* --- For people --- */

/* A figure of WIDTH characters and a blank; "-" if it is not known. */
static void print_figure(struct tp_buffer *out, const struct tp_json *candidate, const char *key,
                         int width, int digits, const char *before, const char *after)
{
    char text[64];
    double value;

    if (tp_json_double(tp_json_get(candidate, key), &value))
        snprintf(text, sizeof text, "%s%.*f%s", before, digits, value, after);
    else
        snprintf(text, sizeof text, "-");
    tp_buffer_appendf(out, " %*s", width, text);
}

static bool is_on_front(const struct tp_json *result, const char *name)
{
    const struct tp_json *front = tp_json_get(result, "pareto_front");

    for (const struct tp_json *f = tp_json_first(front); f; f = tp_json_next(f))
        if (tp_json_string(f) && strcmp(tp_json_string(f), name) == 0)
            return true;
    return false;
}

static void print_candidate(struct tp_buffer *out, const struct tp_json *result,
                            const struct tp_json *c)
{
    const char *name = tp_result_text(c, "codec"), *why = tp_result_text(c, "why"),
               *winner = tp_result_text(tp_json_get(result, "winner"), "codec");
    double delta = NAN;

    tp_json_double(tp_json_get(c, "ppl_delta"), &delta);
    tp_buffer_appendf(out, "%c%c %-14s", winner[0] && strcmp(winner, name) == 0 ? '*' : ' ',
                      is_on_front(result, name) ? 'p' : ' ', name);
    /* Dropped for its size before it was made: the figure is a bound. */
    print_figure(out, c, "compression", 7, 2, strncmp(why, "at best:", 8) == 0 ? "<" : "", "x");
    print_figure(out, c, "ppl_delta", 9, 2, delta > 0 ? "+" : "", " %");
    print_figure(out, c, "kl_divergence", 9, 5, "", "");
    print_figure(out, c, "latency_ms", 8, 2, "", "");
    print_figure(out, c, "latency_p99_ms", 8, 2, "", "");
    print_figure(out, c, "throughput_tps", 8, 1, "", "");
    print_figure(out, c, "cost_per_1m_tokens", 9, 4, "", "");
    tp_buffer_appendf(out, "%s", why[0] ? "  " : "");
    tp_print_text(out, why);
    tp_buffer_appendf(out, "\n");
}

static bool has_speed(const struct tp_json *result)
{
    double value;

    for (const struct tp_json *c = tp_json_first(tp_json_get(result, "all_candidates")); c;
         c = tp_json_next(c))
        if (tp_json_double(tp_json_get(c, "throughput_tps"), &value))
            return true;
    return false;
}

static void print_table(struct tp_buffer *out, const struct tp_json *result)
{
    tp_buffer_appendf(out, "   %-14s %7s %9s %9s %8s %8s %8s %9s\n", "candidate", "smaller", "ppl",
                      "kl", "p50 ms", "p99 ms", "tokens/s", "$ per 1M");
    for (const struct tp_json *c = tp_json_first(tp_json_get(result, "all_candidates")); c;
         c = tp_json_next(c))
        print_candidate(out, result, c);
    tp_buffer_appendf(out, "  %sp on the Pareto front of cost, perplexity, latency and size\n",
                      has_winner(result) ? "* the winner; " : "");
}

/* The reason of the nearest candidate has the limit, and others that it misses. */
static void print_nearest(struct tp_buffer *out, const struct tp_json *result)
{
    const char *nearest = tp_result_text(tp_json_get(result, "binding"), "nearest");

    for (const struct tp_json *c = tp_json_first(tp_json_get(result, "all_candidates")); c;
         c = tp_json_next(c))
        if (strcmp(tp_result_text(c, "codec"), nearest) == 0) {
            tp_buffer_appendf(out, "  the nearest is %s: ", nearest);
            tp_print_text(out, tp_result_text(c, "why"));
            tp_buffer_appendf(out, "\n");
        }
}

static void print_optimize(const struct tp_json *result, const char *model, struct tp_buffer *out)
{
    const struct tp_json *hardware = tp_json_get(result, "hardware");

    if (has_winner(result))
        tp_buffer_appendf(out, "%s: %s is the cheapest form that meets the limits\n", model,
                          tp_result_text(tp_json_get(result, "winner"), "codec"));
    else
        tp_buffer_appendf(out, "%s: no candidate meets the limits\n", model);
    if (!has_winner(result))
        print_nearest(out, result);
    print_table(out, result);
    if (has_speed(result)) {
        tp_buffer_appendf(out, "  speed on ");
        tp_print_text(out, tp_result_text(hardware, "name"));
        tp_buffer_appendf(out, ": %s\n", tp_result_text(hardware, "figures"));
    }
    for (const struct tp_json *p = tp_json_first(tp_json_get(result, "packs")); p;
         p = tp_json_next(p)) {
        tp_buffer_appendf(out, "  ");
        tp_print_text(out, tp_json_string(p) ? tp_json_string(p) : "");
        tp_buffer_appendf(out, "\n");
    }
}

static const struct tp_key keys[] = {
    {"hardware", TP_KEY_TEXT, TP_HARDWARE_LOCAL, 0, 0, NULL,
     "the machine to choose for: a name of hardware.json", TP_REQUEST_AT(optimize.hardware)},
    {"max_ppl_delta", TP_KEY_DECIMAL, NULL, 0, 1000000, NULL,
     "limit of the perplexity, as percent above that of the model itself",
     TP_REQUEST_AT(optimize.max_ppl_delta)},
    {"max_latency_ms", TP_KEY_DECIMAL, NULL, 0, 1000000, NULL,
     "limit of the median time of a token after the first", TP_REQUEST_AT(optimize.max_latency_ms)},
    {"max_latency_p99_ms", TP_KEY_DECIMAL, NULL, 0, 1000000, NULL,
     "limit of the 99th percentile of these times", TP_REQUEST_AT(optimize.max_latency_p99_ms)},
    {"min_throughput_tps", TP_KEY_DECIMAL, NULL, 0, 1000000000, NULL,
     "least number of generated tokens per second, of all sequences of a batch",
     TP_REQUEST_AT(optimize.min_throughput_tps)},
    {"min_compression", TP_KEY_DECIMAL, NULL, 0, 1000, NULL,
     "least ratio of the size in fp16 to that of the pack",
     TP_REQUEST_AT(optimize.min_compression)},
    {"max_memory", TP_KEY_SIZE, NULL, TP_MIB, TP_SIZE_HIGH, NULL,
     "limit of the memory of weights, cache and scratch while the model generates",
     TP_REQUEST_AT(optimize.max_memory)},
    {"candidates", TP_KEY_LIST, NULL, 0, 0, NULL,
     "names of candidates.json with commas between (default: all)",
     TP_REQUEST_AT(optimize.candidates)},
    {"text", TP_KEY_TEXT, "evaluation", 0, 0, NULL,
     "the text to measure perplexity on, as for evaluate", TP_REQUEST_AT(optimize.text)},
    {"calibration", TP_KEY_TEXT, "calibration", 0, 0, NULL,
     "the text that quantizing observes the inputs of layers on",
     TP_REQUEST_AT(optimize.calibration)},
    {"eval_samples", TP_KEY_NUMBER, NULL, 1, (uint64_t)1 << 32, NULL,
     "windows of each text (default: 32)", TP_REQUEST_AT(optimize.eval_samples)},
    {"context", TP_KEY_NUMBER, NULL, 2, TOKENS_HIGH, NULL, "tokens of a window (default: 512)",
     TP_REQUEST_AT(optimize.context)},
    {"batch", TP_KEY_NUMBER, "1", 1, TP_TIMING_BATCH_MAX, NULL,
     "sequences at once when times are measured", TP_REQUEST_AT(optimize.batch)},
    {"keep", TP_KEY_WORD, "winner", 0, 0, tp_search_keep_words,
     "which packs stay, as MODEL~CANDIDATE", TP_REQUEST_AT(optimize.keep)},
    {"embeddings", TP_KEY_WORD, "keep", 0, 0, embeddings_words,
     "whether embedding and head keep 16 bits, or get 8", TP_REQUEST_AT(optimize.embeddings)},
    TP_JOB_KEYS,
};

const struct tp_verb_ops tp_verb_optimize = {
    .name = "optimize",
    .subject = "MODEL",
    .summary = "find the cheapest form of a model within limits, and make it a model",
    .keys = keys,
    .example = "my-finetune max_ppl_delta=2 min_compression=3.5 hardware=local\n"
               "my-finetune candidates=awq_g128,gptq_quality,bnb_nf4 max_latency_p99_ms=50\n",
    .reads_only = true,
    .hub = true,
    .check_values = check_values,
    .check = check_optimize,
    .run = run_optimize,
    .print = print_optimize,
    .found = has_winner,
};
