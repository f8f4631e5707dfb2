/* SPDX-License-Identifier: MIT */
/* Acting as the caller: a file that a thread of root makes belongs to the caller from the start. */
#include <config.h>

#include "fs/plain/caller.h"

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The kernel has checked the caller's permissions with all groups. The thread that acts as the
 * caller lacks these groups and must not be refused for that.
 */
static void keep_access(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) != 0)
        return;
    data[0].effective |= data[0].permitted & (1u << CAP_DAC_OVERRIDE);
    syscall(SYS_capset, &header, data);
}

bool tp_caller_begin(fuse_req_t req)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);

    if (geteuid() != 0 || (ctx->uid == 0 && ctx->gid == getegid()))
        return false;
    setfsgid(ctx->gid);
    setfsuid(ctx->uid);
    if (ctx->uid != 0)
        keep_access();
    return true;
}

void tp_caller_end(bool changed)
{
    if (!changed)
        return;
    setfsuid(geteuid());
    setfsgid(getegid());
}
