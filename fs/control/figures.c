/* SPDX-License-Identifier: MIT */
/* Collecting the current figures of the mount. */
#include <config.h>

#include "fs/control/figures.h"

#include "base/clock.h"
#include "fs/status.h"

void tp_control_figures_get(struct tp_control *control, struct tp_control_figures *out)
{
    struct tp_fs *fs = control->fs;
    struct tp_engine_stats stats;

    *out = (struct tp_control_figures){0};
    tp_engine_get_stats(fs->engine, &stats);
    out->live = (struct tp_live){
        .mounted = true,
        .reads = atomic_load(&fs->reads),
        .read_bytes = atomic_load(&fs->read_bytes),
        .cache_hits = stats.hits,
        .cache_misses = stats.misses,
        .cache_used_bytes = stats.cached_bytes,
        .cache_max_bytes = stats.cached_bytes_max,
        .errors = atomic_load(&fs->errors),
        .open_files = atomic_load(&fs->open_n),
        .decode_seconds = (double)stats.decode_nsec / 1e9,
        .uptime_seconds =
            tp_seconds() - ((double)fs->started.tv_sec + (double)fs->started.tv_nsec / 1e9),
    };
    if (tp_status_write(fs, &out->status) == 0 && tp_buffer_append_u8(&out->status, 0) == 0)
        out->live.status = (char *)out->status.data;
    tp_jobs_get_policy(control->jobs, &out->policy, NULL);
}

void tp_control_figures_clear(struct tp_control_figures *figures)
{
    tp_buffer_clear(&figures->status);
}
