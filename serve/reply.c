/* SPDX-License-Identifier: MIT */
/* Replies: documents, and errors by their codes. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_write.h"
#include "serve/call.h"

static const struct {
    int error;
    unsigned code;
} codes[] = {
    {EINVAL, 422},   {ERANGE, 422}, {ENOENT, 404},     {EEXIST, 409},  {EBUSY, 409},
    {EALREADY, 409}, {EDOM, 409},   {E2BIG, 413},      {EAGAIN, 429},  {EACCES, 403},
    {EPERM, 403},    {EROFS, 403},  {EOPNOTSUPP, 501}, {ENOLINK, 409}, {ENOSPC, 507},
    {EDQUOT, 507},   {ENOMEM, 503}, {EMFILE, 503},     {ENFILE, 503},
};

static unsigned code_of(int error)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].error == error)
            return codes[i].code;
    return 500;
}

static enum MHD_Result send_text(struct tp_call *call, unsigned code, const char *type,
                                 struct tp_buffer *text, const char *header, const char *value)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(text->len, text->data, MHD_RESPMEM_MUST_FREE);

    if (!response) {
        tp_buffer_clear(text);
        return MHD_NO;
    }
    *text = (struct tp_buffer){0};
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (header)
        MHD_add_response_header(response, header, value);
    enum MHD_Result rc = MHD_queue_response(call->connection, code, response);
    MHD_destroy_response(response);
    return rc;
}

enum MHD_Result tp_call_reply(struct tp_call *call, unsigned code, const char *type,
                              struct tp_buffer *text)
{
    return send_text(call, code, type, text, NULL, NULL);
}

enum MHD_Result tp_call_accepted(struct tp_call *call, const char *location, struct tp_buffer *text)
{
    return send_text(call, 202, "application/json", text, "Location", location);
}

enum MHD_Result tp_call_refuse_with(struct tp_call *call, unsigned code, int error,
                                    const char *message, const char *header, const char *value)
{
    const char *name = strerrorname_np(error);
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    struct tp_json_writer json;

    tp_json_writer_init(&json, &text, true);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "error", name ? name : "EIO");
    tp_json_put_i64(&json, "errno", error);
    tp_json_put_string(&json, "message", message);
    tp_json_end_object(&json);
    if (tp_json_writer_finish(&json) < 0)
        return MHD_NO;
    return send_text(call, code, "application/json", &text, header, value);
}

enum MHD_Result tp_call_refuse(struct tp_call *call, unsigned code, int error, const char *message)
{
    if (code == 401)
        return tp_call_refuse_with(call, code, error, message, "WWW-Authenticate",
                                   "Bearer realm=\"tenpak\"");
    if (code == 429)
        return tp_call_refuse_with(call, code, error, message, "Retry-After", "5");
    return tp_call_refuse_with(call, code, error, message, NULL, NULL);
}

enum MHD_Result tp_call_fail(struct tp_call *call, int rc, const struct tp_error *err)
{
    return tp_call_refuse(call, code_of(-rc), -rc, err->message[0] ? err->message : strerror(-rc));
}

enum MHD_Result tp_call_wrong_method(struct tp_call *call, const char *allowed)
{
    char message[96];

    snprintf(message, sizeof message, "only %s is answered here", allowed);
    return tp_call_refuse_with(call, 405, EPERM, message, "Allow", allowed);
}
