/* SPDX-License-Identifier: MIT */
/* Documents that are mostly text: the dashboard, README, and what is embedded. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "control/documents/internal.h"
#include "control/documents/embedded.h"

#define PAGE "dashboard.html"
#define RUNS_SHOWN 5 /* searches of which the page has the candidates */
#define OPENAPI "openapi.json"
#define MARK "@DATA@" /* the place of the data in the page */

static const struct tp_embedded *find_embedded(const char *name)
{
    for (size_t i = 0; i < tp_embedded_count; i++)
        if (!strcmp(tp_embedded_files[i].name, name))
            return &tp_embedded_files[i];
    return NULL;
}

/* --- dashboard.html --- */

/*
 * Escape JSON for a script element: '<', '>' and '&' occur only in strings, and are written as
 * escapes, so no name can end the element or open a comment. The two Unicode line ends are not
 * allowed in scripts, and are escaped too.
 */
static int put_for_script(struct tp_buffer *out, const struct tp_buffer *json)
{
    const uint8_t *p = json->data, *end = p + json->len;
    int rc = 0;

    while (p < end && rc == 0) {
        const uint8_t *run = p;
        while (p < end && *p != '<' && *p != '>' && *p != '&' && *p != 0xe2)
            p++;
        rc = tp_buffer_append(out, run, (size_t)(p - run));
        if (p == end || rc < 0)
            break;
        if (end - p >= 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9)) {
            rc = tp_buffer_appendf(out, "\\u20%02x", p[2] - 0x80);
            p += 3;
        } else if (*p == 0xe2) {
            rc = tp_buffer_append(out, p++, 1);
        } else {
            rc = tp_buffer_appendf(out, "\\u%04x", *p++);
        }
    }
    return rc;
}

static int put_page(struct tp_buffer *out, const struct tp_buffer *json)
{
    const struct tp_embedded *page = find_embedded(PAGE);
    const char *mark = page ? strstr(page->text, MARK) : NULL;

    if (!mark)
        return -EINVAL;
    int rc = tp_buffer_append(out, page->text, (size_t)(mark - page->text));
    if (rc == 0)
        rc = put_for_script(out, json);
    if (rc == 0)
        rc = tp_buffer_append(out, mark + strlen(MARK), strlen(mark + strlen(MARK)));
    return rc;
}

/* The result of search ID, if its report can be read. */
static void put_run(struct tp_json_writer *json, struct tp_jobs *jobs, const char *id)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    tp_autojson struct tp_json *report = NULL;

    if (tp_jobs_file(jobs, id, "report.json", &text, NULL) == 0 &&
        tp_json_parse(text.data, text.len, &report, NULL) == 0)
        tp_json_put_value(json, id, tp_json_get(report, "result"));
}

/* An object: the results of the latest searches by the ids of their jobs. */
static void put_runs(struct tp_json_writer *json, struct tp_jobs *jobs,
                     const struct tp_snapshot *moment)
{
    unsigned n = 0;

    tp_json_begin_object(json, NULL);
    for (size_t i = moment->job_n; i-- > 0 && n < RUNS_SHOWN;) {
        const struct tp_job_status *job = &moment->jobs[i];

        if (job->verb == TP_VERB_OPTIMIZE && job->state == TP_JOB_COMPLETED) {
            put_run(json, jobs, job->id);
            n++;
        }
    }
    tp_json_end_object(json);
}

int tp_document_dashboard(struct tp_inventory *inventory, const struct tp_policy *policy,
                          const struct tp_mount_figures *mount, struct tp_buffer *out,
                          struct tp_error *err)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    struct tp_json_writer json;
    struct tp_snapshot moment;

    int rc = tp_snapshot_make(inventory, &moment, err);
    if (rc < 0)
        return rc;
    tp_json_writer_init(&json, &text, false);
    tp_json_begin_array(&json, NULL);
    tp_snapshot_status_json(&moment, inventory, policy, mount, &json);
    tp_snapshot_models_json(&moment, &json);
    tp_snapshot_jobs_json(&moment, &json);
    put_runs(&json, inventory->jobs, &moment);
    tp_json_end_array(&json);
    tp_snapshot_clear(&moment);
    rc = tp_document_finish(&json, err);
    if (rc == 0 && (rc = put_page(out, &text)) < 0)
        tp_fail(err, -rc, "cannot write the dashboard: %s", strerror(-rc));
    return rc;
}

/* --- README --- */

static const char readme_head[] =
    "This directory runs the directory of models that is mounted above it. Everything here is read "
    "and written\n"
    "with ordinary tools; doc/CONTROL.md of tenpak describes it in full.\n"
    "\n"
    "To ask for something, write a line to one of these; read one to see its keys with their "
    "defaults:\n"
    "\n";

static const char readme_tail[] =
    "\n"
    "    echo 'my-finetune' > compress          take the name of a model, then key=value ...\n"
    "    echo '{\"model\": \"my-finetune\"}' > compress          the same as JSON\n"
    "    cat jobs/last/wait                     wait for the end of the job that was asked for "
    "last\n"
    "    jq . jobs/last/report.json             what it did\n"
    "    tail -n 1 error_log                    why a write failed\n"
    "\n"
    "status.json      totals, savings by family, running jobs, the mount's own numbers\n"
    "models.json      a row a model; models/NAME.json has its files and tensors\n"
    "metrics          the same for Prometheus\n"
    "dashboard.html   the same as a page: open it in a browser\n"
    "candidates.json  what optimize may try; hardware.json: the machines, and what they cost\n"
    "schema/          a JSON Schema of every document here\n"
    "settings/        settings that hold while this is mounted, a value a file\n"
    "events           what happens from now on, a line of JSON each\n"
    "jobs/ID/         request.json, status.json, log, report.json, exit; wait blocks until the "
    "end;\n"
    "                 rm -r jobs/ID cancels the job and forgets it\n"
    "error_log        the latest commands that were refused\n";

int tp_document_readme(struct tp_buffer *out)
{
    int rc = tp_buffer_append(out, readme_head, sizeof readme_head - 1);

    for (unsigned verb = 0; verb < TP_VERB_COUNT && rc == 0; verb++) {
        const struct tp_verb_ops *info = tp_verb_get(verb);
        rc = tp_buffer_appendf(out, "    %-10s %s\n", info->name, info->summary);
    }
    return rc < 0 ? rc : tp_buffer_append(out, readme_tail, sizeof readme_tail - 1);
}

/* --- Schemas: all that is embedded but the page and the description of the server --- */

const char *tp_openapi_text(size_t *len)
{
    const struct tp_embedded *file = find_embedded(OPENAPI);

    *len = file ? file->len : 0;
    return file ? file->text : "";
}

static const struct tp_embedded *schema_at(size_t i)
{
    for (size_t k = 0; k < tp_embedded_count; k++)
        if (strcmp(tp_embedded_files[k].name, PAGE) && strcmp(tp_embedded_files[k].name, OPENAPI) &&
            i-- == 0)
            return &tp_embedded_files[k];
    return NULL;
}

size_t tp_schema_count(void)
{
    size_t n = 0;

    while (schema_at(n))
        n++;
    return n;
}

const char *tp_schema_name(size_t i)
{
    const struct tp_embedded *file = schema_at(i);

    return file ? file->name : NULL;
}

const char *tp_schema_text(size_t i, size_t *len)
{
    const struct tp_embedded *file = schema_at(i);

    *len = file ? file->len : 0;
    return file ? file->text : NULL;
}
