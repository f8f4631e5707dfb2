/* SPDX-License-Identifier: MIT */
/* The state of a search on disk. */
#include <config.h>

#include "optimizer/search/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/dir.h"
#include "base/file.h"
#include "base/le.h"
#include "base/stamp.h"
#include "optimizer/search/search.h"
#include "store/names.h"
#include "store/private.h"

#define FOLDER "search"
#define LOCK "lock"
#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* --- The directory --- */

int tp_search_state_check(const char *dir, struct tp_error *err)
{
    tp_autoclose int folder = tp_private_enter(dir, FOLDER, true);

    if (folder >= 0 && faccessat(folder, ".", W_OK | X_OK, AT_EACCESS) == 0)
        return 0;
    if (folder < 0)
        errno = -folder;
    return tp_fail_errno(err, "cannot write to '%s/" TP_PRIVATE "/" FOLDER "'", dir);
}

/*
 * The lock of the state KEY in FOLDER, which is created with CREATE. A negative errno; -EAGAIN: it
 * was removed meanwhile.
 */
static int lock_state(int folder, const char *key, bool create)
{
    tp_autoclose int state =
        create ? tp_dir_enter(folder, key, true, 0700) : openat(folder, key, DIRECTORY);
    struct stat mine, named;
    int fd;

    if (state < 0)
        return create ? state : -errno;
    fd = openat(state, LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return -EBUSY;
    }
    if (fstat(state, &mine) < 0 || fstatat(folder, key, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
        !tp_same_file(&mine, &named)) {
        close(fd);
        return -EAGAIN;
    }
    futimens(fd, NULL); /* when it was used last */
    return fd;
}

static void remove_files(const struct tp_search_state *state, bool (*is_one)(const char *name))
{
    const struct dirent *entry;
    struct tp_dir list;

    tp_dir_open(&list, AT_FDCWD, state->path);
    while ((entry = tp_dir_next(&list)))
        if (is_one(entry->d_name))
            unlinkat(tp_dir_fd(&list), entry->d_name, 0);
    tp_dir_close(&list);
}

/* In a state that was just locked such a file is of a process that was killed. */
static bool is_temporary(const char *name)
{
    return name[0] == '.';
}

int tp_search_state_open(const char *dir, const uint8_t key[TP_SHA256_LEN],
                         struct tp_search_state *out, struct tp_error *err)
{
    tp_autoclose int folder = tp_private_enter(dir, FOLDER, true);

    *out = (struct tp_search_state){.lock = folder};
    tp_hex(key, TP_SHA256_LEN, out->key);
    out->path = tp_format("%s/" TP_PRIVATE "/" FOLDER "/%s", dir, out->key);
    if (!out->path) {
        out->lock = -1;
        return tp_oom(err);
    }
    if (folder >= 0)
        do
            out->lock = lock_state(folder, out->key, true);
        while (out->lock == -EAGAIN);
    if (out->lock >= 0) {
        remove_files(out, is_temporary);
        return 0;
    }
    errno = -out->lock;
    out->lock = -1;
    if (errno == EBUSY)
        return tp_fail(err, EBUSY, "another process makes this search: '%s' is locked", out->path);
    return tp_fail_errno(err, "cannot open '%s'", out->path);
}

void tp_search_state_close(struct tp_search_state *state)
{
    if (state->path && state->lock >= 0)
        close(state->lock);
    free(state->path);
    *state = (struct tp_search_state){.lock = -1};
}

/* A state that is removed is locked: a process that has opened it notices that it was removed. */
static void sweep(int folder, const char *key, time_t before)
{
    tp_autofree char *lock = tp_format("%s/" LOCK, key);
    struct stat st;
    int fd;

    if (!lock || fstatat(folder, lock, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_mtime >= before)
        return;
    fd = lock_state(folder, key, false);
    if (fd < 0)
        return;
    tp_file_remove_tree(folder, key, NULL);
    close(fd);
}

void tp_search_sweep(const char *dir, unsigned days)
{
    tp_private_sweep(dir, FOLDER, days, sweep);
}

/* --- Files --- */

char *tp_search_state_path(const struct tp_search_state *state, const char *name,
                           const char *suffix)
{
    return tp_path_join(state->path, name, suffix);
}

bool tp_search_has_pack(const struct tp_search_state *state, const char *name)
{
    tp_autofree char *path = tp_search_state_path(state, name, TP_PACK_SUFFIX);

    return path && access(path, F_OK) == 0;
}

void tp_search_remove_pack(const struct tp_search_state *state, const char *name)
{
    tp_autofree char *path = tp_search_state_path(state, name, TP_PACK_SUFFIX);

    if (path)
        unlink(path);
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), n = strlen(suffix);

    return len > n && strcmp(name + len - n, suffix) == 0;
}

static bool has_layers(const char *name)
{
    return has_suffix(name, TP_PACK_SUFFIX) || has_suffix(name, TP_SEARCH_LAYERS);
}

void tp_search_remove_packs(const struct tp_search_state *state)
{
    remove_files(state, has_layers);
}

/* --- Scores --- */

/*
 *   u32 magic, u32 whether a logit was not finite, u64 windows
 *   five means (u64 n, f64 mean, f64 squares): in the order of struct tp_tally
 *   f64 divergences[n of the fourth]
 *   SHA-256 of all before
 */
#define MAGIC 0x31435354u /* "TSC1" */
enum { MEANS = 5, MEAN_LEN = 24, HEADER_LEN = 16 + MEANS * MEAN_LEN };
#define SCORES_MAX ((size_t)1 << 32)

static struct tp_mean *mean_of(struct tp_tally *t, unsigned i)
{
    struct tp_mean *const all[MEANS] = {&t->log_likelihood, &t->reference_log_likelihood,
                                        &t->difference, &t->divergence, &t->same_top};

    return all[i];
}

static void put_double(uint8_t *p, double v)
{
    memcpy(p, &v, sizeof v);
}

static double get_double(const uint8_t *p)
{
    double v;

    memcpy(&v, p, sizeof v);
    return v;
}

int tp_search_store_scores(const struct tp_search_state *state, const char *name,
                           const struct tp_tally *tally, uint64_t windows, struct tp_error *err)
{
    tp_autofree char *path = tp_search_state_path(state, name, ".scores");
    size_t len = HEADER_LEN + tally->divergence.n * sizeof(double) + TP_SHA256_LEN;
    tp_autofree uint8_t *data = malloc(len);
    struct tp_tally copy = *tally;
    int rc;

    if (!path || !data)
        return tp_oom(err);
    tp_put_le32(data, MAGIC);
    tp_put_le32(data + 4, tally->not_finite);
    tp_put_le64(data + 8, windows);
    for (unsigned i = 0; i < MEANS; i++) {
        const struct tp_mean *m = mean_of(&copy, i);
        uint8_t *p = data + 16 + i * MEAN_LEN;

        tp_put_le64(p, m->n);
        put_double(p + 8, m->mean);
        put_double(p + 16, m->squares);
    }
    if (tally->divergence.n)
        memcpy(data + HEADER_LEN, tally->divergences, tally->divergence.n * sizeof(double));
    rc = tp_sha256(data, len - TP_SHA256_LEN, data + len - TP_SHA256_LEN);
    return rc < 0 ? tp_oom(err) : tp_file_replace(path, data, len, 0600, err);
}

static bool parse_scores(const struct tp_buffer *file, struct tp_tally *t, uint64_t *windows)
{
    const uint8_t *data = file->data;
    uint8_t hash[TP_SHA256_LEN];
    size_t rest;

    if (file->len < HEADER_LEN + TP_SHA256_LEN || tp_get_le32(data) != MAGIC)
        return false;
    rest = file->len - TP_SHA256_LEN;
    if (tp_sha256(data, rest, hash) < 0 || memcmp(hash, data + rest, sizeof hash) != 0)
        return false;
    t->not_finite = tp_get_le32(data + 4);
    *windows = tp_get_le64(data + 8);
    for (unsigned i = 0; i < MEANS; i++) {
        const uint8_t *p = data + 16 + i * MEAN_LEN;

        *mean_of(t, i) = (struct tp_mean){tp_get_le64(p), get_double(p + 8), get_double(p + 16)};
    }
    rest -= HEADER_LEN;
    if (t->divergence.n != rest / sizeof(double) || rest % sizeof(double) != 0)
        return false;
    t->divergences = malloc(rest ? rest : 1);
    if (t->divergences)
        memcpy(t->divergences, data + HEADER_LEN, rest);
    return t->divergences;
}

bool tp_search_load_scores(const struct tp_search_state *state, const char *name,
                           struct tp_tally *tally, uint64_t *windows)
{
    tp_autofree char *path = tp_search_state_path(state, name, ".scores");
    struct tp_buffer file = {0};
    bool found = path && tp_file_read_all(AT_FDCWD, path, SCORES_MAX, &file, NULL) == 0;

    *tally = (struct tp_tally){0};
    *windows = 0;
    if (found && !parse_scores(&file, tally, windows)) {
        tp_tally_clear(tally);
        *windows = 0;
        found = false;
    }
    tp_buffer_clear(&file);
    return found;
}

/* --- Records --- */

bool tp_search_load_record(const struct tp_search_state *state, const char *name,
                           struct tp_figures *f, struct tp_steps *steps)
{
    tp_autofree char *path = tp_search_state_path(state, name, ".json");
    tp_autojson struct tp_json *json = NULL;
    struct tp_figures figures;
    struct tp_steps own;

    if (!path || tp_json_read_file(AT_FDCWD, path, &json, NULL) < 0 ||
        tp_record_get(json, f->name, &figures, &own, NULL) < 0)
        return false;
    figures.name = f->name;
    *f = figures;
    *steps = own;
    return true;
}

int tp_search_store_record(const struct tp_search_state *state, const struct tp_figures *f,
                           const struct tp_steps *steps, struct tp_error *err)
{
    tp_autofree char *path = tp_search_state_path(state, f->name, ".json");
    struct tp_buffer text = {0};
    struct tp_json_writer json;
    int rc;

    if (!path)
        return tp_oom(err);
    tp_json_writer_init(&json, &text, true);
    tp_record_put(&json, NULL, f, steps);
    rc = tp_json_writer_finish(&json);
    rc = rc < 0 ? tp_oom(err) : tp_file_replace(path, text.data, text.len, 0600, err);
    tp_buffer_clear(&text);
    return rc;
}
