/* SPDX-License-Identifier: MIT */
/*
 * Errors: a function that can fail returns 0 or a negative errno, and writes a message (what was
 * being done, to which file, why) into the struct tp_error that its caller may pass. NULL is always
 * allowed.
 *
 * Codes with a meaning of their own in this project:
 *   EBADMSG          content is damaged or breaks its format's rules
 *   EPROTONOSUPPORT  written by a newer version of the format
 *   ENOLINK          the base that a pack needs is not there
 *   EOPNOTSUPP       not in this build, or not on this kernel
 *   ECANCELED        the caller asked to stop
 */
#ifndef TP_BASE_ERROR_H
#define TP_BASE_ERROR_H

#define TP_ERROR_MAX 1024

struct tp_error {
    int code;                   /* negative errno, 0 while nothing failed */
    char message[TP_ERROR_MAX]; /* one line, no full stop, no newline */
};

/* Record CODE (a positive errno) and the formatted message. Returns -CODE. */
int tp_fail(struct tp_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As tp_fail with the current errno, and ": strerror" appended to the message. */
int tp_fail_errno(struct tp_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Record ENOMEM, "out of memory"; returns -ENOMEM. */
int tp_oom(struct tp_error *err);

/* Put "PREFIX: " before the message. */
void tp_error_prefix(struct tp_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
