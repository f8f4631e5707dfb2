/* SPDX-License-Identifier: MIT */
/* Models as tensors by name: what a plain directory and a pack have in common. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/file.h"
#include "store/match/fit.h"
#include "store/match/source.h"
#include "store/pack/window.h"
#include "tensor/safetensors.h"

enum { LINK_MAX_LEN = 4096 };

struct tp_source_impl {
    /* of a directory */
    struct tp_modeldir dir;
    struct tp_safetensors *headers; /* one a file */
    uint32_t header_n;
    int dirfd, fd;
    uint32_t fd_file;
    /* of a pack: its files' numbers, and the chunk decoded last */
    struct tp_pack *pack;
    uint32_t *pack_files;
    struct tp_work *work;
    uint8_t *block;
    uint32_t block_chunk;
    uint64_t decoded_most; /* 0: no limit */
    size_t tensor_cap;
};

static int compare_tensors(const void *a, const void *b)
{
    const struct tp_source_tensor *s = a, *t = b;
    int order = strcmp(s->name, t->name);
    return order ? order : (s->file > t->file) - (s->file < t->file);
}

static int add_tensor(struct tp_source *source, const struct tp_source_tensor *t,
                      struct tp_error *err)
{
    struct tp_source_impl *impl = source->impl;
    if (source->tensor_n == impl->tensor_cap) {
        size_t cap = impl->tensor_cap ? 2 * impl->tensor_cap : 256;
        struct tp_source_tensor *grown = reallocarray(source->tensors, cap, sizeof *grown);
        if (!grown)
            return tp_fail(err, ENOMEM, "out of memory");
        source->tensors = grown;
        impl->tensor_cap = cap;
    }
    source->tensors[source->tensor_n++] = *t;
    source->files[t->file].tensor_bytes += t->len;
    source->tensor_bytes += t->len;
    return 0;
}

/* FILE was written then: the latest of those with tensors counts. */
static void see_time(struct tp_source *source, uint32_t file, int64_t sec, uint32_t nsec)
{
    if (source->files[file].tensor_bytes &&
        (sec > source->weights_sec ||
         (sec == source->weights_sec && nsec > source->weights_nsec))) {
        source->weights_sec = sec;
        source->weights_nsec = nsec;
    }
}

/* Sort by name, and put those whose name was there before behind the others. */
static int settle(struct tp_source *source, struct tp_error *err)
{
    size_t n = 0, late = 0, all = source->tensor_n;
    struct tp_source_tensor *rest = all ? calloc(all, sizeof *rest) : NULL;
    if (all && !rest)
        return tp_fail(err, ENOMEM, "out of memory");
    if (all)
        qsort(source->tensors, all, sizeof *source->tensors, compare_tensors);
    for (size_t i = 0; i < all; i++) {
        if (!n || strcmp(source->tensors[n - 1].name, source->tensors[i].name))
            source->tensors[n++] = source->tensors[i];
        else
            rest[late++] = source->tensors[i];
    }
    if (late)
        memcpy(source->tensors + n, rest, late * sizeof *rest);
    free(rest);
    source->tensor_n = n;
    source->tensor_all = all;
    return 0;
}

static int open_file(struct tp_source *source, uint32_t file, struct tp_error *err)
{
    struct tp_source_impl *impl = source->impl;
    const char *path = source->files[file].path;
    if (impl->fd >= 0 && impl->fd_file == file)
        return 0;
    if (impl->fd >= 0)
        close(impl->fd);
    impl->fd_file = file;
    impl->fd = tp_modeldir_open(&impl->dir, impl->dirfd, path);
    return impl->fd < 0 ? tp_fail_errno(err, "cannot open '%s'", path) : 0;
}

/* What is no valid safetensors file stays opaque: that is no failure. */
static int add_header(struct tp_source *source, uint32_t file, struct tp_error *err)
{
    struct tp_source_impl *impl = source->impl;
    struct tp_safetensors *header = &impl->headers[impl->header_n];
    int rc = open_file(source, file, err);
    if (!rc)
        rc = tp_safetensors_open(impl->fd, source->files[file].size, source->files[file].path,
                                 header, err);
    if (rc == -EBADMSG)
        return 0;
    if (!rc)
        impl->header_n++;
    for (size_t i = 0; !rc && i < header->tensor_n; i++) {
        const struct tp_tensor *t = &header->tensors[i];
        struct tp_source_tensor mine = {.name = t->name,
                                        .dtype = t->dtype,
                                        .rank = t->rank,
                                        .shape = t->shape,
                                        .len = t->len,
                                        .file = file,
                                        .off = t->off};
        rc = add_tensor(source, &mine, err);
    }
    return rc;
}

static int open_dir(struct tp_source *source, const char *path, enum tp_links links,
                    struct tp_error *err)
{
    struct tp_source_impl *impl = source->impl;
    int rc = tp_modeldir_scan_links(path, links, &impl->dir, err);
    if (rc)
        return rc;
    impl->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (impl->dirfd < 0)
        return tp_fail_errno(err, "cannot open '%s'", path);
    source->files = calloc(impl->dir.entry_n + 1, sizeof *source->files);
    impl->headers = calloc(impl->dir.entry_n + 1, sizeof *impl->headers);
    if (!source->files || !impl->headers)
        return tp_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < impl->dir.entry_n; i++) {
        const struct tp_entry *entry = &impl->dir.entries[i];
        if (entry->type != TP_ENTRY_FILE || entry->link != TP_NO_ENTRY)
            continue;
        source->files[source->file_n].path = entry->path;
        source->files[source->file_n].size = entry->size;
        source->logical_bytes += entry->size;
        if (entry->size >= TP_SAFETENSORS_MIN)
            rc = add_header(source, source->file_n, err);
        if (rc)
            return tp_error_prefix(err, "cannot read '%s'", path), rc;
        see_time(source, source->file_n++, entry->mtime_sec, entry->mtime_nsec);
    }
    return 0;
}

/* Bytes of a whole tensor, of which a segment may be a part. */
static bool whole_len(const struct tp_segment *segment, uint64_t *out)
{
    uint64_t bits = tp_dtype_bits(segment->dtype);
    for (unsigned d = 0; d < segment->rank; d++)
        if (!tp_mul_u64(bits, segment->shape[d], &bits))
            return false;
    *out = bits / 8;
    return true;
}

static int add_pack_file(struct tp_source *source, uint32_t number, struct tp_error *err)
{
    const struct tp_index *index = tp_pack_index(source->impl->pack);
    const struct tp_pack_file *file = &index->files[number];
    uint32_t mine = source->file_n;
    uint64_t end = 0;
    int rc = 0;
    source->impl->pack_files[mine] = number;
    source->files[mine].path = file->path;
    source->files[mine].size = file->size;
    source->logical_bytes += file->size;
    source->file_n++;
    for (uint32_t i = 0; !rc && i < file->segment_n; i++) {
        const struct tp_segment *s = &index->segments[file->segment_first + i];
        struct tp_source_tensor t = {.name = s->name,
                                     .dtype = s->dtype,
                                     .rank = s->rank,
                                     .shape = s->shape,
                                     .file = mine,
                                     .off = s->file_off};
        /* A shape may say more than there are segments for. */
        if (!s->name[0] || s->elem_first || t.off < end || !whole_len(s, &t.len) ||
            !tp_range_within(t.off, t.len, file->size))
            continue;
        end = t.off + t.len;
        rc = add_tensor(source, &t, err);
    }
    see_time(source, mine, file->mtime_sec, file->mtime_nsec);
    return rc;
}

static int open_pack(struct tp_source *source, struct tp_pack *pack, struct tp_error *err)
{
    struct tp_source_impl *impl = source->impl;
    const struct tp_index *index = tp_pack_index(pack);
    int rc = 0;
    impl->pack = tp_pack_ref(pack);
    impl->block_chunk = TP_NONE;
    impl->pack_files = calloc((size_t)index->file_n + 1, sizeof *impl->pack_files);
    source->files = calloc((size_t)index->file_n + 1, sizeof *source->files);
    impl->work = tp_work_create(NULL);
    impl->block = malloc((size_t)index->chunk_size + TP_SLACK);
    if (!impl->pack_files || !source->files || !impl->work || !impl->block)
        return tp_fail(err, ENOMEM, "out of memory");
    for (struct tp_pack *p = pack; p && tp_pack_index(p)->has_base; p = tp_pack_base(p))
        source->depth++;
    for (uint32_t i = 0; !rc && i < index->file_n; i++)
        if (index->files[i].type == TP_ENTRY_FILE)
            rc = add_pack_file(source, i, err);
    return rc;
}

/* A file's number, to be found by its path. */
struct named_file {
    const char *path;
    uint32_t file;
};

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct named_file *)a)->path, ((const struct named_file *)b)->path);
}

/*
 * Where a link at PATH to TARGET leads, from the top of the model on; false: out of it, or it is
 * too long.
 */
static bool resolve(const char *path, const char *target, char out[LINK_MAX_LEN])
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

/* The path within a snapshot of the hub's cache, or all of it. */
static const char *within_snapshot(const char *path)
{
    const char *slash = strncmp(path, "snapshots/", 10) ? NULL : strchr(path + 10, '/');

    return slash ? slash + 1 : path;
}

/*
 * The N links at PATHS to TARGETS give the files their titles, the first one where there are
 * several.
 */
static int give_titles(struct tp_source *source, const char *const *paths,
                       const char *const *targets, size_t n, struct tp_error *err)
{
    struct named_file *sorted = calloc((size_t)source->file_n + 1, sizeof *sorted);
    char text[LINK_MAX_LEN];

    if (!sorted)
        return tp_fail(err, ENOMEM, "out of memory");
    for (uint32_t i = 0; i < source->file_n; i++) {
        sorted[i] = (struct named_file){.path = source->files[i].path, .file = i};
        source->files[i].title = within_snapshot(source->files[i].path);
    }
    qsort(sorted, source->file_n, sizeof *sorted, by_path);
    for (size_t i = 0; i < n; i++) {
        struct named_file key = {.path = text}, *found;

        if (!resolve(paths[i], targets[i], text) ||
            !(found = bsearch(&key, sorted, source->file_n, sizeof *sorted, by_path)))
            continue;
        if (source->files[found->file].title == found->path)
            source->files[found->file].title = within_snapshot(paths[i]);
    }
    free(sorted);
    return 0;
}

/* Files may be named by their hashes, and links tell what they are. */
static int find_titles(struct tp_source *source, struct tp_error *err)
{
    const struct tp_index *index = source->impl->pack ? tp_pack_index(source->impl->pack) : NULL;
    const struct tp_modeldir *dir = &source->impl->dir;
    size_t most = index ? index->file_n : dir->entry_n, n = 0;
    const char **paths = calloc(2 * most + 1, sizeof *paths), **targets = paths + most;
    int rc;

    if (!paths)
        return tp_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < most; i++) {
        bool is_link = index ? index->files[i].type == TP_ENTRY_SYMLINK
                             : dir->entries[i].type == TP_ENTRY_SYMLINK;

        if (!is_link)
            continue;
        paths[n] = index ? index->files[i].path : dir->entries[i].path;
        targets[n++] = index ? index->files[i].target : dir->entries[i].target;
    }
    rc = give_titles(source, paths, targets, n, err);
    free(paths);
    return rc;
}

static struct tp_source *create(void)
{
    struct tp_source *source = calloc(1, sizeof *source);
    if (source)
        source->impl = calloc(1, sizeof *source->impl);
    if (!source || !source->impl) {
        free(source);
        return NULL;
    }
    source->impl->fd = source->impl->dirfd = -1;
    return source;
}

static int finish(struct tp_source *source, int rc, struct tp_source **out, struct tp_error *err)
{
    if (!rc)
        rc = settle(source, err);
    if (!rc)
        rc = find_titles(source, err);
    if (rc)
        tp_source_close(source);
    else
        *out = source;
    return rc;
}

int tp_source_open_pack(struct tp_pack *pack, struct tp_source **out, struct tp_error *err)
{
    struct tp_source *source = create();
    if (!source)
        return tp_fail(err, ENOMEM, "out of memory");
    return finish(source, open_pack(source, pack, err), out, err);
}

int tp_source_open(const char *path, struct tp_store *store, struct tp_source **out,
                   struct tp_error *err)
{
    return tp_source_open_links(path, TP_LINKS_AUTO, store, out, err);
}

int tp_source_open_links(const char *path, enum tp_links links, struct tp_store *store,
                         struct tp_source **out, struct tp_error *err)
{
    struct tp_pack *pack = NULL;
    struct tp_source *source;
    struct stat st;
    int rc;

    if (stat(path, &st) < 0)
        return tp_fail_errno(err, "cannot open '%s'", path);
    if (S_ISDIR(st.st_mode)) {
        source = create();
        if (!source)
            return tp_fail(err, ENOMEM, "out of memory");
        return finish(source, open_dir(source, path, links, err), out, err);
    }
    rc = tp_pack_open(path, store, &pack, err);
    if (!rc)
        rc = tp_source_open_pack(pack, out, err);
    tp_pack_close(pack);
    return rc;
}

void tp_source_close(struct tp_source *source)
{
    if (!source)
        return;
    struct tp_source_impl *impl = source->impl;
    for (uint32_t i = 0; i < impl->header_n; i++)
        tp_safetensors_clear(&impl->headers[i]);
    tp_modeldir_clear(&impl->dir);
    if (impl->fd >= 0)
        close(impl->fd);
    if (impl->dirfd >= 0)
        close(impl->dirfd);
    tp_work_destroy(impl->work);
    tp_pack_close(impl->pack);
    free(impl->headers);
    free(impl->pack_files);
    free(impl->block);
    free(impl);
    free(source->files);
    free(source->tensors);
    free(source);
}

/* The segment of FILE that holds the byte at OFF, which lies within the file. */
static const struct tp_segment *segment_at(const struct tp_index *index,
                                           const struct tp_pack_file *file, uint64_t off)
{
    uint32_t low = 0, high = file->segment_n;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (index->segments[file->segment_first + middle].file_off <= off)
            low = middle;
        else
            high = middle;
    }
    return &index->segments[file->segment_first + low];
}

static int read_pack(struct tp_source *source, uint32_t number, uint64_t off, uint8_t *dst,
                     size_t len, struct tp_error *err)
{
    struct tp_source_impl *impl = source->impl;
    const struct tp_index *index = tp_pack_index(impl->pack);
    const struct tp_pack_file *file = &index->files[impl->pack_files[number]];
    while (len) {
        const struct tp_segment *segment = segment_at(index, file, off);
        uint64_t inner = off - segment->file_off;
        uint32_t chunk = segment->chunk_first + (uint32_t)(inner / index->chunk_size);
        if (impl->block_chunk != chunk) {
            impl->block_chunk = TP_NONE;
            int rc = tp_pack_decode_chunk(impl->pack, chunk, impl->block, impl->work, NULL, err);
            if (rc)
                return rc;
            if (impl->decoded_most && impl->work->decoded > impl->decoded_most)
                return tp_fail(err, E2BIG, "reading samples of it takes too much decoding");
            impl->block_chunk = chunk;
        }
        size_t from = (size_t)(inner % index->chunk_size);
        size_t n = tp_index_chunk_len(index, chunk) - from;
        n = n < len ? n : len;
        memcpy(dst, impl->block + from, n);
        dst += n;
        off += n;
        len -= n;
    }
    return 0;
}

void tp_source_bound(struct tp_source *source, const atomic_int *cancel, uint64_t decoded_most)
{
    struct tp_source_impl *impl = source->impl;

    if (!impl->work)
        return;
    impl->work->cancel = cancel;
    impl->work->decoded = 0;
    impl->decoded_most = decoded_most;
}

int tp_source_read(struct tp_source *source, uint32_t file, uint64_t off, void *dst, size_t len,
                   struct tp_error *err)
{
    if (!tp_range_within(off, len, source->files[file].size))
        return tp_fail(err, EINVAL, "range beyond the end of '%s'", source->files[file].path);
    if (source->impl->pack)
        return read_pack(source, file, off, dst, len, err);
    int rc = open_file(source, file, err);
    return rc ? rc : tp_file_pread(source->impl->fd, dst, len, off, source->files[file].path, err);
}

uint32_t tp_source_pack_file(const struct tp_source *source, uint32_t file)
{
    return source->impl->pack_files[file];
}

/* The first of N tensors, sorted by name, whose name is not less than NAME. */
static const struct tp_source_tensor *seek(const struct tp_source_tensor *tensors, size_t n,
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

const struct tp_source_tensor *tp_source_find(const struct tp_source *source, const char *name)
{
    const struct tp_source_tensor *t = seek(source->tensors, source->tensor_n, name);
    return t < source->tensors + source->tensor_n && !strcmp(t->name, name) ? t : NULL;
}

const struct tp_source_tensor *tp_source_next(const struct tp_source *source, const char *name,
                                              const struct tp_source_tensor *before)
{
    const struct tp_source_tensor *first = source->tensors + source->tensor_n,
                                  *end = source->tensors + source->tensor_all;
    const struct tp_source_tensor *t;

    if (!before && (t = tp_source_find(source, name)) != NULL)
        return t;
    if (!before)
        return NULL;
    t = before < first ? seek(first, source->tensor_all - source->tensor_n, name) : before + 1;
    return t < end && !strcmp(t->name, name) ? t : NULL;
}

bool tp_source_has(const struct tp_source *base, const struct tp_source_tensor *t)
{
    const struct tp_source_tensor *b = NULL;

    while ((b = tp_source_next(base, t->name, b)) != NULL)
        if (tp_source_fit(t, b))
            return true;
    return false;
}

const struct tp_source_tensor *tp_source_at(const struct tp_source *source, const char *path,
                                            const char *name)
{
    const struct tp_source_tensor *t = NULL;

    while ((t = tp_source_next(source, name, t)) != NULL)
        if (!strcmp(source->files[t->file].path, path))
            return t;
    return NULL;
}

unsigned tp_source_fit(const struct tp_source_tensor *t, const struct tp_source_tensor *b)
{
    struct tp_fit from = {.dtype = b->dtype, .rank = b->rank, .shape = b->shape};
    struct tp_fit to = {.dtype = t->dtype, .rank = t->rank, .shape = t->shape};

    return tp_fit(&from, &to);
}

bool tp_source_find_file(const struct tp_source *source, const char *path, uint32_t *out)
{
    for (uint32_t i = 0; i < source->file_n; i++) {
        if (!strcmp(source->files[i].path, path)) {
            *out = i;
            return true;
        }
    }
    return false;
}

uint64_t tp_source_opaque(const struct tp_source *source, uint32_t file)
{
    return source->files[file].size - source->files[file].tensor_bytes;
}

uint64_t tp_source_common(const struct tp_source_tensor *t, const struct tp_source_tensor *b)
{
    uint64_t t_bits = tp_dtype_bits(t->dtype), b_bits = tp_dtype_bits(b->dtype);
    if (!tp_source_fit(t, b))
        return 0;
    if (!t->rank || t->shape[0] <= b->shape[0])
        return t->len;
    /* B is shorter in its first dimension, and elements are whole bytes where that fits. */
    return b->len / (b_bits / 8) * (t_bits / 8);
}
