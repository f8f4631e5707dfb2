/* SPDX-License-Identifier: MIT */
/* Error messages: formatted into the caller's struct, never printed. */
#include <config.h>

#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/printable.h"

__attribute__((format(printf, 3, 0))) static void set_error(struct tp_error *err, int code,
                                                            const char *fmt, va_list ap)
{
    err->code = -code;
    if (vsnprintf(err->message, sizeof err->message, fmt, ap) < 0)
        err->message[0] = '\0';
    /* Names come from hostile files: a message stays one line, whatever they hold. */
    tp_text_make_printable(err->message);
}

int tp_fail(struct tp_error *err, int code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        set_error(err, code, fmt, ap);
        va_end(ap);
    }
    return -code;
}

int tp_fail_errno(struct tp_error *err, const char *fmt, ...)
{
    int code = errno ? errno : EIO;
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        set_error(err, code, fmt, ap);
        va_end(ap);

        char why[128];
        const char *text = strerror_r(code, why, sizeof why);
        size_t used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, ": %s", text);
    }
    return -code;
}

int tp_oom(struct tp_error *err)
{
    return tp_fail(err, ENOMEM, "out of memory");
}

void tp_error_prefix(struct tp_error *err, const char *fmt, ...)
{
    if (!err)
        return;

    char old[TP_ERROR_MAX];
    memcpy(old, err->message, sizeof old);
    int code = err->code;

    va_list ap;
    va_start(ap, fmt);
    set_error(err, -code, fmt, ap);
    va_end(ap);

    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, ": %s", old);
}
