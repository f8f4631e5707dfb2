/* SPDX-License-Identifier: MIT */
/*
 * Checking that a pack will be shown: a mount shows only the models of the mounted directory
 * itself.
 */
#include <config.h>

#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/verb/verb.h"

static bool lies_within(const char *inner, const char *outer)
{
    size_t len = strlen(outer);

    return strncmp(inner, outer, len) == 0 && (inner[len] == '/' || strcmp(outer, "/") == 0);
}

int tp_check_level(const char *dir, struct tp_error *err)
{
    char buffer[3 * 4096], around[4096] = "", where[4096] = "", *full = realpath(dir, NULL);
    FILE *mounts = full ? setmntent("/proc/self/mounts", "re") : NULL;
    bool itself = false;
    struct mntent m;

    while (mounts && getmntent_r(mounts, &m, buffer, sizeof buffer)) {
        if (strcmp(m.mnt_type, "fuse.tenpak") != 0)
            continue;
        itself = itself || strcmp(m.mnt_fsname, full) == 0;
        if (lies_within(full, m.mnt_fsname)) {
            snprintf(around, sizeof around, "%s", m.mnt_fsname);
            snprintf(where, sizeof where, "%s", m.mnt_dir);
        }
    }
    if (mounts)
        endmntent(mounts);
    free(full);
    if (itself || !around[0])
        return 0;
    return tp_fail(err, EBUSY,
                   "'%s' is mounted at '%s', where a pack in '%s' would be shown as a file, not a "
                   "model: mount '%s' by itself first, or write the pack elsewhere with -o",
                   around, where, dir, dir);
}
