/* SPDX-License-Identifier: MIT */
/* Reports of jobs for people. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/job.h"
#include "cli/report.h"

static uint64_t number(const struct tp_json *object, const char *key)
{
    uint64_t v = 0;

    return tp_json_u64(tp_json_get(object, key), &v) ? v : 0;
}

static double decimal(const struct tp_json *object, const char *key)
{
    double v = 0;

    return tp_json_double(tp_json_get(object, key), &v) ? v : 0;
}

/* As it may be printed. */
static const char *text(const struct tp_json *object, const char *key)
{
    const char *v = tp_json_string(tp_json_get(object, key));

    return v ? tp_report_name(v) : "";
}

static void print_base(const struct tp_json *result)
{
    const char *base = text(result, "base");

    printf("  base: %s (%s)\n", *base ? base : "none", text(result, "base_reason"));
}

static void print_compress(const char *model, const struct tp_json *result)
{
    uint64_t logical = number(result, "logical_bytes"), stored = number(result, "stored_bytes");

    printf("%s: %s stored in %s, %s (verified; %.1f s)\n", model, tp_report_size(logical),
           tp_report_size(stored), tp_report_saving(logical, stored),
           decimal(result, "write_seconds") + decimal(result, "verify_seconds"));
    print_base(result);
}

static void print_estimate(const char *model, const struct tp_json *result)
{
    uint64_t logical = number(result, "logical_bytes"), stored = number(result, "stored_bytes");

    printf("%s: would take %s of %s, %s (%s to %s with 95 %% confidence, from %s in %.1f s)\n",
           model, tp_report_size(stored), tp_report_size(logical),
           tp_report_saving(logical, stored), tp_report_size(number(result, "stored_bytes_low")),
           tp_report_size(number(result, "stored_bytes_high")),
           tp_report_size(number(result, "sampled_bytes")), decimal(result, "seconds"));
    print_base(result);
}

static void print_verify(const struct tp_json *result)
{
    const struct tp_json *packs = tp_json_get(result, "packs");

    for (const struct tp_json *p = tp_json_first(packs); p; p = tp_json_next(p)) {
        bool whole = false;

        tp_json_bool(tp_json_get(p, "whole"), &whole);
        printf("%s: %" PRIu64 " files, %" PRIu64 " chunks, %s: %s\n", text(p, "pack"),
               number(p, "files"), number(p, "chunks"), tp_report_size(number(p, "bytes")),
               whole ? "whole" : text(p, "error"));
    }
}

void tp_job_report_print(const struct tp_json *report)
{
    const struct tp_json *result = tp_json_get(report, "result");
    const char *model = text(report, "model");

    switch (tp_verb_find(text(report, "verb"))) {
    case TP_VERB_COMPRESS:
        print_compress(model, result);
        break;
    case TP_VERB_ESTIMATE:
        print_estimate(model, result);
        break;
    case TP_VERB_RESTORE:
        printf("%s: %s restored, every file's SHA-256 checked\n", model,
               tp_report_size(number(result, "bytes")));
        break;
    case TP_VERB_VERIFY:
        print_verify(result);
        break;
    default:
        printf("%s: done\n", model);
    }
}
