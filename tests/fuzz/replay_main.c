/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target without libFuzzer, over the files or folders given, by default over its
 * corpus: tests/fuzz/corpus/NAME for fuzz_NAME. Each file as it is, cut short, and with some bytes
 * changed. TAP: one check a file; a target that finds something crashes, and the file's name is the
 * last line.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/tap.h"

#define INPUT_MAX (16u << 20)

static unsigned rounds = 200;
static uint64_t seed;

/*
 * The target gets exact bytes in memory of their own, so that the sanitizer sees one byte too far.
 */
static void run(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    if (!copy)
        bail_out("memory");
    if (len)
        memcpy(copy, data, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void mutate(const struct tp_buffer *original, struct tp_buffer *work)
{
    static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '"', '{', '9'};
    for (unsigned i = 0; i < rounds && original->len; i++) {
        work->len = 0;
        if (tp_buffer_append(work, original->data, original->len) < 0)
            bail_out("memory");
        unsigned changes = 1 + (unsigned)(tap_random(&seed) % 4);
        for (unsigned k = 0; k < changes; k++) {
            size_t at = tap_random(&seed) % work->len;
            uint64_t how = tap_random(&seed);
            work->data[at] = how & 1 ? edges[(how >> 8) % sizeof edges]
                                     : (uint8_t)(work->data[at] ^ 1u << (how >> 8 & 7));
        }
        run(work->data, i % 8 ? work->len : tap_random(&seed) % work->len);
    }
}

static void replay_file(int dirfd, const char *name)
{
    struct tp_buffer file = {0}, work = {0};
    struct tp_error err;
    diag("%s", name);
    if (tp_file_read_all(dirfd, name, INPUT_MAX, &file, &err) < 0)
        bail_out("%s", err.message);
    run(file.data, file.len);
    mutate(&file, &work);
    ok(true, "%s", name);
    tp_buffer_clear(&file);
    tp_buffer_clear(&work);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        bail_out("cannot open '%s': %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode)) {
        replay_file(AT_FDCWD, path);
        return;
    }
    struct dirent **names;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int n = scandir(path, &names, NULL, by_name);
    if (fd < 0 || n < 0)
        bail_out("cannot list '%s': %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.')
            replay_file(fd, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    close(fd);
}

int main(int argc, char **argv)
{
    const char *given = getenv("TP_ITERS");
    if (given)
        rounds = (unsigned)strtoul(given, NULL, 0);
    seed = tap_seed();
    run((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    if (argc == 1) {
        const char *src = getenv("top_srcdir");
        const char *name = strstr(argv[0], "fuzz_");
        /* The folder is called fuzz too: the last one counts. */
        for (const char *more = name; more; more = strstr(more + 1, "fuzz_"))
            name = more;
        char *dir = NULL;
        if (!name || asprintf(&dir, "%s/tests/fuzz/corpus/%s", src ? src : ".", name + 5) < 0)
            bail_out("which corpus? name files or folders");
        replay(dir);
        free(dir);
    }
    ok(tap_n > 0, "there was something to replay");
    return tap_done();
}
