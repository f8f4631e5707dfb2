/* SPDX-License-Identifier: MIT */
/*
 * tenpak.conf: read, checked key by key, and what requests that leave something open get from it.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/size.h"
#include "control/request/policy.h"

#define CONF_MAX (1u << 20)
#define GIB ((uint64_t)1 << 30)

/* Where a key's value goes. */
enum kind { WHOLE, SIZE, YES, BASE, CODEC, IO };
struct slot {
    const char *section; /* NULL: at the top */
    const char *key;
    enum kind kind;
    uint64_t low, high;
    size_t offset, width;
};

#define SLOT(section, key, kind, low, high, member)                                                \
    {                                                                                              \
        section, key, kind, low, high, offsetof(struct tp_policy, member),                         \
            sizeof(((struct tp_policy *)0)->member)                                                \
    }

static const struct slot slots[] = {
    SLOT(NULL, "base", BASE, 0, 0, base),
    SLOT(NULL, "codec", CODEC, 0, 0, codec),
    SLOT(NULL, "codec_budget", WHOLE, 1, 19, zstd_level),
    SLOT("auto_compress", "enabled", YES, 0, 1, auto_compress),
    SLOT("auto_compress", "quiet_seconds", WHOLE, 1, (uint64_t)1 << 32, quiet_seconds),
    SLOT("auto_compress", "least_bytes", SIZE, 0, (uint64_t)1 << 50, least_bytes),
    SLOT("jobs", "slots", WHOLE, 1, 64, jobs),
    SLOT("jobs", "queue", WHOLE, 0, 10000, queue),
    SLOT("jobs", "memory", SIZE, (uint64_t)64 << 20, (uint64_t)1 << 50, memory),
    SLOT("jobs", "nice", WHOLE, 0, 19, niceness),
    SLOT("jobs", "io", IO, 0, 0, io_idle),
    SLOT("retention", "count", WHOLE, 1, 100000, keep_count),
    SLOT("retention", "seconds", WHOLE, 1, (uint64_t)1 << 36, keep_seconds),
    SLOT("retention", "bytes", SIZE, 1u << 20, (uint64_t)1 << 50, keep_bytes),
};
#define SLOT_N (sizeof slots / sizeof slots[0])

void tp_policy_default(struct tp_policy *policy)
{
    *policy = (struct tp_policy){
        .base = "auto",
        .codec = "auto",
        .zstd_level = 3,
        .quiet_seconds = 3600,
        .least_bytes = (uint64_t)64 << 20,
        .jobs = 2,
        .queue = 256,
        .memory = 4 * GIB,
        .niceness = 10,
        .keep_count = 200,
        .keep_seconds = (uint64_t)30 * 86400,
        .keep_bytes = (uint64_t)64 << 20,
    };
}

/* "jobs.slots". */
static const char *full_name(const struct slot *slot, char out[64])
{
    snprintf(out, 64, "%s%s%s", slot->section ? slot->section : "", slot->section ? "." : "",
             slot->key);
    return out;
}

static void put_number(struct tp_policy *policy, const struct slot *slot, uint64_t value)
{
    void *at = (char *)policy + slot->offset;
    bool yes = value != 0;
    unsigned number = (unsigned)value;

    if (slot->width == sizeof value)
        memcpy(at, &value, sizeof value);
    else if (slot->width == sizeof number)
        memcpy(at, &number, sizeof number);
    else
        memcpy(at, &yes, sizeof yes);
}

/* Words are checked as those of requests are: by asking for them. */
static int take_word(struct tp_policy *policy, const struct slot *slot, const char *key,
                     const char *text, struct tp_error *err)
{
    struct tp_request request = {.verb = TP_VERB_COMPRESS};
    struct tp_error why = {0};
    int rc = text ? tp_request_fill(&request, slot->key, text, &why) : -EINVAL;

    tp_request_clear(&request);
    if (rc == -ENOMEM)
        return tp_fail(err, ENOMEM, "out of memory");
    if (rc < 0)
        return tp_fail(err, EINVAL, "'%s': %s", key, why.message[0] ? why.message : "it is a text");
    if (slot->kind == IO)
        put_number(policy, slot, strcmp(text, "idle") == 0);
    else if (strlen(text) >= slot->width)
        return tp_fail(err, EINVAL, "'%s' is too long", key);
    else
        snprintf((char *)policy + slot->offset, slot->width, "%s", text);
    return 0;
}

static int take_value(struct tp_policy *policy, const struct slot *slot, const struct tp_json *v,
                      struct tp_error *err)
{
    const char *text = tp_json_string(v);
    uint64_t number = 0;
    char key[64];
    bool yes;
    int rc = 0;

    full_name(slot, key);
    if (slot->kind == BASE || slot->kind == CODEC || slot->kind == IO) {
        return take_word(policy, slot, key, text, err);
    }
    if (slot->kind == YES) {
        if (!tp_json_bool(v, &yes))
            return tp_fail(err, EINVAL, "'%s' is true or false", key);
        put_number(policy, slot, yes);
        return 0;
    }
    if (slot->kind == SIZE && text)
        rc = tp_size_parse(text, &number);
    else if (!tp_json_u64(v, &number))
        rc = -EINVAL;
    if (rc == -EINVAL)
        return tp_fail(err, EINVAL, "'%s' is %s", key,
                       slot->kind == SIZE ? "a number of bytes, or a size such as \"2GiB\""
                                          : "a whole number");
    if (rc == -ERANGE || number < slot->low || number > slot->high)
        return tp_fail(err, ERANGE, "'%s' is from %" PRIu64 " to %" PRIu64, key, slot->low,
                       slot->high);
    put_number(policy, slot, number);
    return 0;
}

static bool is_section(const char *name)
{
    for (size_t i = 0; i < SLOT_N; i++)
        if (slots[i].section && strcmp(slots[i].section, name) == 0)
            return true;
    return false;
}

static int take_members(struct tp_policy *policy, const char *section, const struct tp_json *object,
                        struct tp_error *err)
{
    int rc = 0;

    for (const struct tp_json *m = tp_json_first(object); m && rc == 0; m = tp_json_next(m)) {
        const char *key = tp_json_key(m);
        size_t i = 0;

        while (i < SLOT_N && (strcmp(slots[i].key, key) != 0 || !slots[i].section != !section ||
                              (section && strcmp(slots[i].section, section) != 0)))
            i++;
        if (i < SLOT_N)
            rc = take_value(policy, &slots[i], m, err);
        else if (!section && is_section(key) && tp_json_is_object(m))
            rc = take_members(policy, key, m, err);
        else if (!section && is_section(key))
            rc = tp_fail(err, EINVAL, "'%s' is an object", key);
        else if (section || strcmp(key, "schema") != 0)
            rc = tp_fail(err, EINVAL, "there is no key '%s%s%.64s'", section ? section : "",
                         section ? "." : "", key);
    }
    return rc;
}

/* The text of the file, which may be neither a link nor anything that a read would wait for. */
static int read_conf(const char *path, struct tp_buffer *out, struct tp_error *err)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY), rc = 0;
    struct stat st;

    if (fd < 0)
        return tp_fail_errno(err, "cannot open '%s'", path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        rc = tp_fail(err, EINVAL, "'%s' is no regular file", path);
    else if (st.st_size > (off_t)CONF_MAX)
        rc = tp_fail(err, EINVAL, "'%s' is longer than %u bytes", path, CONF_MAX);
    else if (tp_buffer_reserve(out, (size_t)st.st_size + 1) < 0)
        rc = tp_fail(err, ENOMEM, "out of memory");
    else if (st.st_size)
        rc = tp_file_pread(fd, out->data, (size_t)st.st_size, 0, path, err);
    if (rc == 0)
        out->len = (size_t)st.st_size;
    close(fd);
    return rc;
}

int tp_policy_read(const char *dir, struct tp_policy *policy, struct tp_error *err)
{
    struct tp_buffer text = {0};
    struct tp_json *root = NULL;
    struct tp_policy now;
    char *path = NULL;
    int rc;

    tp_policy_default(&now);
    if (asprintf(&path, "%s/.tenpak/tenpak.conf", dir) < 0)
        return tp_fail(err, ENOMEM, "out of memory");
    rc = read_conf(path, &text, err);
    if (rc == -ENOENT || rc == -ENOTDIR) {
        *policy = now;
        rc = -ENOENT;
        goto out;
    }
    if (rc == 0) {
        rc = tp_json_parse(text.data, text.len, &root, err);
        if (rc == -EBADMSG) {
            rc = -EINVAL;
            if (err)
                err->code = rc;
        }
        if (rc == 0 && !tp_json_is_object(root))
            rc = tp_fail(err, EINVAL, "it is no object");
        if (rc == 0)
            rc = take_members(&now, NULL, root, err);
        if (rc < 0)
            tp_error_prefix(err, "'%s'", path);
    }
    if (rc == 0)
        *policy = now;
out:
    tp_json_free(root);
    tp_buffer_clear(&text);
    free(path);
    return rc;
}

int tp_policy_fill(const struct tp_policy *policy, struct tp_request *request, struct tp_error *err)
{
    char level[16], memory[32], niceness[16];
    const char *const fills[][2] = {
        {"base", policy->base}, {"codec", policy->codec},
        {"zstd_level", level},  {"memory", memory},
        {"nice", niceness},     {"io", policy->io_idle ? "idle" : "normal"},
    };
    int rc = 0;

    snprintf(level, sizeof level, "%u", policy->zstd_level);
    snprintf(memory, sizeof memory, "%" PRIu64, policy->memory);
    snprintf(niceness, sizeof niceness, "%d", policy->niceness);
    for (size_t i = 0; i < sizeof fills / sizeof fills[0] && rc == 0; i++)
        rc = tp_request_fill(request, fills[i][0], fills[i][1], err);
    return rc;
}

void tp_policy_json(const struct tp_policy *policy, struct tp_json_writer *json, const char *key)
{
    tp_json_begin_object(json, key);
    tp_json_put_string(json, "base", policy->base);
    tp_json_put_string(json, "codec", policy->codec);
    tp_json_put_u64(json, "codec_budget", policy->zstd_level);
    tp_json_begin_object(json, "auto_compress");
    tp_json_put_bool(json, "enabled", policy->auto_compress);
    tp_json_put_u64(json, "quiet_seconds", policy->quiet_seconds);
    tp_json_put_u64(json, "least_bytes", policy->least_bytes);
    tp_json_end_object(json);
    tp_json_begin_object(json, "jobs");
    tp_json_put_u64(json, "slots", policy->jobs);
    tp_json_put_u64(json, "queue", policy->queue);
    tp_json_put_u64(json, "memory", policy->memory);
    tp_json_put_i64(json, "nice", policy->niceness);
    tp_json_put_string(json, "io", policy->io_idle ? "idle" : "normal");
    tp_json_end_object(json);
    tp_json_begin_object(json, "retention");
    tp_json_put_u64(json, "count", policy->keep_count);
    tp_json_put_u64(json, "seconds", policy->keep_seconds);
    tp_json_put_u64(json, "bytes", policy->keep_bytes);
    tp_json_end_object(json);
    tp_json_end_object(json);
}
