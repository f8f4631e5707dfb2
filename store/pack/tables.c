/* SPDX-License-Identifier: MIT */
/* The expanded tables of all open packs, in a cache that replaces the least recently used. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "store/pack/layout.h"
#include "store/pack/pack_internal.h"

#define BUCKETS 1024u
/*
 * Without an engine, which gives a part of its own budget. A table takes up to 170 KB, or 4 MiB of
 * a quantized matrix, and a reader needs two or four at a time.
 */
#define BUDGET_ALONE (24u << 20)

struct tp_tables_entry {
    struct tp_tables_entry *chain;       /* next in the bucket */
    struct tp_tables_entry *prev, *next; /* by last use, most recent first */
    uint64_t serial;
    uint32_t number;
    unsigned users;
    const struct tp_codec *codec;
    struct tp_tables *tables;
    size_t bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tp_tables_entry *buckets[BUCKETS];
static struct tp_tables_entry *newest, *oldest;
static size_t kept_bytes;
static size_t given_bytes; /* by all engines */

static struct tp_tables_entry **bucket_of(uint64_t serial, uint32_t number)
{
    uint64_t h = (serial * 0x9e3779b97f4a7c15u) ^ (number * 0xff51afd7ed558ccdu);

    return &buckets[(h >> 40) % BUCKETS];
}

static void list_remove(struct tp_tables_entry *e)
{
    *(e->prev ? &e->prev->next : &newest) = e->next;
    *(e->next ? &e->next->prev : &oldest) = e->prev;
}

static void list_push(struct tp_tables_entry *e)
{
    e->prev = NULL;
    e->next = newest;
    *(newest ? &newest->prev : &oldest) = e;
    newest = e;
}

static void entry_free(struct tp_tables_entry *e)
{
    e->codec->tables_destroy(e->tables);
    free(e);
}

/* Remove an entry from the cache; the caller frees it. */
static void unlink_entry(struct tp_tables_entry *e)
{
    struct tp_tables_entry **p = bucket_of(e->serial, e->number);

    while (*p != e)
        p = &(*p)->chain;
    *p = e->chain;
    list_remove(e);
    kept_bytes -= e->bytes;
}

static struct tp_tables_entry *find_locked(uint64_t serial, uint32_t number)
{
    struct tp_tables_entry *e = *bucket_of(serial, number);

    while (e && (e->serial != serial || e->number != number))
        e = e->chain;
    if (!e)
        return NULL;
    e->users++;
    if (e != newest) {
        list_remove(e);
        list_push(e);
    }
    return e;
}

static void evict_locked(void)
{
    struct tp_tables_entry *e = oldest;
    size_t budget = given_bytes ? given_bytes : BUDGET_ALONE;

    while (e && kept_bytes > budget) {
        struct tp_tables_entry *prev = e->prev;

        if (e->users == 0) {
            unlink_entry(e);
            entry_free(e);
        }
        e = prev;
    }
}

/* Read and check the tables and, with a CODEC, expand them. Without the lock. */
static int load_tables(struct tp_pack *pack, struct tp_bytes *bytes, uint32_t segment,
                       uint32_t number, const struct tp_codec *codec, struct tp_tables **out,
                       struct tp_error *err)
{
    const struct tp_index *index = tp_pack_index(pack);
    const struct tp_tables_ref *ref = &index->tables[number];
    const struct tp_segment *s = &index->segments[segment];
    const char *path = tp_pack_path(pack);
    tp_autofree uint8_t *blob = malloc(ref->stored_len + TP_SLACK);
    int rc;

    if (!blob)
        return tp_oom(err);
    rc =
        tp_bytes_read_checked(bytes, blob, ref->stored_len, ref->stored_off, ref->stored_hash, err);
    if (rc > 0)
        rc = tp_fail(err, EBADMSG,
                     "'%s' is damaged: the %s tables of '%s' (segment %" PRIu32 ", offset %" PRIu64
                     " in the pack) do not match their checksum",
                     path, tp_codec_name(ref->codec), index->files[s->file].path, segment,
                     ref->stored_off);
    if (rc == 0 && codec) {
        rc = codec->tables_create(s->dtype, blob, ref->stored_len, out, err);
        if (rc < 0)
            tp_error_prefix(err, "'%s', %s tables of '%s' at offset %" PRIu64, path, codec->name,
                            index->files[s->file].path, ref->stored_off);
    }
    return rc;
}

/* Add an entry to the cache, unless another thread has added one. */
static struct tp_tables_entry *insert_entry(struct tp_tables_entry *e)
{
    struct tp_tables_entry *there, **bucket = bucket_of(e->serial, e->number);

    pthread_mutex_lock(&lock);
    there = find_locked(e->serial, e->number);
    if (!there) {
        e->users = 1;
        e->chain = *bucket;
        *bucket = e;
        list_push(e);
        kept_bytes += e->bytes;
        evict_locked();
    }
    pthread_mutex_unlock(&lock);
    if (there)
        entry_free(e);
    return there ? there : e;
}

static uint32_t find_number(const struct tp_index *index, uint32_t segment, uint8_t codec)
{
    const struct tp_segment *s = &index->segments[segment];

    for (uint32_t i = s->tables_first; i < s->tables_first + s->tables_n; i++)
        if (index->tables[i].codec == codec)
            return i;
    return TP_NONE;
}

int tp_tables_check(struct tp_pack *pack, uint32_t segment, uint8_t codec, struct tp_error *err)
{
    const struct tp_codec *known = tp_codec_get(codec);
    struct tp_tables *tables = NULL;
    int rc = load_tables(pack, tp_pack_bytes(pack), segment,
                         find_number(tp_pack_index(pack), segment, codec),
                         known && known->needs_tables ? known : NULL, &tables, err);

    if (tables)
        known->tables_destroy(tables);
    return rc;
}

int tp_tables_get(struct tp_pack *pack, struct tp_bytes *bytes, uint32_t segment,
                  const struct tp_codec *codec, struct tp_tables_entry **out, struct tp_error *err)
{
    const struct tp_index *index = tp_pack_index(pack);
    uint32_t number = find_number(index, segment, (uint8_t)codec->id);
    struct tp_tables_entry *e;
    int rc;

    if (number == TP_NONE)
        return tp_fail(err, EBADMSG, "'%s' is damaged: segment %" PRIu32 " has no tables for %s",
                       tp_pack_path(pack), segment, codec->name);
    pthread_mutex_lock(&lock);
    *out = find_locked(tp_pack_serial(pack), number);
    pthread_mutex_unlock(&lock);
    if (*out)
        return 0;
    e = calloc(1, sizeof *e);
    if (!e)
        return tp_oom(err);
    e->serial = tp_pack_serial(pack);
    e->number = number;
    e->codec = codec;
    e->bytes = codec->tables_bytes + index->tables[number].stored_len;
    rc = load_tables(pack, bytes, segment, number, codec, &e->tables, err);
    if (rc < 0) {
        free(e);
        return rc;
    }
    *out = insert_entry(e);
    return 0;
}

const struct tp_tables *tp_tables_of(const struct tp_tables_entry *entry)
{
    return entry->tables;
}

void tp_tables_put(struct tp_tables_entry *entry)
{
    TP_LOCK_SCOPE(&lock);
    entry->users--;
}

void tp_tables_give(size_t more, size_t less)
{
    TP_LOCK_SCOPE(&lock);
    given_bytes += more - less;
    evict_locked();
}

void tp_tables_forget(uint64_t serial)
{
    struct tp_tables_entry *e, *next;

    TP_LOCK_SCOPE(&lock);
    for (e = newest; e; e = next) {
        next = e->next;
        if (e->serial != serial)
            continue;
        unlink_entry(e);
        entry_free(e);
    }
}
