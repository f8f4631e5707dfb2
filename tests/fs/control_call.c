/* SPDX-License-Identifier: MIT */
/*
 * Calls on control files that a shell cannot make: the errno of a write, mappings, poll,
 * interrupted reads.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <unistd.h>

static char text[1 << 21];

static int told(int rc)
{
    puts(rc < 0 ? strerrorname_np(errno) : "ok");
    return 0;
}

static ssize_t take(int fd)
{
    size_t n = 0;
    ssize_t got;

    while (n < sizeof text - 1 && (got = read(fd, text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = 0;
    return (ssize_t)n;
}

/* Standard input in one write: "ok", or the errno's name. */
static int put(const char *path)
{
    size_t n = fread(text, 1, sizeof text, stdin);
    int fd = open(path, O_WRONLY);

    return told(fd < 0 || write(fd, text, n) != (ssize_t)n ? -1 : 0);
}

/* Noise of N bytes in one write. */
static int noise(const char *path, size_t n)
{
    unsigned state = 1;
    int fd = open(path, O_WRONLY);

    for (size_t i = 0; i < n; i++)
        text[i] = (char)((state = state * 1103515245u + 12345u) >> 16);
    return told(fd < 0 || write(fd, text, n) != (ssize_t)n ? -1 : 0);
}

/* What the descriptor that wrote reads back. */
static int ask(const char *path)
{
    size_t n = fread(text, 1, sizeof text, stdin);
    int fd = open(path, O_RDWR);

    if (fd < 0 || (write(fd, text, n) < 0 && errno == EBADF) || take(fd) < 0)
        return told(-1);
    fputs(text, stdout);
    return 0;
}

static int map(const char *path, int flags)
{
    int fd = open(path, O_RDONLY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return told(-1);
    char *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, flags, fd, 0);
    if (bytes == MAP_FAILED)
        return told(-1);
    return fwrite(bytes, 1, (size_t)st.st_size, stdout) != (size_t)st.st_size;
}

enum { QUIET_MS = 1500, TRIES = 80 };

/*
 * Read all; where it is to SETTLE until nothing is new any more: what happened in the directory
 * before is told within a second or so. Then run COMMAND, wait for news, and read on the same
 * descriptor: AGAIN from its beginning, or on until nothing comes.
 */
static int news(const char *path, const char *command, bool settle, bool again)
{
    int fd = open(path, O_RDONLY), tries = 0;
    struct pollfd wanted = {fd, POLLIN | POLLPRI, 0};
    fd_set set;
    struct timeval limit = {120, 0};

    if (fd < 0)
        return told(-1);
    take(fd);
    while (settle && poll(&wanted, 1, QUIET_MS) != 0 && tries++ < TRIES) {
        if (again)
            lseek(fd, 0, SEEK_SET);
        take(fd);
    }
    if (tries > TRIES)
        fputs("ready although nothing happens\n", stderr);
    if (system(command) != 0)
        return 1;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    if (select(fd + 1, &set, NULL, NULL, &limit) != 1 || poll(&wanted, 1, 0) != 1)
        return puts("no news"), 1;
    if (again)
        lseek(fd, 0, SEEK_SET);
    do {
        take(fd);
        fputs(text, stdout);
    } while (!again && poll(&wanted, 1, QUIET_MS) != 0 && tries++ < TRIES);
    return 0;
}

static void nothing(int signal)
{
    (void)signal;
}

/* A read that a signal ends after a moment; the first may come before it has begun. */
static int interrupted(const char *path)
{
    struct sigaction action = {.sa_handler = nothing};
    int fd = open(path, O_RDONLY);

    sigaction(SIGALRM, &action, NULL);
    ualarm(300000, 300000);
    return told(fd < 0 || read(fd, text, sizeof text) < 0 ? -1 : 0);
}

/*
 * What the file says at its second opening, by way of a descriptor that has held it since before
 * the first.
 */
static int reopened(const char *path)
{
    char proc[64];
    int held = open(path, O_PATH);
    ssize_t n;

    snprintf(proc, sizeof proc, "/proc/self/fd/%d", held);
    for (int i = 0; i < 2; i++) {
        int fd = open(proc, O_RDONLY);

        if (fd < 0)
            return told(-1);
        while ((n = read(fd, text, sizeof text)) > 0)
            if (i == 1)
                fwrite(text, 1, (size_t)n, stdout);
        close(fd);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";

    if (strcmp(what, "put") == 0)
        return put(argv[2]);
    if (strcmp(what, "noise") == 0 && argc > 3)
        return noise(argv[2], strtoul(argv[3], NULL, 10));
    if (strcmp(what, "ask") == 0)
        return ask(argv[2]);
    if (strcmp(what, "private") == 0 || strcmp(what, "shared") == 0)
        return map(argv[2], what[0] == 'p' ? MAP_PRIVATE : MAP_SHARED);
    if (strcmp(what, "news") == 0 && argc > 3)
        return news(argv[2], argv[3], true, true);
    if (strcmp(what, "woken") == 0 && argc > 3)
        return news(argv[2], argv[3], false, true);
    if (strcmp(what, "more") == 0 && argc > 3)
        return news(argv[2], argv[3], true, false);
    if (strcmp(what, "interrupted") == 0)
        return interrupted(argv[2]);
    if (strcmp(what, "reopened") == 0)
        return reopened(argv[2]);
    fprintf(
        stderr,
        "usage: %s put|noise|ask|private|shared|news|woken|more|interrupted|reopened FILE [ARG]\n",
        argv[0]);
    return 2;
}
