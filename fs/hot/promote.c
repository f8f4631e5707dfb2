/* SPDX-License-Identifier: MIT */
/* Deciding what is promoted, and which node an open uses. */
#include <config.h>

#include "fs/hot/promote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "fs/hot/promote_impl.h"

/* Promoting smaller files gains nothing. */
#define SIZE_MIN 65536u

bool tp_promote_is_stacked(const struct tp_fs *fs)
{
    return tp_backing_is_stacked(fs->root.fd) ||
           (fs->promote && tp_backing_is_stacked(fs->promote->backing.dirfd));
}

/* --- Which node ------------------------------------------------------------------------------ */

static struct tp_packed *other_node(struct tp_packed *packed)
{
    struct tp_hot *hot = packed->hot;

    return packed == hot->first ? &hot->second : hot->first;
}

struct tp_packed *tp_promote_node(struct tp_packed *packed)
{
    struct tp_hot *hot = packed->hot;

    if (!hot)
        return packed;
    if (hot->state == TP_HOT_READY && hot->current->pass.asking > 0 &&
        other_node(hot->current)->pass.asking == 0)
        hot->current = other_node(hot->current);
    return hot->current;
}

/*
 * Whether this thread got ESTALE just now and came back with the same node: it opens what it holds,
 * not a name.
 */
static bool was_sent(struct tp_promote *promote, pid_t thread)
{
    for (unsigned i = 0; i < TP_PROMOTE_SENT; i++)
        if (promote->sent[i].thread == thread) {
            promote->sent[i].thread = 0;
            return true;
        }
    return false;
}

static void note_sent(struct tp_promote *promote, pid_t thread)
{
    promote->sent[promote->sent_next++ % TP_PROMOTE_SENT].thread = thread;
}

static void count_use(struct tp_fs *fs, struct tp_hot *hot)
{
    hot->use_before = hot->last_use;
    hot->last_use = ++fs->clock;
}

enum tp_promote_open tp_promote_open(fuse_req_t req, struct tp_packed *packed,
                                     struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_promote *promote = fs->promote;
    pid_t thread = fuse_req_ctx(req)->pid; /* 0: a process of another PID namespace */
    enum tp_promote_open how = TP_OPEN_ASKS;

    pthread_mutex_lock(&fs->lock);
    struct tp_hot *hot = packed->hot;
    int fd = hot && hot->state == TP_HOT_READY ? hot->fd : -1;
    if (fd >= 0 && fs->passthrough.ready && thread != 0 && tp_promote_node(packed) != packed &&
        packed->pass.asking > 0 && !was_sent(promote, thread)) {
        note_sent(promote, thread);
        pthread_mutex_unlock(&fs->lock);
        return TP_OPEN_ANEW;
    }
    if (hot)
        count_use(fs, hot);
    if (tp_pass_open(&fs->passthrough, req, &packed->pass, fd, fi)) {
        packed->tree->refs++;
        hot->current = packed;
        how = TP_OPEN_PASSES;
    } else if (fd >= 0 && packed->pass.refused) {
        pthread_cond_signal(&promote->wake); /* it will be dropped */
    }
    pthread_mutex_unlock(&fs->lock);
    return how;
}

/* --- What is worth it ------------------------------------------------------------------------ */

static struct tp_hot *hot_create(struct tp_promote *promote, struct tp_packed *packed,
                                 uint64_t size)
{
    struct tp_hot *hot = calloc(1, sizeof *hot);

    if (!hot)
        return NULL;
    hot->first = hot->current = packed;
    hot->second = (struct tp_packed){.node = {&tp_packed_ops, 0, ++promote->fs->generation, 0},
                                     .tree = packed->tree,
                                     .file = packed->file,
                                     .hot = hot};
    hot->size = size;
    hot->space = tp_backing_space(&promote->backing, size);
    hot->fd = -1;
    if (hot->space > promote->budget)
        hot->state = TP_HOT_NEVER;
    __atomic_store_n(&packed->hot, hot, __ATOMIC_RELEASE);
    return hot;
}

struct tp_packed *tp_hot_second(struct tp_hot *hot)
{
    return &hot->second;
}

void tp_hot_free(struct tp_hot *hot)
{
    if (!hot)
        return;
    tp_reader_close(hot->second.reader);
    if (hot->fd >= 0)
        close(hot->fd);
    free(hot);
}

static bool is_worth_promoting(const struct tp_view *view, uint32_t file)
{
    return view->index->files[file].type == TP_ENTRY_FILE &&
           view->index->files[file].size >= SIZE_MIN;
}

/* With the lock held. */
static struct tp_hot *hot_of(struct tp_promote *promote, struct tp_packed *packed,
                             const struct tp_view *view)
{
    if (packed->hot || packed->file == TP_NONE)
        return packed->hot;
    return is_worth_promoting(view, packed->file)
               ? hot_create(promote, packed, view->index->files[packed->file].size)
               : NULL;
}

/* With the lock held. */
static void queue_hot(struct tp_promote *promote, struct tp_hot *hot)
{
    struct tp_fs *fs = promote->fs;

    if (hot->state != TP_HOT_COLD || !fs->passthrough.ready || !promote->started ||
        !tp_promote_has_space(promote, hot))
        return;
    hot->state = TP_HOT_QUEUED;
    hot->first->tree->refs++; /* until it is dropped */
    hot->next = NULL;
    *promote->queue_end = hot;
    promote->queue_end = &hot->next;
    pthread_cond_signal(&promote->wake);
}

static bool is_pinned_name(const struct tp_promote *promote, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = promote->pins; at && *at;) {
        size_t n = strcspn(at, ":");
        if (n == len && memcmp(at, name, n) == 0)
            return true;
        at += n + (at[n] == ':');
    }
    return false;
}

void tp_promote_opened(struct tp_fs *fs, struct tp_packed *packed, const struct tp_view *view)
{
    struct tp_promote *promote = fs->promote;

    if (!promote)
        return;
    TP_LOCK_SCOPE(&fs->lock);
    bool first = !packed->hot;
    struct tp_hot *hot = hot_of(promote, packed, view);
    if (hot && first) {
        count_use(fs, hot);
        hot->pinned = is_pinned_name(promote, packed->tree->name);
    }
    /* It was read nearly completely, and is opened again. */
    if (hot &&
        (hot->pinned || __atomic_load_n(&hot->read, __ATOMIC_RELAXED) >= hot->size - hot->size / 4))
        queue_hot(promote, hot);
}

void tp_promote_read(struct tp_fs *fs, struct tp_packed *packed, size_t len)
{
    struct tp_hot *hot = __atomic_load_n(&packed->hot, __ATOMIC_ACQUIRE);

    if (!hot)
        return;
    uint64_t before = __atomic_fetch_add(&hot->read, len, __ATOMIC_RELAXED);
    if (before / 2 >= hot->size || (before + len) / 2 < hot->size)
        return;
    TP_LOCK_SCOPE(&fs->lock);
    queue_hot(fs->promote, hot);
}

/*
 * --- Pins --------------------------------------------------------------------------------------
 */

/* A file that is too small, or not a regular file, counts as promoted. */
static int pin_file(struct tp_promote *promote, uint32_t file, const struct tp_view *view, bool pin)
{
    if (!is_worth_promoting(view, file))
        return 0;
    struct tp_packed *packed = tp_tree_node(promote->fs, view, file, 0);
    struct tp_hot *hot = packed ? hot_of(promote, packed, view) : NULL;

    if (!hot) {
        if (packed)
            tp_tree_drop_node(packed);
        return -ENOMEM;
    }
    hot->pinned = pin;
    if (pin)
        queue_hot(promote, hot);
    return pin && (hot->state == TP_HOT_COLD || hot->state == TP_HOT_NEVER) ? -ENOSPC : 0;
}

int tp_promote_pin(struct tp_fs *fs, struct tp_packed *packed, bool pin)
{
    struct tp_promote *promote = fs->promote;
    struct tp_view *view;

    if (!promote || !fs->passthrough.ready)
        return -EOPNOTSUPP;
    int rc = tp_tree_hold(fs, packed->tree, &view);
    if (rc != 0)
        return rc;
    uint32_t first = packed->file == TP_NONE ? 0 : packed->file;
    uint32_t end = packed->file == TP_NONE ? view->index->file_n : view->skip[packed->file];
    pthread_mutex_lock(&fs->lock);
    for (uint32_t i = first; i < end; i++)
        if (view->index->files[i].link == TP_NONE)
            rc = pin_file(promote, i, view, pin) < 0 ? -ENOSPC : rc;
    pthread_mutex_unlock(&fs->lock);
    tp_tree_release(fs, view);
    return rc;
}

void tp_promote_get(struct tp_fs *fs, struct tp_packed *packed, const struct tp_view *view,
                    bool *pinned, bool *promoted)
{
    const struct tp_pack_file *files = view->index->files;
    uint32_t first = packed->file == TP_NONE ? 0 : packed->file;
    uint32_t end = packed->file == TP_NONE ? view->index->file_n : view->skip[packed->file];
    bool any = false;

    *pinned = *promoted = fs->promote != NULL;
    pthread_mutex_lock(&fs->lock);
    for (uint32_t i = first; fs->promote && i < end; i++) {
        if (files[i].link != TP_NONE || !is_worth_promoting(view, i))
            continue;
        const struct tp_packed *node = tp_tree_known_node(packed->tree, i, 0);
        const struct tp_hot *hot = node ? node->hot : NULL;
        any = true;
        *pinned = *pinned && (hot ? hot->pinned : is_pinned_name(fs->promote, packed->tree->name));
        *promoted = *promoted && hot && hot->state == TP_HOT_READY;
    }
    pthread_mutex_unlock(&fs->lock);
    *pinned = *pinned && any;
    *promoted = *promoted && any;
}

static void pin_name(struct tp_fs *fs, const char *name)
{
    struct fuse_entry_param entry;
    int rc = tp_tree_lookup(fs, name, &entry);

    if (rc == 0) {
        struct tp_packed *root = tp_as_packed(tp_node_get(fs, entry.ino));
        rc = tp_promote_pin(fs, root, true);
        tp_node_forget(fs, &root->node, 1);
    }
    if (rc != 0)
        tp_log(TP_LOG_WARNING, "cannot promote '%s': %s", name, strerror(-rc));
}

void tp_promote_pin_names(struct tp_promote *promote)
{
    char *names = promote->pins ? strdup(promote->pins) : NULL, *rest = names, *name;

    while ((name = strsep(&rest, ":")))
        if (*name)
            pin_name(promote->fs, name);
    free(names);
}

void tp_promote_closed(struct tp_fs *fs, const struct tp_packed *packed)
{
    struct tp_promote *promote = fs->promote;

    if (packed->pass.passing == 0 && promote &&
        (promote->used > promote->budget || !packed->tree->current))
        pthread_cond_signal(&promote->wake);
}

int tp_promote_set_budget(struct tp_fs *fs, uint64_t bytes, struct tp_error *err)
{
    struct tp_promote *promote = fs->promote;

    if (!promote)
        return tp_fail(err, EOPNOTSUPP,
                       "this mount keeps no hot models: it was made without hot=SIZE");
    if (bytes > fs->options->hot_bytes)
        return tp_fail(err, ERANGE,
                       "the mount was made with space for %llu bytes of hot models, not %llu",
                       (unsigned long long)fs->options->hot_bytes, (unsigned long long)bytes);
    TP_LOCK_SCOPE(&fs->lock);
    promote->budget = bytes;
    pthread_cond_signal(&promote->wake);
    return 0;
}

/* --- Figures --------------------------------------------------------------------------------- */

void tp_promote_get_figures(struct tp_fs *fs, struct tp_hot_figures *out)
{
    const struct tp_promote *promote = fs->promote;

    TP_LOCK_SCOPE(&fs->lock);
    *out = (struct tp_hot_figures){.passthrough = fs->passthrough.ready};
    if (!fs->passthrough.ready)
        snprintf(out->why_not, sizeof out->why_not, "%s", fs->passthrough.why_not);
    if (promote) {
        out->budget = promote->budget;
        out->used = promote->used;
        out->files = promote->ready_n;
        out->promotions = promote->promotions;
        out->demotions = promote->demotions;
        out->failures = promote->failures;
    }
}
