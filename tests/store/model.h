/* SPDX-License-Identifier: MIT */
/* For tests of packs: making model directories with tests/mkmodel, packing and comparing them. */
#ifndef TP_TESTS_STORE_MODEL_H
#define TP_TESTS_STORE_MODEL_H

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "store/compare.h"
#include "store/ops.h"
#include "store/verify.h"
#include "tests/tap.h"

static char *scratch; /* the test's own directory */

__attribute__((format(printf, 1, 2), unused)) static char *in_scratch(const char *fmt, ...)
{
    char *name, *path;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&name, fmt, ap) < 0 || asprintf(&path, "%s/%s", scratch, name) < 0)
        bail_out("memory");
    va_end(ap);
    free(name);
    return path;
}

/* Make the model directory NAME in the scratch directory; its path is the caller's. */
__attribute__((unused)) static char *make_model(const char *name, const char *options)
{
    const char *build = getenv("top_builddir");
    char *path = in_scratch("%s", name), *command;

    if (asprintf(&command, "'%s/tests/mkmodel' %s '%s'", build ? build : ".", options, path) < 0)
        bail_out("memory");
    if (system(command) != 0)
        bail_out("failed: %s", command);
    free(command);
    return path;
}

__attribute__((unused)) static void write_file(const char *path, const void *data, size_t len)
{
    struct tp_error err;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || tp_file_write(fd, data, len, path, &err) < 0)
        bail_out("cannot write '%s'", path);
    close(fd);
}

__attribute__((unused)) static struct tp_buffer read_file(const char *path)
{
    struct tp_buffer buf = {0};
    struct tp_error err;

    if (tp_file_read_all(AT_FDCWD, path, SIZE_MAX / 2, &buf, &err) < 0)
        bail_out("%s", err.message);
    return buf;
}

__attribute__((unused)) static int pack_model(const char *dir, const char *out,
                                              struct tp_pack *base, unsigned threads,
                                              struct tp_pack_report *report, struct tp_error *err)
{
    struct tp_pack_options o = {
        .threads = threads, .base = base, .base_name = base ? "base" : NULL};

    return tp_pack_write(dir, out, &o, report, err);
}

/* Pack, or end the test. */
__attribute__((unused)) static struct tp_pack *
must_pack(const char *dir, const char *out, struct tp_pack *base, struct tp_pack_report *report)
{
    struct tp_error err = {0};
    struct tp_pack *pack;

    if (pack_model(dir, out, base, 2, report, &err) < 0 ||
        tp_store_open_path(NULL, out, &pack, &err) < 0)
        bail_out("%s", err.message);
    return pack;
}

/*
 * Restore PACK (at its path) to a fresh directory and compare that with DIR: metadata and every
 * byte.
 */
__attribute__((unused)) static void check_restores(struct tp_pack *pack, const char *dir,
                                                   const char *name)
{
    char *out = in_scratch("restored");
    struct tp_restore_options o = {.out = out, .threads = 2};
    struct tp_error err = {0};
    uint64_t bytes = 0;
    int rc = tp_restore(tp_pack_path(pack), &o, &bytes, &err);

    if (!ok(rc == 0, "%s: restores", name))
        diag("%s", err.message);
    if (!ok(rc == 0 && tp_compare_dir(pack, out, true, NULL, &err) == 0,
            "%s: what is restored is what the pack says", name))
        diag("%s", err.message);
    if (!ok(tp_compare_dir(pack, dir, true, NULL, &err) == 0, "%s: and what it was made from",
            name))
        diag("%s", err.message);
    tp_file_remove_tree(AT_FDCWD, out, NULL);
    free(out);
}

/* Nothing but the named entries may be left in the scratch directory under a hidden name. */
__attribute__((unused)) static bool nothing_hidden(const char *dir)
{
    char *command;
    bool none;

    if (asprintf(&command, "test -z \"$(find '%s' -name '.?*' -path '%s/.*')\"", dir, dir) < 0)
        bail_out("memory");
    none = system(command) == 0;
    free(command);
    return none;
}

#endif
