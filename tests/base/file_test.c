/* SPDX-License-Identifier: MIT */
/* Files: exact reads, bounded reads, atomic replacement, and removal that no link leads astray. */
#include <config.h>

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/tap.h"

static char *dir;
static int dirfd_;

static void put(const char *name, const char *text)
{
    int fd = openat(dirfd_, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || tp_file_write(fd, text, strlen(text), name, NULL) < 0)
        bail_out("cannot write %s", name);
    close(fd);
}

static bool exists(const char *name)
{
    struct stat st;
    return fstatat(dirfd_, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void test_read(void)
{
    struct tp_error err = {0};
    struct tp_buffer buf = {0};
    char got[8] = "";
    put("ten", "0123456789");
    int fd = openat(dirfd_, "ten", O_RDONLY | O_CLOEXEC);
    is_int(tp_file_pread(fd, got, 4, 3, "ten", &err), 0, "pread");
    is_str(got, "3456", "gives the range");
    is_int(tp_file_pread(fd, got, 4, 7, "ten", &err), -EBADMSG, "a range over the end is damage");
    has(err.message, "'ten' ends at byte 10", "and the message says where the file ends");
    is_int(tp_file_pread(fd, got, 4, UINT64_MAX - 1, "ten", &err), -EBADMSG,
           "so is an offset beyond files");
    is_int(tp_file_pread(fd, NULL, 0, 10, "ten", &err), 0, "nothing can be read at the end");
    close(fd);

    is_int(tp_file_read_all(dirfd_, "ten", 10, &buf, &err), 0, "read_all at its limit");
    is_str((char *)buf.data, "0123456789", "gives everything");
    is_int(tp_file_read_all(dirfd_, "ten", 9, &buf, &err), -EFBIG, "over the limit");
    is_u64(buf.len, 10, "leaves the buffer as it was");
    is_int(tp_file_read_all(dirfd_, "none", 10, &buf, &err), -ENOENT, "no such file");
    has(err.message, "'none'", "is named");
    tp_buffer_clear(&buf);
    is_int(tp_file_read_all(AT_FDCWD, "/proc/self/status", 1 << 20, &buf, &err), 0,
           "a file without a size");
    ok(buf.len > 100, "is read all the same");
    tp_buffer_clear(&buf);
}

static void test_replace(void)
{
    struct tp_error err = {0};
    struct tp_buffer buf = {0};
    struct stat st;
    char *path = NULL;
    if (asprintf(&path, "%s/replaced", dir) < 0)
        bail_out("memory");
    put("replaced", "old");
    is_int(tp_file_replace(path, "newer", 5, 0640, &err), 0, "replace");
    tp_file_read_all(AT_FDCWD, path, 100, &buf, NULL);
    is_str((char *)buf.data, "newer", "has the new bytes");
    stat(path, &st);
    is_int(st.st_mode & 0777, 0640, "and the mode");
    is_int(tp_file_replace("/nonexistent-folder/x", "", 0, 0600, &err), -ENOENT,
           "where no folder is, it fails");
    ok(tp_file_sync_parent(path, &err) == 0 && tp_file_sync_parent("x", &err) == 0 &&
           tp_file_sync_parent("/", &err) == 0,
       "parents of any path can be synced");
    tp_buffer_clear(&buf);
    free(path);
}

static void test_remove(void)
{
    struct tp_error err = {0};
    mkdirat(dirfd_, "keep", 0700);
    put("keep/precious", "x");
    mkdirat(dirfd_, "tree", 0700);
    mkdirat(dirfd_, "tree/sub", 0700);
    put("tree/sub/file", "x");
    if (symlinkat("../../keep", dirfd_, "tree/sub/link") < 0)
        bail_out("no symbolic links here");
    is_int(tp_file_remove_tree(dirfd_, "tree", &err), 0, "a tree is removed");
    ok(!exists("tree"), "whole");
    ok(exists("keep/precious"), "what a link in it pointed to is still there");

    if (symlinkat("keep", dirfd_, "link") < 0)
        bail_out("no symbolic links here");
    is_int(tp_file_remove_tree(dirfd_, "link", &err), 0, "a link is removed");
    ok(!exists("link") && exists("keep/precious"), "itself, not what it points to");
    is_int(tp_file_remove_tree(dirfd_, "none", &err), -ENOENT,
           "what is not there cannot be removed");

    /* Deeper than any path name and any limit of descriptors reaches. */
    int fd = dup(dirfd_);
    int made = 0;
    for (; made < 3000; made++) {
        if (mkdirat(fd, "d", 0700) < 0)
            break;
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    close(fd);
    is_int(made, 3000, "a tree 3000 levels deep");
    is_int(tp_file_remove_tree(dirfd_, "d", &err), 0, "is removed");
    ok(!exists("d"), "whole as well");
}

static bool is_unnamed(int fd)
{
    struct stat st;
    char got[4] = "";

    return fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0 && (st.st_mode & 0777) == 0600 &&
           tp_file_pwrite(fd, "abc", 3, 5, "it", NULL) == 0 &&
           tp_file_pread(fd, got, 3, 5, "it", NULL) == 0 && strcmp(got, "abc") == 0;
}

/* From here on O_TMPFILE is not supported, as in some network file systems. */
static bool forbid_tmpfile(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void test_unnamed(void)
{
    int fd = tp_file_unnamed(dirfd_, ".", 0600), other;

    ok(is_unnamed(fd), "a file without a name");
    other = tp_file_unnamed(AT_FDCWD, "/nowhere", 0600);
    ok(other < 0 && errno == ENOENT, "not in a directory that is not there");
    close(fd);
    if (!forbid_tmpfile()) {
        skip("no filter of system calls here");
        return;
    }
    fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    ok(fd < 0 && errno == EOPNOTSUPP, "a file system without O_TMPFILE");
    fd = tp_file_unnamed(AT_FDCWD, dir, 0600);
    ok(is_unnamed(fd), "has such files, too");
    close(fd);
}

int main(void)
{
    struct tp_error err = {0};
    dir = tap_tmpdir();
    dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    test_read();
    test_replace();
    test_remove();
    test_unnamed();
    close(dirfd_);
    is_int(tp_file_remove_tree(AT_FDCWD, dir, &err), 0, "nothing is left behind");
    free(dir);
    return tap_done();
}
