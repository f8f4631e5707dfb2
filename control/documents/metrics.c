/* SPDX-License-Identifier: MIT */
/*
 * Metrics in the text format of Prometheus, version 0.0.4: base units, counters that only grow, one
 * series for each model.
 */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/printable.h"
#include "control/documents/internal.h"

static void put_head(struct tp_buffer *out, int *rc, const char *name, const char *type,
                     const char *help)
{
    if (*rc == 0)
        *rc = tp_buffer_appendf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_number(struct tp_buffer *out, int *rc, const char *name, uint64_t value)
{
    if (*rc == 0)
        *rc = tp_buffer_appendf(out, "%s %" PRIu64 "\n", name, value);
}

static void put_one(struct tp_buffer *out, int *rc, const char *name, const char *type,
                    const char *help, uint64_t value)
{
    put_head(out, rc, name, type, help);
    put_number(out, rc, name, value);
}

static void put_seconds(struct tp_buffer *out, int *rc, const char *name, const char *type,
                        const char *help, double value)
{
    put_head(out, rc, name, type, help);
    if (*rc == 0)
        *rc = tp_buffer_appendf(out, "%s %.6f\n", name, value);
}

/*
 * Write the value of a label, with quotes, backslashes and newlines escaped. Unprintable characters
 * and invalid UTF-8 are replaced, followed by their number, because two series with one name would
 * make the whole text invalid.
 */
static void put_label(struct tp_buffer *out, int *rc, const char *label, const char *value)
{
    const uint8_t *p = (const uint8_t *)value, *end = p + strlen(value);

    if (*rc == 0)
        *rc = tp_buffer_appendf(out, "%s=\"", label);
    while (p < end && *rc == 0) {
        uint32_t code;
        size_t n;
        bool is_unsafe = tp_char_is_unsafe(p, end, &code, &n);
        if (*p == '\n')
            *rc = tp_buffer_append(out, "\\n", 2);
        else if (*p == '"' || *p == '\\')
            *rc = tp_buffer_appendf(out, "\\%c", *p);
        else if (is_unsafe)
            *rc = tp_buffer_appendf(
                out, n == 1 && code > 0x7f ? "\xef\xbf\xbd%02x" : "\xef\xbf\xbdu%04x", code);
        else
            *rc = tp_buffer_append(out, p, n);
        p += n;
    }
    if (*rc == 0)
        *rc = tp_buffer_append(out, "\"", 1);
}

static void put_models(struct tp_buffer *out, int *rc, const struct tp_snapshot *moment,
                       const char *name, const char *help, bool stored)
{
    put_head(out, rc, name, "gauge", help);
    for (size_t i = 0; i < moment->row_n && *rc == 0; i++) {
        const struct tp_inventory_row *row = &moment->rows[i];
        if (row->unreadable)
            continue;
        *rc = tp_buffer_appendf(out, "%s{", name);
        put_label(out, rc, "model", row->name);
        put_label(out, rc, ",kind", row->kind == TP_MODEL_PACK ? "pack" : "plain");
        put_label(out, rc, ",family", row->family);
        if (*rc == 0)
            *rc = tp_buffer_appendf(out, "} %" PRIu64 "\n",
                                    stored ? row->stored_bytes : row->logical_bytes);
    }
}

static void put_directory(struct tp_buffer *out, int *rc, const struct tp_snapshot *moment)
{
    const struct tp_totals *t = &moment->totals;

    put_head(out, rc, "tenpak_build_info", "gauge", "Version of the program; always 1.");
    if (*rc == 0)
        *rc = tp_buffer_appendf(out, "tenpak_build_info{version=\"%s\"} 1\n", TENPAK_VERSION);
    put_head(out, rc, "tenpak_models", "gauge", "Models in the directory, by kind.");
    put_number(out, rc, "tenpak_models{kind=\"plain\"}", t->plain);
    put_number(out, rc, "tenpak_models{kind=\"pack\"}", t->packs);
    put_one(out, rc, "tenpak_unreadable_models", "gauge",
            "Models of which nothing can be read; in no other sum.", t->unreadable);
    put_one(out, rc, "tenpak_logical_bytes", "gauge", "Size of all models as they read.",
            t->logical_bytes);
    put_one(out, rc, "tenpak_stored_bytes", "gauge", "What all models take on disk.",
            t->stored_bytes);
    put_models(out, rc, moment, "tenpak_model_logical_bytes", "Size of a model as it reads.",
               false);
    put_models(out, rc, moment, "tenpak_model_stored_bytes", "What a model takes on disk.", true);
}

static void put_jobs(struct tp_buffer *out, int *rc, const struct tp_snapshot *moment)
{
    uint64_t active[TP_VERB_COUNT][2] = {{0}};
    const enum tp_job_state states[2] = {TP_JOB_PENDING, TP_JOB_RUNNING};

    for (size_t i = 0; i < moment->job_n; i++)
        if (!tp_job_state_is_end(moment->jobs[i].state))
            active[moment->jobs[i].verb][moment->jobs[i].state == TP_JOB_RUNNING]++;
    put_head(out, rc, "tenpak_jobs_active", "gauge", "Jobs that wait or run, by what they do.");
    for (unsigned verb = 0; verb < TP_VERB_COUNT; verb++)
        for (unsigned s = 0; s < 2 && *rc == 0 && verb != TP_VERB_CANCEL; s++)
            *rc = tp_buffer_appendf(
                out, "tenpak_jobs_active{verb=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                tp_verb_get(verb)->name, tp_job_state_name(states[s]), active[verb][s]);
    put_head(out, rc, "tenpak_jobs_total", "counter",
             "Jobs that have ended, by what they did and how they ended.");
    for (unsigned verb = 0; verb < TP_VERB_COUNT; verb++)
        for (unsigned state = 0; state < TP_JOB_STATE_COUNT && verb != TP_VERB_CANCEL; state++)
            if (*rc == 0 && tp_job_state_is_end(state))
                *rc = tp_buffer_appendf(
                    out, "tenpak_jobs_total{verb=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                    tp_verb_get(verb)->name, tp_job_state_name(state), moment->ended[verb][state]);
}

static void put_mount(struct tp_buffer *out, int *rc, const struct tp_mount_figures *mount)
{
    put_one(out, rc, "tenpak_reads_total", "counter", "Reads that the mount has answered.",
            mount->reads);
    put_one(out, rc, "tenpak_read_bytes_total", "counter", "Bytes that the mount has read out.",
            mount->read_bytes);
    put_one(out, rc, "tenpak_read_errors_total", "counter",
            "Reads that failed, damaged chunks among them.", mount->read_errors);
    put_one(out, rc, "tenpak_cache_hits_total", "counter", "Decoded blocks found in the cache.",
            mount->engine.hits);
    put_one(out, rc, "tenpak_cache_misses_total", "counter",
            "Decoded blocks that had to be decoded.", mount->engine.misses);
    put_one(out, rc, "tenpak_cache_bytes", "gauge", "Decoded blocks in memory.",
            mount->engine.cached_bytes);
    put_one(out, rc, "tenpak_cache_limit_bytes", "gauge", "Memory that decoded blocks may take.",
            mount->engine.cached_bytes_max);
    put_seconds(out, rc, "tenpak_decode_seconds_total", "counter", "CPU time spent on decoding.",
                (double)mount->engine.decode_nsec / 1e9);
    put_one(out, rc, "tenpak_open_files", "gauge", "Files of the mount that are open.",
            mount->open_files);
    put_seconds(out, rc, "tenpak_uptime_seconds", "gauge", "Time since the mount began.",
                mount->uptime_seconds);
}

int tp_document_metrics(struct tp_inventory *inventory, const struct tp_mount_figures *mount,
                        struct tp_buffer *out, struct tp_error *err)
{
    tp_auto(tp_snapshot_clear) struct tp_snapshot moment = {0};
    int rc = tp_snapshot_make(inventory, &moment, err);

    if (rc < 0)
        return rc;
    put_directory(out, &rc, &moment);
    if (inventory->jobs)
        put_jobs(out, &rc, &moment);
    if (mount)
        put_mount(out, &rc, mount);
    return rc < 0 ? tp_fail(err, -rc, "cannot write the metrics: %s", strerror(-rc)) : 0;
}
