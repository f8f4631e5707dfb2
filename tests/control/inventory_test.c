/* SPDX-License-Identifier: MIT */
/* The inventory: changes in a directory are seen at once, and repeated reads cost little. */
#include <config.h>

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "control/documents/documents.h"
#include "tests/store/model.h"

enum { MANY = 1000 };

static struct tp_store *store;
static struct tp_inventory *inventory;

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The row of NAME; it has no name where there is none. */
static struct tp_inventory_row row_of(const char *name)
{
    struct tp_inventory_row *rows, found = {.name = ""};
    struct tp_error err = {0};
    size_t n;

    if (tp_inventory_rows(inventory, &rows, &n, &err) < 0)
        bail_out("%s", err.message);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(rows[i].name, name))
            found = rows[i];
    free(rows);
    return found;
}

static void test_changes(void)
{
    char *model = make_model("dir/m", "--layers=1"), *file = in_scratch("dir/m/extra.txt");
    struct tp_compress_options options = {.base = "none", .threads = 1};
    struct tp_compress_report report = {0};
    struct tp_error err = {0};
    struct tp_inventory_row row = row_of("m"), later;

    ok(row.kind == TP_MODEL_PLAIN && row.logical_bytes > 0 && row.tensors > 5,
       "a plain model is seen");
    is_int((intmax_t)row.stored_bytes, (intmax_t)row.logical_bytes, "and takes what it is");
    write_file(file, "0123456789", 10);
    later = row_of("m");
    is_int((intmax_t)later.logical_bytes, (intmax_t)row.logical_bytes + 10,
           "a file more shows at once");
    is_int((intmax_t)later.files, (intmax_t)row.files + 1, "and is counted");
    write_file(file, "01234567890123456789", 20);
    ok(eventually(row_of("m").logical_bytes == row.logical_bytes + 20),
       "a file that grows shows soon");

    if (tp_compress(model, &options, &report, &err) < 0)
        bail_out("%s", err.message);
    later = row_of("m");
    ok(later.kind == TP_MODEL_PACK && later.id[0] && !later.error[0], "its pack takes its place");
    is_int((intmax_t)later.logical_bytes, (intmax_t)row.logical_bytes + 20,
           "and reads as large as it was");
    is_int((intmax_t)later.stored_bytes, (intmax_t)report.pack.stored_bytes, "but takes less");
    is_int((intmax_t)later.tensors, (intmax_t)row.tensors, "with as many tensors");
    is_str(later.family, "m", "it is its own family");
    is_int(later.estimate_bytes, -1, "there is no estimate");
    tp_compress_report_clear(&report);
    free(model);
    free(file);
}

static void test_bad_packs(void)
{
    char *bad = in_scratch("dir/bad.tnpk"), *link = in_scratch("dir/link.tnpk"), *name;
    struct tp_inventory_row row;

    write_file(bad, "no pack at all", 14);
    row = row_of("bad");
    ok(row.unreadable && row.error[0] && row.stored_bytes == 14,
       "noise is unreadable, and says so");
    if (unlink(bad) < 0 || symlink("/etc/passwd", link) < 0)
        bail_out("files");
    ok(!row_of("bad").name[0], "a removed model is not listed");
    row = row_of("link");
    ok(row.unreadable && row.error[0], "a link to what is no pack is unreadable");
    if (unlink(link) < 0)
        bail_out("files");
    name = in_scratch("dir/%0251d", 7);
    if (mkdir(name, 0755) < 0)
        bail_out("mkdir");
    is_int(row_of(strrchr(name, '/') + 1).kind, TP_MODEL_PLAIN,
           "a name of 251 characters is a name");
    if (rmdir(name) < 0)
        bail_out("rmdir");
    free(name);
    free(bad);
    free(link);
}

static void *ask(void *unused)
{
    struct tp_inventory_row *rows;
    size_t n;

    (void)unused;
    for (int i = 0; i < 200; i++)
        if (tp_inventory_rows(inventory, &rows, &n, NULL) == 0)
            free(rows);
    return NULL;
}

/* Many threads ask while models come and go. */
static void test_together(void)
{
    char *here = in_scratch("dir/m.tnpk"), *there = in_scratch("dir/n.tnpk");
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, ask, NULL))
            bail_out("threads");
    for (int i = 0; i < 100; i++)
        if (rename(i % 2 ? there : here, i % 2 ? here : there) < 0)
            bail_out("rename");
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ok(row_of("m").kind == TP_MODEL_PACK && !row_of("n").name[0],
       "read by many threads while names change");
    free(here);
    free(there);
}

static void test_many(void)
{
    char *from = in_scratch("dir/m.tnpk");
    struct tp_inventory_row *rows;
    struct tp_error err = {0};
    struct tp_policy policy;
    struct tp_buffer out = {0};
    size_t n;
    double began, spent = 1e9;
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    const int tries = 10;
#else
    const int tries = 1000;
#endif

    /* Half packs, half directories. */
    for (int i = 0; i < MANY / 2; i++) {
        char *to = in_scratch("dir/pack-%d.tnpk", i), *dir = in_scratch("dir/plain-%d", i);
        char *file = in_scratch("dir/plain-%d/config.json", i);
        if (link(from, to) < 0 || mkdir(dir, 0755) < 0)
            bail_out("many models");
        write_file(file, "{}", 2);
        free(to);
        free(dir);
        free(file);
    }
    if (tp_inventory_rows(inventory, &rows, &n, &err) < 0)
        bail_out("%s", err.message);
    free(rows);
    is_int((intmax_t)n, MANY + 1, "a thousand models");
    tp_policy_default(&policy);
    /* The best of some, of many on a machine that does other things as well. */
    for (int i = 0; i < 10 || (i < tries && spent >= 0.02); i++) {
        out.len = 0;
        began = cpu_seconds();
        if (tp_document_status(inventory, &policy, NULL, &out, &err) < 0)
            bail_out("%s", err.message);
        began = cpu_seconds() - began;
        spent = began < spent ? began : spent;
        usleep(1000);
    }
    diag("status.json of a thousand models: %.1f ms", 1000 * spent);
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    ok(true, "cheap to ask for # SKIP under a sanitizer");
#else
    ok(spent < 0.02, "asked ten times a second it takes less than a fifth of a processor, far less "
                     "on a quiet one");
#endif
    tp_buffer_clear(&out);
    free(from);
}

int main(void)
{
    struct tp_error err = {0};

    scratch = tap_tmpdir();
    char *dir = in_scratch("dir");
    if (mkdir(dir, 0755) < 0 || tp_store_open(dir, &store, &err) < 0 ||
        tp_inventory_create(store, NULL, &inventory, &err) < 0)
        bail_out("%s", err.message);
    test_changes();
    test_bad_packs();
    test_together();
    test_many();
    tp_inventory_destroy(inventory);
    tp_store_close(store);
    if (tp_file_remove_tree(AT_FDCWD, scratch, &err) < 0)
        bail_out("%s", err.message);
    free(scratch);
    free(dir);
    return tap_done();
}
