/* SPDX-License-Identifier: MIT */
/* The figures of a running mount, and its status attribute. */
#include <config.h>

#include "fs/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "fs/control/control.h"
#include "fs/fs.h"
#include "fs/kernel.h"
#include "fs/hot/promote.h"
#include "fs/watch.h"

void tp_status_get(struct tp_fs *fs, struct tp_mount_figures *out)
{
    const struct tp_mount_options *options = fs->options;
    dev_t dev = atomic_load(&fs->mount_dev);
    unsigned in_flight = dev ? tp_kernel_max_background(dev) : 0;

    *out = (struct tp_mount_figures){
        .pid = (uint64_t)getpid(),
        .dir = fs->dir,
        .mountpoint = fs->mountpoint,
        .writable = !options->read_only,
        .allow_other = options->allow_other,
        .notices_new_models = tp_watch_is_on(fs->watch),
        .uptime_seconds = tp_seconds() - fs->started,
        .open_files = atomic_load(&fs->open_n),
        .reads = atomic_load(&fs->reads),
        .read_bytes = atomic_load(&fs->read_bytes),
        .read_errors = atomic_load(&fs->errors),
        .decode_threads = options->threads ? options->threads : tp_cpu_count(),
        .read_ahead_kb = dev ? tp_kernel_read_ahead(dev) : 0,
        .read_ahead_wanted_kb = TP_READ_AHEAD_KB,
        /* Only root may read it. The kernel uses the requested value, but less with many mounts. */
        .max_background = in_flight ? in_flight : TP_MAX_BACKGROUND,
        .max_background_wanted = TP_MAX_BACKGROUND,
        .max_read_kb = TP_MAX_READ / 1024,
    };
    tp_engine_get_stats(fs->engine, &out->engine);
    tp_promote_get_figures(fs, &out->hot);
    tp_control_conf_error(fs, out->conf_error);
}

int tp_status_write(struct tp_fs *fs, struct tp_buffer *out)
{
    struct tp_mount_figures mount;
    struct tp_json_writer json;

    tp_status_get(fs, &mount);
    tp_json_writer_init(&json, out, false);
    tp_mount_figures_json(&mount, &json, NULL);
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
