/* SPDX-License-Identifier: MIT */
/*
 * Threads that open, read and stat the files of a model by path, through a mount, while the model's
 * directory and its pack take each other's place beneath, by the renames that packing and unpacking
 * make; and by their last names in the directories that they had open before all that. Any error is
 * one too many, and so is a byte that differs.
 *
 * swap STORE POINT ORIGINAL NAME SECONDS PACK: ORIGINAL is the model's directory, PACK a pack of it
 * beside STORE. swap STORE POINT ORIGINAL NAME SECONDS - TENPAK: the program packs and unpacks.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* PATIENCE: seconds after which something is wrong. */
enum { FILES_MAX = 32, READERS = 6, PATH_ROOM = 2048, OPENS_LEAST = 100, PATIENCE = 240 };

static const char *store, *point, *original, *name, *pack, *tenpak;
static struct file {
    char path[PATH_ROOM]; /* below the model's directory */
    const char *last;
    int held;    /* the directory that it was in, in the mount, at the beginning */
    int entry_n; /* of that */
    uint8_t *want;
    size_t size;
} files[FILES_MAX];
static unsigned file_n;
static int entry_n;
static atomic_bool ending;
static atomic_ulong opens, errors, wrong;
static atomic_ulong walks[READERS]; /* paths that each of them has followed to the end */

__attribute__((noreturn)) static void die(const char *what)
{
    perror(what);
    exit(2);
}

static uint8_t *read_whole(int dir, const char *path, size_t *size)
{
    struct stat st;
    size_t done = 0;
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;

    if (fd < 0)
        return NULL;
    uint8_t *data = fstat(fd, &st) < 0 ? NULL : malloc((size_t)st.st_size + 1);
    while (data && n > 0) {
        n = read(fd, data + done, (size_t)st.st_size + 1 - done);
        if (n > 0)
            done += (size_t)n;
    }
    int code = errno;
    close(fd);
    if (n < 0) {
        free(data);
        errno = code;
        return NULL;
    }
    *size = done;
    return data;
}

static int add_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)where;
    if (type != FTW_F)
        return 0;
    struct file *file = &files[file_n++];
    snprintf(file->path, sizeof file->path, "%s", path + strlen(original) + 1);
    file->want = read_whole(AT_FDCWD, path, &file->size);
    if (!file->want)
        die(path);
    return file_n == FILES_MAX;
}

static void complain(const char *what, const char *path)
{
    int code = errno;

    if (atomic_fetch_add(&errors, 1) < 10)
        printf("# %s %s: %s\n", what, path, strerror(code));
}

/* Entries of a directory, or -1. */
static int entries_of(int at, const char *path)
{
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir)
        return -1;
    errno = 0;
    while (readdir(dir))
        n++;
    if (errno)
        n = -1;
    closedir(dir);
    return n;
}

/* The directories of the files, in the mount. */
static void hold(void)
{
    char path[2 * PATH_ROOM];

    for (unsigned i = 0; i < file_n; i++) {
        struct file *file = &files[i];
        char *slash = strrchr(file->path, '/');
        file->last = slash ? slash + 1 : file->path;
        snprintf(path, sizeof path, "%s/%s/%.*s", point, name, (int)(file->last - file->path),
                 file->path);
        file->held = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        file->entry_n = file->held < 0 ? -1 : entries_of(file->held, ".");
        if (file->entry_n < 0)
            die(path);
    }
}

static void check(const struct file *file, int dir, const char *path)
{
    size_t size = 0;
    uint8_t *got = read_whole(dir, path, &size);

    if (!got)
        complain("read", path);
    else if (size != file->size || memcmp(got, file->want, size) != 0)
        atomic_fetch_add(&wrong, 1);
    free(got);
}

static void *read_on(void *arg)
{
    const uintptr_t self = (uintptr_t)arg;
    unsigned at = (unsigned)self;
    char path[2 * PATH_ROOM];

    while (!atomic_load(&ending)) {
        const struct file *file = &files[at++ % file_n];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s/%s", point, name, file->path);
        if (stat(path, &st) < 0)
            complain("stat", path);
        else if ((size_t)st.st_size != file->size)
            atomic_fetch_add(&wrong, 1);
        atomic_fetch_add(&walks[self], 1);
        check(file, AT_FDCWD, path);
        atomic_fetch_add(&walks[self], 1);
        check(file, file->held, file->last);
        atomic_fetch_add(&walks[self], 1);
        snprintf(path, sizeof path, "%s/%s", point, name);
        int n = entries_of(AT_FDCWD, path);
        if (n < 0)
            complain("list", path);
        else if (n != entry_n)
            atomic_fetch_add(&wrong, 1);
        atomic_fetch_add(&walks[self], 1);
        n = entries_of(file->held, ".");
        if (n < 0)
            complain("list the held directory of", file->path);
        else if (n != file->entry_n)
            atomic_fetch_add(&wrong, 1);
        atomic_fetch_add(&walks[self], 1);
        atomic_fetch_add(&opens, 1);
    }
    return NULL;
}

static void run(const char *const *argv)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        die(argv[0]);
    if (status != 0) {
        printf("# %s %s has failed\n", argv[0], argv[1]);
        exit(2);
    }
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/*
 * Until every path that was being followed has been followed to its end. Packing and unpacking sync
 * what they write, so a name keeps its meaning for some time: a path that is followed twice meets
 * one change at most. On a busy machine that must be waited for.
 */
static void settle(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    const double end = seconds() + PATIENCE;

    for (unsigned i = 0; i < READERS; i++)
        for (unsigned long before = atomic_load(&walks[i]); atomic_load(&walks[i]) == before;
             nanosleep(&pause, NULL))
            if (seconds() > end) {
                printf("# reader %u is stuck\n", i);
                exit(2);
            }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static void swap_once(void)
{
    char plain[PATH_ROOM], packed[PATH_ROOM], aside[PATH_ROOM], temporary[PATH_ROOM];

    snprintf(plain, sizeof plain, "%s/%s", store, name);
    snprintf(packed, sizeof packed, "%s/%s.tnpk", store, name);
    snprintf(aside, sizeof aside, "%s/.%s.removing", store, name);
    snprintf(temporary, sizeof temporary, "%s/.%s.tmp-1-1", store, name);
    if (link(pack, temporary) < 0 || rename(temporary, packed) < 0)
        die("making the pack");
    if (rename(plain, aside) < 0 || nftw(aside, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0)
        die("removing the directory");
    settle();
    run((const char *const[]){"cp", "-R", "-p", "-f", "--", original, temporary, NULL});
    if (rename(temporary, plain) < 0)
        die("making the directory");
    if (unlink(packed) < 0)
        die("removing the pack");
    settle();
}

static void swap_by_program(void)
{
    char plain[PATH_ROOM], packed[PATH_ROOM];

    snprintf(plain, sizeof plain, "%s/%s", store, name);
    snprintf(packed, sizeof packed, "%s/%s.tnpk", store, name);
    run((const char *const[]){tenpak, "pack", "-q", "-b", "none", plain, NULL});
    settle();
    run((const char *const[]){tenpak, "unpack", "-q", packed, NULL});
    settle();
}

int main(int argc, char **argv)
{
    pthread_t readers[READERS];
    double start, wanted;
    unsigned rounds = 0;

    if (argc != 7 && argc != 8)
        return 2;
    store = argv[1];
    point = argv[2];
    original = argv[3];
    name = argv[4];
    wanted = strtod(argv[5], NULL);
    pack = argv[6];
    tenpak = argv[7];
    if (nftw(original, add_file, 16, FTW_PHYS) < 0 || file_n == 0)
        die(original);
    entry_n = entries_of(AT_FDCWD, original);
    hold();
    start = seconds();
    for (uintptr_t i = 0; i < READERS; i++)
        if (pthread_create(&readers[i], NULL, read_on, (void *)i) != 0)
            die("pthread_create");
    do {
        if (tenpak)
            swap_by_program();
        else
            swap_once();
        rounds++;
    } while (seconds() - start < wanted ||
             (atomic_load(&opens) < OPENS_LEAST && seconds() - start < PATIENCE));
    atomic_store(&ending, true);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    printf("# %lu opens, %u rounds, %lu errors, %lu wrong\n", atomic_load(&opens), rounds,
           atomic_load(&errors), atomic_load(&wrong));
    return atomic_load(&errors) || atomic_load(&wrong) || atomic_load(&opens) < OPENS_LEAST;
}
