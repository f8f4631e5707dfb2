/* SPDX-License-Identifier: MIT */
/* Decoding a whole pack with all threads, and comparing every file with a hash of its content. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/pack/decode.h"
#include "store/pack/layout.h"
#include "store/pack/pack_internal.h"
#include "store/pipeline.h"
#include "store/verify.h"

/*
 * For a pack that was just written: how far the disk reads ahead of the decoding, and in which
 * steps.
 */
#define AHEAD (16u << 20)
#define STEP (4u << 20)

struct block {
    uint8_t *data;
    int rc;
    struct tp_error err;
};

struct verifier {
    struct tp_pack *pack;
    const struct tp_progress *progress;
    tp_verify_finding finding;
    void *arg;
    struct tp_verify_report *report;
    struct tp_sha256 *sha; /* one of these two, for the current file */
    struct tp_xxh128 *xxh;
    const struct tp_file_print *prints; /* expected values of XXH, by file */
    uint64_t lead;                      /* AHEAD, plus what is being decoded */
    uint64_t asked;                     /* read-ahead was requested up to here */
    uint64_t dropped;                   /* dropped from the page cache up to here */
    uint64_t file_done;
    bool file_bad;
    bool base_reported;
    int rc; /* of the worst finding: -EBADMSG before -ENOLINK */
    struct tp_error first;
};

static void report_finding(struct verifier *v, int rc, const char *message)
{
    if (v->rc == 0 || (v->rc == -ENOLINK && rc != -ENOLINK)) {
        v->rc = rc;
        tp_fail(&v->first, -rc, "%s", message);
    }
    if (v->finding)
        v->finding(v->arg, message);
}

static void *block_create(void *arg)
{
    struct block *b = calloc(1, sizeof *b);

    (void)arg;
    if (b)
        b->data = malloc(TP_CHUNK_MAX + TP_SLACK);
    if (b && b->data)
        return b;
    free(b);
    return NULL;
}

static void block_destroy(void *slot)
{
    struct block *b = slot;

    free(b->data);
    free(b);
}

static void *worker_create(void *arg)
{
    const struct verifier *v = arg;

    return tp_work_create(v->progress ? v->progress->cancel : NULL);
}

static void worker_destroy(void *worker)
{
    tp_work_destroy(worker);
}

/* Damage is kept for the report. Only other errors end the verification. */
static int decode_chunk(void *arg, void *worker, uint64_t chunk, void *slot, struct tp_error *err)
{
    struct verifier *v = arg;
    struct block *b = slot;

    b->err.code = 0;
    b->rc = tp_pack_decode_chunk(v->pack, (uint32_t)chunk, b->data, worker, &b->err);
    if (b->rc == -ENOMEM || b->rc == -ECANCELED)
        return tp_fail(err, -b->rc, "%s", b->err.message);
    return 0;
}

/* Whether the content of file F is intact. */
static bool content_matches(struct verifier *v, uint32_t f)
{
    uint8_t digest[TP_SHA256_LEN];

    if (v->xxh) {
        tp_xxh128_final(v->xxh, digest);
        return memcmp(digest, v->prints[f].xxh128, TP_XXH128_LEN) == 0;
    }
    tp_sha256_final(v->sha, digest);
    return memcmp(digest, tp_pack_index(v->pack)->files[f].sha256, TP_SHA256_LEN) == 0;
}

static void end_file(struct verifier *v, uint32_t f)
{
    bool matches = content_matches(v, f);
    char message[TP_ERROR_MAX];

    v->report->files++;
    if (!v->file_bad && !matches) {
        snprintf(message, sizeof message, "'%s' is damaged: '%.400s' does not match %s",
                 tp_pack_path(v->pack), tp_pack_index(v->pack)->files[f].path,
                 v->xxh ? "what was read of it" : "its SHA-256");
        report_finding(v, -EBADMSG, message);
        v->file_bad = true;
    }
    v->report->bad_files += v->file_bad;
    v->file_bad = false;
    v->file_done = 0;
}

/*
 * The disk reads ahead of the decoding, and decoded bytes leave the page cache. So the same few
 * pages of memory are used for the whole pack; fresh pages for all of it can take longer than
 * decoding.
 */
static void advise_passed(struct verifier *v, uint64_t off)
{
    struct tp_bytes *bytes = tp_pack_bytes(v->pack);

    if (v->asked < off + v->lead && v->asked < bytes->size) {
        tp_bytes_advise(bytes, v->asked, STEP, TP_ADVICE_WILL_NEED);
        v->asked += STEP;
    }
    if (off >= v->dropped + STEP) {
        tp_bytes_advise(bytes, v->dropped, off - v->dropped, TP_ADVICE_DONE);
        v->dropped = off;
    }
}

static int check_block(void *arg, uint64_t chunk, void *slot, struct tp_error *err)
{
    struct verifier *v = arg;
    const struct tp_index *x = tp_pack_index(v->pack);
    uint32_t f = x->segments[x->chunks[chunk].segment].file;
    uint32_t len = tp_index_chunk_len(x, (uint32_t)chunk);
    struct block *b = slot;

    (void)err;
    if (b->rc < 0) {
        v->report->bad_chunks++;
        v->file_bad = true;
        /* An absent base is one finding, even if many chunks need it. */
        if (b->rc != -ENOLINK || !v->base_reported)
            report_finding(v, b->rc, b->err.message);
        v->base_reported |= b->rc == -ENOLINK;
    } else if (v->xxh) {
        tp_xxh128_update(v->xxh, b->data, len);
    } else {
        tp_sha256_update(v->sha, b->data, len);
    }
    if (v->xxh && x->chunks[chunk].codec != TP_CODEC_SAME)
        advise_passed(v, x->chunks[chunk].stored_off);
    v->report->chunks++;
    v->report->bytes += len;
    v->file_done += len;
    if (v->file_done == x->files[f].size)
        end_file(v, f);
    tp_progress_update(v->progress, "verify", v->report->bytes, x->logical_bytes);
    return 0;
}

/* Check what is not in chunks: the header, tables that no chunk uses, files without content. */
static int verify_rest(struct verifier *v, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(v->pack);
    uint8_t header[TP_PACK_HEADER_LEN], empty[TP_SHA256_LEN];
    const char *path = tp_pack_path(v->pack);
    struct tp_error why = {0};
    int rc = tp_bytes_read(tp_pack_bytes(v->pack), header, sizeof header, 0, err);

    if (rc == 0)
        rc = tp_sha256("", 0, empty);
    if (rc < 0)
        return rc;
    if (tp_header_check(header, tp_pack_version(v->pack), path, &why) < 0)
        report_finding(v, -EBADMSG, why.message);
    for (uint32_t i = 0; i < x->segment_n; i++)
        for (uint32_t t = 0; t < x->segments[i].tables_n; t++) {
            uint8_t codec = x->tables[x->segments[i].tables_first + t].codec;

            rc = tp_tables_check(v->pack, i, codec, &why);
            if (rc == -ENOMEM)
                return tp_fail(err, ENOMEM, "%s", why.message);
            if (rc < 0)
                report_finding(v, -EBADMSG, why.message);
        }
    for (uint32_t i = 0; i < x->file_n; i++)
        if (x->files[i].type == TP_ENTRY_FILE && x->files[i].size == 0 &&
            x->files[i].link == TP_NONE) {
            v->report->files++;
            if (memcmp(x->files[i].sha256, empty, sizeof empty) != 0) {
                tp_fail(&why, EBADMSG,
                        "'%s' is damaged: the empty file '%.400s' has a wrong SHA-256", path,
                        x->files[i].path);
                v->report->bad_files++;
                report_finding(v, -EBADMSG, why.message);
            }
        }
    return 0;
}

static int verify_chunks(struct verifier *v, unsigned threads, struct tp_error *err)
{
    struct tp_pipeline p = {.threads = threads,
                            .item_n = tp_pack_index(v->pack)->chunk_n,
                            .cancel = v->progress ? v->progress->cancel : NULL,
                            .arg = v,
                            .worker_create = worker_create,
                            .worker_destroy = worker_destroy,
                            .slot_create = block_create,
                            .slot_destroy = block_destroy,
                            .work = decode_chunk,
                            .consume = check_block};
    double began = tp_seconds();
    int rc;

    memset(v->report, 0, sizeof *v->report);
    if (!v->sha && !v->xxh)
        return tp_oom(err);
    rc = verify_rest(v, err);
    if (rc == 0)
        rc = tp_pipeline_run(&p, err);
    v->report->seconds = tp_seconds() - began;
    tp_sha256_destroy(v->sha);
    tp_xxh128_destroy(v->xxh);
    if (rc == 0 && v->rc < 0)
        return tp_fail(err, -v->rc, "%s", v->first.message);
    return rc;
}

int tp_pack_verify(struct tp_pack *pack, unsigned threads, const struct tp_progress *progress,
                   tp_verify_finding finding, void *arg, struct tp_verify_report *report,
                   struct tp_error *err)
{
    struct verifier v = {.pack = pack,
                         .progress = progress,
                         .finding = finding,
                         .arg = arg,
                         .report = report,
                         .sha = tp_sha256_create()};

    return verify_chunks(&v, threads, err);
}

int tp_pack_verify_written(struct tp_pack *pack, const struct tp_file_print *prints,
                           unsigned threads, const struct tp_progress *progress,
                           struct tp_error *err)
{
    struct tp_verify_report report;
    struct verifier v = {.pack = pack,
                         .progress = progress,
                         .report = &report,
                         .xxh = tp_xxh128_create(),
                         .lead = AHEAD + (uint64_t)tp_pipeline_threads(threads) * 2 * TP_CHUNK_MAX,
                         .prints = prints};

    return verify_chunks(&v, threads, err);
}
