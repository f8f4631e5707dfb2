/* SPDX-License-Identifier: MIT */
/* The machines that a model can be optimized for: those of the program, and those of tenpak.conf.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/request/impl.h"
#include "control/request/policy.h"

#define PRICE_HIGH 1000000u
#define RATE_HIGH ((uint64_t)1 << 60)
#define MEMORY_HIGH ((uint64_t)1 << 50)

#define ROW_AT(member) TP_KEY_AT(struct tp_policy_hardware, member)

static const char *const kinds[] = {"cpu", "gpu", NULL};

static const struct tp_key keys[] = {
    {"kind", TP_KEY_WORD, NULL, 0, 0, kinds, NULL, ROW_AT(kind)},
    {"dollars_per_hour", TP_KEY_DECIMAL, NULL, 0, PRICE_HIGH, NULL, NULL, ROW_AT(dollars_per_hour)},
    {"memory_bytes", TP_KEY_SIZE, NULL, 0, MEMORY_HIGH, NULL, NULL, ROW_AT(memory_bytes)},
    {"read_bandwidth", TP_KEY_DECIMAL, NULL, 0, RATE_HIGH, NULL, NULL, ROW_AT(read_bandwidth)},
    {"operations_rate", TP_KEY_DECIMAL, NULL, 0, RATE_HIGH, NULL, NULL, ROW_AT(operations_rate)},
};
#define KEY_N (sizeof keys / sizeof keys[0])

/* ROWS has TP_POLICY_HARDWARE_MAX elements. */
static void make_rows(const struct tp_policy *policy, struct tp_hardware *rows)
{
    for (unsigned i = 0; i < policy->hardware_n; i++) {
        const struct tp_policy_hardware *h = &policy->hardware[i];

        rows[i] = (struct tp_hardware){.name = h->name,
                                       .kind = h->kind,
                                       .source = "tenpak.conf",
                                       .dollars_per_hour = h->dollars_per_hour,
                                       .memory_bytes = h->memory_bytes,
                                       .read_bandwidth = h->read_bandwidth,
                                       .operations_rate = h->operations_rate};
    }
}

/* Member I of all names: those of the program, then those that only POLICY has; NULL: the end. */
static const char *name_at(const struct tp_policy *policy, size_t i)
{
    const struct tp_hardware *known = tp_hardware_known;

    for (; known->name; known++)
        if (i-- == 0)
            return known->name;
    for (unsigned k = 0; k < policy->hardware_n; k++) {
        const char *name = policy->hardware[k].name;

        for (known = tp_hardware_known; known->name && strcmp(known->name, name) != 0;)
            known++;
        if (!known->name && i-- == 0)
            return name;
    }
    return NULL;
}

int tp_policy_find_hardware(const struct tp_policy *policy, const char *name,
                            struct tp_hardware *out, struct tp_error *err)
{
    struct tp_hardware rows[TP_POLICY_HARDWARE_MAX];
    char list[256] = "";
    const char *other;
    size_t used = 0;
    int rc;

    make_rows(policy, rows);
    rc = tp_hardware_find(rows, policy->hardware_n, name, out, err);
    if (rc != -ENOENT)
        return rc;
    for (size_t i = 0; used < sizeof list && (other = name_at(policy, i)); i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", other);
    return tp_fail(err, ENOENT, "there is no hardware '%.48s': there is %s", name, list);
}

bool tp_policy_get_hardware(const struct tp_policy *policy, size_t i, struct tp_hardware *out)
{
    const char *name = name_at(policy, i);

    return name && tp_policy_find_hardware(policy, name, out, NULL) == 0;
}

static int set_member(struct tp_policy_hardware *row, const struct tp_json *member,
                      struct tp_error *err)
{
    const char *name = tp_json_key(member);
    size_t i = 0;

    while (i < KEY_N && strcmp(keys[i].name, name) != 0)
        i++;
    return i < KEY_N ? tp_value_from_json(&keys[i], member, keys[i].kind != TP_KEY_SIZE, row, err)
                     : tp_fail(err, EINVAL, "there is no key '%.64s'", name);
}

static int read_row(const struct tp_json *object, struct tp_policy *policy, struct tp_error *err)
{
    const char *name = tp_json_key(object);
    struct tp_policy_hardware *row = &policy->hardware[policy->hardware_n];
    struct tp_hardware found;
    int rc = 0;

    if (!tp_value_is_text(name, strlen(name), sizeof row->name - 1))
        return tp_fail(err, EINVAL, "a name of hardware has 1 to %zu characters",
                       sizeof row->name - 1);
    if (policy->hardware_n == TP_POLICY_HARDWARE_MAX)
        return tp_fail(err, ERANGE, "more than %u machines", TP_POLICY_HARDWARE_MAX);
    if (!tp_json_is_object(object))
        return tp_fail(err, EINVAL, "'%s' must be an object", name);
    *row = (struct tp_policy_hardware){.kind = NULL};
    snprintf(row->name, sizeof row->name, "%s", name);
    for (const struct tp_json *m = tp_json_first(object); m && rc == 0; m = tp_json_next(m))
        rc = set_member(row, m, err);
    if (rc < 0) {
        tp_error_prefix(err, "hardware '%s'", name);
        return rc;
    }
    policy->hardware_n++;
    return tp_policy_find_hardware(policy, row->name, &found, err);
}

int tp_policy_read_hardware(const struct tp_json *object, struct tp_policy *policy,
                            struct tp_error *err)
{
    int rc = tp_json_is_object(object) ? 0 : tp_fail(err, EINVAL, "'hardware' must be an object");

    for (const struct tp_json *m = tp_json_first(object); m && rc == 0; m = tp_json_next(m))
        rc = read_row(m, policy, err);
    return rc;
}

void tp_policy_hardware_json(const struct tp_policy *policy, struct tp_json_writer *json,
                             const char *key)
{
    tp_json_begin_object(json, key);
    for (unsigned i = 0; i < policy->hardware_n; i++) {
        const struct tp_policy_hardware *row = &policy->hardware[i];

        tp_json_begin_object(json, row->name);
        if (row->kind)
            tp_json_put_string(json, "kind", row->kind);
        if (row->dollars_per_hour > 0)
            tp_json_put_double(json, "dollars_per_hour", row->dollars_per_hour);
        if (row->memory_bytes)
            tp_json_put_u64(json, "memory_bytes", row->memory_bytes);
        if (row->read_bandwidth > 0)
            tp_json_put_double(json, "read_bandwidth", row->read_bandwidth);
        if (row->operations_rate > 0)
            tp_json_put_double(json, "operations_rate", row->operations_rate);
        tp_json_end_object(json);
    }
    tp_json_end_object(json);
}
