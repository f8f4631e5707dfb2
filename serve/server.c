/* SPDX-License-Identifier: MIT */
/* The HTTP server: start, end, connections and limits. */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/memory.h"
#include "serve/call.h"
#include "store/names.h"
#include "store/private.h"

enum { CONNECTIONS = 64, CONNECTIONS_OF_ONE = 48, IDLE_SECONDS = 30 };
#define DROP_BYTES ((uint64_t)1 << 20) /* the connection is closed after a longer body */

bool tp_serve_is_built(void)
{
    return true;
}

/*
 * Stay within the limit of the cgroup. It may change, so requests read it again, at most once a
 * second.
 */
static void keep_limit(struct tp_serve *serve)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (atomic_exchange(&serve->limit_at, now.tv_sec) == now.tv_sec)
        return;
    uint64_t limit = tp_memory_cgroups();
    bool limited = limit != UINT64_MAX;

    if (limited || atomic_load(&serve->confined))
        tp_memory_confine(limited ? tp_memory_daemon_share(limit, 0, 0) : UINT64_MAX, false);
    atomic_store(&serve->confined, limited);
}

/* --- Requests --- */

void tp_call_end(void *cls, struct MHD_Connection *connection, void **con_cls,
                 enum MHD_RequestTerminationCode why)
{
    struct tp_call *call = *con_cls;

    (void)cls;
    (void)connection;
    (void)why;
    if (call)
        tp_buffer_clear(&call->body);
    free(call);
    *con_cls = NULL;
}

/*
 * Keep paths as they were sent: ids have no escapes, and "%00" must not end a string.
 */
static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls;
    (void)connection;
    return strlen(text);
}

static enum MHD_Result take_body(struct tp_call *call, const char *data, size_t *len)
{
    call->seen += *len;
    if (call->seen > TP_REQUEST_TEXT_MAX) {
        call->too_long = true;
        tp_buffer_clear(&call->body);
    } else if (tp_buffer_append(&call->body, data, *len) < 0) {
        return MHD_NO;
    }
    *len = 0;
    return call->seen > DROP_BYTES ? MHD_NO : MHD_YES;
}

enum MHD_Result tp_call_receive(void *cls, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *len, void **con_cls)
{
    struct tp_call *call = *con_cls;
    enum MHD_Result result;

    if (!call) {
        call = calloc(1, sizeof *call);
        if (!call)
            return MHD_NO;
        *call =
            (struct tp_call){.serve = cls, .connection = connection, .method = method, .path = url};
        *con_cls = call;
        keep_limit(call->serve);
        /* Called before the body is read. */
        tp_call_is_framed(call, version, &result);
        return result;
    }
    call->connection = connection;
    call->method = method;
    call->path = url;
    return *len > 0 ? take_body(call, data, len) : tp_call_answer(call);
}

__attribute__((format(printf, 2, 0))) static void log_line(void *cls, const char *format,
                                                           va_list arguments)
{
    char line[256];

    (void)cls;
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\r\n")] = '\0';
    tp_log(TP_LOG_DEBUG, "http: %s", line);
}

/* --- Addresses --- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int bad_address(const char *text, struct tp_error *err)
{
    return tp_fail(err, EINVAL, "'%s' is not ADDRESS:PORT, such as 127.0.0.1:8765 or [::1]:8765",
                   text);
}

static int read_address(const char *text, union address *out, struct tp_error *err)
{
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2], *end;
    size_t len = colon ? (size_t)(colon - text) : 0;
    unsigned long port;

    if (!colon || len == 0 || len >= sizeof host || colon[1] < '0' || colon[1] > '9')
        return bad_address(text, err);
    memcpy(host, text, len);
    host[len] = '\0';
    errno = 0;
    port = strtoul(colon + 1, &end, 10);
    if (errno || *end || port > 65535)
        return bad_address(text, err);
    memset(out, 0, sizeof *out);
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        return inet_pton(AF_INET6, host + 1, &out->v6.sin6_addr) == 1 ? 0 : bad_address(text, err);
    }
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &out->v4.sin_addr) == 1 ? 0 : bad_address(text, err);
}

static bool is_loopback(const union address *address)
{
    if (address->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
    return ntohl(address->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* The address with the port that the kernel chose. */
static void set_url(struct tp_serve *serve, const union address *address)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(serve->http, MHD_DAEMON_INFO_BIND_PORT);
    char host[INET6_ADDRSTRLEN];

    if (address->any.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
    else
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
    snprintf(serve->url, sizeof serve->url,
             address->any.sa_family == AF_INET6 ? "http://[%s]:%u" : "http://%s:%u", host,
             info ? info->port : 0u);
}

/* --- Life --- */

static int listen_on(struct tp_serve *serve, const char *text, struct tp_error *err)
{
    union address address;
    /*
     * One thread for each connection: a request that waits for the lock of the jobs or for the disk
     * does not delay others. The number of connections limits the threads.
     */
    unsigned flags = MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD |
                     MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ERROR_LOG;
    int rc = read_address(text, &address, err);

    if (rc < 0)
        return rc;
    if (address.any.sa_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    errno = 0;
    serve->http = MHD_start_daemon(
        flags, 0, NULL, NULL, tp_call_receive, serve, MHD_OPTION_EXTERNAL_LOGGER, log_line, NULL,
        MHD_OPTION_SOCK_ADDR, &address.any, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_OF_ONE,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)32768, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes,
        NULL, MHD_OPTION_NOTIFY_COMPLETED, tp_call_end, NULL, MHD_OPTION_END);
    if (!serve->http)
        return errno ? tp_fail_errno(err, "cannot listen on '%s'", text)
                     : tp_fail(err, EIO, "cannot listen on '%s'", text);
    set_url(serve, &address);
    serve->exposed = !is_loopback(&address);
    if (serve->exposed)
        tp_log(TP_LOG_WARNING,
               "others than this machine can reach '%s', which has no TLS: the token and all "
               "answers can be "
               "read on the way",
               serve->url);
    return 0;
}

/* DIR/.tenpak/token, beside the records of jobs. */
static int own_token(struct tp_serve *serve, const char *dir, struct tp_error *err)
{
    tp_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tp_autoclose int top = fd < 0 ? -errno : tp_private_open(fd, true);

    if (top == -EROFS || top == -EACCES)
        return tp_fail(
            err, -top,
            "'%s' cannot be written to: jobs are not possible, nor a token in its " TP_PRIVATE,
            dir);
    if (top < 0) {
        errno = -top;
        return tp_fail_errno(err, "cannot make '%s/" TP_PRIVATE "'", dir);
    }
    serve->token_file = tp_path_join(dir, TP_PRIVATE "/token", "");
    if (!serve->token_file)
        return tp_oom(err);
    return tp_token_make(serve->token_file, &serve->token, err);
}

static int given_token(struct tp_serve *serve, const char *path, struct tp_error *err)
{
    serve->token_file = strdup(path);
    if (!serve->token_file)
        return tp_oom(err);
    return tp_token_read(path, &serve->token, err);
}

static int open_jobs(struct tp_serve *serve, const char *dir, struct tp_error *err)
{
    const struct tp_jobs_options options = {.dir = dir, .owner = true};

    return tp_jobs_open(&options, &serve->jobs, err);
}

int tp_serve_start(const struct tp_serve_options *options, struct tp_serve **out,
                   struct tp_error *err)
{
    struct tp_serve *serve = calloc(1, sizeof *serve);
    int rc;

    *out = NULL;
    if (!serve)
        return tp_oom(err);
    if (tp_memory_cgroups() != UINT64_MAX)
        tp_memory_shrink_stacks();
    keep_limit(serve);
    serve->writable = faccessat(AT_FDCWD, options->dir, W_OK | X_OK, AT_EACCESS) == 0;
    rc = tp_store_open(options->dir, &serve->store, err);
    if (rc == 0)
        rc = open_jobs(serve, options->dir, err);
    if (rc == 0)
        rc = options->token_file ? given_token(serve, options->token_file, err)
                                 : own_token(serve, options->dir, err);
    if (rc == 0)
        rc = tp_inventory_create(serve->store, serve->jobs, &serve->inventory, err);
    if (rc == 0)
        rc = listen_on(serve, options->listen ? options->listen : TP_SERVE_LISTEN, err);
    if (rc < 0) {
        tp_serve_stop(serve);
        return rc;
    }
    *out = serve;
    return 0;
}

void tp_serve_stop(struct tp_serve *serve)
{
    if (!serve)
        return;
    if (serve->http)
        MHD_stop_daemon(serve->http);
    tp_inventory_destroy(serve->inventory);
    tp_jobs_close(serve->jobs);
    if (serve->store)
        tp_store_close(serve->store);
    free(serve->token_file);
    free(serve);
}

const char *tp_serve_url(const struct tp_serve *serve)
{
    return serve->url;
}

const char *tp_serve_token_file(const struct tp_serve *serve)
{
    return serve->token_file;
}

bool tp_serve_can_write(const struct tp_serve *serve)
{
    return serve->writable;
}

bool tp_serve_is_owner(const struct tp_serve *serve)
{
    return tp_jobs_is_owner(serve->jobs);
}
