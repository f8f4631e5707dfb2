/* SPDX-License-Identifier: MIT */
/* tenpak doctor: find what slows or prevents a mount on this system. */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/doctor.h"
#include "cli/options.h"
#include "cli/report.h"

static const char *const level_names[] = {"ok", "note", "slow", "broken"};

void tp_finding_add(struct tp_findings *all, const char *check, enum tp_finding_level level,
                    const char *fix, const char *fmt, ...)
{
    va_list ap;
    if (all->n == TP_FINDINGS_MAX)
        return;
    struct tp_finding *f = &all->finding[all->n++];
    f->level = level;
    snprintf(f->check, sizeof f->check, "%s", check);
    snprintf(f->fix, sizeof f->fix, "%s", fix ? fix : "");
    va_start(ap, fmt);
    vsnprintf(f->message, sizeof f->message, fmt, ap);
    va_end(ap);
}

static int print_json(const struct tp_findings *all, bool fine)
{
    struct tp_document doc;
    tp_document_begin(&doc);
    tp_json_put_bool(&doc.json, "fine", fine);
    tp_json_begin_array(&doc.json, "findings");
    for (size_t i = 0; i < all->n; i++) {
        const struct tp_finding *f = &all->finding[i];
        tp_json_begin_object(&doc.json, NULL);
        tp_json_put_string(&doc.json, "check", f->check);
        tp_json_put_string(&doc.json, "level", level_names[f->level]);
        tp_json_put_string(&doc.json, "message", f->message);
        tp_json_put_string(&doc.json, "fix", f->fix[0] ? f->fix : NULL);
        tp_json_end_object(&doc.json);
    }
    tp_json_end_array(&doc.json);
    return tp_document_end(&doc);
}

static int print_text(const struct tp_findings *all, bool fine)
{
    for (size_t i = 0; i < all->n; i++) {
        const struct tp_finding *f = &all->finding[i];
        printf("%-6s  %-15s %s\n", level_names[f->level], f->check, tp_report_name(f->message));
        if (f->fix[0])
            printf("%-6s  %-15s   fix: %s\n", "", "", tp_report_name(f->fix));
    }
    puts(fine ? "\nnothing here slows a mount" : "\nsomething here slows or prevents a mount");
    return tp_report_flush();
}

static int run_doctor(struct tp_options *o)
{
    struct tp_error err = {0};
    bool fine = true;
    if (tp_options_next(o) < 0)
        return o->exit;
    tp_autofree struct tp_findings *all = calloc(1, sizeof *all);
    if (!all) {
        fputs("tenpak: out of memory\n", stderr);
        return TP_EXIT_FAILURE;
    }
    tp_doctor_fuse(all);
    if (!tp_doctor_mounts(all, o->argc ? o->argv[0] : NULL)) {
        tp_fail(&err, ENOENT, "no tenpak mount at '%s'", o->argv[0]);
        return tp_report_failed(o, &err);
    }
    tp_doctor_machine(all);
    for (size_t i = 0; i < all->n; i++)
        fine &= all->finding[i].level < TP_FINDING_SLOW;
    int code = o->json ? print_json(all, fine) : print_text(all, fine);
    return code ? code : fine ? TP_EXIT_OK : TP_EXIT_FAILURE;
}

const struct tp_command tp_command_doctor = {
    .name = "doctor",
    .args = "[OPTION...] [MNT]",
    .summary = "Find what on this system slows or prevents a mount.",
    .about = "Each finding is ok, a note, slow or broken, with a command that fixes it. "
             "This command changes nothing.\n"
             "The exit code is 1 when something slows or prevents a mount.",
    .examples = "  tenpak doctor\n"
                "  tenpak doctor --json /mnt/models | jq -r '.findings[].fix // empty'\n",
    .with = TP_WITH_JSON,
    .min_args = 0,
    .max_args = 1,
    .run = run_doctor,
};
