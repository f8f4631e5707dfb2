/* SPDX-License-Identifier: MIT */
/* Opening a model: the files and tensors of a plain directory or of a pack, and look-ups. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "store/model_impl.h"

enum { LINK_MAX_LEN = 4096 };

/* A model that is being opened. */
struct opening {
    struct tp_model *model;
    size_t cap; /* of tensors */
    struct tp_error *err;
};

/* Add a tensor to the last file. */
static int add_tensor(struct opening *o, const struct tp_model_tensor *t)
{
    struct tp_model *model = o->model;
    struct tp_model_file *file = &model->files[model->file_n - 1];

    if (model->tensor_n == o->cap) {
        size_t cap = o->cap ? 2 * o->cap : 256;
        struct tp_model_tensor *grown = reallocarray(model->tensors, cap, sizeof *grown);

        if (!grown)
            return tp_oom(o->err);
        model->tensors = grown;
        o->cap = cap;
    }
    model->tensors[model->tensor_n] = *t;
    model->tensors[model->tensor_n++].file = model->file_n - 1;
    file->tensor_n++;
    file->tensor_bytes += t->len;
    model->tensor_bytes += t->len;
    return 0;
}

static struct tp_model_file *add_file(struct tp_model *model, const char *path, uint64_t size,
                                      size_t entry)
{
    struct tp_model_file *file = &model->files[model->file_n++];

    *file = (struct tp_model_file){
        .path = path, .size = size, .tensor_first = model->tensor_n, .entry = (uint32_t)entry};
    model->logical_bytes += size;
    return file;
}

/* Note that FILE was modified at this time. */
static void note_time(struct tp_model *model, const struct tp_model_file *file, int64_t sec,
                      uint32_t nsec)
{
    if (file->tensor_bytes &&
        (sec > model->weights_sec || (sec == model->weights_sec && nsec > model->weights_nsec))) {
        model->weights_sec = sec;
        model->weights_nsec = nsec;
    }
}

static bool is_named_safetensors(const char *path)
{
    static const char suffix[] = ".safetensors";
    size_t len = strlen(path);

    return len >= sizeof suffix - 1 && strcmp(path + len - (sizeof suffix - 1), suffix) == 0;
}

/* Add the tensors of the last file. A file that is not valid safetensors has none. */
static int add_header(struct opening *o, struct tp_model_file *file)
{
    struct tp_model_impl *impl = o->model->impl;
    struct tp_safetensors *header = &impl->headers[impl->header_n];
    uint32_t number = o->model->file_n - 1;
    struct tp_model_slot *slot;
    struct tp_error why = {0};
    int fd, rc = tp_model_fd_get(o->model, number, &fd, &slot, o->err);

    if (rc < 0)
        return rc;
    rc = tp_safetensors_open(fd, file->size, file->path, header, &why);
    tp_model_fd_put(o->model, fd, slot);
    if (rc == -EBADMSG) {
        if (!is_named_safetensors(file->path))
            return 0;
        file->problem = impl->problems[number] = strdup(why.message);
        return file->problem ? 0 : tp_oom(o->err);
    }
    if (rc < 0)
        return tp_fail(o->err, -rc, "%s", why.message);
    impl->header_n++;
    for (size_t i = 0; rc == 0 && i < header->tensor_n; i++) {
        const struct tp_tensor *t = &header->tensors[i];

        rc = add_tensor(o, &(struct tp_model_tensor){.name = t->name,
                                                     .dtype = t->dtype,
                                                     .rank = t->rank,
                                                     .shape = t->shape,
                                                     .len = t->len,
                                                     .off = t->off});
    }
    return rc;
}

static int open_dir(struct opening *o, const char *path, enum tp_links links)
{
    struct tp_model *model = o->model;
    struct tp_model_impl *impl = model->impl;
    int rc = tp_modeldir_scan_links(path, links, &impl->dir, o->err);

    if (rc < 0)
        return rc;
    impl->path = strdup(path);
    if (!impl->path)
        return tp_oom(o->err);
    if (impl->dir.entry_n >= TP_NONE)
        return tp_fail(o->err, EFBIG, "'%s' has too many files", path);
    impl->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (impl->dirfd < 0)
        return tp_fail_errno(o->err, "cannot open '%s'", path);
    model->files = calloc(impl->dir.entry_n + 1, sizeof *model->files);
    impl->headers = calloc(impl->dir.entry_n + 1, sizeof *impl->headers);
    impl->problems = calloc(impl->dir.entry_n + 1, sizeof *impl->problems);
    if (!model->files || !impl->headers || !impl->problems)
        return tp_oom(o->err);
    for (size_t i = 0; rc == 0 && i < impl->dir.entry_n; i++) {
        const struct tp_entry *entry = &impl->dir.entries[i];
        struct tp_model_file *file;

        if (entry->type != TP_ENTRY_FILE || entry->link != TP_NO_ENTRY)
            continue;
        file = add_file(model, entry->path, entry->size, i);
        if (entry->size >= TP_SAFETENSORS_MIN || (entry->size && is_named_safetensors(entry->path)))
            rc = add_header(o, file);
        note_time(model, file, entry->mtime_sec, entry->mtime_nsec);
    }
    if (rc < 0)
        tp_error_prefix(o->err, "cannot read '%s'", path);
    return rc;
}

/* The bytes of a whole tensor; a segment may be a part of it. */
static bool whole_len(const struct tp_segment *segment, uint64_t *out)
{
    uint64_t bits = tp_dtype_bits(segment->dtype);
    for (unsigned d = 0; d < segment->rank; d++)
        if (!tp_mul_u64(bits, segment->shape[d], &bits))
            return false;
    *out = bits / 8;
    return true;
}

static int add_pack_file(struct opening *o, uint32_t number)
{
    const struct tp_index *index = tp_pack_index(o->model->impl->pack);
    const struct tp_pack_file *f = &index->files[number];
    struct tp_model_file *file = add_file(o->model, f->path, f->size, number);
    uint64_t end = 0;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < f->segment_n; i++) {
        const struct tp_segment *s = &index->segments[f->segment_first + i];
        struct tp_model_tensor t = {.name = s->name,
                                    .dtype = s->dtype,
                                    .rank = s->rank,
                                    .shape = s->shape,
                                    .off = s->file_off};

        /* The index was checked, but a shape may still include bytes of the next segments. */
        if (!s->name[0] || s->elem_first || t.off < end || !whole_len(s, &t.len) ||
            !tp_range_within(t.off, t.len, f->size))
            continue;
        end = t.off + t.len;
        rc = add_tensor(o, &t);
    }
    note_time(o->model, file, f->mtime_sec, f->mtime_nsec);
    return rc;
}

static int open_pack(struct opening *o, struct tp_pack *pack, struct tp_engine *engine)
{
    const struct tp_index *index = tp_pack_index(pack);
    struct tp_model *model = o->model;
    int rc = 0;

    model->impl->pack = tp_pack_ref(pack);
    model->impl->engine = engine;
    model->files = calloc((size_t)index->file_n + 1, sizeof *model->files);
    model->impl->readers = calloc((size_t)index->file_n + 1, sizeof *model->impl->readers);
    if (!model->files || !model->impl->readers)
        return tp_oom(o->err);
    for (struct tp_pack *p = pack; p; p = tp_pack_base(p)) {
        model->depth += tp_pack_index(p)->has_base;
        model->lossy |= tp_pack_index(p)->lossy;
    }
    for (uint32_t i = 0; rc == 0 && i < index->file_n; i++)
        if (index->files[i].type == TP_ENTRY_FILE && index->files[i].link == TP_NONE)
            rc = add_pack_file(o, i);
    return rc;
}

static int compare_tensors(const void *a, const void *b)
{
    const struct tp_model_tensor *s = a, *t = b;
    int order = strcmp(s->name, t->name);

    return order ? order : (s->file > t->file) - (s->file < t->file);
}

static int compare_places(const void *a, const void *b)
{
    const struct tp_model_tensor *s = *(const struct tp_model_tensor *const *)a;
    const struct tp_model_tensor *t = *(const struct tp_model_tensor *const *)b;

    if (s->file != t->file)
        return s->file < t->file ? -1 : 1;
    if (s->off != t->off)
        return s->off < t->off ? -1 : 1;
    return s->len != t->len ? (s->len < t->len ? -1 : 1) : strcmp(s->name, t->name);
}

/* Sort by name, move further tensors of a name behind the others, and list all by place. */
static int sort_tensors(struct tp_model *model, struct tp_error *err)
{
    size_t all = model->tensor_n, later = 0;
    struct tp_model_tensor *rest = calloc(all + 1, sizeof *rest);

    model->by_place = calloc(all + 1, sizeof *model->by_place);
    if (!rest || !model->by_place) {
        free(rest);
        return tp_oom(err);
    }
    if (all)
        qsort(model->tensors, all, sizeof *model->tensors, compare_tensors);
    for (size_t i = 0; i < all; i++) {
        const struct tp_model_tensor *t = &model->tensors[i];

        if (!model->name_n || strcmp(model->tensors[model->name_n - 1].name, t->name) != 0)
            model->tensors[model->name_n++] = *t;
        else
            rest[later++] = *t;
    }
    if (later)
        memcpy(model->tensors + model->name_n, rest, later * sizeof *rest);
    free(rest);
    for (size_t i = 0; i < all; i++)
        model->by_place[i] = &model->tensors[i];
    qsort(model->by_place, all, sizeof *model->by_place, compare_places);
    return 0;
}

/* The number of a file by its path. */
struct named_file {
    const char *path;
    uint32_t file;
};

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct named_file *)a)->path, ((const struct named_file *)b)->path);
}

/*
 * Resolve a link at PATH with this TARGET to a path in the model. False: it leads out, or is too
 * long.
 */
static bool resolve_link(const char *path, const char *target, char out[LINK_MAX_LEN])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;

    if (len >= LINK_MAX_LEN || target[0] == '/')
        return false;
    memcpy(out, path, len);
    while (*target) {
        size_t part = strcspn(target, "/");

        if (part == 2 && !memcmp(target, "..", 2)) {
            if (!len)
                return false;
            while (len && out[--len] != '/')
                continue;
        } else if (part && !(part == 1 && *target == '.')) {
            if (len + part + 2 > LINK_MAX_LEN)
                return false;
            if (len)
                out[len++] = '/';
            memcpy(out + len, target, part);
            len += part;
        }
        target += part;
        target += *target == '/';
    }
    out[len] = '\0';
    return true;
}

/* The path within a snapshot of the hub's cache; other paths are unchanged. */
static const char *within_snapshot(const char *path)
{
    const char *slash = strncmp(path, "snapshots/", 10) ? NULL : strchr(path + 10, '/');

    return slash ? slash + 1 : path;
}

/* Set the titles of files from N links at PATHS to TARGETS. The first link to a file counts. */
static int give_titles(struct tp_model *model, const char *const *paths, const char *const *targets,
                       size_t n, struct tp_error *err)
{
    tp_autofree struct named_file *sorted = calloc((size_t)model->file_n + 1, sizeof *sorted);
    char text[LINK_MAX_LEN];

    if (!sorted)
        return tp_oom(err);
    for (uint32_t i = 0; i < model->file_n; i++) {
        sorted[i] = (struct named_file){.path = model->files[i].path, .file = i};
        model->files[i].title = within_snapshot(model->files[i].path);
    }
    qsort(sorted, model->file_n, sizeof *sorted, by_path);
    for (size_t i = 0; i < n; i++) {
        struct named_file key = {.path = text}, *found;

        if (!resolve_link(paths[i], targets[i], text) ||
            !(found = bsearch(&key, sorted, model->file_n, sizeof *sorted, by_path)))
            continue;
        if (model->files[found->file].title == found->path)
            model->files[found->file].title = within_snapshot(paths[i]);
    }
    return 0;
}

/* Files may be named by hashes; links show their real names. */
static int find_titles(struct tp_model *model, struct tp_error *err)
{
    const struct tp_index *index = model->impl->pack ? tp_pack_index(model->impl->pack) : NULL;
    const struct tp_modeldir *dir = &model->impl->dir;
    size_t most = index ? index->file_n : dir->entry_n, n = 0;
    const char **paths = calloc(2 * most + 1, sizeof *paths), **targets = paths + most;
    int rc;

    if (!paths)
        return tp_oom(err);
    for (size_t i = 0; i < most; i++) {
        bool is_link = index ? index->files[i].type == TP_ENTRY_SYMLINK
                             : dir->entries[i].type == TP_ENTRY_SYMLINK;

        if (!is_link)
            continue;
        paths[n] = index ? index->files[i].path : dir->entries[i].path;
        targets[n++] = index ? index->files[i].target : dir->entries[i].target;
    }
    rc = give_titles(model, paths, targets, n, err);
    free(paths);
    return rc;
}

static struct tp_model *model_create(void)
{
    struct tp_model *model = calloc(1, sizeof *model);

    if (model)
        model->impl = calloc(1, sizeof *model->impl);
    if (!model || !model->impl) {
        free(model);
        return NULL;
    }
    pthread_mutex_init(&model->impl->lock, NULL);
    model->impl->dirfd = -1;
    for (unsigned i = 0; i < TP_MODEL_OPEN_FILES; i++)
        model->impl->slots[i].fd = -1;
    return model;
}

/* Open the directory PATH or, if PACK is given, the pack. */
static int open_model(const char *path, enum tp_links links, struct tp_pack *pack,
                      struct tp_engine *engine, struct tp_model **out, struct tp_error *err)
{
    struct opening o = {.model = model_create(), .err = err};
    int rc;

    *out = NULL;
    if (!o.model)
        return tp_oom(err);
    rc = pack ? open_pack(&o, pack, engine) : open_dir(&o, path, links);
    if (rc == 0)
        rc = sort_tensors(o.model, err);
    if (rc == 0)
        rc = find_titles(o.model, err);
    if (rc == 0)
        *out = o.model;
    else
        tp_model_close(o.model);
    return rc;
}

int tp_model_open_pack(struct tp_pack *pack, struct tp_engine *engine, struct tp_model **out,
                       struct tp_error *err)
{
    return open_model(NULL, TP_LINKS_AUTO, pack, engine, out, err);
}

int tp_model_open(const char *path, const struct tp_model_options *options, struct tp_model **out,
                  struct tp_error *err)
{
    const struct tp_model_options defaults = {0}, *o = options ? options : &defaults;
    tp_autopack struct tp_pack *pack = NULL;
    struct stat st;
    int rc;

    *out = NULL;
    if (stat(path, &st) < 0)
        return tp_fail_errno(err, "cannot open '%s'", path);
    if (S_ISDIR(st.st_mode))
        return open_model(path, o->links, NULL, NULL, out, err);
    rc = tp_store_open_path(o->store, path, &pack, err);
    if (rc == 0)
        rc = tp_model_open_pack(pack, o->engine, out, err);
    return rc;
}

void tp_model_close(struct tp_model *model)
{
    struct tp_model_impl *impl;

    if (!model)
        return;
    impl = model->impl;
    tp_model_close_files(model);
    for (uint32_t i = 0; i < impl->header_n; i++)
        tp_safetensors_clear(&impl->headers[i]);
    for (uint32_t i = 0; impl->problems && i < model->file_n; i++)
        free(impl->problems[i]);
    tp_modeldir_clear(&impl->dir);
    if (impl->dirfd >= 0)
        close(impl->dirfd);
    tp_pack_close(impl->pack);
    pthread_mutex_destroy(&impl->lock);
    free(impl->path);
    free(impl->headers);
    free(impl->problems);
    free(impl->readers);
    free(impl);
    free(model->files);
    free(model->tensors);
    free(model->by_place);
    free(model);
}

const struct tp_modeldir *tp_model_dir(const struct tp_model *model)
{
    return model->impl->pack ? NULL : &model->impl->dir;
}

struct tp_pack *tp_model_pack(const struct tp_model *model)
{
    return model->impl->pack;
}

const char *tp_model_path(const struct tp_model *model)
{
    return model->impl->path;
}

/* The first of N tensors, sorted by name, whose name is not less than NAME. */
static const struct tp_model_tensor *find_tensor(const struct tp_model_tensor *tensors, size_t n,
                                                 const char *name)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(tensors[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return tensors + low;
}

const struct tp_model_tensor *tp_model_find(const struct tp_model *model, const char *name)
{
    const struct tp_model_tensor *t = find_tensor(model->tensors, model->name_n, name);
    return t < model->tensors + model->name_n && !strcmp(t->name, name) ? t : NULL;
}

const struct tp_model_tensor *tp_model_find_next(const struct tp_model *model, const char *name,
                                                 const struct tp_model_tensor *before)
{
    const struct tp_model_tensor *first = model->tensors + model->name_n,
                                 *end = model->tensors + model->tensor_n;
    const struct tp_model_tensor *t;

    if (!before && (t = tp_model_find(model, name)) != NULL)
        return t;
    if (!before)
        return NULL;
    t = before < first ? find_tensor(first, model->tensor_n - model->name_n, name) : before + 1;
    return t < end && !strcmp(t->name, name) ? t : NULL;
}

bool tp_model_find_file(const struct tp_model *model, const char *path, uint32_t *out)
{
    for (uint32_t i = 0; i < model->file_n; i++) {
        if (!strcmp(model->files[i].path, path)) {
            *out = i;
            return true;
        }
    }
    return false;
}

const char *tp_model_find_link(const struct tp_model *model, const char *ending)
{
    const struct tp_index *index = model->impl->pack ? tp_pack_index(model->impl->pack) : NULL;
    const struct tp_modeldir *dir = &model->impl->dir;
    size_t n = index ? index->file_n : dir->entry_n, len = strlen(ending);

    for (size_t i = 0; i < n; i++) {
        const char *path = index ? index->files[i].path : dir->entries[i].path;
        size_t path_len = strlen(path);

        if ((index ? index->files[i].type : dir->entries[i].type) == TP_ENTRY_SYMLINK &&
            path_len >= len && strcmp(path + path_len - len, ending) == 0 &&
            (path_len == len || *ending == '.'))
            return path;
    }
    return NULL;
}

uint64_t tp_model_opaque(const struct tp_model *model, uint32_t file)
{
    return model->files[file].size - model->files[file].tensor_bytes;
}

static bool is_same_entry(const struct tp_entry *a, const struct tp_entry *b)
{
    return strcmp(a->path, b->path) == 0 && a->type == b->type && a->mode == b->mode &&
           a->uid == b->uid && a->gid == b->gid && a->mtime_sec == b->mtime_sec &&
           a->mtime_nsec == b->mtime_nsec && a->size == b->size && a->dev == b->dev &&
           a->ino == b->ino && (a->target == NULL) == (b->target == NULL) &&
           (!a->target || strcmp(a->target, b->target) == 0);
}

int tp_model_recheck(const struct tp_model *model, struct tp_error *err)
{
    const struct tp_modeldir *then = tp_model_dir(model);
    const char *path = tp_model_path(model);
    tp_auto(tp_modeldir_clear) struct tp_modeldir now = {0};
    int rc = then ? tp_modeldir_scan_links(path, then->links, &now, err) : 0;

    if (rc < 0 || !then)
        return rc;
    if (now.entry_n != then->entry_n || now.root_mode != then->root_mode ||
        now.root_mtime_sec != then->root_mtime_sec || now.root_mtime_nsec != then->root_mtime_nsec)
        rc = tp_fail(err, EBUSY, "'%s' has changed meanwhile", path);
    for (size_t i = 0; rc == 0 && i < now.entry_n; i++)
        if (!is_same_entry(&now.entries[i], &then->entries[i]))
            rc = tp_fail(err, EBUSY, "'%s/%s' has changed meanwhile", path, then->entries[i].path);
    return rc;
}
