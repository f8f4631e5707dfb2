/* SPDX-License-Identifier: MIT */
/*
 * What several processes share: records, models, the owner of a directory; its policy, and records
 * of others.
 */
#include <config.h>

#include <sys/file.h>
#include <sys/resource.h>

#include "tests/control/jobs.h"

static char *dir;

static void put(const char *name, const char *text)
{
    char *path = in_scratch("models/.tenpak/%s", name);

    if (tp_file_replace(path, text, strlen(text), 0600, NULL) < 0)
        bail_out("cannot write '%s'", path);
    free(path);
}

/* Two managers in one process: like two processes, they share only the records. */
static void test_two(void)
{
    char *program = make_program("program", "sleep 600 & wait"), ids[2][TP_JOB_ID_MAX],
         last[TP_JOB_ID_MAX];
    struct tp_jobs_options options = {.dir = dir, .program = program, .slots = 1};
    struct tp_jobs *a = open_jobs(&options), *b = open_jobs(&options);
    struct tp_error err = {0};
    struct tp_job_status s, *list;
    size_t n;

    submit_good(a, TP_VERB_COMPRESS, "m", ids);
    ok(wait_state(b, ids[0], TP_JOB_RUNNING), "another sees the job run");
    is_int(submit(b, TP_VERB_COMPRESS, "m", ids + 1, &err), -EBUSY,
           "another manager cannot take the model of a running job");
    submit_good(b, TP_VERB_ESTIMATE, "n", ids + 1);
    is_int(tp_jobs_last(a, last), 0, "the id of the latest job is found");
    is_str(last, ids[1], "the latest job is that of the other manager");
    is_int(tp_jobs_list(a, &list, &n, &err), 0, "jobs of both managers are listed");
    ok(n == 2 && strcmp(list[0].id, ids[0]) == 0, "the oldest job is listed first");
    free(list);
    is_int(tp_jobs_wait(b, ids[0], 100, &s, NULL), -ETIMEDOUT,
           "waiting for another's job has its time");
    is_int(tp_jobs_cancel(b, ids[0], &err), 0, "another manager's job can be cancelled");
    is_int(wait_job(b, ids[0]).state, TP_JOB_CANCELLED, "the process that runs it does so");
    is_int(tp_jobs_forget(a, ids[1], &err), 0, "a running job can be forgotten");
    is_int(tp_jobs_get(b, ids[1], &s, NULL), -ENOENT, "both managers have forgotten the job");
    tp_jobs_close(b);
    submit_good(a, TP_VERB_COMPRESS, "m\nn", ids);
    b = open_jobs(&options);
    is_int(tp_jobs_cancel(b, ids[1], &err), 0, "a waiting job of another process is asked to end");
    is_int(tp_jobs_cancel(b, ids[0], &err), 0, "a running job of another process is asked to end");
    is_int(wait_job(b, ids[1]).state, TP_JOB_CANCELLED, "a waiting job ends when its turn comes");
    tp_jobs_close(b);
    tp_jobs_close(a);
    free(program);
}

static void test_owner(void)
{
    struct tp_jobs_options options = {.dir = dir, .owner = true, .mountpoint = "/some where"};
    struct tp_jobs *jobs;
    struct tp_error err = {0};
    char where[64];
    pid_t pid, child;
    int status;

    is_int(tp_jobs_find_owner(dir, where, sizeof where, &pid, &err), -ENOENT,
           "no process owns the directory");
    jobs = open_jobs(&options);
    is_int(tp_jobs_find_owner(dir, where, sizeof where, &pid, &err), 0, "a process owns it");
    ok(pid == getpid() && strcmp(where, "/some where") == 0, "the right one, with its mount point");
    is_int(tp_jobs_find_owner(dir, where, 4, &pid, &err), -EBADMSG,
           "a mount point that is longer than the buffer");
    tp_jobs_close(jobs);
    is_int(tp_jobs_find_owner(dir, where, sizeof where, &pid, &err), -ENOENT,
           "no process owns it any more");
    child = fork();
    if (child == 0) {
        jobs = open_jobs(&options);
        kill(getpid(), SIGKILL);
    }
    waitpid(child, &status, 0);
    is_int(tp_jobs_find_owner(dir, where, sizeof where, &pid, &err), -ENOENT,
           "a killed process owns nothing");
    jobs = open_jobs(&options);
    is_int(tp_jobs_find_owner(dir, where, sizeof where, &pid, &err), 0,
           "another process takes its place");
    tp_jobs_close(jobs);
}

/* Until JOBS owns the directory with mount point POINT. */
static bool wait_owner(struct tp_jobs *jobs, const char *point)
{
    char where[64];
    pid_t pid;

    return eventually(tp_jobs_is_owner(jobs) &&
                      tp_jobs_find_owner(dir, where, sizeof where, &pid, NULL) == 0) &&
           strcmp(where, point) == 0;
}

/* The second daemon owns the directory when the first one has ended or was killed. */
static void test_standby(void)
{
    struct tp_jobs_options first = {.dir = dir, .owner = true, .mountpoint = "/first"};
    struct tp_jobs_options second = {.dir = dir, .owner = true, .mountpoint = "/second"};
    struct tp_jobs *a = open_jobs(&first), *b = open_jobs(&second);
    char where[64], byte;
    int status, ready[2];
    pid_t pid, child;

    ok(tp_jobs_is_owner(a) && !tp_jobs_is_owner(b), "the first of two owns the directory");
    ok(tp_jobs_find_owner(dir, where, sizeof where, &pid, NULL) == 0 &&
           strcmp(where, "/first") == 0,
       "other processes see the owner");
    tp_jobs_close(a);
    ok(wait_owner(b, "/second"), "the second one owns it when the first has ended");
    tp_jobs_close(b);
    is_int(tp_jobs_find_owner(dir, where, sizeof where, &pid, NULL), -ENOENT,
           "no process owns the directory when both have ended");

    if (pipe(ready) < 0 || (child = fork()) < 0)
        bail_out("fork");
    if (child == 0) {
        a = open_jobs(&first);
        if (write(ready[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    if (read(ready[0], &byte, 1) != 1)
        bail_out("the first one did not begin");
    b = open_jobs(&second);
    ok(!tp_jobs_is_owner(b), "an owner that lives stays the owner");
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    ok(wait_owner(b, "/second"), "the second one follows an owner that was killed as well");
    tp_jobs_close(b);
    close(ready[0]);
    close(ready[1]);
}

static size_t count(struct tp_jobs *jobs)
{
    struct tp_job_status *list;
    size_t n;

    if (tp_jobs_list(jobs, &list, &n, NULL) < 0)
        bail_out("list");
    free(list);
    return n;
}

/* As if the job had ended decades ago. */
static void make_old(const char *id)
{
    char *path = in_scratch("models/.tenpak/jobs/%s/status.json", id), *name, *ended;
    struct tp_buffer text = read_file(path);

    if (asprintf(&name, "jobs/%s/status.json", id) < 0 || tp_buffer_append(&text, "", 1) < 0 ||
        !(ended = strstr((char *)text.data, "\"ended\": \"20")))
        bail_out("'%s' has no end", path);
    memcpy(ended + strlen("\"ended\": \""), "1999", 4);
    put(name, (char *)text.data);
    tp_buffer_clear(&text);
    free(name);
    free(path);
}

static void test_retention(void)
{
    char *program = make_program("program", "exit 0"), ids[6][TP_JOB_ID_MAX];
    struct tp_jobs_options options = {.dir = dir, .program = program, .slots = 1};
    struct tp_jobs *jobs;
    struct tp_job_status s;

    put("tenpak.conf", "{\"retention\": {\"count\": 3}}");
    jobs = open_jobs(&options);
    for (int i = 0; i < 6; i++) {
        submit_good(jobs, TP_VERB_ESTIMATE, "m", ids + i);
        wait_job(jobs, ids[i]);
    }
    /* Records go after the job that was one too many has ended. */
    ok(eventually(count(jobs) == 3), "as many records as the policy keeps");
    ok(tp_jobs_get(jobs, ids[5], &s, NULL) == 0 && tp_jobs_get(jobs, ids[0], &s, NULL) == -ENOENT,
       "the latest ones");
    tp_jobs_close(jobs);
    put("tenpak.conf", "{\"retention\": {\"seconds\": 100000}}");
    make_old(ids[3]);
    make_old(ids[5]);
    jobs = open_jobs(&options);
    submit_good(jobs, TP_VERB_ESTIMATE, "m", ids);
    wait_job(jobs, ids[0]);
    ok(eventually(count(jobs) == 2), "records are kept as long as the policy says");
    ok(tp_jobs_get(jobs, ids[0], &s, NULL) == 0 && tp_jobs_get(jobs, ids[4], &s, NULL) == 0,
       "the young records are kept");
    tp_jobs_close(jobs);
    free(program);
}

/* The policy limits the size of all records; the latest one is always kept. */
static void test_retention_of_bytes(void)
{
    char *program =
        make_program("program", "dd if=/dev/zero of=\"$2\"/log bs=65536 count=10 2>/dev/null");
    char *large =
        make_program("large", "dd if=/dev/zero of=\"$2\"/log bs=65536 count=40 2>/dev/null");
    struct tp_jobs_options options = {.dir = dir, .program = program, .slots = 1};
    char ids[4][TP_JOB_ID_MAX];
    struct tp_job_status s;
    struct tp_jobs *jobs;

    put("tenpak.conf", "{\"retention\": {\"bytes\": \"2MiB\"}}");
    jobs = open_jobs(&options);
    for (int i = 0; i < 4; i++) {
        submit_good(jobs, TP_VERB_ESTIMATE, "m", ids + i);
        wait_job(jobs, ids[i]);
    }
    ok(eventually(count(jobs) == 3), "as many records as fit into what the policy gives them");
    ok(tp_jobs_get(jobs, ids[3], &s, NULL) == 0 && tp_jobs_get(jobs, ids[0], &s, NULL) == -ENOENT,
       "the latest ones");
    tp_jobs_close(jobs);
    options.program = large;
    jobs = open_jobs(&options);
    submit_good(jobs, TP_VERB_ESTIMATE, "m", ids);
    wait_job(jobs, ids[0]);
    ok(eventually(count(jobs) == 1), "one that is larger is kept alone");
    tp_jobs_close(jobs);
    put("tenpak.conf", "{}");
    free(large);
    free(program);
}

static void test_policy(void)
{
    char *program = make_program("program", "exit 0"), conf_error[TP_ERROR_MAX],
         ids[1][TP_JOB_ID_MAX], *text;
    struct tp_jobs *jobs, *none;
    struct tp_policy policy;
    struct tp_error err = {0};

    put("tenpak.conf", "{\"base\": \"none\", \"jobs\": {\"slots\": 5, \"memory\": \"1GiB\"}}");
    jobs = open_jobs(&(struct tp_jobs_options){.dir = dir, .program = program, .owner = true});
    is_int(tp_jobs_get_slots(jobs), 5, "slots are the policy's");
    submit_good(jobs, TP_VERB_ESTIMATE, "m nice=3", ids);
    wait_job(jobs, ids[0]);
    text = job_file(jobs, ids[0], "request.json");
    ok(strstr(text, "\"base\": \"none\"") && strstr(text, "\"memory\": 1073741824") &&
           strstr(text, "\"nice\": 3"),
       "keys that the command did not name are those of the policy");
    free(text);
    put("tenpak.conf", "{\"jobs\": {\"slots\": 6, \"sluts\": 1}}");
    ok(eventually((tp_jobs_get_policy(jobs, &policy, conf_error), conf_error[0])),
       "a wrong one is reported");
    has(conf_error, "'jobs.sluts'", "the error of a wrong policy names the key");
    ok(policy.jobs == 5, "a wrong policy changes nothing");
    is_int(tp_jobs_open(&(struct tp_jobs_options){.dir = dir}, &none, &err), -EINVAL,
           "a manager does not start with it");
    put("tenpak.conf", "{\"jobs\": {\"slots\": 7}}");
    ok(eventually((tp_jobs_get_policy(jobs, &policy, conf_error), policy.jobs == 7)),
       "a good one holds from then on");
    ok(tp_jobs_get_slots(jobs) == 7 && !conf_error[0], "all settings of a good policy hold");
    tp_jobs_close(jobs);
    put("tenpak.conf", "{}");
    free(program);
}

/* How many jobs the policy has submitted. */
static unsigned asked(struct tp_jobs *jobs, const char *model)
{
    struct tp_job_status *list;
    unsigned found = 0;
    size_t n;

    if (tp_jobs_list(jobs, &list, &n, NULL) < 0)
        bail_out("list");
    for (size_t i = 0; i < n; i++)
        found +=
            strcmp(list[i].requester.command, "policy") == 0 && strcmp(list[i].subject, model) == 0;
    free(list);
    return found;
}

static bool wait_asked(struct tp_jobs *jobs, const char *model, unsigned n)
{
    return eventually(asked(jobs, model) >= n);
}

static void test_auto(void)
{
    char *fails = make_program("fails", "echo 'E 5 no' >&3; exit 1"),
         *path = in_scratch("models/m/config.json"), *pack = in_scratch("models/m.tnpk"),
         *kept = in_scratch("models/n.tnpk");
    struct tp_jobs *jobs;
    struct tp_buffer text;

    put("tenpak.conf",
        "{\"auto_compress\": {\"enabled\": true, \"quiet_seconds\": 1, \"least_bytes\": 0}}");
    write_file(kept, "x", 1); /* a pack beside its directory: kept so */
    jobs = open_jobs(&(struct tp_jobs_options){.dir = dir, .program = fails, .owner = true});
    ok(wait_asked(jobs, "m", 1), "a model that is quiet is to be compressed");
    sleep(4);
    is_u64(asked(jobs, "m"), 1, "once: what fails is not tried again");
    text = read_file(path);
    write_file(path, text.data, text.len);
    ok(wait_asked(jobs, "m", 2), "until the model changes");
    is_u64(asked(jobs, "link") + asked(jobs, "empty") + asked(jobs, "n"), 0,
           "links, other directories and what was kept are left alone");
    tp_jobs_close(jobs);
    write_file(path, text.data, text.len);
    jobs = open_jobs(&(struct tp_jobs_options){.dir = dir, .owner = true});
    ok(eventually(exists(pack)), "the real program packs the quiet model");
    tp_jobs_close(jobs);
    put("tenpak.conf", "{}");
    unlink(kept);
    tp_buffer_clear(&text);
    free(fails);
    free(path);
    free(pack);
    free(kept);
}

/* An end for which the disk has no space is written when it has, and is no interruption meanwhile.
 */
static void test_full_disk(void)
{
    char *program =
        make_program("slow", ": >$0.ready; until [ -e $0.go ]; do sleep 0.02; done; exit 1");
    char *ready = in_scratch("slow.ready"), *go = in_scratch("slow.go"), ids[1][TP_JOB_ID_MAX];
    struct tp_jobs *jobs =
        open_jobs(&(struct tp_jobs_options){.dir = dir, .program = program, .owner = true});
    struct tp_jobs *other = open_jobs(&(struct tp_jobs_options){.dir = dir});
    struct tp_job_status ended, seen;
    struct rlimit limit, none;

    submit_good(jobs, TP_VERB_ESTIMATE, "m", ids);
    if (!eventually(exists(ready)) || getrlimit(RLIMIT_FSIZE, &limit) < 0)
        bail_out("the job does not begin");
    none = limit;
    none.rlim_cur = 0;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
    close(open(go, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ended = wait_job(jobs, ids[0]);
    int rc = tp_jobs_get(other, ids[0], &seen, NULL);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_DFL);
    is_int(ended.state, TP_JOB_FAILED, "a job ends although its record cannot be written");
    ok(rc == 0 && (seen.state == TP_JOB_RUNNING || seen.state == TP_JOB_FAILED),
       "other processes do not take it for interrupted: %s", tp_job_state_name(seen.state));
    ok(wait_state(other, ids[0], TP_JOB_FAILED),
       "the end of a job is recorded as soon as it can be");
    char *text = job_file(other, ids[0], "exit");
    is_str(text, "5\n", "the exit code of a job is recorded");
    free(text);
    tp_jobs_close(other);
    tp_jobs_close(jobs);
    free(program);
    free(ready);
    free(go);
}

/* Ids grow whatever the clock does, in all processes, and no id is given twice. */
static void test_ids(void)
{
    static const char future[] = "29990101-000000-7";
    char *program = make_program("program", "exit 0"), ids[3][TP_JOB_ID_MAX], last[TP_JOB_ID_MAX];
    struct tp_jobs_options options = {.dir = dir, .program = program};
    struct tp_jobs *jobs;

    /* As where the clock was in that year for a while. */
    put("jobs/.last", future);
    jobs = open_jobs(&options);
    submit_good(jobs, TP_VERB_ESTIMATE, "m", ids);
    is_str(ids[0], "29990101-000000-8", "the id after one of the future");
    wait_job(jobs, ids[0]);
    is_int(tp_jobs_forget(jobs, ids[0], NULL), 0, "the job with the id of the future is forgotten");
    tp_jobs_close(jobs);
    jobs = open_jobs(&options);
    submit_good(jobs, TP_VERB_ESTIMATE, "m\nm", ids + 1);
    is_str(ids[1], "29990101-000000-9", "the id of a forgotten job is not given again");
    is_str(ids[2], "29990101-000000-10", "the next id is greater");
    ok(tp_jobs_last(jobs, last) == 0 && strcmp(last, ids[2]) == 0,
       "the last is the one that was taken last");
    wait_job(jobs, ids[2]);
    put("jobs/.last", "99991231-235959-999999999");
    struct tp_error err = {0};
    is_int(submit(jobs, TP_VERB_ESTIMATE, "m", ids, &err), -EOVERFLOW,
           "there is none after the last of all");
    put("jobs/.last", "not an id");
    is_int(submit(jobs, TP_VERB_ESTIMATE, "m", ids, &err), 0, "what is no id is not believed");
    is_str(ids[0], "29990101-000000-11", "where records know better");
    wait_job(jobs, ids[0]);
    for (int i = 0; i < 3; i++)
        tp_jobs_forget(jobs, ids[i], NULL);
    put("jobs/.last", "");
    tp_jobs_close(jobs);
    free(program);
}

/* A stopped process holds the lock of the records. */
static void test_stopped(void)
{
    char *program = make_program("program", "sleep 600 & wait"),
         *records = in_scratch("models/.tenpak/jobs");
    struct tp_jobs_options options = {.dir = dir, .program = program, .slots = 1};
    struct tp_jobs *a = open_jobs(&options), *b = open_jobs(&options);
    char ids[2][TP_JOB_ID_MAX], last[TP_JOB_ID_MAX];
    struct tp_job_status s;
    struct tp_error err = {0};
    int ready[2];
    char byte;
    pid_t stopped;

    submit_good(a, TP_VERB_ESTIMATE, "m", ids);
    ok(wait_state(b, ids[0], TP_JOB_RUNNING), "a job of another runs");
    if (pipe(ready) < 0 || (stopped = fork()) < 0)
        bail_out("fork");
    if (stopped == 0) {
        int fd = open(records, O_RDONLY | O_DIRECTORY);

        if (fd < 0 || flock(fd, LOCK_EX) < 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    if (read(ready[0], &byte, 1) != 1 || kill(stopped, SIGSTOP) < 0)
        bail_out("the lock");
    is_int(tp_jobs_get(b, ids[0], &s, NULL), 0,
           "while a stopped process has the lock, a job is read");
    ok(s.state == TP_JOB_RUNNING, "as it was");
    ok(tp_jobs_last(b, last) == 0 && strcmp(last, ids[0]) == 0, "and the last one");
    is_int(submit(a, TP_VERB_ESTIMATE, "n", ids + 1, &err), -EAGAIN, "and none is taken");
    has(err.message, "holds the lock", "for that reason");
    kill(stopped, SIGKILL);
    waitpid(stopped, NULL, 0);
    is_int(submit(a, TP_VERB_ESTIMATE, "n", ids + 1, &err), 0, "until it is gone");
    tp_jobs_close(b);
    tp_jobs_close(a);
    close(ready[0]);
    close(ready[1]);
    free(records);
    free(program);
}

/* Records that were tampered with are not listed, and do no harm. */
static void test_hostile(void)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{\"schema\": \"tenpak.job/1\"}",
        "{\"schema\": \"tenpak.job/2\", \"id\": \"x\"}",
        "{\"schema\": \"tenpak.job/1\", \"id\": \"20200101-000000-1\", \"verb\": \"compress\", "
        "\"model\": 5}",
    };
    struct tp_jobs *jobs = open_jobs(&(struct tp_jobs_options){.dir = dir});
    size_t before = count(jobs);
    struct tp_job_status s;
    struct tp_buffer text = {0};
    char *path;

    tp_jobs_close(jobs);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        path = in_scratch("models/.tenpak/jobs/20200101-000000-%zu", i + 1);
        if (mkdir(path, 0700) < 0)
            bail_out("mkdir '%s'", path);
        free(path);
        char *name;
        if (asprintf(&name, "jobs/20200101-000000-%zu/status.json", i + 1) < 0)
            bail_out("memory");
        put(name, texts[i]);
        free(name);
    }
    path = in_scratch("models/.tenpak/jobs/20200101-000001-1");
    if (symlink("/etc", path) < 0)
        bail_out("symlink");
    free(path);
    path = in_scratch("models/.tenpak/jobs/20200101-000002-1");
    if (mkdir(path, 0700) < 0) /* of a process that was killed before it wrote a file */
        bail_out("mkdir");
    jobs = open_jobs(&(struct tp_jobs_options){.dir = dir});
    is_u64(count(jobs), before, "records that are none are not listed");
    ok(!exists(path), "one that was never whole is removed");
    is_int(tp_jobs_get(jobs, "20200101-000000-1", &s, NULL), -ENOENT, "nor found");
    is_int(tp_jobs_file(jobs, "20200101-000001-1", "passwd", &text, NULL), -ENOENT,
           "a link leads nowhere");
    is_int(tp_jobs_file(jobs, "../..", "tenpak.conf", &text, NULL), -ENOENT, "nor does a path");
    is_int(tp_jobs_forget(jobs, "../..", NULL), -ENOENT, "nor to remove");
    tp_jobs_close(jobs);
    free(path);
}

int main(int argc, char **argv)
{
    jobs_child(argc, argv);
    dir = make_models();
    test_two();
    test_owner();
    test_standby();
    test_retention();
    test_retention_of_bytes();
    test_policy();
    test_auto();
    test_full_disk();
    test_ids();
    test_stopped();
    test_hostile();
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(dir);
    free(scratch);
    return tap_done();
}
