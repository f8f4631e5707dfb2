/* SPDX-License-Identifier: MIT */
/* Hints for the line that is printed when a mount has started. */
#include <config.h>

#include "fs/hints.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fs/kernel.h"
#include "fs/hot/promote.h"

static void add_hint(char *out, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void add_hint(char *out, size_t size, const char *fmt, ...)
{
    size_t len = strlen(out);
    va_list ap;

    if (len > 0 && len + 2 < size) {
        memcpy(out + len, "; ", 3);
        len += 2;
    }
    va_start(ap, fmt);
    vsnprintf(out + len, size - len, fmt, ap);
    va_end(ap);
}

void tp_hints_write(struct tp_fs *fs, char *out, size_t size)
{
    dev_t dev = atomic_load(&fs->mount_dev);
    unsigned ahead = tp_kernel_read_ahead(dev), request = tp_kernel_max_request_kb();
    unsigned in_flight = tp_kernel_max_background(dev);
    struct tp_hot_figures hot;

    out[0] = 0;
    if (ahead && ahead < TP_READ_AHEAD_KB)
        add_hint(out, size, "the kernel reads ahead %u KiB of %u", ahead, TP_READ_AHEAD_KB);
    if (request && request < TP_MAX_READ / 1024)
        add_hint(out, size, "requests are at most %u KiB of %u", request, TP_MAX_READ / 1024);
    if (in_flight && in_flight < TP_MAX_BACKGROUND)
        add_hint(out, size, "%u requests in flight of %u", in_flight, TP_MAX_BACKGROUND);
    tp_promote_get_figures(fs, &hot);
    if (!hot.passthrough)
        add_hint(out, size, "no passthrough (%s)", hot.why_not);
}
