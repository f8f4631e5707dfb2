/* SPDX-License-Identifier: MIT */
/* Random changes to one file, each held against what a model in memory says that it must now be:
 * writes, appends, truncation both ways, mappings, holes, copies within, reopening, and a second
 * name.
 *
 *   rw_oracle [-n OPERATIONS] [-m MAX-BYTES] [-o OTHER-PATH] FILE
 *
 * OTHER-PATH is the same file outside of the mount: at the end it must hold the same bytes. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct state {
    const char *path;
    int fd;
    uint8_t *model, *scratch;
    size_t size, max;
    uint64_t random;
    const char *doing;
    size_t off, len;
    unsigned long step;
};

static uint64_t next_random(struct state *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

static size_t below(struct state *s, size_t n)
{
    return n ? (size_t)(next_random(s) % n) : 0;
}

__attribute__((noreturn)) static void die(const struct state *s, const char *what)
{
    fprintf(stderr, "step %lu, %s [%zu, +%zu) of %zu bytes: %s (%s)\n", s->step, s->doing, s->off,
            s->len, s->size, what, strerror(errno));
    exit(1);
}

static void fill(struct state *s, uint8_t *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)next_random(s);
}

static void grow(struct state *s, size_t to)
{
    if (to > s->size) {
        memset(s->model + s->size, 0, to - s->size);
        s->size = to;
    }
}

static void compare(struct state *s, const uint8_t *got, size_t off, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (got[i] != s->model[off + i]) {
            fprintf(stderr, "byte %zu is %02x, not %02x\n", off + i, got[i], s->model[off + i]);
            errno = 0;
            die(s, "wrong bytes");
        }
}

static void check_size(struct state *s)
{
    struct stat st;

    if (fstat(s->fd, &st) < 0)
        die(s, "cannot stat");
    if ((size_t)st.st_size != s->size) {
        fprintf(stderr, "size is %jd\n", (intmax_t)st.st_size);
        die(s, "wrong size");
    }
}

static void do_read(struct state *s)
{
    s->off = below(s, s->max);
    s->len = below(s, s->max / 4) + 1;
    size_t want = s->off >= s->size ? 0 : s->len < s->size - s->off ? s->len : s->size - s->off;
    ssize_t n = pread(s->fd, s->scratch, s->len, (off_t)s->off);
    if (n != (ssize_t)want)
        die(s, "short or long read");
    compare(s, s->scratch, s->off, want);
}

static void do_write(struct state *s)
{
    s->off = below(s, s->max - 1);
    s->len = below(s, (s->max - s->off) / 4) + 1;
    grow(s, s->off + s->len);
    fill(s, s->model + s->off, s->len);
    if (pwrite(s->fd, s->model + s->off, s->len, (off_t)s->off) != (ssize_t)s->len)
        die(s, "cannot write");
}

static void do_append(struct state *s)
{
    int fd = open(s->path, O_WRONLY | O_APPEND | O_CLOEXEC);

    s->off = s->size;
    s->len = below(s, 5000) + 1;
    if (s->off + s->len <= s->max) {
        grow(s, s->off + s->len);
        fill(s, s->model + s->off, s->len);
        if (fd < 0 || write(fd, s->model + s->off, s->len) != (ssize_t)s->len)
            die(s, "cannot append");
    }
    close(fd);
}

static void do_truncate(struct state *s)
{
    s->off = below(s, s->max);
    s->len = 0;
    if (below(s, 2) ? ftruncate(s->fd, (off_t)s->off) : truncate(s->path, (off_t)s->off))
        die(s, "cannot truncate");
    if (s->off < s->size)
        s->size = s->off;
    else
        grow(s, s->off);
}

/* Within the file, from a page's beginning. */
static bool choose_mapped(struct state *s)
{
    if (s->size == 0)
        return false;
    s->off = below(s, s->size) / 4096 * 4096;
    s->len = below(s, s->size - s->off) + 1;
    return true;
}

static void do_map_write(struct state *s)
{
    if (!choose_mapped(s))
        return;
    uint8_t *map = mmap(NULL, s->len, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, (off_t)s->off);
    if (map == MAP_FAILED)
        die(s, "cannot map");
    compare(s, map, s->off, s->len);
    size_t from = below(s, s->len), n = below(s, s->len - from) + 1;
    fill(s, s->model + s->off + from, n);
    memcpy(map + from, s->model + s->off + from, n);
    if (below(s, 2) && msync(map, s->len, MS_SYNC) < 0)
        die(s, "cannot sync");
    munmap(map, s->len);
}

static void do_map_read(struct state *s)
{
    if (!choose_mapped(s))
        return;
    uint8_t *map =
        mmap(NULL, s->len, PROT_READ, below(s, 2) ? MAP_SHARED : MAP_PRIVATE, s->fd, (off_t)s->off);
    if (map == MAP_FAILED)
        die(s, "cannot map");
    compare(s, map, s->off, s->len);
    munmap(map, s->len);
}

static void do_punch(struct state *s)
{
    if (s->size == 0)
        return;
    s->off = below(s, s->size);
    s->len = below(s, s->size - s->off) + 1;
    if (fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)s->off, (off_t)s->len) <
        0) {
        if (errno != EOPNOTSUPP)
            die(s, "cannot punch a hole");
        return;
    }
    memset(s->model + s->off, 0, s->len);
}

static void do_extend(struct state *s)
{
    s->off = below(s, s->max - 1);
    s->len = below(s, (s->max - s->off) / 2) + 1;
    if (fallocate(s->fd, 0, (off_t)s->off, (off_t)s->len) < 0) {
        if (errno != EOPNOTSUPP)
            die(s, "cannot allocate");
        return;
    }
    grow(s, s->off + s->len);
}

static void do_copy(struct state *s)
{
    if (s->size < 2)
        return;
    s->off = below(s, s->size / 2);
    s->len = below(s, s->size / 2 - s->off) + 1;
    off_t from = (off_t)s->off, to = (off_t)(s->size / 2);
    ssize_t n = copy_file_range(s->fd, &from, s->fd, &to, s->len, 0);
    if (n < 0 && (errno == EXDEV || errno == EOPNOTSUPP || errno == ENOSYS))
        return;
    if (n <= 0)
        die(s, "cannot copy");
    grow(s, s->size / 2 + (size_t)n);
    memmove(s->model + s->size / 2, s->model + s->off, (size_t)n);
}

static void do_reopen(struct state *s)
{
    s->off = s->len = 0;
    if (close(s->fd) < 0)
        die(s, "cannot close");
    s->fd = open(s->path, O_RDWR | O_CLOEXEC);
    if (s->fd < 0)
        die(s, "cannot open again");
}

static void do_sync(struct state *s)
{
    s->off = s->len = 0;
    if (below(s, 2) ? fsync(s->fd) : fdatasync(s->fd))
        die(s, "cannot sync");
    if (posix_fadvise(s->fd, 0, 0, POSIX_FADV_DONTNEED))
        die(s, "cannot drop pages");
}

/* To another name and back. */
static void do_rename(struct state *s)
{
    char other[4096];

    snprintf(other, sizeof other, "%s.other", s->path);
    s->off = s->len = 0;
    if (rename(s->path, other) < 0 || rename(other, s->path) < 0)
        die(s, "cannot rename");
}

static const struct {
    const char *name;
    unsigned weight;
    void (*run)(struct state *s);
} operations[] = {
    {"read", 20, do_read},
    {"write", 25, do_write},
    {"append", 5, do_append},
    {"truncate", 8, do_truncate},
    {"map-write", 10, do_map_write},
    {"map-read", 10, do_map_read},
    {"punch", 4, do_punch},
    {"extend", 4, do_extend},
    {"copy", 4, do_copy},
    {"reopen", 5, do_reopen},
    {"sync", 3, do_sync},
    {"rename", 2, do_rename},
};

static void run_one(struct state *s)
{
    unsigned total = 0;
    size_t i = 0;

    for (i = 0; i < sizeof operations / sizeof *operations; i++)
        total += operations[i].weight;
    unsigned pick = (unsigned)below(s, total);
    for (i = 0; pick >= operations[i].weight; i++)
        pick -= operations[i].weight;
    s->doing = operations[i].name;
    operations[i].run(s);
    check_size(s);
}

static void compare_whole(struct state *s, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t done = 0;

    s->doing = path;
    s->off = 0;
    s->len = s->size;
    while (fd >= 0 && done < s->max) {
        ssize_t n = pread(fd, s->scratch + done, s->max - done, (off_t)done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (fd < 0 || done != s->size)
        die(s, "not all of it can be read");
    compare(s, s->scratch, 0, s->size);
    close(fd);
}

int main(int argc, char **argv)
{
    struct state s = {.max = (size_t)1 << 20, .fd = -1};
    const char *other = NULL, *seed = getenv("TP_SEED");
    unsigned long n = 2000;
    int opt;

    while ((opt = getopt(argc, argv, "n:m:o:")) > 0) {
        if (opt == 'n')
            n = strtoul(optarg, NULL, 10);
        else if (opt == 'm')
            s.max = strtoul(optarg, NULL, 10);
        else if (opt == 'o')
            other = optarg;
        else
            return 2;
    }
    if (optind + 1 != argc || s.max < 4096)
        return 2;
    s.path = argv[optind];
    s.random =
        seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) * 2654435761u + (uint64_t)getpid();
    printf("# TP_SEED=%" PRIu64 "\n", s.random);
    fflush(stdout);
    if (s.random == 0)
        s.random = 1;
    s.model = calloc(1, s.max + 4096);
    s.scratch = malloc(s.max + 4096);
    s.doing = "create";
    s.fd = open(s.path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (!s.model || !s.scratch || s.fd < 0)
        die(&s, "cannot begin");
    for (s.step = 1; s.step <= n; s.step++)
        run_one(&s);
    compare_whole(&s, s.path);
    if (close(s.fd) < 0)
        die(&s, "cannot close");
    compare_whole(&s, other ? other : s.path);
    free(s.model);
    free(s.scratch);
    return 0;
}
