/* SPDX-License-Identifier: MIT */
/*
 * The manager of jobs, with programs in the place of jobs that end badly, ignore signals, and send
 * garbage.
 */
#include <config.h>

#include <stdatomic.h>
#include <time.h>

#include "tests/control/jobs.h"

static char *dir;

/* --- How a job ends --- */

static const struct {
    const char *script;
    enum tp_job_state state;
    int error;
    const char *message;
} ends[] = {
    {"exit 0", TP_JOB_COMPLETED, 0, ""},
    {"exit 3", TP_JOB_FAILED, EIO, "without a message"},
    {"echo 'E 28 the disk is full' >&3; exit 1", TP_JOB_FAILED, ENOSPC, "the disk is full"},
    {"echo 'E 99999 x' >&3; echo 'E x' >&3; echo E >&3; exit 1", TP_JOB_FAILED, EIO,
     "without a message"},
    {"kill -9 $$", TP_JOB_FAILED, EIO, "signal 9"},
    {"kill -SEGV $$", TP_JOB_FAILED, EIO, "signal 11"},
    {"exec 3>&-; sleep 0.3; exit 0", TP_JOB_COMPLETED, 0, ""},
    {"head -c 300000 /dev/urandom >&3; exit 0", TP_JOB_COMPLETED, 0, ""},
    {"echo 'E 125 stopped' >&3; exit 1", TP_JOB_CANCELLED, ECANCELED, "cancelled"},
};

static void test_ends(void)
{
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char *program = make_program("program", ends[i].script), ids[1][TP_JOB_ID_MAX], want[16],
             *text;
        struct tp_jobs *jobs = open_jobs(&(struct tp_jobs_options){.dir = dir, .program = program});
        struct tp_job_status s;

        submit_good(jobs, TP_VERB_COMPRESS, "m", ids);
        s = wait_job(jobs, ids[0]);
        is_str(tp_job_state_name(s.state), tp_job_state_name(ends[i].state), ends[i].script);
        is_int(s.error, ends[i].error, "its errno");
        has(s.message, ends[i].message, "its message");
        text = job_file(jobs, ids[0], "exit");
        snprintf(want, sizeof want, "%d\n", ends[i].error);
        is_str(text, want, "exit says the same");
        free(text);
        text = job_file(jobs, ids[0], "report.json");
        ok(!!strstr(text, "\"result\": null") == (ends[i].error != 0),
           "a job that failed has a report that says so");
        free(text);
        tp_jobs_close(jobs);
        free(program);
    }
}

static void test_no_program(void)
{
    char ids[1][TP_JOB_ID_MAX];
    struct tp_jobs *jobs =
        open_jobs(&(struct tp_jobs_options){.dir = dir, .program = "/nonexistent/program"});

    submit_good(jobs, TP_VERB_COMPRESS, "m", ids);
    struct tp_job_status s = wait_job(jobs, ids[0]);
    ok(s.state == TP_JOB_FAILED && s.error == ENOENT, "a program that is not there fails the job");
    tp_jobs_close(jobs);
}

/* --- What the child gets --- */

static void test_child(void)
{
    char *program = make_program("program", "echo $0 $1 $3; ls /proc/self/fd | tr '\\n' ' '; echo; "
                                            "ps -o pgid= -p $$ | tr -d ' '; echo pid $$"),
         ids[1][TP_JOB_ID_MAX], *log, want[64];
    int leak = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as some library might */
    struct tp_jobs *jobs = open_jobs(&(struct tp_jobs_options){.dir = dir, .program = program});
    int pgid = -1, pid = -2;

    submit_good(jobs, TP_VERB_COMPRESS, "m", ids);
    wait_job(jobs, ids[0]);
    log = job_file(jobs, ids[0], "log");
    snprintf(want, sizeof want, "job %ld\n", (long)getpid());
    has(log, want, "its arguments");
    /* ls has one more, of the directory that it lists. */
    has(log, "\n0 1 2 3 4 5 \n", "nothing of ours is open in it");
    const char *at = strstr(log, "5 \n");
    ok(at && sscanf(at + 3, "%d pid %d", &pgid, &pid) == 2 && pgid == pid,
       "it has a group of its own");
    free(log);
    close(leak);
    tp_jobs_close(jobs);
    free(program);
}

/* --- Progress --- */

struct seen {
    atomic_uint states[TP_JOB_STATE_COUNT], forgotten;
    double best_rate;
    bool stage;
};

static void changed(void *arg, const struct tp_job_status *status, bool forgotten)
{
    struct seen *seen = arg;

    if (status->rate > seen->best_rate)
        seen->best_rate = status->rate;
    seen->stage |= strcmp(status->stage, "pack") == 0 && status->total_bytes == 1000000;
    atomic_fetch_add(&seen->forgotten, forgotten);
    atomic_fetch_add(&seen->states[status->state], 1);
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool is_at(struct tp_jobs *jobs, const char *id, uint64_t done, struct tp_job_status *s)
{
    return tp_jobs_get(jobs, id, s, NULL) == 0 && s->total_bytes == 1000000 &&
           s->done_bytes == done;
}

/* The job waits for files, so that the bounds of its rate are known on any machine. */
static void test_progress(void)
{
    char *program = make_program(
             "program", "echo 'P pack 0 1000000' >&3; until [ -e $0.1 ]; do sleep 0.02; done; "
                        "echo 'P pack 400000 1000000' >&3; until [ -e $0.2 ]; do sleep 0.02; done"),
         *first = in_scratch("program.1"), *second = in_scratch("program.2"), ids[1][TP_JOB_ID_MAX];
    struct seen seen = {0};
    struct tp_jobs *jobs = open_jobs(&(struct tp_jobs_options){
        .dir = dir, .program = program, .changed = changed, .arg = &seen});
    double asked = seconds(), before, later, rate;
    struct tp_job_status s;

    submit_good(jobs, TP_VERB_COMPRESS, "m", ids);
    ok(eventually(is_at(jobs, ids[0], 0, &s)), "that it has begun can be seen");
    before = seconds();
    usleep(500000);
    later = seconds();
    write_file(first, "", 0);
    ok(eventually(is_at(jobs, ids[0], 400000, &s) && s.rate > 0), "how far it is");
    rate = 400000 / (later - before);
    ok(s.rate > 400000 / (seconds() - asked) && s.rate < rate && s.remaining > 600000 / rate &&
           s.remaining < 600000 / s.rate + 1,
       "how fast, and how long still (%.0f bytes a second, %.1f seconds)", s.rate, s.remaining);
    ok(eventually(atomic_load(&seen.states[TP_JOB_RUNNING]) >= 4), "progress is reported");
    write_file(second, "", 0);
    wait_job(jobs, ids[0]);
    later = seconds();
    is_int(tp_jobs_forget(jobs, ids[0], NULL), 0, "it can be forgotten");
    is_int(tp_jobs_get(jobs, ids[0], &s, NULL), -ENOENT, "and is gone");
    tp_jobs_close(jobs);
    ok(seen.states[TP_JOB_PENDING] == 1 && seen.states[TP_JOB_COMPLETED] == 2 &&
           seen.forgotten == 1,
       "each change is reported once (%u, %u, %u)", seen.states[TP_JOB_PENDING],
       seen.states[TP_JOB_COMPLETED], seen.forgotten);
    ok(seen.states[TP_JOB_RUNNING] <= 2 + 4 * (later - asked),
       "progress four times a second at most (%u in %.1f seconds)", seen.states[TP_JOB_RUNNING],
       later - asked);
    ok(seen.stage && seen.best_rate > 0, "with stage and rate");
    free(program);
    free(first);
    free(second);
}

/* --- Cancelling, closing --- */

static void test_cancel(void)
{
    char *polite = make_program("polite", "sleep 600 & wait"),
         *deaf =
             make_program("deaf", "trap '' TERM; : >$0.ready; sleep 600 & while :; do wait; done"),
         *ready = in_scratch("deaf.ready"), ids[3][TP_JOB_ID_MAX];
    struct tp_jobs *jobs =
        open_jobs(&(struct tp_jobs_options){.dir = dir, .program = polite, .slots = 1});
    struct tp_error err = {0};
    struct tp_job_status s;
    double began;

    submit_good(jobs, TP_VERB_COMPRESS, "m\nn", ids);
    ok(wait_state(jobs, ids[0], TP_JOB_RUNNING), "the first runs");
    ok(tp_jobs_get(jobs, ids[1], &s, NULL) == 0 && s.state == TP_JOB_PENDING,
       "the second waits for a slot");
    is_int(tp_jobs_wait(jobs, ids[0], 50, &s, NULL), -ETIMEDOUT, "waiting gives up after its time");
    is_int(submit(jobs, TP_VERB_CANCEL, ids[1], ids + 2, &err), 0,
           "the one that waits is cancelled");
    is_str(ids[2], ids[1], "the answer is its id");
    s = wait_job(jobs, ids[1]);
    ok(s.state == TP_JOB_CANCELLED && s.error == ECANCELED && s.started == 0, "it never began");
    is_int(submit(jobs, TP_VERB_CANCEL, ids[1], ids + 2, &err), -EALREADY, "once is enough");
    is_int(tp_jobs_cancel(jobs, ids[0], &err), 0, "the running one is asked to end");
    is_int(wait_job(jobs, ids[0]).state, TP_JOB_CANCELLED, "and ends");
    is_int(submit(jobs, TP_VERB_CANCEL, "20260203-040506-1", ids, &err), -ENOENT, "no such job");
    tp_jobs_close(jobs);

    jobs = open_jobs(&(struct tp_jobs_options){.dir = dir, .program = deaf});
    submit_good(jobs, TP_VERB_COMPRESS, "m", ids);
    ok(eventually(exists(ready)), "one that does not listen");
    began = seconds();
    is_int(tp_jobs_forget(jobs, ids[0], &err), 0, "is killed, and forgotten");
    ok(seconds() - began >= 8 && seconds() - began < 120, "after some grace (%.1f seconds)",
       seconds() - began);
    tp_jobs_close(jobs);
    free(ready);
    free(polite);
    free(deaf);
}

static void test_close(void)
{
    char *program = make_program("program", "sleep 600 & wait"), ids[2][TP_JOB_ID_MAX];
    struct tp_jobs_options options = {.dir = dir, .program = program, .slots = 1};
    struct tp_jobs *jobs = open_jobs(&options);

    submit_good(jobs, TP_VERB_COMPRESS, "m\nn", ids);
    wait_state(jobs, ids[0], TP_JOB_RUNNING);
    tp_jobs_close(jobs);
    jobs = open_jobs(&options);
    is_int(wait_job(jobs, ids[0]).state, TP_JOB_INTERRUPTED,
           "what ran when its runner was stopped is interrupted");
    is_int(wait_job(jobs, ids[1]).state, TP_JOB_INTERRUPTED, "what waited, too");
    tp_jobs_close(jobs);
    free(program);
}

/* --- Being refused --- */

static void test_refused(void)
{
    char *program = make_program("program", "sleep 600 & wait"), ids[4][TP_JOB_ID_MAX];
    struct tp_jobs *jobs = open_jobs(
        &(struct tp_jobs_options){.dir = dir, .program = program, .slots = 1, .queue = 1});
    struct tp_error err = {0};
    struct tp_job_status *list;
    size_t before, after;

    tp_jobs_list(jobs, &list, &before, NULL);
    free(list);
    is_int(submit(jobs, TP_VERB_COMPRESS, "nope", ids, &err), -ENOENT, "no such model");
    is_int(submit(jobs, TP_VERB_COMPRESS, "m base=nope", ids, &err), -ENOENT, "no such base");
    is_int(submit(jobs, TP_VERB_COMPRESS, "m base=m", ids, &err), -EINVAL, "its own base");
    is_int(submit(jobs, TP_VERB_COMPRESS, "empty", ids, &err), -EINVAL,
           "a directory without a model");
    is_int(submit(jobs, TP_VERB_COMPRESS, "link", ids, &err), -EINVAL, "a symbolic link out");
    is_int(submit(jobs, TP_VERB_COMPRESS, "m base=link", ids, &err), -EINVAL, "one as a base");
    is_int(submit(jobs, TP_VERB_RESTORE, "m", ids, &err), -EEXIST, "the name is taken");
    is_int(submit(jobs, TP_VERB_VERIFY, "m", ids, &err), -EINVAL, "nothing to verify with");
    is_int(submit(jobs, TP_VERB_EVALUATE, "m reference=nope", ids, &err), -ENOENT,
           "no such reference");
    is_int(submit(jobs, TP_VERB_EVALUATE, "m context=8 stride=9", ids, &err), -EDOM,
           "a stride above the context");
    is_int(submit(jobs, TP_VERB_EVALUATE, "m convention=llama.cpp stride=9", ids, &err), -EDOM,
           "a stride of a convention without one");
    is_int(submit(jobs, TP_VERB_OPTIMIZE, "m hardware=abacus", ids, &err), -ENOENT,
           "no such hardware");
    has(err.message, "local, t4, a10g", "the message has the names");
    is_int(submit(jobs, TP_VERB_OPTIMIZE, "m candidates=fp16,int5", ids, &err), -ENOENT,
           "no such candidate");
    has(err.message, "fp16, int4_residual, int4_g8", "the message has the names");
    is_int(submit(jobs, TP_VERB_OPTIMIZE, "org/name", ids, &err), -ENOENT,
           "no such folder of the hub");
    is_int(submit(jobs, TP_VERB_COMPRESS, "m\nn\nnope", ids, &err), -ENOENT, "one of several");
    is_int(submit(jobs, TP_VERB_COMPRESS, "m\nm", ids, &err), -EBUSY, "the same twice in one text");
    is_int(submit(jobs, TP_VERB_COMPRESS, "m\nn\no", ids, &err), -EAGAIN,
           "more than slots and queue hold");
    tp_jobs_list(jobs, &list, &after, NULL);
    free(list);
    is_u64(after, before, "nothing that was refused has left a record");

    submit_good(jobs, TP_VERB_COMPRESS, "m", ids);
    is_int(submit(jobs, TP_VERB_COMPRESS, "m", ids + 1, &err), -EBUSY, "held by another job");
    has(err.message, ids[0], "which is named");
    is_int(submit(jobs, TP_VERB_ESTIMATE, "m", ids + 1, &err), -EBUSY, "also for reading");
    submit_good(jobs, TP_VERB_ESTIMATE, "n", ids + 1);
    is_int(submit(jobs, TP_VERB_ESTIMATE, "o", ids + 2, &err), -EAGAIN, "the queue is full");
    is_int(tp_jobs_set_slots(jobs, 0, &err), -ERANGE, "no slots");
    is_int(tp_jobs_set_slots(jobs, 65, &err), -ERANGE, "too many slots");
    is_int(tp_jobs_set_slots(jobs, 2, &err), 0, "two slots");
    ok(wait_state(jobs, ids[1], TP_JOB_RUNNING), "let the second begin");
    submit_good(jobs, TP_VERB_ESTIMATE, "n", ids + 2);
    is_int(tp_jobs_get_slots(jobs), 2, "slots are reported");
    tp_jobs_close(jobs);
    free(program);
}

static void test_retry(void)
{
    char *program = make_program("program", "exit 0"), ids[4][TP_JOB_ID_MAX];
    struct tp_jobs_options options = {.dir = dir, .program = program};
    struct tp_jobs *jobs = open_jobs(&options);
    struct tp_job_status s;

    submit_good(jobs, TP_VERB_ESTIMATE, "m id=k\nn id=l\nm id=k", ids);
    is_str(ids[2], ids[0], "the same key in one text is one job");
    ok(strcmp(ids[1], ids[0]) != 0, "another key is another");
    wait_job(jobs, ids[0]);
    wait_job(jobs, ids[1]);
    submit_good(jobs, TP_VERB_ESTIMATE, "m id=k", ids + 3);
    is_str(ids[3], ids[0], "the same key again is the same job");
    tp_jobs_close(jobs);
    jobs = open_jobs(&options);
    submit_good(jobs, TP_VERB_ESTIMATE, "m id=k", ids + 3);
    is_str(ids[3], ids[0], "also by another process, later");
    is_int(tp_jobs_get(jobs, ids[0], &s, NULL), 0, "its status is read back");
    ok(s.verb == TP_VERB_ESTIMATE && s.state == TP_JOB_COMPLETED && s.created && s.started &&
           s.ended && s.requester.uid == getuid() && s.requester.pid == getpid(),
       "as it was");
    is_str(s.requester.command, "test", "the requester");
    is_str(s.subject, "m", "for what");
    tp_jobs_close(jobs);
    free(program);
}

/* A key of a different command is refused, with all commands of its text. */
static void test_retry_of_another(void)
{
    static const struct {
        enum tp_verb verb;
        const char *text;
    } others[] = {
        {TP_VERB_VERIFY, "all id=once"},
        {TP_VERB_COMPRESS, "m id=once base=none"},
        {TP_VERB_ESTIMATE, "n id=once"},
        {TP_VERB_ESTIMATE, "m id=once nice=4"},
        {TP_VERB_ESTIMATE, "m id=once memory=2GiB"},
        {TP_VERB_ESTIMATE, "m id=once nice=3 memory=2GiB base=none"},
        {TP_VERB_ESTIMATE, "n\nm id=once"},
        {TP_VERB_ESTIMATE, "m id=new\nn id=new"},
    };
    char *program = make_program("program", "exit 0"), ids[4][TP_JOB_ID_MAX];
    struct tp_jobs_options options = {.dir = dir, .program = program};
    struct tp_jobs *jobs = open_jobs(&options);
    struct tp_job_status *list;
    struct tp_error err;
    size_t before, after;

    submit_good(jobs, TP_VERB_ESTIMATE, "m id=once nice=3 memory=2GiB", ids);
    wait_job(jobs, ids[0]);
    submit_good(jobs, TP_VERB_ESTIMATE, "m memory=2048MiB id=once nice=3", ids + 1);
    is_str(ids[1], ids[0], "the same command in other words is the same job");
    if (tp_jobs_list(jobs, &list, &before, NULL) == 0)
        free(list);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        ok(submit(jobs, others[i].verb, others[i].text, ids + 1, &err) == -EINVAL &&
               strstr(err.message, "the id '"),
           "another command of the same id is refused for it: %zu", i + 1);
    }
    tp_jobs_close(jobs);
    jobs = open_jobs(&options);
    is_int(submit(jobs, TP_VERB_ESTIMATE, "m id=once", ids + 1, &err), -EINVAL,
           "also by another process, later");
    if (tp_jobs_list(jobs, &list, &after, NULL) == 0)
        free(list);
    is_int((intmax_t)after, (intmax_t)before, "and no job is taken");
    tp_jobs_close(jobs);
    free(program);
}

int main(int argc, char **argv)
{
    jobs_child(argc, argv);
    dir = make_models();
    free(make_model("models/o", "--layers=1 --seed=4"));
    test_ends();
    test_no_program();
    test_child();
    test_progress();
    test_cancel();
    test_close();
    test_refused();
    test_retry();
    test_retry_of_another();
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(dir);
    free(scratch);
    return tap_done();
}
