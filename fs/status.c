/* SPDX-License-Identifier: MIT */
/* Writing the status of a running mount. */
#include <config.h>

#include "base/cpu.h"
#include "fs/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/json_write.h"
#include "fs/control/control.h"
#include "fs/fs.h"
#include "fs/kernel.h"
#include "fs/hot/promote.h"
#include "fs/watch.h"

static double mount_uptime(const struct tp_fs *fs)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - fs->started.tv_sec) +
           (double)(now.tv_nsec - fs->started.tv_nsec) / 1e9;
}

static void put_cache(struct tp_json_writer *json, struct tp_fs *fs)
{
    struct tp_engine_stats stats;

    tp_engine_get_stats(fs->engine, &stats);
    tp_json_begin_object(json, "cache");
    tp_json_put_u64(json, "used_bytes", stats.cached_bytes);
    tp_json_put_u64(json, "max_bytes", stats.cached_bytes_max);
    tp_json_put_u64(json, "hits", stats.hits);
    tp_json_put_u64(json, "misses", stats.misses);
    tp_json_put_u64(json, "waits", stats.waits);
    tp_json_put_u64(json, "evicted_blocks", stats.evicted_blocks);
    tp_json_end_object(json);
    tp_json_begin_object(json, "decode");
    tp_json_put_u64(json, "threads", fs->options->threads ? fs->options->threads : tp_cpu_count());
    tp_json_put_u64(json, "blocks", stats.decoded_blocks);
    tp_json_put_u64(json, "blocks_ahead", stats.prefetched_blocks);
    tp_json_put_u64(json, "bytes", stats.decoded_bytes);
    tp_json_put_double(json, "cpu_seconds", (double)stats.decode_nsec / 1e9);
    tp_json_put_u64(json, "errors", stats.errors);
    tp_json_end_object(json);
}

static void put_kernel(struct tp_json_writer *json, struct tp_fs *fs)
{
    dev_t dev = atomic_load(&fs->mount_dev);
    unsigned read_ahead = dev ? tp_kernel_read_ahead(dev) : 0;
    unsigned in_flight = dev ? tp_kernel_max_background(dev) : 0;

    tp_json_begin_object(json, "kernel");
    if (read_ahead)
        tp_json_put_u64(json, "read_ahead_kb", read_ahead);
    else
        tp_json_put_null(json, "read_ahead_kb");
    tp_json_put_u64(json, "read_ahead_wanted_kb", TP_READ_AHEAD_KB);
    /* Only root may read it. The kernel uses the requested value, but less with many mounts. */
    tp_json_put_u64(json, "max_background", in_flight ? in_flight : TP_MAX_BACKGROUND);
    tp_json_put_u64(json, "max_background_wanted", TP_MAX_BACKGROUND);
    tp_json_put_u64(json, "max_read_kb", TP_MAX_READ / 1024);
    tp_json_put_bool(json, "notices_new_models", tp_watch_is_on(fs->watch));
    tp_json_end_object(json);
}

static void put_promotion(struct tp_json_writer *json, struct tp_fs *fs)
{
    struct tp_promote_status status;

    tp_promote_get_status(fs, &status);
    tp_json_begin_object(json, "passthrough");
    tp_json_put_bool(json, "on", status.passthrough);
    tp_json_put_string(json, "why_not", status.passthrough ? NULL : status.why_not);
    tp_json_end_object(json);
    tp_json_begin_object(json, "hot");
    tp_json_put_u64(json, "max_bytes", status.budget);
    tp_json_put_u64(json, "used_bytes", status.used);
    tp_json_put_u64(json, "files", status.files);
    tp_json_put_u64(json, "promotions", status.promotions);
    tp_json_put_u64(json, "demotions", status.demotions);
    tp_json_put_u64(json, "failures", status.failures);
    tp_json_end_object(json);
}

int tp_status_write(struct tp_fs *fs, struct tp_buffer *out)
{
    char conf_error[TP_ERROR_MAX];
    struct tp_json_writer json;

    tp_json_writer_init(&json, out, false);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "schema", TP_STATUS_SCHEMA);
    tp_json_put_string(&json, "version", TENPAK_VERSION);
    tp_json_put_u64(&json, "pid", (uint64_t)getpid());
    tp_json_put_string(&json, "dir", fs->dir);
    tp_json_put_string(&json, "mountpoint", fs->mountpoint);
    tp_json_put_bool(&json, "writable", !fs->options->read_only);
    tp_json_put_bool(&json, "allow_other", fs->options->allow_other);
    tp_json_put_double(&json, "uptime_seconds", mount_uptime(fs));
    tp_json_put_u64(&json, "open_files", atomic_load(&fs->open_n));
    put_cache(&json, fs);
    put_kernel(&json, fs);
    put_promotion(&json, fs);
    tp_control_conf_error(fs, conf_error);
    tp_json_put_string(&json, "conf_error", conf_error[0] ? conf_error : NULL);
    tp_json_end_object(&json);
    return tp_json_writer_finish(&json);
}

int tp_mount_status(const char *mountpoint, char **json, struct tp_error *err)
{
    /* The kernel's limit for an attribute, and a NUL. */
    const size_t capacity = 65536;
    char *text = malloc(capacity + 1);

    if (!text)
        return tp_oom(err);
    ssize_t n = getxattr(mountpoint, TP_STATUS_XATTR, text, capacity);
    if (n < 0) {
        int code = errno;
        free(text);
        if (code == ENODATA || code == EOPNOTSUPP)
            return tp_fail(err, EINVAL, "no tenpak mount is at '%s'", mountpoint);
        return tp_fail(err, code, "cannot ask the mount at '%s': %s", mountpoint, strerror(code));
    }
    text[n] = 0;
    *json = text;
    return 0;
}
