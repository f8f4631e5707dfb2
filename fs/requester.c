/* SPDX-License-Identifier: MIT */
/*
 * Signals of the requester, from /proc. FUSE_INTERRUPT does not say which signal came, and is not
 * sent for read-ahead and direct reads.
 */
#include <config.h>

#include "fs/requester.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BIT(signal) (UINT64_C(1) << ((signal)-1))
/* Signals whose default action does not end a process. */
#define HARMLESS                                                                                   \
    (BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH) | BIT(SIGSTOP) | BIT(SIGTSTP) |     \
     BIT(SIGTTIN) | BIT(SIGTTOU))

/* Whether /proc shows processes. */
static bool is_proc_mounted(void)
{
    struct stat st;

    return stat("/proc/self/status", &st) == 0;
}

static bool will_end(FILE *status)
{
    static const char *const names[] = {"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"};
    uint64_t masks[5] = {0}, pending, mask;
    char line[256], name[16];

    while (fgets(line, sizeof line, status))
        for (unsigned i = 0; i < 5; i++)
            if (sscanf(line, "%15[^:]: %" SCNx64, name, &mask) == 2 && strcmp(name, names[i]) == 0)
                masks[i] = mask;
    pending = masks[0] | masks[1];
    /* The kernel turns each signal that ends all threads of a process into SIGKILL. */
    return (pending & BIT(SIGKILL)) ||
           (pending & ~masks[2] & ~masks[3] & ~masks[4] & ~HARMLESS) != 0;
}

bool tp_requester_is_gone(pid_t tid, bool absent)
{
    char path[64];
    FILE *status;
    bool gone;

    /* 0: a process of another PID namespace. */
    if (tid <= 0)
        return false;
    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    status = fopen(path, "re");
    if (!status)
        return absent && errno == ENOENT && is_proc_mounted();
    gone = will_end(status);
    fclose(status);
    return gone;
}
