/* SPDX-License-Identifier: MIT */
/* The verbs: their keys, bounds, defaults, and what their control files say of themselves. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/size.h"
#include "codec/codec.h"
#include "control/request/request.h"

#define MIB ((uint64_t)1 << 20)
#define SIZE_HIGH ((uint64_t)1 << 50)

static const char *const io_classes[] = {"normal", "idle", NULL};

/* clang-format off */
#define JOB_KEYS                                                                                   \
    {"threads", TP_KEY_NUMBER, NULL, 1, 1024, NULL, "threads to use; without it one for each CPU"}, \
    {"memory", TP_KEY_SIZE, "4GiB", 64 * MIB, SIZE_HIGH, NULL, "memory that the job may take"},    \
    {"nice", TP_KEY_NUMBER, "10", 0, 19, NULL, "how much others come before it"},                  \
    {"io", TP_KEY_WORD, "normal", 0, 0, io_classes, "its disk accesses: idle ones wait for all others"}, \
    {NULL, TP_KEY_NAME, NULL, 0, 0, NULL, NULL}
/* clang-format on */

static const struct tp_key estimate_keys[] = {
    {"base", TP_KEY_BASE, "auto", 0, 0, NULL,
     "what to compare with: auto finds one, none takes none"},
    {"dereference", TP_KEY_BOOL, NULL, 0, 0, NULL,
     "yes counts the files that symbolic links lead to"},
    JOB_KEYS,
};

static const struct tp_key compress_keys[] = {
    {"base", TP_KEY_BASE, "auto", 0, 0, NULL,
     "what to store differences from: auto finds one, none takes none"},
    {"codec", TP_KEY_WORD, "auto", 0, 0, tp_codec_choices,
     "for tensors; auto takes what is smallest, chunk by chunk"},
    {"zstd_level", TP_KEY_NUMBER, "3", 1, 19, NULL, "effort for what zstd codes"},
    {"keep", TP_KEY_BOOL, "no", 0, 0, NULL, "yes leaves the plain directory beside the pack"},
    {"dereference", TP_KEY_BOOL, NULL, 0, 0, NULL,
     "yes packs the files that symbolic links lead to; needs keep=yes"},
    {"lease", TP_KEY_BOOL, "yes", 0, 0, NULL,
     "no replaces a plain directory also where the kernel reports no writers"},
    JOB_KEYS,
};

static const struct tp_key restore_keys[] = {
    {"keep", TP_KEY_BOOL, "no", 0, 0, NULL, "yes leaves the pack beside the plain directory"},
    JOB_KEYS,
};

static const struct tp_key verify_keys[] = {JOB_KEYS};

static const struct tp_key evaluate_keys[] = {
    {"dataset", TP_KEY_TEXT, NULL, 0, 0, NULL,
     "a text file of the directory to measure perplexity on"},
    {"reference", TP_KEY_NAME, NULL, 0, 0, NULL, "a model to compare with"},
    {"tokens", TP_KEY_NUMBER, "65536", 1, (uint64_t)1 << 40, NULL,
     "how many tokens to measure on at most"},
    JOB_KEYS,
};

static const struct tp_key optimize_keys[] = {
    {"dataset", TP_KEY_TEXT, NULL, 0, 0, NULL,
     "a text file of the directory to measure perplexity on"},
    {"max_perplexity", TP_KEY_DECIMAL, NULL, 1, 1000000, NULL, "candidates above it are refused"},
    {"max_loss", TP_KEY_DECIMAL, NULL, 0, 100, NULL,
     "the same, as percent above the model as it is"},
    {"max_latency_ms", TP_KEY_DECIMAL, NULL, 0, 1000000, NULL,
     "for the next token, the 95th percentile"},
    {"min_tokens_per_second", TP_KEY_DECIMAL, NULL, 0, 1000000000, NULL,
     "candidates below it are refused"},
    {"max_memory", TP_KEY_SIZE, NULL, MIB, SIZE_HIGH, NULL,
     "memory that the model may take when it is served"},
    {"candidates", TP_KEY_TEXT, NULL, 0, 0, NULL,
     "names with commas between; without it all that are known"},
    {"hardware", TP_KEY_TEXT, NULL, 0, 0, NULL, "the machine that it is to be served on"},
    JOB_KEYS,
};

static const struct tp_key no_keys[] = {{NULL, TP_KEY_NAME, NULL, 0, 0, NULL, NULL}};

static const struct tp_verb_info verbs[TP_VERB_COUNT] = {
    [TP_VERB_ESTIMATE] = {"estimate", "MODEL",
                          "say what compressing a model would save, from samples, with an interval",
                          NULL, estimate_keys,
                          "my-finetune\n"
                          "my-finetune base=llama-3.2-1b\n"},
    [TP_VERB_COMPRESS] =
        {"compress", "MODEL",
         "replace a plain model directory by its pack, checked before the directory goes", NULL,
         compress_keys,
         "my-finetune\n"
         "my-finetune base=llama-3.2-1b keep=yes\n"
         "{\"model\": \"my-finetune\", \"base\": \"auto\", \"threads\": 4}\n"},
    [TP_VERB_RESTORE] = {"restore", "MODEL", "write a pack out as the plain directory that it was",
                         NULL, restore_keys,
                         "my-finetune\n"
                         "my-finetune keep=yes\n"},
    [TP_VERB_VERIFY] = {"verify", "MODEL",
                        "check every byte of a pack against its hashes; 'all' means every pack",
                        NULL, verify_keys,
                        "my-finetune\n"
                        "all io=idle\n"},
    [TP_VERB_EVALUATE] = {"evaluate", "MODEL", "measure a model's perplexity on a text",
                          "this build has no engine that runs models", evaluate_keys,
                          "my-finetune dataset=wiki.txt\n"},
    [TP_VERB_OPTIMIZE] = {"optimize", "MODEL", "find the cheapest form of a model within limits",
                          "this build has no engine that runs models", optimize_keys,
                          "my-finetune dataset=wiki.txt max_perplexity=9.5\n"},
    [TP_VERB_CANCEL] = {"cancel", "JOB", "end a job; its model stays as it was", NULL, no_keys,
                        "20260203-040506-1\n"},
};

const struct tp_verb_info *tp_verb_get(enum tp_verb verb)
{
    return (unsigned)verb < TP_VERB_COUNT ? &verbs[verb] : NULL;
}

enum tp_verb tp_verb_find(const char *name)
{
    unsigned verb = 0;

    while (verb < TP_VERB_COUNT && strcmp(verbs[verb].name, name) != 0)
        verb++;
    return (enum tp_verb)verb;
}

static void help_bounds(const struct tp_key *key, struct tp_buffer *out)
{
    char low[TP_SIZE_TEXT], high[TP_SIZE_TEXT];

    switch (key->kind) {
    case TP_KEY_WORD:
        for (size_t i = 0; key->words[i]; i++)
            tp_buffer_appendf(out, "%s%s", i ? "|" : "", key->words[i]);
        break;
    case TP_KEY_BASE:
        tp_buffer_appendf(out, "auto|none|MODEL");
        break;
    case TP_KEY_BOOL:
        tp_buffer_appendf(out, "yes|no");
        break;
    case TP_KEY_NUMBER:
    case TP_KEY_DECIMAL:
        tp_buffer_appendf(out, "%" PRIu64 "..%" PRIu64, key->low, key->high);
        break;
    case TP_KEY_SIZE:
        tp_buffer_appendf(out, "SIZE %s..%s", tp_size_print(key->low, low),
                          tp_size_print(key->high, high));
        break;
    case TP_KEY_NAME:
        tp_buffer_appendf(out, "MODEL");
        break;
    case TP_KEY_TEXT:
        tp_buffer_appendf(out, "TEXT");
        break;
    }
}

int tp_verb_help(enum tp_verb verb, struct tp_buffer *out)
{
    const struct tp_verb_info *info = tp_verb_get(verb);
    const char *line;

    if (!info)
        return -EINVAL;
    tp_buffer_appendf(out, "%s %s%s: %s.\n", info->name, info->subject,
                      info->keys[0].name ? " [KEY=VALUE...]" : "", info->summary);
    if (info->unavailable)
        tp_buffer_appendf(out, "Not available: %s.\n", info->unavailable);
    if (info->keys[0].name)
        tp_buffer_appendf(
            out,
            "\nKeys, with what holds when they are not given (tenpak.conf may say otherwise):\n");
    for (const struct tp_key *key = info->keys; key->name; key++) {
        tp_buffer_appendf(out, "  %s=%s\n      ", key->name, key->standard ? key->standard : "");
        help_bounds(key, out);
        tp_buffer_appendf(out, ": %s\n", key->help);
    }
    if (verb != TP_VERB_CANCEL)
        tp_buffer_appendf(out, "  id=\n      up to %u characters: the same again is the same job\n",
                          TP_RETRY_KEY_MAX);
    tp_buffer_appendf(
        out,
        "\nA command is a line; several lines are all taken, or none. Words are quoted as in a "
        "shell.\nExamples:\n");
    for (line = info->example; *line;) {
        size_t len = strcspn(line, "\n");

        tp_buffer_appendf(out, "  %.*s\n", (int)len, line);
        line += len + (line[len] == '\n');
    }
    /* What could not be appended leaves the buffer short; the last byte tells. */
    return out->len > 0 && out->data[out->len - 1] == '\n' ? 0 : -ENOMEM;
}
