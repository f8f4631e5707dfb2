/* SPDX-License-Identifier: MIT */
/* The receiver of a job's progress. Every line is checked. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/jobs/progress.h"

#define SAMPLE_SECONDS 0.25 /* between two samples: the ring covers eight seconds */

static void sample(struct tp_tracker *t, double now)
{
    unsigned last = (t->first + t->n + TP_RATE_SAMPLES - 1) % TP_RATE_SAMPLES, at;

    if (t->n > 0 && now - t->samples[last].at < SAMPLE_SECONDS)
        return;
    if (t->n == TP_RATE_SAMPLES) {
        t->first = (t->first + 1) % TP_RATE_SAMPLES;
        t->n--;
    }
    at = (t->first + t->n++) % TP_RATE_SAMPLES;
    t->samples[at].at = now;
    t->samples[at].done = t->done;
}

static void take_progress(struct tp_tracker *t, const char *text, double now)
{
    unsigned long long done, total;
    char stage[32];

    if (sscanf(text, "%31s %llu %llu", stage, &done, &total) != 3)
        return;
    if (strcmp(stage, t->stage) != 0 || done < t->done)
        t->n = 0;
    snprintf(t->stage, sizeof t->stage, "%s", stage);
    t->done = done < total ? done : total;
    t->total = total;
    sample(t, now);
}

static void take_candidates(struct tp_tracker *t, const char *text)
{
    unsigned evaluated, total;

    if (sscanf(text, "%u %u", &evaluated, &total) != 2 || evaluated > total)
        return;
    t->evaluated = evaluated;
    t->candidates = total;
}

static void take_error(struct tp_tracker *t, const char *text)
{
    char *rest;
    long code = strtol(text, &rest, 10);

    if (code < 1 || code > 4095 || *rest != ' ')
        return;
    t->error = (int)code;
    snprintf(t->message, sizeof t->message, "%s", rest + 1);
}

static void take_line(struct tp_tracker *t, double now)
{
    if (t->len < 3 || t->line[1] != ' ' || t->too_long)
        return;
    t->line[t->len] = '\0';
    if (t->line[0] == 'P')
        take_progress(t, t->line + 2, now);
    else if (t->line[0] == 'C')
        take_candidates(t, t->line + 2);
    else if (t->line[0] == 'M')
        snprintf(t->message, sizeof t->message, "%s", t->line + 2);
    else if (t->line[0] == 'E')
        take_error(t, t->line + 2);
}

void tp_tracker_feed(struct tp_tracker *t, const char *data, size_t len, double now)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n') {
            take_line(t, now);
            t->len = 0;
            t->too_long = false;
        } else if (t->len + 1 < sizeof t->line) {
            t->line[t->len++] = (unsigned char)data[i] < 0x20 ? ' ' : data[i];
        } else {
            t->too_long = true;
        }
    }
}

void tp_tracker_show(const struct tp_tracker *t, double now, struct tp_job_status *status)
{
    double seconds = t->n ? now - t->samples[t->first].at : 0;
    uint64_t bytes = t->n ? t->done - t->samples[t->first].done : 0;

    memcpy(status->stage, t->stage, sizeof status->stage);
    status->candidates_evaluated = t->evaluated;
    status->candidates_total = t->candidates;
    status->done_bytes = t->done;
    status->total_bytes = t->total;
    status->rate = seconds > 0.05 ? (double)bytes / seconds : 0;
    status->remaining = status->rate > 0 ? (double)(t->total - t->done) / status->rate : -1;
}
