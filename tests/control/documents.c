/* SPDX-License-Identifier: MIT */
/* documents DIR NAME: print a document about DIR as a mount would, without a mount. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/documents/documents.h"

/* As where a mount is: numbers that a test knows. */
static const struct tp_mount_figures mount = {
    .pid = 1234,
    .dir = "/models",
    .mountpoint = "/mnt/models",
    .reads = 12,
    .read_bytes = 3456789,
    .engine.hits = 7,
    .engine.misses = 5,
    .engine.cached_bytes = 1 << 20,
    .engine.cached_bytes_max = 1 << 28,
    .read_errors = 1,
    .open_files = 2,
    .engine.decode_nsec = 250000000,
    .uptime_seconds = 61.5,
};

static int document(struct tp_inventory *inventory, const struct tp_policy *policy,
                    const char *name, struct tp_buffer *out, struct tp_error *err)
{
    if (!strcmp(name, "status.json"))
        return tp_document_status(inventory, policy, &mount, out, err);
    if (!strcmp(name, "models.json"))
        return tp_document_models(inventory, out, err);
    if (!strcmp(name, "jobs.json"))
        return tp_document_jobs(inventory, out, err);
    if (!strcmp(name, "metrics"))
        return tp_document_metrics(inventory, &mount, out, err);
    if (!strcmp(name, "dashboard.html"))
        return tp_document_dashboard(inventory, policy, &mount, out, err);
    if (!strcmp(name, "README"))
        return tp_document_readme(out);
    if (!strcmp(name, "candidates.json"))
        return tp_document_candidates(out, err);
    if (!strcmp(name, "hardware.json"))
        return tp_document_hardware(policy, out, err);
    return tp_document_model(inventory, name, out, err);
}

/* documents --schemas: the names of those that the program carries; --schema NAME: its text. */
static int schemas(const char *name)
{
    for (size_t i = 0; i < tp_schema_count(); i++) {
        size_t len;
        const char *text = tp_schema_text(i, &len);
        if (!name)
            puts(tp_schema_name(i));
        else if (!strcmp(name, tp_schema_name(i)))
            return fwrite(text, 1, len, stdout) == len ? 0 : 1;
    }
    return name ? 1 : 0;
}

/*
 * documents --verbs: the table of verbs as JSON, which descriptions of requests are held against.
 */
static int verbs(void)
{
    static const char *const kinds[] = {
        [TP_KEY_NAME] = "name", [TP_KEY_MODEL] = "model",     [TP_KEY_WORD] = "word",
        [TP_KEY_BASE] = "base", [TP_KEY_BOOL] = "bool",       [TP_KEY_NUMBER] = "number",
        [TP_KEY_SIZE] = "size", [TP_KEY_DECIMAL] = "decimal", [TP_KEY_TEXT] = "text",
        [TP_KEY_LIST] = "list"};
    struct tp_buffer out = {0};
    struct tp_json_writer json;

    tp_json_writer_init(&json, &out, true);
    tp_json_begin_array(&json, NULL);
    for (unsigned v = 0; v < TP_VERB_COUNT; v++) {
        const struct tp_verb_ops *info = tp_verb_get((enum tp_verb)v);
        tp_json_begin_object(&json, NULL);
        tp_json_put_string(&json, "name", info->name);
        tp_json_begin_array(&json, "keys");
        for (const struct tp_key *key = info->keys; key->name; key++) {
            tp_json_begin_object(&json, NULL);
            tp_json_put_string(&json, "name", key->name);
            tp_json_put_string(&json, "kind", kinds[key->kind]);
            tp_json_put_string(&json, "standard", key->standard);
            tp_json_put_u64(&json, "low", key->low);
            tp_json_put_u64(&json, "high", key->high);
            tp_json_begin_array(&json, "words");
            for (size_t i = 0; key->words && key->words[i]; i++)
                tp_json_put_string(&json, NULL, key->words[i]);
            tp_json_end_array(&json);
            tp_json_put_string(&json, "help", key->help);
            tp_json_end_object(&json);
        }
        tp_json_end_array(&json);
        tp_json_end_object(&json);
    }
    tp_json_end_array(&json);
    int rc = tp_json_writer_finish(&json);
    fwrite(out.data, 1, out.len, stdout);
    tp_buffer_clear(&out);
    return rc ? 1 : 0;
}

/*
 * documents --run PROGRAM DIR VERB TEXT: take the commands in TEXT, wait for their ends, print the
 * reply.
 */
static int run_jobs(char **arguments)
{
    struct tp_requester requester = {geteuid(), getegid(), getpid(), "documents"};
    struct tp_jobs_options options = {.program = arguments[0], .dir = arguments[1], .owner = true};
    enum tp_verb verb = tp_verb_find(arguments[2]);
    char(*ids)[TP_JOB_ID_MAX] = calloc(TP_REQUEST_MAX, sizeof *ids);
    struct tp_request *requests = NULL;
    struct tp_request_position position = {0};
    struct tp_jobs *jobs = NULL;
    struct tp_job_status status = {0};
    struct tp_error err = {0};
    struct tp_buffer out = {0};
    size_t n = 0;
    int rc = tp_jobs_open(&options, &jobs, &err);

    if (!rc)
        rc = tp_requests_parse(verb, arguments[3], strlen(arguments[3]), &requests, &n, &position,
                               &err);
    if (!rc)
        rc = tp_jobs_submit(jobs, requests, n, &requester, ids, &position, &err);
    if (!rc)
        tp_jobs_get(jobs, ids[0], &status, NULL);
    tp_jobs_reply(rc, ids, n, &status, &position, &err, &out);
    for (size_t i = 0; !rc && i < n; i++)
        tp_jobs_wait(jobs, ids[i], -1, &status, NULL);
    fwrite(out.data, 1, out.len, stdout);
    tp_buffer_clear(&out);
    free(requests);
    tp_jobs_close(jobs);
    free(ids);
    return rc ? 1 : 0;
}

/* documents --owner DIR [MOUNTPOINT]: daemon.json while this process owns DIR. */
static int print_owner(const char *dir, const char *mountpoint)
{
    struct tp_jobs_options options = {.dir = dir, .owner = true, .mountpoint = mountpoint};
    struct tp_jobs *jobs = NULL;
    struct tp_error err = {0};
    char path[4096], text[4096];
    size_t n = 0;
    FILE *f;

    if (tp_jobs_open(&options, &jobs, &err)) {
        fprintf(stderr, "documents: %s\n", err.message);
        return 1;
    }
    snprintf(path, sizeof path, "%s/.tenpak/daemon.json", dir);
    f = fopen(path, "r");
    if (f) {
        n = fread(text, 1, sizeof text, f);
        fclose(f);
    }
    fwrite(text, 1, n, stdout);
    tp_jobs_close(jobs);
    return n == 0;
}

int main(int argc, char **argv)
{
    struct tp_inventory *inventory = NULL;
    struct tp_store *store = NULL;
    struct tp_jobs *jobs = NULL;
    struct tp_error err = {0};
    struct tp_buffer out = {0};
    struct tp_policy policy;
    int rc, repeat;

    if (argc >= 2 && !strncmp(argv[1], "--schema", 8))
        return schemas(argc > 2 ? argv[2] : NULL);
    if (argc == 2 && !strcmp(argv[1], "--verbs"))
        return verbs();
    if (argc == 6 && !strcmp(argv[1], "--run"))
        return run_jobs(argv + 2);
    if (argc >= 3 && !strcmp(argv[1], "--owner"))
        return print_owner(argv[2], argc > 3 ? argv[3] : NULL);
    if (argc < 3) {
        fputs(
            "usage: documents DIR NAME [TIMES]\n       documents --schemas\n       documents "
            "--schema NAME\n       documents --verbs\n       documents --owner DIR [MOUNTPOINT]\n",
            stderr);
        return 2;
    }
    repeat = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 1;
    tp_policy_default(&policy);
    rc = tp_store_open(argv[1], &store, &err);
    if (!rc)
        rc = tp_jobs_open(&(struct tp_jobs_options){.dir = argv[1]}, &jobs, &err);
    if (!rc)
        rc = tp_inventory_create(store, jobs, &inventory, &err);
    for (int i = 0; i < repeat && !rc; i++) {
        out.len = 0;
        rc = document(inventory, &policy, argv[2], &out, &err);
    }
    if (rc)
        fprintf(stderr, "documents: %s (%d)\n", err.message, rc);
    else
        fwrite(out.data, 1, out.len, stdout);
    tp_buffer_clear(&out);
    tp_inventory_destroy(inventory);
    tp_jobs_close(jobs);
    if (store)
        tp_store_close(store);
    return rc ? 1 : 0;
}
