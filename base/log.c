/* SPDX-License-Identifier: MIT */
/* The one place where log lines pass, from any thread to the sink of the program. */
#include <config.h>

#include "base/cleanup.h"
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include "base/printable.h"

#define LINE_MAX_BYTES 2048

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static tp_log_sink current_sink;
static void *current_arg;
static atomic_int threshold = -1; /* read without the lock: it alone drops most lines */

void tp_log_set_sink(tp_log_sink sink, void *arg, enum tp_log_level max_level)
{
    TP_LOCK_SCOPE(&lock);
    current_sink = sink;
    current_arg = arg;
    atomic_store(&threshold, sink ? (int)max_level : -1);
}

void tp_log(enum tp_log_level level, const char *fmt, ...)
{
    if ((int)level > atomic_load_explicit(&threshold, memory_order_relaxed))
        return;

    char line[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    tp_text_make_printable(line);

    /* Under the lock, so that a removed sink is not running any more. */
    TP_LOCK_SCOPE(&lock);
    if (current_sink)
        current_sink(current_arg, level, line);
}
