/* SPDX-License-Identifier: MIT */
/* A text to calibrate or evaluate on. */
#include <config.h>

#include "optimizer/evaluate/corpus.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lex.h"
#include "base/size.h"

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

static int check_text(const char *path, const struct tp_buffer *bytes, struct tp_error *err)
{
    const uint8_t *p = bytes->data, *end = p + bytes->len;

    if (bytes->len == 0)
        return tp_fail(err, EINVAL, "the text '%s' is empty", path);
    while (p < end) {
        size_t n = *p == 0 ? 0 : tp_utf8_len(p, end);

        if (n == 0)
            return tp_fail(err, EINVAL, "'%s' is not a text in UTF-8: see its byte %zu", path,
                           (size_t)(p - bytes->data));
        p += n;
    }
    return 0;
}

static int check_file(int fd, const char *path, struct tp_error *err)
{
    char size[TP_SIZE_TEXT], most[TP_SIZE_TEXT];
    struct stat st;

    if (fstat(fd, &st) < 0)
        return tp_fail_errno(err, "cannot read the text '%s'", path);
    if (!S_ISREG(st.st_mode))
        return tp_fail(err, EINVAL, "the text '%s' is not a regular file", path);
    if ((uint64_t)st.st_size > TP_CORPUS_MAX)
        return tp_fail(err, EFBIG, "the text '%s' has %s, more than %s: cut a part out of it", path,
                       tp_size_print((uint64_t)st.st_size, size),
                       tp_size_print(TP_CORPUS_MAX, most));
    return 0;
}

static int read_file(const char *path, struct tp_corpus *out, struct tp_error *err)
{
    /* A FIFO must not block. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc;
    char name[32];

    if (fd < 0)
        return tp_fail_errno(err, "cannot read the text '%s'", path);
    rc = check_file(fd, path, err);
    if (rc == 0) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        rc = tp_file_read_all(AT_FDCWD, name, TP_CORPUS_MAX, &out->bytes, err);
        if (rc < 0)
            tp_error_prefix(err, "the text '%s'", path);
    }
    close(fd);
    if (rc == 0)
        rc = check_text(path, &out->bytes, err);
    return rc < 0 ? rc : tp_sha256(out->bytes.data, out->bytes.len, out->sha256);
}

int tp_corpus_read(const char *spec, const char *dir, struct tp_corpus *out, struct tp_error *err)
{
    char *path;
    int rc;

    *out = (struct tp_corpus){0};
    if (tp_corpus_is_installed(spec))
        path = find_installed(spec);
    else
        path = dir && spec[0] != '/' ? join(dir, spec, "") : strdup(spec);
    rc = path ? read_file(path, out, err) : tp_oom(err);
    free(path);
    return rc;
}

void tp_corpus_clear(struct tp_corpus *corpus)
{
    tp_buffer_clear(&corpus->bytes);
}
