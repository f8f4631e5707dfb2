/* SPDX-License-Identifier: MIT */
/*
 * Listing directories: their entries, errors of opening, and a separate position for each listing.
 */
#include <config.h>

#include "base/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "tests/tap.h"

static unsigned count(struct tp_dir *dir)
{
    unsigned n = 0;

    while (tp_dir_next(dir))
        n++;
    return n;
}

static void test_entries(int top)
{
    unsigned files = 0, folders = 0, others = 0;
    const struct dirent *entry;
    struct tp_dir dir;

    is_int(tp_dir_open(&dir, top, "d"), 0, "a directory is opened");
    while ((entry = tp_dir_next(&dir))) {
        files += strcmp(entry->d_name, "file") == 0;
        folders += strcmp(entry->d_name, ".hidden") == 0;
        others += entry->d_name[0] == '.' && strcmp(entry->d_name, ".hidden") != 0;
    }
    ok(files == 1 && folders == 1, "each entry comes once");
    is_int(others, 0, "'.' and '..' do not come");
    tp_dir_rewind(&dir);
    is_int(count(&dir), 2, "after a rewind all come again");
    ok(faccessat(tp_dir_fd(&dir), "file", F_OK, 0) == 0, "the descriptor leads into it");
    is_int(tp_dir_close(&dir), 0, "the end is no error");
    is_int(tp_dir_open(&dir, top, "empty"), 0, "an empty one is opened");
    is_int(count(&dir), 0, "and has no entries");
    is_int(tp_dir_close(&dir), 0, "without an error");
}

static void test_positions(int top)
{
    int d = openat(top, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct tp_dir one, two;

    tp_dir_open(&one, d, ".");
    ok(tp_dir_next(&one) != NULL, "one listing has begun");
    tp_dir_open(&two, d, ".");
    is_int(count(&two), 2, "another of the same descriptor has all entries");
    is_int(count(&one), 1, "and does not move the first");
    tp_dir_close(&one);
    tp_dir_close(&two);
    close(d);
}

static void test_errors(int top)
{
    struct tp_dir dir;

    is_int(tp_dir_open(&dir, top, "absent"), -ENOENT, "an absent directory is an error");
    ok(tp_dir_next(&dir) == NULL, "it has no entries");
    errno = 0;
    is_int(tp_dir_close(&dir), -ENOENT, "the end gives the first error");
    is_int(errno, ENOENT, "and errno has it");
    is_int(tp_dir_open(&dir, top, "d/file"), -ENOTDIR, "a file is no directory");
    is_int(tp_dir_close(&dir), -ENOTDIR, "at the end, too");
    is_int(tp_dir_enter(top, "made", false, 0700), -ENOENT, "what is absent is not entered");
    int fd = tp_dir_enter(top, "made", true, 0700);
    ok(fd >= 0 && faccessat(top, "made", F_OK, 0) == 0, "it is made where that is wanted");
    close(fd);
    fd = tp_dir_enter(top, "made", true, 0700);
    ok(fd >= 0, "and entered where it is there");
    close(fd);
    ok(symlinkat("made", top, "link") == 0 && tp_dir_enter(top, "link", true, 0700) == -ENOTDIR,
       "a link is not followed");
    dir = (struct tp_dir){0};
    ok(tp_dir_next(&dir) == NULL && tp_dir_close(&dir) == 0, "one that is all zero is empty");
}

int main(void)
{
    char path[] = "dir_test.XXXXXX";
    int top;

    if (!mkdtemp(path))
        return 99;
    top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mkdirat(top, "d", 0700);
    mkdirat(top, "d/.hidden", 0700);
    mkdirat(top, "empty", 0700);
    close(openat(top, "d/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    test_entries(top);
    test_positions(top);
    test_errors(top);
    close(top);
    tp_file_remove_tree(AT_FDCWD, path, NULL);
    return tap_done();
}
