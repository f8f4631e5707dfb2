/* SPDX-License-Identifier: MIT */
/*
 * Listing model directories: every kind of name and entry, one order, and what a model cannot
 * contain.
 */
#include <config.h>

#include "tensor/modeldir.h"
#include "tensor/is_model.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/file.h"
#include "tests/tap.h"

static char *dir;
static int fd;

static void put_bytes(const char *name, const void *bytes, size_t len, mode_t mode)
{
    int f = openat(fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (f < 0 || tp_file_write(f, bytes, len, name, NULL) < 0 || fchmod(f, mode) < 0)
        bail_out("cannot write %s: %s", name, strerror(errno));
    close(f);
}

static void put(const char *name, const char *text, mode_t mode)
{
    put_bytes(name, text, strlen(text), mode);
}

static const struct tp_entry *find(const struct tp_modeldir *m, const char *path)
{
    for (size_t i = 0; i < m->entry_n; i++) {
        if (strcmp(m->entries[i].path, path) == 0)
            return &m->entries[i];
    }
    return NULL;
}

static void make_tree(char long_name[256])
{
    memset(long_name, 'n', 255);
    long_name[255] = '\0';
    put("config.json", "{}", 0644);
    put("empty", "", 0444);
    put("with space \xc3\xa9", "abc", 0600);
    put("not utf-8 \xff\n", "x", 0755);
    put(long_name, "long", 0600);
    mkdirat(fd, "sub", 0750);
    mkdirat(fd, "sub-a", 0700);
    put("sub/b", "1", 0600);
    put("sub/A", "22", 04711);
    mkdirat(fd, "sub/void", 0700);
    if (symlinkat("../blobs/0123", fd, "link") < 0 || symlinkat("/", fd, "sub/root") < 0)
        bail_out("no symbolic links here");
    const struct timespec times[2] = {{0, 0}, {1700000000, 123456789}};
    utimensat(fd, "config.json", times, 0);
}

static void test_entries(void)
{
    char long_name[256];
    struct tp_modeldir m;
    struct tp_error err = {0};
    make_tree(long_name);
    const char *want[] = {"config.json",      "empty",    "link",  long_name,
                          "not utf-8 \xff\n", "sub",      "sub/A", "sub/b",
                          "sub/root",         "sub/void", "sub-a", "with space \xc3\xa9"};
    size_t want_n = sizeof want / sizeof *want;
    if (!ok(tp_modeldir_scan(dir, &m, &err) == 0, "a directory is listed"))
        bail_out("%s", err.message);
    bool good = m.entry_n == want_n;
    for (size_t i = 0; i < want_n && good; i++)
        good = strcmp(m.entries[i].path, want[i]) == 0;
    if (!ok(good, "in byte order, children right behind their directory")) {
        for (size_t i = 0; i < m.entry_n; i++)
            diag("%s", m.entries[i].path);
    }
    const struct tp_entry *e = find(&m, "config.json");
    ok(e->type == TP_ENTRY_FILE && e->size == 2 && e->mode == 0644 && e->mtime_sec == 1700000000 &&
           e->mtime_nsec == 123456789,
       "a file has size, mode and time to the nanosecond");
    ok(find(&m, "empty")->size == 0 && find(&m, "empty")->mode == 0444, "an empty one too");
    is_int(find(&m, "sub/A")->mode, 04711, "set-uid bits are kept");
    ok(find(&m, "sub")->type == TP_ENTRY_DIR && find(&m, "sub")->mode == 0750 &&
           find(&m, "sub")->size == 0,
       "a directory");
    e = find(&m, "link");
    is_int(e->type, TP_ENTRY_SYMLINK, "a link that leads nowhere is a link");
    is_str(e->target, "../blobs/0123", "with its target");
    is_str(find(&m, "sub/root")->target, "/", "a link to a directory is not followed");
    is_u64(m.total_bytes, 2 + 0 + 3 + 1 + 4 + 1 + 2, "bytes of all files");
    is_int(m.root_mode, 0700, "mode of the directory itself");
    tp_modeldir_clear(&m);
    ok(m.entries == NULL && m.entry_n == 0, "clear leaves nothing");
}

static void test_refused(void)
{
    struct tp_modeldir m;
    struct tp_error err = {0};
    if (mkfifoat(fd, "sub/pipe", 0600) < 0)
        bail_out("no fifos here");
    is_int(tp_modeldir_scan(dir, &m, &err), -EINVAL, "a fifo is refused");
    has(err.message, "'sub/pipe'", "by name");
    ok(m.entries == NULL, "and nothing is left in memory");
    unlinkat(fd, "sub/pipe", 0);

    char *none = NULL;
    if (asprintf(&none, "%s/none", dir) < 0)
        bail_out("memory");
    is_int(tp_modeldir_scan(none, &m, &err), -ENOENT, "no such directory");
    has(err.message, none, "is named");
    free(none);
    if (asprintf(&none, "%s/empty", dir) < 0)
        bail_out("memory");
    is_int(tp_modeldir_scan(none, &m, &err), -ENOTDIR, "a file is no directory");
    free(none);
}

static void test_deep(void)
{
    struct tp_modeldir m;
    struct tp_error err = {0};
    struct rlimit old, few;
    int at = dup(fd), made = 0;
    for (; made < 2000; made++) {
        if (mkdirat(at, "deep", 0700) < 0)
            break;
        int next = openat(at, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
    }
    close(at);
    getrlimit(RLIMIT_NOFILE, &old);
    few = old;
    few.rlim_cur = 32;
    setrlimit(RLIMIT_NOFILE, &few);
    int rc = tp_modeldir_scan(dir, &m, &err);
    setrlimit(RLIMIT_NOFILE, &old);
    if (!ok(rc == 0, "2000 levels with 32 descriptors"))
        diag("%s", err.message);
    size_t deep = 0;
    for (size_t i = 0; i < m.entry_n; i++)
        deep += strncmp(m.entries[i].path, "deep", 4) == 0;
    is_u64(deep, (uint64_t)made, "all of them");
    tp_modeldir_clear(&m);
}

/* The errno with which a listed file opens, 0: it is the one that was listed. */
static int open_listed(const struct tp_modeldir *m, const char *path)
{
    int file = tp_modeldir_open(m, fd, path), code = file < 0 ? errno : 0;

    if (file >= 0)
        close(file);
    return code;
}

/* Whoever may write in the directory changes it between the listing and the reading. */
static void test_swapped(void)
{
    struct tp_error err = {0};
    struct tp_modeldir m;

    mkdirat(fd, "w", 0700);
    mkdirat(fd, "w/sub", 0700);
    put("w/sub/file", "mine", 0600);
    put("w/other", "another", 0600);
    if (tp_modeldir_scan(dir, &m, &err) < 0)
        bail_out("%s", err.message);
    is_int(open_listed(&m, "w/sub/file"), 0, "a listed file opens");
    is_int(open_listed(&m, "w/sub"), 0, "a directory, too");
    is_int(open_listed(&m, "w/new"), ENOENT, "nor is what was not listed");
    renameat(fd, "w/sub", fd, "elsewhere");
    if (symlinkat("../elsewhere", fd, "w/sub") < 0)
        bail_out("no symbolic links here");
    is_int(open_listed(&m, "w/sub/file"), ELOOP,
           "a link in place of its directory is not followed");
    unlinkat(fd, "w/sub", 0);
    mkdirat(fd, "w/sub", 0700);
    linkat(fd, "w/other", fd, "w/sub/file", 0);
    is_int(open_listed(&m, "w/sub/file"), ESTALE, "another file of its name is refused");
    unlinkat(fd, "w/sub/file", 0);
    mkfifoat(fd, "w/sub/file", 0600);
    is_int(open_listed(&m, "w/sub/file"), ESTALE, "so is a fifo, without waiting");
    unlinkat(fd, "w/sub/file", 0);
    tp_modeldir_clear(&m);
}

static void test_is_model(void)
{
    char *path = NULL;
    mkdirat(fd, "m", 0700);
    if (asprintf(&path, "%s/m", dir) < 0)
        bail_out("memory");
    ok(!tp_modeldir_is_model(path), "an empty directory is no model");
    put("m/notes.txt", "", 0600);
    put("m/.safetensors", "", 0600);
    ok(!tp_modeldir_is_model(path), "notes make none");
    static const char *const names[] = {"config.json",  "adapter_config.json", "model_index.json",
                                        "modules.json", "x.safetensors",       "x.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "m/%s", names[i]);
        put(name, "", 0600);
        ok(tp_modeldir_is_model(path), "%s makes one", names[i]);
        unlinkat(fd, name, 0);
    }
    mkdirat(fd, "m/blobs", 0700);
    ok(!tp_modeldir_is_model(path), "blobs alone make none");
    mkdirat(fd, "m/snapshots", 0700);
    ok(tp_modeldir_is_model(path), "blobs and snapshots make one");
    ok(!tp_modeldir_is_model("/nonexistent"), "nothing is no model");

    unlinkat(fd, "m/snapshots", AT_REMOVEDIR);
    static const struct {
        const char *bytes;
        size_t len;
        bool model;
    } contents[] = {
        {"\2\0\0\0\0\0\0\0{}", 10, true},
        {"\3\0\0\0\0\0\0\0{}", 10, false}, /* the header is longer than the file */
        {"\2\0\0\0\0\0\0\0[]", 10, false},
        {"\2\0\0\0\0\0\0\0{", 9, false},
        {"{\"a\": \"{}\"}", 11, false},
    };
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        put_bytes("m/weights", contents[i].bytes, contents[i].len, 0600);
        ok(tp_modeldir_is_model(path) == contents[i].model, "content %zu %s", i,
           contents[i].model ? "makes one, whatever its name" : "makes none");
        unlinkat(fd, "m/weights", 0);
    }
    symlinkat("../../weights", fd, "m/link");
    ok(!tp_modeldir_is_model(path), "nor does a link");
    free(path);
}

int main(void)
{
    struct tp_error err = {0};
    dir = tap_tmpdir();
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    test_entries();
    test_refused();
    test_swapped();
    test_is_model();
    test_deep();
    close(fd);
    if (tp_file_remove_tree(AT_FDCWD, dir, &err) < 0)
        bail_out("%s", err.message);
    free(dir);
    return tap_done();
}
