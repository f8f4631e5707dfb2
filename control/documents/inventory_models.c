/* SPDX-License-Identifier: MIT */
/* Reading one model: the index of a pack, or the files of a plain directory. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "control/documents/inventory.h"
#include "control/documents/manifest.h"
#include "store/names.h"
#include "store/place.h"
#include "tensor/modeldir.h"
#include "tensor/safetensors.h"

/* --- Packs --- */

static const char *main_codec(const struct tp_usage *usage)
{
    unsigned most = 0;

    for (unsigned id = 1; id < TP_CODEC_COUNT; id++)
        if (usage->decoded[id] > usage->decoded[most])
            most = id;
    return usage->decoded[most] ? tp_codec_name(most) : "";
}

static void fill_pack(struct tp_inventory_entry *entry, struct tp_pack *pack)
{
    const struct tp_index *index = tp_pack_index(pack);
    struct tp_inventory_row *row = &entry->row;
    struct tp_usage usage = {0};

    tp_usage_add_index(index, &usage, NULL);
    for (uint32_t i = 0; i < index->file_n; i++)
        row->files += index->files[i].type == TP_ENTRY_FILE;
    row->tensors = tp_usage_count_tensors(index);
    row->logical_bytes = index->logical_bytes;
    row->stored_bytes = tp_pack_stored_bytes(pack);
    row->exact = !index->lossy;
    snprintf(row->codec, sizeof row->codec, "%s", main_codec(&usage));
    tp_hex(tp_pack_get_id(pack), TP_SHA256_LEN, row->id);
    memcpy(entry->id, tp_pack_get_id(pack), TP_SHA256_LEN);
    entry->identified = true;
    entry->has_base = index->has_base;
    memcpy(entry->base_id, index->base_id, TP_SHA256_LEN);
    memcpy(entry->content, tp_pack_content_id(pack), TP_SHA256_LEN);
    memcpy(entry->base_content, index->base_content_id, TP_SHA256_LEN);
    snprintf(entry->own_base, sizeof entry->own_base, "%.255s",
             index->base_name ? index->base_name : "");
}

/* Clear the row except its name and kind. */
static void clear_row(struct tp_inventory_row *row)
{
    struct tp_inventory_row empty = {.kind = row->kind, .estimate_bytes = -1};

    memcpy(empty.name, row->name, sizeof empty.name);
    *row = empty;
}

int tp_inventory_read_pack(struct tp_inventory *inventory, struct tp_inventory_entry *entry)
{
    char file[NAME_MAX + 1];
    struct tp_pack *pack = NULL;
    struct tp_error why = {0};
    struct tp_stamp stamp;
    struct stat st;

    if (!tp_place_pack_name(entry->row.name, file) ||
        !tp_place_is_pack(inventory->dirfd, file, &st))
        return -ENOENT;
    stamp = tp_stamp_of(&st);
    if (entry->known && tp_stamp_equal(&stamp, &entry->stamp))
        return 0;
    int rc = tp_store_open_pack(inventory->store, entry->row.name, &pack, &why);
    if (rc == -ENOMEM ||
        (rc == -ENOENT && fstatat(inventory->dirfd, file, &st, AT_SYMLINK_NOFOLLOW) < 0))
        return rc;
    clear_row(&entry->row);
    entry->own_error[0] = '\0';
    entry->identified = entry->has_base = false;
    entry->row.changed = st.st_mtim.tv_sec;
    if (rc == 0) {
        fill_pack(entry, pack);
        tp_pack_close(pack);
    } else {
        entry->row.unreadable = true;
        entry->row.stored_bytes = (uint64_t)st.st_size;
        snprintf(entry->own_error, sizeof entry->own_error, "%.255s", why.message);
    }
    entry->stamp = stamp;
    /* A pack that could not be opened for lack of descriptors is tried again. */
    entry->known = rc != -EMFILE && rc != -ENFILE;
    return 0;
}

/* --- Plain directories --- */

void tp_plain_cache_clear(struct tp_plain_cache *cache)
{
    for (size_t i = 0; i < cache->dir_n; i++)
        free(cache->dirs[i].path);
    free(cache->dirs);
    *cache = (struct tp_plain_cache){0};
}

/* The top may be a link to a directory; links below it are not followed. */
static int row_stamp(const struct tp_inventory *inventory, const char *path, bool top,
                     struct tp_stamp *stamp)
{
    struct stat st;

    if (fstatat(inventory->dirfd, path, &st, top ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    *stamp = tp_stamp_of(&st);
    return 0;
}

static bool is_fresh(const struct tp_inventory *inventory, const struct tp_plain_cache *cache)
{
    struct tp_stamp stamp;

    if (!cache->dir_n || tp_seconds() - cache->looked > cache->good_for)
        return false;
    for (size_t i = 0; i < cache->dir_n; i++)
        if (row_stamp(inventory, cache->dirs[i].path, i == 0, &stamp) < 0 ||
            !tp_stamp_equal(&stamp, &cache->dirs[i].stamp))
            return false;
    return true;
}

static int add_dir(const struct tp_inventory *inventory, struct tp_plain_cache *cache, size_t cap,
                   const char *model, const char *path)
{
    struct tp_plain_dir *dir = &cache->dirs[cache->dir_n];
    int rc;

    if (cache->dir_n == cap)
        return -EOVERFLOW;
    dir->path = path ? tp_path_join(model, path, "") : strdup(model);
    if (!dir->path)
        return -ENOMEM;
    rc = row_stamp(inventory, dir->path, !path, &dir->stamp);
    if (rc < 0)
        free(dir->path);
    else
        cache->dir_n++;
    return rc;
}

static int take_dirs(const struct tp_inventory *inventory, struct tp_plain_cache *cache,
                     const char *model, const struct tp_modeldir *listing)
{
    size_t cap = 1;
    int rc;

    for (size_t i = 0; i < listing->entry_n; i++)
        cap += listing->entries[i].type == TP_ENTRY_DIR;
    cache->dirs = calloc(cap, sizeof *cache->dirs);
    if (!cache->dirs)
        return -ENOMEM;
    rc = add_dir(inventory, cache, cap, model, NULL);
    for (size_t i = 0; i < listing->entry_n && rc == 0; i++)
        if (listing->entries[i].type == TP_ENTRY_DIR)
            rc = add_dir(inventory, cache, cap, model, listing->entries[i].path);
    return rc;
}

static int fingerprint_listing(const struct tp_modeldir *listing, uint64_t *out)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    int rc = 0;

    for (size_t i = 0; i < listing->entry_n && rc == 0; i++) {
        const struct tp_entry *e = &listing->entries[i];
        rc = tp_buffer_append(&text, e->path, strlen(e->path) + 1);
        if (!rc)
            rc = tp_buffer_append_le64(&text, e->size);
        if (!rc)
            rc = tp_buffer_append_le64(&text, (uint64_t)e->mtime_sec);
        if (!rc)
            rc = tp_buffer_append_le64(&text, ((uint64_t)e->mtime_nsec << 2) | e->type);
    }
    *out = tp_xxh3(text.data, text.len);
    return rc;
}

static uint64_t count_tensors(int dirfd, const struct tp_modeldir *listing)
{
    uint64_t n = 0;

    for (size_t i = 0; i < listing->entry_n; i++) {
        const struct tp_entry *e = &listing->entries[i];
        tp_auto(tp_safetensors_clear) struct tp_safetensors header = {0};
        if (e->type != TP_ENTRY_FILE || e->size < TP_SAFETENSORS_MIN)
            continue;
        tp_autoclose int fd = tp_modeldir_open(listing, dirfd, e->path);
        if (fd < 0)
            continue;
        if (tp_safetensors_open(fd, e->size, e->path, &header, NULL) == 0)
            n += header.tensor_n;
    }
    return n;
}

static void fill_plain(struct tp_inventory_entry *entry, const struct tp_modeldir *listing)
{
    struct tp_inventory_row *row = &entry->row;

    row->changed = listing->root_mtime_sec;
    for (size_t i = 0; i < listing->entry_n; i++) {
        const struct tp_entry *e = &listing->entries[i];
        row->files += e->type == TP_ENTRY_FILE;
        if (e->type == TP_ENTRY_FILE && e->mtime_sec > row->changed)
            row->changed = e->mtime_sec;
    }
    row->exact = true;
    row->tensors = entry->plain.tensors;
    row->logical_bytes = row->stored_bytes = listing->total_bytes;
}

/* A store has one level, so packs in this directory are not models here. */
static void note_nested(const struct tp_inventory *inventory, struct tp_inventory_row *row)
{
    size_t packs = tp_store_count_nested(inventory->store, row->name);

    if (packs > 0)
        snprintf(row->error, sizeof row->error,
                 "it holds %zu pack%s, no model%s here: look at '%.80s/%.80s' by itself", packs,
                 packs == 1 ? "" : "s", packs == 1 ? "" : "s", tp_store_dir(inventory->store),
                 row->name);
}

/* List the directory, and note the stamps of its directories. */
static int list_plain(struct tp_inventory *inventory, struct tp_inventory_entry *entry,
                      const char *path, struct tp_error *why)
{
    struct tp_plain_cache *cache = &entry->plain, old = *cache;
    tp_auto(tp_modeldir_clear) struct tp_modeldir listing = {0};
    tp_autoclose int dirfd =
        openat(inventory->dirfd, entry->row.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = dirfd < 0 ? tp_fail_errno(why, "cannot open '%s'", entry->row.name)
                       : tp_modeldir_scan(path, &listing, why);

    *cache = (struct tp_plain_cache){.looked = tp_seconds()};
    clear_row(&entry->row);
    if (rc == 0)
        rc = take_dirs(inventory, cache, entry->row.name, &listing);
    if (rc == 0)
        rc = fingerprint_listing(&listing, &cache->fingerprint);
    if (rc == 0) {
        cache->tensors = old.counted && old.fingerprint == cache->fingerprint
                             ? old.tensors
                             : count_tensors(dirfd, &listing);
        cache->counted = true;
        fill_plain(entry, &listing);
        note_nested(inventory, &entry->row);
    }
    tp_plain_cache_clear(&old);
    return rc;
}

/*
 * Whether the file was changed so shortly before, SPENT seconds ago, that a later change could have
 * the same time.
 */
static bool was_young(const struct timespec *ctime, double spent)
{
    struct timespec t;
    double age;

    clock_gettime(CLOCK_REALTIME, &t);
    age = (double)(t.tv_sec - ctime->tv_sec) + (double)(t.tv_nsec - ctime->tv_nsec) / 1e9 - spent;
    return age > -0.05 - spent && age < 0.05;
}

/*
 * How long a listing that took SPENT seconds is valid: listings take at most a hundredth of the
 * time, and a listing is valid for at most a second if something in it has just changed.
 */
static double lifetime_of(const struct tp_inventory_entry *entry, double spent)
{
    time_t newest = (time_t)entry->row.changed;
    double seconds = 100 * spent;

    for (size_t i = 0; i < entry->plain.dir_n; i++) {
        const struct timespec *ctime = &entry->plain.dirs[i].stamp.ctime;
        if (was_young(ctime, spent))
            return 0;
        if (ctime->tv_sec > newest)
            newest = ctime->tv_sec;
    }
    if (seconds < 1 || time(NULL) - newest < 60)
        return 1;
    return seconds > 60 ? 60 : seconds;
}

int tp_inventory_read_plain(struct tp_inventory *inventory, struct tp_inventory_entry *entry)
{
    struct tp_error why = {0};
    struct stat st;
    double began = tp_seconds();

    if (entry->known && is_fresh(inventory, &entry->plain))
        return 0;
    if (fstatat(inventory->dirfd, entry->row.name, &st, 0) < 0 || !S_ISDIR(st.st_mode))
        return -ENOENT;
    char *path = tp_path_join(tp_store_dir(inventory->store), entry->row.name, "");
    if (!path)
        return -ENOMEM;
    int rc = list_plain(inventory, entry, path, &why);
    free(path);
    if (rc == -ENOMEM)
        return rc;
    if (rc < 0) {
        if (fstatat(inventory->dirfd, entry->row.name, &st, 0) < 0)
            return -ENOENT;
        entry->row.unreadable = true;
        snprintf(entry->row.error, sizeof entry->row.error, "%.255s",
                 why.message[0] ? why.message : "it changes while it is read");
    }
    entry->plain.looked = tp_seconds();
    entry->plain.good_for = lifetime_of(entry, entry->plain.looked - began);
    entry->known = rc == 0;
    return 0;
}
