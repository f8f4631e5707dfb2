/* SPDX-License-Identifier: MIT */
/*
 * The measurements of bench/mount that need one process: reading whole files in several ways,
 * reading random pages, and operations on names. Prints one JSON object. Times are wall-clock
 * times.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 20, DIRECT_PIECE = 4 << 20, PAGE = 4096, THREADS_MAX = 64 };

struct part {
    const char *path;
    char way; /* r: read, m: mmap, d: O_DIRECT */
    uint64_t from, to;
    uint64_t sum;
    int error;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "mount_reader: '%s': %s\n", what, strerror(errno));
    exit(1);
}

static int read_part(struct part *part, int fd)
{
    size_t size = part->way == 'd' ? DIRECT_PIECE : PIECE;
    void *buf = NULL;
    int rc = 0;

    if (posix_memalign(&buf, PAGE, size))
        return ENOMEM;
    memset(buf, 1, size);
    for (uint64_t off = part->from; off < part->to && rc == 0;) {
        ssize_t n = pread(fd, buf, size, (off_t)off);
        if (n <= 0)
            rc = n < 0 ? errno : ENODATA;
        else
            off += (uint64_t)n;
        part->sum += *(uint8_t *)buf;
    }
    free(buf);
    return rc;
}

static int map_part(struct part *part, int fd)
{
    uint64_t from = part->from / PAGE * PAGE;
    uint8_t *map = mmap(NULL, part->to - from, PROT_READ, MAP_SHARED, fd, (off_t)from);

    if (map == MAP_FAILED)
        return errno;
    madvise(map, part->to - from, MADV_SEQUENTIAL);
    for (uint64_t i = 0; i < part->to - from; i += PAGE)
        part->sum += map[i];
    munmap(map, part->to - from);
    return 0;
}

static void *run_part(void *arg)
{
    struct part *part = arg;
    int fd = open(part->path, O_RDONLY | O_CLOEXEC | (part->way == 'd' ? O_DIRECT : 0));

    if (fd < 0)
        part->error = errno;
    else
        part->error = part->way == 'm' ? map_part(part, fd) : read_part(part, fd);
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* Each thread reads its own part of every file. */
static void whole(char way, unsigned threads, char **files, int n)
{
    struct part parts[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    uint64_t bytes = 0;
    double start = now(), cpu = cpu_seconds();

    for (int i = 0; i < n; i++) {
        struct stat st;
        if (stat(files[i], &st) < 0)
            die(files[i]);
        uint64_t size = (uint64_t)st.st_size, step = (size / threads + PIECE) / PIECE * PIECE;
        for (unsigned t = 0; t < threads; t++) {
            uint64_t from = t * step < size ? t * step : size;
            parts[t] =
                (struct part){files[i], way, from, size - from < step ? size : from + step, 0, 0};
            if (pthread_create(&ids[t], NULL, run_part, &parts[t]))
                die("thread");
        }
        for (unsigned t = 0; t < threads; t++) {
            pthread_join(ids[t], NULL);
            errno = parts[t].error;
            if (errno)
                die(files[i]);
        }
        bytes += size;
    }
    printf("{\"bytes\": %llu, \"seconds\": %.6f, \"cpu\": %.6f}\n", (unsigned long long)bytes,
           now() - start, cpu_seconds() - cpu);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the values. */
static void print_times(double *times, size_t n)
{
    qsort(times, n, sizeof *times, by_value);
    printf("{\"n\": %zu, \"best_us\": %.3f, \"median_us\": %.3f, \"p99_us\": %.3f}\n", n,
           1e6 * times[0], 1e6 * times[n / 2], 1e6 * times[n * 99 / 100]);
}

/*
 * Read pages of a file, each with one request (O_DIRECT). STRIDE: distance between them; 0: random.
 */
static void pages(const char *path, size_t n, uint64_t stride)
{
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    double *times = calloc(n, sizeof *times);
    uint64_t state = (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
    struct stat st;
    void *buf;

    if (fd < 0 || fstat(fd, &st) < 0 || !times || posix_memalign(&buf, PAGE, PAGE))
        die(path);
    uint64_t all = (uint64_t)st.st_size / PAGE;
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t page = stride ? i * stride / PAGE : (state >> 17);
        double start = now();
        if (pread(fd, buf, PAGE, (off_t)(page % all * PAGE)) != PAGE)
            die(path);
        times[i] = now() - start;
    }
    print_times(times, n);
    free(times);
    free(buf);
    close(fd);
}

static size_t list(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;

    if (!dir)
        die(path);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* Repeat WHAT over the entries of DIR, each of which has FILE. Times are those of one call. */
static void names(const char *what, const char *dir, const char *file, size_t rounds)
{
    double *times = calloc(rounds, sizeof *times);
    char **paths = NULL;
    size_t n = 0;
    DIR *stream = opendir(dir);
    struct stat st;

    if (!stream || !times)
        die(dir);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        if (entry->d_name[0] == '.')
            continue;
        paths = realloc(paths, (n + 1) * sizeof *paths);
        if (!paths || asprintf(&paths[n++], "%s/%s/%s", dir, entry->d_name, file) < 0)
            die("memory");
    }
    closedir(stream);
    for (size_t round = 0; round < rounds; round++) {
        double start = now();
        if (strcmp(what, "list") == 0) {
            if (list(dir) < n)
                die(dir);
        }
        for (size_t i = 0; i < n && strcmp(what, "list"); i++) {
            int fd = strcmp(what, "open") == 0 ? open(paths[i], O_RDONLY | O_CLOEXEC) : -1;
            if (strcmp(what, "stat") == 0 ? stat(paths[i], &st) < 0 : fd < 0)
                die(paths[i]);
            if (fd >= 0)
                close(fd);
        }
        times[round] = (now() - start) / (double)(strcmp(what, "list") ? n : 1);
    }
    print_times(times, rounds);
    for (size_t i = 0; i < n; i++)
        free(paths[i]);
    free(paths);
    free(times);
}

static size_t number(const char *text)
{
    return (size_t)strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    bool reads =
        strcmp(what, "read") == 0 || strcmp(what, "mmap") == 0 || strcmp(what, "direct") == 0;

    if (reads && argc > 3 && number(argv[2]) >= 1 && number(argv[2]) <= THREADS_MAX) {
        whole(what[0], (unsigned)number(argv[2]), argv + 3, argc - 3);
    } else if (strcmp(what, "pages") == 0 && argc == 5 && number(argv[2]) > 0) {
        pages(argv[4], number(argv[2]), number(argv[3]));
    } else if ((strcmp(what, "open") == 0 || strcmp(what, "stat") == 0 ||
                strcmp(what, "list") == 0) &&
               argc == 5 && number(argv[2]) > 0) {
        names(what, argv[3], argv[4], number(argv[2]));
    } else {
        fputs("usage: mount_reader read|mmap|direct THREADS FILE...\n"
              "       mount_reader pages N STRIDE FILE\n"
              "       mount_reader open|stat|list ROUNDS DIR FILE\n",
              stderr);
        return 2;
    }
    return 0;
}
