/* SPDX-License-Identifier: MIT */
/*
 * DIR/.tenpak/tenpak.conf: what holds for a directory when nobody says otherwise. JSON; every key
 * may be left out.
 */
#ifndef TP_CONTROL_POLICY_H
#define TP_CONTROL_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "control/request/request.h"

struct tp_policy {
    char base[256];      /* base: "auto", "none" or a model's name, for requests that say nothing */
    char codec[32];      /* codec: "auto" or the codec of tensors */
    unsigned zstd_level; /* codec_budget: the effort for what zstd codes, 1 to 19 */
    bool auto_compress;  /* auto_compress.enabled */
    uint64_t quiet_seconds; /* auto_compress.quiet_seconds: since the last change of any file of a
                               model */
    uint64_t least_bytes;   /* auto_compress.least_bytes: models smaller than that are left alone */
    unsigned jobs;          /* jobs.slots: at once */
    unsigned queue;         /* jobs.queue: pending */
    uint64_t memory;        /* jobs.memory: bytes that a job may take */
    int niceness;           /* jobs.nice: 0 to 19 */
    bool io_idle;           /* jobs.io: "idle", or "normal" */
    unsigned keep_count;    /* retention.count: records kept */
    uint64_t keep_seconds;  /* retention.seconds: and for how long */
    uint64_t keep_bytes;    /* retention.bytes: and what they take on the disk, all together */
};

void tp_policy_default(struct tp_policy *policy);
/* -ENOENT: there is no such file, and POLICY has the defaults. -EINVAL, -ERANGE: the story names
 * the key; POLICY is left as it was. */
int tp_policy_read(const char *dir, struct tp_policy *policy, struct tp_error *err);
/* What REQUEST leaves open, as the policy has it. */
int tp_policy_fill(const struct tp_policy *policy, struct tp_request *request,
                   struct tp_error *err);
void tp_policy_json(const struct tp_policy *policy, struct tp_json_writer *json, const char *key);

#endif
