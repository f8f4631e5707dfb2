/* SPDX-License-Identifier: MIT */
/*
 * The progress line with percentage, rate and remaining time, and signals that stop a long
 * operation.
 */
#include <config.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/size.h"
#include "cli/report.h"
#include "cli/meter.h"

static struct {
    atomic_int cancel;
    pthread_mutex_t lock;
    bool shown; /* the line is on the terminal */
    bool visible;
    double every; /* seconds between updates */
    double began, last;
    char stage[32];
    struct tp_progress progress;
} meter = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_signal(int sig)
{
    /* SA_RESETHAND: the next signal has its default effect. */
    (void)sig;
    atomic_store(&meter.cancel, 1);
}

static void clear_line(void)
{
    if (meter.shown)
        fputs("\r\033[K", stderr);
    meter.shown = false;
}

static void update_meter(void *arg, const char *stage, uint64_t done, uint64_t total)
{
    double t = tp_seconds();
    (void)arg;
    TP_LOCK_SCOPE(&meter.lock);
    if (strncmp(stage, meter.stage, sizeof meter.stage - 1)) {
        snprintf(meter.stage, sizeof meter.stage, "%s", stage);
        meter.began = t;
        meter.last = 0;
    }
    if (meter.visible && t - meter.last >= meter.every) {
        double seconds = t - meter.began, rate = seconds > 0.05 ? (double)done / seconds : 0;
        double left = rate > 0 && total > done ? (double)(total - done) / rate : 0;
        char size[3][TP_SIZE_TEXT];
        meter.last = t;
        fprintf(stderr, "\r\033[K%s  %3.0f %%  %s of %s", stage,
                total ? 100.0 * (double)done / (double)total : 0.0, tp_size_print(done, size[0]),
                tp_size_print(total, size[1]));
        if (rate > 0)
            fprintf(stderr, "  %s/s  %u:%02u left", tp_size_print((uint64_t)rate, size[2]),
                    (unsigned)left / 60, (unsigned)left % 60);
        fflush(stderr);
        meter.shown = true;
    }
}

const struct tp_progress *tp_meter_start(bool quiet)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND}, was;
    const char *fps = getenv("TENPAK_PROGRESS_FPS");
    double rate = fps ? strtod(fps, NULL) : 0;

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (!sigaction(signals[i], NULL, &was) && was.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    meter.visible = !quiet && isatty(STDERR_FILENO);
    meter.every = rate > 0 ? 1 / rate : 0.1;
    meter.progress = (struct tp_progress){.update = update_meter, .cancel = &meter.cancel};
    tp_cancel_watch(&meter.cancel);
    return &meter.progress;
}

void tp_meter_stop(void)
{
    TP_LOCK_SCOPE(&meter.lock);
    clear_line();
    meter.visible = false;
    fflush(stderr);
}

void tp_meter_note(void *unused, const char *line)
{
    (void)unused;
    TP_LOCK_SCOPE(&meter.lock);
    clear_line();
    fprintf(stderr, "%s\n", tp_report_name(line));
    fflush(stderr);
}
