/* SPDX-License-Identifier: MIT */
/* tenpak generate: text that a model continues, as it comes. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/printable.h"
#include "base/size.h"
#include "cli/meter.h"
#include "cli/options.h"
#include "cli/argument.h"
#include "cli/report.h"
#include "optimizer/evaluate/generate.h"
#include "optimizer/evaluate/machine.h"

#define PROMPT_MAX ((size_t)16 << 20)

enum {
    OPT_PROMPT = 'p',
    OPT_MAX_TOKENS = 'n',
    OPT_TEMPERATURE = 't',
    OPT_TOP_K = 'k',
    OPT_TOP_P = 256,
    OPT_SEED = 's',
    OPT_ADD_BOS = 257,
    OPT_DTYPE,
    OPT_MEMORY,
    OPT_IGNORE_EOS
};

static const struct tp_option options[] = {
    {OPT_PROMPT, "prompt", "TEXT", "the text to continue (default: standard input)", NULL},
    {OPT_MAX_TOKENS, "max-tokens", "N", "new tokens at most (default: 128)", NULL},
    {OPT_TEMPERATURE, "temperature", "T",
     "0 (the default): always the most probable token; above: by chance", NULL},
    {OPT_TOP_K, "top-k", "N", "by chance: among the N most probable tokens (default: all)", NULL},
    {OPT_TOP_P, "top-p", "P",
     "by chance: among the most probable tokens of probability P (default: 1)", NULL},
    {OPT_SEED, "seed", "N", "by chance: the same seed gives the same text (default: 0)", NULL},
    {OPT_ADD_BOS, "add-bos", "WORD", "the token of the beginning before the prompt",
     tp_add_bos_words},
    {OPT_DTYPE, "dtype", "DTYPE", "what activations are rounded to", tp_compute_words},
    {OPT_MEMORY, "memory", "SIZE", "memory that may be used (default: the machine's)", NULL},
    {OPT_IGNORE_EOS, "ignore-eos", NULL, "go on after a token that ends a text", NULL},
    {0, NULL, NULL, NULL, NULL},
};

struct generating {
    struct tp_options *options;
    struct tp_generation generation;
    struct tp_runtime_options runtime;
    const char *given;       /* --prompt; NULL: standard input */
    struct tp_buffer prompt; /* what was read, or a copy of it */
    struct tp_buffer text;   /* with --json */
    double integer_share;
    char warning[TP_ERROR_MAX]; /* "": none */
    bool noted;                 /* it was printed */
    bool terminal;
    bool failed; /* standard output cannot be written to */
};

/* --- Options --- */

static bool read_decimal(struct tp_options *o, const char *name, double low, double high,
                         double *out)
{
    char *rest;

    *out = strtod(o->arg, &rest);
    if (rest == o->arg || *rest || !isfinite(*out) || *out < low || *out > high) {
        tp_options_bad(o, "generate: --%s is a number from %g to %g, not '%s'", name, low, high,
                       o->arg);
        return false;
    }
    return true;
}

static bool read_number(struct tp_options *o, const char *name, uint64_t low, uint64_t high,
                        uint32_t *out)
{
    uint64_t n = 0;
    bool good = tp_options_number(o, name, low, high, &n);

    *out = (uint32_t)n;
    return good;
}

static bool read_option(struct tp_options *o, int opt, struct generating *g)
{
    struct tp_sampling *sampling = &g->generation.sampling;

    switch (opt) {
    case OPT_PROMPT:
        g->given = o->arg;
        return true;
    case OPT_MAX_TOKENS:
        return read_number(o, "--max-tokens", 1, 1u << 24, &g->generation.max_tokens);
    case OPT_TEMPERATURE:
        return read_decimal(o, "temperature", 0, 1000, &sampling->temperature);
    case OPT_TOP_K:
        return read_number(o, "--top-k", 0, UINT32_MAX, &sampling->top_k);
    case OPT_TOP_P:
        return read_decimal(o, "top-p", 0, 1, &sampling->top_p);
    case OPT_SEED:
        return tp_options_number(o, "--seed", 0, UINT64_MAX, &sampling->seed);
    case OPT_ADD_BOS:
        g->generation.add_bos = tp_add_bos_find(o->arg);
        return true;
    case OPT_DTYPE:
        g->runtime.compute = tp_compute_find(o->arg);
        return true;
    case OPT_MEMORY:
        if (tp_size_parse(o->arg, &g->generation.memory) == 0)
            return true;
        tp_options_bad(o, "generate: --memory must be a size such as 512M or 2GiB, not '%s'",
                       o->arg);
        return false;
    default:
        g->generation.ignore_eos = true;
        return true;
    }
}

/* KEY=VALUE after the model, as --KEY=VALUE; false: the complaint is printed. */
static bool read_word(struct tp_options *o, char *word, struct generating *g)
{
    char *equals = strchr(word, '=');
    const struct tp_option *option = options;
    size_t len = equals ? (size_t)(equals - word) : 0;

    for (size_t i = 0; i < len; i++)
        word[i] = word[i] == '_' ? '-' : word[i];
    while (option->name && (strlen(option->name) != len || strncmp(option->name, word, len) != 0))
        option++;
    if (!option->name || !option->arg) {
        tp_options_bad(o, "generate: '%s' is not one of the options as KEY=VALUE", word);
        return false;
    }
    o->arg = equals + 1;
    return tp_options_check_word(o, option) && read_option(o, option->letter, g);
}

static bool read_options(struct tp_options *o, struct generating *g)
{
    int opt;

    while ((opt = tp_options_next(o)) > 0)
        if (!read_option(o, opt, g)) {
            o->exit = TP_EXIT_USAGE;
            return false;
        }
    for (int i = 1; opt == 0 && i < o->argc; i++)
        if (!read_word(o, o->argv[i], g)) {
            o->exit = TP_EXIT_USAGE;
            return false;
        }
    return opt == 0;
}

/* --- Input and output --- */

static int read_prompt(struct generating *g, struct tp_error *err)
{
    size_t n = 1;

    if (g->given)
        return tp_buffer_append(&g->prompt, g->given, strlen(g->given)) < 0 ? tp_oom(err) : 0;
    while (n > 0 && g->prompt.len <= PROMPT_MAX) {
        if (tp_buffer_reserve(&g->prompt, 65536) < 0)
            return tp_oom(err);
        n = fread(g->prompt.data + g->prompt.len, 1, 65536, stdin);
        g->prompt.len += n;
    }
    if (ferror(stdin))
        return tp_fail_errno(err, "cannot read standard input");
    return g->prompt.len > PROMPT_MAX
               ? tp_fail(err, EFBIG, "the prompt has more than %zu bytes", PROMPT_MAX)
               : 0;
}

/* A terminal gets no characters that control it. */
static void put_printable(const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + len;
    uint32_t code;
    size_t n;

    for (; p < end; p += n) {
        bool blank = *p == '\n' || *p == '\t';

        if (tp_char_is_unsafe(p, end, &code, &n) && !blank)
            putchar('?');
        else
            fwrite(p, 1, n, stdout);
    }
}

static int emit_text(void *arg, const char *text, size_t len, struct tp_error *err)
{
    struct generating *g = arg;

    if (g->options->json)
        return tp_buffer_append(&g->text, text, len) < 0 ? tp_oom(err) : 0;
    if (g->terminal)
        put_printable(text, len);
    else
        fwrite(text, 1, len, stdout);
    if (fflush(stdout) == 0)
        return 0;
    g->failed = true;
    return tp_fail_errno(err, "cannot write to standard output");
}

static void note_warning(void *arg, const char *line)
{
    struct generating *g = arg;

    snprintf(g->warning, sizeof g->warning, "%s", line);
    g->noted = true;
    tp_meter_note(NULL, line);
}

static int print_document(struct generating *g, const struct tp_generated *out, const char *model,
                          unsigned threads)
{
    double later = out->tokens.n > 1 ? (double)(out->tokens.n - 1) : 0;
    struct tp_document doc;

    tp_document_begin(&doc);
    tp_json_put_string(&doc.json, "model", model);
    tp_json_put_u64(&doc.json, "prompt_tokens", out->prompt_tokens);
    if (tp_buffer_append(&g->text, "", 1) < 0)
        doc.json.rc = -ENOMEM;
    else
        tp_json_put_string(&doc.json, "text", (const char *)g->text.data);
    tp_json_begin_array(&doc.json, "tokens");
    for (size_t i = 0; i < out->tokens.n; i++)
        tp_json_put_u64(&doc.json, NULL, out->tokens.items[i]);
    tp_json_end_array(&doc.json);
    tp_json_put_string(&doc.json, "finish_reason", out->ended ? "stop" : "length");
    tp_json_put_string(&doc.json, "warning", g->warning[0] ? g->warning : NULL);
    tp_json_put_string(&doc.json, "dtype", tp_compute_words[g->runtime.compute]);
    tp_json_put_double(&doc.json, "integer_share", g->integer_share);
    tp_json_begin_object(&doc.json, "seconds");
    tp_json_put_double(&doc.json, "load", out->load_seconds);
    tp_json_put_double(&doc.json, "compute", out->prompt_seconds + out->token_seconds);
    tp_json_end_object(&doc.json);
    tp_json_put_double(&doc.json, "ttft_ms", 1000 * out->prompt_seconds);
    tp_json_put_double(&doc.json, "tpot_ms", later > 0 ? 1000 * out->token_seconds / later : NAN);
    tp_machine_put(&doc.json, "machine", threads);
    tp_json_put_u64(&doc.json, "peak_memory_bytes", tp_machine_peak_memory());
    return tp_document_end(&doc);
}

/* --- The command --- */

static int generate(struct generating *g, const struct tp_argument *place, struct tp_generated *out,
                    unsigned *threads, struct tp_error *err)
{
    struct tp_subject subject = {0};
    int rc = read_prompt(g, err);

    if (rc < 0)
        return rc;
    /* What the runtime reads can be interrupted; what is printed is the text alone. */
    g->generation.progress = tp_meter_start(true);
    g->runtime.cancel = g->generation.progress->cancel;
    g->runtime.threads = g->options->threads;
    rc = tp_subject_open(place->path, place->path, &g->runtime, &subject, err);
    if (rc == 0) {
        *threads = tp_runtime_threads(subject.runtime);
        rc = tp_generate(&subject, g->prompt.data, g->prompt.len, &g->generation, out, err);
        g->integer_share = tp_runtime_integer_share(subject.runtime);
        /* The last token is not computed with. */
        if (out->tokens.n > 0 && !g->warning[0])
            tp_subject_is_beyond(&subject, out->prompt_tokens + out->tokens.n - 1, g->warning,
                                 sizeof g->warning);
    }
    tp_subject_close(&subject);
    tp_meter_stop();
    return rc;
}

static int run_generate(struct tp_options *o)
{
    struct generating g = {.options = o,
                           .generation = {.sampling = {.top_p = 1}, .max_tokens = 128},
                           .terminal = isatty(STDOUT_FILENO)};
    struct tp_generated out = {0};
    struct tp_error err = {0};
    struct tp_argument place = {0};
    unsigned threads = 0;
    int rc, code;

    if (!read_options(o, &g))
        return o->exit;
    g.generation.emit = emit_text;
    g.generation.note = note_warning;
    g.generation.arg = &g;
    rc = tp_argument_find_model(o->argv[0], &place, &err);
    if (rc == 0)
        rc = generate(&g, &place, &out, &threads, &err);
    if (!o->json && out.tokens.n > 0 && !g.failed)
        putchar('\n');
    fflush(stdout);
    if (g.warning[0] && !g.noted)
        tp_meter_note(NULL, g.warning);
    if (rc < 0)
        code = tp_report_failed(o, &err);
    else
        code = o->json ? print_document(&g, &out, place.path, threads) : tp_report_flush();
    tp_generated_clear(&out);
    tp_argument_clear(&place);
    tp_buffer_clear(&g.prompt);
    tp_buffer_clear(&g.text);
    return code;
}

const struct tp_command tp_command_generate = {
    .name = "generate",
    .args = "[OPTION...] DIR/MODEL [KEY=VALUE...]",
    .summary = "Continue a text with a model.",
    .about = "Text is printed as it comes, without the prompt, until the model ends it or there "
             "are enough tokens.\n"
             "Options can be given as KEY=VALUE, too.",
    .examples = "  tenpak generate models/my-finetune --prompt='Once upon a time'\n"
                "  tenpak generate models/my-finetune prompt='def main():' max_tokens=64\n"
                "  tenpak generate --temperature=0.8 --top-p=0.95 --seed=7 models/my-finetune "
                "<prompt.txt\n"
                "  tenpak generate --json -p 'Hello' models/my-finetune | jq .tpot_ms\n",
    .options = options,
    .with = TP_WITH_JSON | TP_WITH_THREADS,
    .min_args = 1,
    .max_args = 16,
    .run = run_generate,
};
