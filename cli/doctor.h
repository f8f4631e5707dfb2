/* SPDX-License-Identifier: MIT */
/* Findings of `tenpak doctor`, each with a command that fixes it. */
#ifndef TP_CLI_DOCTOR_H
#define TP_CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

/* OK and NOTE leave the exit code 0; SLOW and BROKEN make it 1. */
enum tp_finding_level { TP_FINDING_OK, TP_FINDING_NOTE, TP_FINDING_SLOW, TP_FINDING_BROKEN };

struct tp_finding {
    char check[48]; /* "read_ahead"; stable, for scripts */
    enum tp_finding_level level;
    char message[256]; /* what was found, for people */
    char fix[256];     /* a command that fixes it; "": none */
};

enum { TP_FINDINGS_MAX = 64 };

struct tp_findings {
    size_t n;
    struct tp_finding finding[TP_FINDINGS_MAX];
};

/* Add a finding, if there is space. FIX may be NULL. The message is formatted as by printf. */
void tp_finding_add(struct tp_findings *all, const char *check, enum tp_finding_level level,
                    const char *fix, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* --- doctor_fuse.c --- */

/* Check the device, the helper program, and the kernel's limits for mounts. */
void tp_doctor_fuse(struct tp_findings *all);
/* Check all tenpak mounts, or the one at MNT. False: there is none at MNT. */
bool tp_doctor_mounts(struct tp_findings *all, const char *mnt);

/* --- doctor_machine.c --- */

/* Check limits of processes, memory, and kernels of this CPU. */
void tp_doctor_machine(struct tp_findings *all);

#endif
