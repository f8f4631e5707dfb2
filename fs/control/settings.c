/* SPDX-License-Identifier: MIT */
/* The settings of a running mount: read, checked, changed. */
#include <config.h>

#include "fs/control/settings.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "fs/control/events.h"
#include "fs/control/impl.h"
#include "fs/kernel.h"
#include "fs/hot/promote.h"

struct setting {
    const char *name;
    bool is_size; /* a unit may follow */
    uint64_t low, high;
    int (*get)(struct tp_control *control, uint64_t *value);
    int (*set)(struct tp_control *control, uint64_t value, struct tp_error *err);
};

/* How many jobs run at a time. */
static int get_jobs(struct tp_control *control, uint64_t *value)
{
    if (!tp_control_enter(control))
        return -ESHUTDOWN;
    *value = tp_jobs_get_slots(control->jobs);
    tp_control_leave(control);
    return 0;
}

static int set_jobs(struct tp_control *control, uint64_t value, struct tp_error *err)
{
    if (!tp_control_enter(control))
        return tp_fail(err, ESHUTDOWN, "the mount is ending");
    int rc = tp_jobs_set_slots(control->jobs, (unsigned)value, err);
    tp_control_leave(control);
    return rc;
}

/* Read-ahead of the kernel, in KiB. */
static int get_read_ahead(struct tp_control *control, uint64_t *value)
{
    dev_t dev = atomic_load(&control->fs->mount_dev);

    *value = dev ? tp_kernel_read_ahead(dev) : 0;
    return 0;
}

static int set_read_ahead(struct tp_control *control, uint64_t value, struct tp_error *err)
{
    int rc = tp_kernel_set_read_ahead(atomic_load(&control->fs->mount_dev), (unsigned)value);

    return rc < 0 ? tp_fail(err, -rc, "cannot set the kernel's read-ahead: %s", strerror(-rc)) : 0;
}

/* Size of the cache of decoded blocks, in bytes. */
static int get_cache(struct tp_control *control, uint64_t *value)
{
    struct tp_engine_stats stats;

    tp_engine_get_stats(control->fs->engine, &stats);
    *value = stats.cached_bytes_max;
    return 0;
}

static int set_cache(struct tp_control *control, uint64_t value, struct tp_error *err)
{
    return tp_engine_set_cache(control->fs->engine, value, err);
}

/* Bytes that are prefetched. */
static int get_prefetch(struct tp_control *control, uint64_t *value)
{
    *value = tp_engine_get_prefetch(control->fs->engine);
    return 0;
}

static int set_prefetch(struct tp_control *control, uint64_t value, struct tp_error *err)
{
    (void)err;
    tp_engine_set_prefetch(control->fs->engine, value);
    return 0;
}

/* Bytes of hot files; at most as many as when the mount began. */
static int get_hot(struct tp_control *control, uint64_t *value)
{
    struct tp_hot_figures hot;

    tp_promote_get_figures(control->fs, &hot);
    *value = hot.budget;
    return 0;
}

static int set_hot(struct tp_control *control, uint64_t value, struct tp_error *err)
{
    return tp_promote_set_budget(control->fs, value, err);
}

static const struct setting settings[] = {
    {"cache", true, 0, UINT64_MAX, get_cache, set_cache},
    {"hot", true, 0, UINT64_MAX, get_hot, set_hot},
    {"jobs", false, 1, 64, get_jobs, set_jobs},
    {"prefetch", true, 0, UINT64_MAX, get_prefetch, set_prefetch},
    {"read_ahead_kb", false, 0, 65536, get_read_ahead, set_read_ahead},
};

#define SETTING_N (sizeof settings / sizeof *settings)

const char *tp_setting_name(unsigned which)
{
    return which < SETTING_N ? settings[which].name : NULL;
}

int tp_setting_write(struct tp_control *control, unsigned which, struct tp_buffer *out,
                     struct tp_error *err)
{
    uint64_t value;
    int rc = settings[which].get(control, &value);

    (void)err;
    return rc != 0 ? rc : tp_buffer_appendf(out, "%" PRIu64 "\n", value);
}

/* Blanks around a value are ignored. */
static int read_value(const struct setting *setting, const char *text, size_t len, uint64_t *value,
                      struct tp_error *err)
{
    char word[64], *end;

    while (len > 0 && isspace((unsigned char)text[0])) {
        text++;
        len--;
    }
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    if (len == 0 || len >= sizeof word || memchr(text, 0, len))
        return tp_fail(err, EINVAL, "'%s' takes one number", setting->name);
    memcpy(word, text, len);
    word[len] = 0;
    int rc = 0;
    if (setting->is_size) {
        rc = tp_size_parse(word, value);
    } else {
        errno = 0;
        *value = strtoull(word, &end, 10);
        rc = !isdigit((unsigned char)word[0]) || *end ? -EINVAL : -errno;
    }
    if (rc == -EINVAL)
        return tp_fail(err, EINVAL, "'%s' takes one number%s", setting->name,
                       setting->is_size ? ", of bytes, such as 512M" : "");
    if (rc != 0 || *value < setting->low || *value > setting->high)
        return tp_fail(err, ERANGE, "'%s' is from %" PRIu64 " to %" PRIu64, setting->name,
                       setting->low, setting->high);
    return 0;
}

int tp_setting_change(struct tp_control *control, unsigned which, const char *text, size_t len,
                      struct tp_error *err)
{
    const struct setting *setting = &settings[which];
    char shown[32];
    uint64_t value;
    int rc = read_value(setting, text, len, &value, err);

    if (rc == 0)
        rc = setting->set(control, value, err);
    if (rc != 0)
        return rc;
    snprintf(shown, sizeof shown, "%" PRIu64, value);
    tp_control_event(control, "setting", setting->name, shown);
    return 0;
}
