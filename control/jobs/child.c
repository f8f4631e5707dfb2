/* SPDX-License-Identifier: MIT */
/* The process of a job: it limits itself, runs the verb of the record, and writes the report. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/printable.h"
#include "control/jobs/impl.h"
#include "store/names.h"

#define SEND_SECONDS 0.1

#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_CLASS_IDLE 3
#define IOPRIO_CLASS_SHIFT 13

static atomic_int cancelled;

struct child {
    char *dir;
    const char *id;
    int record, dirfd;
    int pipe; /* to the manager; -1: none */
    struct tp_request request;
    struct tp_progress progress;
    char stage[32];
    double sent;
    char conclusion[TP_ERROR_MAX]; /* what came out; "" */
    struct tp_report report;
};

static void on_signal(int sig)
{
    (void)sig;
    atomic_store(&cancelled, 1);
}

/* --- Log and progress --- */

/* The log of the record is limited: the findings in a damaged pack could fill a disk. */
static struct {
    pthread_mutex_t lock;
    uint64_t bytes, lines_out, bytes_out;
} logged = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Standard error is the log of the record. When that is full, only the LAST lines are written. */
static void write_log(const char *kind, const char *line, bool last)
{
    struct timespec ts;
    char text[TP_ERROR_MAX + 64], *end = text;
    struct tm tm;
    size_t len;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (gmtime_r(&ts.tv_sec, &tm))
        end += strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(end, sizeof text - 1 - (size_t)(end - text), " %s%s", kind, line);
    tp_text_make_printable(text);
    len = strlen(text);
    text[len++] = '\n';
    pthread_mutex_lock(&logged.lock);
    if (!last && logged.bytes + len > TP_JOB_LOG_MAX) {
        logged.lines_out++;
        logged.bytes_out += len;
    } else {
        logged.bytes += len;
        tp_file_write(STDERR_FILENO, text, len, "log", NULL);
    }
    pthread_mutex_unlock(&logged.lock);
}

static void put_log(const char *kind, const char *line)
{
    write_log(kind, line, false);
}

static void end_log(void)
{
    char line[96];

    if (logged.lines_out == 0)
        return;
    snprintf(line, sizeof line,
             "the log is full: %" PRIu64 " more lines, %" PRIu64 " bytes, are left out",
             logged.lines_out, logged.bytes_out);
    write_log("", line, true);
}

static void log_sink(void *arg, enum tp_log_level level, const char *line)
{
    (void)arg;
    put_log(level == TP_LOG_ERROR ? "error: " : level == TP_LOG_WARNING ? "warning: " : "", line);
}

static void log_note(void *arg, const char *line)
{
    (void)arg;
    put_log("", line);
}

/* One write for each line, which is short enough to be atomic. A manager that ended is no error. */
static void send_line(struct child *c, const char *line, int len)
{
    if (c->pipe >= 0 && len > 0 && write(c->pipe, line, (size_t)len) < 0 && errno != EINTR)
        c->pipe = -1;
}

static void send_progress(void *arg, const char *stage, uint64_t done, uint64_t total)
{
    struct child *c = arg;
    bool other = strncmp(stage, c->stage, sizeof c->stage - 1) != 0;
    double at = tp_seconds();
    char line[128];

    if (!other && at - c->sent < SEND_SECONDS && done < total)
        return;
    c->sent = at;
    if (other) {
        snprintf(c->stage, sizeof c->stage, "%s", stage);
        put_log("", stage);
    }
    send_line(c, line,
              snprintf(line, sizeof line, "P %.31s %llu %llu\n", stage, (unsigned long long)done,
                       (unsigned long long)total));
}

static void send_candidates(void *arg, unsigned evaluated, unsigned total)
{
    char line[64];

    send_line(arg, line, snprintf(line, sizeof line, "C %u %u\n", evaluated, total));
}

static void send_conclusion(void *arg, const char *text)
{
    struct child *c = arg;
    char line[TP_ERROR_MAX + 8];

    snprintf(c->conclusion, sizeof c->conclusion, "%s", text);
    tp_text_make_printable(c->conclusion);
    put_log("", c->conclusion);
    send_line(c, line, snprintf(line, sizeof line, "M %s\n", c->conclusion));
}

/* --- Limits --- */

/* If memory runs out, the kernel should kill a job before a daemon. */
static void raise_oom_score(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, "500", 3) < 0)
        put_log("", "cannot raise the score for the out-of-memory killer");
    close(fd);
}

static int set_limits(const struct tp_request *request, struct tp_error *err)
{
    const struct tp_job_limits *limits = &request->limits;
    int niceness = (int)limits->niceness, rc;

    raise_oom_score();
    if (getpriority(PRIO_PROCESS, 0) < niceness && setpriority(PRIO_PROCESS, 0, niceness) < 0)
        return tp_fail_errno(err, "cannot set the nice value %d", niceness);
    if (strcmp(limits->io, "idle") == 0 &&
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT) < 0)
        return tp_fail_errno(err, "cannot set the priority of disk accesses");
    /* The manager has set a lower limit if its cgroups have one. */
    tp_memory_shrink_stacks();
    rc = limits->memory > 0 ? tp_memory_confine(limits->memory, true) : 0;
    return rc < 0 ? tp_fail(err, -rc, "cannot limit the memory of the job") : 0;
}

/* --- The verb --- */

static struct tp_json_writer *begin_result(void *arg)
{
    struct child *c = arg;

    return tp_report_begin_result(&c->report);
}

static int run_verb(struct child *c, struct tp_error *err)
{
    const struct tp_verb_ops *verb = tp_verb_get(c->request.verb);
    struct tp_work work = {.dir = c->dir,
                           .name = c->request.subject,
                           .progress = &c->progress,
                           .note = log_note,
                           .evaluated = send_candidates,
                           .conclude = send_conclusion,
                           .begin = begin_result,
                           .arg = c};
    int rc;

    if (!verb->run)
        return tp_fail(err, EOPNOTSUPP, "'%s' is not the verb of a job", verb->name);
    rc = tp_request_check(c->dirfd, c->dir, &c->request, err);
    return rc < 0 ? rc : verb->run(&c->request, &work, err);
}

/* --- Start and end --- */

/* Find DIR and ID in DIR/.tenpak/jobs/ID. */
static int find_dir(struct child *c, const char *record, struct tp_error *err)
{
    char *path = strdup(record);

    for (int i = 0; path && i < 3; i++) {
        char *slash = strrchr(path, '/');

        if (!slash) {
            free(path);
            return tp_fail(err, EINVAL, "'%s' is not the record of a job", record);
        }
        *slash = '\0';
    }
    c->dir = path;
    c->id = tp_path_name(record);
    if (!path)
        return tp_fail(err, ENOMEM, "out of memory");
    c->dirfd = open(path[0] ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return c->dirfd < 0 ? tp_fail_errno(err, "cannot open '%s'", path) : 0;
}

static int open_record(struct child *c, const char *record, struct tp_error *err)
{
    int rc = find_dir(c, record, err), jobs;

    if (rc < 0)
        return rc;
    jobs = tp_records_open(c->dirfd, false, err);
    if (jobs < 0)
        return jobs;
    c->record = tp_record_open(jobs, c->id, err);
    close(jobs);
    return c->record < 0 ? c->record : tp_record_get_request(c->record, &c->request, err);
}

/* Whether a manager started this process, and not a user: then there is a pipe. */
static bool was_started_by_manager(long parent)
{
    struct stat st;

    if (fstat(TP_JOB_PROGRESS_FD, &st) < 0 || !S_ISFIFO(st.st_mode))
        return false;
    fcntl(TP_JOB_PROGRESS_FD, F_SETFD, FD_CLOEXEC);
    fcntl(TP_JOB_LOCK_FD, F_SETFD, FD_CLOEXEC);
    /* End with the manager, which writes the end of the job. It may have ended before this call. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && parent > 0 && getppid() != (pid_t)parent)
        atomic_store(&cancelled, 1);
    return true;
}

static void prepare_process(struct child *c, long parent)
{
    struct sigaction action = {.sa_handler = on_signal};

    /* The daemon of a mount runs without a umask, which the kernel has applied before. */
    mode_t mask = umask(022);
    if (mask != 0)
        umask(mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    c->pipe = was_started_by_manager(parent) ? TP_JOB_PROGRESS_FD : -1;
    c->progress = (struct tp_progress){.update = send_progress, .arg = c, .cancel = &cancelled};
    tp_cancel_watch(&cancelled);
    tp_log_set_sink(log_sink, NULL, TP_LOG_INFO);
}

static void end_job(struct child *c, int rc, struct tp_error *err)
{
    enum tp_job_state state = rc == 0            ? TP_JOB_COMPLETED
                              : rc == -ECANCELED ? TP_JOB_CANCELLED
                                                 : TP_JOB_FAILED;
    struct tp_error why = {0};
    char line[TP_ERROR_MAX + 32];

    end_log();
    if (c->record >= 0 && tp_report_end(&c->report, c->record, state, -rc,
                                        rc < 0 ? err->message : c->conclusion, &why) < 0)
        write_log("error: ", why.message, true);
    if (rc < 0) {
        write_log(rc == -ECANCELED ? "" : "error: ", err->message, true);
        send_line(c, line, snprintf(line, sizeof line, "E %d %s\n", -rc, err->message));
    }
}

int tp_job_main(const char *record, long parent)
{
    struct child c = {.record = -1, .dirfd = -1, .pipe = -1};
    struct tp_error err = {0};
    int rc;

    prepare_process(&c, parent);
    rc = open_record(&c, record, &err);
    if (rc == 0) {
        tp_report_begin(&c.report, c.id, c.request.verb, c.request.subject);
        rc = set_limits(&c.request, &err);
    } else if (c.record >= 0) {
        close(c.record);
        c.record = -1;
    }
    if (rc == 0 && atomic_load(&cancelled))
        rc = tp_fail(&err, ECANCELED, "cancelled before it began");
    if (rc == 0)
        rc = run_verb(&c, &err);
    end_job(&c, rc, &err);
    free(c.dir);
    if (c.dirfd >= 0)
        close(c.dirfd);
    if (c.record >= 0)
        close(c.record);
    return rc == 0 ? 0 : 1;
}
