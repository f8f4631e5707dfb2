/* SPDX-License-Identifier: MIT */
/*
 * The length of a request's body must be stated once and in one way. If a proxy in front of the
 * server understood it differently, it would take the end of one request for the beginning of the
 * next, which the server would then trust (RFC 9112, 6 and 11.2).
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "serve/call.h"

/* Headers that a request may have once. */
static const char *const once[] = {"Content-Length", "Transfer-Encoding", "Host", "Authorization",
                                   "Content-Type"};
enum { LENGTH, CODING, ONCE = sizeof once / sizeof once[0] };

struct headers {
    unsigned count[ONCE];
    const char *coding;
    bool odd; /* a name that is not a token, which servers and proxies parse differently */
};

static bool is_token(const char *name)
{
    return *name &&
           !name[strspn(
               name,
               "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")];
}

static enum MHD_Result take_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    struct headers *h = cls;

    (void)kind;
    h->odd = h->odd || !is_token(name);
    for (unsigned i = 0; i < ONCE; i++)
        if (strcasecmp(name, once[i]) == 0) {
            h->count[i]++;
            if (i == CODING)
                h->coding = value ? value : "";
        }
    return MHD_YES;
}

static enum MHD_Result refuse_framing(struct tp_call *call, unsigned code, int error,
                                      const char *why)
{
    return tp_call_refuse_with(call, code, error, why, "Connection", "close");
}

bool tp_call_is_framed(struct tp_call *call, const char *version, enum MHD_Result *result)
{
    struct headers h = {0};

    MHD_get_connection_values(call->connection, MHD_HEADER_KIND, take_header, &h);
    *result = MHD_YES;
    for (unsigned i = 0; i < ONCE; i++)
        if (h.count[i] > 1) {
            *result =
                refuse_framing(call, 400, EINVAL, "a header that is given once is given twice");
            return false;
        }
    if (h.odd)
        *result = refuse_framing(call, 400, EINVAL, "a header has an invalid name");
    else if (h.count[LENGTH] && h.count[CODING])
        *result = refuse_framing(call, 400, EINVAL,
                                 "Content-Length and Transfer-Encoding are both given");
    else if (h.count[CODING] && strcmp(version, "HTTP/1.1") != 0)
        *result = refuse_framing(call, 400, EINVAL, "Transfer-Encoding is one of HTTP/1.1");
    else if (h.count[CODING] && strcasecmp(h.coding, "chunked") != 0)
        *result = refuse_framing(call, 501, EOPNOTSUPP,
                                 "the one transfer coding that is read is chunked");
    else
        return true;
    return false;
}
