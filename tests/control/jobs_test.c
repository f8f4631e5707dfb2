/* SPDX-License-Identifier: MIT */
/* Real jobs: models are packed, restored and verified by processes that are cancelled or killed. */
#include <config.h>

#include <dirent.h>
#include <sys/mman.h>

#include "tests/control/jobs.h"

#define BIG "--layers=3 --hidden=512 --inter=1536 --vocab=8192"
/*
 * Take so long that a test comes in time for them on any machine: to end them, and to meddle with
 * them.
 */
#define SLOWEST "big base=none codec=zstd zstd_level=19 threads=1"
#define SLOWLY "big base=none codec=zstd zstd_level=12 threads=1"

static char *dir, *models[4];

/* The model NAME as it was when it was made: from its copy outside of the directory. */
static bool is_whole(const char *name, const char *copy)
{
    char *command;
    bool same;

    if (asprintf(&command, "diff -r '%s/%s' '%s/%s' >/dev/null", dir, name, scratch, copy) < 0)
        bail_out("memory");
    same = system(command) == 0;
    free(command);
    return same;
}

static bool has_entry(const char *name, const char *suffix)
{
    char *path = in_scratch("models/%s%s", name, suffix);
    bool found = exists(path);

    free(path);
    return found;
}

static void copy_of(const char *name)
{
    char *command;

    if (asprintf(&command, "cp -a '%s/%s' '%s/copy-%s'", dir, name, scratch, name) < 0 ||
        system(command) != 0)
        bail_out("cp");
    free(command);
}

/* Three fine-tunes at once, their base found, and packed by one of them. */
static void test_three(struct tp_jobs *jobs)
{
    char ids[4][TP_JOB_ID_MAX], *report;
    unsigned packed_base = 0;

    submit_good(jobs, TP_VERB_COMPRESS, "ft1\nft2\nft3", ids);
    for (int i = 0; i < 3; i++) {
        struct tp_job_status s = wait_job(jobs, ids[i]);

        if (!ok(s.state == TP_JOB_COMPLETED && s.has_report, "compressed: %s", s.subject))
            diag("%s", s.message);
        report = job_file(jobs, ids[i], "report.json");
        has(report, "\"base\": \"base\"", "against the base");
        packed_base += strstr(report, "\"base_packed\": true") != NULL;
        ok(has_entry(s.subject, ".tnpk") && !has_entry(s.subject, ""),
           "the pack is in the directory's place");
        free(report);
    }
    is_u64(packed_base, 1, "one of them packed the base");
    submit_good(jobs, TP_VERB_VERIFY, "all", ids);
    is_int(wait_job(jobs, ids[0]).state, TP_JOB_COMPLETED, "all are whole");
    report = job_file(jobs, ids[0], "report.json");
    has(report, "\"verified\": 4", "the base and the three");
    free(report);
    submit_good(jobs, TP_VERB_RESTORE, "ft1\nft2 keep=yes", ids);
    for (int i = 0; i < 2; i++)
        is_int(wait_job(jobs, ids[i]).state, TP_JOB_COMPLETED, "restored");
    ok(is_whole("ft1", "copy-ft1") && !has_entry("ft1", ".tnpk"),
       "as it was, and the pack has gone");
    ok(is_whole("ft2", "copy-ft2") && has_entry("ft2", ".tnpk"), "as it was, beside the pack");
    submit_good(jobs, TP_VERB_ESTIMATE, "ft1", ids);
    is_int(wait_job(jobs, ids[0]).state, TP_JOB_COMPLETED, "estimated");
    report = job_file(jobs, ids[0], "report.json");
    has(report, "\"stored_bytes_low\": ", "with an interval");
    free(report);
}

static void test_damage(struct tp_jobs *jobs)
{
    char ids[1][TP_JOB_ID_MAX], *path = in_scratch("models/ft3.tnpk"), *report;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte;
    struct tp_job_status s;

    if (fd < 0 || pread(fd, &byte, 1, 5000) != 1 || (byte ^= 1, pwrite(fd, &byte, 1, 5000)) != 1)
        bail_out("'%s'", path);
    submit_good(jobs, TP_VERB_VERIFY, "all", ids);
    s = wait_job(jobs, ids[0]);
    ok(s.state == TP_JOB_FAILED && s.error == EBADMSG, "damage fails the job with EBADMSG");
    report = job_file(jobs, ids[0], "report.json");
    has(report, "\"bad\": 1", "the report says how many");
    has(report, "\"name\": \"EBADMSG\"", "and why");
    has(report, "\"findings\": [\n          \"", "and where");
    free(report);
    byte ^= 1;
    if (pwrite(fd, &byte, 1, 5000) != 1)
        bail_out("'%s'", path);
    close(fd);
    free(path);
}

/* Cancelled as soon as it runs, a little later, later still: the model stays, nothing is left. */
static void test_cancelled(struct tp_jobs *jobs)
{
    unsigned cancelled = 0, whole = 0;

    for (int i = 0; i < 8; i++) {
        char ids[1][TP_JOB_ID_MAX];
        struct tp_job_status s;

        submit_good(jobs, TP_VERB_COMPRESS, i < 2 ? SLOWEST : "big base=none threads=1", ids);
        wait_state(jobs, ids[0], TP_JOB_RUNNING);
        usleep((useconds_t)(i * i * 12000));
        tp_jobs_cancel(jobs, ids[0], NULL);
        s = wait_job(jobs, ids[0]);
        cancelled += s.state == TP_JOB_CANCELLED;
        if (s.state == TP_JOB_COMPLETED) {
            submit_good(jobs, TP_VERB_RESTORE, "big", ids);
            wait_job(jobs, ids[0]);
        }
        whole +=
            is_whole("big", "copy-big") && !has_entry("big", ".tnpk") && count_leftovers(dir) == 0;
    }
    diag("%u of 8 were cancelled before their end", cancelled);
    ok(cancelled >= 2, "jobs can be cancelled");
    is_u64(whole, 8, "the model is as it was, and nothing is left beside it");
}

/* Kill the processes that threads of this one have started. (A pgrep would be one of them.) */
static void kill_children(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    char path[300];
    long pid;

    while (tasks && (task = readdir(tasks))) {
        snprintf(path, sizeof path, "/proc/self/task/%s/children", task->d_name);
        FILE *f = task->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (f && fscanf(f, "%ld", &pid) == 1)
            kill((pid_t)pid, SIGKILL);
        if (f)
            fclose(f);
    }
    if (tasks)
        closedir(tasks);
}

static void test_killed(struct tp_jobs *jobs)
{
    char ids[1][TP_JOB_ID_MAX];
    struct tp_job_status s;

    submit_good(jobs, TP_VERB_COMPRESS, SLOWEST, ids);
    ok(wait_packing(jobs, ids[0]), "a job packs");
    kill_children();
    s = wait_job(jobs, ids[0]);
    ok(s.state == TP_JOB_FAILED && s.error == EIO, "when it is killed it has failed");
    ok(is_whole("big", "copy-big") && !has_entry("big", ".tnpk"), "its model is as it was");
    is_u64(count_leftovers(dir), 0, "and nothing is left");
}

/* A file that is written to while its model is packed: the writer wins. */
static void test_written(struct tp_jobs *jobs)
{
    char ids[1][TP_JOB_ID_MAX], *path = in_scratch("models/big/config.json"), *report;
    struct tp_buffer was = read_file(path), now;
    struct tp_job_status s;

    submit_good(jobs, TP_VERB_COMPRESS, SLOWLY, ids);
    ok(wait_packing(jobs, ids[0]), "a job packs");
    write_file(path, "{\"model_type\": \"other\"}", 23);
    s = wait_job(jobs, ids[0]);
    ok(s.state == TP_JOB_FAILED && s.error == EBUSY,
       "a model that is written to fails its job with EBUSY");
    report = job_file(jobs, ids[0], "report.json");
    has(report, "\"name\": \"EBUSY\"", "so the report says");
    now = read_file(path);
    ok(now.len == 23 && memcmp(now.data, "{\"model_type\": \"other\"}", 23) == 0,
       "what was written stays");
    ok(!has_entry("big", ".tnpk") && count_leftovers(dir) == 0,
       "there is no pack, and nothing is left");
    write_file(path, was.data, was.len);
    tp_buffer_clear(&was);
    tp_buffer_clear(&now);
    free(report);
    free(path);
}

/* A process that has the model open or mapped continues to read the same bytes. */
static void test_open(struct tp_jobs *jobs)
{
    char ids[1][TP_JOB_ID_MAX], *path = in_scratch("models/big/model.safetensors");
    struct tp_buffer was = read_file(path), now = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *map = mmap(NULL, was.len, PROT_READ, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED || tp_buffer_reserve(&now, was.len) < 0)
        bail_out("mmap");
    submit_good(jobs, TP_VERB_COMPRESS, "big base=none", ids);
    is_int(wait_job(jobs, ids[0]).state, TP_JOB_COMPLETED, "a model that is open is compressed");
    ok(!exists(path) && has_entry("big", ".tnpk"), "the directory has gone");
    ok(pread(fd, now.data, was.len, 0) == (ssize_t)was.len &&
           memcmp(now.data, was.data, was.len) == 0,
       "the open file has its bytes");
    ok(memcmp(map, was.data, was.len) == 0, "so has the mapping");
    munmap(map, was.len);
    close(fd);
    submit_good(jobs, TP_VERB_RESTORE, "big", ids);
    is_int(wait_job(jobs, ids[0]).state, TP_JOB_COMPLETED, "and back");
    tp_buffer_clear(&was);
    tp_buffer_clear(&now);
    free(path);
}

static void test_memory(struct tp_jobs *jobs)
{
    char ids[1][TP_JOB_ID_MAX];
    struct tp_job_status s;

    if (getenv("TP_SANITIZED") && strstr(getenv("TP_SANITIZED"), "sanitize")) {
        skip("memory limits: a sanitizer takes more than any");
        return;
    }
    submit_good(jobs, TP_VERB_COMPRESS, "big base=none memory=64M threads=200", ids);
    s = wait_job(jobs, ids[0]);
    if (!ok(s.state == TP_JOB_FAILED && (s.error == ENOMEM || s.error == EAGAIN),
            "a job has no more memory than it may"))
        diag("%s %d %s", tp_job_state_name(s.state), s.error, s.message);
    ok(is_whole("big", "copy-big") && count_leftovers(dir) == 0, "and its model stays");
    submit_good(jobs, TP_VERB_COMPRESS, "big base=none memory=1G threads=2 nice=19 io=idle", ids);
    is_int(wait_job(jobs, ids[0]).state, TP_JOB_COMPLETED, "with enough it is done");
    submit_good(jobs, TP_VERB_RESTORE, "big", ids);
    wait_job(jobs, ids[0]);
}

/* The runner is killed during a job: the job is interrupted, and its model stays whole. */
static void test_runner_killed(const struct tp_jobs_options *options)
{
    char id[TP_JOB_ID_MAX] = "", ids[1][TP_JOB_ID_MAX];
    struct tp_jobs *jobs;
    struct tp_job_status s;
    int ends[2], status;
    pid_t pid;

    if (pipe(ends) < 0 || (pid = fork()) < 0)
        bail_out("fork");
    if (pid == 0) {
        jobs = open_jobs(options);
        submit_good(jobs, TP_VERB_COMPRESS, SLOWEST, ids);
        wait_packing(jobs, ids[0]);
        if (write(ends[1], ids[0], TP_JOB_ID_MAX) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    if (read(ends[0], id, sizeof id) != sizeof id)
        bail_out("read");
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    jobs = open_jobs(options);
    ok(wait_state(jobs, id, TP_JOB_INTERRUPTED), "a job whose runner was killed is interrupted");
    ok(tp_jobs_get(jobs, id, &s, NULL) == 0 && s.error == EINTR && s.ended > 0, "and says so");
    ok(is_whole("big", "copy-big") && !has_entry("big", ".tnpk"), "its model is as it was");
    is_u64(count_leftovers(dir), 0, "nothing is left");
    submit_good(jobs, TP_VERB_COMPRESS, "big base=none", ids);
    is_int(wait_job(jobs, ids[0]).state, TP_JOB_COMPLETED, "the same can be asked again");
    submit_good(jobs, TP_VERB_RESTORE, "big", ids);
    wait_job(jobs, ids[0]);
    tp_jobs_close(jobs);
    close(ends[0]);
    close(ends[1]);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"base", "ft1", "ft2", "ft3"};
    struct tp_jobs_options options;
    struct tp_jobs *jobs;

    jobs_child(argc, argv);
    scratch = tap_tmpdir();
    dir = in_scratch("models");
    options = (struct tp_jobs_options){.dir = dir, .slots = 2};
    if (mkdir(dir, 0755) < 0)
        bail_out("mkdir");
    models[0] = make_model("models/base", "--layers=2");
    models[1] = make_model("models/ft1", "--layers=2 --noise=0.01 --noise-seed=1");
    models[2] = make_model("models/ft2", "--layers=2 --noise=0.01 --noise-seed=2");
    models[3] = make_model("models/ft3", "--layers=2 --noise=0.01 --noise-seed=3");
    for (int i = 0; i < 4; i++) {
        copy_of(names[i]);
        free(models[i]);
    }
    jobs = open_jobs(&options);
    test_three(jobs);
    test_damage(jobs);
    free(make_model("models/big", BIG));
    copy_of("big");
    test_cancelled(jobs);
    test_killed(jobs);
    test_written(jobs);
    test_open(jobs);
    test_memory(jobs);
    tp_jobs_close(jobs);
    test_runner_killed(&options);
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(dir);
    free(scratch);
    return tap_done();
}
