/* SPDX-License-Identifier: MIT */
/* Watching the top of DIR with inotify, and notifying the kernel. */
#include <config.h>

#include "fs/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/thread.h"
#include "fs/fs.h"
#include "fs/kernel_names.h"
#include "fs/packed/grants.h"
#include "store/catalog.h"
#include "store/place.h"

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 13)
#define CAN_EXPIRE 1
#else
#define CAN_EXPIRE 0
#endif

/* The delay after which names are expired again. */
enum { AGAIN_MS = 300, EVENTS_BYTES = 65536 };

/*
 * Seconds to wait for the end of the thread. It takes longer only if the kernel makes it wait for a
 * request that is not served any more, until the session has ended.
 */
enum { WAIT_SECONDS = 5 };

struct tp_watch {
    struct fuse_session *session;
    int inotify, stop;
    pthread_t thread;
    pthread_mutex_t
        stopping; /* protects STARTED: a second caller also waits for the end of the thread */
    bool started;
    atomic_bool on;
    struct tp_buffer again; /* names, each with a NUL */
    bool lost;              /* a name disappeared since AGAIN was last empty */
    struct tp_kernel_names *known;
    struct tp_fs *fs;
};

bool tp_watch_is_on(const struct tp_watch *watch)
{
    return watch && atomic_load(&watch->on);
}

bool tp_watch_note(struct tp_watch *watch, const char *name)
{
    return tp_watch_is_on(watch) && tp_kernel_names_note(watch->known, name);
}

#if CAN_EXPIRE

typedef int (*expire_fn)(struct fuse_session *session, fuse_ino_t parent, const char *name,
                         size_t len);
typedef int (*expire_flags_fn)(struct fuse_session *session, fuse_ino_t parent, const char *name,
                               size_t len, unsigned flags);

/* Releases before 3.15 have another argument, an enumeration; 1 means to expire only. */
static void expire_name(struct fuse_session *session, const char *name)
{
    const bool has_flags = _Generic(&fuse_lowlevel_notify_expire_entry, expire_fn : 0, default : 1);
    void (*function)(void) = (void (*)(void))fuse_lowlevel_notify_expire_entry;

    if (has_flags)
        ((expire_flags_fn)function)(session, FUSE_ROOT_ID, name, strlen(name), 1);
    else
        ((expire_fn)function)(session, FUSE_ROOT_ID, name, strlen(name));
}

/* If other machines make changes, too, inotify does not report these. */
static bool is_local(int fd)
{
    static const unsigned long remote[] = {
        0x6969,     /* nfs */
        0xff534d42, /* cifs */
        0xfe534d42, /* smb2 */
        0x517b,     /* smb */
        0x01021997, /* 9p */
        0x00c36400, /* ceph */
        0x65735546, /* fuse */
        0x0bd00bd0, /* lustre */
        0x19830326, /* beegfs */
        0x47504653, /* gpfs */
        0x5346414f, /* afs */
    };
    struct statfs st;

    if (fstatfs(fd, &st) < 0)
        return false;
    for (size_t i = 0; i < sizeof remote / sizeof *remote; i++)
        if ((unsigned long)st.f_type == remote[i])
            return false;
    return true;
}

void tp_watch_init(struct tp_watch *watch, struct fuse_conn_info *conn)
{
    if (!watch)
        return;
    if (conn->capable & FUSE_CAP_EXPIRE_ONLY) {
        conn->want |= FUSE_CAP_EXPIRE_ONLY;
        atomic_store(&watch->on, true);
    }
}

struct tp_watch *tp_watch_create(int dirfd)
{
    char path[40];
    struct tp_watch *watch;

    if (!is_local(dirfd))
        return NULL;
    watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    pthread_mutex_init(&watch->stopping, NULL);
    snprintf(path, sizeof path, "/proc/self/fd/%d", dirfd);
    watch->known = tp_kernel_names_create((unsigned)TP_TIMEOUT_WATCHED);
    watch->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    watch->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!watch->known || watch->inotify < 0 || watch->stop < 0 ||
        inotify_add_watch(watch->inotify, path,
                          IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE |
                              IN_ATTRIB | IN_ONLYDIR) < 0) {
        tp_log(TP_LOG_DEBUG, "new models are seen after a second: no inotify: %s", strerror(errno));
        tp_watch_destroy(watch);
        return NULL;
    }
    return watch;
}

/*
 * The kernel forgets the name and unused names below it: nodes that it knows keep the space of
 * removed files.
 */
static void forget_name(struct fuse_session *session, const char *name)
{
    fuse_lowlevel_notify_inval_entry(session, FUSE_ROOT_ID, name, strlen(name));
}

/* The model of a pack with this name. False: the name is not that of a pack. */
static bool model_of(const char *name, char model[NAME_MAX + 1])
{
    size_t len = strlen(name);

    if (!tp_place_is_pack_name(name) || len > NAME_MAX)
        return false;
    len = tp_place_name_len(name);
    memcpy(model, name, len);
    model[len] = 0;
    return true;
}

/* Notify for NAME and, if it is a pack, for its model. */
static void notify_change(struct tp_watch *watch, const char *name,
                          void (*how)(struct fuse_session *session, const char *name))
{
    char model[NAME_MAX + 1];

    how(watch->session, name);
    if (model_of(name, model))
        how(watch->session, model);
}

/* NAME is that of a pack or of its model. */
static void notify_access(struct tp_watch *watch, const char *name)
{
    char model[NAME_MAX + 1];

    tp_tree_access_changed(watch->fs, watch->session, model_of(name, model) ? model : name);
}

/* Whether something was removed or replaced. */
static bool is_loss(const struct inotify_event *event)
{
    return event->mask & (IN_DELETE | IN_MOVED_FROM) ||
           (event->mask & IN_MOVED_TO && tp_place_is_pack_name(event->name));
}

static void notify_again(struct tp_watch *watch)
{
    const char *names = (const char *)watch->again.data;

    for (size_t at = 0; at < watch->again.len; at += strlen(names + at) + 1) {
        notify_change(watch, names + at, expire_name);
        notify_access(watch, names + at);
    }
    tp_buffer_clear(&watch->again);
    if (watch->lost)
        tp_store_drop_removed(watch->fs->store);
    watch->lost = false;
}

/* Events were lost, so everything that the kernel knows is invalidated. */
static int forget_all(struct tp_watch *watch)
{
    size_t before = watch->again.len;
    int rc = tp_kernel_names_copy(watch->known, &watch->again);
    const char *names = (const char *)watch->again.data;

    for (size_t at = before; rc == 0 && at < watch->again.len; at += strlen(names + at) + 1)
        expire_name(watch->session, names + at);
    return rc;
}

/* From now on the kernel keeps names for a second, as without a watch. */
static void give_up(struct tp_watch *watch, const char *why)
{
    if (atomic_exchange(&watch->on, false))
        tp_log(TP_LOG_WARNING, "new models are seen after a moment from here on: %s", why);
}

static void take_events(struct tp_watch *watch, char *events)
{
    ssize_t n;

    while ((n = read(watch->inotify, events, EVENTS_BYTES)) > 0) {
        /*
         * The times of DIR have changed, by which the kernel decides whether its cached listing is
         * valid.
         */
        fuse_lowlevel_notify_inval_inode(watch->session, FUSE_ROOT_ID, -1, 0);
        for (char *at = events; at < events + n;) {
            const struct inotify_event *event = (const struct inotify_event *)(void *)at;
            at += sizeof *event + event->len;
            if (event->mask & (IN_Q_OVERFLOW | IN_IGNORED)) {
                if (event->mask & IN_IGNORED)
                    give_up(watch, "the directory is gone");
                if (forget_all(watch) < 0)
                    give_up(watch, "out of memory");
            } else if (event->len > 0 && (!(event->mask & (IN_CLOSE_WRITE | IN_ATTRIB)) ||
                                          tp_place_is_pack_name(event->name))) {
                bool lost = is_loss(event);
                notify_change(watch, event->name, lost ? forget_name : expire_name);
                if (event->mask & IN_ATTRIB)
                    notify_access(watch, event->name);
                watch->lost |= lost;
                if (tp_buffer_append(&watch->again, event->name, strlen(event->name) + 1) < 0)
                    give_up(watch, "out of memory");
            }
        }
    }
}

static void *watch_thread(void *arg)
{
    struct tp_watch *watch = arg;
    tp_autofree char *events = malloc(EVENTS_BYTES);
    struct pollfd fds[2] = {{watch->inotify, POLLIN, 0}, {watch->stop, POLLIN, 0}};

    while (events) {
        int n = poll(fds, 2, watch->again.len ? AGAIN_MS : -1);
        if (n < 0 && errno != EINTR)
            break;
        if (fds[1].revents)
            break;
        /* Also if new events keep coming, then with these. */
        if (n == 0 || watch->again.len > EVENTS_BYTES)
            notify_again(watch);
        if (n > 0)
            take_events(watch, events);
    }
    return NULL;
}

void tp_watch_start(struct tp_watch *watch, struct fuse_session *session, struct tp_fs *fs)
{
    if (!watch)
        return;
    watch->session = session;
    watch->fs = fs;
    pthread_mutex_lock(&watch->stopping);
    bool started = watch->started = pthread_create(&watch->thread, NULL, watch_thread, watch) == 0;
    pthread_mutex_unlock(&watch->stopping);
    if (!started)
        give_up(watch, "no thread");
}

#else

void tp_watch_init(struct tp_watch *watch, struct fuse_conn_info *conn)
{
    (void)watch;
    (void)conn;
}

struct tp_watch *tp_watch_create(int dirfd)
{
    (void)dirfd;
    return NULL;
}

void tp_watch_start(struct tp_watch *watch, struct fuse_session *session, struct tp_fs *fs)
{
    (void)watch;
    (void)session;
    (void)fs;
}

#endif

/* SECONDS 0: wait without a limit. */
static void stop_watching(struct tp_watch *watch, unsigned seconds)
{
    const uint64_t one = 1;

    TP_LOCK_SCOPE(&watch->stopping);
    if (watch->started && write(watch->stop, &one, sizeof one) == (ssize_t)sizeof one)
        watch->started = !tp_thread_join(watch->thread, seconds);
}

void tp_watch_stop(struct tp_watch *watch)
{
    if (watch)
        stop_watching(watch, WAIT_SECONDS);
}

void tp_watch_destroy(struct tp_watch *watch)
{
    if (!watch)
        return;
    stop_watching(watch, 0);
    if (watch->inotify >= 0)
        close(watch->inotify);
    if (watch->stop >= 0)
        close(watch->stop);
    tp_buffer_clear(&watch->again);
    tp_kernel_names_destroy(watch->known);
    pthread_mutex_destroy(&watch->stopping);
    free(watch);
}
