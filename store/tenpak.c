/* SPDX-License-Identifier: MIT */
/*
 * The public library's interface: a store, its models, their files and tensors, in stable
 * structures.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/engine/engine.h"
#include "store/reader.h"
#include "store/model.h"
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
    uint32_t number;          /* in the pack's index */
    int fd;                   /* of a plain file, opened at its first read */
    struct tp_reader *reader; /* of a pack's file, likewise */
};

struct tp_lib_model {
    struct tp_lib *lib;
    struct tp_model *source;
    struct tp_pack *pack;   /* NULL: a plain directory */
    struct tp_modeldir dir; /* of a plain directory */
    int dirfd;
    pthread_mutex_t lock; /* of opening files */
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

static void list_pack_files(struct tp_lib_model *model, const struct tp_index *index)
{
    for (uint32_t i = 0; i < index->file_n; i++) {
        const struct tp_pack_file *f = &index->files[i];
        if (f->type == TP_ENTRY_DIR)
            continue;
        struct lib_file *mine = &model->files[model->file_n++];
        mine->fd = -1;
        mine->number = i;
        mine->info = (struct tp_lib_file){.path = f->path,
                                          .link_target = f->target,
                                          .size = f->size,
                                          .mode = f->mode,
                                          .mtime = f->mtime_sec};
        if (f->type == TP_ENTRY_FILE)
            mine->info.sha256 = f->sha256;
    }
}

static void list_plain_files(struct tp_lib_model *model)
{
    for (size_t i = 0; i < model->dir.entry_n; i++) {
        const struct tp_entry *f = &model->dir.entries[i];
        if (f->type == TP_ENTRY_DIR)
            continue;
        struct lib_file *mine = &model->files[model->file_n++];
        mine->fd = -1;
        mine->info = (struct tp_lib_file){.path = f->path,
                                          .link_target = f->target,
                                          .size = f->size,
                                          .mode = f->mode,
                                          .mtime = f->mtime_sec};
    }
}

static int open_pack_model(struct tp_lib_model *model, const char *name, struct tp_error *err)
{
    int rc = tp_store_open_pack(model->lib->store, name, &model->pack, err);
    if (!rc)
        rc = tp_model_open_pack(model->pack, NULL, &model->source, err);
    if (rc)
        return rc;
    const struct tp_index *index = tp_pack_index(model->pack);
    model->files = calloc((size_t)index->file_n + 1, sizeof *model->files);
    if (!model->files)
        return tp_oom(err);
    list_pack_files(model, index);
    return 0;
}

static int open_plain_model(struct tp_lib_model *model, const char *name, struct tp_error *err)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", tp_store_dir(model->lib->store), name) < 0)
        return tp_oom(err);
    int rc = tp_model_open(path, NULL, &model->source, err);
    if (!rc)
        rc = tp_modeldir_scan(path, &model->dir, err);
    if (!rc) {
        model->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (model->dirfd < 0)
            rc = tp_fail_errno(err, "cannot open '%s'", path);
    }
    free(path);
    if (rc)
        return rc;
    model->files = calloc(model->dir.entry_n + 1, sizeof *model->files);
    if (!model->files)
        return tp_oom(err);
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
    model->dirfd = -1;
    pthread_mutex_init(&model->lock, NULL);
    int rc = found->kind == TP_MODEL_PACK ? open_pack_model(model, name, &err)
                                          : open_plain_model(model, name, &err);
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
    for (size_t i = 0; i < model->file_n; i++) {
        tp_reader_close(model->files[i].reader);
        if (model->files[i].fd >= 0)
            close(model->files[i].fd);
    }
    free(model->files);
    if (model->dirfd >= 0)
        close(model->dirfd);
    tp_model_close(model->source);
    tp_modeldir_clear(&model->dir);
    tp_pack_close(model->pack);
    pthread_mutex_destroy(&model->lock);
    free(model);
}

/* Copy as much of a structure as its caller knows, and leave struct_size as the caller set it. */
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

/* Open file F for reading, once. */
static int open_file(struct tp_lib_model *model, struct lib_file *f, struct tp_error *err)
{
    int rc = 0;
    TP_LOCK_SCOPE(&model->lock);
    if (model->pack && !f->reader)
        rc = tp_reader_open(model->lib->engine, model->pack, f->number, &f->reader, err);
    if (!model->pack && f->fd < 0) {
        f->fd = tp_modeldir_open(&model->dir, model->dirfd, f->info.path);
        if (f->fd < 0)
            rc = tp_fail_errno(err, "cannot open '%s'", f->info.path);
    }
    return rc;
}

static ssize_t read_plain(const struct lib_file *f, void *buf, size_t len, uint64_t offset,
                          struct tp_error *err)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(f->fd, (char *)buf + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tp_fail_errno(err, "cannot read '%s'", f->info.path);
        if (!n)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

ssize_t tp_lib_pread(struct tp_lib_model *model, size_t number, void *buf, size_t len,
                     uint64_t offset, struct tp_lib_error *error)
{
    struct tp_error err = {0};
    ssize_t n;
    if (number >= model->file_n)
        return fill_error(error, tp_fail(&err, ENOENT, "no file number %zu", number), &err);
    struct lib_file *f = &model->files[number];
    if (f->info.link_target)
        return fill_error(error, tp_fail(&err, ELOOP, "'%s' is a symbolic link", f->info.path),
                          &err);
    if (offset > INT64_MAX)
        return 0;
    if (len > SSIZE_MAX)
        len = SSIZE_MAX;
    n = open_file(model, f, &err);
    if (!n)
        n = model->pack ? tp_reader_pread(f->reader, buf, len, offset, &err)
                        : read_plain(f, buf, len, offset, &err);
    if (n < 0)
        fill_error(error, (int)n, &err);
    return n;
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
