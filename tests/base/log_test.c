/* SPDX-License-Identifier: MIT */
/* Logging: levels, the sink's life, and lines that stay one line. */
#include <config.h>

#include "base/log.h"

#include "tests/tap.h"

struct seen {
    int n;
    enum tp_log_level level;
    char line[4096];
};

static void sink(void *arg, enum tp_log_level level, const char *line)
{
    struct seen *s = arg;
    s->n++;
    s->level = level;
    snprintf(s->line, sizeof s->line, "%s", line);
}

int main(void)
{
    struct seen seen = {0};
    tp_log(TP_LOG_ERROR, "nobody listens");
    tp_log_set_sink(sink, &seen, TP_LOG_INFO);
    is_int(seen.n, 0, "what was said before is not kept");
    tp_log(TP_LOG_WARNING, "chunk %d of '%s'", 3, "x\ny");
    is_int(seen.n, 1, "a line arrives");
    is_int(seen.level, TP_LOG_WARNING, "with its level");
    is_str(seen.line, "chunk 3 of 'x?y'", "as one line");
    tp_log(TP_LOG_DEBUG, "too much");
    is_int(seen.n, 1, "above the highest level nothing does");
    tp_log_set_sink(NULL, NULL, TP_LOG_DEBUG);
    tp_log(TP_LOG_ERROR, "gone");
    is_int(seen.n, 1, "without a sink nothing does");
    return tap_done();
}
