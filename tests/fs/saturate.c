/* SPDX-License-Identifier: MIT */
/*
 * Many threads that fault in pages of a few mapped files at once, each page held against the
 * original's, while another thread drops what was cached, so that every fault asks the mount again.
 * Fails when a thread gets nowhere for WATCHDOG seconds, and says in which state it is. Ends by
 * SIGTERM, or after a time.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/tap.h"

enum { FILES_MAX = 16, THREADS_MAX = 512, PAGE = 4096, RUN = 64, WATCHDOG = 240 };

struct file {
    const char *path;
    int fd;
    size_t size;
    const uint8_t *want;
    uint8_t *maps[3]; /* private; shared, read in order; shared, at random */
};

struct worker {
    pthread_t thread;
    long tid;
    uint64_t state;
    atomic_ullong pages;
    /* Of the watchdog: */
    unsigned long long seen;
    time_t since;
};

static struct file files[FILES_MAX];
static struct worker workers[THREADS_MAX];
static unsigned file_n, worker_n = 200, seconds = 900;
static atomic_bool ending;
static atomic_int wrong;
static volatile sig_atomic_t told_to_end;

static void on_term(int number)
{
    (void)number;
    told_to_end = 1;
}

static const uint8_t *map_all(const char *path, int *fd, size_t *size)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &st) < 0) {
        fprintf(stderr, "cannot open '%s': %s\n", path, strerror(errno));
        exit(1);
    }
    *size = (size_t)st.st_size;
    void *map = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, *fd, 0);
    if (map == MAP_FAILED) {
        fprintf(stderr, "cannot map '%s': %s\n", path, strerror(errno));
        exit(1);
    }
    return map;
}

static void add_file(const char *original, const char *mounted)
{
    struct file *file = &files[file_n++];
    size_t size;
    int fd;

    file->path = mounted;
    file->want = map_all(original, &fd, &file->size);
    map_all(mounted, &file->fd, &size);
    if (size != file->size) {
        fprintf(stderr, "'%s' has another size\n", mounted);
        exit(1);
    }
    for (int i = 0; i < 3; i++) {
        void *map = mmap(NULL, size, PROT_READ, i == 0 ? MAP_PRIVATE : MAP_SHARED, file->fd, 0);
        if (map == MAP_FAILED)
            exit(1);
        file->maps[i] = map;
    }
    madvise(file->maps[1], size, MADV_SEQUENTIAL);
    madvise(file->maps[2], size, MADV_RANDOM);
}

static void *work(void *arg)
{
    struct worker *self = arg;

    self->tid = syscall(SYS_gettid);
    while (!atomic_load(&ending) && !atomic_load(&wrong)) {
        const struct file *file = &files[tap_random(&self->state) % file_n];
        const uint8_t *map = file->maps[tap_random(&self->state) % 3];
        size_t at = tap_random(&self->state) % file->size / PAGE * PAGE;
        for (unsigned i = 0; i < RUN && at < file->size; i++, at += PAGE) {
            size_t len = file->size - at < PAGE ? file->size - at : PAGE;
            if (memcmp(map + at, file->want + at, len) != 0) {
                fprintf(stderr, "'%s' has other bytes at %zu\n", file->path, at);
                atomic_store(&wrong, 1);
            }
            atomic_fetch_add(&self->pages, 1);
        }
    }
    return NULL;
}

static void drop_all(void)
{
    for (unsigned i = 0; i < file_n; i++) {
        for (int j = 0; j < 3; j++)
            madvise(files[i].maps[j], files[i].size, MADV_DONTNEED);
        posix_fadvise(files[i].fd, 0, 0, POSIX_FADV_DONTNEED);
    }
}

static void show(long tid, const char *what)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%ld/%s", tid, what);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    line[n > 0 ? n : 0] = 0;
    fprintf(stderr, "  %s: %s\n", what, line);
    if (fd >= 0)
        close(fd);
}

/* True when every thread got on lately. */
static bool all_alive(time_t now)
{
    bool good = true;
    for (unsigned i = 0; i < worker_n; i++) {
        struct worker *worker = &workers[i];
        unsigned long long pages = atomic_load(&worker->pages);
        if (pages != worker->seen || worker->since == 0) {
            worker->seen = pages;
            worker->since = now;
        } else if (now - worker->since > WATCHDOG && good) {
            fprintf(stderr, "thread %ld is stuck\n", worker->tid);
            show(worker->tid, "stat");
            show(worker->tid, "wchan");
            show(worker->tid, "syscall");
            good = false;
        }
    }
    return good;
}

int main(int argc, char **argv)
{
    const char *text = getenv("TP_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL), pages = 0;
    int i = 1;

    for (; i + 1 < argc && argv[i][0] == '-'; i += 2)
        *(argv[i][1] == 't' ? &worker_n : &seconds) = (unsigned)strtoul(argv[i + 1], NULL, 10);
    if (argc - i < 2 || (argc - i) % 2 || argc - i > 2 * FILES_MAX || worker_n > THREADS_MAX) {
        fputs("usage: saturate [-t THREADS] [-s SECONDS] {ORIGINAL MOUNTED}...\n", stderr);
        return 2;
    }
    fprintf(stderr, "# TP_SEED=%" PRIu64 "\n", seed);
    for (; i + 1 < argc; i += 2)
        add_file(argv[i], argv[i + 1]);
    for (unsigned w = 0; w < worker_n; w++) {
        workers[w].state = seed + 1000003 * w;
        if (pthread_create(&workers[w].thread, NULL, work, &workers[w])) {
            fprintf(stderr, "cannot start %u threads\n", worker_n);
            return 1;
        }
    }
    signal(SIGTERM, on_term);
    puts("running");
    fflush(stdout);
    for (time_t end = time(NULL) + seconds;
         time(NULL) < end && !told_to_end && !atomic_load(&wrong);) {
        drop_all();
        if (!all_alive(time(NULL)))
            _exit(1); /* a stuck thread cannot be joined */
        usleep(50000);
    }
    atomic_store(&ending, true);
    /* SIGALRM ends what does not end by itself. */
    alarm(WATCHDOG);
    for (unsigned w = 0; w < worker_n; w++) {
        pthread_join(workers[w].thread, NULL);
        pages += atomic_load(&workers[w].pages);
    }
    fprintf(stderr, "# %" PRIu64 " pages compared by %u threads\n", pages, worker_n);
    return atomic_load(&wrong) || pages == 0;
}
