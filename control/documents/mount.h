/* SPDX-License-Identifier: MIT */
/*
 * The figures of a running mount. fs/status.c fills them; status.json, the metrics, the dashboard
 * and the status attribute of the mount show them.
 */
#ifndef TP_CONTROL_DOCUMENTS_MOUNT_H
#define TP_CONTROL_DOCUMENTS_MOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json_write.h"
#include "store/engine/engine.h"

/* Files that the kernel reads without the daemon. */
struct tp_hot_figures {
    bool passthrough;
    char why_not[160];     /* why PASSTHROUGH is false */
    uint64_t budget, used; /* bytes */
    unsigned files;
    uint64_t promotions, demotions, failures;
};

/* Counters only grow during the life of the daemon. */
struct tp_mount_figures {
    uint64_t pid;                 /* of the daemon */
    const char *dir, *mountpoint; /* not owned */
    bool writable, allow_other, notices_new_models;
    double uptime_seconds;
    uint64_t open_files;
    uint64_t reads, read_bytes, read_errors; /* requests for files of models */
    unsigned decode_threads;
    struct tp_engine_stats engine;
    /* Settings of the kernel, and those that the mount wants. READ_AHEAD_KB 0: unknown. */
    unsigned read_ahead_kb, read_ahead_wanted_kb, max_background, max_background_wanted,
        max_read_kb;
    struct tp_hot_figures hot;
    char conf_error[TP_ERROR_MAX]; /* the error in tenpak.conf; "": none */
};

/* As the object KEY, or as the whole document if KEY is NULL (share/tenpak/schema/mount.json). */
void tp_mount_figures_json(const struct tp_mount_figures *mount, struct tp_json_writer *json,
                           const char *key);

#endif
