/* SPDX-License-Identifier: MIT */
/* A hash of a model's files. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer/evaluate/subject.h"

#define PIECE ((uint64_t)16 << 20) /* bytes that are hashed by one thread */
#define READ ((size_t)1 << 20)

/* The pieces of one file. */
struct hashing {
    struct tp_model *model;
    const struct tp_progress *progress;
    uint32_t file;
    uint8_t (*digests)[TP_SHA256_LEN];
    pthread_mutex_t lock;
    struct tp_error err; /* of the first that failed */
};

static int hash_bytes(struct hashing *h, uint64_t off, uint64_t len, struct tp_sha256 *sha,
                      uint8_t *buffer, struct tp_error *err)
{
    int rc = 0;

    for (uint64_t at = 0; rc == 0 && at < len; at += READ) {
        size_t n = len - at < READ ? (size_t)(len - at) : READ;

        rc = tp_progress_check(h->progress, err);
        if (rc == 0)
            rc = tp_model_read(h->model, h->file, off + at, buffer, n, err);
        if (rc == 0)
            tp_sha256_update(sha, buffer, n);
    }
    return rc;
}

static void hash_piece(void *arg, size_t part, void *scratch)
{
    struct hashing *h = arg;
    uint64_t off = part * PIECE, size = h->model->files[h->file].size;
    struct tp_sha256 *sha = tp_sha256_create();
    uint8_t *buffer = malloc(READ);
    struct tp_error err = {0};
    int rc = sha && buffer
                 ? hash_bytes(h, off, size - off < PIECE ? size - off : PIECE, sha, buffer, &err)
                 : tp_oom(&err);

    (void)scratch;
    if (rc == 0) {
        tp_sha256_final(sha, h->digests[part]);
    } else {
        pthread_mutex_lock(&h->lock);
        if (h->err.code == 0)
            h->err = err;
        pthread_mutex_unlock(&h->lock);
    }
    tp_sha256_destroy(sha);
    free(buffer);
}

/* Name, size and the digests of the pieces of file H->FILE. */
static int hash_file(struct hashing *h, struct tp_team *team, struct tp_sha256 *sha,
                     struct tp_error *err)
{
    const struct tp_model_file *file = &h->model->files[h->file];
    size_t pieces = (size_t)((file->size + PIECE - 1) / PIECE);

    h->digests = calloc(pieces ? pieces : 1, sizeof *h->digests);
    if (!h->digests)
        return tp_oom(err);
    tp_team_run(team, pieces, hash_piece, h);
    if (h->err.code == 0) {
        tp_sha256_update(sha, file->title, strlen(file->title) + 1);
        tp_sha256_update(sha, &file->size, sizeof file->size);
        tp_sha256_update(sha, h->digests, pieces * sizeof *h->digests);
    }
    free(h->digests);
    return h->err.code == 0 ? 0 : tp_fail(err, -h->err.code, "%s", h->err.message);
}

int tp_subject_hash(const struct tp_subject *s, const struct tp_progress *progress,
                    uint8_t out[TP_SHA256_LEN], struct tp_error *err)
{
    struct hashing h = {.model = s->model, .progress = progress, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct tp_sha256 *sha = tp_sha256_create();
    uint64_t done = 0;
    int rc = sha ? 0 : tp_oom(err);

    for (; rc == 0 && h.file < s->model->file_n; h.file++) {
        tp_progress_update(progress, "hash", done, s->model->logical_bytes);
        rc = hash_file(&h, tp_runtime_team(s->runtime), sha, err);
        done += s->model->files[h.file].size;
    }
    if (rc == 0)
        tp_sha256_final(sha, out);
    tp_sha256_destroy(sha);
    pthread_mutex_destroy(&h.lock);
    if (rc < 0 && rc != -ECANCELED)
        tp_error_prefix(err, "'%s'", s->name);
    return rc;
}
