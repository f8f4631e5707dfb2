/* SPDX-License-Identifier: MIT */
/* A directory of models: listing it, and opening its packs, each once however many ask for it. */
#include <config.h>

#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/catalog.h"
#include "store/pack/pack_internal.h"

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
        return tp_fail(err, ENOMEM, "out of memory for the store '%s'", dir);
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

static bool is_file(int dirfd, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_REG;
    return fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

struct models {
    struct tp_model *list;
    size_t n, cap;
};

static int add_model(struct models *models, const char *name, size_t len, enum tp_model_kind kind)
{
    if (models->n == models->cap) {
        size_t cap = models->cap ? 2 * models->cap : 64;
        struct tp_model *list = realloc(models->list, cap * sizeof *list);
        if (!list)
            return -ENOMEM;
        models->list = list;
        models->cap = cap;
    }
    char *copy = strndup(name, len);
    if (!copy)
        return -ENOMEM;
    models->list[models->n++] = (struct tp_model){copy, kind};
    return 0;
}

static int compare_models(const void *a, const void *b)
{
    const struct tp_model *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : (int)x->kind - (int)y->kind;
}

/* Of a directory and a pack of one name, only the first. */
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

int tp_store_models(struct tp_store *store, struct tp_model **out, size_t *n, struct tp_error *err)
{
    int fd = openat(store->catalog.dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct models models = {0};
    struct dirent *entry;
    int rc = 0;

    *out = NULL;
    *n = 0;
    if (!dir) {
        rc = tp_fail_errno(err, "cannot read the directory '%s'", store->dir);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    errno = 0;
    while (rc == 0 && (entry = readdir(dir))) {
        size_t len = strlen(entry->d_name);
        if (entry->d_name[0] != '.') {
            if (is_directory(fd, entry))
                rc = add_model(&models, entry->d_name, len, TP_MODEL_PLAIN);
            else if (tp_catalog_is_pack(entry->d_name) && is_file(fd, entry))
                rc = add_model(&models, entry->d_name, len - TP_PACK_SUFFIX_LEN, TP_MODEL_PACK);
        }
        errno = 0;
    }
    if (rc < 0)
        tp_fail(err, ENOMEM, "out of memory for the list of models in '%s'", store->dir);
    else if (errno)
        rc = tp_fail_errno(err, "cannot read the directory '%s'", store->dir);
    closedir(dir);
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

void tp_store_models_free(struct tp_model *models, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(models[i].name);
    free(models);
}

/*
 * Open the pack file NAME, or share it. The lock is not held while it is opened: opening looks
 * for its base in this store. When two threads open one file at once, the later one takes what
 * the earlier one opened.
 */
static int open_file(struct tp_store *store, const char *name, struct tp_pack **out,
                     struct tp_error *err)
{
    struct tp_catalog_key key;
    char *path = NULL;
    int rc;

    pthread_mutex_lock(&store->lock);
    rc = tp_catalog_stat(&store->catalog, name, &key, err);
    *out = rc == 0 ? tp_catalog_shared(&store->catalog, name, &key) : NULL;
    pthread_mutex_unlock(&store->lock);
    if (rc < 0 || *out)
        return rc;

    if (asprintf(&path, "%s/%s", store->dir, name) < 0)
        return tp_fail(err, ENOMEM, "out of memory");
    rc = tp_pack_open_at(store->catalog.dirfd, name, path, store, out, err);
    free(path);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&store->lock);
    rc = tp_catalog_share(&store->catalog, name, &key, out);
    pthread_mutex_unlock(&store->lock);
    return rc < 0 ? tp_fail(err, ENOMEM, "out of memory for '%s'", name) : 0;
}

int tp_store_open_pack(struct tp_store *store, const char *name, struct tp_pack **out,
                       struct tp_error *err)
{
    char *file = NULL;
    int rc;

    *out = NULL;
    if (!*name || strchr(name, '/'))
        return tp_fail(err, EINVAL, "'%s' is not the name of a model", name);
    if (asprintf(&file, "%s" TP_PACK_SUFFIX, name) < 0)
        return tp_fail(err, ENOMEM, "out of memory");
    rc = open_file(store, file, out, err);
    free(file);
    return rc;
}

void tp_store_drop_removed(struct tp_store *store)
{
    pthread_mutex_lock(&store->lock);
    tp_catalog_drop_removed(&store->catalog);
    pthread_mutex_unlock(&store->lock);
}

/* Open one of the packs that had this id when last looked at; -ENOLINK when none has any more. */
static int open_known(struct tp_store *store, const uint8_t *id, struct tp_pack **out,
                      struct tp_error *err)
{
    char **names;
    size_t n;
    int rc;

    pthread_mutex_lock(&store->lock);
    rc = tp_catalog_with_id(&store->catalog, id, &names, &n);
    pthread_mutex_unlock(&store->lock);
    if (rc < 0)
        return tp_fail(err, ENOMEM, "out of memory");
    rc = tp_fail(err, ENOLINK, "no pack in '%s' has this id", store->dir);
    for (size_t i = 0; i < n && rc < 0; i++) {
        rc = open_file(store, names[i], out, err);
        if (rc == 0 && memcmp(tp_pack_get_id(*out), id, TP_SHA256_LEN) != 0) {
            tp_pack_close(*out);
            *out = NULL;
            rc = tp_fail(err, ENOLINK, "'%s' in '%s' was replaced by another pack", names[i],
                         store->dir);
        }
    }
    tp_store_names_free(names, n);
    return rc;
}

static int refresh(struct tp_store *store, struct tp_error *err)
{
    pthread_mutex_lock(&store->lock);
    int rc = tp_catalog_refresh(&store->catalog, err);
    pthread_mutex_unlock(&store->lock);
    return rc;
}

int tp_store_open_id(struct tp_store *store, const uint8_t id[TP_SHA256_LEN], struct tp_pack **out,
                     struct tp_error *err)
{
    *out = NULL;
    if (open_known(store, id, out, NULL) == 0)
        return 0;
    int rc = refresh(store, err);
    return rc < 0 ? rc : open_known(store, id, out, err);
}

int tp_store_dependents(struct tp_store *store, const uint8_t id[TP_SHA256_LEN], char ***names,
                        size_t *n, struct tp_error *err)
{
    *names = NULL;
    *n = 0;
    pthread_mutex_lock(&store->lock);
    int rc = tp_catalog_refresh(&store->catalog, err);
    const struct tp_catalog_entry *unasked = rc == 0 ? tp_catalog_unasked(&store->catalog) : NULL;
    if (unasked)
        rc = tp_fail(err, -unasked->failed, "cannot tell which base '%s/%s' needs: %s", store->dir, unasked->file,
                     strerror(-unasked->failed));
    if (rc == 0 && tp_catalog_with_base(&store->catalog, id, names, n) < 0)
        rc = tp_fail(err, ENOMEM, "out of memory");
    pthread_mutex_unlock(&store->lock);
    return rc;
}

void tp_store_names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}
