/* SPDX-License-Identifier: MIT */
/*
 * Compressing in place and restoring: what is left at every moment, also if the process dies or the
 * disk is full.
 */
#include <config.h>

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "store/lock.h"
#include "store/names.h"
#include "tests/store/model.h"

static char *dir, *pack, *copy;   /* the model, its pack, and an untouched copy of the model */
static struct tp_pack *copy_pack; /* what the copy packs to: to compare with */

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

__attribute__((format(printf, 1, 2))) static void shell(const char *fmt, ...)
{
    char *command;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&command, fmt, ap) < 0 || system(command) != 0)
        bail_out("failed: %s", fmt);
    va_end(ap);
    free(command);
}

static int compress_with(const char *path, const char *base, const char *out, bool keep,
                         struct tp_compress_report *report, struct tp_error *err)
{
    struct tp_compress_options o = {.base = base, .out = out, .keep = keep, .threads = 2};

    err->message[0] = '\0';
    return tp_compress(path, &o, report, err);
}

static int restore_with(const char *path, const char *out, bool keep, struct tp_error *err)
{
    struct tp_restore_options o = {.out = out, .keep = keep, .threads = 2};

    err->message[0] = '\0';
    return tp_restore(path, &o, NULL, err);
}

static bool dir_whole(void)
{
    return tp_compare_dir(copy_pack, dir, true, NULL, NULL) == 0;
}

static bool pack_whole(void)
{
    struct tp_verify_report report;
    struct tp_pack *p;
    bool whole;

    if (tp_store_open_path(NULL, pack, &p, NULL) < 0)
        return false;
    whole = tp_pack_verify(p, 2, NULL, NULL, NULL, &report, NULL) == 0 &&
            tp_compare_dir(p, copy, true, NULL, NULL) == 0;
    tp_pack_close(p);
    return whole;
}

static void test_plain_way(void)
{
    static struct tp_compress_report report;
    struct tp_error err = {0};

    is_int(compress_with(dir, "none", NULL, false, &report, &err), 0, "compresses in place");
    is_str(report.out, pack, "packing reports the path of the pack");
    ok(!exists(dir) && pack_whole(), "the pack exists, the directory does not");
    is_int(compress_with(dir, "none", NULL, false, &report, &err), 0, "packing again is no error");
    ok(report.pack.logical_bytes > 0, "packing again reports the pack");
    is_int(restore_with(pack, NULL, false, &err), 0, "restores in place");
    ok(!exists(pack) && dir_whole(), "the directory exists unchanged, the pack does not");
    is_int(compress_with(dir, "none", NULL, true, &report, &err), 0, "compresses and keeps");
    ok(exists(pack) && dir_whole(), "both are there");
    is_int(restore_with(pack, NULL, true, &err), -EEXIST, "restoring over a directory is refused");
    is_int(compress_with(dir, "none", NULL, false, &report, &err), 0,
           "compressing finishes what was kept");
    ok(!exists(dir) && pack_whole(), "the directory was removed then");
    is_int(restore_with(pack, NULL, true, &err), 0, "restores and keeps");
    ok(exists(pack) && dir_whole(), "both are there");
    shell("printf x >> '%s/config.json'", dir);
    is_int(compress_with(dir, "none", NULL, false, &report, &err), -EEXIST,
           "another content is not taken for it");
    ok(exists(dir) && pack_whole(), "both are left");
    is_int(restore_with(pack, NULL, false, &err), -EEXIST, "nor by restoring");
    shell("rm -r '%s' && cp -a '%s' '%s' && rm '%s'", dir, copy, dir, pack);
    ok(nothing_hidden(scratch), "nothing hidden is left");
}

/* The temporary files of a temporary one, and those of what is made of a model. */
static void test_derived_names(void)
{
    tp_autofree char *first = NULL, *second = NULL, *made = in_scratch("model~size.tnpk");
    struct tp_error err = {0};

    is_int(tp_temporary_beside(made, &first, &err), 0, "a temporary name");
    is_int(tp_temporary_beside(first, &second, &err), 0, "and one for the same file");
    ok(strstr(second, "/.model~size.tnpk.tmp-") && tp_is_temporary(tp_path_name(second)),
       "which begins like the first: %s", second);
    shell("echo x > '%s' && echo x > '%s'", first, second);
    tp_temporaries_sweep(made);
    ok(nothing_hidden(scratch), "both are swept");
    shell("cd '%s' && touch .model~size.tnpk.tmp-1-0 .model~x~y.tnpk.tmp-1-0 .models~.tmp-1-0 "
          ".model~.tmp-mine",
          scratch);
    tp_temporaries_sweep_made_of(dir);
    shell("cd '%s' && rm .models~.tmp-1-0 .model~.tmp-mine", scratch);
    ok(nothing_hidden(scratch), "only the packs that are made of a model are");
}

/* What a dead run of ours has left goes; what somebody else calls nearly so does not. */
static void test_names(void)
{
    static const char *const ours[] = {".model.tmp-1-0", ".model.tnpk.tmp-12345-678",
                                       ".tenpak-0123.tmp-1-2"},
                             *const others[] = {".model.tmp-mine",
                                                ".model.tmp-1",
                                                ".model.tmp-1-",
                                                ".model.tmp--1",
                                                ".model.tmp-1-2x",
                                                ".model.tmp-1-2 ",
                                                "model.tmp-1-2",
                                                ".tmp-1-2",
                                                ".",
                                                "",
                                                "tmp-1-2",
                                                ".model.tmp-1-2.old"};
    static struct tp_compress_report report;
    struct tp_error err = {0};

    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        ok(tp_is_temporary(ours[i]), "'%s' is temporary", ours[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ok(!tp_is_temporary(others[i]), "'%s' is not", others[i]);
    ok(tp_is_removing(".model.removing") && !tp_is_removing(".model.removing.old") &&
           !tp_is_removing("model.removing") && !tp_is_removing(".removing"),
       "only hidden names with that end are those of removals");
    shell("mkdir '%s/.model.tnpk.tmp-mine' && echo x > '%s/.model.tnpk.tmp-1'", scratch, scratch);
    shell("mkdir '%s/.model.tnpk.tmp-1-0' && echo x > '%s/.model.tnpk.tmp-1-0/file'", scratch,
          scratch);
    is_int(compress_with(dir, "none", NULL, false, &report, &err), 0,
           "compresses beside such names");
    is_int(restore_with(pack, NULL, false, &err), 0, "restores beside such names");
    shell("test ! -e '%s/.model.tnpk.tmp-1-0' && rmdir '%s/.model.tnpk.tmp-mine' && rm "
          "'%s/.model.tnpk.tmp-1'",
          scratch, scratch, scratch);
    ok(nothing_hidden(scratch), "nothing else is left");
    test_derived_names();
}

/* A name for which there is no pack is refused before any work. */
static void test_long_name(void)
{
    static struct tp_compress_report report;
    struct tp_error err = {0};
    char name[252], *path, *out = in_scratch("elsewhere.tnpk");

    memset(name, 'm', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    path = in_scratch("%s", name);
    shell("cp -a '%s' '%s'", dir, path);
    is_int(compress_with(path, "none", NULL, false, &report, &err), -ENAMETOOLONG,
           "too long a name");
    is_int(compress_with(path, "none", out, false, &report, &err), 0,
           "a name that is too long in place is accepted elsewhere");
    shell("rm -r '%s' '%s'", path, out);
    free(path);
    free(out);
}

static void test_out(void)
{
    static struct tp_compress_report report;
    struct tp_error err = {0};
    char *out = in_scratch("elsewhere.tnpk"), *target = in_scratch("target"), *slash;

    if (asprintf(&slash, "%s///", dir) < 0)
        bail_out("memory");
    is_int(compress_with(slash, "none", out, false, &report, &err), 0,
           "compresses to a file, whatever slashes");
    ok(dir_whole() && !exists(pack), "the original is untouched");
    is_int(compress_with(dir, "none", out, false, &report, &err), -EEXIST,
           "packing over an existing file is refused");
    is_int(restore_with(out, target, false, &err), 0, "restores elsewhere");
    ok(tp_compare_dir(copy_pack, target, true, NULL, &err) == 0 && exists(out),
       "the same, and the pack stays");
    is_int(restore_with(out, target, false, &err), -EEXIST,
           "restoring over an existing directory is refused");
    shell("rm -r '%s' '%s'", target, out);
    free(slash);
    free(target);
    free(out);
}

static void test_bases(void)
{
    static struct tp_compress_report report;
    struct tp_error err = {0};
    char *tune = make_model("tune", "--seed=1 --noise=0.002"), *tune_pack = in_scratch("tune.tnpk");
    char *other = make_model("other", "--seed=1 --noise=0.003"), *self = in_scratch("tune");
    char *dangling = in_scratch("model-link");

    is_int(compress_with(tune, "tune", NULL, false, &report, &err), -EINVAL,
           "a model is not its own base");
    is_int(compress_with(tune, "nobody", NULL, false, &report, &err), -ENOENT,
           "an unknown base is reported");
    has(err.message, "nobody", "the error names the unknown base");
    is_int(compress_with(tune, "model", NULL, false, &report, &err), 0, "a named plain base");
    ok(report.base_packed && pack_whole() && !exists(dir), "is packed first");
    is_str(report.base, "model", "the packed base is reported");
    ok(report.pack.codec_chunks[TP_CODEC_DELTA] + report.pack.codec_chunks[TP_CODEC_SPARSE] > 0,
       "the packed base is used");
    is_int(compress_with(other, pack, NULL, false, &report, &err), 0, "a base by its path");
    is_int(restore_with(pack, NULL, false, &err), -EBUSY,
           "a base that others need is not restored away");
    has(err.message, "'other'", "the dependents of a base are listed");
    has(err.message, "'tune'", "all dependents of a base are listed");
    is_int(restore_with(tune_pack, NULL, false, &err), 0, "a fine-tune restores");
    shell("rm -r '%s' '%s.tnpk'", tune, other);
    is_int(restore_with(pack, NULL, false, &err), 0, "the base is restored after its dependents");
    ok(dir_whole(), "whole");
    shell("ln -s model '%s'", dangling);
    is_int(compress_with(dangling, "none", NULL, false, &report, &err), -EINVAL,
           "a link is not replaced");
    unlink(dangling);
    ok(nothing_hidden(scratch), "nothing hidden is left");
    free(dangling);
    free(self);
    free(other);
    free(tune);
    free(tune_pack);
}

static void test_lock(void)
{
    static struct tp_compress_report report;
    struct tp_model_lock lock;
    struct tp_error err = {0};
    char *file;

    is_int(tp_model_lock(dir, &lock, &err), 0, "a lock is taken");
    is_int(compress_with(dir, "none", NULL, false, &report, &err), -EBUSY,
           "another one has to wait");
    tp_model_unlock(&lock);
    ok(nothing_hidden(scratch), "the lock leaves nothing");
    file = in_scratch(".model.tenpak-lock");
    if (symlink("elsewhere", file) < 0)
        bail_out("cannot make '%s'", file);
    is_int(tp_model_lock(dir, &lock, &err), -ELOOP,
           "a link in the place of a lock is not followed");
    unlink(file);
    free(file);
}

/* A child that does its work again and again until it is killed: pack, restore, pack, ... */
static void restless(void)
{
    static struct tp_compress_report report;
    struct tp_error err;

    for (;;) {
        if (exists(dir) || !exists(pack))
            compress_with(dir, "none", NULL, false, &report, &err);
        restore_with(pack, NULL, false, &err);
    }
}

static void test_kill(void)
{
    static struct tp_compress_report report;
    unsigned rounds = getenv("TP_KILL_ROUNDS")
                          ? (unsigned)strtoul(getenv("TP_KILL_ROUNDS"), NULL, 10)
                          : 60,
             bad = 0, packs = 0;
    uint64_t seed = tap_seed();

    for (unsigned i = 0; i < rounds; i++) {
        struct tp_error err = {0};
        pid_t child = fork();

        if (child == 0) {
            restless();
            _exit(0);
        }
        usleep((useconds_t)(tap_random(&seed) % 60000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        if (!(exists(dir) && dir_whole()) && !(exists(pack) && pack_whole())) {
            diag("round %u: neither is whole", i);
            bad++;
            break;
        }
        packs += exists(pack);
        if (i % 2 == 0) {
            if (compress_with(dir, "none", NULL, false, &report, &err) < 0 || exists(dir) ||
                !pack_whole())
                bad++, diag("round %u: compressing does not finish: %s", i, err.message);
        } else if (exists(pack)) {
            if (restore_with(pack, NULL, false, &err) < 0 || exists(pack) || !dir_whole())
                bad++, diag("round %u: restoring does not finish: %s", i, err.message);
        }
    }
    is_int(bad, 0, "killed at any moment, one of the two is whole and the next run finishes");
    ok(packs > 0, "some of %u rounds left a pack", rounds);
    if (exists(pack))
        restore_with(pack, NULL, false, &(struct tp_error){0});
    static struct tp_compress_report last;
    struct tp_error err = {0};
    ok(compress_with(dir, "none", NULL, false, &last, &err) == 0 &&
           restore_with(pack, NULL, false, &err) == 0,
       "packing and restoring work after kills");
    ok(nothing_hidden(scratch), "sweeping what the dead left");
}

/*
 * In a mount namespace of its own: a file system of 200 KiB, too small for the pack, too small to
 * restore.
 */
static int full_disk(void)
{
    static struct tp_compress_report report;
    char *small = in_scratch("small"), *out = in_scratch("small/model.tnpk"),
         *target = in_scratch("small/target");
    struct tp_error err = {0};
    int rc;

    if (mkdir(small, 0700) < 0 ||
        (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("small", small, "tmpfs", 0, "size=128k") < 0)
        return 77;
    rc = compress_with(dir, "none", out, false, &report, &err);
    if (rc != -ENOSPC || !strstr(err.message, "small") || exists(out) || !nothing_hidden(small))
        return 1;
    rc = restore_with(tp_pack_path(copy_pack), target, false, &err);
    if (rc != -ENOSPC || exists(target) || !nothing_hidden(small))
        return 2;
    return 0;
}

static void test_full_disk(void)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(full_disk());
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip("cannot mount a small file system here");
    else
        is_int(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0,
               "a full disk is reported, and nothing is left");
}

int main(void)
{
    struct tp_pack_report report;
    char *reference;

    scratch = tap_tmpdir();
    dir = make_model("model", "--seed=1");
    pack = in_scratch("model.tnpk");
    copy = in_scratch("copy/model");
    reference = in_scratch("copy/model.tnpk");
    shell("mkdir '%s/copy' && mkdir '%s/sub' && ln -s config.json '%s/link' && chmod 600 "
          "'%s/config.json' && cp -a '%s' '%s'",
          scratch, dir, dir, dir, dir, copy);
    copy_pack = must_pack(copy, reference, NULL, &report);
    ok(dir_whole(), "the model equals its copy");
    test_plain_way();
    test_names();
    test_long_name();
    test_out();
    test_bases();
    test_lock();
    test_full_disk();
    test_kill();
    tp_pack_close(copy_pack);
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(dir);
    free(pack);
    free(copy);
    free(reference);
    free(scratch);
    return tap_done();
}
