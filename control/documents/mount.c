/* SPDX-License-Identifier: MIT */
/* The figures of a mount as JSON. */
#include <config.h>

#include "control/documents/mount.h"

static void put_engine(struct tp_json_writer *json, const struct tp_mount_figures *mount)
{
    const struct tp_engine_stats *engine = &mount->engine;

    tp_json_begin_object(json, "cache");
    tp_json_put_u64(json, "used_bytes", engine->cached_bytes);
    tp_json_put_u64(json, "max_bytes", engine->cached_bytes_max);
    tp_json_put_u64(json, "hits", engine->hits);
    tp_json_put_u64(json, "misses", engine->misses);
    tp_json_put_u64(json, "waits", engine->waits);
    tp_json_put_u64(json, "evicted_blocks", engine->evicted_blocks);
    tp_json_end_object(json);
    tp_json_begin_object(json, "decode");
    tp_json_put_u64(json, "threads", mount->decode_threads);
    tp_json_put_u64(json, "blocks", engine->decoded_blocks);
    tp_json_put_u64(json, "blocks_ahead", engine->prefetched_blocks);
    tp_json_put_u64(json, "bytes", engine->decoded_bytes);
    tp_json_put_double(json, "cpu_seconds", (double)engine->decode_nsec / 1e9);
    tp_json_put_u64(json, "errors", engine->errors);
    tp_json_end_object(json);
}

static void put_kernel(struct tp_json_writer *json, const struct tp_mount_figures *mount)
{
    tp_json_begin_object(json, "kernel");
    if (mount->read_ahead_kb)
        tp_json_put_u64(json, "read_ahead_kb", mount->read_ahead_kb);
    else
        tp_json_put_null(json, "read_ahead_kb");
    tp_json_put_u64(json, "read_ahead_wanted_kb", mount->read_ahead_wanted_kb);
    tp_json_put_u64(json, "max_background", mount->max_background);
    tp_json_put_u64(json, "max_background_wanted", mount->max_background_wanted);
    tp_json_put_u64(json, "max_read_kb", mount->max_read_kb);
    tp_json_put_bool(json, "notices_new_models", mount->notices_new_models);
    tp_json_end_object(json);
}

static void put_hot(struct tp_json_writer *json, const struct tp_hot_figures *hot)
{
    tp_json_begin_object(json, "passthrough");
    tp_json_put_bool(json, "on", hot->passthrough);
    tp_json_put_string(json, "why_not", hot->passthrough ? NULL : hot->why_not);
    tp_json_end_object(json);
    tp_json_begin_object(json, "hot");
    tp_json_put_u64(json, "max_bytes", hot->budget);
    tp_json_put_u64(json, "used_bytes", hot->used);
    tp_json_put_u64(json, "files", hot->files);
    tp_json_put_u64(json, "promotions", hot->promotions);
    tp_json_put_u64(json, "demotions", hot->demotions);
    tp_json_put_u64(json, "failures", hot->failures);
    tp_json_end_object(json);
}

void tp_mount_figures_json(const struct tp_mount_figures *mount, struct tp_json_writer *json,
                           const char *key)
{
    tp_json_begin_object(json, key);
    tp_json_put_string(json, "schema", "tenpak.mount/1");
    tp_json_put_string(json, "version", TENPAK_VERSION);
    tp_json_put_u64(json, "pid", mount->pid);
    tp_json_put_string(json, "dir", mount->dir);
    tp_json_put_string(json, "mountpoint", mount->mountpoint);
    tp_json_put_bool(json, "writable", mount->writable);
    tp_json_put_bool(json, "allow_other", mount->allow_other);
    tp_json_put_double(json, "uptime_seconds", mount->uptime_seconds);
    tp_json_put_u64(json, "open_files", mount->open_files);
    put_engine(json, mount);
    put_kernel(json, mount);
    put_hot(json, &mount->hot);
    tp_json_put_string(json, "conf_error", mount->conf_error[0] ? mount->conf_error : NULL);
    tp_json_end_object(json);
}
