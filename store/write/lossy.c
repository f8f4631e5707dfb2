/* SPDX-License-Identifier: MIT */
/* A lossy pack from its creation to its name. */
#include <config.h>

#include "store/write/lossy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "store/model_impl.h"
#include "store/names.h"
#include "store/pack/layout.h"
#include "store/pack/pack_internal.h"
#include "store/write/end.h"
#include "store/write/lossy_impl.h"

/* The writer is one of many at a time. */
#define PLACE ((size_t)1 << 20)

static int copy_tensor(const struct tp_lossy_tensor *from, struct tp_lossy_slot *slot,
                       struct tp_error *err)
{
    const struct tp_model_tensor *kept = from->kept;
    const char *name = kept ? kept->name : from->name;
    const uint64_t *from_shape = kept ? kept->shape : from->shape;
    unsigned rank = kept ? kept->rank : from->rank;
    uint64_t *shape;

    if (rank > TP_TENSOR_RANK_MAX || strlen(name) > TP_TENSOR_NAME_MAX || !name[0])
        return tp_fail(err, EINVAL, "'%.100s' is no tensor that a file can have", name);
    slot->dtype = kept ? kept->dtype : TP_DTYPE_BF16;
    slot->elements = 1;
    for (unsigned d = 0; d < rank; d++)
        if (!tp_mul_u64(slot->elements, from_shape[d], &slot->elements))
            slot->elements = UINT64_MAX;
    if (kept)
        slot->bytes = kept->len;
    else if (!tp_mul_u64(slot->elements, 2, &slot->bytes) || slot->bytes > INT64_MAX)
        return tp_fail(err, EINVAL, "the tensor '%s' is too large", name);
    slot->tensor = *from;
    slot->tensor.rank = rank;
    slot->tensor.name = strdup(name);
    slot->tensor.shape = shape = calloc(rank + 1u, sizeof *shape);
    if (!slot->tensor.name || !shape)
        return tp_oom(err);
    if (rank)
        memcpy(shape, from_shape, rank * sizeof *shape);
    return 0;
}

/* The place of a tensor among the others: wide ones that are kept, what is put, narrow ones. */
static unsigned place_of(const struct tp_lossy_slot *slot)
{
    unsigned bits = tp_dtype_bits(slot->dtype);

    if (!slot->tensor.kept)
        return 64;
    return bits < 16 ? 65 : 64 - bits;
}

static int by_place(const void *a, const void *b)
{
    const struct tp_lossy_slot *s = a, *t = b;
    unsigned places[2] = {place_of(s), place_of(t)};

    if (places[0] != places[1])
        return places[0] < places[1] ? -1 : 1;
    return (s->given > t->given) - (s->given < t->given);
}

static int copy_tensors(struct tp_lossy *w, const struct tp_lossy_tensor *tensors, size_t n,
                        struct tp_error *err)
{
    int rc = 0;

    w->slots = calloc(n + 1, sizeof *w->slots);
    if (!w->slots)
        return tp_oom(err);
    w->slot_n = n;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        w->slots[i].given = i;
        rc = copy_tensor(&tensors[i], &w->slots[i], err);
    }
    qsort(w->slots, n, sizeof *w->slots, by_place);
    return rc;
}

/* Who may read the pack: the readers of the whole original. */
static int find_rights(struct tp_lossy *w, struct tp_error *err)
{
    const struct tp_pack_options options = {.codec = tp_codec_name(TP_CODEC_RAW),
                                            .links = TP_LINKS_AUTO};
    struct tp_pack *pack = tp_model_pack(w->original);
    struct stat st;
    int rc;

    if (!pack) {
        const struct tp_modeldir *dir = tp_model_dir(w->original);
        struct tp_pack_options same = options;

        same.links = dir->links;
        rc = tp_plan_make(tp_model_path(w->original), &same, &w->plan, err);
        if (rc == 0)
            w->rights = tp_rights_find(&w->plan);
        return rc;
    }
    if (stat(tp_pack_path(pack), &st) < 0)
        return tp_fail_errno(err, "cannot stat '%s'", tp_pack_path(pack));
    w->rights = tp_rights_of_file(&st);
    return 0;
}

static void init_index(struct tp_lossy *w)
{
    struct tp_index *x = &w->x;
    struct tp_pack *pack = tp_model_pack(w->original);

    x->version = TP_PACK_VERSION;
    x->chunk_size = TP_CHUNK_MAX;
    x->lossy = true;
    x->base_name = "";
    x->writer = PACKAGE_NAME " " PACKAGE_VERSION;
    if (pack) {
        const struct tp_index *from = tp_pack_index(pack);

        x->root_mode = from->root_mode;
        x->root_mtime_sec = from->root_mtime_sec;
        x->root_mtime_nsec = from->root_mtime_nsec;
    } else {
        const struct tp_modeldir *dir = tp_model_dir(w->original);

        x->root_mode = dir->root_mode;
        x->root_mtime_sec = dir->root_mtime_sec;
        x->root_mtime_nsec = dir->root_mtime_nsec;
    }
}

static int open_file(struct tp_lossy *w, struct tp_error *err)
{
    int rc = tp_temporary_beside(w->out, &w->temporary, err);

    if (rc < 0)
        return rc;
    tp_temporaries_sweep(w->out);
    w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->fd < 0)
        return tp_fail_errno(err, "cannot create '%s'", w->temporary);
    rc = tp_temporary_lock(w->fd, w->temporary, err);
    if (rc == 0)
        rc = tp_rights_set_owner(&w->rights, w->fd, w->temporary, err);
    return rc == 0 ? tp_sink_create(w->fd, w->temporary, PLACE, &w->sink, err) : rc;
}

static int begin_pack(struct tp_lossy *w, struct tp_error *err)
{
    uint8_t header[TP_PACK_HEADER_LEN];
    int rc;

    tp_header_encode(TP_PACK_VERSION, header);
    w->off = sizeof header;
    rc = tp_sink_put(w->sink, header, sizeof header, err);
    if (rc == 0)
        rc = tp_lossy_put_files(w, 0, w->weights, err);
    if (rc == 0)
        rc = tp_lossy_put_header(w, err);
    return rc == 0 ? tp_lossy_copy_kept(w, err) : rc;
}

int tp_lossy_create(struct tp_model *original, const char *out,
                    const struct tp_lossy_tensor *tensors, size_t n, unsigned threads,
                    struct tp_lossy **result, struct tp_error *err)
{
    struct tp_lossy *w = calloc(1, sizeof *w);
    int rc;

    *result = NULL;
    if (!w)
        return tp_oom(err);
    w->fd = -1;
    w->original = original;
    w->threads = threads;
    w->out = strdup(out);
    w->sha = tp_sha256_create();
    rc = w->out && w->sha ? tp_check_new(out, err) : tp_oom(err);
    if (rc == 0)
        rc = tp_code_options_set(&w->code, NULL, 0, false, err);
    if (rc == 0)
        rc = copy_tensors(w, tensors, n, err);
    if (rc == 0)
        rc = find_rights(w, err);
    if (rc == 0) {
        init_index(w);
        rc = tp_lossy_list_files(w, err);
    }
    if (rc == 0)
        rc = open_file(w, err);
    if (rc == 0)
        rc = begin_pack(w, err);
    if (rc == 0)
        *result = w;
    else
        tp_lossy_destroy(w);
    return rc;
}

/* Give the file its mode and its name. */
static int name_file(struct tp_lossy *w, struct tp_error *err)
{
    mode_t mode = 0;
    int rc = tp_rights_mode(&w->rights, w->fd, false, w->temporary, &mode, err);

    if (rc == 0 && fchmod(w->fd, mode & ~tp_umask()) < 0)
        rc = tp_fail_errno(err, "cannot set the mode of '%s'", w->temporary);
    if (rc == 0 && fsync(w->fd) < 0)
        rc = tp_fail_errno(err, "cannot sync '%s'", w->temporary);
    if (rc == 0)
        rc = tp_rename_new(w->temporary, w->out, err);
    if (rc < 0)
        return rc;
    free(w->temporary);
    w->temporary = NULL;
    return tp_file_sync_parent(w->out, err);
}

int tp_lossy_finish(struct tp_lossy *w, struct tp_pack_report *report, struct tp_error *err)
{
    uint8_t id[TP_SHA256_LEN];
    int rc = w->broken ? 0 : tp_lossy_copy_kept(w, err);

    if (rc < 0)
        return rc;
    if (w->broken || w->next < w->slot_n)
        return tp_fail(err, EINVAL, "'%s': %zu of its %zu tensors are there", w->out, w->next,
                       w->slot_n);
    w->broken = true;
    tp_lossy_end_file(w, w->weights);
    rc = tp_lossy_put_files(w, w->weights + 1, w->x.file_n, err);
    if (rc == 0)
        rc = tp_model_recheck(w->original, err);
    if (rc == 0)
        rc = tp_end_write(w->sink, &w->off, &w->x, id, err);
    if (rc == 0)
        rc = name_file(w, err);
    if (rc == 0 && report) {
        memset(report, 0, sizeof *report);
        tp_pack_report_fill(report, &w->x);
        report->stored_bytes = w->off;
        memcpy(report->id, id, sizeof id);
    }
    return rc;
}

void tp_lossy_destroy(struct tp_lossy *w)
{
    if (!w)
        return;
    tp_sink_destroy(w->sink);
    if (w->temporary && w->fd >= 0)
        unlink(w->temporary);
    if (w->fd >= 0)
        close(w->fd);
    for (size_t i = 0; i < w->slot_n; i++) {
        free((char *)w->slots[i].tensor.name);
        free((uint64_t *)w->slots[i].tensor.shape);
    }
    for (uint32_t i = 0; w->files && i < w->x.file_n; i++)
        free(w->files[i].path);
    free(w->slots);
    free(w->files);
    tp_index_clear(&w->x);
    tp_plan_clear(&w->plan);
    tp_sha256_destroy(w->sha);
    free(w->temporary);
    free(w->out);
    free(w);
}
