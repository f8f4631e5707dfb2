/* SPDX-License-Identifier: MIT */
/* Which files of a model have its weights: those that transformers reads. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "optimizer/runtime/runtime_impl.h"

#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"

/* The number of the first file from FIRST on with this title; FILE_N: there is none. */
static uint32_t find_title(const struct tp_model *model, const char *title, uint32_t first)
{
    while (first < model->file_n && strcmp(model->files[first].title, title) != 0)
        first++;
    return first;
}

static bool mark_title(struct tp_runtime *rt, const char *title)
{
    const struct tp_model *model = rt->model;
    bool found = false;

    for (uint32_t i = 0; (i = find_title(model, title, i)) < model->file_n; i++)
        found = rt->has_weights[i] = true;
    return found;
}

/* Folders below the top one hold other models, as the checkpoints of a training. */
static void mark_all(struct tp_runtime *rt)
{
    for (uint32_t i = 0; i < rt->model->file_n; i++)
        rt->has_weights[i] = !strchr(rt->model->files[i].title, '/');
}

static int fail_missing(const struct tp_runtime *rt, const char *name, struct tp_error *err)
{
    const char *link = tp_model_find_link(rt->model, name);

    return link ? tp_fail(err, ENOENT, "'%s' is a symbolic link, which is not followed", link)
                : tp_fail(err, ENOENT, "'" INDEX "' names '%s', which is not there", name);
}

/* The files that the index names; most names follow others that are the same. */
static int mark_named(struct tp_runtime *rt, const struct tp_json *index, struct tp_error *err)
{
    const struct tp_json *map = tp_json_get(index, "weight_map");
    const char *last = "";

    if (!tp_json_is_object(map) || tp_json_count(map) == 0)
        return tp_fail(err, EBADMSG, "'" INDEX "' has no object 'weight_map' with names of files");
    for (const struct tp_json *v = tp_json_first(map); v; v = tp_json_next(v)) {
        const char *name = tp_json_string(v);

        if (!name)
            return tp_fail(err, EBADMSG, "'" INDEX "' has no name of a file for '%s'",
                           tp_json_key(v));
        if (strcmp(name, last) == 0)
            continue;
        if (!mark_title(rt, name))
            return fail_missing(rt, name, err);
        last = name;
    }
    return 0;
}

static int read_index(struct tp_runtime *rt, uint32_t file, struct tp_error *err)
{
    tp_autojson struct tp_json *index = NULL;
    uint64_t size = rt->model->files[file].size;
    tp_autofree char *text = NULL;
    int rc;

    if (size > TP_JSON_MAX)
        return tp_fail(err, EFBIG, "'" INDEX "' has %" PRIu64 " bytes, more than %u", size,
                       TP_JSON_MAX);
    text = malloc((size_t)size + 1);
    if (!text)
        return tp_oom(err);
    rc = tp_model_read(rt->model, file, 0, text, (size_t)size, err);
    if (rc < 0)
        return rc;
    rc = tp_json_parse(text, (size_t)size, &index, err);
    if (rc < 0) {
        tp_error_prefix(err, "'" INDEX "'");
        return rc;
    }
    return mark_named(rt, index, err);
}

int tp_weights_find(struct tp_runtime *rt, struct tp_error *err)
{
    uint32_t index = find_title(rt->model, INDEX, 0);

    rt->has_weights = calloc((size_t)rt->model->file_n + 1, sizeof *rt->has_weights);
    if (!rt->has_weights)
        return tp_oom(err);
    rt->weights_named = true;
    if (mark_title(rt, SINGLE))
        return 0;
    if (index < rt->model->file_n)
        return read_index(rt, index, err);
    rt->weights_named = false;
    mark_all(rt);
    return 0;
}

uint64_t tp_runtime_tensor_bytes(const struct tp_runtime *rt)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < rt->model->file_n; i++)
        bytes += rt->has_weights[i] ? rt->model->files[i].tensor_bytes : 0;
    return bytes;
}
