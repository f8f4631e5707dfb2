/* SPDX-License-Identifier: MIT */
/* The table of machines. */
#include <config.h>

#include "optimizer/search/hardware.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"

#define DATASHEET "the default price, and NVIDIA's data sheet"
#define GB 1000000000u

/* Rates are those of dense fp16 products with fp32 sums; memory is as it is sold. */
const struct tp_hardware tp_hardware_known[] = {
    {TP_HARDWARE_LOCAL, "cpu", "measured", 0, 0, 0, 0},
    {"t4", "gpu", DATASHEET, 0.50, 16ull * GB, 320e9, 65e12},
    {"a10g", "gpu", DATASHEET, 1.00, 24ull * GB, 600e9, 70e12},
    {"a100_40", "gpu", DATASHEET, 3.50, 40ull * GB, 1555e9, 312e12},
    {"a100_80", "gpu", DATASHEET, 5.00, 80ull * GB, 2039e9, 312e12},
    {"h100", "gpu", DATASHEET, 8.00, 80ull * GB, 3350e9, 989e12},
    {NULL, NULL, NULL, 0, 0, 0, 0},
};

bool tp_hardware_is_local(const struct tp_hardware *hw)
{
    return !strcmp(hw->name, TP_HARDWARE_LOCAL);
}

static bool is_number(double v)
{
    return isfinite(v) && v >= 0;
}

/* Replace the members of HW that ROW has. */
static int apply_row(struct tp_hardware *hw, const struct tp_hardware *row, struct tp_error *err)
{
    if (!is_number(row->dollars_per_hour) || !is_number(row->read_bandwidth) ||
        !is_number(row->operations_rate))
        return tp_fail(err, EINVAL, "hardware '%s': a number is negative or not finite", row->name);
    if (row->kind)
        hw->kind = row->kind;
    if (row->source)
        hw->source = row->source;
    if (row->dollars_per_hour > 0)
        hw->dollars_per_hour = row->dollars_per_hour;
    if (row->memory_bytes)
        hw->memory_bytes = row->memory_bytes;
    if (row->read_bandwidth > 0)
        hw->read_bandwidth = row->read_bandwidth;
    if (row->operations_rate > 0)
        hw->operations_rate = row->operations_rate;
    return 0;
}

int tp_hardware_find(const struct tp_hardware *rows, size_t n, const char *name,
                     struct tp_hardware *out, struct tp_error *err)
{
    bool found = false;
    int rc = 0;

    *out = (struct tp_hardware){.name = name, .kind = "gpu", .source = "tenpak.conf"};
    for (const struct tp_hardware *k = tp_hardware_known; k->name; k++)
        if (!strcmp(k->name, name)) {
            *out = *k;
            found = true;
        }
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (!strcmp(rows[i].name, name)) {
            rc = apply_row(out, &rows[i], err);
            found = true;
        }
    if (rc < 0)
        return rc;
    if (!found)
        return tp_fail(err, ENOENT, "no hardware '%s'", name);
    if (tp_hardware_is_local(out)) {
        if (!out->memory_bytes)
            out->memory_bytes = tp_memory_limit();
    } else if (!out->memory_bytes || !(out->read_bandwidth > 0) || !(out->operations_rate > 0)) {
        return tp_fail(err, EINVAL,
                       "hardware '%s' has no memory, read bandwidth or rate of operations", name);
    }
    return 0;
}

/* A number that is not known is null. */
static void put_known(struct tp_json_writer *json, const char *key, double value)
{
    tp_json_put_double(json, key, value > 0 ? value : NAN);
}

void tp_hardware_put(struct tp_json_writer *json, const char *key, const struct tp_hardware *hw)
{
    tp_json_begin_object(json, key);
    tp_json_put_string(json, "name", hw->name);
    tp_json_put_string(json, "kind", hw->kind);
    tp_json_put_string(json, "figures", tp_hardware_is_local(hw) ? "measured" : "estimated");
    put_known(json, "dollars_per_hour", hw->dollars_per_hour);
    if (hw->memory_bytes)
        tp_json_put_u64(json, "memory_bytes", hw->memory_bytes);
    else
        tp_json_put_null(json, "memory_bytes");
    put_known(json, "read_bandwidth", hw->read_bandwidth);
    put_known(json, "operations_rate", hw->operations_rate);
    tp_json_put_string(json, "source", hw->source);
    tp_json_end_object(json);
}
