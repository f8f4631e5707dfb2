/* SPDX-License-Identifier: MIT */
/*
 * Packing and verifying stay within 512 MiB, with the maximum of threads, against a base of another
 * width.
 */
#include <config.h>

#include <sys/resource.h>

#include "tests/store/model.h"

int main(void)
{
    static const char shape[] = "--seed=1 --layers=1 --hidden=1024 --inter=4096 --vocab=12000";
    struct tp_pack_report report;
    struct tp_error err = {0};
    struct rusage usage;
    struct tp_pack *base;
    char *dir, *tune, *out, *tune_out, *options;

    if (getenv("TP_SANITIZED") && *getenv("TP_SANITIZED")) {
        skip("sanitizers take memory of their own");
        return tap_done();
    }
    scratch = tap_tmpdir();
    if (asprintf(&options, "%s --noise=0.01 --dtype=F32 --base-dtype=BF16", shape) < 0)
        bail_out("memory");
    dir = make_model("base", shape);
    tune = make_model("tune", options);
    out = in_scratch("base.tnpk");
    tune_out = in_scratch("tune.tnpk");
    is_int(pack_model(dir, out, NULL, 64, &report, &err), 0, "a base with 64 threads");
    if (tp_store_open_path(NULL, out, &base, &err) < 0)
        bail_out("%s", err.message);
    is_int(pack_model(tune, tune_out, base, 64, &report, &err), 0, "a fine-tune with 64 threads");
    ok(report.chunk_n > 2 * 64 + 2, "its %" PRIu64 " chunks fill the window", report.chunk_n);
    getrusage(RUSAGE_SELF, &usage);
    diag("%ld KiB at most", usage.ru_maxrss);
    ok(usage.ru_maxrss < 512 * 1024, "less than 512 MiB");
    tp_pack_close(base);
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(options);
    free(dir);
    free(tune);
    free(out);
    free(tune_out);
    free(scratch);
    return tap_done();
}
