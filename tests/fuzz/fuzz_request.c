/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as commands, with a verb chosen by the first byte. An accepted request is the same
 * after it was written as JSON and read, and names nothing outside the directory. The same bytes
 * are also read as the status of a record.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "control/jobs/record.h"
#include "tests/fuzz/fuzz.h"

static void keep(const struct tp_request *request, struct tp_buffer *out)
{
    struct tp_json_writer json;

    tp_json_writer_init(&json, out, false);
    tp_request_to_json(request, true, &json, NULL);
    FUZZ_CHECK(tp_json_writer_finish(&json) == 0);
}

static void check_name(const char *name)
{
    FUZZ_CHECK(name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) < 256);
}

static void check_request(const struct tp_request *request)
{
    struct tp_buffer once = {0}, twice = {0};
    struct tp_json *json = NULL;
    struct tp_request back;
    struct tp_error err;
    const char *base = request->verb == TP_VERB_COMPRESS   ? request->compress.base
                       : request->verb == TP_VERB_ESTIMATE ? request->estimate.base
                                                           : NULL;

    check_name(request->subject);
    if (base)
        check_name(base);
    keep(request, &once);
    FUZZ_CHECK(tp_json_parse(once.data, once.len, &json, &err) == 0);
    FUZZ_CHECK(tp_request_from_json(TP_VERB_COUNT, json, false, &back, &err) == 0);
    keep(&back, &twice);
    FUZZ_CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    tp_json_free(json);
    tp_buffer_clear(&once);
    tp_buffer_clear(&twice);
}

static void check_status(const uint8_t *data, size_t len)
{
    struct tp_job_status status, back;
    struct tp_buffer text = {0};
    struct tp_json *json;
    struct tp_error err = {0};

    if (tp_json_parse(data, len, &json, &err) < 0)
        return;
    if (tp_job_status_read(json, &status, &err) == 0) {
        struct tp_json *again;

        FUZZ_CHECK(status.verb < TP_VERB_COUNT && status.state < TP_JOB_STATE_COUNT);
        FUZZ_CHECK(tp_job_status_write(&status, &text) == 0);
        FUZZ_CHECK(tp_json_parse(text.data, text.len, &again, &err) == 0);
        FUZZ_CHECK(tp_job_status_read(again, &back, &err) == 0);
        FUZZ_CHECK(strcmp(back.id, status.id) == 0 && back.state == status.state &&
                   back.error == status.error);
        tp_json_free(again);
        tp_buffer_clear(&text);
    } else {
        FUZZ_CHECK(err.code < 0 && err.message[0]);
    }
    tp_json_free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tp_request *list = NULL;
    struct tp_request_position position;
    struct tp_error err = {0};
    size_t n = 0;
    int rc;

    check_status(data, len);
    if (len < 1)
        return 0;
    rc = tp_requests_parse((enum tp_verb)(data[0] % TP_VERB_COUNT), (const char *)data + 1, len - 1,
                           &list, &n, &position, &err);
    if (rc < 0)
        FUZZ_CHECK(!list && n == 0 && err.message[0] &&
                   (rc == -E2BIG || (position.line > 0 && position.column > 0)));
    for (size_t i = 0; i < n; i++)
        check_request(&list[i]);
    free(list);
    return 0;
}
