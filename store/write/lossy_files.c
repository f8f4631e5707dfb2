/* SPDX-License-Identifier: MIT */
/* The files of a lossy pack besides its weights, and the header of the weights. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/json_write.h"
#include "base/le.h"
#include "base/vector.h"
#include "store/model_impl.h"
#include "store/pack/pack_internal.h"
#include "store/write/lossy_impl.h"

static const char weights_name[] = "model.safetensors";

struct file_list {
    struct tp_lossy_file *files;
    size_t n, cap;
};

/*
 * Whether a file has weights in any format, or says where they are: the pack has weights of its
 * own.
 */
static bool is_weights(const struct tp_model_file *f, const char *path)
{
    static const char *const suffixes[] = {".safetensors", ".safetensors.index.json",
                                           ".bin",         ".bin.index.json",
                                           ".pt",          ".pth",
                                           ".ckpt",        ".gguf",
                                           ".ggml",        ".onnx",
                                           ".onnx_data",   ".h5",
                                           ".msgpack",     ".ot",
                                           ".tflite",      ".index.json",
                                           ".npz",         ".pdparams"};
    size_t len = strlen(path);

    if (f->tensor_bytes)
        return true;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        size_t suffix = strlen(suffixes[i]);

        if (len >= suffix && strcasecmp(path + len - suffix, suffixes[i]) == 0)
            return true;
    }
    return false;
}

/* Whether PATH is in the parts of the hub's cache that are not the model's. */
static bool is_of_cache(const struct tp_model *model, const char *path)
{
    bool cache = false;

    for (uint32_t i = 0; i < model->file_n && !cache; i++)
        cache = model->files[i].title != model->files[i].path;
    return cache && (strncmp(path, "refs/", 5) == 0 || strncmp(path, "blobs/", 6) == 0 ||
                     strncmp(path, ".no_exist/", 10) == 0);
}

static int add_file(struct file_list *list, const char *path, size_t len, enum tp_entry_type type,
                    uint32_t source)
{
    char *copy = strndup(path, len);

    if (!copy || TP_VECTOR_GROW(list->files, list->n, list->cap) < 0) {
        free(copy);
        return -ENOMEM;
    }
    list->files[list->n++] = (struct tp_lossy_file){.path = copy, .type = type, .source = source};
    return 0;
}

/* Add a file, and the directories that it lies in. */
static int add_path(struct file_list *list, const char *path, uint32_t source)
{
    int rc = 0;

    for (const char *p = strchr(path, '/'); rc == 0 && p; p = strchr(p + 1, '/'))
        rc = add_file(list, path, (size_t)(p - path), TP_ENTRY_DIR, TP_NONE);
    return rc == 0 ? add_file(list, path, strlen(path), TP_ENTRY_FILE, source) : rc;
}

static int by_path(const void *a, const void *b)
{
    const struct tp_lossy_file *f = a, *g = b;
    int order = tp_path_compare(f->path, g->path);

    return order ? order : (f->source > g->source) - (f->source < g->source);
}

/* Sort, and drop all but the first of a path: directories, and further snapshots of a file. */
static void sort_files(struct file_list *list)
{
    size_t n = 0;

    qsort(list->files, list->n, sizeof *list->files, by_path);
    for (size_t i = 0; i < list->n; i++) {
        if (n && strcmp(list->files[n - 1].path, list->files[i].path) == 0)
            free(list->files[i].path);
        else
            list->files[n++] = list->files[i];
    }
    list->n = n;
}

static int find_files(struct tp_lossy *w, struct file_list *list)
{
    const struct tp_model *model = w->original;
    int rc = add_path(list, weights_name, TP_NONE);

    for (uint32_t i = 0; rc == 0 && i < model->file_n; i++) {
        const struct tp_model_file *f = &model->files[i];

        if (!is_weights(f, f->title) && !is_weights(f, f->path) && !is_of_cache(model, f->title))
            rc = add_path(list, f->title, i);
    }
    sort_files(list);
    return rc;
}

/* Mode and time of a file or directory of the original. False: it has no such entry. */
static bool read_entry(const struct tp_model *model, const struct tp_lossy_file *file,
                       struct tp_pack_file *out)
{
    const struct tp_modeldir *dir = tp_model_dir(model);

    if (dir) {
        const struct tp_entry *e = file->source == TP_NONE
                                       ? tp_modeldir_find(dir, file->path)
                                       : &dir->entries[model->files[file->source].entry];

        if (!e || e->type != file->type)
            return false;
        out->mode = e->mode;
        out->mtime_sec = e->mtime_sec;
        out->mtime_nsec = e->mtime_nsec;
    } else {
        const struct tp_index *x = tp_pack_index(tp_model_pack(model));
        const struct tp_pack_file *f = file->source == TP_NONE
                                           ? tp_index_find(x, file->path)
                                           : &x->files[model->files[file->source].entry];

        if (!f || f->type != file->type)
            return false;
        out->mode = f->mode;
        out->mtime_sec = f->mtime_sec;
        out->mtime_nsec = f->mtime_nsec;
    }
    return true;
}

static void fill_record(struct tp_lossy *w, uint32_t number)
{
    const struct tp_lossy_file *file = &w->files[number];
    struct tp_pack_file *f = &w->x.files[number];
    bool is_dir = file->type == TP_ENTRY_DIR;

    f->path = file->path;
    f->type = file->type;
    f->link = TP_NONE;
    if (!read_entry(w->original, file, f)) {
        f->mode = is_dir ? w->x.root_mode : w->x.root_mode & 0666;
        f->mtime_sec = w->x.root_mtime_sec;
        f->mtime_nsec = w->x.root_mtime_nsec;
    }
    if (file->source != TP_NONE)
        f->size = w->original->files[file->source].size;
    else if (!is_dir) {
        w->weights = number;
        f->mtime_sec = w->original->weights_sec;
        f->mtime_nsec = w->original->weights_nsec;
    }
}

int tp_lossy_list_files(struct tp_lossy *w, struct tp_error *err)
{
    struct file_list list = {0};
    int rc = find_files(w, &list);

    w->files = list.files;
    w->x.file_n = (uint32_t)list.n;
    w->x.files = calloc(list.n + 1, sizeof *w->x.files);
    if (rc < 0 || !w->x.files)
        return tp_oom(err);
    for (uint32_t i = 0; i < w->x.file_n; i++)
        fill_record(w, i);
    return 0;
}

struct source {
    struct tp_model *model;
    uint32_t file;
};

static int read_source(void *arg, uint64_t off, void *dst, size_t len, struct tp_error *err)
{
    const struct source *source = arg;

    return tp_model_read(source->model, source->file, off, dst, len, err);
}

int tp_lossy_put_files(struct tp_lossy *w, uint32_t first, uint32_t end, struct tp_error *err)
{
    int rc = 0;

    for (uint32_t i = first; rc == 0 && i < end; i++) {
        struct source source = {w->original, w->files[i].source};

        if (w->files[i].type != TP_ENTRY_FILE)
            continue;
        w->x.files[i].segment_first = w->x.segment_n;
        if (w->x.files[i].size)
            rc = tp_lossy_put_opaque(w, i, w->x.files[i].size, read_source, &source, err);
        tp_lossy_end_file(w, i);
    }
    return rc;
}

static void describe_tensor(struct tp_json_writer *j, const struct tp_lossy_slot *slot,
                            uint64_t off)
{
    tp_json_begin_object(j, slot->tensor.name);
    tp_json_put_string(j, "dtype", tp_dtype_name(slot->dtype));
    tp_json_begin_array(j, "shape");
    for (unsigned d = 0; d < slot->tensor.rank; d++)
        tp_json_put_u64(j, NULL, slot->tensor.shape[d]);
    tp_json_end_array(j);
    tp_json_begin_array(j, "data_offsets");
    tp_json_put_u64(j, NULL, off);
    tp_json_put_u64(j, NULL, off + slot->bytes);
    tp_json_end_array(j);
    tp_json_end_object(j);
}

static int make_header(const struct tp_lossy *w, struct tp_buffer *out)
{
    struct tp_json_writer j;
    uint64_t off = 0;
    int rc = tp_buffer_append_le64(out, 0);

    tp_json_writer_init(&j, out, false);
    tp_json_begin_object(&j, NULL);
    tp_json_begin_object(&j, "__metadata__");
    tp_json_put_string(&j, "format", "pt");
    tp_json_end_object(&j);
    for (size_t i = 0; i < w->slot_n; i++) {
        describe_tensor(&j, &w->slots[i], off);
        off += w->slots[i].bytes;
    }
    tp_json_end_object(&j);
    if (rc == 0)
        rc = tp_json_writer_finish(&j);
    while (rc == 0 && out->len % 8)
        rc = tp_buffer_append_u8(out, ' ');
    if (rc == 0)
        tp_put_le64(out->data, out->len - 8);
    return rc;
}

static int read_buffer(void *arg, uint64_t off, void *dst, size_t len, struct tp_error *err)
{
    const struct tp_buffer *buffer = arg;

    (void)err;
    memcpy(dst, buffer->data + off, len);
    return 0;
}

int tp_lossy_put_header(struct tp_lossy *w, struct tp_error *err)
{
    tp_auto(tp_buffer_clear) struct tp_buffer header = {0};
    struct tp_pack_file *f = &w->x.files[w->weights];
    uint64_t size;

    if (make_header(w, &header) < 0)
        return tp_oom(err);
    f->segment_first = w->x.segment_n;
    size = header.len;
    for (size_t i = 0; i < w->slot_n; i++)
        if (!tp_add_u64(size, w->slots[i].bytes, &size) || size > INT64_MAX)
            return tp_fail(err, EFBIG, "the tensors of '%s' are too large", w->out);
    f->size = size;
    return tp_lossy_put_opaque(w, w->weights, header.len, read_buffer, &header, err);
}
