/* SPDX-License-Identifier: MIT */
/* The packs of a directory, in an array sorted by name. */
#include <config.h>

#include "store/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/dir.h"
#include "base/vector.h"
#include "store/pack/pack_internal.h"
#include "store/place.h"
#include "store/store.h"

/*
 * How many packs without a user stay open, and the bytes of their indexes. The last one used always
 * stays.
 */
enum { IDLE_MAX = 4 };
#define IDLE_BYTES_MAX (64u << 20)

static void entry_clear(struct tp_catalog_entry *entry)
{
    tp_pack_close(entry->pack);
    free(entry->file);
}

void tp_catalog_clear(struct tp_catalog *catalog)
{
    for (size_t i = 0; i < catalog->n; i++)
        entry_clear(&catalog->entries[i]);
    free(catalog->entries);
    catalog->entries = NULL;
    catalog->n = catalog->cap = 0;
}

int tp_catalog_stat(const struct tp_catalog *catalog, const char *file, struct tp_stamp *stamp,
                    struct tp_error *err)
{
    struct stat st;

    if (!tp_place_is_pack(catalog->dirfd, file, &st))
        return tp_fail(err, ENOENT, "there is no pack '%s/%s'", catalog->dir, file);
    *stamp = tp_stamp_of(&st);
    return 0;
}

/* The index of FILE, or of its place in the order. */
static size_t find_entry(const struct tp_catalog *catalog, const char *file, bool *found)
{
    size_t low = 0, high = catalog->n;

    *found = false;
    while (low < high && !*found) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(catalog->entries[middle].file, file);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
        if (order == 0) {
            low = middle;
            *found = true;
        }
    }
    return low;
}

/* The entry of FILE as it is now. If an older file had this name, its entry is cleared. */
static struct tp_catalog_entry *entry_for(struct tp_catalog *catalog, const char *file,
                                          const struct tp_stamp *stamp)
{
    bool found;
    size_t at = find_entry(catalog, file, &found);
    struct tp_catalog_entry *entry;

    if (found) {
        entry = &catalog->entries[at];
        if (!tp_stamp_equal(&entry->stamp, stamp)) {
            tp_pack_close(entry->pack);
            entry->pack = NULL;
            entry->identified = entry->read = false;
            entry->stamp = *stamp;
        }
        return entry;
    }
    if (TP_VECTOR_GROW(catalog->entries, catalog->n, catalog->cap) < 0)
        return NULL;
    char *copy = strdup(file);
    if (!copy)
        return NULL;
    entry = &catalog->entries[at];
    memmove(entry + 1, entry, (catalog->n - at) * sizeof *entry);
    catalog->n++;
    *entry = (struct tp_catalog_entry){.file = copy, .stamp = *stamp};
    return entry;
}

struct tp_pack *tp_catalog_shared(struct tp_catalog *catalog, const char *file,
                                  const struct tp_stamp *stamp)
{
    bool found;
    size_t at = find_entry(catalog, file, &found);
    struct tp_catalog_entry *entry = found ? &catalog->entries[at] : NULL;

    if (!entry || !entry->pack || !tp_stamp_equal(&entry->stamp, stamp))
        return NULL;
    /*
     * A pack that lacked its base when it was opened is opened again, because the base may be there
     * now.
     */
    if (tp_pack_base_error(entry->pack)[0]) {
        tp_pack_close(entry->pack);
        entry->pack = NULL;
        return NULL;
    }
    entry->used = ++catalog->clock;
    return tp_pack_ref(entry->pack);
}

void tp_catalog_drop_removed(struct tp_catalog *catalog)
{
    struct tp_stamp stamp;

    for (size_t i = 0; i < catalog->n; i++) {
        struct tp_catalog_entry *entry = &catalog->entries[i];
        if (!entry->pack || (tp_catalog_stat(catalog, entry->file, &stamp, NULL) == 0 &&
                             tp_stamp_equal(&stamp, &entry->stamp)))
            continue;
        tp_pack_close(entry->pack);
        entry->pack = NULL;
    }
}

/*
 * Close packs that only the catalog holds, except the last one used. This may leave their bases
 * idle.
 */
static void close_idle(struct tp_catalog *catalog)
{
    for (;;) {
        struct tp_catalog_entry *oldest = NULL;
        unsigned idle = 0;
        uint64_t bytes = 0;
        for (size_t i = 0; i < catalog->n; i++) {
            struct tp_catalog_entry *entry = &catalog->entries[i];
            if (!entry->pack || tp_pack_is_shared(entry->pack))
                continue;
            idle++;
            bytes += tp_index_memory(tp_pack_index(entry->pack));
            if (!oldest || entry->used < oldest->used)
                oldest = entry;
        }
        if (idle <= 1 || (idle <= IDLE_MAX && bytes <= IDLE_BYTES_MAX))
            return;
        tp_pack_close(oldest->pack);
        oldest->pack = NULL;
    }
}

int tp_catalog_share(struct tp_catalog *catalog, const char *file, const struct tp_stamp *stamp,
                     struct tp_pack **pack)
{
    struct tp_catalog_entry *entry = entry_for(catalog, file, stamp);

    if (!entry) {
        tp_pack_close(*pack);
        *pack = NULL;
        return -ENOMEM;
    }
    if (entry->pack) {
        tp_pack_close(*pack);
        *pack = entry->pack;
    } else {
        entry->pack = *pack;
    }
    tp_pack_ref(entry->pack);
    entry->used = ++catalog->clock;
    close_idle(catalog);
    return 0;
}

/* Add FILE, or check whether it is still the same, and read its id. */
static int read_entry(struct tp_catalog *catalog, const char *file, const struct tp_stamp *stamp)
{
    struct tp_catalog_entry *entry = entry_for(catalog, file, stamp);

    if (!entry)
        return -ENOMEM;
    if (entry->identified)
        return 0;
    tp_autofree char *path = tp_format("%s/%s", catalog->dir, file);
    if (!path)
        return -ENOMEM;
    entry->failed = tp_pack_identify(path, &entry->id, NULL);
    entry->identified = entry->failed == 0;
    return 0;
}

/* Remove the entries of files that are absent. */
static void drop_absent(struct tp_catalog *catalog)
{
    size_t kept = 0;

    for (size_t i = 0; i < catalog->n; i++) {
        struct tp_stamp stamp;
        struct tp_catalog_entry *entry = &catalog->entries[i];
        if (tp_catalog_stat(catalog, entry->file, &stamp, NULL) < 0)
            entry_clear(entry);
        else
            catalog->entries[kept++] = *entry;
    }
    catalog->n = kept;
}

int tp_catalog_refresh(struct tp_catalog *catalog, struct tp_error *err)
{
    const struct dirent *entry;
    struct tp_dir dir;
    int rc = 0;

    if (tp_dir_open(&dir, catalog->dirfd, ".") == 0)
        drop_absent(catalog);
    while (rc == 0 && (entry = tp_dir_next(&dir))) {
        struct tp_stamp stamp;
        if (tp_place_is_pack_name(entry->d_name) &&
            tp_catalog_stat(catalog, entry->d_name, &stamp, NULL) == 0)
            rc = read_entry(catalog, entry->d_name, &stamp);
    }
    if (tp_dir_close(&dir) < 0 && rc == 0)
        return tp_fail_errno(err, "cannot read the directory '%s'", catalog->dir);
    return rc < 0 ? tp_oom(err) : 0;
}

int tp_catalog_read(struct tp_catalog *catalog, const char *file, struct tp_pack_id *id,
                    struct tp_pack_contents *out, struct tp_error *err)
{
    struct tp_stamp stamp;
    struct tp_catalog_entry *entry = NULL;
    char *path = NULL;
    int rc = tp_catalog_stat(catalog, file, &stamp, err);

    if (rc < 0)
        return rc;
    entry = entry_for(catalog, file, &stamp);
    if (!entry ||
        (!(entry->read && entry->identified) && asprintf(&path, "%s/%s", catalog->dir, file) < 0))
        return tp_oom(err);
    if (!entry->identified)
        rc = tp_pack_identify(path, &entry->id, err);
    if (rc == 0 && !entry->read)
        rc = tp_pack_read_contents(path, &entry->contents, err);
    free(path);
    if (rc < 0)
        return rc;
    entry->identified = entry->read = true;
    *out = entry->contents;
    if (id)
        *id = entry->id;
    return 0;
}

/* The files of the entries that MATCH accepts. */
static int collect_files(const struct tp_catalog *catalog, const uint8_t *id,
                         bool (*match)(const struct tp_catalog *, const struct tp_catalog_entry *,
                                       const uint8_t *),
                         char ***out, size_t *n)
{
    char **names = malloc((catalog->n + 1) * sizeof *names);
    size_t got = 0;

    if (!names)
        return -ENOMEM;
    for (size_t i = 0; i < catalog->n; i++) {
        const struct tp_catalog_entry *entry = &catalog->entries[i];
        if (!entry->identified || !match(catalog, entry, id))
            continue;
        names[got] = strdup(entry->file);
        if (!names[got]) {
            tp_store_names_free(names, got);
            return -ENOMEM;
        }
        got++;
    }
    *out = names;
    *n = got;
    return 0;
}

const struct tp_catalog_entry *tp_catalog_find_unreadable(const struct tp_catalog *catalog)
{
    for (size_t i = 0; i < catalog->n; i++)
        if (catalog->entries[i].failed < 0 && catalog->entries[i].failed != -EBADMSG)
            return &catalog->entries[i];
    return NULL;
}

static bool has_id(const struct tp_catalog *catalog, const struct tp_catalog_entry *entry,
                   const uint8_t *id)
{
    (void)catalog;
    return memcmp(entry->id.id, id, TP_SHA256_LEN) == 0;
}

static bool may_have_content(const struct tp_catalog *catalog, const struct tp_catalog_entry *entry,
                             const uint8_t *content)
{
    (void)catalog;
    if (entry->read)
        return memcmp(entry->contents.own, content, TP_SHA256_LEN) == 0;
    return entry->id.version == 1 ||
           memcmp(entry->id.content, content, sizeof entry->id.content) == 0;
}

static bool may_have_base(const struct tp_catalog *catalog, const struct tp_catalog_entry *entry,
                          const uint8_t *id)
{
    if (!entry->id.has_base)
        return false;
    for (size_t i = 0; i < catalog->n; i++)
        if (catalog->entries[i].identified &&
            memcmp(catalog->entries[i].id.id, entry->id.base_id, TP_SHA256_LEN) == 0)
            return memcmp(entry->id.base_id, id, TP_SHA256_LEN) == 0;
    return true;
}

int tp_catalog_with_id(const struct tp_catalog *catalog, const uint8_t *id, char ***files,
                       size_t *n)
{
    return collect_files(catalog, id, has_id, files, n);
}

int tp_catalog_with_content(const struct tp_catalog *catalog, const uint8_t *content, char ***files,
                            size_t *n)
{
    return collect_files(catalog, content, may_have_content, files, n);
}

int tp_catalog_with_base(const struct tp_catalog *catalog, const uint8_t *id, char ***files,
                         size_t *n)
{
    return collect_files(catalog, id, may_have_base, files, n);
}
