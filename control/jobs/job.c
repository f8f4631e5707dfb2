/* SPDX-License-Identifier: MIT */
/*
 * A job's own process: takes its limits upon itself, does what the record says, and writes its
 * report.
 */
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
#include "control/verb/result.h"
#include "store/names.h"

#define TELL_SECONDS 0.1

#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_CLASS_IDLE 3
#define IOPRIO_CLASS_SHIFT 13

static atomic_int cancelled;

struct child {
    char *dir;
    const char *id;
    int record, dirfd;
    int pipe; /* -1: nobody listens */
    struct tp_request request;
    struct tp_progress progress;
    char stage[32];
    double told;
    struct tp_report report;
    bool has_result;
};

static void on_signal(int sig)
{
    (void)sig;
    atomic_store(&cancelled, 1);
}

/* --- Telling --- */

/* Of the record's log, which a damaged pack could fill a disk with. */
static struct {
    pthread_mutex_t lock;
    uint64_t bytes, lines_out, bytes_out;
} logged = {.lock = PTHREAD_MUTEX_INITIALIZER};

/*
 * Standard error is the record's log. Where it is full, lines are counted; LAST ones are written
 * all the same.
 */
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

static void note(void *arg, const char *line)
{
    (void)arg;
    put_log("", line);
}

/*
 * One write a line, short enough for a pipe to take it whole; a reader that has gone is no matter.
 */
static void tell(struct child *c, const char *line, int len)
{
    if (c->pipe >= 0 && len > 0 && write(c->pipe, line, (size_t)len) < 0 && errno != EINTR)
        c->pipe = -1;
}

static void update(void *arg, const char *stage, uint64_t done, uint64_t total)
{
    struct child *c = arg;
    bool other = strncmp(stage, c->stage, sizeof c->stage - 1) != 0;
    double at = tp_seconds();
    char line[128];

    if (!other && at - c->told < TELL_SECONDS && done < total)
        return;
    c->told = at;
    if (other) {
        snprintf(c->stage, sizeof c->stage, "%s", stage);
        put_log("", stage);
    }
    tell(c, line,
         snprintf(line, sizeof line, "P %.31s %llu %llu\n", stage, (unsigned long long)done,
                  (unsigned long long)total));
}

/* --- Limits --- */

/* More eagerly taken than who serves readers, when memory runs out all the same. */
static void offer_to_the_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, "500", 3) < 0)
        put_log("", "the score for running out of memory stays as it is");
    close(fd);
}

static int take_limits(const struct tp_request *request, struct tp_error *err)
{
    const char *io = tp_request_text(request, "io");
    int nice_to = (int)tp_request_number(request, "nice");

    offer_to_the_killer();
    if (getpriority(PRIO_PROCESS, 0) < nice_to && setpriority(PRIO_PROCESS, 0, nice_to) < 0)
        return tp_fail_errno(err, "cannot be as nice as %d", nice_to);
    if (io && strcmp(io, "idle") == 0 &&
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT) < 0)
        return tp_fail_errno(err, "cannot set the priority of disk accesses");
    /* A lower limit came from the daemon, where its cgroups have one. */
    uint64_t memory = tp_request_number(request, "memory");
    tp_memory_shrink_stacks();
    int rc = memory > 0 ? tp_memory_confine(memory, true) : 0;
    return rc < 0 ? tp_fail(err, -rc, "cannot limit the memory of the job") : 0;
}

/* --- Verbs --- */

static void begin_result(struct child *c)
{
    tp_json_begin_object(&c->report.json, "result");
    c->has_result = true;
}

static enum tp_links links_of(const struct tp_request *r)
{
    return tp_request_bool(r, "dereference") ? TP_LINKS_FOLLOW : TP_LINKS_AUTO;
}

static int do_estimate(struct child *c, struct tp_error *err)
{
    char *plain = tp_path_join(c->dir, c->request.subject, "");
    char *pack = tp_path_join(c->dir, c->request.subject, TP_PACK_SUFFIX);
    struct tp_base_choice *choice = calloc(1, sizeof *choice);
    struct tp_estimate estimate;
    struct stat st;
    int rc = plain && pack && choice ? 0 : tp_fail(err, ENOMEM, "out of memory");

    update(c, "estimate", 0, 0);
    if (rc == 0)
        rc = tp_estimate_against(c->dir, c->request.subject, stat(plain, &st) == 0 ? plain : pack,
                                 links_of(&c->request), tp_request_text(&c->request, "base"),
                                 choice, &estimate, err);
    if (rc == 0) {
        begin_result(c);
        tp_result_estimate(&c->report.json, choice, &estimate);
        tp_json_end_object(&c->report.json);
    }
    free(choice);
    free(plain);
    free(pack);
    return rc;
}

static int do_compress(struct child *c, struct tp_error *err)
{
    const struct tp_request *r = &c->request;
    struct tp_compress_report *report = calloc(1, sizeof *report);
    char *path = tp_path_join(c->dir, r->subject, "");
    struct tp_compress_options options = {.base = tp_request_text(r, "base"),
                                          .keep = tp_request_bool(r, "keep"),
                                          .links = links_of(r),
                                          .no_lease = !tp_request_bool(r, "lease"),
                                          .threads = (unsigned)tp_request_number(r, "threads"),
                                          .codec = tp_request_text(r, "codec"),
                                          .zstd_level = (int)tp_request_number(r, "zstd_level"),
                                          .wait_for_base = true,
                                          .progress = &c->progress,
                                          .note = note};
    int rc = report && path ? tp_compress(path, &options, report, err)
                            : tp_fail(err, ENOMEM, "out of memory");

    if (rc == 0) {
        begin_result(c);
        tp_result_compress(&c->report.json, tp_path_name(report->out), !options.keep, report);
        tp_json_end_object(&c->report.json);
    }
    free(report);
    free(path);
    return rc;
}

static int do_restore(struct child *c, struct tp_error *err)
{
    const struct tp_request *r = &c->request;
    char *path = tp_path_join(c->dir, r->subject, TP_PACK_SUFFIX);
    struct tp_restore_options options = {.keep = tp_request_bool(r, "keep"),
                                         .threads = (unsigned)tp_request_number(r, "threads"),
                                         .progress = &c->progress};
    uint64_t bytes = 0;
    int rc = path ? tp_restore(path, &options, &bytes, err) : tp_fail(err, ENOMEM, "out of memory");

    if (rc == 0) {
        begin_result(c);
        tp_result_restore(&c->report.json, r->subject, bytes, !options.keep);
        tp_json_end_object(&c->report.json);
    }
    free(path);
    return rc;
}

struct verifying {
    struct child *child;
    uint64_t packs, bad, findings;
};

static void found(void *arg, const char *story)
{
    struct verifying *v = arg;

    /*
     * A pack of which much is damaged has as many findings as chunks: the report has the first
     * ones, the log all.
     */
    if (v->findings++ < 1000)
        tp_json_put_string(&v->child->report.json, NULL, story);
    put_log("", story);
}

static int verify_one(struct verifying *v, struct tp_store *store, const char *name,
                      struct tp_error *err)
{
    struct child *c = v->child;
    struct tp_verify_report report = {0};
    struct tp_pack *pack = NULL;
    int rc;

    v->packs++;
    v->findings = 0;
    tp_json_begin_object(&c->report.json, NULL);
    tp_json_put_string(&c->report.json, "pack", name);
    tp_json_begin_array(&c->report.json, "findings");
    rc = tp_store_open_pack(store, name, &pack, err);
    if (rc == 0)
        rc = tp_pack_verify(pack, (unsigned)tp_request_number(&c->request, "threads"), &c->progress,
                            found, v, &report, err);
    tp_pack_close(pack);
    tp_json_end_array(&c->report.json);
    tp_result_verify(&c->report.json, rc, err, &report);
    tp_json_end_object(&c->report.json);
    if (rc < 0 && rc != -ECANCELED) {
        v->bad++;
        put_log("", err->message);
    }
    return rc;
}

/* Also one beside its directory, which is listed as the directory. */
static bool has_pack(const struct child *c, const char *name)
{
    char *path = tp_path_join(c->dir, name, TP_PACK_SUFFIX);
    struct stat st;
    bool found = path && stat(path, &st) == 0 && S_ISREG(st.st_mode);

    free(path);
    return found;
}

static int verify_all(struct verifying *v, struct tp_store *store, struct tp_error *err)
{
    struct tp_store_model *models = NULL;
    size_t n = 0;
    int rc = tp_store_models(store, &models, &n, err), first = 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct tp_error one = {0};
        int bad =
            has_pack(v->child, models[i].name) ? verify_one(v, store, models[i].name, &one) : 0;

        if (bad < 0 && (first == 0 || bad == -ECANCELED)) {
            first = bad;
            *err = one;
        }
        if (bad == -ECANCELED)
            break;
    }
    tp_store_models_free(models, n);
    return rc < 0 ? rc : first;
}

static int do_verify(struct child *c, struct tp_error *err)
{
    struct verifying v = {.child = c};
    struct tp_store *store = NULL;
    struct tp_json_writer *json = &c->report.json;
    int rc = tp_store_open(c->dir, &store, err);

    if (rc < 0)
        return rc;
    begin_result(c);
    tp_json_begin_array(json, "packs");
    rc = strcmp(c->request.subject, "all") == 0 ? verify_all(&v, store, err)
                                                : verify_one(&v, store, c->request.subject, err);
    tp_json_end_array(json);
    tp_json_put_u64(json, "verified", v.packs - v.bad);
    tp_json_put_u64(json, "bad", v.bad);
    tp_json_end_object(json);
    tp_store_close(store);
    return rc;
}

static int do_verb(struct child *c, struct tp_error *err)
{
    int rc = tp_request_check(c->dirfd, c->dir, &c->request, err);

    if (rc < 0)
        return rc;
    switch (c->request.verb) {
    case TP_VERB_ESTIMATE:
        return do_estimate(c, err);
    case TP_VERB_COMPRESS:
        return do_compress(c, err);
    case TP_VERB_RESTORE:
        return do_restore(c, err);
    case TP_VERB_VERIFY:
        return do_verify(c, err);
    default:
        return tp_fail(err, EOPNOTSUPP, "'%s' is no work for a process",
                       tp_verb_get(c->request.verb)->name);
    }
}

/* --- Beginning and end --- */

/* DIR of DIR/.tenpak/jobs/ID. */
static int find_dir(struct child *c, const char *record, struct tp_error *err)
{
    char *path = strdup(record);

    for (int i = 0; path && i < 3; i++) {
        char *slash = strrchr(path, '/');

        if (!slash) {
            free(path);
            return tp_fail(err, EINVAL, "'%s' is no record of a job", record);
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

/* Who began the job holds its record and listens; a process that was begun by hand has neither. */
static bool was_started_by_a_runner(long parent)
{
    struct stat st;

    if (fstat(TP_JOB_PROGRESS_FD, &st) < 0 || !S_ISFIFO(st.st_mode))
        return false;
    fcntl(TP_JOB_PROGRESS_FD, F_SETFD, FD_CLOEXEC);
    fcntl(TP_JOB_LOCK_FD, F_SETFD, FD_CLOEXEC);
    /* Not to outlive who would tell the job's end; it may have gone before this call. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && parent > 0 && getppid() != (pid_t)parent)
        atomic_store(&cancelled, 1);
    return true;
}

static void prepare(struct child *c, long parent)
{
    struct sigaction action = {.sa_handler = on_signal};

    /* A mount's daemon has none, since the kernel has applied that of who asks it. */
    mode_t mask = umask(022);
    if (mask != 0)
        umask(mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    c->pipe = was_started_by_a_runner(parent) ? TP_JOB_PROGRESS_FD : -1;
    c->progress = (struct tp_progress){.update = update, .arg = c, .cancel = &cancelled};
    tp_log_set_sink(log_sink, NULL, TP_LOG_INFO);
}

static void end(struct child *c, int rc, struct tp_error *err)
{
    enum tp_job_state state = rc == 0            ? TP_JOB_COMPLETED
                              : rc == -ECANCELED ? TP_JOB_CANCELLED
                                                 : TP_JOB_FAILED;
    struct tp_error why = {0};
    char line[TP_ERROR_MAX + 32];

    end_log();
    if (c->record >= 0 &&
        tp_report_end(&c->report, c->record, c->has_result, state, -rc, err->message, &why) < 0)
        write_log("error: ", why.message, true);
    if (rc < 0) {
        write_log(rc == -ECANCELED ? "" : "error: ", err->message, true);
        tell(c, line, snprintf(line, sizeof line, "E %d %s\n", -rc, err->message));
    }
}

int tp_job_main(const char *record, long parent)
{
    struct child c = {.record = -1, .dirfd = -1, .pipe = -1};
    struct tp_error err = {0};
    int rc;

    prepare(&c, parent);
    rc = open_record(&c, record, &err);
    if (rc == 0) {
        tp_report_begin(&c.report, c.id, c.request.verb, c.request.subject);
        rc = take_limits(&c.request, &err);
    } else if (c.record >= 0) {
        close(c.record);
        c.record = -1;
    }
    if (rc == 0 && atomic_load(&cancelled))
        rc = tp_fail(&err, ECANCELED, "cancelled before it began");
    if (rc == 0)
        rc = do_verb(&c, &err);
    end(&c, rc, &err);
    tp_request_clear(&c.request);
    free(c.dir);
    if (c.dirfd >= 0)
        close(c.dirfd);
    if (c.record >= 0)
        close(c.record);
    return rc == 0 ? 0 : 1;
}
