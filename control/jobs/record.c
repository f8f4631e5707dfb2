/* SPDX-License-Identifier: MIT */
/* Records on disk: creating, locking and removing their directories, reading and replacing files.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/file.h"
#include "control/jobs/record.h"
#include "store/private.h"

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define HIDDEN ".hidden-" /* before the id: a record that is being made or removed */
#define HIDDEN_MAX (sizeof HIDDEN + TP_JOB_ID_MAX)
#define LAST ".last"
#define SMALL_MAX (256u << 10)

int tp_records_open(int dirfd, bool create, struct tp_error *err)
{
    int top = tp_private_open(dirfd, create),
        fd = top < 0 ? top : tp_dir_enter(top, "jobs", create, 0700);
    struct stat st;

    if (top >= 0)
        close(top);
    if (fd < 0) {
        errno = -fd;
        return tp_fail_errno(err, "cannot %s '.tenpak/jobs'", create ? "create" : "open");
    }
    if (fstat(fd, &st) < 0 || (st.st_uid != geteuid() && geteuid() != 0)) {
        close(fd);
        return tp_fail(err, EACCES, "'.tenpak/jobs' belongs to another user");
    }
    if ((st.st_mode & 077) != 0)
        fchmod(fd, 0700);
    return fd;
}

int tp_records_lock(int jobs, int wait_ms, struct tp_error *err)
{
    int fd = openat(jobs, ".", DIRECTORY), pause_ms = 1, rc;

    if (fd < 0)
        return tp_fail_errno(err, "cannot open '.tenpak/jobs'");
    /* flock has no time limit, and a process that holds the lock may be stopped. */
    while ((rc = flock(fd, LOCK_EX | LOCK_NB)) < 0 &&
           (errno == EINTR || (errno == EWOULDBLOCK && wait_ms > 0))) {
        if (errno == EINTR)
            continue;
        nanosleep(&(struct timespec){.tv_nsec = pause_ms * 1000000L}, NULL);
        wait_ms -= pause_ms;
        pause_ms = pause_ms < 16 ? 2 * pause_ms : pause_ms;
    }
    if (rc == 0)
        return fd;
    rc = errno == EWOULDBLOCK
             ? tp_fail(err, EAGAIN, "another process holds the lock of '.tenpak/jobs'")
             : tp_fail_errno(err, "cannot lock '.tenpak/jobs'");
    close(fd);
    return rc;
}

void tp_records_clean_up(int jobs)
{
    const struct dirent *e;
    struct tp_dir dir;

    tp_dir_open(&dir, jobs, ".");
    while ((e = tp_dir_next(&dir)))
        if (strncmp(e->d_name, HIDDEN, strlen(HIDDEN)) == 0)
            tp_file_remove_tree(jobs, e->d_name, NULL);
    tp_dir_close(&dir);
}

/* --- Ids --- */

static bool all_digits(const char *text, size_t n)
{
    return strspn(text, "0123456789") >= n;
}

bool tp_record_is_id(const char *id)
{
    size_t len = strlen(id);

    return len >= 17 && len < 26 && all_digits(id, 8) && id[8] == '-' && all_digits(id + 9, 6) &&
           id[15] == '-' && id[16] != '0' && all_digits(id + 16, len - 16);
}

int tp_record_compare(const char *a, const char *b)
{
    int order = strncmp(a, b, 16);

    if (order)
        return order;
    order = (int)strlen(a) - (int)strlen(b);
    return order ? order : strcmp(a, b);
}

/* The greatest id that was ever given; "": unknown. */
static void get_last(int jobs, char id[TP_JOB_ID_MAX])
{
    struct tp_buffer text = {0};

    id[0] = '\0';
    if (tp_record_get_file(jobs, LAST, TP_JOB_ID_MAX - 1, &text, NULL) == 0 && text.len > 0 &&
        tp_record_is_id((const char *)text.data))
        memcpy(id, text.data, text.len + 1);
    tp_buffer_clear(&text);
}

/* The id after LAST: of this second, or of the second of LAST if the clock was set back. */
static int next_id(const char *last, char id[TP_JOB_ID_MAX], struct tp_error *err)
{
    time_t now = time(NULL);
    char second[20];
    struct tm tm;

    if (!gmtime_r(&now, &tm) || strftime(second, sizeof second, "%Y%m%d-%H%M%S", &tm) != 15)
        return tp_fail(err, EOVERFLOW, "the clock is outside of the years that ids can have");
    if (strncmp(second, last, 15) > 0)
        snprintf(id, TP_JOB_ID_MAX, "%s-1", second);
    else
        snprintf(id, TP_JOB_ID_MAX, "%.15s-%lu", last, strtoul(last + 16, NULL, 10) + 1);
    return tp_record_is_id(id) ? 0 : tp_fail(err, EOVERFLOW, "there is no id after '%s'", last);
}

/* The id after AFTER and after every id that was ever given. */
static int find_free_id(int jobs, const char *after, char id[TP_JOB_ID_MAX], struct tp_error *err)
{
    char last[TP_JOB_ID_MAX];
    int rc;

    get_last(jobs, last);
    if (!last[0] || tp_record_compare(after, last) > 0)
        snprintf(last, sizeof last, "%s", after);
    while ((rc = next_id(last, id, err)) == 0 && tp_record_has(jobs, id))
        memcpy(last, id, sizeof last);
    return rc;
}

static void hidden_name(const char *id, char out[HIDDEN_MAX])
{
    snprintf(out, HIDDEN_MAX, "%s%s", HIDDEN, id);
}

int tp_record_create(int jobs, const char *after, const struct tp_request *request,
                     struct tp_job_status *status, struct tp_error *err)
{
    struct tp_buffer text = {0};
    char name[HIDDEN_MAX];
    int rc = find_free_id(jobs, after, status->id, err), fd;

    if (rc < 0)
        return rc;
    hidden_name(status->id, name);
    if (mkdirat(jobs, name, 0700) < 0 || (fd = openat(jobs, name, DIRECTORY)) < 0)
        return tp_fail_errno(err, "cannot create the record '%s'", status->id);
    rc = tp_record_lock(fd);
    if (rc < 0)
        tp_fail(err, -rc, "cannot lock the record '%s'", status->id);
    if (rc == 0 && (rc = tp_request_write(request, status, &text)) < 0)
        tp_fail(err, -rc, "out of memory for a request");
    if (rc == 0)
        rc = tp_record_put_file(fd, "request.json", text.data, text.len, false, err);
    if (rc == 0)
        rc = tp_record_put_status(fd, status, false, err);
    tp_buffer_clear(&text);
    if (rc == 0)
        return fd;
    close(fd);
    tp_record_remove(jobs, status->id, NULL);
    return rc;
}

int tp_record_sync(int fd, struct tp_error *err)
{
    static const char *const names[] = {"request.json", "status.json", "."};
    int rc = 0;

    for (int i = 0; rc == 0 && i < 3; i++) {
        int file = openat(fd, names[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        if (file < 0 || (fsync(file) < 0 && errno != EINVAL))
            rc = tp_fail_errno(err, "cannot sync a record");
        if (file >= 0)
            close(file);
    }
    return rc;
}

int tp_record_show(int jobs, const char *id, struct tp_error *err)
{
    char name[HIDDEN_MAX];
    int rc = tp_record_put_file(jobs, LAST, id, strlen(id), false, err);

    hidden_name(id, name);
    if (rc == 0 && renameat(jobs, name, jobs, id) < 0)
        rc = tp_fail_errno(err, "cannot name the record '%s'", id);
    return rc;
}

int tp_records_sync(int jobs, struct tp_error *err)
{
    return fsync(jobs) < 0 && errno != EINVAL ? tp_fail_errno(err, "cannot sync '.tenpak/jobs'")
                                              : 0;
}

int tp_record_open(int jobs, const char *id, struct tp_error *err)
{
    int fd = tp_record_is_id(id) ? openat(jobs, id, DIRECTORY) : (errno = ENOENT, -1);

    if (fd < 0 && errno == ENOENT)
        return tp_fail(err, ENOENT, "there is no job '%.32s'", id);
    return fd < 0 ? tp_fail_errno(err, "cannot open the record '%s'", id) : fd;
}

int tp_record_lock(int fd)
{
    int rc;

    while ((rc = flock(fd, LOCK_EX | LOCK_NB)) < 0 && errno == EINTR)
        ;
    if (rc == 0)
        return 0;
    return errno == EWOULDBLOCK ? -EBUSY : -errno;
}

int tp_record_remove(int jobs, const char *id, struct tp_error *err)
{
    char name[HIDDEN_MAX];
    int rc;

    if (!tp_record_is_id(id))
        return tp_fail(err, ENOENT, "there is no job '%.32s'", id);
    hidden_name(id, name);
    if (renameat(jobs, id, jobs, name) < 0 && (errno != ENOENT || !tp_record_has(jobs, name)))
        return errno == ENOENT ? tp_fail(err, ENOENT, "there is no job '%s'", id)
                               : tp_fail_errno(err, "cannot remove the record '%s'", id);
    rc = tp_file_remove_tree(jobs, name, err);
    /* Another process may clean up at the same time. */
    return rc == -ENOENT ? 0 : rc;
}

/* --- Files --- */

int tp_record_put_file(int fd, const char *name, const void *data, size_t len, bool sync,
                       struct tp_error *err)
{
    char temporary[64];
    int file, rc;

    snprintf(temporary, sizeof temporary, ".%s.new", name);
    file = openat(fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return tp_fail_errno(err, "cannot create '%s' of a record", name);
    rc = tp_file_write(file, data, len, name, err);
    if (rc == 0 && sync && fsync(file) < 0)
        rc = tp_fail_errno(err, "cannot sync '%s' of a record", name);
    if (close(file) < 0 && rc == 0)
        rc = tp_fail_errno(err, "cannot close '%s' of a record", name);
    if (rc == 0 && renameat(fd, temporary, fd, name) < 0)
        rc = tp_fail_errno(err, "cannot replace '%s' of a record", name);
    if (rc < 0)
        unlinkat(fd, temporary, 0);
    else if (sync && fsync(fd) < 0 && errno != EINVAL)
        rc = tp_fail_errno(err, "cannot sync a record");
    return rc;
}

int tp_record_get_file(int fd, const char *name, size_t max, struct tp_buffer *out,
                       struct tp_error *err)
{
    int file = openat(fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY), rc = 0;
    struct stat st;
    size_t len;

    if (file < 0)
        return tp_fail_errno(err, "cannot open '%s' of a record", name);
    if (fstat(file, &st) < 0 || !S_ISREG(st.st_mode))
        rc = tp_fail(err, EBADMSG, "'%s' of a record is not a regular file", name);
    else if ((uint64_t)st.st_size > max)
        rc = tp_fail(err, EFBIG, "'%s' of a record is longer than %zu bytes", name, max);
    len = rc == 0 ? (size_t)st.st_size : 0;
    if (rc == 0 && tp_buffer_reserve(out, len + 1) < 0)
        rc = tp_fail(err, ENOMEM, "out of memory for '%s' of a record", name);
    if (rc == 0 && len)
        rc = tp_file_pread(file, out->data + out->len, len, 0, name, err);
    if (rc == 0) {
        out->len += len;
        out->data[out->len] = 0;
    }
    close(file);
    return rc;
}

bool tp_record_has(int fd, const char *name)
{
    return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

uint64_t tp_record_bytes(int jobs, const char *id)
{
    static const char *const files[] = {"request.json", "status.json", "report.json", "log",
                                        "exit"};
    char path[TP_JOB_ID_MAX + 16];
    uint64_t bytes = 0;
    struct stat st;

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", id, files[i]);
        if (fstatat(jobs, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
            bytes += (uint64_t)st.st_blocks * 512;
    }
    return bytes;
}

static int get_json(int fd, const char *name, struct tp_json **out, struct tp_error *err)
{
    struct tp_buffer text = {0};
    int rc = tp_record_get_file(fd, name, SMALL_MAX, &text, err);

    *out = NULL;
    if (rc == 0) {
        rc = tp_json_parse(text.data, text.len, out, err);
        if (rc < 0)
            tp_error_prefix(err, "'%s' of a record", name);
    }
    tp_buffer_clear(&text);
    return rc;
}

int tp_record_get_status(int fd, const char *id, struct tp_job_status *out, struct tp_error *err)
{
    struct tp_json *json;
    int rc = get_json(fd, "status.json", &json, err);

    if (rc == 0)
        rc = tp_job_status_read(json, out, err);
    tp_json_free(json);
    if (rc == 0 && strcmp(out->id, id) != 0)
        rc = tp_fail(err, EBADMSG, "'status.json' of record '%s' has another id", id);
    if (rc == 0)
        out->has_report = tp_record_has(fd, "report.json");
    return rc;
}

int tp_record_put_status(int fd, const struct tp_job_status *status, bool sync,
                         struct tp_error *err)
{
    struct tp_buffer text = {0};
    int rc = tp_job_status_write(status, &text);

    rc = rc < 0 ? tp_fail(err, -rc, "out of memory for a job's status")
                : tp_record_put_file(fd, "status.json", text.data, text.len, sync, err);
    tp_buffer_clear(&text);
    return rc;
}

static bool is_listed(const struct tp_json *names, const char *name)
{
    for (const struct tp_json *n = tp_json_first(names); n; n = tp_json_next(n))
        if (tp_json_string(n) && strcmp(tp_json_string(n), name) == 0)
            return true;
    return false;
}

int tp_record_get_request(int fd, struct tp_request *out, struct tp_error *err)
{
    const struct tp_json *given;
    struct tp_json *json;
    int rc = get_json(fd, "request.json", &json, err);

    memset(out, 0, sizeof *out);
    if (rc == 0)
        rc = tp_request_from_json(TP_VERB_COUNT, tp_json_get(json, "request"), false, out, err);
    /* The request holds the defaults, too; "given" lists the keys that the command named. */
    given = tp_json_get(json, "given");
    for (unsigned i = 0; rc == 0 && given && tp_verb_get(out->verb)->keys[i].name; i++)
        if (!is_listed(given, tp_verb_get(out->verb)->keys[i].name))
            out->given &= ~((uint32_t)1 << i);
    tp_json_free(json);
    return rc;
}
