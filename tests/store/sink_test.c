/* SPDX-License-Identifier: MIT */
/*
 * The file that a thread writes: every byte is in its place for any pieces, and errors are
 * reported.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/file.h"
#include "store/write/sink.h"
#include "tests/tap.h"

#define MIB (1u << 20)

static char *dir;
static uint8_t *data; /* what is written */
static size_t data_len;
static uint64_t state;

static int open_new(const char *where, const char *name, char **path)
{
    int fd;

    if (asprintf(path, "%s/%s", where, name) < 0)
        bail_out("memory");
    fd = open(*path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        bail_out("cannot create '%s'", *path);
    return fd;
}

static bool holds(const char *path, size_t len)
{
    uint8_t *got = malloc(len + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    bool good = got && fd >= 0 && fstat(fd, &st) == 0 && (size_t)st.st_size == len &&
                tp_file_pread(fd, got, len, 0, path, NULL) == 0 && memcmp(got, data, len) == 0;

    if (fd >= 0)
        close(fd);
    free(got);
    return good;
}

/* LEN bytes in pieces of up to PIECE. */
static int put_all(struct tp_sink *sink, size_t len, size_t piece, struct tp_error *err)
{
    size_t n;

    for (size_t at = 0; at < len; at += n) {
        int rc;

        n = 1 + tap_random(&state) % piece;
        n = n < len - at ? n : len - at;
        rc = tp_sink_put(sink, data + at, n, err);
        if (rc < 0)
            return rc;
    }
    return tp_sink_finish(sink, err);
}

static void writes(const char *where, size_t len, size_t piece)
{
    struct tp_error err = {0};
    struct tp_sink *sink;
    char *path;
    int fd = open_new(where, "out", &path);

    if (tp_sink_create(fd, path, TP_SINK_PLACE, &sink, &err) < 0)
        bail_out("%s", err.message);
    is_int(put_all(sink, len, piece, &err), 0, "put and finish");
    ok(!(fcntl(fd, F_GETFL) & O_DIRECT), "the descriptor is as it was");
    tp_sink_destroy(sink);
    close(fd);
    ok(holds(path, len), "%zu bytes, in pieces of up to %zu, are in the file", len, piece);
    unlink(path);
    free(path);
}

/* The file may not grow beyond LIMIT: told at the latest by finish, whatever was put after it. */
static void fails(size_t limit, size_t len)
{
    struct rlimit was, now;
    struct tp_error err = {0};
    struct tp_sink *sink;
    char *path;
    int fd = open_new(dir, "out", &path);

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    now = was;
    now.rlim_cur = limit;
    if (tp_sink_create(fd, path, TP_SINK_PLACE, &sink, &err) < 0 ||
        setrlimit(RLIMIT_FSIZE, &now) < 0)
        bail_out("cannot limit files");
    is_int(put_all(sink, len, MIB, &err), -EFBIG, "a file that may not grow");
    has(err.message, "cannot write", "names what failed");
    has(err.message, path, "and of which file");
    tp_sink_destroy(sink);
    setrlimit(RLIMIT_FSIZE, &was);
    close(fd);
    unlink(path);
    free(path);
}

/* Whoever gives up does not finish. */
static void gives_up(size_t len)
{
    struct tp_error err = {0};
    struct tp_sink *sink;
    char *path;
    int fd = open_new(dir, "out", &path);

    if (tp_sink_create(fd, path, TP_SINK_PLACE, &sink, &err) < 0)
        bail_out("%s", err.message);
    is_int(tp_sink_put(sink, data, len, &err), 0, "put without an end");
    tp_sink_destroy(sink);
    is_int(fcntl(fd, F_GETFD), FD_CLOEXEC, "leaves the descriptor open");
    close(fd);
    unlink(path);
    free(path);
}

int main(void)
{
    static const size_t lengths[] = {
        0, 1, 4096, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 8 * MIB, 12 * MIB + 4097, 17 * MIB};
    const char *memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NULL;

    dir = tap_tmpdir();
    state = tap_seed();
    data_len = 17 * MIB;
    data = malloc(data_len);
    if (!data)
        bail_out("memory");
    for (size_t i = 0; i < data_len; i++)
        data[i] = (uint8_t)(i ^ i >> 8 ^ (i >> 16) * 31);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        writes(dir, lengths[i], 256 * 1024);
        writes(dir, lengths[i], 9 * MIB);
    }
    if (memory) {
        char *there = NULL;

        if (asprintf(&there, "%s/tenpak-sink-XXXXXX", memory) < 0 || !mkdtemp(there))
            bail_out("cannot make a directory in '%s'", memory);
        writes(there, 9 * MIB + 5, 256 * 1024);
        rmdir(there);
        free(there);
    } else {
        skip("there is no /dev/shm");
    }
    fails(6 * MIB + 1, 7 * MIB);  /* in the last piece, which finish writes */
    fails(6 * MIB + 1, 17 * MIB); /* in one that the thread writes, cut short */
    fails(1, 17 * MIB);
    gives_up(100);
    gives_up(9 * MIB);
    rmdir(dir);
    free(data);
    free(dir);
    return tap_done();
}
