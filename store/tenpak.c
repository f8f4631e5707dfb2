/* SPDX-License-Identifier: MIT */
/*
 * The public library: a store, its models, their files and tensors, in structures that stay
 * compatible.
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/engine/engine.h"
#include "store/model.h"
#include "store/names.h"
#include "store/tenpak.h"

#define DEFAULT_CACHE (256u << 20)

struct tp_lib {
    struct tp_store *store;
    struct tp_engine *engine;
    struct tp_store_model *models;
    size_t model_n;
};

struct lib_file {
    struct tp_lib_file info;
    uint32_t number; /* in the files of the reader; TP_NONE: a symbolic link */
};

struct tp_lib_model {
    struct tp_lib *lib;
    struct tp_model *source;
    struct tp_pack *pack; /* NULL: a plain directory */
    struct lib_file *files;
    size_t file_n;
};

static int fill_error(struct tp_lib_error *error, int rc, const struct tp_error *err)
{
    if (error && rc < 0) {
        error->code = rc;
        memcpy(error->message, err->message, sizeof error->message);
    }
    return rc;
}

const char *tp_lib_version(void)
{
    return TENPAK_VERSION;
}

unsigned tp_lib_interface(void)
{
    return TP_LIB_INTERFACE;
}

static int open_lib(struct tp_lib *lib, const char *dir, const struct tp_lib_options *options,
                    struct tp_error *err)
{
    struct tp_engine_options engine = {.cache_bytes = DEFAULT_CACHE};
    struct tp_lib_options given = {0};
    if (options)
        memcpy(&given, options,
               options->struct_size < sizeof given ? options->struct_size : sizeof given);
    if (given.cache_bytes)
        engine.cache_bytes = given.cache_bytes;
    engine.threads = given.threads;
    int rc = tp_store_open(dir, &lib->store, err);
    if (!rc)
        rc = tp_store_models(lib->store, &lib->models, &lib->model_n, err);
    return rc ? rc : tp_engine_create(&engine, &lib->engine, err);
}

int tp_lib_open(const char *dir, const struct tp_lib_options *options, struct tp_lib **out,
                struct tp_lib_error *error)
{
    struct tp_error err = {0};
    struct tp_lib *lib = calloc(1, sizeof *lib);
    *out = NULL;
    if (!lib)
        return fill_error(error, tp_oom(&err), &err);
    int rc = open_lib(lib, dir, options, &err);
    if (rc)
        tp_lib_close(lib);
    else
        *out = lib;
    return fill_error(error, rc, &err);
}

void tp_lib_close(struct tp_lib *lib)
{
    if (!lib)
        return;
    if (lib->engine)
        tp_engine_destroy(lib->engine);
    tp_store_models_free(lib->models, lib->model_n);
    if (lib->store)
        tp_store_close(lib->store);
    free(lib);
}

const char *tp_lib_model_name(const struct tp_lib *lib, size_t number)
{
    return number < lib->model_n ? lib->models[number].name : NULL;
}

/* The number of a regular file in the reader, which has them in the order of the listing. */
static uint32_t number_of(const struct tp_model *source, size_t entry)
{
    uint32_t low = 0, high = source->file_n;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (source->files[middle].entry < entry)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void list_pack_files(struct tp_lib_model *model)
{
    const struct tp_index *index = tp_pack_index(model->pack);

    for (uint32_t i = 0; i < index->file_n; i++) {
        const struct tp_pack_file *f = &index->files[i];
        bool regular = f->type == TP_ENTRY_FILE;

        if (f->type == TP_ENTRY_DIR)
            continue;
        model->files[model->file_n++] = (struct lib_file){
            .info = {.path = f->path,
                     .link_target = f->target,
                     .size = f->size,
                     .mode = f->mode,
                     .mtime = f->mtime_sec,
                     .sha256 = regular ? f->sha256 : NULL},
            .number =
                regular ? number_of(model->source, f->link == TP_NONE ? i : f->link) : TP_NONE};
    }
}

static void list_plain_files(struct tp_lib_model *model)
{
    const struct tp_modeldir *dir = tp_model_dir(model->source);

    for (size_t i = 0; i < dir->entry_n; i++) {
        const struct tp_entry *f = &dir->entries[i];
        size_t entry = f->link == TP_NO_ENTRY ? i : f->link;

        if (f->type == TP_ENTRY_DIR)
            continue;
        model->files[model->file_n++] = (struct lib_file){
            .info = {.path = f->path,
                     .link_target = f->target,
                     .size = f->size,
                     .mode = f->mode,
                     .mtime = f->mtime_sec},
            .number = f->type == TP_ENTRY_FILE ? number_of(model->source, entry) : TP_NONE};
    }
}

static int open_model(struct tp_lib_model *model, const struct tp_store_model *found,
                      struct tp_error *err)
{
    struct tp_store *store = model->lib->store;
    bool packed = found->kind == TP_MODEL_PACK;
    tp_autofree char *path = packed ? NULL : tp_path_join(tp_store_dir(store), found->name, "");
    int rc = packed ? tp_store_open_pack(store, found->name, &model->pack, err) : 0;

    if (packed && !rc)
        rc = tp_model_open_pack(model->pack, model->lib->engine, &model->source, err);
    else if (!packed)
        rc = path ? tp_model_open(path, NULL, &model->source, err) : tp_oom(err);
    if (rc)
        return rc;
    model->files = calloc(
        (packed ? tp_pack_index(model->pack)->file_n : tp_model_dir(model->source)->entry_n) +
            (size_t)1,
        sizeof *model->files);
    if (!model->files)
        return tp_oom(err);
    if (packed)
        list_pack_files(model);
    else
        list_plain_files(model);
    return 0;
}

int tp_lib_model_open(struct tp_lib *lib, const char *name, struct tp_lib_model **out,
                      struct tp_lib_error *error)
{
    struct tp_error err = {0};
    const struct tp_store_model *found = NULL;
    struct tp_lib_model *model;
    *out = NULL;
    for (size_t i = 0; i < lib->model_n && !found; i++)
        if (!strcmp(lib->models[i].name, name))
            found = &lib->models[i];
    if (!found)
        return fill_error(
            error, tp_fail(&err, ENOENT, "no model '%s' in '%s'", name, tp_store_dir(lib->store)),
            &err);
    model = calloc(1, sizeof *model);
    if (!model)
        return fill_error(error, tp_oom(&err), &err);
    model->lib = lib;
    int rc = open_model(model, found, &err);
    if (rc)
        tp_lib_model_close(model);
    else
        *out = model;
    return fill_error(error, rc, &err);
}

void tp_lib_model_close(struct tp_lib_model *model)
{
    if (!model)
        return;
    free(model->files);
    tp_model_close(model->source);
    tp_pack_close(model->pack);
    free(model);
}

/*
 * Copy the part of a structure that the caller knows, and leave struct_size as the caller set it.
 */
static void copy_to_caller(void *out, const void *from, size_t size)
{
    size_t theirs;
    memcpy(&theirs, out, sizeof theirs);
    if (theirs > sizeof theirs)
        memcpy((char *)out + sizeof theirs, (const char *)from + sizeof theirs,
               (theirs < size ? theirs : size) - sizeof theirs);
}

int tp_lib_file_get(const struct tp_lib_model *model, size_t number, struct tp_lib_file *out)
{
    if (number >= model->file_n)
        return -ENOENT;
    copy_to_caller(out, &model->files[number].info, sizeof model->files[number].info);
    return 0;
}

ssize_t tp_lib_file_find(const struct tp_lib_model *model, const char *path)
{
    for (size_t i = 0; i < model->file_n; i++)
        if (!strcmp(model->files[i].info.path, path))
            return (ssize_t)i;
    return -ENOENT;
}

ssize_t tp_lib_pread(struct tp_lib_model *model, size_t number, void *buf, size_t len,
                     uint64_t offset, struct tp_lib_error *error)
{
    struct tp_error err = {0};
    if (number >= model->file_n)
        return fill_error(error, tp_fail(&err, ENOENT, "no file number %zu", number), &err);
    struct lib_file *f = &model->files[number];
    if (f->info.link_target)
        return fill_error(error, tp_fail(&err, ELOOP, "'%s' is a symbolic link", f->info.path),
                          &err);
    if (offset >= f->info.size)
        return 0;
    if (len > SSIZE_MAX)
        len = SSIZE_MAX;
    if (len > f->info.size - offset)
        len = (size_t)(f->info.size - offset);
    int rc = tp_model_read(model->source, f->number, offset, buf, len, &err);
    return rc < 0 ? fill_error(error, rc, &err) : (ssize_t)len;
}

int tp_lib_tensor_get(const struct tp_lib_model *model, size_t number, struct tp_lib_tensor *out)
{
    if (number >= model->source->name_n)
        return -ENOENT;
    const struct tp_model_tensor *t = &model->source->tensors[number];
    ssize_t file = tp_lib_file_find(model, model->source->files[t->file].path);
    if (file < 0)
        return -ENOENT;
    struct tp_lib_tensor info = {.name = t->name,
                                 .dtype = tp_dtype_name(t->dtype),
                                 .shape = t->shape,
                                 .rank = t->rank,
                                 .file = (size_t)file,
                                 .offset = t->off,
                                 .size = t->len};
    copy_to_caller(out, &info, sizeof info);
    return 0;
}

ssize_t tp_lib_tensor_find(const struct tp_lib_model *model, const char *name)
{
    const struct tp_model_tensor *t = tp_model_find(model->source, name);
    return t ? t - model->source->tensors : -ENOENT;
}
