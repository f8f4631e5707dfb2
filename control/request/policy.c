/* SPDX-License-Identifier: MIT */
/* Reading tenpak.conf by a table of keys, and the defaults for requests. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "codec/codec.h"
#include "control/request/impl.h"
#include "control/request/policy.h"
#include "control/verb/impl.h"

#define CONF_MAX (1u << 20)
#define HARDWARE "hardware"

/* A key of tenpak.conf. FILLS: the key of requests whose default it is, or NULL. */
struct slot {
    struct tp_key key; /* "section.key", or "key" at the top */
    const char *fills;
};

#define SLOT(name, kind, standard, low, high, words, member, fills)                                \
    {                                                                                              \
        {name, kind, standard, low, high, words, NULL, TP_KEY_AT(struct tp_policy, member)}, fills \
    }

/* In the order of writing. */
static const struct slot slots[] = {
    SLOT("base", TP_KEY_BASE, "auto", 0, 0, NULL, base, "base"),
    SLOT("codec", TP_KEY_WORD, "auto", 0, 0, tp_codec_choices, codec, "codec"),
    SLOT("codec_budget", TP_KEY_NUMBER, "3", 1, 19, NULL, zstd_level, "zstd_level"),
    SLOT("auto_compress.enabled", TP_KEY_BOOL, "no", 0, 0, NULL, auto_compress, NULL),
    SLOT("auto_compress.quiet_seconds", TP_KEY_NUMBER, "3600", 1, (uint64_t)1 << 32, NULL,
         quiet_seconds, NULL),
    SLOT("auto_compress.least_bytes", TP_KEY_SIZE, "64MiB", 0, (uint64_t)1 << 50, NULL, least_bytes,
         NULL),
    SLOT("jobs.slots", TP_KEY_NUMBER, "2", 1, 64, NULL, jobs, NULL),
    SLOT("jobs.queue", TP_KEY_NUMBER, "256", 0, 10000, NULL, queue, NULL),
    SLOT("jobs.memory", TP_KEY_SIZE, "4GiB", (uint64_t)64 << 20, (uint64_t)1 << 50, NULL, memory,
         "memory"),
    SLOT("jobs.nice", TP_KEY_NUMBER, "10", 0, 19, NULL, niceness, "nice"),
    SLOT("jobs.io", TP_KEY_WORD, "normal", 0, 0, tp_io_words, io, "io"),
    SLOT("retention.count", TP_KEY_NUMBER, "200", 1, 100000, NULL, keep_count, NULL),
    SLOT("retention.seconds", TP_KEY_NUMBER, "2592000", 1, (uint64_t)1 << 36, NULL, keep_seconds,
         NULL),
    SLOT("retention.bytes", TP_KEY_SIZE, "64MiB", 1u << 20, (uint64_t)1 << 50, NULL, keep_bytes,
         NULL),
};
#define SLOT_N (sizeof slots / sizeof slots[0])

void tp_policy_default(struct tp_policy *policy)
{
    *policy = (struct tp_policy){0};
    for (size_t i = 0; i < SLOT_N; i++)
        tp_value_set_default(&slots[i].key, policy);
}

static const char *section_end(const char *name)
{
    return strchr(name, '.');
}

static bool is_section(const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < SLOT_N; i++)
        if (strncmp(slots[i].key.name, name, len) == 0 && slots[i].key.name[len] == '.')
            return true;
    return false;
}

static int set_value(struct tp_policy *policy, const struct tp_key *key, const struct tp_json *v,
                     struct tp_error *err)
{
    /* A size may be a text such as "2GiB"; a number or boolean may not. */
    bool strict = key->kind == TP_KEY_NUMBER || key->kind == TP_KEY_BOOL;

    return tp_value_from_json(key, v, strict, policy, err);
}

static int set_members(struct tp_policy *policy, const char *section, const struct tp_json *object,
                       struct tp_error *err)
{
    int rc = 0;

    for (const struct tp_json *m = tp_json_first(object); m && rc == 0; m = tp_json_next(m)) {
        const char *key = tp_json_key(m);
        char name[128];
        size_t i = 0;

        snprintf(name, sizeof name, "%s%s%.64s", section ? section : "", section ? "." : "", key);
        while (i < SLOT_N &&
               (strcmp(slots[i].key.name, name) != 0 || (!section && section_end(key))))
            i++;
        if (i < SLOT_N)
            rc = set_value(policy, &slots[i].key, m, err);
        else if (!section && strcmp(key, HARDWARE) == 0)
            rc = tp_policy_read_hardware(m, policy, err);
        else if (!section && is_section(key) && tp_json_is_object(m))
            rc = set_members(policy, key, m, err);
        else if (!section && is_section(key))
            rc = tp_fail(err, EINVAL, "'%s' must be an object", key);
        else if (section || strcmp(key, "schema") != 0)
            rc = tp_fail(err, EINVAL, "there is no key '%s'", name);
    }
    return rc;
}

/* Read the file, without following a link or opening anything that blocks. */
static int read_conf(const char *path, struct tp_buffer *out, struct tp_error *err)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY), rc = 0;
    struct stat st;

    if (fd < 0)
        return tp_fail_errno(err, "cannot open '%s'", path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        rc = tp_fail(err, EINVAL, "'%s' is not a regular file", path);
    else if (st.st_size > (off_t)CONF_MAX)
        rc = tp_fail(err, EINVAL, "'%s' is longer than %u bytes", path, CONF_MAX);
    else if (tp_buffer_reserve(out, (size_t)st.st_size + 1) < 0)
        rc = tp_oom(err);
    else if (st.st_size)
        rc = tp_file_pread(fd, out->data, (size_t)st.st_size, 0, path, err);
    if (rc == 0)
        out->len = (size_t)st.st_size;
    close(fd);
    return rc;
}

int tp_policy_read(const char *dir, struct tp_policy *policy, struct tp_error *err)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    tp_autojson struct tp_json *root = NULL;
    struct tp_policy now;
    tp_autofree char *path = tp_format("%s/.tenpak/tenpak.conf", dir);
    int rc = path ? read_conf(path, &text, err) : tp_oom(err);

    tp_policy_default(&now);
    if (rc == -ENOENT || rc == -ENOTDIR) {
        *policy = now;
        return -ENOENT;
    }
    if (rc == 0) {
        rc = tp_json_parse(text.data, text.len, &root, err);
        if (rc == -EBADMSG) {
            rc = -EINVAL;
            if (err)
                err->code = rc;
        }
        if (rc == 0 && !tp_json_is_object(root))
            rc = tp_fail(err, EINVAL, "it must be an object");
        if (rc == 0)
            rc = set_members(&now, NULL, root, err);
        if (rc < 0)
            tp_error_prefix(err, "'%s'", path);
    }
    if (rc == 0)
        *policy = now;
    return rc;
}

void tp_policy_fill(const struct tp_policy *policy, struct tp_request *request)
{
    const struct tp_key *keys = tp_verb_get(request->verb)->keys;

    for (unsigned i = 0; keys[i].name; i++)
        for (size_t k = 0; k < SLOT_N && !(request->given >> i & 1); k++)
            if (slots[k].fills && strcmp(slots[k].fills, keys[i].name) == 0) {
                memcpy((char *)request + keys[i].offset, (const char *)policy + slots[k].key.offset,
                       keys[i].width);
                request->set |= (uint32_t)1 << i;
            }
}

void tp_policy_json(const struct tp_policy *policy, struct tp_json_writer *json, const char *key)
{
    char section[32] = "";

    tp_json_begin_object(json, key);
    for (size_t i = 0; i < SLOT_N; i++) {
        const char *name = slots[i].key.name, *end = section_end(name);
        size_t len = end ? (size_t)(end - name) : 0;

        if (strlen(section) != len || strncmp(section, name, len) != 0) {
            if (section[0])
                tp_json_end_object(json);
            snprintf(section, sizeof section, "%.*s", (int)len, name);
            if (end)
                tp_json_begin_object(json, section);
        }
        tp_value_to_json(&slots[i].key, end ? end + 1 : name, policy, json);
    }
    if (section[0])
        tp_json_end_object(json);
    tp_policy_hardware_json(policy, json, HARDWARE);
    tp_json_end_object(json);
}
