/* SPDX-License-Identifier: MIT */
/*
 * tenpak.conf: its values are used, an error names its key, and requests get their defaults from
 * it.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "control/request/policy.h"
#include "control/verb/verb.h"
#include "tests/tap.h"

static char *dir, *conf;

static void put(const char *text)
{
    if (tp_file_replace(conf, text, strlen(text), 0644, NULL) < 0)
        bail_out("cannot write '%s'", conf);
}

static char *json_of(const struct tp_policy *policy)
{
    struct tp_buffer text = {0};
    struct tp_json_writer json;

    tp_json_writer_init(&json, &text, false);
    tp_policy_json(policy, &json, NULL);
    if (tp_json_writer_finish(&json) < 0 || tp_buffer_append(&text, "", 1) < 0)
        bail_out("memory");
    return (char *)text.data;
}

static void is_same(const struct tp_policy *a, const struct tp_policy *b, const char *name)
{
    char *x = json_of(a), *y = json_of(b);

    is_str(x, y, name);
    free(x);
    free(y);
}

static void test_good(void)
{
    struct tp_policy standard, policy, again;
    struct tp_error err = {0};
    char *text;

    tp_policy_default(&standard);
    memset(&policy, 0x55, sizeof policy);
    is_int(tp_policy_read(dir, &policy, &err), -ENOENT, "there is no file");
    is_same(&policy, &standard, "the defaults hold");
    put("{}");
    is_int(tp_policy_read(dir, &policy, &err), 0, "every key may be left out");
    is_same(&policy, &standard, "the defaults hold");
    put("{\"schema\": \"tenpak.conf/1\", \"base\": \"llama\", \"codec\": \"split\", "
        "\"codec_budget\": 9,\n"
        " \"auto_compress\": {\"enabled\": true, \"quiet_seconds\": 7, \"least_bytes\": "
        "\"2MiB\"},\n"
        " \"jobs\": {\"slots\": 3, \"queue\": 4, \"memory\": \"1GiB\", \"nice\": 5, \"io\": "
        "\"idle\"},\n"
        " \"retention\": {\"count\": 6, \"seconds\": 8, \"bytes\": \"2MiB\"},\n"
        " \"hardware\": {\"mine\": {\"kind\": \"cpu\", \"dollars_per_hour\": 0.25, "
        "\"memory_bytes\": "
        "\"1GiB\",\n"
        " \"read_bandwidth\": 2e10, \"operations_rate\": 1000}, \"local\": {\"dollars_per_hour\": "
        "0.5}}}");
    is_int(tp_policy_read(dir, &policy, &err), 0, "every key is taken");
    text = json_of(&policy);
    is_str(text,
           "{\"base\": \"llama\", \"codec\": \"split\", \"codec_budget\": 9, \"auto_compress\": "
           "{\"enabled\": true, "
           "\"quiet_seconds\": 7, \"least_bytes\": 2097152}, \"jobs\": {\"slots\": 3, \"queue\": "
           "4, \"memory\": "
           "1073741824, \"nice\": 5, \"io\": \"idle\"}, \"retention\": {\"count\": 6, \"seconds\": "
           "8, \"bytes\": 2097152}, \"hardware\": {\"mine\": {\"kind\": \"cpu\", "
           "\"dollars_per_hour\": 0.25, \"memory_bytes\": 1073741824, \"read_bandwidth\": "
           "2e+10, "
           "\"operations_rate\": 1000}, \"local\": {\"dollars_per_hour\": 0.5}}}",
           "as it was said");
    put(text);
    is_int(tp_policy_read(dir, &again, &err), 0, "what is printed can be read");
    is_same(&again, &policy, "and is the same");
    free(text);
}

static void test_hardware(void)
{
    struct tp_policy policy;
    struct tp_hardware found;
    struct tp_error err = {0};
    size_t n = 0;

    put("{\"hardware\": {\"mine\": {\"memory_bytes\": \"1GiB\", \"read_bandwidth\": 2e10, "
        "\"operations_rate\": 1e12}, \"t4\": {\"dollars_per_hour\": 0.25}, \"local\": "
        "{\"dollars_per_hour\": 0.5, \"memory_bytes\": 1000}}}");
    is_int(tp_policy_read(dir, &policy, &err), 0, "machines are taken");
    is_int(tp_policy_find_hardware(&policy, "mine", &found, &err), 0, "a new one is found");
    ok(found.memory_bytes == (uint64_t)1 << 30 && found.read_bandwidth == 2e10 &&
           found.dollars_per_hour == 0 && strcmp(found.source, "tenpak.conf") == 0,
       "with its numbers, and without a price");
    is_int(tp_policy_find_hardware(&policy, "t4", &found, &err), 0, "a known one");
    ok(found.dollars_per_hour == 0.25 && found.memory_bytes == 16000000000u,
       "with another price, and what else is known");
    is_int(tp_policy_find_hardware(&policy, "local", &found, &err), 0, "this machine");
    ok(found.dollars_per_hour == 0.5 && found.memory_bytes == 1000, "with a price and a limit");
    is_int(tp_policy_find_hardware(&policy, "h200", &found, &err), -ENOENT,
           "one that is not there");
    has(err.message, "local, t4, a10g, a100_40, a100_80, h100, mine", "the message lists all");
    while (tp_policy_get_hardware(&policy, n, &found))
        n++;
    is_u64(n, 7, "each is listed once");
}

static const struct {
    const char *text;
    int rc;
    const char *message;
} wrong[] = {
    {"", -EINVAL, "invalid JSON"},
    {"[]", -EINVAL, "must be an object"},
    {"{\"bsae\": \"x\"}", -EINVAL, "'bsae'"},
    {"{\"base\": \"../x\"}", -EINVAL, "'base'"},
    {"{\"base\": 1}", -EINVAL, "'base'"},
    {"{\"codec\": \"lz4\"}", -EINVAL, "'codec'"},
    {"{\"codec_budget\": 20}", -ERANGE, "'codec_budget'"},
    {"{\"codec_budget\": \"3\"}", -EINVAL, "'codec_budget'"},
    {"{\"jobs\": 3}", -EINVAL, "'jobs'"},
    {"{\"jobs\": {\"slot\": 3}}", -EINVAL, "'jobs.slot'"},
    {"{\"jobs\": {\"slots\": 0}}", -ERANGE, "'jobs.slots'"},
    {"{\"jobs\": {\"slots\": 1.5}}", -EINVAL, "'jobs.slots'"},
    {"{\"jobs\": {\"memory\": \"lots\"}}", -EINVAL, "'jobs.memory'"},
    {"{\"jobs\": {\"memory\": \"1K\"}}", -ERANGE, "'jobs.memory'"},
    {"{\"jobs\": {\"io\": \"fast\"}}", -EINVAL, "'jobs.io'"},
    {"{\"jobs\": {\"nice\": -1}}", -EINVAL, "'jobs.nice'"},
    {"{\"auto_compress\": {\"enabled\": \"yes\"}}", -EINVAL, "'auto_compress.enabled'"},
    {"{\"retention\": {\"count\": 0}}", -ERANGE, "'retention.count'"},
    {"{\"retention\": {\"bytes\": 1000}}", -ERANGE, "'retention.bytes'"},
    {"{\"retention\": {\"bytes\": []}}", -EINVAL, "'retention.bytes'"},
    {"{\"retention\": {\"count\": null}}", -EINVAL, "'retention.count'"},
    {"{\"hardware\": 3}", -EINVAL, "'hardware'"},
    {"{\"hardware\": {\"x\": 3}}", -EINVAL, "'x'"},
    {"{\"hardware\": {\"x\": {\"price\": 3}}}", -EINVAL, "hardware 'x': there is no key 'price'"},
    {"{\"hardware\": {\"t4\": {\"dollars_per_hour\": -1}}}", -ERANGE, "'dollars_per_hour'"},
    {"{\"hardware\": {\"t4\": {\"dollars_per_hour\": \"1\"}}}", -EINVAL, "'dollars_per_hour'"},
    {"{\"hardware\": {\"t4\": {\"memory_bytes\": \"much\"}}}", -EINVAL, "'memory_bytes'"},
    {"{\"hardware\": {\"t4\": {\"kind\": \"tpu\"}}}", -EINVAL, "'kind'"},
    {"{\"hardware\": {\"\": {}}}", -EINVAL, "name of hardware"},
    {"{\"hardware\": {\"x\": {\"dollars_per_hour\": 1}}}", -EINVAL, "'x' has no memory"},
    {"{\"slots\": 3}", -EINVAL, "'slots'"},
    {"{\"base\": \"a\", \"base\": \"b\"}", -EINVAL, "duplicate key"},
};

static void test_wrong(void)
{
    struct tp_policy policy, before;

    tp_policy_default(&policy);
    policy.jobs = 7;
    before = policy;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct tp_error err = {0};

        put(wrong[i].text);
        is_int(tp_policy_read(dir, &policy, &err), wrong[i].rc,
               wrong[i].text[0] ? wrong[i].text : "an empty file");
        has(err.message, wrong[i].message, "the message names it");
        has(err.message, conf, "and the file");
    }
    is_same(&policy, &before, "what held before holds still");
}

/* Files that are none: nothing is waited for, nothing elsewhere is read. */
static void test_strange(void)
{
    struct tp_policy policy;
    struct tp_error err = {0};
    int fd;

    put("{}");
    unlink(conf);
    if (symlink("/etc/hostname", conf) < 0)
        bail_out("symlink");
    is_int(tp_policy_read(dir, &policy, &err), -ELOOP, "a symbolic link");
    unlink(conf);
    if (mkfifo(conf, 0600) < 0)
        bail_out("mkfifo");
    is_int(tp_policy_read(dir, &policy, &err), -EINVAL, "a fifo");
    unlink(conf);
    fd = open(conf, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, 3 << 20) < 0)
        bail_out("ftruncate");
    close(fd);
    is_int(tp_policy_read(dir, &policy, &err), -EINVAL, "3 MiB of zeros");
    unlink(conf);
}

static void test_fill(void)
{
    struct tp_request *list;
    struct tp_policy policy;
    size_t n;

    tp_policy_default(&policy);
    snprintf(policy.base, sizeof policy.base, "llama");
    policy.memory = (uint64_t)1 << 30;
    policy.io = tp_verb_get(TP_VERB_VERIFY)->keys[3].words[1];
    if (tp_requests_parse(TP_VERB_COMPRESS, "m nice=3\nn base=none memory=2G", 30, &list, &n, NULL,
                          NULL) < 0)
        bail_out("parse");
    for (size_t i = 0; i < n; i++)
        tp_policy_fill(&policy, &list[i]);
    is_str(list[0].compress.base, "llama", "what was not given is the policy's");
    is_u64(list[0].limits.memory, (uint64_t)1 << 30, "a size, too");
    is_str(list[0].limits.io, "idle", "a word, too");
    is_u64(list[0].limits.niceness, 3, "what was given stays");
    is_str(list[1].compress.base, "none", "also where it is a word like the default");
    is_u64(list[1].limits.memory, (uint64_t)2 << 30, "and a size");
    free(list);
}

int main(void)
{
    char *top = NULL;

    dir = tap_tmpdir();
    if (asprintf(&top, "%s/.tenpak", dir) < 0 || mkdir(top, 0700) < 0 ||
        asprintf(&conf, "%s/tenpak.conf", top) < 0)
        bail_out("cannot make '%s'", top);
    test_good();
    test_hardware();
    test_wrong();
    test_strange();
    test_fill();
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    free(top);
    free(conf);
    free(dir);
    return tap_done();
}
