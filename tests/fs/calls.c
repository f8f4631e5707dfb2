/* SPDX-License-Identifier: MIT */
/* What system calls on names and attributes must answer, in a directory given: run on an ordinary
 * file system it shows that the table is right, run in a mount that the mount is like one.
 *
 *   calls DIR        DIR is empty and stays so; prints what was wrong
 *
 * As root also what other users may; they must get at DIR. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OTHER = 65534, THIRD = 65533 };

static unsigned checks, failures;

static void check(bool good, int line, const char *what)
{
    checks++;
    if (good)
        return;
    failures++;
    printf("# line %d: %s (%s)\n", line, what, strerror(errno));
    fflush(stdout);
}

#define TRUE(condition) check((condition), __LINE__, #condition)
#define OK(call) check((call) >= 0, __LINE__, #call)
/* Fails, and with this errno. */
#define FAILS(error, call)                                                                         \
    do {                                                                                           \
        errno = 0;                                                                                 \
        int got = (int)(call);                                                                     \
        check(got < 0 && errno == (error), __LINE__, #call " is to be " #error);                   \
    } while (0)

static struct stat look(const char *path)
{
    struct stat st = {0};

    if (lstat(path, &st) < 0)
        st.st_nlink = 0;
    return st;
}

static mode_t mode_of(const char *path)
{
    return look(path).st_mode & 07777;
}

static void make(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    TRUE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static bool holds(const char *path, const char *text)
{
    char got[256];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof got);

    close(fd);
    return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0;
}

static void test_open(void)
{
    char buffer[8];
    int fd;

    FAILS(ENOENT, open("absent", O_RDONLY));
    FAILS(ENOENT, open("absent/file", O_WRONLY | O_CREAT, 0600));
    make("file", "one", 0644);
    FAILS(EEXIST, open("file", O_WRONLY | O_CREAT | O_EXCL, 0600));
    FAILS(ENOTDIR, open("file/below", O_RDONLY));
    FAILS(ENOTDIR, open("file", O_RDONLY | O_DIRECTORY));
    OK(mkdir("dir", 0755));
    FAILS(EISDIR, open("dir", O_WRONLY));
    FAILS(EISDIR, open("dir", O_RDWR | O_CREAT, 0600));
    FAILS(EBADF, write(open("file", O_RDONLY | O_CLOEXEC), "x", 1));

    OK(fd = open("file", O_RDWR | O_APPEND | O_CLOEXEC));
    TRUE(pread(fd, buffer, 8, 0) == 3);
    TRUE(write(fd, " two", 4) == 4);
    TRUE(lseek(fd, 0, SEEK_CUR) == 7);
    close(fd);
    TRUE(holds("file", "one two"));
    OK(fd = open("file", O_WRONLY | O_TRUNC | O_CLOEXEC));
    TRUE(look("file").st_size == 0);
    close(fd);
    /* What is open for writing stays so, whatever its mode says. */
    OK(fd = open("closed", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0));
    TRUE(write(fd, "x", 1) == 1);
    OK(ftruncate(fd, 5));
    close(fd);
    TRUE(look("closed").st_size == 5 && mode_of("closed") == 0);
    OK(unlink("closed"));
    OK(unlink("file"));
    OK(rmdir("dir"));
}

static void test_names(void)
{
    char name[NAME_MAX + 2], path[PATH_MAX + 8];

    memset(name, 'n', sizeof name);
    name[NAME_MAX] = 0;
    OK(mkdir(name, 0700));
    OK(rmdir(name));
    name[NAME_MAX] = 'n';
    name[NAME_MAX + 1] = 0;
    FAILS(ENAMETOOLONG, mkdir(name, 0700));
    FAILS(ENAMETOOLONG, open(name, O_CREAT | O_WRONLY, 0600));
    FAILS(ENAMETOOLONG, symlink("x", name));
    memset(path, '/', sizeof path);
    path[sizeof path - 1] = 0;
    FAILS(ENAMETOOLONG, unlink(path));

    OK(symlink("loop", "loop"));
    FAILS(ELOOP, open("loop", O_RDONLY));
    FAILS(ELOOP, chmod("loop", 0600));
    FAILS(EEXIST, mkdir("loop", 0700));
    OK(unlink("loop"));
    OK(symlink("nowhere", "dangling"));
    FAILS(ENOENT, open("dangling", O_RDONLY));
    FAILS(ELOOP, open("dangling", O_RDONLY | O_NOFOLLOW));
    FAILS(EEXIST, open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0600));
    make("dangling", "through", 0600);
    TRUE(holds("nowhere", "through"));
    TRUE(look("dangling").st_size == 7);
    OK(unlink("dangling"));
    OK(unlink("nowhere"));
}

static void test_directories(void)
{
    FAILS(ENOENT, rmdir("absent"));
    FAILS(ENOENT, mkdir("absent/dir", 0700));
    OK(mkdir("dir", 0700));
    FAILS(EEXIST, mkdir("dir", 0700));
    make("dir/file", "", 0600);
    FAILS(ENOTDIR, rmdir("dir/file"));
    FAILS(ENOTDIR, mkdir("dir/file/x", 0700));
    FAILS(ENOTEMPTY, rmdir("dir"));
    FAILS(EINVAL, rmdir("dir/."));
    FAILS(EISDIR, unlink("dir"));
    FAILS(ENOENT, unlink("absent"));
    FAILS(ENOTDIR, unlink("dir/file/x"));
    nlink_t links = look("dir").st_nlink;
    OK(mkdir("dir/sub", 0700));
    TRUE(look("dir").st_nlink == links + 1);
    OK(rmdir("dir/sub"));
    TRUE(look("dir").st_nlink == links);
    OK(unlink("dir/file"));
    OK(rmdir("dir"));
}

static void test_links(void)
{
    char buffer[4];
    struct stat st;
    int fd;

    make("file", "abc", 0644);
    OK(link("file", "second"));
    TRUE(look("file").st_nlink == 2 && look("second").st_nlink == 2);
    TRUE(look("file").st_ino == look("second").st_ino);
    FAILS(EEXIST, link("file", "second"));
    FAILS(ENOENT, link("absent", "third"));
    OK(mkdir("dir", 0700));
    FAILS(EPERM, link("dir", "third"));
    OK(symlink("file", "soft"));
    OK(link("soft", "soft2"));
    TRUE(S_ISLNK(look("soft2").st_mode));
    OK(unlink("file"));
    TRUE(look("second").st_nlink == 1 && holds("second", "abc"));
    /* A file without a name lives on. */
    OK(fd = open("second", O_RDWR | O_CLOEXEC));
    OK(unlink("second"));
    FAILS(ENOENT, open("second", O_RDONLY));
    TRUE(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 3);
    TRUE(pwrite(fd, "xyz", 3, 1) == 3 && pread(fd, buffer, 4, 0) == 4);
    TRUE(memcmp(buffer, "axyz", 4) == 0);
    OK(ftruncate(fd, 1));
    OK(fchmod(fd, 0600));
    TRUE(fstat(fd, &st) == 0 && st.st_size == 1 && (st.st_mode & 07777) == 0600);
    OK(fsync(fd));
    close(fd);
    OK(unlink("soft"));
    OK(unlink("soft2"));
    OK(rmdir("dir"));
}

static void test_rename(void)
{
    make("a", "a", 0600);
    make("b", "b", 0600);
    OK(mkdir("dir", 0700));
    OK(mkdir("empty", 0700));
    OK(mkdir("full", 0700));
    make("full/file", "f", 0600);

    FAILS(ENOENT, rename("absent", "x"));
    FAILS(ENOENT, rename("a", "absent/x"));
    FAILS(ENOTDIR, rename("a", "b/x"));
    FAILS(EISDIR, rename("a", "dir"));
    FAILS(ENOTDIR, rename("dir", "a"));
    errno = 0;
    TRUE(rename("dir", "full") < 0 && (errno == ENOTEMPTY || errno == EEXIST));
    FAILS(EINVAL, rename("full", "full/within"));
    OK(rename("a", "a"));
    OK(rename("a", "b"));
    TRUE(holds("b", "a") && look("a").st_nlink == 0);
    OK(rename("full", "empty"));
    TRUE(holds("empty/file", "f") && look("full").st_nlink == 0);
    OK(rename("empty/file", "dir/moved"));
    TRUE(holds("dir/moved", "f"));

    FAILS(EEXIST, renameat2(AT_FDCWD, "b", AT_FDCWD, "dir/moved", RENAME_NOREPLACE));
    OK(renameat2(AT_FDCWD, "b", AT_FDCWD, "a", RENAME_NOREPLACE));
    OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "dir/moved", RENAME_EXCHANGE));
    TRUE(holds("a", "f") && holds("dir/moved", "a"));
    FAILS(ENOENT, renameat2(AT_FDCWD, "a", AT_FDCWD, "absent", RENAME_EXCHANGE));
    OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "empty", RENAME_EXCHANGE));
    TRUE(holds("empty", "f") && S_ISDIR(look("a").st_mode));
    FAILS(EINVAL, renameat2(AT_FDCWD, "a", AT_FDCWD, "x", RENAME_EXCHANGE | RENAME_NOREPLACE));

    /* Two names of one file: nothing happens. */
    OK(link("empty", "same"));
    OK(rename("empty", "same"));
    TRUE(look("empty").st_nlink == 2);
    OK(unlink("same"));
    OK(unlink("empty"));
    OK(unlink("dir/moved"));
    OK(rmdir("dir"));
    OK(rmdir("a"));
}

static void test_attributes(void)
{
    struct timespec times[2] = {{100, 5}, {200, 7}}, before;

    clock_gettime(CLOCK_REALTIME_COARSE, &before);
    umask(027);
    make("file", "x", 0666);
    TRUE(mode_of("file") == 0640);
    OK(mkdir("dir", 0777));
    TRUE(mode_of("dir") == 0750);
    OK(mkfifo("fifo", 0666));
    TRUE(S_ISFIFO(look("fifo").st_mode) && mode_of("fifo") == 0640);
    umask(0);
    TRUE(look("file").st_mtim.tv_sec >= before.tv_sec - 1);
    OK(chmod("file", 04751));
    TRUE(mode_of("file") == 04751);
    FAILS(ENOENT, chmod("absent", 0600));
    OK(utimensat(AT_FDCWD, "file", times, 0));
    TRUE(look("file").st_atim.tv_sec == 100 && look("file").st_mtim.tv_sec == 200);
    TRUE(look("file").st_mtim.tv_nsec == 7);
    times[0] = (struct timespec){300, UTIME_OMIT};
    times[1] = (struct timespec){300, 9};
    OK(utimensat(AT_FDCWD, "file", times, 0));
    TRUE(look("file").st_atim.tv_sec == 100 && look("file").st_mtim.tv_sec == 300);
    times[1].tv_nsec = UTIME_NOW;
    OK(utimensat(AT_FDCWD, "file", times, 0));
    TRUE(look("file").st_atim.tv_sec == 100 && look("file").st_mtim.tv_sec >= before.tv_sec - 1);
    OK(symlink("file", "soft"));
    times[0] = times[1] = (struct timespec){400, 0};
    OK(utimensat(AT_FDCWD, "soft", times, AT_SYMLINK_NOFOLLOW));
    TRUE(look("soft").st_mtim.tv_sec == 400 && look("file").st_mtim.tv_sec != 400);

    OK(truncate("file", 5000));
    TRUE(look("file").st_size == 5000);
    FAILS(EISDIR, truncate("dir", 0));
    FAILS(EINVAL, truncate("file", -1));
    struct timespec changed = look("file").st_mtim;
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    make("file", "longer", 0666);
    TRUE(look("file").st_mtim.tv_sec > changed.tv_sec ||
         look("file").st_mtim.tv_nsec != changed.tv_nsec);
    OK(unlink("soft"));
    OK(unlink("fifo"));
    OK(unlink("file"));
    OK(rmdir("dir"));
}

/* --- As another user --- */

static void become(uid_t uid, gid_t gid)
{
    gid_t groups[1] = {THIRD};

    if (setgroups(gid == OTHER ? 1 : 0, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
        setresuid(uid, uid, uid) < 0)
        exit(1);
}

static void as_other(void)
{
    int fd;

    FAILS(EACCES, open("private", O_RDONLY));
    FAILS(EACCES, open("public", O_WRONLY));
    FAILS(EACCES, open("shut/file", O_RDONLY));
    FAILS(EACCES, open("open_dir/new", O_WRONLY | O_CREAT, 0600));
    FAILS(EACCES, mkdir("open_dir/new", 0700));
    FAILS(EACCES, unlink("open_dir/file"));
    FAILS(EACCES, rename("open_dir/file", "sticky/file"));
    FAILS(EACCES, truncate("public", 0));
    FAILS(EPERM, chmod("public", 0777));
    FAILS(EPERM, chown("public", OTHER, (gid_t)-1));
    errno = 0;
    TRUE(utimensat(AT_FDCWD, "public", NULL, 0) < 0 && errno == EACCES);
    TRUE(holds("public", "p"));

    umask(022);
    make("sticky/mine", "m", 0666);
    TRUE(look("sticky/mine").st_uid == OTHER && look("sticky/mine").st_gid == OTHER);
    TRUE(mode_of("sticky/mine") == 0644);
    OK(mkdir("sticky/dir", 0777));
    TRUE(look("sticky/dir").st_uid == OTHER);
    OK(symlink("x", "sticky/soft"));
    TRUE(look("sticky/soft").st_uid == OTHER);
    OK(mkfifo("sticky/fifo", 0600));
    TRUE(look("sticky/fifo").st_uid == OTHER);
    FAILS(EPERM, mknod("sticky/device", S_IFCHR | 0600, makedev(1, 3)));
    FAILS(EPERM, unlink("sticky/roots"));
    FAILS(EPERM, rename("sticky/roots", "sticky/taken"));
    FAILS(EPERM, rename("sticky/mine", "sticky/roots"));
    FAILS(EPERM, chown("sticky/mine", 0, (gid_t)-1));
    FAILS(EPERM, chown("sticky/mine", (uid_t)-1, 0));
    OK(chown("sticky/mine", (uid_t)-1, THIRD));
    TRUE(look("sticky/mine").st_gid == THIRD);
    OK(chmod("sticky/mine", 0));
    FAILS(EACCES, open("sticky/mine", O_RDONLY));
    OK(fd = open("sticky/sealed", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
    TRUE(write(fd, "s", 1) == 1);
    close(fd);
    FAILS(EACCES, open("sticky/sealed", O_WRONLY));

    /* A directory of a group that one is in besides one's own; its files are the group's. */
    make("group/file", "g", 0600);
    TRUE(look("group/file").st_uid == OTHER && look("group/file").st_gid == THIRD);
    OK(mkdir("group/dir", 0700));
    TRUE(look("group/dir").st_gid == THIRD && mode_of("group/dir") & S_ISGID);

    /* Whoever writes to a program that runs as its owner takes that away. */
    OK(fd = open("setuid", O_WRONLY | O_CLOEXEC));
    TRUE(write(fd, "x", 1) == 1);
    close(fd);
    TRUE(mode_of("setuid") == 0777);
}

/*
 * Nodes of devices, which only root makes; that they cannot be opened in a mount is the mount's own
 * affair.
 */
static void test_devices(void)
{
    OK(mknod("char", S_IFCHR | 0640, makedev(1, 3)));
    OK(mknod("block", S_IFBLK | 0600, makedev(7, 200)));
    TRUE(S_ISCHR(look("char").st_mode) && look("char").st_rdev == makedev(1, 3) &&
         mode_of("char") == 0640);
    TRUE(S_ISBLK(look("block").st_mode) && look("block").st_rdev == makedev(7, 200));
    FAILS(EEXIST, mknod("char", S_IFCHR | 0600, makedev(1, 3)));
    OK(rename("char", "renamed"));
    OK(link("renamed", "second"));
    OK(chmod("second", 0600));
    TRUE(mode_of("renamed") == 0600);
    OK(unlink("renamed"));
    OK(unlink("second"));
    OK(unlink("block"));
}

static void test_users(void)
{
    static const char *const files[] = {"group/file",    "sticky/mine",   "sticky/soft",
                                        "sticky/fifo",   "sticky/sealed", "sticky/roots",
                                        "open_dir/file", "shut/file",     "setuid",
                                        "public",        "private"};
    static const char *const dirs[] = {"group/dir", "sticky/dir", "group",
                                       "sticky",    "open_dir",   "shut"};
    int status = 0;

    make("private", "p", 0600);
    make("public", "p", 0644);
    make("setuid", "", 0777);
    OK(chmod("setuid", 04777));
    OK(mkdir("shut", 0700));
    make("shut/file", "", 0644);
    OK(mkdir("open_dir", 0755));
    make("open_dir/file", "", 0666);
    OK(mkdir("sticky", 0777));
    OK(chmod("sticky", 01777));
    make("sticky/roots", "", 0666);
    OK(mkdir("group", 0770));
    OK(chown("group", 0, THIRD));
    OK(chmod("group", 02770));
    OK(chown("public", 0, 0));

    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        become(OTHER, OTHER);
        failures = 0;
        as_other();
        fflush(stdout);
        _exit(failures > 0);
    }
    TRUE(waitpid(child, &status, 0) == child && status == 0);

    OK(chown("public", OTHER, THIRD));
    TRUE(look("public").st_uid == OTHER && look("public").st_gid == THIRD);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        OK(unlink(files[i]));
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        OK(rmdir(dirs[i]));
}

int main(int argc, char **argv)
{
    if (argc != 2 || chdir(argv[1]) < 0)
        return 2;
    umask(0);
    test_open();
    test_names();
    test_directories();
    test_links();
    test_rename();
    test_attributes();
    if (geteuid() == 0) {
        test_devices();
        test_users();
    }
    printf("# %u checks, %u failed\n", checks, failures);
    return failures > 0;
}
