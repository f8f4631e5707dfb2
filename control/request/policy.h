/* SPDX-License-Identifier: MIT */
/*
 * DIR/.tenpak/tenpak.conf: the policy of a directory, and the defaults for its requests. The file
 * is JSON, and every key is optional.
 */
#ifndef TP_CONTROL_POLICY_H
#define TP_CONTROL_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json_write.h"
#include "control/request/request.h"
#include "optimizer/search/hardware.h"

#define TP_POLICY_HARDWARE_MAX 32u /* maximal number of machines in tenpak.conf */

/* hardware.NAME: what of a machine is not as in tp_hardware_known. 0 and NULL: not given. */
struct tp_policy_hardware {
    char name[64];
    const char *kind; /* "cpu" or "gpu" */
    double dollars_per_hour, read_bandwidth, operations_rate;
    uint64_t memory_bytes;
};

struct tp_policy {
    char base[TP_NAME_MAX + 1]; /* base: "auto", "none" or the name of a model */
    const char *codec;          /* codec: "auto", or the tensor codec */
    unsigned zstd_level;        /* codec_budget: the effort of zstd, 1 to 19 */
    bool auto_compress;         /* auto_compress.enabled */
    uint64_t quiet_seconds;     /* auto_compress.quiet_seconds: time since a model's last change */
    uint64_t least_bytes;       /* auto_compress.least_bytes: smaller models are not packed */
    unsigned jobs;              /* jobs.slots: jobs at a time */
    unsigned queue;             /* jobs.queue: jobs that may wait */
    uint64_t memory;            /* jobs.memory: memory limit of a job */
    unsigned niceness;          /* jobs.nice: 0 to 19 */
    const char *io;             /* jobs.io: "idle" or "normal" */
    unsigned keep_count;        /* retention.count: number of records kept */
    uint64_t keep_seconds;      /* retention.seconds: time for which they are kept */
    uint64_t keep_bytes;        /* retention.bytes: limit of their total size on disk */
    struct tp_policy_hardware hardware[TP_POLICY_HARDWARE_MAX];
    unsigned hardware_n;
};

/* --- policy.c --- */

void tp_policy_default(struct tp_policy *policy);
/*
 * -ENOENT: there is no such file, and POLICY has the defaults. -EINVAL, -ERANGE: ERR names the key,
 * and POLICY is unchanged.
 */
int tp_policy_read(const char *dir, struct tp_policy *policy, struct tp_error *err);
/* Set the values of REQUEST that were not given. */
void tp_policy_fill(const struct tp_policy *policy, struct tp_request *request);
void tp_policy_json(const struct tp_policy *policy, struct tp_json_writer *json, const char *key);

/* --- hardware.c --- */

/* Read the object "hardware". -EINVAL, -ERANGE: ERR names the machine and the key. */
int tp_policy_read_hardware(const struct tp_json *object, struct tp_policy *policy,
                            struct tp_error *err);
/* Write the machines of tenpak.conf as it has them. */
void tp_policy_hardware_json(const struct tp_policy *policy, struct tp_json_writer *json,
                             const char *key);
/* -ENOENT: there is no machine NAME; ERR has all names. OUT refers to POLICY and NAME. */
int tp_policy_find_hardware(const struct tp_policy *policy, const char *name,
                            struct tp_hardware *out, struct tp_error *err);
/* Machine I of all; false: there are no more. */
bool tp_policy_get_hardware(const struct tp_policy *policy, size_t i, struct tp_hardware *out);

#endif
