/* SPDX-License-Identifier: MIT */
/*
 * Compares a file in a mount with the original: random ranges, by every way to read, from many
 * threads of several processes, the page cache dropped now and then. Silent when all is equal;
 * otherwise says where it is not. Exits with 77 where -w asks for a way that the kernel refuses.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/fs/uring.h"
#include "tests/tap.h"

enum { LEN_MAX = 3 << 20, ALIGN = 4096 };

/* The exit status where the kernel refuses the one way that is asked for. */
enum { NOT_HERE = 77 };

enum way { PREAD, READV, DIRECT, MAP_PRIVATE_WAY, MAP_SHARED_WAY, SENDFILE, SPLICE, URING, WAYS };
static const char *const way_names[WAYS] = {"pread",       "readv",    "O_DIRECT", "private mmap",
                                            "shared mmap", "sendfile", "splice",   "io_uring"};

/* What a thread reads with. */
struct means {
    int fd, direct;
    uint8_t *buf;
    struct uring uring;
};

static struct {
    const char *original, *mounted;
    const uint8_t *want;
    uint64_t size, seed;
    unsigned rounds, threads, processes, process_no;
    int only; /* one of the ways, or -1 */
    bool no_uring;
    atomic_uint thread_no;
    atomic_int failed;
} oracle = {.rounds = 200, .threads = 4, .processes = 2, .only = -1};

static void complain(enum way way, uint64_t off, size_t len, const char *what)
{
    fprintf(stderr, "%s: %s of %zu bytes at %" PRIu64 ": %s\n", oracle.mounted, way_names[way], len,
            off, what);
    atomic_store(&oracle.failed, 1);
}

static ssize_t by_pread(int fd, uint8_t *buf, uint64_t off, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, buf + done, len - done, (off_t)(off + done));
        if (n <= 0)
            return n < 0 ? n : (ssize_t)done;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static ssize_t by_readv(int fd, uint8_t *buf, uint64_t off, size_t len)
{
    size_t first = len / 3;
    struct iovec iov[2] = {{buf, first}, {buf + first, len - first}};
    return preadv(fd, iov, 2, (off_t)off);
}

static ssize_t by_map(int fd, uint8_t *buf, uint64_t off, size_t len, int flags)
{
    uint64_t from = off / ALIGN * ALIGN;
    size_t n = len + (size_t)(off - from);
    uint8_t *map = mmap(NULL, n, PROT_READ, flags, fd, (off_t)from);
    if (map == MAP_FAILED)
        return -1;
    memcpy(buf, map + (off - from), len);
    munmap(map, n);
    return (ssize_t)len;
}

/* Through a pipe, a piece at a time. */
static ssize_t by_pipe(int fd, uint8_t *buf, uint64_t off, size_t len, bool spliced)
{
    int ends[2];
    size_t done = 0;
    ssize_t n = 0;
    if (pipe(ends) < 0)
        return -1;
    while (done < len) {
        off_t at = (off_t)(off + done);
        size_t part = len - done < 32768 ? len - done : 32768;
        n = spliced ? splice(fd, &at, ends[1], NULL, part, 0) : sendfile(ends[1], fd, &at, part);
        if (n <= 0 || read(ends[0], buf + done, (size_t)n) != n)
            break;
        done += (size_t)n;
    }
    close(ends[0]);
    close(ends[1]);
    return n < 0 ? n : (ssize_t)done;
}

static ssize_t read_range(enum way way, struct means *means, uint64_t off, size_t len)
{
    uint8_t *buf = means->buf;
    int fd = means->fd;

    switch (way) {
    case PREAD:
        return by_pread(fd, buf, off, len);
    case READV:
        return by_readv(fd, buf, off, len);
    case DIRECT:
        return by_pread(means->direct, buf, off, len);
    case MAP_PRIVATE_WAY:
        return by_map(fd, buf, off, len, MAP_PRIVATE);
    case MAP_SHARED_WAY:
        return by_map(fd, buf, off, len, MAP_SHARED);
    case SENDFILE:
    case SPLICE:
        return by_pipe(fd, buf, off, len, way == SPLICE);
    case URING:
        return uring_read(&means->uring, fd, buf, off, len);
    case WAYS:
        break;
    }
    errno = EINVAL;
    return -1;
}

static enum way choose_way(uint64_t *state, const struct means *means)
{
    if (oracle.only >= 0)
        return (enum way)oracle.only;
    return (enum way)(tap_random(state) % (means->uring.fd < 0 ? URING : WAYS));
}

static void check_one(uint64_t *state, struct means *means)
{
    enum way way = choose_way(state, means);
    uint64_t off = tap_random(state) % oracle.size;
    /* Many short ones, some long ones. */
    uint64_t len = 1 + tap_random(state) % (tap_random(state) % 4 ? 10000 : LEN_MAX);
    if (way == DIRECT) {
        off = off / ALIGN * ALIGN;
        len = (len + ALIGN - 1) / ALIGN * ALIGN;
    }
    uint64_t expected = len < oracle.size - off ? len : oracle.size - off;
    if (way != DIRECT && way != PREAD)
        len = expected;
    ssize_t got = read_range(way, means, off, (size_t)len);
    if (got < 0)
        complain(way, off, (size_t)len, strerror(errno));
    else if ((uint64_t)got != expected)
        complain(way, off, (size_t)len, "another length than the original's");
    else if (memcmp(means->buf, oracle.want + off, (size_t)got) != 0)
        complain(way, off, (size_t)len, "other bytes than the original's");
}

static void *check(void *arg)
{
    uint64_t state = oracle.seed + 1000003 * (uint64_t)oracle.process_no +
                     atomic_fetch_add(&oracle.thread_no, 1);
    struct means means = {.fd = open(oracle.mounted, O_RDONLY | O_CLOEXEC),
                          .direct = open(oracle.mounted, O_RDONLY | O_DIRECT | O_CLOEXEC),
                          .uring = {.fd = -1}};
    void *buf = NULL;
    int rc = oracle.no_uring ? 0 : uring_open(&means.uring);
    unsigned rounds = oracle.rounds;

    (void)arg;
    if (means.fd < 0 || means.direct < 0 || posix_memalign(&buf, ALIGN, LEN_MAX + ALIGN) != 0) {
        fprintf(stderr, "%s: cannot be opened: %s\n", oracle.mounted, strerror(errno));
        atomic_store(&oracle.failed, 1);
    }
    if (rc == -ENOMEM) {
        /*
         * Old kernels take the rings from what a user may lock, and give it back late: without one,
         * then.
         */
        means.uring.fd = -1;
        rounds = oracle.only == URING ? 0 : rounds;
    } else if (rc < 0) {
        fprintf(stderr, "no io_uring for a thread: %s\n", strerror(-rc));
        atomic_store(&oracle.failed, 1);
    }
    means.buf = buf;
    for (unsigned i = 0; i < rounds && !atomic_load(&oracle.failed); i++) {
        if (tap_random(&state) % 16 == 0)
            posix_fadvise(means.fd, 0, 0, POSIX_FADV_DONTNEED);
        check_one(&state, &means);
    }
    uring_close(&means.uring);
    free(buf);
    close(means.fd);
    close(means.direct);
    return NULL;
}

static int run_threads(void)
{
    pthread_t threads[256];
    unsigned n = oracle.threads < 256 ? oracle.threads : 256;
    for (unsigned i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, check, NULL) != 0)
            return 1;
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    return atomic_load(&oracle.failed);
}

static int open_original(void)
{
    struct stat want, got;
    int fd = open(oracle.original, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &want) < 0 || stat(oracle.mounted, &got) < 0) {
        fprintf(stderr, "cannot open '%s' or '%s': %s\n", oracle.original, oracle.mounted,
                strerror(errno));
        return -1;
    }
    if (want.st_size != got.st_size) {
        fprintf(stderr, "%s has %jd bytes, the original %jd\n", oracle.mounted,
                (intmax_t)got.st_size, (intmax_t)want.st_size);
        return -1;
    }
    oracle.size = (uint64_t)want.st_size;
    if (oracle.size > 0) {
        void *map = mmap(NULL, oracle.size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            return -1;
        oracle.want = map;
    }
    close(fd);
    return 0;
}

static int way_of(const char *name)
{
    for (int way = 0; way < WAYS; way++)
        if (strcmp(way_names[way], name) == 0)
            return way;
    fprintf(stderr, "oracle: no way '%s'\n", name);
    return -2;
}

/* Not everywhere: other ways do then, unless it alone is asked for. */
static int try_uring(void)
{
    struct uring uring;
    int rc = uring_open(&uring);

    if (rc == 0) {
        uring_close(&uring);
        return 0;
    }
    fprintf(stderr, "# io_uring: %s\n", strerror(-rc));
    oracle.no_uring = true;
    return oracle.only == URING ? NOT_HERE : 0;
}

static bool options(int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "n:t:p:w:")) != -1) {
        unsigned value = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (option) {
        case 'w':
            oracle.only = way_of(optarg);
            break;
        case 'n':
            oracle.rounds = value;
            break;
        case 't':
            oracle.threads = value;
            break;
        case 'p':
            oracle.processes = value;
            break;
        default:
            optind = argc + 1;
        }
    }
    if (argc - optind == 2 && oracle.only >= -1)
        return true;
    fputs("usage: oracle [-n READS] [-t THREADS] [-p PROCESSES] [-w WAY] ORIGINAL MOUNTED\n",
          stderr);
    return false;
}

int main(int argc, char **argv)
{
    const char *seed = getenv("TP_SEED");
    int status, failed;

    if (!options(argc, argv))
        return 2;
    oracle.original = argv[optind];
    oracle.mounted = argv[optind + 1];
    oracle.seed = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    fprintf(stderr, "# TP_SEED=%" PRIu64 "\n", oracle.seed);
    failed = try_uring();
    if (failed)
        return failed;
    if (open_original() < 0)
        return 1;
    if (oracle.size == 0)
        return 0;
    for (; oracle.process_no < oracle.processes; oracle.process_no++)
        if (fork() == 0)
            _exit(run_threads());
    while (wait(&status) > 0)
        failed |= status != 0;
    return failed;
}
