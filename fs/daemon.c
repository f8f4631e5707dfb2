/* SPDX-License-Identifier: MIT */
/*
 * Finding the daemon of a mount without a request to it: the process that has its connection open.
 */
#include <config.h>

#include "fs/daemon.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/kernel.h"

/*
 * The kernel shows the connection of a descriptor since Linux 6.16. With older kernels no process
 * is found.
 */
static bool has_connection(const char *pid, const char *fd, unsigned number)
{
    static const char key[] = "fuse_connection:";
    char path[64], line[128];
    bool found = false;

    snprintf(path, sizeof path, "/proc/%.20s/fdinfo/%.20s", pid, fd);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (!found && fgets(line, sizeof line, file))
        found = strncmp(line, key, sizeof key - 1) == 0 &&
                strtoul(line + sizeof key - 1, NULL, 10) == number;
    fclose(file);
    return found;
}

static bool serves_mount(const char *pid, unsigned number)
{
    static const char device[] = "/dev/fuse";
    char path[64], target[sizeof device];
    bool found = false;

    snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    for (struct dirent *e; !found && (e = readdir(dir));) {
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof target);
        found = n == (ssize_t)sizeof device - 1 && memcmp(target, device, sizeof device - 1) == 0 &&
                has_connection(pid, e->d_name, number);
    }
    closedir(dir);
    return found;
}

int tp_daemon_find(const char *mountpoint)
{
    unsigned number;
    DIR *dir = tp_kernel_connection(mountpoint, &number) ? opendir("/proc") : NULL;
    int fd = -1;

    if (!dir)
        return -1;
    for (struct dirent *e; fd < 0 && (e = readdir(dir));)
        if (isdigit((unsigned char)e->d_name[0]) && serves_mount(e->d_name, number))
            fd = (int)syscall(SYS_pidfd_open, (pid_t)strtol(e->d_name, NULL, 10), 0);
    closedir(dir);
    return fd;
}

void tp_daemon_wait(int daemon, unsigned seconds)
{
    struct pollfd end = {daemon, POLLIN, 0};

    if (daemon < 0)
        return;
    while (poll(&end, 1, (int)seconds * 1000) < 0 && errno == EINTR)
        ;
    close(daemon);
}
