/* SPDX-License-Identifier: MIT */
/* GET /artifact/ID: the pack that a job made, or one range of it (RFC 9110). */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "serve/call.h"
#include "store/names.h"

#define TYPE "application/vnd.tenpak.pack"

/* The report of a job that has made a pack, whose name and id are members of the result. */
static int read_report(struct tp_call *call, struct tp_json **report, struct tp_error *err)
{
    struct tp_jobs *jobs = call->serve->jobs;
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    struct tp_job_status status;
    int rc = tp_jobs_get(jobs, call->id, &status, err);

    if (rc == 0 && status.verb != TP_VERB_COMPRESS && status.verb != TP_VERB_OPTIMIZE)
        rc = tp_fail(err, ENOENT, "the job '%s' makes no pack", call->id);
    if (rc == 0 && status.state != TP_JOB_COMPLETED)
        rc = tp_fail(err, tp_job_state_is_end(status.state) ? ENOENT : EALREADY,
                     "the job '%s' is %s: there is no pack of it", call->id,
                     tp_job_state_name(status.state));
    if (rc == 0)
        rc = tp_jobs_file(jobs, call->id, "report.json", &text, err);
    return rc < 0 ? rc : tp_json_parse(text.data, text.len, report, err);
}

/* Find the pack that the job made, if it has not changed since. */
static int find_pack(struct tp_call *call, char **path, char etag[TP_SHA256_HEX + 2],
                     struct tp_error *err)
{
    tp_autojson struct tp_json *report = NULL;
    const char *name, *made;
    struct tp_pack_id id;
    char hex[TP_SHA256_HEX];
    int rc;

    *path = NULL;
    rc = read_report(call, &report, err);
    if (rc < 0)
        return rc;
    name = tp_json_string(tp_json_get(tp_json_get(report, "result"), "pack"));
    made = tp_json_string(tp_json_get(tp_json_get(report, "result"), "id"));
    if (!name || !made || strchr(name, '/'))
        return tp_fail(err, ENOENT, "the job '%s' has made no pack", call->id);
    *path = tp_path_join(tp_store_dir(call->serve->store), name, "");
    if (!*path)
        return tp_oom(err);
    if (tp_pack_identify(*path, &id, NULL) < 0)
        return tp_fail(err, ENOENT, "the pack '%s' is not there any more", name);
    tp_hex(id.id, sizeof id.id, hex);
    snprintf(etag, TP_SHA256_HEX + 2, "\"%s\"", hex);
    return strcmp(made, hex) == 0
               ? 0
               : tp_fail(err, ENOENT, "the pack '%s' is another than the job '%s' made", name,
                         call->id);
}

/* A number that is too large counts as the largest one. */
static bool read_number(const char **at, uint64_t *out)
{
    char *end;

    if (**at < '0' || **at > '9')
        return false;
    *out = strtoull(*at, &end, 10);
    *at = end;
    return true;
}

/* Returns 206 and the range; 200 if the header does not name exactly one range of bytes; or 416. */
static unsigned read_range(const char *header, uint64_t size, uint64_t *first, uint64_t *len)
{
    uint64_t from = 0, to = 0;
    bool has_from, has_to;

    *first = 0;
    *len = size;
    if (!header || strncasecmp(header, "bytes=", 6) != 0)
        return 200;
    header += 6;
    has_from = read_number(&header, &from);
    if (*header++ != '-')
        return 200;
    has_to = read_number(&header, &to);
    if (*header || (!has_from && !has_to) || (has_from && has_to && to < from))
        return 200;
    if (!has_from) {
        from = to < size ? size - to : 0;
        if (to == 0)
            return 416;
        to = size - 1;
    }
    if (from >= size)
        return 416;
    if (!has_to || to >= size)
        to = size - 1;
    *first = from;
    *len = to - from + 1;
    return 206;
}

static enum MHD_Result send_file(struct tp_call *call, int fd, uint64_t size, const char *etag)
{
    struct MHD_Connection *c = call->connection;
    const char *match = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "If-None-Match");
    const char *same = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "If-Range");
    const char *range = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Range");
    uint64_t first, len;
    char text[96];
    unsigned code = read_range(same && strcmp(same, etag) != 0 ? NULL : range, size, &first, &len);
    struct MHD_Response *response;

    if (match && (strstr(match, etag) || !strcmp(match, "*")))
        code = 304;
    if (code == 416) {
        close(fd);
        snprintf(text, sizeof text, "bytes */%" PRIu64, size);
        return tp_call_refuse_with(call, 416, ERANGE, "the pack is shorter than that",
                                   "Content-Range", text);
    }
    if (code == 304) {
        close(fd);
        response = MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    } else {
        /* The response closes FD. */
        response = MHD_create_response_from_fd_at_offset64(len, fd, first);
        if (!response)
            close(fd);
    }
    if (!response)
        return MHD_NO;
    snprintf(text, sizeof text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, first + len - 1,
             size);
    if (code == 206)
        MHD_add_response_header(response, "Content-Range", text);
    MHD_add_response_header(response, "Content-Type", TYPE);
    MHD_add_response_header(response, "Accept-Ranges", "bytes");
    MHD_add_response_header(response, "ETag", etag);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    enum MHD_Result rc = MHD_queue_response(c, code, response);
    MHD_destroy_response(response);
    return rc;
}

enum MHD_Result tp_call_send_artifact(struct tp_call *call)
{
    char etag[TP_SHA256_HEX + 2], *path = NULL;
    struct tp_error err = {0};
    struct stat st;
    int rc = find_pack(call, &path, etag, &err);
    int fd = rc == 0 ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;

    if (rc == 0 && (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
        rc = tp_fail(&err, ENOENT, "the pack '%s' is not there any more", path);
    free(path);
    if (rc < 0) {
        if (fd >= 0)
            close(fd);
        return tp_call_fail(call, rc, &err);
    }
    return send_file(call, fd, (uint64_t)st.st_size, etag);
}
