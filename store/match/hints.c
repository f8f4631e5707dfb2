/* SPDX-License-Identifier: MIT */
/*
 * Reading the name of the base from config.json, adapter_config.json and the front matter of a
 * model card.
 */
#include <config.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "store/match/hints.h"
#include "tensor/config.h"

#define HINT_FILE_MAX (1u << 20)

static bool copy_part(char out[256], const char *text, size_t len)
{
    if (len >= 256)
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

/*
 * Split "models--org--name", as the hub's cache names a model. LEN is its length. False: not of
 * this form.
 */
static bool split_cached(const char *text, size_t len, const char **org, size_t *org_len,
                         const char **name)
{
    static const char prefix[] = "models--";
    size_t skip = sizeof prefix - 1;
    if (len <= skip || memcmp(text, prefix, skip))
        return false;
    *org = text + skip;
    *name = *org;
    *org_len = 0;
    for (const char *p = *org; p + 2 < text + len; p++) {
        if (memcmp(p, "--", 2) || p == *org)
            continue;
        *org_len = (size_t)(p - *org);
        *name = p + 2;
        break;
    }
    return true;
}

/* Add the base that NAME names: LEN bytes of a path or of "org/name". */
static void add_hint(struct tp_hints *hints, const char *name, size_t len, const char *origin)
{
    const char *last = name, *before = name, *org, *cached;
    size_t before_len = 0, last_len, org_len;
    while (len && (name[len - 1] == '/' || isspace((unsigned char)name[len - 1])))
        len--;
    for (size_t i = 0; i < len; i++) {
        size_t part = 0;
        while (i + part < len && name[i + part] != '/')
            part++;
        if (part) {
            before = last;
            before_len = before == name + i ? 0 : (size_t)(name + i - before);
            while (before_len && before[before_len - 1] == '/')
                before_len--;
            last = name + i;
        }
        if (split_cached(name + i, part, &org, &org_len, &cached)) {
            before = org;
            before_len = org_len;
            last = cached;
            len = i + part;
        }
        i += part;
    }
    last_len = (size_t)(name + len - last);
    if (!last_len || hints->n == TP_HINTS_MAX)
        return;
    struct tp_hint *hint = &hints->hint[hints->n];
    if (!copy_part(hint->name, last, last_len) || !copy_part(hint->org, before, before_len))
        return;
    hint->origin = origin;
    hints->n++;
}

/* Read a whole small file, with a NUL after it. NULL: absent, too long or unreadable. */
static char *read_small(struct tp_model *model, const char *path, size_t *len)
{
    uint32_t file = 0;
    while (file < model->file_n && strcmp(model->files[file].title, path))
        file++;
    if (file == model->file_n || model->files[file].size > HINT_FILE_MAX)
        return NULL;
    *len = (size_t)model->files[file].size;
    char *text = malloc(*len + 1);
    if (!text || tp_model_read(model, file, 0, text, *len, NULL)) {
        free(text);
        return NULL;
    }
    text[*len] = '\0';
    return text;
}

static void read_json(struct tp_model *model, const char *path, const char *const *keys,
                      struct tp_hints *out)
{
    struct tp_json *root = NULL;
    size_t len;
    tp_autofree char *text = read_small(model, path, &len);
    if (text && tp_json_parse(text, len, &root, NULL) == 0) {
        for (; *keys; keys++) {
            const struct tp_json *value = tp_json_get(root, *keys);
            const char *name = tp_json_string(value);
            if (tp_json_is_array(value))
                name = tp_json_string(tp_json_first(value));
            if (name)
                add_hint(out, name, strlen(name), path);
        }
        tp_json_free(root);
    }
}

/* Names in config.json count even if its numbers are invalid. */
static void read_config(struct tp_model *model, struct tp_hints *out)
{
    struct tp_config config;
    size_t len;
    tp_autofree char *text = read_small(model, "config.json", &len);

    if (!text)
        return;
    tp_config_parse(text, len, &config, NULL);
    if (config.name)
        add_hint(out, config.name, strlen(config.name), "config.json");
    if (config.base_model)
        add_hint(out, config.base_model, strlen(config.base_model), "config.json");
    tp_config_clear(&config);
}

/* A value of YAML as in model cards: plain or in quotes. */
static void add_yaml(struct tp_hints *out, const char *text, size_t len)
{
    while (len && isspace((unsigned char)*text)) {
        text++;
        len--;
    }
    while (len && isspace((unsigned char)text[len - 1]))
        len--;
    if (len >= 2 && (*text == '"' || *text == '\'') && text[len - 1] == *text) {
        text++;
        len -= 2;
    }
    if (len && *text != '#')
        add_hint(out, text, len, "README.md");
}

/* A list of YAML in the inline form: [a, b]. */
static void add_yaml_list(struct tp_hints *out, const char *text, size_t len)
{
    size_t from = 0;
    for (size_t i = 0; i <= len; i++) {
        if (i == len || text[i] == ',' || text[i] == ']') {
            add_yaml(out, text + from, i - from);
            from = i + 1;
            if (i < len && text[i] == ']')
                return;
        }
    }
}

/*
 * Front matter is between the first two lines "---": "base_model: x", or a list below
 * "base_model:".
 */
static void read_card(struct tp_model *model, struct tp_hints *out)
{
    static const char key[] = "base_model:";
    size_t len;
    tp_autofree char *text = read_small(model, "README.md", &len);
    bool in_list = false;
    if (!text || strncmp(text, "---", 3))
        return;
    for (char *line = strchr(text, '\n'); line && strncmp(line, "\n---", 4);) {
        char *end = strchr(++line, '\n');
        size_t n = end ? (size_t)(end - line) : strlen(line);
        size_t blank = strspn(line, " ");
        if (in_list && blank < n && line[blank] == '-') {
            add_yaml(out, line + blank + 1, n - blank - 1);
        } else if (n >= sizeof key - 1 && !strncmp(line, key, sizeof key - 1)) {
            const char *value = line + sizeof key - 1;
            size_t value_len = n - (sizeof key - 1), skip = strspn(value, " ");
            in_list = skip >= value_len || value[skip] == '\r';
            if (skip < value_len && value[skip] == '[')
                add_yaml_list(out, value + skip + 1, value_len - skip - 1);
            else if (!in_list)
                add_yaml(out, value, value_len);
        } else {
            in_list = false;
        }
        line = end;
    }
}

void tp_hints_read(struct tp_model *model, struct tp_hints *out)
{
    static const char *const pipeline_keys[] = {"_name_or_path", NULL};
    static const char *const adapter_keys[] = {"base_model_name_or_path", NULL};
    out->n = 0;
    read_config(model, out);
    read_json(model, "model_index.json", pipeline_keys, out);
    read_json(model, "adapter_config.json", adapter_keys, out);
    read_card(model, out);
}

/* Whether NAME is ORG and the hint's name, joined by one of the usual separators. */
static bool is_joined(const char *name, const struct tp_hint *hint)
{
    size_t org = strlen(hint->org), marks;
    if (!org || strncasecmp(name, hint->org, org))
        return false;
    marks = strspn(name + org, "-_");
    return marks > 0 && marks <= 2 && !strcasecmp(name + org + marks, hint->name);
}

const struct tp_hint *tp_hints_find(const struct tp_hints *hints, const char *name)
{
    const char *org;
    size_t org_len;
    split_cached(name, strlen(name), &org, &org_len, &name);
    for (unsigned i = 0; i < hints->n; i++)
        if (!strcasecmp(hints->hint[i].name, name) || is_joined(name, &hints->hint[i]))
            return &hints->hint[i];
    return NULL;
}
