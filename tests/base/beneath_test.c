/* SPDX-License-Identifier: MIT */
/* Opening beneath a directory: only files in it, whatever links there are. */
#include <config.h>

#include "base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "tests/tap.h"

typedef int (*opener)(int dirfd, const char *path, int flags, mode_t mode);

static char *dir;
static int fd_dir;

static void put(const char *path)
{
    int fd = openat(fd_dir, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || tp_file_write(fd, path, strlen(path), path, NULL) < 0)
        bail_out("cannot write %s", path);
    close(fd);
}

static void make_files(void)
{
    if (mkdirat(fd_dir, "model", 0700) < 0 || mkdirat(fd_dir, "model/sub", 0700) < 0 ||
        mkdirat(fd_dir, "outside", 0700) < 0)
        bail_out("no directories");
    put("model/sub/file");
    put("model/file");
    put("outside/file");
    if (symlinkat("../outside", fd_dir, "model/link") < 0 ||
        symlinkat("sub", fd_dir, "model/inner") < 0 ||
        symlinkat("../../outside/file", fd_dir, "model/sub/last") < 0)
        bail_out("no links");
}

/* The errno of opening PATH, 0 where it opens; then the bytes must be its own path's. */
static int outcome(opener open_it, int at, const char *path, int flags)
{
    char want[64], got[64] = "";
    int fd = open_it(at, path, flags, 0600);

    if (fd < 0)
        return errno;
    snprintf(want, sizeof want, "model/%s", path);
    if (!(flags & O_CREAT) && (read(fd, got, sizeof got - 1) < 0 || strcmp(got, want) != 0))
        diag("'%s' gives '%s'", path, got);
    close(fd);
    return 0;
}

static void test_with(opener open_it, const char *name)
{
    int at = openat(fd_dir, "model", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    diag("%s", name);
    is_int(outcome(open_it, at, "file", O_RDONLY), 0, "a file opens");
    is_int(outcome(open_it, at, "sub/file", O_RDONLY), 0, "one in a directory, too");
    is_int(outcome(open_it, at, "sub/none", O_RDONLY), ENOENT, "what is not there does not");
    is_int(outcome(open_it, at, "file/x", O_RDONLY), ENOTDIR, "nor what is beneath a file");
    is_int(outcome(open_it, at, "link/file", O_RDONLY), ELOOP, "a link on the way is not followed");
    is_int(outcome(open_it, at, "inner/file", O_RDONLY), ELOOP, "not even one that stays within");
    is_int(outcome(open_it, at, "sub/last", O_RDONLY), ELOOP, "nor one at the end");
    is_int(outcome(open_it, at, "../outside/file", O_RDONLY), EXDEV, "'..' does not lead out");
    is_int(outcome(open_it, at, "sub/../file", O_RDONLY), EXDEV, "nor in again");
    is_int(outcome(open_it, at, "/etc/passwd", O_RDONLY), EXDEV, "nor does a '/'");
    is_int(outcome(open_it, at, "link/new", O_WRONLY | O_CREAT | O_EXCL), ELOOP,
           "nothing is made behind a link");
    is_int(outcome(open_it, at, "sub/new", O_WRONLY | O_CREAT | O_EXCL), 0, "a file is made");
    is_int(outcome(open_it, at, "sub/new", O_WRONLY | O_CREAT | O_EXCL), EEXIST, "once");
    unlinkat(at, "sub/new", 0);
    close(at);
}

int main(void)
{
    dir = tap_tmpdir();
    fd_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_files();
    test_with(tp_open_beneath, "as the kernel does it");
    test_with(tp_open_beneath_by_parts, "part by part");
    close(fd_dir);
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    free(dir);
    return tap_done();
}
