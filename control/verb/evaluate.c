/* SPDX-License-Identifier: MIT */
/* evaluate: the perplexity of a model, its distance from a reference, and its speed. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/verb/impl.h"
#include "optimizer/evaluate/machine.h"
#include "optimizer/evaluate/report.h"

#define TOKENS_HIGH ((uint64_t)1 << 20)

struct evaluation {
    struct tp_corpus corpus;
    struct tp_subject subject, reference;
    bool has_reference;
    struct tp_perplexity perplexity;
    struct tp_timing timing;
};

/* --- What is evaluated --- */

static int open_subject(const struct tp_request *request, const struct tp_work *work,
                        const char *given, const char *name, struct tp_runtime *share,
                        struct tp_subject *out, struct tp_error *err)
{
    struct tp_runtime_options options = {.compute = tp_compute_find(request->evaluate.dtype),
                                         .threads = request->limits.threads,
                                         .cancel = work->progress ? work->progress->cancel : NULL,
                                         .share = share};
    tp_autofree char *path = NULL;
    int rc = tp_target_find_model(work->dir, given, name, &path, err);

    return rc < 0 ? rc : tp_subject_open(path, given ? given : name, &options, out, err);
}

static int open_all(struct evaluation *e, const struct tp_request *request,
                    const struct tp_work *work, struct tp_error *err)
{
    const char *reference = request->evaluate.reference;
    int rc = tp_corpus_open(request->evaluate.text, work->foreground ? NULL : work->dir, &e->corpus,
                            err);

    e->has_reference = work->base || reference[0];
    if (rc == 0)
        rc = open_subject(request, work, work->path, work->name, NULL, &e->subject, err);
    if (rc == 0 && e->has_reference)
        rc = open_subject(request, work, work->base, reference, e->subject.runtime, &e->reference,
                          err);
    return rc;
}

/* --- The work --- */

static int measure_perplexity(struct evaluation *e, const struct tp_request *request,
                              const struct tp_work *work, struct tp_error *err)
{
    struct tp_passage_options options = {.convention = request->evaluate.convention,
                                         .context = request->evaluate.context,
                                         .stride = request->evaluate.stride,
                                         .samples = request->evaluate.samples,
                                         .add_bos = tp_add_bos_find(request->evaluate.add_bos),
                                         .memory = request->limits.memory,
                                         .progress = work->progress,
                                         .note = work->note,
                                         .arg = work->arg};

    return tp_perplexity_measure(&e->subject, e->has_reference ? &e->reference : NULL, &e->corpus,
                                 &options, &e->perplexity, err);
}

static struct tp_timing_options timing_options(const struct tp_request *request,
                                               const struct tp_work *work)
{
    return (struct tp_timing_options){.batch = request->evaluate.batch,
                                      .prompt_tokens = request->evaluate.prompt_tokens,
                                      .new_tokens = request->evaluate.new_tokens,
                                      .memory = request->limits.memory,
                                      .progress = work->progress};
}

static int measure_timing(struct evaluation *e, const struct tp_request *request,
                          const struct tp_work *work, struct tp_error *err)
{
    struct tp_timing_options options = timing_options(request, work);

    /* The memory of the reference is better used for caches. */
    tp_subject_close(&e->reference);
    return tp_timing_measure(&e->subject, &e->corpus, &options, &e->timing, err);
}

static void put_result(const struct evaluation *e, const struct tp_request *request,
                       const struct tp_work *work, struct tp_json_writer *json)
{
    tp_perplexity_put(json, &e->subject, work->base ? work->base : request->evaluate.reference,
                      request->evaluate.text, &e->corpus, &e->perplexity);
    tp_json_put_string(json, "dtype", request->evaluate.dtype);
    tp_json_put_double(json, "integer_share", tp_runtime_integer_share(e->subject.runtime));
    tp_timing_put(json, "timing", request->evaluate.timing ? &e->timing : NULL);
    tp_machine_put(json, "machine", tp_runtime_threads(e->subject.runtime));
    tp_json_put_u64(json, "peak_memory_bytes", tp_machine_peak_memory());
    tp_json_end_object(json);
}

static int run_evaluate(const struct tp_request *request, struct tp_work *work,
                        struct tp_error *err)
{
    struct evaluation *e = calloc(1, sizeof *e);
    struct tp_timing_options timing = timing_options(request, work);
    int rc = e ? open_all(e, request, work, err) : tp_oom(err);

    if (rc == 0 && request->evaluate.timing)
        rc = tp_timing_check(&e->subject, &timing, err);
    if (rc == 0)
        rc = measure_perplexity(e, request, work, err);
    if (rc == 0 && request->evaluate.timing)
        rc = measure_timing(e, request, work, err);
    if (rc == 0)
        put_result(e, request, work, work->begin(work->arg));
    if (e) {
        tp_subject_close(&e->reference);
        tp_subject_close(&e->subject);
        tp_corpus_close(&e->corpus);
        tp_perplexity_clear(&e->perplexity);
    }
    free(e);
    return rc;
}

static int check_values(const char *dir, const struct tp_request *request, struct tp_error *err)
{
    const char *convention = request->evaluate.convention;
    uint64_t context = request->evaluate.context, stride = request->evaluate.stride;

    (void)dir;
    if (context && stride > context)
        return tp_fail(err, EDOM, "'stride' is %" PRIu64 ", more than 'context', %" PRIu64, stride,
                       context);
    if (stride && stride != context && convention && strcmp(convention, "hf-stride") != 0)
        return tp_fail(err, EDOM,
                       "windows of the convention '%s' do not overlap: leave out "
                       "'stride'",
                       convention);
    return 0;
}

static int check_evaluate(const struct tp_target *target, const struct tp_request *request,
                          struct tp_error *err)
{
    const char *reference = request->evaluate.reference;

    if (!target->plain && !target->pack)
        return tp_target_fail(target, request->subject, err);
    return reference[0] ? tp_target_check_other(target, reference, "the reference", err) : 0;
}

/* --- For people --- */

static double value_of(const struct tp_json *object, const char *key)
{
    return tp_result_decimal(object, key);
}

static void print_reference(const struct tp_json *r, struct tp_buffer *out)
{
    if (!tp_json_is_object(r))
        return;
    tp_buffer_appendf(out, "  against ");
    tp_print_text(out, tp_result_text(r, "model"));
    tp_buffer_appendf(out, ", perplexity %.4f: ratio %.5f ± %.5f\n", value_of(r, "perplexity"),
                      value_of(r, "perplexity_ratio"), value_of(r, "perplexity_ratio_error"));
    tp_buffer_appendf(
        out,
        "  KL divergence %.5f ± %.5f, 99th percentile %.4f; same most probable token %.2f %%\n",
        value_of(r, "kl_divergence"), value_of(r, "kl_divergence_error"),
        value_of(r, "kl_divergence_p99"), 100 * value_of(r, "top1_agreement"));
}

static void print_timing(const struct tp_json *timing, struct tp_buffer *out)
{
    const struct tp_json *batches = tp_json_get(timing, "batches");

    for (const struct tp_json *b = tp_json_first(batches); b; b = tp_json_next(b))
        tp_buffer_appendf(out,
                          "  batch %" PRIu64 ": first token %.1f ms (prompt of %" PRIu64
                          ", %.1f tokens/s); each later one %.2f ms, p95 %.2f, p99 %.2f (n %" PRIu64
                          ", %.1f tokens/s)\n",
                          tp_result_number(b, "batch"), value_of(b, "median_ttft_ms"),
                          tp_result_number(timing, "prompt_tokens"),
                          value_of(b, "prompt_tokens_per_second"), value_of(b, "median_tpot_ms"),
                          value_of(b, "p95_tpot_ms"), value_of(b, "p99_tpot_ms"),
                          tp_result_number(b, "n_tpot"), value_of(b, "output_throughput"));
}

static void print_evaluate(const struct tp_json *result, const char *model, struct tp_buffer *out)
{
    const struct tp_json *text = tp_json_get(result, "text"),
                         *seconds = tp_json_get(result, "seconds");
    uint64_t tokens = tp_result_number(result, "computed_tokens");
    double compute = value_of(seconds, "compute");
    bool streamed = false;
    char size[TP_SIZE_TEXT], share[64] = "";

    tp_json_bool(tp_json_get(result, "streamed"), &streamed);
    tp_buffer_appendf(out, "%s: perplexity %.4f ± %.4f on ", model, value_of(result, "perplexity"),
                      value_of(result, "perplexity_error"));
    tp_print_text(out, tp_result_text(text, "name"));
    if (strcmp(tp_result_text(result, "dtype"), "int8") == 0)
        snprintf(share, sizeof share, " (%.1f %% of the products are of integers)",
                 100 * value_of(result, "integer_share"));
    tp_buffer_appendf(out,
                      "\n  %s, context %" PRIu64 ", stride %" PRIu64 ", bos %s, %s%s: %" PRIu64
                      " windows, %" PRIu64 " tokens scored\n",
                      tp_result_text(result, "convention"), tp_result_number(result, "context"),
                      tp_result_number(result, "stride"), tp_result_text(result, "bos"),
                      tp_result_text(result, "dtype"), share, tp_result_number(result, "windows"),
                      tp_result_number(result, "scored_tokens"));
    print_reference(tp_json_get(result, "reference"), out);
    print_timing(tp_json_get(result, "timing"), out);
    tp_buffer_appendf(out, "  loaded in %.2f s, computed in %.2f s, %.1f tokens/s; memory %s%s\n",
                      value_of(seconds, "load"), compute,
                      compute > 0 ? (double)tokens / compute : 0,
                      tp_size_print(tp_result_number(result, "peak_memory_bytes"), size),
                      streamed ? ", layer by layer" : "");
}

static const struct tp_key keys[] = {
    {"text", TP_KEY_TEXT, "evaluation", 0, 0, NULL,
     "the text: evaluation, calibration (installed texts), or a file; relative to the directory",
     TP_REQUEST_AT(evaluate.text)},
    {"reference", TP_KEY_MODEL, NULL, 0, 0, NULL, "a model to compare with, token by token",
     TP_REQUEST_AT(evaluate.reference)},
    {"convention", TP_KEY_WORD, NULL, 0, 0, tp_convention_names,
     "which tokens are scored (default: hf-window, with a smaller stride hf-stride)",
     TP_REQUEST_AT(evaluate.convention)},
    {"context", TP_KEY_NUMBER, NULL, 2, TOKENS_HIGH, NULL,
     "tokens of a window (default: 2048, or the model's positions if fewer)",
     TP_REQUEST_AT(evaluate.context)},
    {"stride", TP_KEY_NUMBER, NULL, 1, TOKENS_HIGH, NULL,
     "tokens from one window to the next (default: context, with hf-stride half of it)",
     TP_REQUEST_AT(evaluate.stride)},
    {"samples", TP_KEY_NUMBER, NULL, 1, (uint64_t)1 << 40, NULL,
     "windows, the first ones of the text (default: all)", TP_REQUEST_AT(evaluate.samples)},
    {"add_bos", TP_KEY_WORD, "auto", 0, 0, tp_add_bos_words,
     "a token of the beginning before the text, with llama.cpp before each window; auto: as the "
     "tokenizer does",
     TP_REQUEST_AT(evaluate.add_bos)},
    {"dtype", TP_KEY_WORD, "fp32", 0, 0, tp_compute_words, "what activations are rounded to",
     TP_REQUEST_AT(evaluate.dtype)},
    {"timing", TP_KEY_BOOL, NULL, 0, 0, NULL, "measure the times of generating, too",
     TP_REQUEST_AT(evaluate.timing)},
    {"batch", TP_KEY_NUMBER, "1", 1, TP_TIMING_BATCH_MAX, NULL,
     "with timing: sequences at once, 1, 2, 4, ... up to this number",
     TP_REQUEST_AT(evaluate.batch)},
    {"prompt_tokens", TP_KEY_NUMBER, "128", 1, TOKENS_HIGH, NULL, "with timing: tokens of a prompt",
     TP_REQUEST_AT(evaluate.prompt_tokens)},
    {"new_tokens", TP_KEY_NUMBER, "64", 2, TOKENS_HIGH, NULL,
     "with timing: tokens that follow a prompt", TP_REQUEST_AT(evaluate.new_tokens)},
    TP_JOB_KEYS,
};

const struct tp_verb_ops tp_verb_evaluate = {
    .name = "evaluate",
    .subject = "MODEL",
    .summary = "measure a model's perplexity on a text, its distance from a reference, its speed",
    .keys = keys,
    .example = "my-finetune\n"
               "my-finetune text=wiki.txt context=2048 samples=16\n"
               "my-finetune reference=llama-3.2-1b timing=yes batch=4\n",
    .reads_only = true,
    .hub = true,
    .check_values = check_values,
    .check = check_evaluate,
    .run = run_evaluate,
    .print = print_evaluate,
};
