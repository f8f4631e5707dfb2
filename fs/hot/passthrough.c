/* SPDX-License-Identifier: MIT */
/* FUSE passthrough if libfuse and the kernel support it; otherwise the reason why not. */
#include <config.h>

#include "fs/hot/passthrough.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)

enum { CAPABILITY_SYS_ADMIN = 21 };

static bool is_privileged(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long long effective = 0;
    char line[256];

    if (!file)
        return false;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "CapEff: %llx", &effective) == 1)
            break;
    fclose(file);
    return effective >> CAPABILITY_SYS_ADMIN & 1;
}

void tp_passthrough_init(struct tp_passthrough *through, struct fuse_conn_info *conn, bool stacked)
{
    if (!(conn->capable & FUSE_CAP_PASSTHROUGH)) {
        snprintf(through->why_not, sizeof through->why_not,
                 "the kernel does not have it: Linux 6.9 with CONFIG_FUSE_PASSTHROUGH is needed");
    } else if (!is_privileged()) {
        snprintf(through->why_not, sizeof through->why_not,
                 "only root may (CAP_SYS_ADMIN is needed)");
    } else {
        conn->want |= FUSE_CAP_PASSTHROUGH;
        conn->max_backing_stack_depth =
            stacked ? FUSE_BACKING_STACKED_OVER : FUSE_BACKING_STACKED_UNDER;
        through->ready = true;
    }
}

/* An error that is not about this file disables passthrough for the whole mount. */
static void note_refusal(struct tp_passthrough *through, struct tp_pass *pass, int error)
{
    pass->backing_id = 0;
    pass->refused = true;
    if (error != EPERM && error != EOPNOTSUPP && error != ENOTTY && error != ENOSYS)
        return;
    through->ready = false;
    snprintf(through->why_not, sizeof through->why_not, "the kernel refused it: %s",
             strerror(error));
    tp_log(TP_LOG_WARNING, "no passthrough from here on: %s", through->why_not);
}

bool tp_pass_open(struct tp_passthrough *through, fuse_req_t req, struct tp_pass *pass, int fd,
                  struct fuse_file_info *fi)
{
    /* All opens of an inode use one backing file, also opens after passthrough was disabled. */
    if (pass->passing == 0 && through->ready && fd >= 0 && pass->asking == 0 && !pass->refused) {
        errno = 0;
        pass->backing_id = fuse_passthrough_open(req, fd);
        if (pass->backing_id <= 0)
            note_refusal(through, pass, errno);
    }
    if (pass->backing_id == 0) {
        pass->asking++;
        return false;
    }
    pass->passing++;
    fi->backing_id = pass->backing_id;
    fi->keep_cache = 0;
    return true;
}

bool tp_pass_release(fuse_req_t req, struct tp_pass *pass)
{
    if (pass->passing == 0) {
        pass->asking--;
        return false;
    }
    /* After the last release there is no open of the kernel any more. */
    if (--pass->passing == 0) {
        fuse_passthrough_close(req, pass->backing_id);
        pass->backing_id = 0;
    }
    return true;
}

#else

void tp_passthrough_init(struct tp_passthrough *through, struct fuse_conn_info *conn, bool stacked)
{
    (void)conn;
    (void)stacked;
    snprintf(through->why_not, sizeof through->why_not, "libfuse %s is too old: 3.17 is needed",
             fuse_pkgversion());
}

bool tp_pass_open(struct tp_passthrough *through, fuse_req_t req, struct tp_pass *pass, int fd,
                  struct fuse_file_info *fi)
{
    (void)through;
    (void)req;
    (void)fd;
    (void)fi;
    pass->asking++;
    return false;
}

bool tp_pass_release(fuse_req_t req, struct tp_pass *pass)
{
    (void)req;
    pass->asking--;
    return false;
}

#endif
