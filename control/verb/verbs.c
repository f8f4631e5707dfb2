/* SPDX-License-Identifier: MIT */
/* The table of verbs, and the help text of each. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "control/verb/impl.h"

const char *const tp_io_words[] = {"normal", "idle", NULL};

static const struct tp_key no_keys[] = {{.name = NULL}};

/* Executed by the manager of jobs itself, not as a job. */
static const struct tp_verb_ops cancel = {
    .name = "cancel",
    .subject = "JOB",
    .summary = "end a job; its model is left unchanged",
    .keys = no_keys,
    .example = "20260203-040506-1\n",
    .reads_only = true,
};

static const struct tp_verb_ops *const verbs[TP_VERB_COUNT] = {
    [TP_VERB_ESTIMATE] = &tp_verb_estimate,
    [TP_VERB_COMPRESS] = &tp_verb_compress,
    [TP_VERB_RESTORE] = &tp_verb_restore,
    [TP_VERB_VERIFY] = &tp_verb_verify,
    [TP_VERB_EVALUATE] = &tp_verb_evaluate,
    [TP_VERB_OPTIMIZE] = &tp_verb_optimize,
    [TP_VERB_CANCEL] = &cancel,
};

const struct tp_verb_ops *tp_verb_get(enum tp_verb verb)
{
    return (unsigned)verb < TP_VERB_COUNT ? verbs[verb] : NULL;
}

enum tp_verb tp_verb_find(const char *name)
{
    unsigned verb = 0;

    while (verb < TP_VERB_COUNT && strcmp(verbs[verb]->name, name) != 0)
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
    case TP_KEY_MODEL:
        tp_buffer_appendf(out, "MODEL");
        break;
    case TP_KEY_TEXT:
        tp_buffer_appendf(out, "TEXT");
        break;
    case TP_KEY_LIST:
        tp_buffer_appendf(out, "NAME,...");
        break;
    }
}

int tp_verb_help(enum tp_verb verb, struct tp_buffer *out)
{
    const struct tp_verb_ops *info = tp_verb_get(verb);
    const char *line;

    if (!info)
        return -EINVAL;
    tp_buffer_appendf(out, "%s %s%s: %s.\n", info->name, info->subject,
                      info->keys[0].name ? " [KEY=VALUE...]" : "", info->summary);
    if (info->keys[0].name)
        tp_buffer_appendf(out, "\nKeys and their defaults (tenpak.conf can set others):\n");
    for (const struct tp_key *key = info->keys; key->name; key++) {
        tp_buffer_appendf(out, "  %s=%s\n      ", key->name, key->standard ? key->standard : "");
        help_bounds(key, out);
        tp_buffer_appendf(out, ": %s\n", key->help);
    }
    if (verb != TP_VERB_CANCEL)
        tp_buffer_appendf(out,
                          "  id=\n      up to %u characters: a repeated request is the same job\n",
                          TP_RETRY_KEY_MAX);
    tp_buffer_appendf(
        out,
        "\nEach line is a command; all of several are accepted, or none. Words are quoted as in a "
        "shell.\nExamples:\n");
    for (line = info->example; *line;) {
        size_t len = strcspn(line, "\n");

        tp_buffer_appendf(out, "  %.*s\n", (int)len, line);
        line += len + (line[len] == '\n');
    }
    /* A failed append leaves the buffer without its last byte. */
    return out->len > 0 && out->data[out->len - 1] == '\n' ? 0 : -ENOMEM;
}
