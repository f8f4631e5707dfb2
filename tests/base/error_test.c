/* SPDX-License-Identifier: MIT */
/* Error messages: codes, errno texts, prefixes, hostile bytes and too much text. */
#include <config.h>

#include "base/error.h"

#include <errno.h>

#include "tests/tap.h"

int main(void)
{
    struct tp_error err = {0};
    is_int(tp_fail(&err, EBADMSG, "chunk %d of '%s' is damaged", 7, "a.tnpk"), -EBADMSG,
           "tp_fail gives -CODE");
    is_int(err.code, -EBADMSG, "and keeps it");
    is_str(err.message, "chunk 7 of 'a.tnpk' is damaged", "and formats the message");

    is_int(tp_fail(NULL, ENOENT, "nobody listens"), -ENOENT,
           "without a struct the code is there all the same");

    errno = ENOSPC;
    is_int(tp_fail_errno(&err, "cannot write '%s'", "x"), -ENOSPC, "tp_fail_errno takes errno");
    is_str(err.message, "cannot write 'x': No space left on device", "and appends its text");
    errno = 0;
    is_int(tp_fail_errno(&err, "odd"), -EIO, "without errno it is still a failure");

    tp_fail(&err, ENOLINK, "base is absent");
    tp_error_prefix(&err, "cannot open '%s'", "m");
    is_int(err.code, -ENOLINK, "a prefix keeps the code");
    is_str(err.message, "cannot open 'm': base is absent", "and goes first");
    tp_error_prefix(NULL, "x");

    is_int(tp_oom(&err), -ENOMEM, "tp_oom gives its code");
    is_str(err.message, "out of memory", "and its message");
    is_int(tp_oom(NULL), -ENOMEM, "without a struct, too");

    tp_fail(&err, EINVAL, "name '%s'", "a\nb\x1b[2J");
    is_str(err.message, "name 'a?b?[2J'", "control bytes never reach a terminal or the next line");
    tp_fail(&err, EINVAL, "'%s'",
            "\xc2\x9b\x9b"
            "a\xe2\x80\xae"
            "b\xe2\x81\xa6\xd8\x9c\xe2\x80\xa8\xff");
    is_str(err.message,
           "'??a?b???"
           "?'", /* in two parts: the whole is a trigraph */
           "nor C1 controls, marks that turn text around, separators, or what is no UTF-8");
    tp_fail(&err, EINVAL, "'%s'", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xa5\xe2\x80\x8d\xc2\xa0");
    is_str(err.message, "'\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xa5\xe2\x80\x8d\xc2\xa0'",
           "other characters stay");

    char longer[2 * TP_ERROR_MAX];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    tp_fail(&err, EINVAL, "%s", longer);
    is_int(strlen(err.message), TP_ERROR_MAX - 1, "a long message is cut");
    tp_error_prefix(&err, "%s", longer);
    is_int(strlen(err.message), TP_ERROR_MAX - 1, "so is one whose prefix is too long");
    errno = EACCES;
    tp_fail_errno(&err, "%s", longer);
    is_int(strlen(err.message), TP_ERROR_MAX - 1, "and one whose errno text does not fit");
    return tap_done();
}
