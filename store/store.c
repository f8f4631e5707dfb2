/* SPDX-License-Identifier: MIT */
/* A directory of models: listing them, and opening packs, each once for all users. */
#include <config.h>

#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/dir.h"
#include "base/vector.h"
#include "store/catalog.h"
#include "store/pack/bytes_file.h"
#include "store/pack/pack_internal.h"
#include "store/place.h"

struct tp_store {
    char *dir;
    pthread_mutex_t lock;
    struct tp_catalog catalog;
};

int tp_store_open(const char *dir, struct tp_store **out, struct tp_error *err)
{
    struct tp_store *store = calloc(1, sizeof *store);
    int rc = 0;

    *out = NULL;
    if (!store || !(store->dir = strdup(dir))) {
        free(store);
        return tp_oom(err);
    }
    pthread_mutex_init(&store->lock, NULL);
    store->catalog.dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->catalog.dirfd < 0)
        rc = tp_fail_errno(err, "cannot open the directory '%s'", dir);
    store->catalog.dir = store->dir;
    if (rc < 0) {
        tp_store_close(store);
        return rc;
    }
    *out = store;
    return 0;
}

void tp_store_close(struct tp_store *store)
{
    if (!store)
        return;
    tp_catalog_clear(&store->catalog);
    if (store->catalog.dirfd >= 0)
        close(store->catalog.dirfd);
    pthread_mutex_destroy(&store->lock);
    free(store->dir);
    free(store);
}

const char *tp_store_dir(const struct tp_store *store)
{
    return store->dir;
}

static bool is_directory(int dirfd, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_type == DT_DIR)
        return true;
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
        return false;
    return fstatat(dirfd, entry->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static bool is_pack(int dirfd, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_type == DT_REG)
        return tp_place_is_pack_name(entry->d_name);
    return tp_place_is_pack(dirfd, entry->d_name, &st);
}

struct models {
    struct tp_store_model *list;
    size_t n, cap;
};

static int add_model(struct models *models, const char *name, size_t len, enum tp_model_kind kind)
{
    if (TP_VECTOR_GROW(models->list, models->n, models->cap) < 0)
        return -ENOMEM;
    char *copy = strndup(name, len);
    if (!copy)
        return -ENOMEM;
    models->list[models->n++] = (struct tp_store_model){copy, kind};
    return 0;
}

static int compare_models(const void *a, const void *b)
{
    const struct tp_store_model *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : (int)x->kind - (int)y->kind;
}

/* If a directory and a pack have one name, keep the first. */
static void drop_doubles(struct models *models)
{
    size_t kept = 0;

    for (size_t i = 0; i < models->n; i++) {
        if (kept > 0 && strcmp(models->list[kept - 1].name, models->list[i].name) == 0)
            free(models->list[i].name);
        else
            models->list[kept++] = models->list[i];
    }
    models->n = kept;
}

int tp_store_models(struct tp_store *store, struct tp_store_model **out, size_t *n,
                    struct tp_error *err)
{
    struct models models = {0};
    const struct dirent *entry;
    struct tp_dir dir;
    int rc = 0;

    *out = NULL;
    *n = 0;
    tp_dir_open(&dir, store->catalog.dirfd, ".");
    while (rc == 0 && (entry = tp_dir_next(&dir))) {
        size_t len = strlen(entry->d_name);

        if (entry->d_name[0] == '.')
            continue;
        if (is_directory(tp_dir_fd(&dir), entry))
            rc = add_model(&models, entry->d_name, len, TP_MODEL_PLAIN);
        else if (is_pack(tp_dir_fd(&dir), entry))
            rc = add_model(&models, entry->d_name, tp_place_name_len(entry->d_name), TP_MODEL_PACK);
    }
    if (tp_dir_close(&dir) < 0 && rc == 0)
        rc = tp_fail_errno(err, "cannot read the directory '%s'", store->dir);
    else if (rc < 0)
        tp_oom(err);
    if (rc < 0) {
        tp_store_models_free(models.list, models.n);
        return rc;
    }
    if (models.n > 0)
        qsort(models.list, models.n, sizeof *models.list, compare_models);
    drop_doubles(&models);
    *out = models.list;
    *n = models.n;
    return 0;
}

size_t tp_store_count_nested(struct tp_store *store, const char *name)
{
    const struct dirent *entry;
    struct tp_dir dir;
    size_t n = 0;

    tp_dir_open(&dir, store->catalog.dirfd, name);
    while ((entry = tp_dir_next(&dir)))
        n += is_pack(tp_dir_fd(&dir), entry);
    tp_dir_close(&dir);
    return n;
}

int tp_store_find_nested(struct tp_store *store,
                         void (*found)(void *arg, const char *name, size_t packs), void *arg,
                         struct tp_error *err)
{
    struct tp_store_model *models;
    size_t n;
    int rc = tp_store_models(store, &models, &n, err);

    for (size_t i = 0; rc == 0 && i < n; i++) {
        size_t packs =
            models[i].kind == TP_MODEL_PLAIN ? tp_store_count_nested(store, models[i].name) : 0;

        if (packs > 0)
            found(arg, models[i].name, packs);
    }
    if (rc == 0)
        tp_store_models_free(models, n);
    return rc;
}

void tp_store_models_free(struct tp_store_model *models, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(models[i].name);
    free(models);
}

/* Whether PACK is the file with this stamp; a link or another file may have replaced it. */
static bool is_keyed(const struct tp_pack *pack, const struct tp_stamp *stamp)
{
    struct stat st = {.st_dev = stamp->dev, .st_ino = stamp->ino};
    struct tp_identity identity = tp_bytes_file_identity(&st);

    return tp_identity_equal(&tp_pack_bytes(pack)->identity, &identity);
}

static int find_in_store(void *arg, const struct tp_base_query *query, struct tp_pack **out,
                         struct tp_error *err)
{
    return tp_store_open_base(arg, query, out, err);
}

/* Find a base in the directory of the pack, opened as a store for this one question. */
static int find_beside(void *arg, const struct tp_base_query *query, struct tp_pack **out,
                       struct tp_error *err)
{
    tp_autofree char *dir = tp_path_parent(query->path);
    tp_autostore struct tp_store *store = NULL;
    int rc = dir ? tp_store_open(dir, &store, err) : tp_oom(err);

    (void)arg;
    if (rc == 0)
        rc = tp_store_open_base(store, query, out, err);
    return rc;
}

int tp_store_open_path(struct tp_store *store, const char *path, struct tp_pack **out,
                       struct tp_error *err)
{
    const struct tp_base_finder finder = {.find = store ? find_in_store : find_beside,
                                          .arg = store};

    return tp_pack_open(path, &finder, out, err);
}

/*
 * Open the pack file NAME, or share it. The lock is not held during the open, which searches for
 * the base in this store. If two threads open one file at once, the later one uses what the earlier
 * one opened.
 */
static int open_file(struct tp_store *store, const char *name, const struct tp_base_chain *chain,
                     struct tp_pack **out, struct tp_error *err)
{
    const struct tp_base_finder finder = {.find = find_in_store, .arg = store, .chain = chain};
    struct tp_stamp stamp;
    tp_autofree char *path = NULL;
    int rc;

    pthread_mutex_lock(&store->lock);
    rc = tp_catalog_stat(&store->catalog, name, &stamp, err);
    *out = rc == 0 ? tp_catalog_shared(&store->catalog, name, &stamp) : NULL;
    pthread_mutex_unlock(&store->lock);
    if (rc < 0 || *out)
        return rc;

    path = tp_path_join(store->dir, name, "");
    rc = path ? tp_pack_open_at(store->catalog.dirfd, name, path, &finder, out, err) : tp_oom(err);
    if (rc == 0 && !is_keyed(*out, &stamp)) {
        rc = tp_fail(err, ENOENT, "'%s' was replaced while it was opened", path);
        tp_pack_close(*out);
        *out = NULL;
    }
    if (rc < 0)
        return rc;
    TP_LOCK_SCOPE(&store->lock);
    return tp_catalog_share(&store->catalog, name, &stamp, out) < 0 ? tp_oom(err) : 0;
}

int tp_store_open_pack(struct tp_store *store, const char *name, struct tp_pack **out,
                       struct tp_error *err)
{
    *out = NULL;
    if (!*name || strchr(name, '/'))
        return tp_fail(err, EINVAL, "'%s' is not the name of a model", name);
    tp_autofree char *file = tp_format("%s" TP_PACK_SUFFIX, name);
    return file ? open_file(store, file, NULL, out, err) : tp_oom(err);
}

void tp_store_drop_removed(struct tp_store *store)
{
    TP_LOCK_SCOPE(&store->lock);
    tp_catalog_drop_removed(&store->catalog);
}

/* Errors that say nothing about a pack. */
static bool is_shortage(int rc)
{
    return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE;
}

static bool is_usable(struct tp_pack *pack, const struct tp_base_query *query)
{
    return !tp_pack_base_error(pack)[0] && (!query->suits || query->suits(query->arg, pack));
}

/*
 * Open a pack that had this id when the directory was last read. -ENOLINK: there is none any more.
 */
static int open_known(struct tp_store *store, const struct tp_base_query *query,
                      struct tp_pack **out, struct tp_error *err)
{
    char **names;
    size_t n;
    int rc;

    pthread_mutex_lock(&store->lock);
    rc = tp_catalog_with_id(&store->catalog, query->id, &names, &n);
    pthread_mutex_unlock(&store->lock);
    if (rc < 0)
        return tp_oom(err);
    rc = tp_fail(err, ENOLINK, "no pack in '%s' has this id", store->dir);
    for (size_t i = 0; i < n && rc < 0; i++) {
        rc = open_file(store, names[i], query->chain, out, err);
        if (rc == 0 && memcmp(tp_pack_get_id(*out), query->id, TP_SHA256_LEN) != 0) {
            tp_pack_close(*out);
            *out = NULL;
            rc = tp_fail(err, ENOLINK, "'%s' in '%s' was replaced by another pack", names[i],
                         store->dir);
        }
    }
    tp_store_names_free(names, n);
    return rc;
}

static bool has_content(struct tp_store *store, const char *file, const uint8_t *content)
{
    struct tp_pack_contents found;

    TP_LOCK_SCOPE(&store->lock);
    int rc = tp_catalog_read(&store->catalog, file, NULL, &found, NULL);
    return rc == 0 && memcmp(found.own, content, TP_SHA256_LEN) == 0;
}

/*
 * Open the first usable pack with this content. Packs that are known to be damaged are tried last.
 * -ENOLINK: there is none.
 */
static int open_content(struct tp_store *store, const struct tp_base_query *query,
                        struct tp_pack **out, struct tp_error *err)
{
    struct tp_pack *damaged = NULL;
    char **files;
    size_t n;
    int rc;

    pthread_mutex_lock(&store->lock);
    rc = tp_catalog_with_content(&store->catalog, query->content, &files, &n);
    pthread_mutex_unlock(&store->lock);
    if (rc < 0)
        return tp_oom(err);
    rc = tp_fail(err, ENOLINK, "no pack in '%s' has its id or holds the same files", store->dir);
    for (size_t i = 0; i < n && rc < 0 && !is_shortage(rc); i++) {
        if (!has_content(store, files[i], query->content))
            continue;
        rc = open_file(store, files[i], query->chain, out, err);
        if (rc == 0 && !is_usable(*out, query)) {
            rc = tp_fail(err, ENOLINK, "'%s' holds the same files, and cannot be used%s%s",
                         tp_pack_path(*out), tp_pack_base_error(*out)[0] ? ": " : "",
                         tp_pack_base_error(*out));
            tp_pack_close(*out);
            *out = NULL;
        } else if (rc == 0 && n > 1 && !damaged && !tp_pack_probe(*out)) {
            damaged = *out;
            *out = NULL;
            rc = -ENOLINK;
        }
    }
    tp_store_names_free(files, n);
    if (rc < 0 && damaged) {
        *out = damaged;
        return 0;
    }
    tp_pack_close(damaged);
    return rc;
}

static int refresh_catalog(struct tp_store *store, struct tp_error *err)
{
    TP_LOCK_SCOPE(&store->lock);
    return tp_catalog_refresh(&store->catalog, err);
}

/*
 * If there is no other, a pack with this id whose own base is absent is returned: it reports what
 * is missing.
 */
int tp_store_open_base(struct tp_store *store, const struct tp_base_query *query,
                       struct tp_pack **out, struct tp_error *err)
{
    struct tp_pack *by_id = NULL;
    int rc = open_known(store, query, &by_id, NULL);

    *out = NULL;
    if (rc < 0 || tp_pack_base_error(by_id)[0]) {
        int looked = refresh_catalog(store, err);

        if (looked == 0 && rc < 0)
            rc = open_known(store, query, &by_id, err);
        if (looked < 0 && rc < 0)
            rc = looked;
    }
    if (!query->content || is_shortage(rc) || (rc == 0 && !tp_pack_base_error(by_id)[0])) {
        *out = by_id;
        return rc;
    }
    rc = open_content(store, query, out, err);
    if (rc == 0 || is_shortage(rc)) {
        tp_pack_close(by_id);
        return rc;
    }
    *out = by_id;
    return by_id ? 0 : -ENOLINK;
}

/* Whether WHAT is PACK's file, or needs it to be read. */
static bool rests_on(const struct tp_pack *what, const struct tp_pack *pack)
{
    bool rests = tp_pack_base_error(what)[0];

    for (; what && !rests; what = tp_pack_base(what))
        rests = tp_identity_equal(&tp_pack_bytes(what)->identity, &tp_pack_bytes(pack)->identity);
    return rests;
}

/* Other packs with the content of PACK that seem intact and can be read without it. */
struct duplicates {
    bool any;     /* there is at least one */
    bool same_id; /* one of them has the same id */
};

static int find_duplicates(struct tp_store *store, const struct tp_pack *pack,
                           struct duplicates *out, struct tp_error *err)
{
    char **files;
    size_t n;
    int rc;

    *out = (struct duplicates){0};
    pthread_mutex_lock(&store->lock);
    rc = tp_catalog_with_content(&store->catalog, tp_pack_content_id(pack), &files, &n);
    pthread_mutex_unlock(&store->lock);
    if (rc < 0)
        return tp_oom(err);
    for (size_t i = 0; i < n; i++) {
        tp_autopack struct tp_pack *duplicate = NULL;

        if (!has_content(store, files[i], tp_pack_content_id(pack)) ||
            open_file(store, files[i], NULL, &duplicate, NULL) < 0)
            continue;
        if (!rests_on(duplicate, pack) && tp_pack_depth(duplicate) < TP_BASE_DEPTH_MAX &&
            tp_pack_probe(duplicate)) {
            out->any = true;
            out->same_id |=
                memcmp(tp_pack_get_id(duplicate), tp_pack_get_id(pack), TP_SHA256_LEN) == 0;
        }
    }
    tp_store_names_free(files, n);
    return 0;
}

/*
 * Whether FILE, which may have PACK as its base, has no other one. A pack whose index is damaged
 * needs none.
 */
static int needs_pack(struct tp_store *store, const char *file, const struct tp_pack *pack,
                      const struct duplicates *duplicates, bool *out, struct tp_error *err)
{
    static const uint8_t none[TP_SHA256_LEN];
    struct tp_pack_contents contents;
    struct tp_pack_id id;
    int rc;

    *out = false;
    pthread_mutex_lock(&store->lock);
    rc = tp_catalog_read(&store->catalog, file, &id, &contents, err);
    pthread_mutex_unlock(&store->lock);
    if (rc < 0)
        return rc == -EBADMSG ? 0 : rc;
    if (memcmp(contents.base, none, sizeof none) == 0)
        *out = !duplicates->same_id && memcmp(id.base_id, tp_pack_get_id(pack), TP_SHA256_LEN) == 0;
    else
        *out =
            !duplicates->any && memcmp(contents.base, tp_pack_content_id(pack), TP_SHA256_LEN) == 0;
    return 0;
}

/* Keep the files that need PACK among those that may have it as their base, and free the others. */
static int keep_files_that_need(struct tp_store *store, const struct tp_pack *pack, char **files,
                                size_t *n, struct tp_error *err)
{
    struct duplicates duplicates;
    size_t kept = 0, all = *n;
    int rc = all ? find_duplicates(store, pack, &duplicates, err) : 0;

    for (size_t i = 0; i < all; i++) {
        bool needed = false;

        if (rc == 0)
            rc = needs_pack(store, files[i], pack, &duplicates, &needed, err);
        if (needed) {
            files[i][tp_place_name_len(files[i])] = '\0';
            files[kept++] = files[i];
        } else {
            free(files[i]);
        }
    }
    *n = kept;
    return rc;
}

int tp_store_dependents(struct tp_store *store, const struct tp_pack *pack, char ***names,
                        size_t *n, struct tp_error *err)
{
    *names = NULL;
    *n = 0;
    pthread_mutex_lock(&store->lock);
    int rc = tp_catalog_refresh(&store->catalog, err);
    const struct tp_catalog_entry *unreadable =
        rc == 0 ? tp_catalog_find_unreadable(&store->catalog) : NULL;
    if (unreadable)
        rc = tp_fail(err, -unreadable->failed, "cannot tell which base '%s/%s' needs: %s",
                     store->dir, unreadable->file, strerror(-unreadable->failed));
    if (rc == 0 && tp_catalog_with_base(&store->catalog, tp_pack_get_id(pack), names, n) < 0)
        rc = tp_oom(err);
    pthread_mutex_unlock(&store->lock);
    if (rc == 0)
        rc = keep_files_that_need(store, pack, *names, n, err);
    if (rc < 0) {
        tp_store_names_free(*names, *n);
        *names = NULL;
        *n = 0;
    }
    return rc;
}

void tp_store_names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}
