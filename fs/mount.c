/* SPDX-License-Identifier: MIT */
/* The life of a mount: its conditions, its session and threads, and its end. */
#include <config.h>

#include "base/cleanup.h"
#include "base/cpu.h"
#include "fs/mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "fs/control/control.h"
#include "fs/unmount.h"
#include "fs/budget.h"
#include "fs/dispatch.h"
#include "fs/fs.h"
#include "fs/kernel.h"
#include "fs/loop.h"
#include "fs/mountinfo.h"
#include "fs/hot/promote.h"
#include "fs/packed/long_read.h"
#include "fs/signals.h"
#include "fs/hints.h"
#include "fs/sweep.h"
#include "fs/watch.h"

enum { SERVE_THREADS_MIN = 8, SERVE_THREADS_MAX = 16 };

/* Arenas of the allocator: requests allocate little, and each arena keeps memory. */
enum { ALLOCATOR_ARENAS = 2 };

uint64_t tp_mount_default_cache(void)
{
    const uint64_t least = (uint64_t)256 << 20, most = (uint64_t)2 << 30,
                   floor = (uint64_t)16 << 20;
    uint64_t memory = tp_memory_limit(), cache = memory / 8;

    cache = cache < least ? least : cache > most ? most : cache;
    if (cache > memory / 4)
        cache = memory / 4;
    return cache < floor ? floor : cache;
}

static unsigned serve_threads(void)
{
    unsigned n = 2 * tp_cpu_count();

    return n < SERVE_THREADS_MIN   ? SERVE_THREADS_MIN
           : n > SERVE_THREADS_MAX ? SERVE_THREADS_MAX
                                   : n;
}

/* --- Before mounting --- */

static int check_empty(const char *path, struct tp_error *err)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    bool empty = true;

    if (!dir)
        return tp_fail_errno(err, "cannot read the mount point '%s'", path);
    while (empty && (entry = readdir(dir)))
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(dir);
    return empty ? 0 : tp_fail(err, ENOTEMPTY, "the mount point '%s' is not empty", path);
}

/* Refuse a mount over another tenpak mount, alive or dead. */
static int check_not_ours(const char *path, struct tp_error *err)
{
    struct statvfs alive; /* the kernel never answers this for a daemon */

    if (!tp_kernel_is_tenpak(path))
        return 0;
    if (statvfs(path, &alive) < 0 && errno == ENOTCONN)
        return tp_fail(err, ENOTCONN, "the daemon of the mount at '%s' has died: unmount it first",
                       path);
    return tp_fail(err, EBUSY, "'%s' is a tenpak mount already", path);
}

/*
 * DIR must not contain the mount point, and so itself endlessly, through a bind mount, another
 * tenpak mount or an overlay.
 */
static int check_not_shown(const struct tp_fs *fs, int dirfd, const char *point, int point_fd,
                           struct tp_error *err)
{
    const struct tp_mount_row *via = NULL;
    tp_auto(tp_mount_table_clear) struct tp_mount_table table = {0};
    bool covers = false, shows = false;
    int rc = tp_mount_table_read(&table);

    if (rc == 0)
        rc = tp_mount_covers(&table, point_fd, point, dirfd, fs->dir, &covers);
    if (rc == 0 && !covers)
        rc = tp_mounts_show(&table, dirfd, fs->dir, point_fd, point, &shows, &via);
    if (rc < 0)
        rc = tp_fail(err, -rc, "cannot tell whether '%s' contains '%s': %s", fs->dir, point,
                     strerror(-rc));
    else if (covers || (shows && !via))
        rc = tp_fail(err, EINVAL, "cannot mount '%s' on '%s': one is within the other", fs->dir,
                     point);
    else if (shows)
        rc = tp_fail(err, EINVAL,
                     "cannot mount '%s' on '%s': it contains its mount point, by the mount at '%s'",
                     fs->dir, point, via->point);
    return rc;
}

static int check_apart(const struct tp_fs *fs, const char *point, struct tp_error *err)
{
    tp_autoclose int dirfd = open(fs->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    tp_autoclose int point_fd = open(point, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int rc;

    if (dirfd < 0 || point_fd < 0)
        rc = tp_fail_errno(err, "cannot open '%s'", dirfd < 0 ? fs->dir : point);
    else
        rc = check_not_shown(fs, dirfd, point, point_fd, err);
    return rc;
}

static int check_mountpoint(const char *given, struct tp_fs *fs, struct tp_error *err)
{
    struct stat st;
    int rc = tp_kernel_canonical(given, &fs->mountpoint, err);

    if (rc == 0)
        rc = check_not_ours(fs->mountpoint, err);
    if (rc < 0)
        return rc;
    if (stat(fs->mountpoint, &st) < 0)
        return tp_fail_errno(err, "cannot mount on '%s'", given);
    if (!S_ISDIR(st.st_mode))
        return tp_fail(err, ENOTDIR, "cannot mount on '%s': it is not a directory", given);
    char *real = realpath(fs->mountpoint, NULL);
    if (!real)
        return tp_fail_errno(err, "cannot mount on '%s'", given);
    free(fs->mountpoint);
    fs->mountpoint = real;
    fs->below_dev = st.st_dev;
    rc = check_not_ours(real, err); /* it may have been a link to one */
    if (rc < 0)
        return rc;
    rc = check_apart(fs, real, err);
    return rc < 0 ? rc : check_empty(real, err);
}

static int check_dir(const char *given, struct tp_fs *fs, struct tp_error *err)
{
    struct stat st;

    fs->dir = realpath(given, NULL);
    if (!fs->dir || stat(fs->dir, &st) < 0)
        return tp_fail_errno(err, "cannot open the directory '%s'", given);
    if (!S_ISDIR(st.st_mode))
        return tp_fail(err, ENOTDIR, "'%s' is not a directory", given);
    if (access(fs->dir, R_OK | X_OK) < 0)
        return tp_fail_errno(err, "cannot read the directory '%s'", given);
    return 0;
}

static int check_device(struct tp_error *err)
{
    tp_autoclose int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

    if (fd >= 0)
        return 0;
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
        return tp_fail(err, ENODEV,
                       "there is no '/dev/fuse': the kernel has no FUSE, or its module is "
                       "not loaded");
    return tp_fail_errno(err, "cannot open '/dev/fuse'");
}

/* Each file of DIR that the kernel knows needs a descriptor. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* --- The session --- */

__attribute__((format(printf, 2, 0))) static void log_fuse(enum fuse_log_level level,
                                                           const char *fmt, va_list ap)
{
    char line[TP_ERROR_MAX];

    vsnprintf(line, sizeof line, fmt, ap);
    line[strcspn(line, "\n")] = 0;
    tp_log(level <= FUSE_LOG_ERR       ? TP_LOG_ERROR
           : level == FUSE_LOG_WARNING ? TP_LOG_WARNING
           : level == FUSE_LOG_DEBUG   ? TP_LOG_DEBUG
                                       : TP_LOG_INFO,
           "%s", line);
}

static int session_create(struct tp_fs *fs, const struct tp_mount_options *options,
                          struct fuse_session **out, struct tp_error *err)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    char *source = NULL, *source_option = NULL;
    int bad = fuse_opt_add_arg(&args, "tenpak") || fuse_opt_add_arg(&args, "-o") ||
              fuse_opt_add_arg(&args, "default_permissions,subtype=tenpak,max_read=1048576");

    /* Used by mount -a, which checks whether this source is mounted at this place. */
    if (!bad)
        bad = asprintf(&source, "fsname=%s", fs->dir) < 0 ||
              fuse_opt_add_opt_escaped(&source_option, source) || fuse_opt_add_arg(&args, "-o") ||
              fuse_opt_add_arg(&args, source_option);
    if (!bad && options->read_only)
        bad = fuse_opt_add_arg(&args, "-oro");
    if (!bad && options->flags)
        bad = fuse_opt_add_arg(&args, "-o") || fuse_opt_add_arg(&args, options->flags);
    /*
     * Models may come from untrusted users. mount(8) passes "suid,dev" if fstab does not say
     * otherwise, and the last option counts.
     */
    if (!bad)
        bad = fuse_opt_add_arg(&args, "-onosuid,nodev");
    if (!bad && options->allow_other)
        bad = fuse_opt_add_arg(&args, "-oallow_other");
    if (!bad && options->debug)
        bad = fuse_opt_add_arg(&args, "-d");
    if (!bad)
        *out = fuse_session_new(&args, &tp_fs_operations, sizeof tp_fs_operations, fs);
    fuse_opt_free_args(&args);
    free(source_option);
    free(source);
    return *out ? 0 : tp_fail(err, EIO, "cannot set up a FUSE session");
}

struct ready {
    struct tp_fs *fs;
    const struct tp_mount_options *options;
    unsigned threads;
};

/* A separate thread, because its first access to the mount waits until FUSE_INIT is answered. */
static void *announce_thread(void *arg)
{
    const struct ready *ready = arg;
    struct tp_fs *fs = ready->fs;
    struct tp_engine_stats stats;
    char slow[TP_HINTS_MAX];
    struct stat st;

    int rc = stat(fs->mountpoint, &st);
    /* The mount does not exist any more; do not change what is below it. */
    if (rc == 0 && st.st_dev == fs->below_dev)
        return NULL;
    if (rc < 0) {
        tp_log(TP_LOG_ERROR, "the mount at '%s' does not answer: %s", fs->mountpoint,
               strerror(errno));
        return NULL;
    }
    atomic_store(&fs->mount_dev, st.st_dev);
    /* FUSE_INIT can only lower it. If this user may not raise it, the status shows that. */
    rc = tp_kernel_set_read_ahead(st.st_dev, TP_READ_AHEAD_KB);
    if (rc < 0)
        tp_log(TP_LOG_DEBUG, "read-ahead stays as it is: %s", strerror(-rc));
    tp_promote_start(fs);
    tp_engine_get_stats(fs->engine, &stats);
    tp_hints_write(fs, slow, sizeof slow);
    struct tp_mount_ready status = {
        .dir = fs->dir,
        .mountpoint = fs->mountpoint,
        .cache_bytes = stats.cached_bytes_max,
        .decode_threads = ready->options->threads ? ready->options->threads : tp_cpu_count(),
        .serve_threads = ready->threads,
        .max_read_kb = TP_MAX_READ / 1024,
        .max_background = TP_MAX_BACKGROUND,
        .read_ahead_kb = tp_kernel_read_ahead(st.st_dev),
        .read_ahead_wanted = TP_READ_AHEAD_KB,
        .slow = slow,
    };
    if (ready->options->ready)
        ready->options->ready(ready->options->ready_arg, &status);
    /*
     * The first hash initialises its library, for some 10 ms: do it now and not at the first
     * look-up.
     */
    uint8_t digest[TP_SHA256_LEN];
    (void)tp_sha256(NULL, 0, digest);
    return NULL;
}

/*
 * Waiting requests fail. If the mount does not exist any more, another one may have its place, so
 * the session's descriptor is closed without libfuse, which unmounts by path.
 */
static void end_session(struct tp_fs *fs, struct fuse_session *session)
{
    tp_autoclose int null = tp_detach_is_due(fs) ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0) {
        fuse_session_unmount(session);
        return;
    }
    dup3(null, fuse_session_fd(session), O_CLOEXEC);
}

/* Run the session's threads until the mount is unmounted or a second signal comes. */
static int run_session(struct tp_fs *fs, struct fuse_session *session,
                       struct fuse_loop_config *config, struct ready *ready, struct tp_error *err)
{
    pthread_t announcer;
    int rc = pthread_create(&announcer, NULL, announce_thread, ready);

    if (rc != 0) {
        fuse_session_unmount(session);
        return tp_fail(err, rc, "cannot start a thread");
    }
    tp_watch_start(fs->watch, session, fs);
    tp_sweep_start(fs->sweep, session);
    rc = fuse_session_loop_mt(session, config);
    /* The result of reading a request while the mount is being unmounted. */
    if (rc == -ECONNABORTED)
        rc = 0;
    /* Before the session's descriptor is closed, because its number may be used again. */
    tp_watch_stop(fs->watch);
    tp_sweep_stop(fs->sweep);
    tp_long_reads_stop(fs);
    /* The announcing thread may wait for a reply. */
    end_session(fs, session);
    pthread_join(announcer, NULL);
    return rc < 0 ? tp_fail(err, -rc, "the mount at '%s' ended: %s", fs->mountpoint, strerror(-rc))
                  : 0;
}

static int serve_session(struct tp_fs *fs, const struct tp_mount_options *options,
                         struct fuse_session *session, struct tp_error *err)
{
    struct ready ready = {fs, options, serve_threads()};
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    struct tp_signals *signals = NULL;

    if (!config) {
        fuse_session_unmount(session);
        return tp_oom(err);
    }
    fuse_loop_cfg_set_max_threads(config, ready.threads);
    fuse_loop_cfg_set_idle_threads(config, ready.threads);
    int rc = tp_control_start(fs, err);
    if (rc == 0)
        rc = tp_signals_start(session, fs, &signals, err);
    if (rc == 0) {
        rc = run_session(fs, session, config, &ready, err);
        tp_signals_stop(signals);
    } else {
        fuse_session_unmount(session);
    }
    tp_watch_stop(fs->watch);
    tp_sweep_stop(fs->sweep);
    tp_control_stop(fs);
    fuse_loop_cfg_destroy(config);
    return rc;
}

static int mount_and_serve(struct tp_fs *fs, const struct tp_mount_options *options,
                           struct tp_error *err)
{
    struct fuse_session *session = NULL;
    int rc = session_create(fs, options, &session, err);

    if (rc < 0)
        return rc;
    if (fuse_session_mount(session, fs->mountpoint) != 0) {
        rc = tp_fail(err, EPERM, "cannot mount on '%s': the kernel or fusermount3 refused it",
                     fs->mountpoint);
    } else {
        tp_loop_set_mount(fs);
        rc = serve_session(fs, options, session, err);
    }
    fuse_session_destroy(session);
    return rc;
}

int tp_mount_run(const struct tp_mount_options *given, struct tp_error *err)
{
    struct tp_mount_options cut = *given, *options = &cut;
    tp_autofree struct tp_fs *fs = calloc(1, sizeof *fs);
    struct tp_signal_mask mask;
    int rc;

    if (!fs)
        return tp_oom(err);
    fs->root.fd = -1;
    pthread_mutex_init(&fs->lock, NULL);
    pthread_mutex_init(&fs->logged_lock, NULL);
    pthread_cond_init(&fs->opened, NULL);
    mallopt(M_ARENA_MAX, ALLOCATOR_ARENAS);
    raise_descriptors();
    fuse_set_log_func(log_fuse);
    tp_budget_cut_options(options);
    /* Threads inherit the mask, so signals reach the waiting thread only. */
    tp_signals_block(&mask);
    /* The caller's mask counts. */
    mode_t mode_mask = umask(0);

    rc = check_dir(options->dir, fs, err);
    if (rc == 0)
        rc = check_mountpoint(options->mountpoint, fs, err);
    if (rc == 0)
        rc = check_device(err);
    if (rc == 0)
        rc = tp_fs_open(fs, options, err);
    if (rc == 0)
        rc = tp_control_create(fs, err);
    if (rc == 0)
        rc = mount_and_serve(fs, options, err);

    tp_control_destroy(fs);
    tp_fs_close(fs);
    umask(mode_mask);
    tp_signals_unblock(&mask);
    pthread_cond_destroy(&fs->opened);
    pthread_mutex_destroy(&fs->logged_lock);
    pthread_mutex_destroy(&fs->lock);
    return rc;
}
