/* SPDX-License-Identifier: MIT */
/*
 * Models that have not changed for long but are not complete: downloads, locks, writers, trainings.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "control/jobs/unfinished.h"
#include "tests/tap.h"

static char *dir;

/* A file of the model, with the directories on its way; open for reading and writing. */
static int make(const char *name, const char *text)
{
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    for (char *slash = strchr(path + strlen(dir) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        bail_out("cannot make '%s'", path);
    return fd;
}

static void put(const char *name, const char *text)
{
    close(make(name, text));
}

static void drop(const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (tp_file_remove_tree(AT_FDCWD, path, NULL) < 0)
        bail_out("cannot remove '%s'", path);
}

static void is_unfinished(const char *what, const char *why)
{
    char told[512] = "";

    ok(tp_is_unfinished(dir, "m", told, sizeof told) && strstr(told, why), "%s: %s", what, told);
}

static void is_done(const char *what)
{
    char told[512] = "";

    ok(!tp_is_unfinished(dir, "m", told, sizeof told), "%s is done %s", what, told);
}

static void test_names(void)
{
    static const char *const partial[] = {
        "m/model.safetensors.incomplete", "m/sub/a.part", "m/b.tmp", "m/c.crdownload", "m/d.aria2",
        "m/blobs/0123.incomplete",        "m/E.TMP"};

    for (size_t i = 0; i < sizeof partial / sizeof partial[0]; i++) {
        put(partial[i], "");
        is_unfinished("a name of a part", strrchr(partial[i], '/') + 1);
        drop(partial[i]);
    }
    put("m/partial.txt", "");
    is_done("a name that only holds the word");
}

static void test_locks(void)
{
    static const char lock[] = "m/.cache/huggingface/download/model.safetensors.lock",
                      beside[] = ".locks/m/0123.lock";
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = make(lock, "");

    flock(fd, LOCK_EX);
    is_unfinished("a lock of a download", "model.safetensors.lock' is locked");
    flock(fd, LOCK_UN);
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
        is_unfinished("a lock of the other kind", "model.safetensors.lock' is locked");
    close(fd);
    is_done("a lock that nobody holds");
    fd = make(beside, "");
    flock(fd, LOCK_EX);
    is_unfinished("a lock of the hub's cache", ".locks/m/0123.lock");
    close(fd);
    is_done("that one, let go,");
}

static void test_writers(void)
{
    int fd = make("m/log", "text");
    char *map;

    if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0 && errno == EINVAL) {
        skip("no leases here");
        close(fd);
        return;
    }
    is_unfinished("a file that is open", "'log' is open for writing");
    map = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    is_unfinished("a file that is mapped", "'log' is open for writing");
    munmap(map, 4);
    is_done("what nobody writes to");
}

static void test_training(void)
{
    put("m/checkpoint-9/trainer_state.json", "{\"global_step\": 9, \"max_steps\": 9}");
    is_done("a training that has reached its end");
    put("m/checkpoint-10/trainer_state.json", "{\"global_step\": 10, \"max_steps\": 20}");
    is_unfinished("a training, by its last checkpoint", "checkpoint-10");
    put("m/checkpoint-20/optimizer.pt", "");
    is_unfinished("a checkpoint that says nothing", "checkpoint-20");
    put("m/checkpoint-20/trainer_state.json", "{\"global_step\": 20, \"max_steps\": 20}");
    is_done("its last step");
    put("m/checkpoint-20/trainer_state.json", "not JSON");
    is_unfinished("a state that cannot be read", "checkpoint-20");
    drop("m/checkpoint-9");
    drop("m/checkpoint-10");
    drop("m/checkpoint-20");
    put("m/checkpoint-x/file", "");
    is_done("a directory of nearly that name");
}

int main(void)
{
    dir = tap_tmpdir();
    put("m/config.json", "{}");
    is_done("a model");
    test_names();
    test_locks();
    test_writers();
    test_training();
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    free(dir);
    return tap_done();
}
