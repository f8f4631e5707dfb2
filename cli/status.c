/* SPDX-License-Identifier: MIT */
/* tenpak status: shows the settings in effect in a mount. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/options.h"
#include "cli/report.h"
#include "fs/mount.h"

static uint64_t get_number(const struct tp_json *in, const char *key)
{
    uint64_t n = 0;
    tp_json_u64(tp_json_get(in, key), &n);
    return n;
}

static double get_double(const struct tp_json *in, const char *key)
{
    double n = 0;
    tp_json_double(tp_json_get(in, key), &n);
    return n;
}

/* As it may be printed. */
static const char *get_text(const struct tp_json *in, const char *key)
{
    const char *s = tp_json_string(tp_json_get(in, key));
    return s ? tp_report_name(s) : "?";
}

static bool get_bool(const struct tp_json *in, const char *key)
{
    bool b = false;
    tp_json_bool(tp_json_get(in, key), &b);
    return b;
}

static void print_work(const struct tp_json *all)
{
    const struct tp_json *cache = tp_json_get(all, "cache"), *decode = tp_json_get(all, "decode");

    printf("cache        %s of %s, %" PRIu64 " hits, %" PRIu64 " misses\n",
           tp_report_size(get_number(cache, "used_bytes")),
           tp_report_size(get_number(cache, "max_bytes")), get_number(cache, "hits"),
           get_number(cache, "misses"));
    printf("decoded      %s in %.2f s of CPU time by %" PRIu64 " threads, %" PRIu64 " errors\n",
           tp_report_size(get_number(decode, "bytes")), get_double(decode, "cpu_seconds"),
           get_number(decode, "threads"), get_number(decode, "errors"));
}

static void print_kernel(const struct tp_json *all)
{
    const struct tp_json *kernel = tp_json_get(all, "kernel"),
                         *pass = tp_json_get(all, "passthrough");
    uint64_t ahead = get_number(kernel, "read_ahead_kb"),
             wanted = get_number(kernel, "read_ahead_wanted_kb");

    if (ahead)
        printf("read-ahead   %" PRIu64 " KiB", ahead);
    else
        printf("read-ahead   not known");
    if (ahead < wanted)
        printf(" (%" PRIu64 " KiB is wanted: see 'tenpak doctor')", wanted);
    printf("\nin flight    %" PRIu64 " requests of %" PRIu64 " KiB\n",
           get_number(kernel, "max_background"), get_number(kernel, "max_read_kb"));
    printf("new models   show %s\n",
           get_bool(kernel, "notices_new_models") ? "at once" : "within a second");
    if (get_bool(pass, "on"))
        printf("passthrough  yes\n");
    else
        printf("passthrough  no: %s\n", get_text(pass, "why_not"));
}

static void print_hot(const struct tp_json *all)
{
    const struct tp_json *hot = tp_json_get(all, "hot");

    if (get_number(hot, "max_bytes"))
        printf("hot files    %" PRIu64 ", %s of %s\n", get_number(hot, "files"),
               tp_report_size(get_number(hot, "used_bytes")),
               tp_report_size(get_number(hot, "max_bytes")));
}

static void print_status(const struct tp_json *all)
{
    printf("directory    %s\n", get_text(all, "dir"));
    printf("mount point  %s (%s)\n", get_text(all, "mountpoint"),
           get_bool(all, "writable") ? "plain directories can be written to" : "read-only");
    printf("daemon       tenpak %s, process %" PRIu64 ", up %.0f s, %" PRIu64 " files open\n",
           get_text(all, "version"), get_number(all, "pid"), get_double(all, "uptime_seconds"),
           get_number(all, "open_files"));
    print_work(all);
    print_kernel(all);
    print_hot(all);
}

static int run_status(struct tp_options *o)
{
    struct tp_error err = {0};
    tp_autojson struct tp_json *all = NULL;
    tp_autofree char *json = NULL;

    if (tp_options_next(o) < 0)
        return o->exit;
    int rc = tp_mount_status(o->argv[0], &json, &err);
    if (rc == 0 && o->json)
        puts(json);
    if (rc == 0 && !o->json)
        rc = tp_json_parse(json, strlen(json), &all, &err);
    if (rc == 0 && all)
        print_status(all);
    return rc ? tp_report_failed(o, &err) : tp_report_flush();
}

const struct tp_command tp_command_status = {
    .name = "status",
    .args = "[OPTION...] MNT",
    .summary = "Show the settings in effect in a mount.",
    .about =
        "The daemon reports the cache, decoding, read-ahead, and passthrough or why it is off.",
    .examples = "  tenpak status /mnt/models\n"
                "  tenpak status --json /mnt/models | jq .cache.hits\n",
    .with = TP_WITH_JSON,
    .min_args = 1,
    .max_args = 1,
    .run = run_status,
};
