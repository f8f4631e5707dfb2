/* SPDX-License-Identifier: MIT */
/* Reading, making and comparing the bearer token. */
#include <config.h>

#include "serve/token.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

static int check_owner(int fd, const char *path, struct tp_error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return tp_fail_errno(err, "cannot look at the token '%s'", path);
    if (!S_ISREG(st.st_mode))
        return tp_fail(err, EINVAL, "the token '%s' is not a regular file", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return tp_fail(err, EPERM, "the token '%s' is open to others (mode %04o): chmod 600 it",
                       path, (unsigned)st.st_mode & 07777);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return tp_fail(err, EPERM, "the token '%s' belongs to another user", path);
    return 0;
}

/* One word of visible ASCII, with or without an end of line. */
static int take_token(char *text, size_t len, const char *path, struct tp_token *out,
                      struct tp_error *err)
{
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    if (len < TP_TOKEN_MIN || len > TP_TOKEN_MAX)
        return tp_fail(err, EINVAL, "the token '%s' has %zu characters: at least %u, at most %u",
                       path, len, TP_TOKEN_MIN, TP_TOKEN_MAX);
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return tp_fail(err, EINVAL, "the token '%s' is not one word of visible ASCII", path);
    return tp_sha256(text, len, out->hash) < 0 ? tp_oom(err) : 0;
}

int tp_token_read(const char *path, struct tp_token *out, struct tp_error *err)
{
    char text[TP_TOKEN_MAX + 3] = "";
    size_t len = 0;
    ssize_t n;
    tp_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return tp_fail_errno(err, "cannot open the token '%s'", path);
    int rc = check_owner(fd, path, err);
    while (rc == 0 && len < sizeof text && (n = read(fd, text + len, sizeof text - len)) != 0) {
        if (n < 0 && errno != EINTR)
            rc = tp_fail_errno(err, "cannot read the token '%s'", path);
        else if (n > 0)
            len += (size_t)n;
    }
    if (rc == 0)
        rc = take_token(text, len, path, out, err);
    explicit_bzero(text, sizeof text);
    return rc;
}

static int write_new(int fd, const char *path, struct tp_error *err)
{
    uint8_t random[32];
    char text[2 * sizeof random + 2];

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return tp_fail_errno(err, "cannot make a token");
    tp_hex(random, sizeof random, text);
    text[2 * sizeof random] = '\n';
    int rc = tp_file_write(fd, text, 2 * sizeof random + 1, path, err);
    if (rc == 0 && fsync(fd) < 0)
        rc = tp_fail_errno(err, "cannot write the token '%s'", path);
    explicit_bzero(random, sizeof random);
    explicit_bzero(text, sizeof text);
    return rc;
}

int tp_token_make(const char *path, struct tp_token *out, struct tp_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0 && errno != EEXIST)
        return tp_fail_errno(err, "cannot make the token '%s'", path);
    if (fd >= 0) {
        int rc = write_new(fd, path, err);
        close(fd);
        if (rc < 0) {
            unlink(path);
            return rc;
        }
    }
    return tp_token_read(path, out, err);
}

bool tp_token_fits(const struct tp_token *token, const char *header)
{
    uint8_t hash[TP_SHA256_LEN], differ = 0;

    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return false;
    header += 7;
    header += strspn(header, " ");
    /*
     * The time of comparing hashes tells nothing about the token, and the comparison takes constant
     * time.
     */
    if (tp_sha256(header, strlen(header), hash) < 0)
        return false;
    for (size_t i = 0; i < sizeof hash; i++)
        differ |= hash[i] ^ token->hash[i];
    return differ == 0;
}
