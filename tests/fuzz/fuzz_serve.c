/* SPDX-License-Identifier: MIT */
/*
 * A request over HTTP as libmicrohttpd hands it on: the input is its text ("POST /compress
 * HTTP/1.1", headers, an empty line, the body), in which $TOKEN, $ID and $ETAG stand for those of a
 * directory with a job that made a pack. The library is replaced by functions that hold the request
 * and look at the answer: there is one, its code is one that the interface has, what says it is
 * JSON is, a range lies within its file, and nothing is told without the token.
 */
#include <config.h>

#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "serve/call.h"
#include "store/ops.h"
#include "tests/fuzz/fuzz.h"

#define TOKEN "a-token-for-fuzzing"
#define HEADERS_MAX 64u

static char root[64];
static struct tp_serve serve;
static char id[TP_JOB_ID_MAX], etag[TP_SHA256_HEX + 2];

/* --- The library's part --- */

struct MHD_Connection {
    struct {
        char *name, *value;
    } headers[HEADERS_MAX];
    unsigned n;
    unsigned answers, code;
};

struct MHD_Response {
    char *text;
    size_t len;
    int fd;
    uint64_t first, file_size;
    bool json, ranged;
};

const char *MHD_lookup_connection_value(struct MHD_Connection *c, enum MHD_ValueKind kind,
                                        const char *key)
{
    FUZZ_CHECK(kind == MHD_HEADER_KIND);
    for (unsigned i = 0; i < c->n; i++)
        if (strcasecmp(c->headers[i].name, key) == 0)
            return c->headers[i].value;
    return NULL;
}

int MHD_get_connection_values(struct MHD_Connection *c, enum MHD_ValueKind kind,
                              MHD_KeyValueIterator iterator, void *cls)
{
    for (unsigned i = 0; i < c->n; i++)
        if (iterator(cls, kind, c->headers[i].name, c->headers[i].value) != MHD_YES)
            break;
    return (int)c->n;
}

struct MHD_Response *MHD_create_response_from_buffer(size_t size, void *buffer,
                                                     enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *r = calloc(1, sizeof *r);

    FUZZ_CHECK(r && (mode == MHD_RESPMEM_MUST_FREE || size == 0));
    *r = (struct MHD_Response){
        .text = mode == MHD_RESPMEM_MUST_FREE ? buffer : NULL, .len = size, .fd = -1};
    return r;
}

struct MHD_Response *MHD_create_response_from_fd_at_offset64(uint64_t size, int fd, uint64_t offset)
{
    struct MHD_Response *r = calloc(1, sizeof *r);
    struct stat st;

    FUZZ_CHECK(r && fstat(fd, &st) == 0);
    FUZZ_CHECK(offset <= (uint64_t)st.st_size && size <= (uint64_t)st.st_size - offset && size > 0);
    *r = (struct MHD_Response){
        .len = size, .fd = fd, .first = offset, .file_size = (uint64_t)st.st_size};
    return r;
}

enum MHD_Result MHD_add_response_header(struct MHD_Response *r, const char *name, const char *value)
{
    unsigned long long first, last, size;

    /* No answer can be split into two. */
    FUZZ_CHECK(!strpbrk(name, "\r\n: ") && !strpbrk(value, "\r\n"));
    r->json = r->json || (!strcmp(name, "Content-Type") && !strcmp(value, "application/json"));
    if (!strcmp(name, "Content-Range") &&
        sscanf(value, "bytes %llu-%llu/%llu", &first, &last, &size) == 3) {
        r->ranged = true;
        FUZZ_CHECK(r->fd >= 0 && first == r->first && last - first + 1 == r->len &&
                   size == r->file_size);
    }
    return MHD_YES;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *c, unsigned code, struct MHD_Response *r)
{
    static const unsigned codes[] = {200, 202, 206, 304, 400, 401, 403, 404, 405,
                                     409, 413, 415, 416, 422, 429, 501, 503, 507};
    struct tp_json *json = NULL;
    bool known = false;

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        known = known || codes[i] == code;
    FUZZ_CHECK(known);
    FUZZ_CHECK((code == 206) == r->ranged);
    if (r->json) {
        FUZZ_CHECK(tp_json_parse(r->text, r->len, &json, NULL) == 0);
        FUZZ_CHECK(code < 400 || tp_json_string(tp_json_get(json, "error")));
        tp_json_free(json);
    }
    c->answers++;
    c->code = code;
    return MHD_YES;
}

void MHD_destroy_response(struct MHD_Response *r)
{
    if (r->fd >= 0)
        close(r->fd);
    free(r->text);
    free(r);
}

/* --- The directory --- */

static void end(void)
{
    tp_inventory_destroy(serve.inventory);
    tp_jobs_close(serve.jobs);
    tp_store_close(serve.store);
    tp_file_remove_tree(AT_FDCWD, root, NULL);
}

static void put(const char *name, const char *text, size_t len)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", root, name);
    FUZZ_CHECK(tp_file_replace(path, text, len, 0600, NULL) == 0);
}

/* What a job that packed m has left. */
static void make_record(const uint8_t pack_id[TP_SHA256_LEN])
{
    char hex[TP_SHA256_HEX], text[1024];
    struct tp_buffer status = {0};
    struct tp_job_status s = {.verb = TP_VERB_COMPRESS,
                              .state = TP_JOB_COMPLETED,
                              .created = 1,
                              .started = 1,
                              .ended = 2};

    snprintf(id, sizeof id, "20260203-040506-1");
    snprintf(s.id, sizeof s.id, "%s", id);
    snprintf(s.subject, sizeof s.subject, "m");
    snprintf(s.retry, sizeof s.retry, "once");
    tp_hex(pack_id, TP_SHA256_LEN, hex);
    snprintf(etag, sizeof etag, "\"%s\"", hex);
    FUZZ_CHECK(tp_job_status_write(&s, &status) == 0);
    put(".tenpak/jobs/20260203-040506-1/status.json", (char *)status.data, status.len);
    snprintf(text, sizeof text, "{\"schema\": \"tenpak.report/1\", \"result\": {\"id\": \"%s\"}}",
             hex);
    put(".tenpak/jobs/20260203-040506-1/report.json", text, strlen(text));
    tp_buffer_clear(&status);
}

static void begin(void)
{
    static const char config[] = "{\"retention\": {\"count\": 4}, \"jobs\": {\"queue\": 4}}";
    const struct tp_compress_options pack = {.base = "none", .keep = true, .threads = 1};
    struct tp_compress_report report = {0};
    struct tp_pack_id made;
    struct tp_error err;
    char path[256];

    /* In memory where that can be: jobs are files that are synced. */
    snprintf(root, sizeof root, "%s/tenpak-fuzz-serve.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : P_tmpdir);
    FUZZ_CHECK(mkdtemp(root) != NULL);
    static const char *const dirs[] = {"m", ".tenpak", ".tenpak/jobs",
                                       ".tenpak/jobs/20260203-040506-1"};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", root, dirs[i]);
        FUZZ_CHECK(mkdir(path, 0700) == 0);
    }
    put("m/config.json", "{}", 2);
    put(".tenpak/tenpak.conf", config, strlen(config));
    put("token", TOKEN "\n", strlen(TOKEN) + 1);
    snprintf(path, sizeof path, "%s/m", root);
    FUZZ_CHECK(tp_compress(path, &pack, &report, &err) == 0);
    FUZZ_CHECK(tp_pack_identify(report.out, &made, &err) == 0);
    tp_compress_report_clear(&report);
    make_record(made.id);
    snprintf(path, sizeof path, "%s/token", root);
    FUZZ_CHECK(tp_token_read(path, &serve.token, &err) == 0);
    FUZZ_CHECK(tp_store_open(root, &serve.store, &err) == 0);
    const struct tp_jobs_options jobs = {.dir = root, .program = "/bin/true", .slots = 1};
    FUZZ_CHECK(tp_jobs_open(&jobs, &serve.jobs, &err) == 0);
    FUZZ_CHECK(tp_inventory_create(serve.store, serve.jobs, &serve.inventory, &err) == 0);
    atexit(end);
}

/* --- The request --- */

/* TEXT, LEN bytes without a NUL, with what stands for this directory's own in it. */
static char *expand(const uint8_t *text, size_t len)
{
    static const struct {
        const char *name, *value;
    } own[] = {{"$TOKEN", TOKEN}, {"$ID", id}, {"$ETAG", etag}};
    struct tp_buffer out = {0};

    for (size_t i = 0; i < len;) {
        size_t k = 0;

        while (k < 3 && !(len - i >= strlen(own[k].name) &&
                          !memcmp(text + i, own[k].name, strlen(own[k].name))))
            k++;
        if (k < 3) {
            FUZZ_CHECK(tp_buffer_append(&out, own[k].value, strlen(own[k].value)) == 0);
            i += strlen(own[k].name);
        } else {
            uint8_t c = text[i++];
            FUZZ_CHECK(tp_buffer_append(&out, c ? (const char *)&c : " ", 1) == 0);
        }
    }
    FUZZ_CHECK(tp_buffer_append(&out, "", 1) == 0);
    return (char *)out.data;
}

/* The next line of the input; NULL: there is none. */
static char *take_line(const uint8_t **at, const uint8_t *end_of_all)
{
    const uint8_t *stop = *at < end_of_all ? memchr(*at, '\n', (size_t)(end_of_all - *at)) : NULL;
    char *line;

    if (*at >= end_of_all)
        return NULL;
    stop = stop ? stop : end_of_all;
    line = expand(*at, (size_t)(stop - *at));
    *at = stop < end_of_all ? stop + 1 : stop;
    return line;
}

static void take_headers(struct MHD_Connection *c, const uint8_t **at, const uint8_t *end_of_all)
{
    char *line = NULL;

    while (c->n < HEADERS_MAX && (line = take_line(at, end_of_all)) && *line) {
        char *colon = strchr(line, ':'),
             *value = colon ? colon + 1 + strspn(colon + 1, " \t") : NULL;

        if (!colon || colon == line) {
            free(line);
            continue;
        }
        *colon = '\0';
        c->headers[c->n].name = line;
        c->headers[c->n++].value = value;
    }
    if (c->n < HEADERS_MAX && line)
        free(line);
}

static void ask(struct MHD_Connection *c, const char *method, const char *path, const char *version,
                char *body, size_t len)
{
    const char *token = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
    bool is_open = !strcmp(path, "/") || !strcmp(path, "/openapi.json");
    enum MHD_Result rc;
    void *state = NULL;
    size_t left = 0;

    rc = tp_call_receive(&serve, c, path, method, version, NULL, &left, &state);
    /* The body in two parts, as the network brings it. */
    for (size_t done = 0; rc == MHD_YES && c->answers == 0 && done < len;) {
        size_t part = len - done > len / 2 + 1 ? len / 2 + 1 : len - done;

        left = part;
        rc = tp_call_receive(&serve, c, path, method, version, body + done, &left, &state);
        FUZZ_CHECK(rc != MHD_YES || left == 0 || c->answers == 1);
        done += part;
    }
    left = 0;
    if (rc == MHD_YES && c->answers == 0)
        rc = tp_call_receive(&serve, c, path, method, version, NULL, &left, &state);
    FUZZ_CHECK(rc == MHD_NO ? c->answers == 0 && len > (1u << 20) : c->answers == 1);
    FUZZ_CHECK(is_open || (token && !strcmp(token, "Bearer " TOKEN)) || c->code >= 400 ||
               (token && !strncasecmp(token, "Bearer", 6) && strstr(token, TOKEN)));
    tp_call_end(&serve, c, &state, MHD_REQUEST_TERMINATED_COMPLETED_OK);
    FUZZ_CHECK(state == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *at = data, *end_of_all = data + len;
    struct MHD_Connection c = {.n = 0};
    char *line, *path, *version, *body;

    if (!serve.store)
        begin();
    line = take_line(&at, end_of_all);
    path = line ? strchr(line, ' ') : NULL;
    version = path ? strchr(path + 1, ' ') : NULL;
    if (version) {
        *path++ = *version++ = '\0';
        take_headers(&c, &at, end_of_all);
        body = expand(at, (size_t)(end_of_all - at));
        ask(&c, line, path, version, body, strlen(body));
        free(body);
        for (unsigned i = 0; i < c.n; i++)
            free(c.headers[i].name);
    }
    free(line);
    return 0;
}
