/* SPDX-License-Identifier: MIT */
/*
 * Put before the C library (LD_PRELOAD), this counts the calls that touch files under one
 * directory, and lets one of them fail, or the process die in front of it, as the environment says:
 *
 *   TP_FAULT_DIR    the directory, an absolute path
 *   TP_FAULT_AT     number of the call, from 1; 0 or absent: none, they are only counted
 *   TP_FAULT_KIND   kill (SIGKILL), stop (SIGSTOP), short (half of the bytes), or an errno: EIO,
 * ENOSPC, EINTR, EINVAL, EMFILE TP_FAULT_CALLS  which calls count: "read,write,sync,..." (absent:
 * all); "flags" is fcntl(F_SETFL), "hint" sync_file_range, "space" fallocate and ftruncate
 *   TP_FAULT_PATH   only those whose path contains this, too
 *   TP_FAULT_STICKY not empty: every call from TP_FAULT_AT on
 *   TP_FAULT_LOG    a file that gets a line for each counted call
 *
 * Not part of the program, and knows nothing of it.
 */
#include <config.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *dir, *kind, *calls, *part;
static bool sticky;
static long at, count;
static int log_fd = -1;

static void read_environment(void)
{
    const char *number = getenv("TP_FAULT_AT"), *log = getenv("TP_FAULT_LOG");

    dir = getenv("TP_FAULT_DIR");
    kind = getenv("TP_FAULT_KIND");
    calls = getenv("TP_FAULT_CALLS");
    part = getenv("TP_FAULT_PATH");
    sticky = getenv("TP_FAULT_STICKY") && *getenv("TP_FAULT_STICKY");
    at = number ? strtol(number, NULL, 10) : 0;
    if (log)
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                              0600);
}

/* Whether NAME is one of the comma-separated words of LIST. */
static bool listed(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (const char *p = list; (p = strstr(p, name)) != NULL; p += len)
        if ((p == list || p[-1] == ',') && (p[len] == ',' || p[len] == '\0'))
            return true;
    return false;
}

/* The path of a descriptor, or PATH under the one of DIRFD. */
static void resolve(int fd, const char *path, char *out, size_t size)
{
    char link[64], base[PATH_MAX];
    long n;

    if (path && *path == '/') {
        snprintf(out, size, "%s", path);
        return;
    }
    if (fd == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
    base[n > 0 ? n : 0] = '\0';
    if (path)
        snprintf(out, size, "%s/%s", base, path);
    else
        snprintf(out, size, "%s", base);
}

enum verdict { GO_ON, FAIL, SHORT };

/*
 * This call in its turn: what is to become of it. Errno is what it was, or what the call is to fail
 * with.
 */
static enum verdict judge(const char *call, int fd, const char *path)
{
    static const struct {
        const char *name;
        int code;
    } errors[] = {
        {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EINTR", EINTR}, {"EINVAL", EINVAL}, {"EMFILE", EMFILE}};
    char full[2 * PATH_MAX], line[2 * PATH_MAX + 64];
    int saved = errno;
    long number;

    pthread_once(&once, read_environment);
    if (!dir || (calls && !listed(calls, call)))
        return GO_ON;
    resolve(fd, path, full, sizeof full);
    errno = saved;
    if (strncmp(full, dir, strlen(dir)) != 0 || (part && !strstr(full, part)))
        return GO_ON;
    /* Lines are in the order of their numbers, whichever threads make the calls. */
    pthread_mutex_lock(&lock);
    number = ++count;
    if (log_fd >= 0) {
        int n = snprintf(line, sizeof line, "%ld %s %s\n", number, call, full);

        syscall(SYS_write, log_fd, line, (size_t)n);
        errno = saved;
    }
    pthread_mutex_unlock(&lock);
    if (!at || !kind || (sticky ? number < at : number != at))
        return GO_ON;
    if (strcmp(kind, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(kind, "stop") == 0)
        kill(getpid(), SIGSTOP);
    if (strcmp(kind, "short") == 0)
        return SHORT;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (strcmp(kind, errors[i].name) == 0) {
            errno = errors[i].code;
            return FAIL;
        }
    return GO_ON;
}

#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

/*
 * --- Calls that name a path
 * ---------------------------------------------------------------------------------
 */

#define OPEN_MODE(flags, mode)                                                                     \
    do {                                                                                           \
        if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                   \
            va_list ap;                                                                            \
            va_start(ap, flags);                                                                   \
            mode = va_arg(ap, mode_t);                                                             \
            va_end(ap);                                                                            \
        }                                                                                          \
    } while (0)

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    OPEN_MODE(flags, mode);
    return judge("open", AT_FDCWD, path) == FAIL ? -1 : REAL(open)(path, flags, mode);
}

int openat(int fd, const char *path, int flags, ...)
{
    mode_t mode = 0;

    OPEN_MODE(flags, mode);
    return judge("open", fd, path) == FAIL ? -1 : REAL(openat)(fd, path, flags, mode);
}

/* openat2 has no name in the C library. */
long syscall(long number, ...)
{
    long a[6];
    va_list ap;

    va_start(ap, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (number == SYS_openat2 && judge("open", (int)a[0], (const char *)a[1]) == FAIL)
        return -1;
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int rename(const char *from, const char *to)
{
    return judge("rename", AT_FDCWD, from) == FAIL ? -1 : REAL(rename)(from, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return judge("rename", from_fd, from) == FAIL
               ? -1
               : REAL(renameat2)(from_fd, from, to_fd, to, flags);
}

int unlink(const char *path)
{
    return judge("unlink", AT_FDCWD, path) == FAIL ? -1 : REAL(unlink)(path);
}

int unlinkat(int fd, const char *path, int flags)
{
    return judge("unlink", fd, path) == FAIL ? -1 : REAL(unlinkat)(fd, path, flags);
}

int rmdir(const char *path)
{
    return judge("unlink", AT_FDCWD, path) == FAIL ? -1 : REAL(rmdir)(path);
}

int mkdir(const char *path, mode_t mode)
{
    return judge("mkdir", AT_FDCWD, path) == FAIL ? -1 : REAL(mkdir)(path, mode);
}

int mkdirat(int fd, const char *path, mode_t mode)
{
    return judge("mkdir", fd, path) == FAIL ? -1 : REAL(mkdirat)(fd, path, mode);
}

int symlinkat(const char *target, int fd, const char *path)
{
    return judge("symlink", fd, path) == FAIL ? -1 : REAL(symlinkat)(target, fd, path);
}

/*
 * --- Calls on a descriptor
 * ----------------------------------------------------------------------------------
 */

int fchmod(int fd, mode_t mode)
{
    return judge("chmod", fd, NULL) == FAIL ? -1 : REAL(fchmod)(fd, mode);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
    return judge("chown", fd, NULL) == FAIL ? -1 : REAL(fchown)(fd, uid, gid);
}

int futimens(int fd, const struct timespec times[2])
{
    return judge("utime", fd, NULL) == FAIL ? -1 : REAL(futimens)(fd, times);
}

int fsync(int fd)
{
    return judge("sync", fd, NULL) == FAIL ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    return judge("sync", fd, NULL) == FAIL ? -1 : REAL(fdatasync)(fd);
}

int syncfs(int fd)
{
    return judge("sync", fd, NULL) == FAIL ? -1 : REAL(syncfs)(fd);
}

int sync_file_range(int fd, off64_t off, off64_t len, unsigned flags)
{
    return judge("hint", fd, NULL) == FAIL ? -1 : REAL(sync_file_range)(fd, off, len, flags);
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
    return judge("space", fd, NULL) == FAIL ? -1 : REAL(fallocate)(fd, mode, off, len);
}

int ftruncate(int fd, off_t len)
{
    return judge("space", fd, NULL) == FAIL ? -1 : REAL(ftruncate)(fd, len);
}

off_t lseek(int fd, off_t off, int whence)
{
    return judge("seek", fd, NULL) == FAIL ? -1 : REAL(lseek)(fd, off, whence);
}

int fcntl(int fd, int command, ...)
{
    va_list ap;

    va_start(ap, command);
    long value = va_arg(ap, long);
    va_end(ap);
    return command == F_SETFL && judge("flags", fd, NULL) == FAIL ? -1
                                                                  : REAL(fcntl)(fd, command, value);
}

int flock(int fd, int operation)
{
    return judge("flock", fd, NULL) == FAIL ? -1 : REAL(flock)(fd, operation);
}

static size_t half(size_t len)
{
    return len > 1 ? len / 2 : len;
}

ssize_t read(int fd, void *dst, size_t len)
{
    enum verdict v = judge("read", fd, NULL);

    return v == FAIL ? -1 : REAL(read)(fd, dst, v == SHORT ? half(len) : len);
}

ssize_t pread(int fd, void *dst, size_t len, off_t off)
{
    enum verdict v = judge("read", fd, NULL);

    return v == FAIL ? -1 : REAL(pread)(fd, dst, v == SHORT ? half(len) : len, off);
}

ssize_t write(int fd, const void *src, size_t len)
{
    enum verdict v = judge("write", fd, NULL);

    return v == FAIL ? -1 : REAL(write)(fd, src, v == SHORT ? half(len) : len);
}

ssize_t pwrite(int fd, const void *src, size_t len, off_t off)
{
    enum verdict v = judge("write", fd, NULL);

    return v == FAIL ? -1 : REAL(pwrite)(fd, src, v == SHORT ? half(len) : len, off);
}

/*
 * With 64-bit offsets asked for, the same calls have these names; read and write have one name
 * each.
 */
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int openat64(int fd, const char *path, int flags, ...) __attribute__((alias("openat")));
ssize_t pread64(int fd, void *dst, size_t len, off_t off) __attribute__((alias("pread")));
ssize_t pwrite64(int fd, const void *src, size_t len, off_t off) __attribute__((alias("pwrite")));
int fallocate64(int fd, int mode, off_t off, off_t len) __attribute__((alias("fallocate")));
int ftruncate64(int fd, off_t len) __attribute__((alias("ftruncate")));
off_t lseek64(int fd, off_t off, int whence) __attribute__((alias("lseek")));
int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

/* With FORTIFY_SOURCE the same calls have these names. */
ssize_t __read_chk(int fd, void *dst, size_t len, size_t size);
ssize_t __pread64_chk(int fd, void *dst, size_t len, off_t off, size_t size);
int __open64_2(const char *path, int flags);
int __openat64_2(int fd, const char *path, int flags);

ssize_t __read_chk(int fd, void *dst, size_t len, size_t size)
{
    return len <= size ? read(fd, dst, len) : (abort(), -1);
}

ssize_t __pread64_chk(int fd, void *dst, size_t len, off_t off, size_t size)
{
    return len <= size ? pread(fd, dst, len, off) : (abort(), -1);
}

int __open64_2(const char *path, int flags)
{
    return open(path, flags);
}

int __openat64_2(int fd, const char *path, int flags)
{
    return openat(fd, path, flags);
}
int __open_2(const char *path, int flags) __attribute__((alias("__open64_2")));
int __openat_2(int fd, const char *path, int flags) __attribute__((alias("__openat64_2")));
ssize_t __pread_chk(int fd, void *dst, size_t len, off_t off, size_t size)
    __attribute__((alias("__pread64_chk")));
