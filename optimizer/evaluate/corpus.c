/* SPDX-License-Identifier: MIT */
/* A text to calibrate or evaluate on. */
#include <config.h>

#include "optimizer/evaluate/corpus.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lex.h"
#include "base/progress.h"

static const char *const installed[] = {"evaluation", "calibration"};

bool tp_corpus_is_installed(const char *spec)
{
    for (size_t i = 0; i < sizeof installed / sizeof installed[0]; i++)
        if (strcmp(spec, installed[i]) == 0)
            return true;
    return false;
}

/* share/tenpak/text beside the directory of the program: false if that is not known. */
static bool find_by_program(char dir[PATH_MAX])
{
    static const char rest[] = "share/tenpak/text";
    ssize_t n = readlink("/proc/self/exe", dir, PATH_MAX - 1);
    char *slash;

    if (n <= 0)
        return false;
    dir[n] = '\0';
    for (int i = 0; i < 2; i++) {
        slash = strrchr(dir, '/');
        if (!slash)
            return false;
        *slash = '\0';
    }
    *slash = '/';
    if ((size_t)(slash + 1 - dir) + sizeof rest > PATH_MAX)
        return false;
    memcpy(slash + 1, rest, sizeof rest);
    return true;
}

static char *join(const char *dir, const char *name, const char *suffix)
{
    char *path;

    return asprintf(&path, "%s/%s%s", dir, name, suffix) < 0 ? NULL : path;
}

/* The path of an installed text; NULL: out of memory. */
static char *find_installed(const char *name)
{
    const char *given = getenv("TENPAK_TEXT_DIR");
    char dir[PATH_MAX], *path;

    if (given && *given)
        return join(given, name, ".txt");
    if (find_by_program(dir)) {
        path = join(dir, name, ".txt");
        if (!path || access(path, F_OK) == 0)
            return path;
        free(path);
    }
    return join(TP_TEXT_DIR, name, ".txt");
}

/* --- Reading --- */

/* The bytes from FROM on, which begin a character, up to LEN: whether they are text. */
static int check_text(const struct tp_corpus *c, size_t from, size_t len, struct tp_error *err)
{
    const uint8_t *p = c->bytes.data + from, *end = c->bytes.data + len, *checked = p;

    while (p < end) {
        size_t n = *p == 0 ? 0 : tp_utf8_len(p, end);

        if ((size_t)(p - checked) >= TP_CANCEL_BYTES) {
            checked = p;
            if (tp_cancel_check(err) < 0)
                return -ECANCELED;
        }
        if (n == 0)
            return tp_fail(err, EINVAL, "'%s' is not a text in UTF-8: see its byte %zu", c->path,
                           (size_t)(p - c->bytes.data));
        p += n;
    }
    return 0;
}

/* Where the bytes up to LEN can be cut: after a line near the end, or before a character. */
static size_t find_cut(const struct tp_corpus *c, size_t from, size_t len)
{
    size_t at = len, least = len - (len - from) / 2;

    while (at > least && c->bytes.data[at - 1] != '\n')
        at--;
    if (at > least)
        return at;
    for (at = len; at > from && (c->bytes.data[at - 1] & 0xc0) == 0x80; at--)
        ;
    return at > from ? at - 1 : len;
}

bool tp_corpus_is_whole(const struct tp_corpus *c)
{
    return c->bytes.len == c->size;
}

int tp_corpus_read(struct tp_corpus *c, uint64_t len, struct tp_error *err)
{
    size_t from = c->bytes.len, end, n;
    int rc = 0;

    if (len > c->size)
        len = c->size;
    if (len <= from)
        return 0;
    if (len > SIZE_MAX / 4 || tp_buffer_reserve(&c->bytes, (size_t)len - from) < 0)
        return tp_fail(err, ENOMEM, "out of memory for %" PRIu64 " bytes of the text '%s'", len,
                       c->path);
    for (size_t at = from; at < len && rc == 0; at += n) {
        n = len - at < TP_CANCEL_BYTES ? (size_t)len - at : TP_CANCEL_BYTES;
        rc = tp_cancel_check(err);
        if (rc == 0)
            rc = tp_file_pread(c->fd, c->bytes.data + at, n, at, c->path, err);
    }
    if (rc < 0)
        return rc;
    end = len < c->size ? find_cut(c, from, (size_t)len) : (size_t)len;
    rc = check_text(c, from, end, err);
    if (rc == 0)
        c->bytes.len = end;
    return rc;
}

/* --- Opening --- */

static int check_file(struct tp_corpus *c, struct tp_error *err)
{
    struct stat st;

    if (fstat(c->fd, &st) < 0)
        return tp_fail_errno(err, "cannot read the text '%s'", c->path);
    if (!S_ISREG(st.st_mode))
        return tp_fail(err, EINVAL, "the text '%s' is not a regular file", c->path);
    if (st.st_size == 0)
        return tp_fail(err, EINVAL, "the text '%s' is empty", c->path);
    c->size = (uint64_t)st.st_size;
    return 0;
}

int tp_corpus_open(const char *spec, const char *dir, struct tp_corpus *out, struct tp_error *err)
{
    *out = (struct tp_corpus){.fd = -1};
    if (tp_corpus_is_installed(spec))
        out->path = find_installed(spec);
    else
        out->path = dir && spec[0] != '/' ? join(dir, spec, "") : strdup(spec);
    if (!out->path)
        return tp_oom(err);
    /* A FIFO must not block. */
    out->fd = open(out->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (out->fd < 0)
        return tp_fail_errno(err, "cannot read the text '%s'", out->path);
    return check_file(out, err);
}

void tp_corpus_close(struct tp_corpus *c)
{
    if (c->path && c->fd >= 0)
        close(c->fd);
    free(c->path);
    tp_buffer_clear(&c->bytes);
    *c = (struct tp_corpus){.fd = -1};
}
