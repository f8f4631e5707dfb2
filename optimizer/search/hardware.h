/* SPDX-License-Identifier: MIT */
/* Machines that a model can be chosen for: what an hour costs, and what the machine can do. */
#ifndef TP_OPTIMIZER_SEARCH_HARDWARE_H
#define TP_OPTIMIZER_SEARCH_HARDWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json_write.h"

/* The machine that searches: its figures are measured. */
#define TP_HARDWARE_LOCAL "local"

/* What a number is not known of is 0. */
struct tp_hardware {
    const char *name;
    const char *kind;        /* "cpu", "gpu" */
    const char *source;      /* of these numbers */
    double dollars_per_hour; /* 0: no price */
    uint64_t memory_bytes;
    double read_bandwidth;  /* bytes a second */
    double operations_rate; /* of fp16 products, dense: a multiplication and an addition are 2 */
};

/* The table of this program; ends with a NULL name. */
extern const struct tp_hardware tp_hardware_known[];

/*
 * The machine NAME: by the N rows of the user, and by the table where the user has no row of this
 * name, or 0 or NULL in a member. The memory of "local" is what this process may use, where the
 * user's row does not say it. -ENOENT: there is no such machine; -EINVAL: a row of the user has a
 * number that is negative or not finite, or a machine that is not local has no memory, bandwidth or
 * rate of operations, by which it is estimated. OUT refers to the rows.
 */
int tp_hardware_find(const struct tp_hardware *rows, size_t n, const char *name,
                     struct tp_hardware *out, struct tp_error *err);

/* Whether figures are measured: HW is the machine that searches. */
bool tp_hardware_is_local(const struct tp_hardware *hw);

/* An object; KEY as in tp_json_begin_object. Its member "figures" is "measured" or "estimated". */
void tp_hardware_put(struct tp_json_writer *json, const char *key, const struct tp_hardware *hw);

#endif
