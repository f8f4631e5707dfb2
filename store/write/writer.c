/* SPDX-License-Identifier: MIT */
/* Writing a pack safely: under a temporary name, synced, read back and compared, then renamed. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "store/names.h"
#include "store/pack/pack_internal.h"
#include "store/pack/usage.h"
#include "store/write/rights.h"
#include "store/write/writer_internal.h"
#include "store/write/chunkmap.h"

static int fill_maps(struct tp_writer *w, struct tp_error *err)
{
    const struct tp_index *base = w->plan.base ? tp_pack_index(w->plan.base) : NULL;

    w->in_pack = tp_chunkmap_create(w->plan.index.chunk_n);
    if (base)
        w->in_base = tp_chunkmap_create(base->chunk_n);
    if (!w->in_pack || (base && !w->in_base))
        return tp_oom(err);
    for (uint32_t i = 0; base && i < base->chunk_n; i++)
        tp_chunkmap_put(w->in_base, base->chunks[i].content_hash, tp_index_chunk_len(base, i), i);
    return 0;
}

static int prepare_writer(struct tp_writer *w, const char *dir, struct tp_error *err)
{
    const struct tp_index *x = &w->plan.index;
    int rc;

    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->segment_trained, NULL);
    rc = tp_code_options_set(&w->code, w->options->codec, w->options->zstd_level,
                             w->options->base != NULL, err);
    if (rc == 0)
        rc = tp_plan_make(dir, w->options, &w->plan, err);
    if (rc == 0)
        rc = fill_maps(w, err);
    if (rc < 0)
        return rc;
    w->segments = calloc(x->segment_n + 1u, sizeof *w->segments);
    w->prints = calloc(x->file_n + 1u, sizeof *w->prints);
    return w->segments && w->prints ? 0 : tp_oom(err);
}

static void free_writer(struct tp_writer *w)
{
    for (uint32_t i = 0; w->segments && i < w->plan.index.segment_n; i++)
        tp_trained_clear(&w->segments[i].trained);
    free(w->segments);
    free(w->prints);
    tp_chunkmap_destroy(w->in_base);
    tp_chunkmap_destroy(w->in_pack);
    tp_plan_clear(&w->plan);
    pthread_cond_destroy(&w->segment_trained);
    pthread_mutex_destroy(&w->lock);
}

/* Verify the file on the disk, not in the page cache: decode all chunks and compare. */
static int verify_pack(const struct tp_writer *w, const char *path, const uint8_t *id,
                       struct tp_error *err)
{
    tp_autopack struct tp_pack *pack = NULL;
    int rc = tp_pack_open_with(path, w->plan.base, &pack, err);

    if (rc < 0)
        return rc;
    if (memcmp(tp_pack_get_id(pack), id, TP_SHA256_LEN) != 0)
        rc = tp_fail(err, EBADMSG, "'%s' reads back with another id", path);
    if (rc == 0)
        rc =
            tp_pack_verify_written(pack, w->prints, w->options->threads, w->options->progress, err);
    return rc;
}

void tp_pack_report_fill(struct tp_pack_report *report, const struct tp_index *index)
{
    struct tp_usage all = {0}, tensors = {0};

    tp_usage_add_index(index, &all, &tensors);
    report->logical_bytes = index->logical_bytes;
    report->file_n = index->file_n;
    report->tensor_n = tp_usage_count_tensors(index);
    report->chunk_n = index->chunk_n;
    report->tensor_bytes = tensors.logical;
    report->tensor_stored_bytes = tensors.stored;
    memcpy(report->codec_chunks, all.chunks, sizeof all.chunks);
    memcpy(report->codec_logical, all.decoded, sizeof all.decoded);
    memcpy(report->codec_stored, all.coded, sizeof all.coded);
}

/* FD stays open, and thus locked, until the pack has its name. */
static int write_temporary(struct tp_writer *w, const char *path, int *fd,
                           struct tp_pack_report *report, struct tp_error *err)
{
    struct tp_rights rights = tp_rights_find(&w->plan);
    double start = tp_seconds();
    mode_t mode = 0;
    int rc;

    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return tp_fail_errno(err, "cannot create '%s'", path);
    rc = tp_temporary_lock(*fd, path, err);
    if (rc == 0)
        rc = tp_rights_set_owner(&rights, *fd, path, err);
    if (rc == 0)
        rc = tp_rights_narrow(&w->plan, *fd, path, err);
    if (rc == 0)
        rc = tp_rights_mode(&rights, *fd, w->options->replaces, path, &mode, err);
    if (rc == 0)
        rc = tp_output_write(w, *fd, path, report, err);
    if (rc == 0 && fchmod(*fd, mode & ~tp_umask()) < 0)
        rc = tp_fail_errno(err, "cannot set the mode of '%s'", path);
    if (rc == 0 && fsync(*fd) < 0)
        rc = tp_fail_errno(err, "cannot sync '%s'", path);
    if (rc == 0)
        posix_fadvise(*fd, 0, 0, POSIX_FADV_DONTNEED);
    report->write_seconds = tp_seconds() - start;
    return rc;
}

static void warn_of_lost(const struct tp_writer *w)
{
    char what[256];

    if (tp_lost_describe(&w->plan.lost, what, sizeof what))
        tp_log(TP_LOG_WARNING, "the pack of '%s' does not keep %s", w->plan.root, what);
}

static int publish_pack(const struct tp_pack_options *options, const char *temporary,
                        const char *out, struct tp_error *err)
{
    int rc = options->check_source ? options->check_source(options->check_source_arg, err) : 0;

    if (rc == 0)
        rc = tp_rename_new(temporary, out, err);
    return rc == 0 ? tp_file_sync_parent(out, err) : rc;
}

static int write_verified(struct tp_writer *w, const char *temporary, const char *out,
                          struct tp_pack_report *report, struct tp_error *err)
{
    int fd, rc = write_temporary(w, temporary, &fd, report, err);
    double start = tp_seconds();

    if (rc == 0)
        rc = verify_pack(w, temporary, report->id, err);
    report->verify_seconds = tp_seconds() - start;
    if (rc == 0)
        rc = publish_pack(w->options, temporary, out, err);
    if (rc < 0 && fd >= 0)
        unlink(temporary);
    if (fd >= 0)
        close(fd);
    if (rc == 0)
        tp_pack_report_fill(report, &w->plan.index);
    report->lost = w->plan.lost;
    return rc;
}

int tp_pack_write(const char *dir, const char *out, const struct tp_pack_options *options,
                  struct tp_pack_report *report, struct tp_error *err)
{
    struct tp_writer w = {.options = options};
    struct stat st;
    tp_autofree char *temporary = NULL;
    int rc;

    memset(report, 0, sizeof *report);
    if (lstat(out, &st) == 0)
        rc = tp_fail(err, EEXIST, "'%s' exists", out);
    else
        rc = tp_temporary_beside(out, &temporary, err);
    if (rc < 0)
        return rc;
    tp_temporaries_sweep(out);
    rc = prepare_writer(&w, dir, err);
    if (rc == 0)
        warn_of_lost(&w);
    if (rc == 0)
        rc = write_verified(&w, temporary, out, report, err);
    free_writer(&w);
    return rc;
}
